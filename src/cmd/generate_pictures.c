/* Pictures: a file, or a folder of several with metadata.jsonl, which names their prompts. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/generate_kind.h"
#include "generate/pictures.h"
#include "io/file.h"
#include "io/image/png_write.h"
#include "io/json.h"
#include "job/check.h"

#define METADATA "metadata.jsonl"

static bool suits(const ld_base *base) {
  return base->model->diffusion != NULL;
}

static bool is_file(const char *out) {
  const char *ending = strrchr(out, '.');
  return ending && !strcmp(ending, ".png");
}

static int check(const ld_options *options, ld_error *err) {
  if (!options->out)
    return ld_fail(err, LD_EUSAGE, "--out PATH is missing: give a file NAME.png or a folder");
  if (options->prompt && options->prompts)
    return ld_fail(err, LD_EUSAGE, "--prompt and --prompts do not go together: leave one out");
  return options->prompts && options->picture_class >= 0
             ? ld_fail(err, LD_EUSAGE, "--class and --prompts do not go together: leave one out")
             : 0;
}

/* A run of the command. */
typedef struct drawing {
  const ld_options *options;
  const ld_base *base;
  ld_picture_settings settings;
  ld_picture_prompts prompts;
  ld_text file; /* of --prompts */
  ld_text metadata;
} drawing;

static int read_prompts_file(void *user, ld_error *err) {
  drawing *d = user;
  ld_map map;
  const int rc = ld_map_open(d->options->prompts, &map, err);
  if (rc) return rc;
  ld_text_append(&d->file, map.bytes, map.length);
  ld_map_close(&map);
  return 0;
}

/* On every rank, from rank 0's file. Collective. */
static int find_prompts(drawing *d, ld_comm *comm, ld_error *err) {
  const char *path = d->options->prompts;
  if (!path) return ld_picture_prompts_take(d->base, d->options, &d->prompts, err);
  const int rc = ld_comm_by_first(comm, read_prompts_file, d, err);
  if (rc) return rc;
  ld_comm_broadcast_text(comm, &d->file, 0);
  return ld_picture_prompts_read(d->base, path, &d->file, &d->prompts, err);
}

static int64_t n_pictures(const drawing *d) {
  return (int64_t)d->prompts.n * d->options->images;
}

static int check_out(void *user, ld_error *err) {
  const drawing *d = user;
  const char *out = d->options->out;
  if (is_file(out) && n_pictures(d) > 1)
    return ld_fail(err, LD_EUSAGE, "--out %s: is one file, but there are %lld pictures: give a folder", out,
                   (long long)n_pictures(d));
  const int rc = ld_check_new(d->options, err);
  return rc || is_file(out) ? rc : ld_make_folders(out, err);
}

/* "00012.png"; the caller frees. */
static char *name_of(int64_t i) {
  return ld_format("%05lld.png", (long long)i + 1);
}

/* {"file_name": "00012.png", "text": "a red cat"}, as folders of images to learn have it. */
static void note(drawing *d, const char *name, const ld_picture_prompt *prompt) {
  ld_text_printf(&d->metadata, "{\"file_name\": \"%s\", \"text\": ", name);
  ld_json_quote(&d->metadata, prompt->text);
  ld_text_puts(&d->metadata, "}\n");
}

static int take(void *user, int64_t i, const ld_image *image, ld_error *err) {
  drawing *d = user;
  const char *out = d->options->out;
  const ld_picture_prompt *prompt = &d->prompts.list[i / d->options->images];
  char *name = name_of(i), *path = is_file(out) ? ld_strdup(out) : ld_path_join(out, name);
  ld_text png = {0};
  int rc = ld_png_encode(image, &png, err);
  if (!rc) rc = ld_file_write(path, png.bytes, png.length, err);
  if (!rc && prompt->text) note(d, name, prompt);
  ld_text_free(&png);
  free(name);
  free(path);
  return rc;
}

/* On rank 0. */
static int end(void *user, ld_error *err) {
  drawing *d = user;
  const char *out = d->options->out;
  const long long n = (long long)n_pictures(d);
  int rc = 0;
  if (!is_file(out) && d->metadata.length) {
    char *path = ld_path_join(out, METADATA);
    rc = ld_file_write(path, d->metadata.bytes, d->metadata.length, err);
    free(path);
  }
  if (!rc)
    ld_info("%s: %lld %s of %d x %d, %lld steps of %s", out, n, ld_plural(n, "picture", "pictures"),
            d->settings.width, d->settings.height, (long long)d->settings.n_steps, d->settings.sampler->name);
  return rc;
}

static int run(const ld_options *options, ld_base *base, ld_comm *comm, ld_error *err) {
  drawing d = {.options = options, .base = base};
  int rc = ld_picture_settings_find(base, options, &d.settings, err);
  if (!rc) rc = find_prompts(&d, comm, err);
  if (!rc) rc = ld_picture_prompts_avoid(base, &d.settings, options->negative_prompt, &d.prompts, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) rc = ld_comm_by_first(comm, check_out, &d, err);
  const ld_pictures pictures = {base, &d.settings, &d.prompts, options->images, take, &d};
  if (!rc) rc = ld_pictures_make(&pictures, comm, err);
  if (!rc) rc = ld_comm_by_first(comm, end, &d, err);
  ld_picture_prompts_free(&d.prompts);
  ld_text_free(&d.file);
  ld_text_free(&d.metadata);
  return rc;
}

const ld_generate_kind ld_generate_pictures = {suits, check, run};
