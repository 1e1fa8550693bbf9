#include "io/dataset/picture_list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/dataset/picture_metadata.h"
#include "io/file.h"
#include "io/image/decode.h"

/* Deeper than any real tree; a link to a parent folder would have no end. */
enum { DEEPEST = 32 };

typedef struct names {
  char **list;
  size_t n, room;
} names;

/* The files below a folder by what they are, with paths relative to it. */
typedef struct finds {
  const char *root;
  names images, metadata, notes;
  char **captions; /* of the images; NULL: none yet */
  ld_picture_list *out;
} finds;

static void add(names *to, char *name) {
  to->list = ld_grow(to->list, to->n, &to->room, sizeof *to->list);
  to->list[to->n++] = name;
}

static bool has_ending(const char *name, const char *ending) {
  const char *dot = strrchr(ld_path_base(name), '.');
  return dot && !strcmp(dot, ending);
}

/* A text beside an image, if there is an image of that name. */
static bool is_note(const char *name) {
  return has_ending(name, ".txt") || has_ending(name, ".caption");
}

static void count_other(const char *path, ld_tally *others) {
  const char *name = ld_path_base(path), *dot = strrchr(name, '.');
  char *kind = ld_format("%.16s", *name == '.' ? "hidden" : dot && dot[1] ? dot : "no ending");
  for (char *at = kind; *at; at++) *at = (char)tolower((unsigned char)*at);
  ld_tally_add(others, kind, 1);
  free(kind);
}

static void sort_in(finds *f, char *path) {
  names *to = ld_image_is_named(path)              ? &f->images
              : ld_picture_metadata_is_named(path) ? &f->metadata
              : is_note(path)                      ? &f->notes
                                                   : NULL;
  if (to && *ld_path_base(path) != '.') {
    add(to, path);
    return;
  }
  count_other(path, &f->out->others);
  free(path);
}

