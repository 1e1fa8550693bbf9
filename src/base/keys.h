/* The types that members of a map may have: a table of names and types, for readers that check the type of
 * each value. */
#ifndef LD_KEYS_H
#define LD_KEYS_H

#include "base/error.h"
#include "base/value.h"

enum {
  LD_TAKES_INTEGER = 1,
  LD_TAKES_REAL = 2, /* written with a decimal point or an exponent */
  LD_TAKES_FLAG = 4,
  LD_TAKES_STRING = 8,
  LD_TAKES_INTEGERS = 16, /* a list of integers */
  LD_TAKES_STRINGS = 32,
  LD_TAKES_MAP = 64,
  LD_TAKES_NULL = 128,
  LD_TAKES_UP_TO_1 = 256,  /* numbers only from 0 to 1 */
  LD_TAKES_LISTS = 512,    /* a list of lists */
  LD_TAKES_NUMBERS = 1024, /* a list of numbers */
  LD_TAKES_NUMBER = LD_TAKES_INTEGER | LD_TAKES_REAL,
  LD_TAKES_SHARE = LD_TAKES_NUMBER | LD_TAKES_UP_TO_1,
  LD_TAKES_ID = LD_TAKES_INTEGER | LD_TAKES_NULL,
  LD_TAKES_IDS = LD_TAKES_ID | LD_TAKES_INTEGERS,
};

typedef struct ld_key {
  const char *name;
  unsigned takes;
  const char *alias; /* another name of the same key; NULL for none */
} ld_key;

/* Checks the members listed in `keys` (ended by one without a name); any of them may be missing. LD_EFORMAT
 * with "name: expected an integer or null, found a string". */
int ld_keys_check(const ld_value *map, const ld_key *keys, ld_error *err);

/* Whether the table lists the name. */
bool ld_keys_have(const ld_key *keys, const char *name);

#endif
