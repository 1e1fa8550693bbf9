#include "adapters.h"
#include "scratch.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "adapt/low_rank.h"
#include "io/state/checkpoint_folder.h"
#include "io/state/seal.h"

const char *__lsan_default_suppressions(void);

/* HDF5 leaks memory on damaged metadata. */
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5";
}

static float *numbers(size_t n, float start) {
  float *data = ld_alloc(n, sizeof *data);
  for (size_t i = 0; i < n; i++) data[i] = start + (float)i * .25f;
  return data;
}

static void fill(ld_adapter_tensor *t, float start) {
  for (int64_t i = 0; i < ld_adapter_count(t); i++) t->data[i] = start + (float)i * .25f;
}

static void add_module(ld_adapter *a, const char *path, int rank, int64_t in, int64_t out) {
  ld_adapter_module *m = add_lora(a, path, rank, in, out);
  fill(&m->tensors[0], 1);
  fill(&m->tensors[1], -1);
}

/* Six tensors. The modules are not sorted by name: the file keeps our order. */
static ld_adapter *small_adapter(void) {
  ld_adapter *a = new_adapter();
  a->rank = 2, a->alpha = 4, a->dropout = 0.1;
  a->base_name = ld_strdup("tiny/model"), a->architecture = ld_strdup("LlamaForCausalLM");
  a->base_digest = ld_strdup("0123456789abcdef");
  add_module(a, "layers.2.q_proj", 2, 5, 3);
  add_module(a, "layers.10.q_proj", 1, 4, 6);
  fill(ld_adapter_put(ld_adapter_add(a, "head", LD_ADAPTER_WHOLE), "weight", 2, (int64_t[]){3, 2}, NULL), 7);
  fill(ld_adapter_put(ld_adapter_add(a, "bn", LD_ADAPTER_WHOLE), "num_batches_tracked", 0, NULL, NULL), 12);
  return a;
}

static float **moments(float start) {
  static const size_t sizes[] = {10, 6, 4, 6, 6, 1};
  float **m = ld_alloc(6, sizeof *m);
  for (int i = 0; i < 6; i++) m[i] = numbers(sizes[i], start + (float)i);
  return m;
}

static ld_checkpoint *small_checkpoint(bool trainer, int64_t step) {
  ld_checkpoint *c = ld_alloc(1, sizeof *c);
  c->adapter = small_adapter();
  c->config = ld_strdup("{\"lr\": 0.0002}");
  c->has_trainer = trainer;
  if (!trainer) return c;
  c->m = moments(.5f), c->v = moments(100);
  c->progress = (ld_progress){step, 1, 17, UINT64_MAX - 1, INT64_C(1) << 60, INFINITY, -0.25, -1, NULL, 6};
  c->progress.exponents = ld_alloc(6, sizeof *c->progress.exponents);
  for (int i = 0; i < 6; i++) c->progress.exponents[i] = i - 3;
  return c;
}

static void write_good(const char *path, const ld_checkpoint *c) {
  ld_error err = {0};
  cr_assert_eq(ld_checkpoint_write(path, c, &err), 0, "%s", err.text);
}

static ld_checkpoint *read_good(const char *path) {
  ld_checkpoint *c;
  ld_error err = {0};
  cr_assert_eq(ld_checkpoint_read(path, &c, &err), 0, "%s", err.text);
  return c;
}

static void same_floats(const float *a, const float *b, size_t n) {
  cr_assert_eq(memcmp(a, b, n * sizeof *a), 0);
}

static void same_adapter(const ld_adapter *a, const ld_adapter *b) {
  cr_assert(a->rank == b->rank && a->alpha == b->alpha && a->dropout == b->dropout && a->rslora == b->rslora);
  cr_assert_str_eq(a->base_name, b->base_name);
  cr_assert_str_eq(a->base_digest, b->base_digest);
  cr_assert_str_eq(a->architecture, b->architecture);
  cr_assert(!a->task_type && !b->task_type);
  cr_assert_eq(a->n_modules, b->n_modules);
  for (size_t i = 0; i < a->n_modules; i++) {
    const ld_adapter_module *x = &a->modules[i], *y = &b->modules[i];
    cr_assert_str_eq(x->path, y->path);
    cr_assert_str_eq(x->kind, y->kind);
    cr_assert(x->rank == y->rank && x->alpha == y->alpha && x->scaling == y->scaling);
    cr_assert_eq(x->n_tensors, y->n_tensors);
    for (size_t k = 0; k < x->n_tensors; k++) {
      const ld_adapter_tensor *s = &x->tensors[k], *t = &y->tensors[k];
      cr_assert_str_eq(s->role, t->role);
      cr_assert_eq(s->ndim, t->ndim);
      cr_assert_eq(memcmp(s->shape, t->shape, (size_t)s->ndim * sizeof *s->shape), 0);
      same_floats(s->data, t->data, (size_t)ld_adapter_count(s));
    }
  }
}

