#include "io/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/checkpoint_hdf5.h"
#include "io/digest.h"
#include "io/file.h"

static size_t moment_count(const ld_adapter *adapter) {
  return 2 * adapter->n_modules + adapter->n_full;
}

static void free_moments(float **moments, size_t n) {
  if (!moments) return;
  for (size_t i = 0; i < n; i++) free(moments[i]);
  free(moments);
}

ld_adapter *ld_checkpoint_take_adapter(ld_checkpoint *checkpoint) {
  ld_adapter *adapter = checkpoint->adapter;
  if (adapter) {
    free_moments(checkpoint->m, moment_count(adapter));
    free_moments(checkpoint->v, moment_count(adapter));
  }
  free(checkpoint->progress.exponents);
  free(checkpoint->config);
  free(checkpoint);
  return adapter;
}

void ld_checkpoint_free(ld_checkpoint *checkpoint) {
  if (checkpoint) ld_adapter_free(ld_checkpoint_take_adapter(checkpoint));
}

static size_t full_size(const ld_adapter_full *full) {
  int64_t count = 0;
  return ld_shape_count(full->shape, full->ndim, &count) ? (size_t)count : 0;
}

static void add_floats(ld_digest *digest, const float *data, size_t n) {
  ld_digest_bytes(digest, data, n * sizeof *data);
}

/* What came with version 2; the digest of older files goes without it. */
static void add_second(ld_digest *digest, const ld_adapter *a) {
  for (size_t i = 0; i < a->n_modules; i++) {
    ld_digest_u64(digest, (uint64_t)a->modules[i].kernel[0]);
    ld_digest_u64(digest, (uint64_t)a->modules[i].kernel[1]);
  }
  ld_digest_u64(digest, a->n_labels);
  for (size_t i = 0; i < a->n_labels; i++) ld_digest_string(digest, a->labels[i]);
}

static void add_adapter(ld_digest *digest, const ld_adapter *a) {
  ld_digest_u64(digest, (uint64_t)a->rank);
  ld_digest_double(digest, a->alpha);
  ld_digest_double(digest, a->dropout);
  ld_digest_u64(digest, (uint64_t)a->rslora << 1 | a->fan_in_fan_out);
  ld_digest_string(digest, a->base_name);
  ld_digest_string(digest, a->base_digest);
  ld_digest_string(digest, a->architecture);
  ld_digest_string(digest, a->task_type);
  ld_digest_u64(digest, a->n_modules);
  for (size_t i = 0; i < a->n_modules; i++) {
    const ld_adapter_module *m = &a->modules[i];
    ld_digest_string(digest, m->path);
    ld_digest_u64(digest, (uint64_t)m->rank);
    ld_digest_double(digest, m->alpha);
    ld_digest_double(digest, m->scaling);
    ld_digest_u64(digest, (uint64_t)m->in);
    ld_digest_u64(digest, (uint64_t)m->out);
    add_floats(digest, m->A, (size_t)m->rank * (size_t)m->in);
    add_floats(digest, m->B, (size_t)m->rank * (size_t)m->out);
  }
  ld_digest_u64(digest, a->n_full);
  for (size_t i = 0; i < a->n_full; i++) {
    ld_digest_string(digest, a->full[i].path);
    ld_digest_bytes(digest, a->full[i].shape, (size_t)a->full[i].ndim * sizeof *a->full[i].shape);
    add_floats(digest, a->full[i].data, full_size(&a->full[i]));
  }
}

static void add_moments(ld_digest *digest, const ld_adapter *a, float *const *moments) {
  for (size_t i = 0; i < a->n_modules; i++) {
    const ld_adapter_module *m = &a->modules[i];
    add_floats(digest, moments[2 * i], (size_t)m->rank * (size_t)m->in);
    add_floats(digest, moments[2 * i + 1], (size_t)m->rank * (size_t)m->out);
  }
  for (size_t i = 0; i < a->n_full; i++)
    add_floats(digest, moments[2 * a->n_modules + i], full_size(&a->full[i]));
}

static void add_progress(ld_digest *digest, const ld_progress *p) {
  ld_digest_u64(digest, (uint64_t)p->step);
  ld_digest_u64(digest, (uint64_t)p->epoch);
  ld_digest_u64(digest, (uint64_t)p->position);
  ld_digest_u64(digest, p->seed);
  ld_digest_u64(digest, (uint64_t)p->tokens);
  ld_digest_double(digest, p->best_loss);
  ld_digest_u64(digest, (uint64_t)p->best_step);
  ld_digest_bytes(digest, p->exponents, p->n_exponents * sizeof *p->exponents);
}

