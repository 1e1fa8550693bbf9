/* The choice of one token. */
#ifndef LD_DRAW_H
#define LD_DRAW_H

#include "generate/settings.h"

/* The likeliest token of logits (vocab), or one drawn from them, as temperature, top_k and top_p say; `draw`
 * is uniform in [0, 1). */
int32_t ld_draw(const ld_generation_settings *settings, const float *logits, double draw);

#endif
