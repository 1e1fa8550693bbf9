/* The search for the text that follows a prompt: which tokens it consists of, from the logits that the model
 * gives after each.
 *
 * A search has running sequences, each the prompt and some tokens after it. Its caller runs the model on them
 * and gives the search their next logits; the search answers which sequences run next, each as one of the
 * present ones and a token after it. It begins with one sequence, the prompt. Searches know nothing about the
 * model. */
#ifndef LD_SEARCH_H
#define LD_SEARCH_H

#include "generate/search_kind.h"

/* Begins a search for a text of at most `limit` tokens with its prompt. Draws depend on the settings' seed, on
 * `record` and on the position. The settings are borrowed, the prompt is copied. The caller frees. */
ld_search *ld_search_begin(const ld_generation_settings *settings, const ld_ids *prompt, int64_t limit,
                           uint64_t record);
void ld_search_free(ld_search *search); /* NULL is fine */

/* Takes logits (n, vocab), those of the n running sequences, which it overwrites. Returns how many run next,
 * at most num_beams, and which; 0 when the search is done. */
int ld_search_step(ld_search *search, float *logits, ld_continuation *next);

#endif
