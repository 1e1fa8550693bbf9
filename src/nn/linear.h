/* The parts of a linear layer, for operations that hold one inside (the loss holds the head). T rows each;
 * ldx, ldy are row strides.
 */
#ifndef LD_LINEAR_H
#define LD_LINEAR_H

#include "nn/tape.h"

/* y = x W^T + bias and, where there is an adapter, h (T, R) = x A^T and y += scaling h B^T. */
void ld_linear_forward(const ld_linear *linear, int T, const float *x, int ldx, float *h, float *y, int ldy);

/* Adds to the gradients of A and B, and leaves dh (T, R) = scaling dy B. */
void ld_lora_backward(const ld_lora *lora, int T, const float *x, int ldx, const float *h, float *dh,
                      const float *dy, int ldy);

/* dx = beta dx + dy W and, unless dh is NULL, + dh A; beta is 0 or 1. */
void ld_linear_backward(const ld_linear *linear, int T, const float *dy, int ldy, const float *dh, float beta,
                        float *dx, int ldx);

/* Adds to the gradients of a layer that is trained whole. */
void ld_whole_backward(const ld_linear *linear, int T, const float *x, int ldx, const float *dy, int ldy);

/* Tells the tape the work of T rows (of a convolution: output pixels); `input_trained`: x has a gradient. */
void ld_linear_count(ld_tape *tape, const ld_linear *linear, int T, bool input_trained);

/* Whether the adapter's input is dropped out in this pass. */
bool ld_lora_drops(const ld_tape *tape, const ld_linear *linear);

/* out (rows, cols) = in * mask / (1 - p), of `stride` in; with `add` out += that, and the stride is out's.
 * The mask is made anew from its stream each time it is needed. */
void ld_lora_dropout(const ld_lora *lora, uint64_t seed, uint64_t number, int rows, int cols, const float *in,
                     int stride, float *out, bool add);

#endif
