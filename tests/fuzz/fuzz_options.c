/* Any bytes as the YAML of --config; after an odd first byte as the options recorded in a checkpoint, with
 * which the defaults are compared. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "options/command_line.h"
#include "options/resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Resolves the fewest options that `train` takes and, with `config`, that text as the file of --config. */
static int resolve(const ld_text *config, ld_options *options, ld_error *err) {
  char *argv[] = {"train", "--model", "m", "--data", "d", "--out", "o", "--config", "c", NULL};
  ld_command_line *line = ld_command_line_parse(LD_CMD_TRAIN, config ? 9 : 7, argv, false, NULL);
  if (!line) abort();
  const int rc = ld_options_resolve(line, config, options, err);
  ld_command_line_free(line);
  return rc;
}

static void try_config(const uint8_t *data, size_t size) {
  ld_options options;
  ld_error err = {0};
  ld_text config = {0};
  ld_text_append(&config, data, size);
  if (resolve(&config, &options, &err) && !err.text[0]) abort();
  ld_options_free(&options);
  ld_text_free(&config);
}

static void differs(const ld_difference *d, void *user) {
  (void)user;
  if (!d->name || !strcmp(d->was, d->now)) abort();
}

static void try_record(const uint8_t *data, size_t size) {
  ld_options options;
  ld_error err = {0};
  if (resolve(NULL, &options, &err)) abort();
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
