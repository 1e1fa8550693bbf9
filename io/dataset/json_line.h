/* One line of JSONL. */
#ifndef LD_JSON_LINE_H
#define LD_JSON_LINE_H

#include "base/error.h"
#include "base/value.h"

/* Parses the object on a line, which may end with a line end. The caller frees with ld_value_free. NULL on failure:
 * LD_EFORMAT names the file and the line's number in it. */
ld_value *ld_json_line(const char *path, size_t number, const char *line, size_t length, ld_error *err);

#endif
