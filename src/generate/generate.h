/* Text generation: one token after the other, with a cache of keys and values. */
#ifndef LD_GENERATE_H
#define LD_GENERATE_H

#include "load/base.h"

/* Called with each new id; returning false ends the generation. */
typedef bool (*ld_token_sink)(int32_t id, void *user);

/* Continues `prompt` (prompt.h) by at most options->max_tokens ids, until a stop id, the model's last
 * position, or until the sink returns false. Temperature 0 takes the likeliest token; otherwise the draw
 * depends on options->seed and the position. LD_ENUMERIC for logits that are not finite; LD_EMEMORY. Not
 * collective. */
int ld_generate(const ld_base *base, const ld_options *options, const int32_t *prompt, int n_prompt,
                ld_token_sink sink, void *user, ld_error *err);

/* Draws from logits (V), which it overwrites; `draw` is uniform in [0, 1). */
int32_t ld_pick(float *logits, int V, double temperature, int64_t top_k, double top_p, double draw);

#endif
