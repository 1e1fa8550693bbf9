/* What inspect shows of a run folder.
 */
#ifndef LD_INSPECT_RUN_H
#define LD_INSPECT_RUN_H

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

/* Whether the folder is that of a training run. */
bool ld_is_run(const char *path);

/* Appends its settings, dates, progress, losses and checkpoints, a line each. */
int ld_inspect_run(const char *path, ld_text *out, ld_error *err);

/* Appends the date at which a file was last written. */
void ld_put_file_date(ld_text *out, const char *path);

#endif