/* A convolution and labels. */
static ld_checkpoint *classifier_checkpoint(void) {
  static const char *const names[] = {"no", "\xc3\xbc \"x\"\n\x01", ""};
  ld_checkpoint *c = small_checkpoint(true, 3);
  ld_adapter_tensor *A = &c->adapter->modules[1].tensors[0], *B = &c->adapter->modules[1].tensors[1];
  A->ndim = B->ndim = 4;
  memcpy(A->shape, (int64_t[]){1, 2, 2, 1}, 4 * sizeof *A->shape);
  memcpy(B->shape, (int64_t[]){6, 1, 1, 1}, 4 * sizeof *B->shape);
  c->adapter->labels = ld_alloc(3, sizeof *c->adapter->labels), c->adapter->n_labels = 3;
  for (int i = 0; i < 3; i++) c->adapter->labels[i] = ld_strdup(names[i]);
  return c;
}

static void same_trainer(const ld_checkpoint *a, const ld_checkpoint *b) {
  static const size_t sizes[] = {10, 6, 4, 6, 6, 1};
  const ld_progress *p = &a->progress, *q = &b->progress;
  cr_assert(a->has_trainer && b->has_trainer);
  for (int i = 0; i < 6; i++) {
    same_floats(a->m[i], b->m[i], sizes[i]);
    same_floats(a->v[i], b->v[i], sizes[i]);
  }
  cr_assert(p->step == q->step && p->epoch == q->epoch && p->position == q->position && p->seed == q->seed);
  cr_assert(p->tokens == q->tokens && p->best_step == q->best_step && p->best_loss == q->best_loss);
  cr_assert_eq(p->best_cost, q->best_cost);
  cr_assert(p->n_exponents == q->n_exponents && memcmp(p->exponents, q->exponents, 6 * sizeof(int32_t)) == 0);
}

Test(checkpoint, everything_comes_back) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "c.h5");
  for (int trainer = 0; trainer < 2; trainer++) {
    ld_checkpoint *c = small_checkpoint(trainer, 3);
    write_good(path, c);
    ld_checkpoint *back = read_good(path);
    same_adapter(c->adapter, back->adapter);
    cr_assert_str_eq(c->config, back->config);
    cr_assert_eq(back->has_trainer, trainer);
    if (trainer) same_trainer(c, back);
    ld_checkpoint_free(c), ld_checkpoint_free(back);
  }
  free(path);
  scratch_end(folder);
}

Test(checkpoint, kernels_and_labels_come_back) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "c.h5");
  ld_checkpoint *c = classifier_checkpoint();
  write_good(path, c);
  ld_checkpoint *back = read_good(path);
  same_adapter(c->adapter, back->adapter);
  same_trainer(c, back);
  cr_assert_eq(back->adapter->n_labels, 3);
  for (int i = 0; i < 3; i++) cr_assert_str_eq(back->adapter->labels[i], c->adapter->labels[i]);
  ld_checkpoint_free(c), ld_checkpoint_free(back);
  free(path);
  scratch_end(folder);
}

/* Written by a version without kernels and labels. */
Test(checkpoint, files_of_version_1_are_read) {
  ld_checkpoint *c = read_good(LD_TESTS_DIR "/golden/files/version1.h5");
  cr_assert_gt(c->adapter->n_modules, 0);
  for (size_t i = 0; i < c->adapter->n_modules; i++) {
    const ld_adapter_module *m = &c->adapter->modules[i];
    cr_assert_str_eq(m->kind, "lora");
    cr_assert(m->n_tensors == 2 && m->tensors[0].ndim == 2 && m->tensors[1].ndim == 2);
    cr_assert_eq(ld_low_rank_check(m, "t", NULL), 0);
  }
  cr_assert_eq(c->adapter->n_labels, 0);
  ld_checkpoint_free(c);
}

