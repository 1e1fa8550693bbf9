/* The types of the keys of config.json, as the configuration classes of transformers declare them. A value of
 * another type is refused by name, even where the key does not affect the numbers, since transformers refuses
 * it too. Keys that no class declares are ignored, as in transformers. */
#ifndef LD_CONFIG_H
#define LD_CONFIG_H

#include "base/keys.h"

enum { LD_CONFIG_TABLES = 3 };

/* Checks the values of the keys in `tables` (NULL after the last; a table ends with a key without a name) and
 * of those that all classes share. `source` is the folder. LD_EFORMAT names the key. */
int ld_config_check(const ld_value *config, const ld_key *const *tables, const char *source, ld_error *err);

/* How many classes id2label names, counting "07" and "7" once; -1 without it. For a config that
 * ld_config_check accepted. */
int ld_config_labels(const ld_value *config);

/* The name of `key` in config.json: its alias if that is present. */
const char *ld_config_name(const ld_value *config, const ld_key *const *tables, const char *key);

#endif
