/* The common part of objectives whose outputs are classes. */
#ifndef LD_CLASS_LABELS_H
#define LD_CLASS_LABELS_H

#include "io/dataset/label.h"

/* For ld_objective.suit: classes have names, or are numbered from 0. */
int ld_class_labels_suit(const ld_labels *labels, int n_outputs, ld_error *err);

/* For ld_objective.suit_new: one class for each record is learnt from at least two. */
int ld_class_labels_suit_new(const ld_labels *labels, int n_outputs, ld_error *err);

/* The class of a name; -1 for one that is not among the labels. */
int32_t ld_class_of(const ld_labels *labels, const char *name);

#endif
