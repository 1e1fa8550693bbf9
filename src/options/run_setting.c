#include "options/run_setting.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/yaml.h"
#include "options/resolve.h"

static int read_setting(const char *path, const char *key, char **value, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(path, &map, err);
  if (rc) return rc;
  ld_value *root = ld_yaml_parse(map.bytes, map.length, path, err);
  const ld_value *found = ld_value_get(root, key);
  if (root && ld_options_are_record(root) && found && found->type == LD_STRING)
    *value = ld_strdup(found->string);
  rc = root ? 0 : err->code;
  ld_value_free(root);
  ld_map_close(&map);
  return rc;
}

int ld_run_setting(const char *adapter, const char *key, char **value, ld_error *err) {
  char *folder = realpath(adapter, NULL);
  int rc = 0;
  *value = NULL;
  for (int up = 0; folder && up < 3; up++) {
    char *path = ld_path_join(folder, "run.yaml");
    const bool there = ld_file_exists(path);
    if (there) rc = read_setting(path, key, value, err);
    free(path);
    if (there || !strrchr(folder, '/')) break;
    *strrchr(folder, '/') = 0;
  }
  free(folder);
  return rc;
}
