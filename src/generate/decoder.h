/* A model that generates: the sequences in progress, each in a slot that keeps the keys and values of its
 * tokens, and passes over several of them at once.
 *
 * An encoder-decoder also has sources: texts that it read, whose keys and values any number of sequences use.
 * Passes give the same numbers for a sequence, whatever the others are. */
#ifndef LD_DECODER_H
#define LD_DECODER_H

#include "load/base.h"

/* Zero-initialise, reuse, free with ld_decoder_free. */
typedef struct ld_decoder {
  const ld_base *base;
  ld_cache texts, sources; /* by slot */
  int32_t *ids;            /* (texts.n_slots, texts.capacity): the tokens whose keys and values are there */
  ld_tape *reads, *steps;  /* passes over prompts, and over one id of each sequence */
  ld_arena memory;
  ld_lane text, source; /* of a pass */
  int32_t *text_slots, *source_slots;
  float *last, *kept, *logits; /* of each sequence of a pass: (C), the head's, (vocab) */
} ld_decoder;

typedef struct ld_decoder_size {
  int n_slots, capacity;          /* sequences, and tokens of the longest */
  int n_sources, source_capacity; /* 0 for a model that reads no source */
} ld_decoder_size;

/* Empties all slots, and makes room. The base is borrowed. LD_EMEMORY. */
int ld_decoder_begin(ld_decoder *decoder, const ld_base *base, ld_decoder_size size, ld_error *err);
void ld_decoder_free(ld_decoder *decoder);

/* Called between operations, to advance work such as network transfers. After ld_decoder_begin. */
void ld_decoder_on_poll(ld_decoder *decoder, void (*poll)(void *user), void *user);

/* What a pass adds to a sequence: ids after those in its slot. With an encoder-decoder, the slot of its
 * source; `read` is that source's ids, which must be read first, or NULL once that was done. */
typedef struct ld_addition {
  int slot;
  const int32_t *ids;
  int n;
  int source;
  const ld_ids *read;
} ld_addition;

/* Runs the model on all of them, and returns the logits after the last id of each, (n, vocab), in memory of
 * the decoder that the caller may overwrite until the next pass. Either all read a source or none does.
 * LD_EMEMORY; LD_ENUMERIC for logits that are not finite. */
int ld_decoder_run(ld_decoder *decoder, const ld_addition *additions, int n, float **logits, ld_error *err);

/* Makes slot `to` hold the same sequence as slot `from`. Both are of one prompt, or `to` is empty. */
void ld_decoder_copy(ld_decoder *decoder, int from, int to);

#endif
