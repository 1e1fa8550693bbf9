/* JSON documents as ld_value trees.
 *
 * The parser is jansson: strict (no comments, trailing commas, NaN), checks UTF-8, can refuse duplicate keys,
 * gives line and column of an error, keeps the order of keys, and is in Debian. Integers beyond 64 bits
 * become reals (Hugging Face's tokenizer files hold 10^30 for "no limit"). Writing is a matter of quoting
 * strings and printing numbers, for which no library is needed.
 */
#ifndef LD_JSON_H
#define LD_JSON_H

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "base/value.h"

/* Parses one document; `name` stands for the file in error texts, which give line and column.
 * The caller frees with ld_value_free. NULL on failure. Nesting deeper than 256 is refused, and so is
 * U+0000, since strings end with it here. */
ld_value *ld_json_parse(const char *bytes, size_t length, const char *name, ld_error *err);

/* A budget in memory that follows from the document's length: what reading it would take at most, counted
 * from the number of its values before any is read. LD_EFORMAT beyond the budget, LD_EMEMORY where the
 * machine, or a limit set for the process, does not have so much. The functions here call it; so must whoever
 * parses JSON otherwise. */
int ld_json_check_budget(const char *bytes, size_t length, const char *name, ld_error *err);

/* Reads a whole file. */
ld_value *ld_json_read(const char *path, ld_error *err);

/* A member to set: `value` is JSON text; NULL takes the member out. With `only_there` a document without the
 * key is left without it. */
typedef struct ld_json_member {
  const char *key, *value;
  bool only_there;
} ld_json_member;

/* Appends the document, an object, with the n members set. */
int ld_json_edit(const char *bytes, size_t length, const char *name, const ld_json_member *members, size_t n,
                 ld_text *out, ld_error *err);

/* Appends a string as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void ld_json_quote(ld_text *out, const char *string);

/* Appends a double so that reading it back gives the same value, in the fewest digits; NaN and infinities
 * become null. */
void ld_json_number(ld_text *out, double value);

#endif
