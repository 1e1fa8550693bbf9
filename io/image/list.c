#include "io/image/list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/image/decode.h"

/* Deeper than any real tree; a link to a parent folder would have no end. */
enum { DEEPEST = 32 };

/* Counts a file that is not an image, by its ending; `where` is "" or adds the place. */
static void count_other(const char *name, const char *where, ld_tally *others) {
  const char *dot = strrchr(name, '.');
  char *kind = ld_format("%.16s%s", dot && dot[1] ? dot : "no ending", where);
  for (char *at = kind; *at && *at != ' '; at++) *at = (char)tolower((unsigned char)*at);
  ld_tally_add(others, *name == '.' ? "hidden" : kind, 1);
  free(kind);
}

static bool is_below(const char *folder, const char *name, bool (*test)(const char *path)) {
  char *path = ld_path_join(folder, name);
  const bool found = test(path);
  free(path);
  return found;
}

/* The folders in `path`, sorted, each joined to `prefix`. */
static char **subfolders(const char *path, const char *prefix, size_t *n, ld_error *err) {
  size_t all, kept = 0;
  char **names = ld_folder_names(path, &all, err);
  *n = 0;
  for (size_t i = 0; names && i < all; i++) {
    char *name = names[i];
    if (name[0] != '.' && is_below(path, name, ld_is_folder)) names[kept++] = ld_path_join(prefix, name);
    free(name);
  }
  *n = kept;
  return names;
}

typedef struct folder_names {
  char **paths;
  size_t n, room;
} folder_names;

/* Adds `path`, which it takes ownership of, and all folders below. */
static int walk(const char *root, char *path, int depth, folder_names *found, ld_error *err) {
  found->paths = ld_grow(found->paths, found->n, &found->room, sizeof *found->paths);
  found->paths[found->n++] = path;
  char *full = ld_path_join(root, path);
  size_t n;
  int rc = 0;
  char **below = NULL;
  if (depth > DEEPEST)
    rc = ld_fail(err, LD_EFORMAT, "%s: folders go deeper than %d: is there a link to a parent folder?", full,
                 DEEPEST);
  else if (!(below = subfolders(full, path, &n, err)))
    rc = LD_EFILE;
  for (size_t i = 0; below && i < n; i++) {
    if (!rc)
      rc = walk(root, below[i], depth + 1, found, err);
    else
      free(below[i]);
  }
  free(below);
  free(full);
  return rc;
}

static int add_images(const char *root, const char *folder, int class, ld_image_list *out, ld_error *err) {
  char *full = folder[0] ? ld_path_join(root, folder) : ld_strdup(root);
  size_t n;
  char **names = ld_folder_names(full, &n, err);
  for (size_t i = 0; names && i < n; i++) {
    const bool hidden = names[i][0] == '.', image = ld_image_is_named(names[i]);
    if (!hidden && image && is_below(full, names[i], ld_file_exists)) {
      out->files = ld_grow(out->files, out->n, &out->room, sizeof *out->files);
      out->files[out->n++] = (ld_image_file){.path = ld_path_join(folder, names[i]), .class = class};
    } else if (hidden || !is_below(full, names[i], ld_is_folder)) {
      count_other(names[i], image ? " that is not a file" : "", &out->others);
    }
  }
  const int rc = names ? 0 : LD_EFILE;
  if (names) ld_names_free(names, n);
  free(full);
  return rc;
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int fail_empty(const char *path, const char *what, const ld_image_list *list, ld_error *err) {
  ld_text others = {0};
  ld_text_puts(&others, "");
  if (list->others.n) ld_text_puts(&others, " (skipped: ");
  ld_tally_list(&list->others, "", &others);
  if (list->others.n) ld_text_puts(&others, ")");
  ld_fail(err, LD_EFORMAT, "%s: %s%s", path, what, others.bytes);
  ld_text_free(&others);
  return LD_EFORMAT;
}

static int add_class(const char *root, int class, ld_image_list *out, ld_error *err) {
  folder_names found = {0};
  const char *name = out->classes[class];
  const size_t before = out->n;
  int rc = walk(root, ld_strdup(name), 0, &found, err);
  if (!rc) qsort(found.paths, found.n, sizeof *found.paths, by_text);
  for (size_t i = 0; !rc && i < found.n; i++) rc = add_images(root, found.paths[i], class, out, err);
  if (!rc && out->n == before) {
    char *path = ld_path_join(root, name);
    rc =
        fail_empty(path, "this class has no PNG, JPEG or WebP file: add some or remove the folder", out, err);
    free(path);
  }
  ld_names_free(found.paths, found.n);
  return rc;
}

/* Files beside the class folders. */
static int count_beside(const char *folder, ld_tally *others, ld_error *err) {
  size_t n;
  char **names = ld_folder_names(folder, &n, err);
  if (!names) return LD_EFILE;
  for (size_t i = 0; i < n; i++)
    if (names[i][0] == '.' || !is_below(folder, names[i], ld_is_folder))
      count_other(names[i], " beside the class folders", others);
  ld_names_free(names, n);
  return 0;
}

int ld_image_list_read(const char *folder, ld_image_list *out, ld_error *err) {
  memset(out, 0, sizeof *out);
  out->classes = subfolders(folder, "", &out->n_classes, err);
  int rc = out->classes ? 0 : LD_EFILE;
  for (size_t i = 0; !rc && i < out->n_classes; i++) rc = add_class(folder, (int)i, out, err);
  if (!rc && out->n_classes)
    rc = count_beside(folder, &out->others, err);
  else if (!rc)
    rc = add_images(folder, "", -1, out, err);
  if (!rc && !out->n)
    rc = fail_empty(folder, "no PNG, JPEG or WebP files and no class folders with them in this folder", out,
                    err);
  return rc;
}

static bool is_split(const char *name) {
  static const char *const splits[] = {"train", "training", "valid",   "validation", "val",
                                       "dev",   "test",     "testing", "eval"};
  for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
    if (!strcasecmp(name, splits[i])) return true;
  return false;
}

int ld_image_list_check_classes(const ld_image_list *list, const char *folder, ld_error *err) {
  const char *first = NULL;
  size_t n = 0;
  for (size_t i = 0; i < list->n_classes; i++) {
    if (!is_split(list->classes[i])) continue;
    if (!n++ || !strncasecmp(list->classes[i], "train", 5)) first = list->classes[i];
  }
  if (n < 2 && (!n || n < list->n_classes)) return 0;
  return ld_fail(
      err, LD_EFORMAT,
      "%s: the folder '%s' in it is a split of a data set, not a class: give %s/%s as data, others by "
      "--valid, or rename the class",
      folder, first, folder, first);
}

void ld_image_list_warn(const ld_image_list *list, const char *folder) {
  ld_text others = {0};
  if (!list->others.n) return;
  ld_tally_list(&list->others, "", &others);
  ld_warn("%s: skipped, since only .png, .jpg, .jpeg and .webp are read: %s", folder, others.bytes);
  ld_text_free(&others);
}

void ld_image_list_free(ld_image_list *list) {
  for (size_t i = 0; i < list->n; i++) free(list->files[i].path);
  free(list->files);
  ld_names_free(list->classes, list->n_classes);
  ld_tally_free(&list->others);
  memset(list, 0, sizeof *list);
}
