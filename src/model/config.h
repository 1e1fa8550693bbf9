/* What each key of config.json may hold, as the configuration classes of transformers declare it: a value of
 * another type is refused by name, also where the key says nothing about the numbers, since transformers
 * refuses it too. Keys that no class declares are ignored there and here.
 */
#ifndef LD_CONFIG_H
#define LD_CONFIG_H

#include "base/keys.h"

enum { LD_CONFIG_TABLES = 3 };

/* Checks the values of the keys in `tables` (NULL after the last; a table ends with a key without a name) and
 * of those that all classes share. `source` is the folder. LD_EFORMAT names the key. */
int ld_config_check(const ld_value *config, const ld_key *const *tables, const char *source, ld_error *err);

/* How many classes id2label names, "07" and "7" being one; -1 without it. A config that ld_config_check has
 * passed. */
int ld_config_labels(const ld_value *config);

/* The name under which config.json says what `key` means: its alias where that is there. */
const char *ld_config_name(const ld_value *config, const ld_key *const *tables, const char *key);

#endif
