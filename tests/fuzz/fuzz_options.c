/* Any bytes as the YAML of --config; behind an odd first byte as the options that a checkpoint has recorded,
 * with which the defaults are compared. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/options.h"
#include "io/json.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(char **argv, int argc, ld_options *options, ld_error *err) {
  return ld_options_parse(LD_CMD_TRAIN, "train", "", argc, argv, false, options, NULL, err);
}

static void try_config(const uint8_t *data, size_t size) {
  char path[128];
  char *argv[] = {"train", "--config", path, "--model", "m", "--data", "d", "--out", "o", NULL};
  ld_options options;
  ld_error err = {0};
  scratch_write("config.yaml", data, size, path);
  const int rc = parse(argv, 9, &options, &err);
  if (rc > 0 || (rc && !err.text[0])) abort();
  ld_options_free(&options);
}

static void differs(const ld_difference *d, void *user) {
  (void)user;
  if (!d->name || !strcmp(d->was, d->now)) abort();
}

static void try_record(const uint8_t *data, size_t size) {
  char *argv[] = {"train", "--model", "m", "--data", "d", "--out", "o", NULL};
  ld_options options;
  ld_error err = {0};
  if (parse(argv, 7, &options, &err)) abort();
  ld_value *recorded = ld_json_parse((const char *)data, size, "fuzz", &err);
  if (recorded) ld_options_compare(&options, recorded, differs, NULL);
  ld_value_free(recorded);
  ld_options_free(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  if (data[0] & 1)
    try_record(data + 1, size - 1);
  else
    try_config(data + 1, size - 1);
  return 0;
}
