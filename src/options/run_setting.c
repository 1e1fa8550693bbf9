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

char *ld_run_record(const char *adapter) {
  char *folder = realpath(adapter, NULL), *path = NULL;
  for (int up = 0; folder && up < 3 && !path; up++) {
    path = ld_path_join(folder, "run.yaml");
    if (ld_file_exists(path)) break;
    free(path);
    path = NULL;
    if (!strrchr(folder, '/')) break;
    *strrchr(folder, '/') = 0;
  }
  free(folder);
  return path;
}

int ld_run_setting(const char *adapter, const char *key, char **value, ld_error *err) {
  char *path = ld_run_record(adapter);
  *value = NULL;
  const int rc = path ? read_setting(path, key, value, err) : 0;
  free(path);
  return rc;
}
