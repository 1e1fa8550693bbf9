#include "io/dataset/json_line.h"

#include <string.h>

#include "io/json.h"

/* The parser sees the line as a file, so its line 1 is replaced by the file's line. */
static void fail_syntax(const char *path, size_t number, const ld_error *inner, ld_error *err) {
  static const char own[] = ": line 1, ", end[] = "end of file";
  const bool replace = !strncmp(inner->text, own, sizeof own - 1);
  const char *why = inner->text + (replace ? sizeof own - 1 : 0), *at = strstr(why, end);
  const int before = at ? (int)(at - why) : (int)strlen(why);
  ld_fail(err, LD_EFORMAT, "%s: line %zu%s%.*s%s%.1000s", path, number, replace ? ", " : "", before, why,
          at ? "the end of the line" : "", at ? at + sizeof end - 1 : "");
}

ld_value *ld_json_line(const char *path, size_t number, const char *line, size_t length, ld_error *err) {
  ld_error inner = {0};
  while (length && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
  ld_value *value = ld_json_parse(line, length, "", &inner);
  if (!value) fail_syntax(path, number, &inner, err);
  if (!value || value->type == LD_MAP) return value;
  ld_fail(err, LD_EFORMAT, "%s: line %zu: expected an object {...}", path, number);
  ld_value_free(value);
  return NULL;
}
