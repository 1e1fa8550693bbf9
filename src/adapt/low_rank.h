/* The common part of adapter kinds with two low-rank matrices: A (R, in) and B (out, R), whose product times
 * scaling is added to the weight. For a convolution A is (R, channels, height, width) and B (out, R, 1, 1),
 * and the matrices are the same numbers. */
#ifndef LD_LOW_RANK_H
#define LD_LOW_RANK_H

#include "adapt/kind.h"

enum { LD_LORA_A, LD_LORA_B, LD_LORA_ROLES };

/* Every layer that is a product. */
bool ld_low_rank_takes(const ld_linear *layer);

/* Adds A and B to the parameters, and the sizes that they need to the change. */
void ld_low_rank_lay_out(ld_change *change);

/* A from U(-1/sqrt(in), 1/sqrt(in)), PEFT's Kaiming-uniform with a = sqrt 5; B zero. */
void ld_low_rank_start(ld_change *change, uint64_t seed);

/* h (T, R) = x A^T. */
void ld_low_rank_read(const ld_change *change, const ld_product *product, ld_side h);

/* The part scaling h B^T of a sum. */
ld_part ld_low_rank_part(const ld_change *change, ld_side h);

/* dB += scaling dy^T h; dh (T, R) = scaling dy B, into `dh`; dA += dh^T x. */
void ld_low_rank_gradients(const ld_change *change, const ld_product *product, ld_side dy, ld_side h,
                           ld_side dh);

/* The part dh A of the input's gradient. */
ld_part ld_low_rank_back(const ld_change *change, ld_side dh);

/* W += scaling B A, transposed where W is stored (in, out). */
void ld_low_rank_add(const ld_change *change, float *W);

/* For ld_adapter_form.check: A and B must have the module's rank. */
int ld_low_rank_check(const ld_adapter_module *module, const char *name, ld_error *err);

#endif
