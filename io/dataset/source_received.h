/* Records for a rank without the data: what one rank's source sends and another's receives (source.h). */
#ifndef LD_SOURCE_RECEIVED_H
#define LD_SOURCE_RECEIVED_H

#include "base/text.h"
#include "io/dataset/source.h"

/* Appends the opening for a rank without the data, which makes a source from it there; errors name `path`.
 * The caller closes. */
void ld_source_put_opening(const ld_source *source, ld_text *out);
int ld_source_of_opening(const char *path, const char *bytes, size_t length, ld_source **out, ld_error *err);

/* Appends a record for a rank without the data. */
int ld_source_put(const ld_source *source, uint64_t offset, uint64_t n, ld_text *out, ld_error *err);

/* Sets the records that a received source provides from now on, in the form in which ld_source_put appended
 * them, one after the other. It takes ownership of `bytes`, which come from malloc, also after an error. */
int ld_source_receive(ld_source *source, char *bytes, size_t length, ld_error *err);

#endif
