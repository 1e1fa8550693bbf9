#include "io/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/memory.h"

enum { MAX_DEPTH = 256, MAX_LENGTH = 1 << 20 };

typedef struct yaml_reader {
  yaml_parser_t parser;
  yaml_event_t event;
  bool held; /* whether `event` must be deleted */
  const char *name;
  ld_error *err;
} yaml_reader;

static int fail_at(yaml_reader *r, size_t line, const char *what, const char *detail) {
  return ld_fail(r->err, LD_EFORMAT, "%s: line %zu: %s%s", r->name, line + 1, what, detail);
}

static int fail_here(yaml_reader *r, const char *what, const char *detail) {
  return fail_at(r, r->event.start_mark.line, what, detail);
}

static void drop(yaml_reader *r) {
  if (r->held) yaml_event_delete(&r->event);
  r->held = false;
}

static int next(yaml_reader *r) {
  drop(r);
  r->held = yaml_parser_parse(&r->parser, &r->event);
  if (r->held) return 0;
  const char *problem = r->parser.problem ? r->parser.problem : "cannot be read";
  const bool marked = r->parser.error == YAML_SCANNER_ERROR || r->parser.error == YAML_PARSER_ERROR;
  return fail_at(r, marked ? r->parser.problem_mark.line : r->parser.mark.line, problem, "");
}

static bool is_one_of(const char *text, const char *const *words) {
  for (; *words; words++)
    if (strcmp(text, *words) == 0) return true;
  return false;
}

static const char *skip_digits(const char *at) {
  return at + strspn(at, "0123456789");
}

