/* YAML files as ld_value trees, read by libyaml.
 *
 * A subset for configuration: one document of maps, lists and scalars. Plain scalars have the types of YAML
 * 1.2's core schema (null, true and false, integers with 0x and 0o, reals with .inf and .nan); quoted and
 * block scalars are strings. Anchors, aliases and tags are refused, and so are duplicate keys.
 * https://yaml.org/spec/1.2.2/#103-core-schema */
#ifndef LD_YAML_H
#define LD_YAML_H

#include <stddef.h>

#include "base/error.h"
#include "base/value.h"

/* Parses one document; an empty one is LD_NULL. `name` stands for the file in errors, which give the line.
 * The caller frees with ld_value_free. NULL on failure. Nesting deeper than 256 is refused, and so is more
 * than 1 MiB. */
ld_value *ld_yaml_parse(const char *bytes, size_t length, const char *name, ld_error *err);

#endif
