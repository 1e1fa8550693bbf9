/* A read-only tree of plain values: the contents of a parsed JSON or YAML document.
 *
 * src/ reads model configurations and options through this, so it depends on no file format; io/ builds the
 * trees. A getter with a default is for members that may be missing. Its errors name the key and say what is
 * wrong with its value (the caller puts the file before it with ld_fail_prefix). */
#ifndef LD_VALUE_H
#define LD_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef enum ld_value_type {
  LD_NULL,
  LD_BOOLEAN,
  LD_INTEGER,
  LD_REAL,
  LD_STRING,
  LD_LIST,
  LD_MAP
} ld_value_type;

typedef struct ld_value ld_value;
struct ld_value {
  ld_value_type type;
  int line;  /* in a YAML file, from 1; 0 elsewhere */
  char *key; /* inside a map; NULL elsewhere */
  bool boolean;
  int64_t integer;
  double real;     /* also set for integers */
  char *string;    /* NUL-terminated UTF-8 */
  ld_value *items; /* of a list or a map, in file order */
  size_t n_items;
};

/* "a string", "a list", ...: for errors. */
const char *ld_value_type_name(ld_value_type type);

/* The member `key` of a map; NULL when `map` is NULL, is not a map, or lacks the key. Null members count as
 * missing. */
const ld_value *ld_value_get(const ld_value *map, const char *key);

/* The same, but also returns null members, for formats in which null and missing differ. */
const ld_value *ld_value_member(const ld_value *map, const char *key);

/* Members with a check. Missing: the default. Wrong type: LD_EFORMAT with "key: expected an integer, found a
 * string". A real without a fraction ("1e3", 8.0) is accepted as an integer, an integer as a real. */
int ld_value_int(const ld_value *map, const char *key, int64_t fallback, int64_t *out, ld_error *err);
int ld_value_real(const ld_value *map, const char *key, double fallback, double *out, ld_error *err);
int ld_value_bool(const ld_value *map, const char *key, bool fallback, bool *out, ld_error *err);
/* The string belongs to the tree. */
int ld_value_string(const ld_value *map, const char *key, const char *fallback, const char **out,
                    ld_error *err);

/* For building a tree: adds a zeroed item to a list or a map (`key` is NULL in a list; in a map the tree
 * takes ownership of it). `room` is the builder's allocation count, 0 at first. Invalidates pointers to older
 * items. */
ld_value *ld_value_add(ld_value *parent, char *key, size_t *room);

/* Frees everything below the node, which becomes LD_NULL. */
void ld_value_clear(ld_value *value);

/* Frees the tree with its root (NULL is fine). */
void ld_value_free(ld_value *value);

#endif
