/* The cross-entropy of one row of logits, for the operations that sum it. */
#ifndef LD_LOSS_H
#define LD_LOSS_H

/* The loss of one row of V logits, which are replaced by their gradient, softmax - target. The target is 1 - smoothing at its
 * class, and smoothing / V more at every class (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
 * 2015, section 7). */
double ld_row_loss(float *logits, int target, int V, float smoothing);

#endif
