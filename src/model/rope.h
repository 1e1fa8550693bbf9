/* Rotary positions, as config.json scales them.
 */
#ifndef LD_ROPE_H
#define LD_ROPE_H

#include "model/build.h"

/* The frequencies (head_dim / 2) of rotary positions, from rope_parameters or rope_scaling, rope_theta and
 * related keys. */
float *ld_build_rotary(ld_builder *builder, int head_dim);

#endif
