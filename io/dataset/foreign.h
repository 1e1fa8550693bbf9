/* Files of other programs that are not read here, with what converts them. */
#ifndef LD_FOREIGN_H
#define LD_FOREIGN_H

#include "base/error.h"

/* LD_EUNSUPPORTED for a file that its name, or its first bytes, say is Parquet, Arrow, Feather, ORC or a spreadsheet: the
 * error has a line that converts it. 0 for any other, also for one that cannot be read. */
int ld_foreign_check(const char *path, ld_error *err);

#endif