/* With a kernel, labels and a head that is trained in full. */
Test(checkpoint, files_of_version_2_are_read) {
  ld_checkpoint *c = read_good(LD_TESTS_DIR "/golden/files/version2.h5");
  cr_assert_eq(c->adapter->n_modules, 2);
  const ld_adapter_module *stem = &c->adapter->modules[0], *head = &c->adapter->modules[1];
  cr_assert_str_eq(stem->path, "resnet.embedder.embedder.convolution");
  cr_assert_eq(ld_low_rank_check(stem, "t", NULL), 0);
  cr_assert_arr_eq(stem->tensors[0].shape, ((int64_t[]){1, 3, 7, 7}), 4 * sizeof(int64_t));
  cr_assert_arr_eq(stem->tensors[1].shape, ((int64_t[]){8, 1, 1, 1}), 4 * sizeof(int64_t));
  cr_assert_str_eq(head->path, "classifier.1");
  cr_assert(ld_adapter_is_whole(head) && head->n_tensors == 2);
  cr_assert(c->adapter->n_labels == 2 && !strcmp(c->adapter->labels[1], "odd"));
  cr_assert(c->has_trainer && c->m && c->v && c->progress.step == 1 && c->progress.n_exponents == 4);
  for (int i = 0; i < 4; i++) cr_assert(c->m[i] && c->v[i]);
  ld_checkpoint_free(c);
}

Test(checkpoint, equal_contents_are_equal_files) {
  char *folder = scratch_new(), *a = ld_path_join(folder, "a.h5"), *b = ld_path_join(folder, "b.h5");
  ld_checkpoint *c = small_checkpoint(true, 3);
  size_t n, m;
  write_good(a, c);
  sleep(1);
  write_good(b, c);
  char *x = scratch_read(a, &n), *y = scratch_read(b, &m);
  cr_assert(n == m && memcmp(x, y, n) == 0);
  ld_checkpoint_free(c);
  free(x), free(y), free(a), free(b);
  scratch_end(folder);
}

Test(checkpoint, a_large_array_and_a_long_config) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "c.h5");
  ld_checkpoint *c = small_checkpoint(false, 0);
  add_module(c->adapter, "big", 3, 400000, 7);
  free(c->config);
  c->config = ld_alloc(200001, 1);
  memset(c->config, 'x', 200000);
  write_good(path, c);
  ld_checkpoint *back = read_good(path);
  same_adapter(c->adapter, back->adapter);
  cr_assert_str_eq(c->config, back->config);
  ld_checkpoint_free(c), ld_checkpoint_free(back);
  free(path);
  scratch_end(folder);
}

/* Changes one byte in place: writing the whole file each time would wait for the disk. */
static void put_byte(int fd, size_t at, char byte) {
  cr_assert_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
}

Test(checkpoint, every_flipped_byte_is_an_error) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "c.h5");
  ld_checkpoint *c = small_checkpoint(true, 3), *back;
  size_t length;
  write_good(path, c);
  char *bytes = scratch_read(path, &length);
  const int fd = open(path, O_WRONLY);
  for (size_t i = 0; i < length; i++) {
    put_byte(fd, i, (char)(bytes[i] ^ 1 << i % 8));
    cr_assert_eq(ld_checkpoint_read(path, &back, NULL), LD_EFORMAT, "flipped at %zu", i);
    put_byte(fd, i, bytes[i]);
  }
  close(fd);
  ld_checkpoint_free(read_good(path));
  ld_checkpoint_free(c);
  free(bytes), free(path);
  scratch_end(folder);
}

/* A new seal for each flip, so that HDF5 and our reading of its tree have to cope with it. */
Test(checkpoint, flips_under_a_new_seal_are_survived) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "c.h5");
  ld_checkpoint *c = classifier_checkpoint(), *back;
  size_t length, refused = 0;
  write_good(path, c);
  char *bytes = scratch_read(path, &length), seal[LD_SEAL_BYTES];
  const int fd = open(path, O_WRONLY);
  for (size_t i = LD_SEAL_BYTES; i < length; i += 61) {
    bytes[i] ^= (char)(1 << i % 8);
    ld_seal_make(bytes, length, seal);
    cr_assert_eq(pwrite(fd, seal, sizeof seal, 0), sizeof seal);
    put_byte(fd, i, bytes[i]);
    bytes[i] ^= (char)(1 << i % 8);
    const bool bad = ld_checkpoint_read(path, &back, NULL) != 0;
    cr_assert(bad == !back);
    ld_checkpoint_free(back);
    refused += bad;
    put_byte(fd, i, bytes[i]);
  }
  cr_assert_gt(refused, 10);
  close(fd);
  ld_checkpoint_free(c);
  free(bytes), free(path);
  scratch_end(folder);
}