/* Adds the files in `folder` and below it. */
static int walk(finds *f, const char *folder, int depth, ld_error *err) {
  char *full = folder[0] ? ld_path_join(f->root, folder) : ld_strdup(f->root);
  size_t n = 0;
  char **found = ld_folder_names(full, &n, err);
  int rc = found ? 0 : LD_EFILE;
  if (depth > DEEPEST)
    rc = ld_fail(err, LD_EFORMAT, "%s: folders go deeper than %d: is there a link to a parent folder?", full,
                 DEEPEST);
  for (size_t i = 0; i < n && !rc; i++) {
    char *path = ld_path_join(folder, found[i]), *whole = ld_path_join(full, found[i]);
    const bool below = found[i][0] != '.' && ld_is_folder(whole);
    if (below) rc = walk(f, path, depth + 1, err);
    if (below)
      free(path);
    else
      sort_in(f, path);
    free(whole);
  }
  if (found) ld_names_free(found, n);
  free(full);
  return rc;
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The caption of the image at that path; NULL: there is no such image. */
static char **caption_of(const finds *f, const char *path) {
  char **found = f->images.n ? bsearch(&path, f->images.list, f->images.n, sizeof path, by_text) : NULL;
  return found ? &f->captions[found - f->images.list] : NULL;
}

/* A file name of metadata as a path: without "." and doubled slashes. NULL: it leads out of the folder. */
static char *path_of(const char *folder, const char *name) {
  ld_text path = {0};
  ld_text_puts(&path, folder);
  bool inside = *name != '/';
  while (*name && inside) {
    const size_t n = strcspn(name, "/");
    inside = n != 2 || memcmp(name, "..", 2) != 0;
    if (n && (n != 1 || *name != '.')) ld_text_printf(&path, "%s%.*s", path.length ? "/" : "", (int)n, name);
    name += n + (name[n] == '/');
  }
  if (inside) return path.bytes;
  ld_text_free(&path);
  return NULL;
}

/* A metadata file that is being read. */
typedef struct metadata_file {
  finds *finds;
  char *folder; /* of the file, relative to the root */
} metadata_file;

static int add_line(void *user, const char *file_name, const char *caption, ld_error *err) {
  const metadata_file *m = user;
  char *path = path_of(m->folder, file_name), **at = path ? caption_of(m->finds, path) : NULL;
  int rc = 0;
  if (!path)
    rc = ld_fail(err, LD_EFORMAT, "file_name \"%s\" leads out of the folder: move the image into it",
                 file_name);
  else if (!at)
    rc = ld_fail(err, LD_EFORMAT,
                 "a caption for \"%s\", but there is no such image (.png, .jpg, .jpeg or .webp): add it or "
                 "remove the line",
                 file_name);
  else if (*at)
    rc = ld_fail(err, LD_EFORMAT, "a second caption for \"%s\": remove one", file_name);
  else
    *at = ld_strdup(caption);
  free(path);
  return rc;
}

/* The folder of a path; "" for none. */
static char *folder_of(const char *path) {
  const char *base = ld_path_base(path);
  return ld_strndup(path, base > path ? (size_t)(base - path) - 1 : 0);
}

static int read_metadata(finds *f, ld_error *err) {
  int rc = 0;
  for (size_t i = 0; i < f->metadata.n && !rc; i++) {
    metadata_file m = {f, folder_of(f->metadata.list[i])};
    char *path = ld_path_join(f->root, f->metadata.list[i]);
    rc = ld_picture_metadata_read(path, add_line, &m, &f->out->unused, err);
    free(m.folder);
    free(path);
  }
  return rc;
}

/* Whether the text file belongs to the image: the same path but for the ending. */
static bool belongs(const char *note, const char *image) {
  const size_t n = (size_t)(strrchr(note, '.') - note);
  return !strncmp(note, image, n) && strrchr(image, '.') == image + n;
}

/* The images that begin with a text file's name and its dot, which stand together: from *first on. */
static size_t named_as(const finds *f, const char *note, size_t *first) {
  const size_t length = (size_t)(strrchr(note, '.') - note) + 1;
  size_t low = 0, high = f->images.n, n = 0;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (strncmp(f->images.list[middle], note, length) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  while (low + n < f->images.n && !strncmp(f->images.list[low + n], note, length)) n++;
  *first = low;
  return n;
}

static bool has_image(const finds *f, const char *note) {
  size_t first;
  const size_t n = named_as(f, note, &first);
  for (size_t i = first; i < first + n; i++)
    if (belongs(note, f->images.list[i])) return true;
  return false;
}

/* The first line, without white space around it; the caller frees. NULL after an error. */
static char *read_note(const char *path, size_t *n_more, ld_error *err) {
  ld_map map;
  char *caption = NULL;
  if (ld_map_open(path, &map, err)) return NULL;
  const size_t mark = map.length >= 3 && !memcmp(map.bytes, "\xEF\xBB\xBF", 3) ? 3 : 0;
  const char *at = map.length ? map.bytes + mark : "", *end = at + map.length - mark;
  if (!ld_data_is_text(at, (size_t)(end - at))) {
    ld_fail(err, LD_EFORMAT, "%s: not text in UTF-8: convert the file", path);
  } else if (ld_data_is_blank(at, (size_t)(end - at))) {
    ld_fail(err, LD_EFORMAT, "%s: an empty caption: write a line, or remove the file and give --caption",
            path);
  } else {
    const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
    *n_more += !ld_data_is_blank(stop, (size_t)(end - stop));
    while (at < stop && isspace((unsigned char)*at)) at++;
    while (stop > at && isspace((unsigned char)stop[-1])) stop--;
    caption = ld_strndup(at, (size_t)(stop - at));
  }
  ld_map_close(&map);
  return caption;
}

/* Gives the caption to all images of the text file. */
static int give(finds *f, const char *note, const char *caption, ld_error *err) {
  size_t first;
  const size_t n = named_as(f, note, &first);
  for (size_t i = first; i < first + n; i++) {
    const char *image = f->images.list[i];
    if (!belongs(note, image)) continue;
    if (f->captions[i])
      return ld_fail(err, LD_EFORMAT, "%s/%s: a second caption for %s: remove one of the text files", f->root,
                     note, image);
    f->captions[i] = ld_strdup(caption);
  }
  return 0;
}

static int use_note(finds *f, const char *note, ld_error *err) {
  if (f->metadata.n)
    return ld_fail(err, LD_EFORMAT,
                   "%s/%s: a caption beside the image, but %s/%s has captions too: remove one of them",
                   f->root, note, f->root, f->metadata.list[0]);
  char *path = ld_path_join(f->root, note), *caption = read_note(path, &f->out->n_more, err);
  const int rc = caption ? give(f, note, caption, err) : err->code;
  free(caption);
  free(path);
  return rc;
}

/* Whether some text file belongs to an image, or must: then all of them are captions. */
static bool has_notes(const finds *f) {
  for (size_t i = 0; i < f->notes.n; i++)
    if (has_ending(f->notes.list[i], ".caption") || has_image(f, f->notes.list[i])) return true;
  return false;
}

static int read_notes(finds *f, ld_error *err) {
  const bool captions = has_notes(f);
  int rc = 0;
  for (size_t i = 0; i < f->notes.n && !rc; i++) {
    const char *note = f->notes.list[i];
    if (has_image(f, note))
      rc = use_note(f, note, err);
    else if (captions && !f->metadata.n)
      rc = ld_fail(err, LD_EFORMAT,
                   "%s/%s: a caption, but there is no image of that name beside it: add it or move the text",
                   f->root, note);
    else
      count_other(note, &f->out->others);
  }
  return rc;
}

/* Gives the common caption to the images without one. */
static int fill_in(const finds *f, const char *caption, ld_error *err) {
  for (size_t i = 0; i < f->images.n; i++) {
    if (f->captions[i]) continue;
    if (!caption)
      return ld_fail(
          err, LD_EFORMAT,
          "%s/%s: an image without a caption: write one into a .txt file beside it, or as a line of "
          "metadata.jsonl, or give --caption",
          f->root, f->images.list[i]);
    f->captions[i] = ld_strdup(caption);
    f->out->n_default++;
  }
  return 0;
}

static int find_captions(finds *f, const char *caption, ld_error *err) {
  if (!f->images.n)
    return ld_fail(err, LD_EFORMAT, "%s: no PNG, JPEG or WebP files in this folder or below it", f->root);
  qsort(f->images.list, f->images.n, sizeof *f->images.list, by_text);
  f->captions = ld_alloc(f->images.n, sizeof *f->captions);
  int rc = read_metadata(f, err);
  if (!rc) rc = read_notes(f, err);
  return rc ? rc : fill_in(f, caption, err);
}

int ld_picture_list_read(const char *folder, const char *caption, ld_picture_list *out, ld_error *err) {
  *out = (ld_picture_list){0};
  finds f = {.root = folder, .out = out};
  int rc = walk(&f, "", 0, err);
  if (!rc) rc = find_captions(&f, caption, err);
  out->paths = f.images.list;
  out->captions = f.captions;
  out->n = f.images.n;
  ld_names_free(f.metadata.list, f.metadata.n);
  ld_names_free(f.notes.list, f.notes.n);
  return rc;
}

void ld_picture_list_free(ld_picture_list *list) {
  ld_names_free(list->paths, list->n);
  for (size_t i = 0; list->captions && i < list->n; i++) free(list->captions[i]);
  free(list->captions);
  ld_tally_free(&list->others);
  ld_tally_free(&list->unused);
  *list = (ld_picture_list){0};
}

void ld_picture_list_warn(const ld_picture_list *list, const char *folder) {
  ld_text text = {0};
  if (list->n_default && list->n_default < list->n)
    ld_info("captions  %s: %zu of %zu images have none of their own and get that of --caption", folder,
            list->n_default, list->n);
  if (list->n_more)
    ld_warn("%s: %zu %s more than one line, of which the first is the caption", folder, list->n_more,
            ld_plural((long long)list->n_more, "text file has", "text files have"));
  ld_tally_list(&list->others, "", &text);
  if (list->others.n) ld_warn("%s: skipped: %s", folder, text.bytes);
  ld_text_clear(&text);
  ld_tally_list(&list->unused, "\"", &text);
  if (list->unused.n) ld_warn("%s: not used: the keys %s of metadata", folder, text.bytes);
  ld_text_free(&text);
}
