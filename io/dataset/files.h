/* The files that --data stands for: one, several, those of a folder, or those of a pattern. */
#ifndef LD_DATA_FILES_H
#define LD_DATA_FILES_H

#include "io/dataset/joined.h"
#include "io/dataset/record.h"

/* Lists the files of `data`: names, folders and patterns with line feeds between them. A pattern (*, ?, [) is read as the
 * shell would, unless it is the name of a file; a folder gives its files with an ending that the model takes. Both are in
 * the order of the names' bytes. LD_EFILE where nothing is found. *n is 0 where `data` is read as it is: it is one file
 * that is not compressed, or a folder that is a data set of the model. The caller frees with ld_names_free. */
int ld_data_files(const char *data, const ld_dataset_options *options, char ***paths, size_t *n,
                  ld_error *err);

/* Finds how these files are joined. LD_EUNSUPPORTED for one of other programs, and for files that cannot be read as
 * one; LD_EMISMATCH for different formats. */
int ld_data_join_rule(char *const *paths, size_t n, const ld_dataset_options *options, ld_join_rule *rule,
                      ld_error *err);

#endif
