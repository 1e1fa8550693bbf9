#include "job/sample_pictures.h"

#include <stdlib.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/image/png_write.h"
#include "job/report.h"

#define FOLDER "samples"

typedef struct prompt_file {
  const char *path;
  ld_text text;
} prompt_file;

static int read_file(void *user, ld_error *err) {
  prompt_file *file = user;
  ld_map map;
  const int rc = ld_map_open(file->path, &map, err);
  if (rc) return rc;
  ld_text_append(&file->text, map.bytes, map.length);
  ld_map_close(&map);
  return 0;
}

static int find_prompts(ld_job *j, const prompt_file *file, ld_error *err) {
  const ld_options *o = &j->options;
  int rc = ld_picture_settings_find(&j->base, o, &j->drawing, err);
  if (!rc) rc = ld_picture_prompts_read(&j->base, file->path, &file->text, &j->shown, err);
  if (!rc && j->shown.n > LD_MOST_PROMPTS)
    rc = ld_fail(err, LD_EUSAGE, "%s: has %zu prompts, but at most %d are generated from at each evaluation",
                 file->path, j->shown.n, (int)LD_MOST_PROMPTS);
  return rc ? rc : ld_picture_prompts_avoid(&j->base, &j->drawing, o->negative_prompt, &j->shown, err);
}

int ld_job_open_pictures(ld_job *j, ld_error *err) {
  prompt_file file = {.path = j->options.sample_prompts};
  if (!file.path) return 0;
  int rc = ld_comm_by_first(j->comm, read_file, &file, err);
  if (!rc) {
    ld_comm_broadcast_text(j->comm, &file.text, 0);
    rc = ld_comm_agree(j->comm, find_prompts(j, &file, err), err);
  }
  ld_text_free(&file.text);
  j->writes = !rc;
  return rc;
}

static int take(void *user, int64_t i, const ld_image *image, ld_error *err) {
  ld_job *j = user;
  char *name = ld_format(FOLDER "/step-%08lld-%lld.png", (long long)j->trainer.progress.step, (long long)i + 1);
  char *path = ld_path_join(j->options.out, name);
  ld_text png = {0};
  int rc = ld_png_encode(image, &png, err);
  if (!rc) rc = ld_file_write(path, png.bytes, png.length, err);
  if (!rc) rc = ld_job_record_picture(j, i + 1, j->shown.list[i].text, name, err);
  ld_text_free(&png);
  free(name);
  free(path);
  return rc;
}

static int make_folder(void *user, ld_error *err) {
  const ld_job *j = user;
  char *path = ld_path_join(j->options.out, FOLDER);
  const int rc = ld_make_folders(path, err);
  free(path);
  return rc;
}

int ld_job_sample_pictures(ld_job *j, ld_error *err) {
  const ld_pictures pictures = {&j->base, &j->drawing, &j->shown, 1, take, j};
  const int rc = ld_comm_by_first(j->comm, make_folder, j, err);
  return rc ? rc : ld_pictures_make(&pictures, j->comm, err);
}