static bool is_integer(const char *text) {
  if (*text == '+' || *text == '-') text++;
  return *text && !*skip_digits(text);
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_real(const char *text) {
  if (*text == '+' || *text == '-') text++;
  const char *whole = skip_digits(text), *at = whole;
  if (*at == '.') {
    at = skip_digits(at + 1);
    if (whole == text && at == whole + 1) return false;
  } else if (whole == text)
    return false;
  if (*at != 'e' && *at != 'E') return !*at;
  at++;
  if (*at == '+' || *at == '-') at++;
  return *at && !*skip_digits(at);
}

static int set_integer(yaml_reader *r, const char *text, int base, ld_value *out) {
  errno = 0;
  out->integer = strtoll(text, NULL, base);
  if (errno) return fail_here(r, "integer does not fit 64 bits: ", text);
  out->type = LD_INTEGER;
  out->real = (double)out->integer;
  return 0;
}

static int set_real(ld_value *out, double value) {
  out->type = LD_REAL;
  out->real = value;
  return 0;
}

/* "010" is 8 in YAML 1.1 and 10 in YAML 1.2. */
static bool is_octal_to_some(const char *text) {
  const char *digits = text + (*text == '+' || *text == '-');
  return is_integer(text) && digits[0] == '0' && digits[1];
}

/* The type of a plain scalar by the core schema. */
static int set_plain(yaml_reader *r, const char *text, ld_value *out) {
  static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
  static const char *const yes[] = {"true", "True", "TRUE", NULL}, *const no[] = {"false", "False", "FALSE",
                                                                                  NULL};
  static const char *const inf[] = {".inf", ".Inf", ".INF", NULL}, *const nan_words[] = {".nan", ".NaN",
                                                                                         ".NAN", NULL};
  if (is_one_of(text, nulls)) return 0;
  if (is_one_of(text, yes) || is_one_of(text, no)) {
    out->type = LD_BOOLEAN;
    out->boolean = is_one_of(text, yes);
    return 0;
  }
  if (is_octal_to_some(text))
    return fail_here(r,
                     "a number with a leading zero, which YAML 1.1 reads as octal: write it without: ", text);
  if (is_integer(text)) return set_integer(r, text, 10, out);
  const char *rest = text[0] == '0' ? text + 2 : "";
  if (text[0] == '0' && text[1] == 'o' && *rest && !rest[strspn(rest, "01234567")])
    return set_integer(r, rest, 8, out);
  if (text[0] == '0' && text[1] == 'x' && *rest && !rest[strspn(rest, "0123456789abcdefABCDEF")])
    return set_integer(r, rest, 16, out);
  if (is_real(text)) return set_real(out, strtod(text, NULL));
  if (is_one_of(text, nan_words)) return set_real(out, NAN);
  if (is_one_of(text + (*text == '+' || *text == '-'), inf))
    return set_real(out, *text == '-' ? -INFINITY : INFINITY);
  out->type = LD_STRING;
  out->string = ld_strdup(text);
  return 0;
}

static int set_scalar(yaml_reader *r, ld_value *out) {
  const char *text = (const char *)r->event.data.scalar.value;
  const size_t length = r->event.data.scalar.length;
  if (strlen(text) != length) return fail_here(r, "a scalar holds a NUL character", "");
  if (r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) return set_plain(r, text, out);
  out->type = LD_STRING;
  out->string = ld_strdup(text);
  return 0;
}

static int check_plainness(yaml_reader *r, const yaml_char_t *anchor, const yaml_char_t *tag) {
  if (anchor) return fail_here(r, "anchors are not supported: &", (const char *)anchor);
  if (tag) return fail_here(r, "tags are not supported: ", (const char *)tag);
  return 0;
}

static int read_node(yaml_reader *r, ld_value *out, int depth);

static int read_list(yaml_reader *r, ld_value *out, int depth) {
  size_t room = 0;
  out->type = LD_LIST;
  for (;;) {
    int code = next(r);
    if (code || r->event.type == YAML_SEQUENCE_END_EVENT) return code;
    code = read_node(r, ld_value_add(out, NULL, &room), depth + 1);
    if (code) return code;
  }
}

/* The keys of a map, found by their hash: item numbers plus 1; 0: free. */
typedef struct key_set {
  uint32_t *slots;
  size_t n_slots; /* a power of 2; at least half of them are free */
} key_set;

/* The slot of a key, or the free slot where it belongs. FNV-1a. */
static uint32_t *slot_of(const key_set *set, const ld_value *map, const char *key) {
  uint32_t h = 0x811c9dc5u;
  for (const char *at = key; *at; at++) h = (h ^ (uint8_t)*at) * 0x01000193u;
  size_t slot = (h ^ h >> 15) & (set->n_slots - 1);
  while (set->slots[slot] && strcmp(map->items[set->slots[slot] - 1].key, key))
    slot = (slot + 1) & (set->n_slots - 1);
  return &set->slots[slot];
}

/* Adds the newest item of the map to the set. */
static void add_key(key_set *set, const ld_value *map) {
  size_t first = map->n_items - 1;
  if (set->n_slots < 2 * (map->n_items + 1)) {
    set->n_slots = set->n_slots ? 2 * set->n_slots : 16;
    free(set->slots);
    set->slots = ld_alloc(set->n_slots, sizeof *set->slots);
    first = 0;
  }
  for (size_t i = first; i < map->n_items; i++) *slot_of(set, map, map->items[i].key) = (uint32_t)i + 1;
}

static int read_key(yaml_reader *r, const ld_value *map, const key_set *keys, char **key) {
  if (r->event.type != YAML_SCALAR_EVENT)
    return fail_here(r, "a key must be a word, not a list, map or alias", "");
  const int code = check_plainness(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
  if (code) return code;
  const char *text = (const char *)r->event.data.scalar.value;
  if (strlen(text) != r->event.data.scalar.length) return fail_here(r, "a key holds a NUL character", "");
  if (keys->n_slots && *slot_of(keys, map, text)) return fail_here(r, "duplicate key: ", text);
  *key = ld_strdup(text);
  return 0;
}

static int read_items(yaml_reader *r, ld_value *out, key_set *keys, int depth) {
  size_t room = 0;
  for (;;) {
    int code = next(r);
    if (code || r->event.type == YAML_MAPPING_END_EVENT) return code;
    char *key = NULL;
    code = read_key(r, out, keys, &key);
    if (code) return code;
    ld_value *item = ld_value_add(out, key, &room);
    item->line = (int)r->event.start_mark.line + 1;
    add_key(keys, out);
    code = next(r);
    if (!code) code = read_node(r, item, depth + 1);
    if (code) return code;
  }
}

static int read_map(yaml_reader *r, ld_value *out, int depth) {
  key_set keys = {0};
  out->type = LD_MAP;
  const int code = read_items(r, out, &keys, depth);
  free(keys.slots);
  return code;
}

/* Reads the node that begins with the current event. */
static int read_node(yaml_reader *r, ld_value *out, int depth) {
  int code;
  if (depth > MAX_DEPTH) return fail_here(r, "nested too deeply", "");
  switch (r->event.type) {
  case YAML_SCALAR_EVENT:
    code = check_plainness(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
    return code ? code : set_scalar(r, out);
  case YAML_SEQUENCE_START_EVENT:
    code = check_plainness(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag);
    return code ? code : read_list(r, out, depth);
  case YAML_MAPPING_START_EVENT:
    code = check_plainness(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag);
    return code ? code : read_map(r, out, depth);
  case YAML_ALIAS_EVENT:
    return fail_here(r, "aliases are not supported: *", (const char *)r->event.data.alias.anchor);
  default:
    return fail_here(r, "expected a value", "");
  }
}

static int read_stream(yaml_reader *r, ld_value *root) {
  int code = next(r); /* the start of the stream */
  if (!code) code = next(r);
  if (code || r->event.type == YAML_STREAM_END_EVENT) return code;
  code = next(r);
  if (!code) code = read_node(r, root, 1);
  if (!code) code = next(r); /* the end of the document */
  if (!code) code = next(r);
  if (!code && r->event.type != YAML_STREAM_END_EVENT)
    code = fail_here(r, "a second document begins; expected one", "");
  return code;
}

ld_value *ld_yaml_parse(const char *bytes, size_t length, const char *name, ld_error *err) {
  yaml_reader r = {.name = name, .err = err};
  if (length > MAX_LENGTH) {
    ld_fail(err, LD_EFORMAT, "%s: larger than 1 MiB: too large for a configuration", name);
    return NULL;
  }
  if (!yaml_parser_initialize(&r.parser)) {
    ld_fail(err, LD_EMEMORY, "%s: no memory to read it", name);
    return NULL;
  }
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)(bytes ? bytes : ""), length);
  ld_value *root = ld_alloc(1, sizeof *root);
  if (read_stream(&r, root)) {
    ld_value_free(root);
    root = NULL;
  }
  drop(&r);
  yaml_parser_delete(&r.parser);
  return root;
}
