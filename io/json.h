/* JSON documents as ld_value trees.
 *
 * The parser is jansson: it is strict (no comments, trailing commas, NaN), checks UTF-8, can refuse duplicate
 * keys, gives line and column of an error, keeps the order of keys, and is in Debian. Integers beyond 64 bits
 * become reals (Hugging Face's tokenizer files hold 10^30 for "no limit"). Writing only needs quoted strings
 * and printed numbers, so no library is used for it. */
#ifndef LD_JSON_H
#define LD_JSON_H

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "base/value.h"

/* Parses one document; `name` stands for the file in errors, which give line and column. The caller frees
 * with ld_value_free. NULL on failure. Nesting deeper than 256 is refused, and so is U+0000, since strings
 * end with it here. */
ld_value *ld_json_parse(const char *bytes, size_t length, const char *name, ld_error *err);

/* A limit on memory by the document's length. The memory is what reading takes at most, counted from the
 * number of values before any is read. LD_EFORMAT beyond the limit; LD_EMEMORY when the machine does not have
 * so much, or the process's own limit is lower. The functions here call it; other code that parses JSON must
 * do so too. */
int ld_json_check_budget(const char *bytes, size_t length, const char *name, ld_error *err);

/* Reads a whole file. */
ld_value *ld_json_read(const char *path, ld_error *err);

/* A member to set: `value` is JSON text; NULL removes the member. With `only_there` the key is not added to a
 * document without it. */
typedef struct ld_json_member {
  const char *key, *value;
  bool only_there;
} ld_json_member;

/* Appends the document, an object, with the n members set. */
int ld_json_edit(const char *bytes, size_t length, const char *name, const ld_json_member *members, size_t n,
                 ld_text *out, ld_error *err);

/* Appends a string as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void ld_json_quote(ld_text *out, const char *string);

/* Appends a double in the fewest digits that read back as the same value; NaN and infinities become null. */
void ld_json_number(ld_text *out, double value);

#endif
