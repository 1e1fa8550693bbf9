/* The product of a linear layer, frozen or changed, for operations that contain one (a convolution applies it
 * to patches, the loss contains the head). See nn/change.h for ld_product. */
#ifndef LD_LINEAR_H
#define LD_LINEAR_H

#include "nn/change.h"
#include "nn/tape.h"

/* Floats per input for product->kept and product->spare. */
int ld_linear_kept(const ld_linear *layer);
int ld_linear_spare(const ld_linear *layer);

/* Whether training changes the layer, so that its operation reads x in the backward pass. */
bool ld_linear_trains(const ld_linear *layer);

/* The four functions of a product, as in ld_change_functions; `read` and `gradients` do nothing on a frozen
 * layer. */
void ld_linear_read(const ld_product *product);
void ld_linear_forward(const ld_product *product);
void ld_linear_gradients(const ld_product *product);
void ld_linear_input(const ld_product *product, enum ld_through through);

/* The work of T inputs; `input_trained`: x has a gradient. */
ld_op_work ld_linear_work(const ld_linear *layer, int T, bool input_trained);

/* Whether the layer's change has dropout at its input in this pass. */
bool ld_linear_drops(const ld_tape *tape, const ld_linear *layer);

/* out (rows, cols) = in * mask / (1 - p); with `add` out += that. The mask is made again from its stream each
 * time it is needed. */
void ld_linear_dropout(const ld_linear *layer, const ld_batch *batch, int rows, int cols, ld_side in,
                       ld_side out, bool add);

#endif