Test(checkpoint, every_truncation_is_an_error) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "c.h5");
  ld_checkpoint *c = small_checkpoint(true, 3), *back;
  size_t length;
  write_good(path, c);
  free(scratch_read(path, &length));
  while (length > 0) {
    length -= length > 1200 ? 97 : length > 7 ? 7 : length;
    cr_assert_eq(truncate(path, (off_t)length), 0);
    cr_assert_eq(ld_checkpoint_read(path, &back, NULL), LD_EFORMAT, "cut at %zu", length);
  }
  ld_checkpoint_free(c);
  free(path);
  scratch_end(folder);
}

Test(checkpoint, other_files_are_no_checkpoints) {
  char *folder = scratch_new();
  ld_checkpoint *back;
  ld_error err = {0};
  char *empty = scratch_file(folder, "e.h5", "", 0), *text = scratch_file(folder, "t.h5", "hello", 5);
  cr_assert_eq(ld_checkpoint_read(empty, &back, &err), LD_EFORMAT);
  cr_assert_eq(ld_checkpoint_read(text, &back, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, text));
  cr_assert_eq(ld_checkpoint_read(folder, &back, &err), LD_EFILE);
  free(empty), free(text);
  scratch_end(folder);
}

static void count_warning(const char *path, const ld_error *why, void *user) {
  const bool finished = strstr(path, "step-00000040.h5");
  cr_assert(finished || strstr(path, "step-00000030.h5"));
  cr_assert(why->code == (finished ? LD_EMISMATCH : LD_EFORMAT) && why->text[0]);
  ++*(int *)user;
}

Test(checkpoint, the_newest_good_one_is_found) {
  char *folder = scratch_new(), *path;
  int warnings = 0;
  cr_assert_null(ld_checkpoint_newest(folder, &path, count_warning, &warnings));
  for (int step = 10; step <= 40; step += 10) {
    char name[32];
    snprintf(name, sizeof name, "step-%08d.h5", step);
    char *file = ld_path_join(folder, name);
    ld_checkpoint *c = small_checkpoint(step < 40, step); /* the last one is a finished adapter */
    write_good(file, c);
    if (step == 30) cr_assert_eq(truncate(file, 900), 0);
    ld_checkpoint_free(c);
    free(file);
  }
  scratch_text(folder, "step-x.h5", "not one of ours");
  ld_checkpoint *found = ld_checkpoint_newest(folder, &path, count_warning, &warnings);
  cr_assert(found && found->progress.step == 20 && strstr(path, "step-00000020.h5"));
  cr_assert_eq(warnings, 2);
  ld_checkpoint_free(found);
  free(path);
  cr_assert_null(ld_checkpoint_newest("/nowhere", &path, NULL, NULL));
  scratch_end(folder);
}

static void put_step(const char *folder, const char *name, int64_t step) {
  char *file = ld_path_join(folder, name);
  ld_checkpoint *c = small_checkpoint(true, step);
  write_good(file, c);
  ld_checkpoint_free(c);
  free(file);
}

static void expect_names(const char *folder, const char *const *expected, size_t n_expected) {
  size_t n;
  char **left = ld_folder_names(folder, &n, NULL);
  cr_assert_eq(n, n_expected, "%zu files are left", n);
  for (size_t i = 0; i < n; i++) cr_assert_str_eq(left[i], expected[i]);
  ld_names_free(left, n);
}

Test(checkpoint, pruning_keeps_the_newest_and_the_spared) {
  char *folder = scratch_new();
  static const char *const names[] = {"step-1.h5", "step-00000002.h5", "step-100000000.h5",
                                      "step-00000040.h5", "best.h5"};
  for (int i = 0; i < 5; i++) put_step(folder, names[i], i);
  ld_checkpoint_prune(folder, 0, NULL);
  ld_checkpoint_prune(folder, 2, "some/where/step-1.h5");
  static const char *const left[] = {"best.h5", "step-00000040.h5", "step-1.h5", "step-100000000.h5"};
  expect_names(folder, left, 4);
  scratch_end(folder);
}

/* However many damaged ones there are, they never displace a good one; they are removed once there are enough
 * later good ones. */
Test(checkpoint, pruning_counts_the_good_ones) {
  char *folder = scratch_new();
  for (int step = 1; step <= 6; step++) {
    char *name = ld_format("step-%d.h5", step), *file = ld_path_join(folder, name);
    put_step(folder, name, step);
    if (step > 3) cr_assert_eq(truncate(file, step == 6 ? 0 : 900), 0);
    free(name), free(file);
  }
  ld_checkpoint_prune(folder, 2, NULL);
  static const char *const left[] = {"step-2.h5", "step-3.h5", "step-4.h5", "step-5.h5", "step-6.h5"};
  expect_names(folder, left, 5);
  put_step(folder, "step-7.h5", 7);
  put_step(folder, "step-8.h5", 8);
  ld_checkpoint_prune(folder, 2, "step-8.h5");
  static const char *const later[] = {"step-6.h5", "step-7.h5",
                                      "step-8.h5"}; /* an empty file may be anybody's */
  expect_names(folder, later, 3);
  scratch_end(folder);
}

