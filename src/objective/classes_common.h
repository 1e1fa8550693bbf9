/* The common part of objectives whose outputs are classes. */
#ifndef LD_CLASSES_COMMON_H
#define LD_CLASSES_COMMON_H

#include "objective/objective.h"

/* For ld_objective.suit: classes have names, or are numbered from 0. */
int ld_classes_suit(const ld_labels *labels, int n_outputs, ld_error *err);

/* For ld_objective.suit_new: one class for each record is learnt from at least two. */
int ld_classes_suit_new(const ld_labels *labels, int n_outputs, ld_error *err);

/* For ld_objective.loss: the cross-entropy of the targets that are classes. */
ld_tensor *ld_classes_loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum);

/* For ld_objective.answer: the class with the largest output. */
void ld_classes_answer(const ld_tensor *outputs, const ld_batch *batch, ld_answer *out);

/* The class of a name; -1 for one that is not among the labels. */
int32_t ld_class_of(const ld_labels *labels, const char *name);

#endif