/* Over everything that a checkpoint says, however the file lays it out. */
static void digest_contents(const ld_checkpoint *c, char text[LD_DIGEST_DIGITS + 1]) {
  ld_digest digest;
  ld_digest_init(&digest);
  const int version = ld_checkpoint_version(c->adapter);
  ld_digest_u64(&digest, (uint64_t)version);
  ld_digest_string(&digest, c->config ? c->config : "{}");
  add_adapter(&digest, c->adapter);
  if (version > 1) add_second(&digest, c->adapter);
  ld_digest_u64(&digest, c->has_trainer);
  if (c->has_trainer) {
    add_moments(&digest, c->adapter, c->m);
    add_moments(&digest, c->adapter, c->v);
    add_progress(&digest, &c->progress);
  }
  ld_digest_text(&digest, text);
}

#define SEAL_BEGINS "lora_dist checkpoint, sealed: "

/* The user block that belongs to a file of `length` bytes. */
static void make_seal(const char *bytes, size_t length, char block[LD_USER_BLOCK]) {
  ld_digest digest;
  char text[LD_DIGEST_DIGITS + 1];
  ld_digest_init(&digest);
  ld_digest_bytes(&digest, bytes + LD_USER_BLOCK, length - LD_USER_BLOCK);
  ld_digest_text(&digest, text);
  memset(block, 0, LD_USER_BLOCK);
  snprintf(block, LD_USER_BLOCK, SEAL_BEGINS "%zu bytes, digest %s; HDF5 follows at byte %d\n", length, text,
           (int)LD_USER_BLOCK);
}

static int check_seal(const char *bytes, size_t length, const char *path, ld_error *err) {
  char block[LD_USER_BLOCK];
  if (length < LD_USER_BLOCK || memcmp(bytes, SEAL_BEGINS, strlen(SEAL_BEGINS)) != 0)
    return ld_fail(err, LD_EFORMAT, "%s: not a lora_dist checkpoint (or its header is damaged)", path);
  make_seal(bytes, length, block);
  if (memcmp(block, bytes, LD_USER_BLOCK) != 0)
    return ld_fail(err, LD_EFORMAT,
                   "%s: damaged or changed since it was written: use an older checkpoint",
                   path);
  return 0;
}

typedef struct sink {
  const char *part, *path;
} sink;