Test(checkpoint, pruning_leaves_links_and_files_of_others) {
  char *folder = scratch_new(), *other = scratch_new();
  put_step(other, "step-1.h5", 1);
  char *target = ld_path_join(other, "step-1.h5"), *link = ld_path_join(folder, "step-1.h5");
  cr_assert_eq(symlink(target, link), 0);
  scratch_text(folder, "step-2.h5", "somebody's images");
  for (int step = 3; step <= 5; step++) {
    char *name = ld_format("step-%d.h5", step);
    put_step(folder, name, step);
    free(name);
  }
  ld_checkpoint_prune(folder, 1, NULL);
  static const char *const left[] = {"step-1.h5", "step-2.h5", "step-5.h5"};
  expect_names(folder, left, 3);
  cr_assert(ld_file_exists(target));
  free(target), free(link);
  scratch_end(folder);
  scratch_end(other);
}

Test(checkpoint, the_writer_refuses_bad_paths_and_missing_moments) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "c.h5");
  static const char *const bad[] = {"", "a/b", "..", ".", "a..b", "a b", "a\n", "\xff"};
  ld_error err = {0};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ld_checkpoint *c = small_checkpoint(false, 0);
    free(c->adapter->modules[1].path);
    c->adapter->modules[1].path = ld_strdup(bad[i]);
    cr_assert_eq(ld_checkpoint_write(path, c, &err), LD_EMISMATCH, "'%s'", bad[i]);
    ld_checkpoint_free(c);
  }
  ld_checkpoint *c = small_checkpoint(true, 0);
  free(c->v[3]);
  c->v[3] = NULL;
  cr_assert_eq(ld_checkpoint_write(path, c, &err), LD_EMISMATCH);
  ld_checkpoint_free(c);
  cr_assert_not(ld_file_exists(path));
  free(path);
  scratch_end(folder);
}

/* After a failed write: the old file is intact, nothing else exists, and the next write works. */
static void check_survival(const char *folder, const char *path) {
  size_t n;
  ld_checkpoint *old = read_good(path);
  cr_assert_eq(old->progress.step, 1);
  char **names = ld_folder_names(folder, &n, NULL);
  cr_assert_eq(n, 1, "a temporary file stays");
  ld_names_free(names, n);
  ld_checkpoint_free(old);
}

Test(checkpoint, a_full_disk_by_limit_keeps_the_old_file) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "step-00000001.h5");
  ld_checkpoint *first = small_checkpoint(true, 1), *second = small_checkpoint(true, 2);
  ld_error err = {0};
  write_good(path, first);
  signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit = {3000, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
  cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
  cr_assert_eq(ld_checkpoint_write(path, second, &err), LD_EFILE);
  cr_assert(strstr(err.text, path) && strstr(err.text, "cannot write"), "%s", err.text);
  cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
  check_survival(folder, path);
  write_good(path, second);
  ld_checkpoint_free(first), ld_checkpoint_free(second);
  free(path);
  scratch_end(folder);
}

Test(checkpoint, a_full_disk_keeps_the_old_file) {
  char *folder = scratch_new();
  if (mount("tmpfs", folder, "tmpfs", 0, "size=64k") != 0) {
    rmdir(folder);
    free(folder);
    cr_skip_test("only root may mount");
  }
  char *path = ld_path_join(folder, "step-00000001.h5");
  ld_checkpoint *first = small_checkpoint(true, 1), *second = small_checkpoint(true, 2);
  ld_error err = {0};
  write_good(path, first);
  ld_adapter_tensor *A = &second->adapter->modules[0].tensors[0];
  free(A->data);
  A->data = numbers(2 * 40000, 0);
  A->shape[1] = 40000;
  free(second->m[0]), free(second->v[0]);
  second->m[0] = numbers(2 * 40000, 0), second->v[0] = numbers(2 * 40000, 0);
  const int code = ld_checkpoint_write(path, second, &err);
  check_survival(folder, path);
  cr_expect_eq(umount(folder), 0);
  cr_assert_eq(code, LD_EFILE);
  cr_assert(strstr(err.text, "No space left"), "%s", err.text);
  ld_checkpoint_free(first), ld_checkpoint_free(second);
  free(path);
  scratch_end(folder);
}
