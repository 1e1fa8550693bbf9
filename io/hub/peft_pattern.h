/* How PEFT (0.21) selects modules by name. Only for the PEFT reader and writer. */
#ifndef LD_PEFT_PATTERN_H
#define LD_PEFT_PATTERN_H

#include <stdbool.h>

#include "base/error.h"
#include "base/value.h"

/* The target_modules of an adapter without any: PEFT's DUMMY_TARGET_MODULES, a string and not a list. */
#define LD_PEFT_NO_TARGET "dummy-target-modules"

/* target_modules: `path` is `target`, or ends in "." + target. */
bool ld_peft_selects(const char *target, const char *path);

/* Whether the regular expression matches the whole of `path`, as in Python's re.fullmatch. `name` stands for
 * the field in errors. */
int ld_peft_match(const char *pattern, const char *path, const char *name, bool *matches, ld_error *err);

/* layers_to_transform: the number of the layer in a path, which follows what the regular expression `layers`
 * matches (NULL: the first number from the third part on). `layer` is -1 where there is none, even if
 * `matches` is true. */
int ld_peft_layer(const char *layers, const char *path, const char *name, bool *matches, int *layer,
                  ld_error *err);

/* rank_pattern, alpha_pattern: the value of the first key of `patterns` (NULL, or a map) for which the
 * regular expression (.*\.)?(key)$ matches from the start of `path`; NULL in `found` when none does. */
int ld_peft_pattern(const ld_value *patterns, const char *path, const char *name, const ld_value **found,
                    ld_error *err);

#endif
