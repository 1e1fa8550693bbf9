/* A read-only tree of plain values: what a JSON or YAML document says, once it has been parsed.
 *
 * src/ reads model configurations and options through this, so that it knows no file format; io/ builds the
 * trees. A getter with a default is for what may be missing; its error tells what was wrong with what is
 * there, naming the key (the caller puts the file before it with ld_fail_prefix).
 */
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
  int line;  /* of a YAML file, from 1; 0 elsewhere */
  char *key; /* inside a map; NULL elsewhere */
  bool boolean;
  int64_t integer;
  double real;     /* also set for integers */
  char *string;    /* NUL-terminated UTF-8 */
  ld_value *items; /* of a list or a map, in file order */
  size_t n_items;
};

/* "a string", "a list", ...: for error texts. */
const char *ld_value_type_name(ld_value_type type);

/* The member `key` of a map; NULL when `map` is NULL, no map, or without it. Null members count as missing.
 */
const ld_value *ld_value_get(const ld_value *map, const char *key);

/* The same, but a member that is null is given too: for formats where null and missing differ. */
const ld_value *ld_value_member(const ld_value *map, const char *key);

/* Members with a check. Missing: the default. Wrong type: LD_EFORMAT with "key: expected an integer, found a
 * string". A real without a fraction ("1e3", 8.0) is taken as an integer, an integer as a real. */
int ld_value_int(const ld_value *map, const char *key, int64_t fallback, int64_t *out, ld_error *err);
int ld_value_real(const ld_value *map, const char *key, double fallback, double *out, ld_error *err);
int ld_value_bool(const ld_value *map, const char *key, bool fallback, bool *out, ld_error *err);
/* The string belongs to the tree. */
int ld_value_string(const ld_value *map, const char *key, const char *fallback, const char **out,
                    ld_error *err);

/* For those who build a tree: adds a zeroed item to a list or a map (`key` NULL in a list, else it is now
 * owned by the tree). `room` is the builder's count of places, 0 at first. Pointers to older items die. */
ld_value *ld_value_add(ld_value *parent, char *key, size_t *room);

/* Frees what is below, not the node itself, which becomes LD_NULL. */
void ld_value_clear(ld_value *value);

/* Frees the tree with its root (NULL is fine). */
void ld_value_free(ld_value *value);

#endif
