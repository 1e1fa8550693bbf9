/* Generation: the texts that follow some prompts, which are written together. */
#ifndef LD_GENERATE_H
#define LD_GENERATE_H

#include "generate/decoder.h"
#include "generate/prompt.h"
#include "generate/settings.h"
#include "mpi/comm.h"

/* What texts are generated with; all but the decoder is borrowed. Free with ld_generator_free. */
typedef struct ld_generator {
  const ld_base *base;
  const ld_generation_settings *settings;
  ld_comm *comm; /* polled meanwhile */
  ld_decoder decoder;
} ld_generator;

void ld_generator_free(ld_generator *generator);

/* Receives the text after prompt number i as far as it has settled, without the stop, whenever that may have
 * grown; `ends`: this is all. Returning false ends it. */
typedef bool (*ld_text_sink)(int i, const ld_ids *text, bool ends, void *user);

/* Continues n prompts, whose ids are in the model's vocabulary. A text does not depend on the other prompts.
 * LD_EMISMATCH for a prompt that leaves no room for a token, LD_ENUMERIC for logits that are not finite,
 * LD_EMEMORY. Not collective. */
int ld_generate(ld_generator *generator, const ld_prompt *prompts, int n, ld_text_sink sink, void *user,
                ld_error *err);

#endif