static int take_image(const char *bytes, size_t length, void *user, ld_error *err) {
  const sink *to = user;
  char block[LD_USER_BLOCK];
  const int fd = open(to->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return ld_file_fail(to->part, "cannot create", err);
  make_seal(bytes, length, block);
  int code = ld_write_all(fd, block, sizeof block, to->path, err);
  if (!code) code = ld_write_all(fd, bytes + LD_USER_BLOCK, length - LD_USER_BLOCK, to->path, err);
  return ld_close_written(fd, to->path, code, err);
}

/* What was written must read as what was meant. */
static int verify(const char *part, const char *path, const char *digest, ld_error *err) {
  ld_checkpoint *again;
  ld_error why = {0};
  char found[LD_DIGEST_DIGITS + 1] = "";
  if (ld_checkpoint_read(part, &again, &why))
    return ld_fail(err, LD_EFILE, "%s: was not written correctly: %s", path, why.text);
  digest_contents(again, found);
  ld_checkpoint_free(again);
  if (strcmp(found, digest) == 0) return 0;
  return ld_fail(err, LD_EFILE, "%s: was not written correctly: it reads back with other contents", path);
}

static int check_parts(const char *path, const ld_checkpoint *c, ld_error *err) {
  int code = ld_adapter_check(c->adapter, path, err);
  if (code || !c->has_trainer) return code;
  for (size_t i = 0; i < moment_count(c->adapter); i++)
    if (!c->m || !c->v || !c->m[i] || !c->v[i])
      return ld_fail(err, LD_EMISMATCH, "%s: the moments of parameter %zu are missing", path, i);
  return 0;
}

int ld_checkpoint_write(const char *path, const ld_checkpoint *checkpoint, ld_error *err) {
  char digest[LD_DIGEST_DIGITS + 1];
  int code = check_parts(path, checkpoint, err);
  if (code) return code;
  char *part = ld_file_begin(path, err);
  if (!part) return LD_EFILE;
  sink to = {part, path};
  digest_contents(checkpoint, digest);
  code = ld_hdf5_encode(checkpoint, digest, path, take_image, &to, err);
  if (!code) code = verify(part, path, digest, err);
  return ld_file_end(part, path, code, err);
}

int ld_checkpoint_parse(const void *bytes, size_t length, const char *name, ld_checkpoint **out,
                        ld_error *err) {
  char *claimed = NULL, found[LD_DIGEST_DIGITS + 1];
  *out = NULL;
  int code = check_seal(bytes, length, name, err);
  if (!code) code = ld_hdf5_decode(bytes, length, name, out, &claimed, err);
  if (!code) {
    digest_contents(*out, found);
    if (strcmp(found, claimed) != 0)
      code =
          ld_fail(err, LD_EFORMAT, "%s: damaged: its contents do not match its digest", name);
  }
  free(claimed);
  if (code) {
    ld_checkpoint_free(*out);
    *out = NULL;
  }
  return code;
}

int ld_checkpoint_read(const char *path, ld_checkpoint **out, ld_error *err) {
  ld_map map;
  *out = NULL;
  int code = ld_map_open(path, &map, err);
  if (!code) code = ld_checkpoint_parse(map.bytes, map.length, path, out, err);
  ld_map_close(&map);
  return code;
}

/* The step in "step-<digits>.h5"; -1 for any other name. */
static int64_t step_of(const char *name) {
  if (strncmp(name, "step-", 5) != 0) return -1;
  const size_t digits = strspn(name + 5, "0123456789");
  if (digits < 1 || digits > 18 || strcmp(name + 5 + digits, ".h5") != 0) return -1;
  return strtoll(name + 5, NULL, 10);
}

static int newest_first(const void *a, const void *b) {
  const char *x = *(char *const *)a, *y = *(char *const *)b;
  const int64_t s = step_of(x), t = step_of(y);
  return s != t ? (s < t ? 1 : -1) : strcmp(x, y);
}

/* The checkpoints of a folder, newest first; NULL when it cannot be read. */
static char **list_checkpoints(const char *folder, size_t *n) {
  size_t kept = 0;
  char **names = ld_folder_names(folder, n, NULL);
  if (!names) return NULL;
  for (size_t i = 0; i < *n; i++) {
    if (step_of(names[i]) >= 0)
      names[kept++] = names[i];
    else
      free(names[i]);
  }
  *n = kept;
  qsort(names, kept, sizeof *names, newest_first);
  return names;
}

bool ld_checkpoint_any(const char *folder) {
  size_t n = 0;
  char **names = list_checkpoints(folder, &n);
  ld_names_free(names, n);
  return n > 0;
}

ld_checkpoint *ld_checkpoint_newest(const char *folder, char **path,
                                    void (*warn)(const char *path, const ld_error *why, void *user),
                                    void *user) {
  size_t n;
  ld_checkpoint *found = NULL;
  *path = NULL;
  char **names = list_checkpoints(folder, &n);
  if (!names) return NULL;
  for (size_t i = 0; i < n && !found; i++) {
    ld_error why = {0};
    char *file = ld_path_join(folder, names[i]);
    if (ld_checkpoint_read(file, &found, &why) == 0)
      *path = file;
    else {
      if (warn) warn(file, &why, user);
      free(file);
    }
  }
  ld_names_free(names, n);
  return found;
}

bool ld_checkpoint_is_name(const char *name) {
  return step_of(name) >= 0;
}

/* Of a regular file: whether it begins as this program's do, and whether it is as it was written. */
static bool is_sealed(const char *path, bool *good) {
  struct stat info;
  ld_map map;
  *good = false;
  if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode) || ld_map_open(path, &map, NULL)) return false;
  const size_t length = strlen(SEAL_BEGINS);
  const bool sealed = map.length >= length && memcmp(map.bytes, SEAL_BEGINS, length) == 0;
  *good = sealed && check_seal(map.bytes, map.length, path, NULL) == 0;
  ld_map_close(&map);
  return sealed;
}

void ld_checkpoint_prune(const char *folder, int keep, const char *spare) {
  size_t n;
  char **names = keep < 1 ? NULL : list_checkpoints(folder, &n);
  if (!names) return;
  const char *slash = spare ? strrchr(spare, '/') : NULL;
  const char *spared = slash ? slash + 1 : spare;
  int n_good = 0;
  for (size_t i = 0; i < n; i++) {
    char *file = ld_path_join(folder, names[i]);
    bool good = spared && strcmp(names[i], spared) == 0;
    if (!good && is_sealed(file, &good) && n_good >= keep) unlink(file);
    n_good += good;
    free(file);
  }
  ld_names_free(names, n);
}
