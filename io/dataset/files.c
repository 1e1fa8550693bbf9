#include "io/dataset/files.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/dataset.h"
#include "io/dataset/foreign.h"
#include "io/dataset/packings.h"

typedef struct file_list {
  char **paths;
  size_t n, room;
} file_list;

static void add(file_list *list, char *path) {
  list->paths = ld_grow(list->paths, list->n, &list->room, sizeof *list->paths);
  list->paths[list->n++] = path;
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The data files of a folder, by name. */
static int add_folder(file_list *list, const char *path, const ld_dataset_options *options, ld_error *err) {
  size_t n;
  char **names = ld_folder_names(path, &n, err);
  const size_t before = list->n;
  if (!names) return LD_EFILE;
  for (size_t i = 0; i < n; i++) {
    char *file = ld_path_join(path, names[i]);
    if (names[i][0] != '.' && ld_file_exists(file) && ld_dataset_takes_text(file, options))
      add(list, file);
    else
      free(file);
  }
  ld_names_free(names, n);
  return list->n > before
             ? 0
             : ld_fail(err, LD_EFILE, "%s: this folder has no file of data that the model takes", path);
}

static int add_pattern(file_list *list, const char *pattern, ld_error *err) {
  glob_t found = {0};
  const size_t before = list->n;
  const int rc = glob(pattern, GLOB_NOSORT, NULL, &found);
  for (size_t i = 0; !rc && i < found.gl_pathc; i++)
    if (ld_file_exists(found.gl_pathv[i])) add(list, ld_strdup(found.gl_pathv[i]));
  globfree(&found);
  if (list->n == before) return ld_fail(err, LD_EFILE, "%s: no file has such a name", pattern);
  qsort(list->paths + before, list->n - before, sizeof *list->paths, by_bytes);
  return 0;
}

static int add_item(file_list *list, const char *item, const ld_dataset_options *options, ld_error *err) {
  if (ld_is_folder(item)) return add_folder(list, item, options, err);
  if (!ld_file_is_named(item) && strpbrk(item, "*?[")) return add_pattern(list, item, err);
  add(list, ld_strdup(item));
  return 0;
}

/* Whether the data are read as they are. */
static bool is_plain(const char *data, const file_list *list) {
  return list->n == 1 && !strcmp(list->paths[0], data) && !ld_packing_named(data);
}

int ld_data_files(const char *data, const ld_dataset_options *options, char ***paths, size_t *n,
                  ld_error *err) {
  file_list list = {0};
  int rc = 0;
  *paths = NULL;
  *n = 0;
  if (!strchr(data, '\n') && ld_is_folder(data) && ld_dataset_takes_folder(data, options)) return 0;
  for (const char *at = data; at && !rc; at = strchr(at, '\n')) {
    at += *at == '\n';
    char *item = ld_strndup(at, strcspn(at, "\n"));
    rc = add_item(&list, item, options, err);
    free(item);
  }
  if (rc || is_plain(data, &list)) {
    ld_names_free(list.paths, list.n);
    return rc;
  }
  *paths = list.paths;
  *n = list.n;
  return 0;
}

int ld_data_join_rule(char *const *paths, size_t n, const ld_dataset_options *options, ld_join_rule *rule,
                      ld_error *err) {
  size_t first = 0;
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) {
    size_t format = 0;
    rc = ld_foreign_check(paths[i], err);
    if (!rc) rc = ld_dataset_join_rule(paths[i], n > 1, options, &format, rule, err);
    if (i == 0) first = format;
    if (!rc && format != first)
      rc = ld_fail(err, LD_EMISMATCH,
                   "%s: is of another format than %s: give files of one format, with a pattern if they are "
                   "in a folder",
                   paths[i], paths[0]);
  }
  return rc;
}
