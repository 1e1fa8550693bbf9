/* What each key of config.json may hold, as the configuration classes of transformers declare it: a value of
 * another type is refused by name, also where the key says nothing about the numbers, since transformers
 * refuses it too. Keys that no class declares are ignored there and here.
 */
#ifndef LD_CONFIG_H
#define LD_CONFIG_H

#include "base/error.h"
#include "base/value.h"

enum { LD_CONFIG_TABLES = 3 };

enum {
  LD_TAKES_INTEGER = 1,
  LD_TAKES_REAL = 2, /* written with a point or an exponent */
  LD_TAKES_FLAG = 4,
  LD_TAKES_STRING = 8,
  LD_TAKES_INTEGERS = 16, /* a list of integers */
  LD_TAKES_STRINGS = 32,
  LD_TAKES_MAP = 64,
  LD_TAKES_NULL = 128,
  LD_TAKES_UP_TO_1 = 256, /* numbers only from 0 to 1 */
  LD_TAKES_NUMBER = LD_TAKES_INTEGER | LD_TAKES_REAL,
  LD_TAKES_SHARE = LD_TAKES_NUMBER | LD_TAKES_UP_TO_1,
  LD_TAKES_ID = LD_TAKES_INTEGER | LD_TAKES_NULL,
  LD_TAKES_IDS = LD_TAKES_ID | LD_TAKES_INTEGERS,
};

typedef struct ld_config_key {
  const char *name;
  unsigned takes;
  const char *alias; /* another name, which wins when config.json has both; NULL for none */
} ld_config_key;

/* Checks the values of the keys in `tables` (NULL after the last; a table ends with a key without a name) and
 * of those that all classes share. `source` is the folder. LD_EFORMAT names the key. */
int ld_config_check(const ld_value *config, const ld_config_key *const *tables, const char *source,
                    ld_error *err);

/* How many classes id2label names, "07" and "7" being one; -1 without it. A config that ld_config_check has
 * passed. */
int ld_config_labels(const ld_value *config);

/* The name under which config.json says what `key` means: its alias where that is there. */
const char *ld_config_name(const ld_value *config, const ld_config_key *const *tables, const char *key);

#endif
