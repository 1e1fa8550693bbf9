#include "io/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/file.h"

enum { MAX_DEPTH = 256 };

/* The most memory that the parts of a document take: jansson's tree and ours, with spare room in growing
 * lists. */
enum { VALUE_BYTES = 2 * sizeof(ld_value) + 64, OBJECT_BYTES = 320, TEXT_FACTOR = 3 };

/* A tokenizer of a quarter of a million tokens takes about 450 MiB by this count, for 20 to 33 MB. */
enum { ALWAYS = 1 << 28, A_BYTE = 16 };

/* At most one value ends before each comma outside a string, and one begins after each bracket. */
static double estimate(const char *bytes, size_t length) {
  size_t values = 1, objects = 0;
  bool in_string = false;
  for (size_t i = 0; i < length; i++) {
    const char c = bytes[i];
    if (in_string && c == '\\')
      i++;
    else if (c == '"')
      in_string = !in_string;
    else if (!in_string) {
      values += c == ',' || c == '[' || c == '{';
      objects += c == '{';
    }
  }
  return (double)values * VALUE_BYTES + (double)objects * OBJECT_BYTES + TEXT_FACTOR * (double)length;
}

int ld_json_check_budget(const char *bytes, size_t length, const char *name, ld_error *err) {
  const double mib = 1048576, bytes_needed = estimate(bytes, length);
  if (bytes_needed > ALWAYS + A_BYTE * (double)length)
    return ld_fail(
        err, LD_EFORMAT,
        "%s: too many values for a document of %.1f MiB: reading it takes up to %.0f MiB of memory", name,
        (double)length / mib, bytes_needed / mib);
  void *room = bytes_needed > mib ? malloc((size_t)bytes_needed) : NULL; /* not touched: only requested */
  if (bytes_needed > mib && !room)
    return ld_fail(err, LD_EMEMORY, "%s: reading it takes up to %.0f MiB of memory, more than is available",
                   name, bytes_needed / mib);
  free(room);
  return 0;
}

/* Fills `out` from jansson's tree. `wide` says that all numbers were read as doubles because one integer did
 * not fit; those that are exact integers become integers again. False when it nests too deep. */
static bool convert(const json_t *in, ld_value *out, int depth, bool wide) {
  if (depth > MAX_DEPTH) return false;
  size_t room = 0;
  switch (json_typeof(in)) {
  case JSON_OBJECT: {
    const char *key;
    json_t *item;
    out->type = LD_MAP;
    json_object_foreach((json_t *)(uintptr_t)in, key, item) {
      if (!convert(item, ld_value_add(out, ld_strdup(key), &room), depth + 1, wide)) return false;
    }
    return true;
  }
  case JSON_ARRAY:
    out->type = LD_LIST;
    for (size_t i = 0; i < json_array_size(in); i++)
      if (!convert(json_array_get(in, i), ld_value_add(out, NULL, &room), depth + 1, wide)) return false;
    return true;
  case JSON_STRING:
    out->type = LD_STRING;
    out->string = ld_strndup(json_string_value(in), json_string_length(in));
    return true;
  case JSON_INTEGER:
    out->type = LD_INTEGER;
    out->integer = json_integer_value(in);
    out->real = (double)out->integer;
    return true;
  case JSON_REAL:
    out->real = json_real_value(in);
    out->type = wide && fabs(out->real) <= 0x1p53 && floor(out->real) == out->real ? LD_INTEGER : LD_REAL;
    if (out->type == LD_INTEGER) out->integer = (int64_t)out->real;
    return true;
  case JSON_TRUE:
  case JSON_FALSE:
    out->type = LD_BOOLEAN;
    out->boolean = json_is_true(in);
    return true;
  default:
    out->type = LD_NULL;
    return true;
  }
}

ld_value *ld_json_parse(const char *bytes, size_t length, const char *name, ld_error *err) {
  const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
  json_error_t why;
  bool wide = false;
  if (ld_json_check_budget(bytes, length, name, err)) return NULL;
  json_t *tree = json_loadb(bytes ? bytes : "", length, flags, &why);
  if (!tree && json_error_code(&why) == json_error_numeric_overflow) {
    wide = true;
    tree = json_loadb(bytes, length, flags | JSON_DECODE_INT_AS_REAL, &why);
  }
  if (!tree) {
    /* jansson's own text for it names a constant of C. */
    const bool null = json_error_code(&why) == json_error_null_character;
    ld_fail(err, LD_EFORMAT, "%s: line %d, column %d: %s", name, why.line, why.column,
            null ? "a string holds \\u0000" : why.text);
    return NULL;
  }
  ld_value *root = ld_alloc(1, sizeof *root);
  if (!convert(tree, root, 1, wide)) {
    ld_fail(err, LD_EFORMAT, "%s: nests deeper than %d levels", name, MAX_DEPTH);
    ld_value_free(root);
    root = NULL;
  }
  json_decref(tree);
  return root;
}

ld_value *ld_json_read(const char *path, ld_error *err) {
  ld_map map;
  if (ld_map_open(path, &map, err)) return NULL;
  ld_value *root = ld_json_parse(map.bytes, map.length, path, err);
  ld_map_close(&map);
  return root;
}

static void put_escaped(ld_text *out, char byte) {
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
  const char *found = byte ? strchr(from, byte) : NULL;
  if (found)
    ld_text_printf(out, "\\%c", to[found - from]);
  else
    ld_text_printf(out, "\\u%04x", (unsigned char)byte);
}

void ld_json_quote(ld_text *out, const char *string) {
  const size_t length = strlen(string);
  ld_text_append(out, "\"", 1);
  for (size_t at = 0, next = 0; at < length; at = next) {
    uint32_t code;
    if (!ld_utf8_read(string, length, &next, &code))
      ld_text_puts(out, "\xef\xbf\xbd");
    else if (code < 0x20 || code == '"' || code == '\\')
      put_escaped(out, string[at]);
    else if (ld_text_steers(code))
      ld_text_printf(out, "\\u%04x", code);
    else
      ld_text_append(out, string + at, next - at);
  }
  ld_text_append(out, "\"", 1);
}

void ld_json_number(ld_text *out, double value) {
  if (!isfinite(value)) {
    ld_text_puts(out, "null");
    return;
  }
  char digits[40];
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod(digits, NULL) == value) break;
  }
  /* A locale may print a comma. */
  char *comma = strchr(digits, ',');
  if (comma) *comma = '.';
  ld_text_puts(out, digits);
}

int ld_json_edit(const char *bytes, size_t length, const char *name, const ld_json_member *members, size_t n,
                 ld_text *out, ld_error *err) {
  json_error_t why;
  const int rc = ld_json_check_budget(bytes, length, name, err);
  if (rc) return rc;
  json_t *tree = json_loadb(bytes ? bytes : "", length, JSON_REJECT_DUPLICATES, &why);
  if (!tree)
    return ld_fail(err, LD_EFORMAT, "%s: line %d, column %d: %s", name, why.line, why.column, why.text);
  for (size_t i = 0; i < n; i++)
    if (!members[i].value)
      json_object_del(tree, members[i].key);
    else if (!members[i].only_there || json_object_get(tree, members[i].key))
      json_object_set_new(tree, members[i].key, json_loads(members[i].value, JSON_DECODE_ANY, NULL));
  char *text = json_dumps(tree, JSON_INDENT(2) | JSON_ENCODE_ANY);
  json_decref(tree);
  if (!text) return ld_fail(err, LD_ESYSTEM, "%s: cannot be written as JSON again", name);
  ld_text_puts(out, text);
  ld_text_puts(out, "\n");
  free(text);
  return 0;
}
