/* What the records of a data set are, by the names of their values. Only for use in io/dataset. */
#ifndef LD_FORM_H
#define LD_FORM_H

#include "io/dataset/column.h"
#include "io/dataset/format.h"

/* Finds the form of a data set and its keys by the names of its values; `what` names them in errors. *found
 * receives the columns that ld_columns_find found. LD_EFORMAT as there. */
int ld_form_find_keys(ld_dataset *dataset, char *const *names, size_t n, const char *what, ld_columns *found,
                      ld_error *err);
void ld_data_keys_free(ld_data_keys *keys);

/* The same by the first record, for data whose records each have their own names. */
int ld_form_find(ld_dataset *dataset, const ld_value *record, ld_error *err);

/* Finds the layout of conversations. */
int ld_form_find_layout(ld_dataset *dataset, ld_error *err);

/* LD_EFORMAT when the record does not have the form; counts its unused keys. */
int ld_form_check(const ld_dataset *dataset, const ld_value *record, ld_tally *unused, ld_error *err);

#endif
