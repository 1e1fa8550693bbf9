#include "io/state/checkpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/hub/adapter_labels.h"
#include "io/json.h"
#include "io/state/checkpoint_old.h"
#include "io/state/seal.h"
#include "io/state/store.h"
#include "io/state/store_hdf5.h"

#define FORMAT "lora_dist checkpoint"
#define ADAPTER "adapter/" /* before the path of a module */

enum { VERSION = 3 };

static void free_moments(float **moments, size_t n) {
  for (size_t i = 0; moments && i < n; i++) free(moments[i]);
  free(moments);
}

ld_adapter *ld_checkpoint_take_adapter(ld_checkpoint *checkpoint) {
  ld_adapter *adapter = checkpoint->adapter;
  const size_t n = adapter ? ld_adapter_n_tensors(adapter) : 0;
  free_moments(checkpoint->m, n);
  free_moments(checkpoint->v, n);
  free(checkpoint->progress.exponents);
  free(checkpoint->config);
  free(checkpoint);
  return adapter;
}

void ld_checkpoint_free(ld_checkpoint *checkpoint) {
  if (checkpoint) ld_adapter_free(ld_checkpoint_take_adapter(checkpoint));
}

static void put_root(ld_store *store, const ld_checkpoint *c) {
  const ld_adapter *a = c->adapter;
  ld_text labels = {0};
  ld_store_put_text(store, "", "format", FORMAT);
  ld_store_put_integer(store, "", "version", VERSION);
  ld_store_put_text(store, "", "architecture", a->architecture);
  ld_store_put_text(store, "", "base_name", a->base_name);
  ld_store_put_text(store, "", "base_digest", a->base_digest);
  ld_store_put_text(store, "", "config", c->config ? c->config : "{}");
  ld_store_put_integer(store, "", "rank", a->rank);
  ld_store_put_real(store, "", "alpha", a->alpha);
  ld_store_put_real(store, "", "dropout", a->dropout);
  ld_store_put_integer(store, "", "rslora", a->rslora);
  ld_store_put_integer(store, "", "fan_in_fan_out", a->fan_in_fan_out);
  ld_store_put_text(store, "", "task_type", a->task_type);
  ld_store_put_text(store, "", "problem_type", a->problem);
  if (a->n_labels) ld_adapter_labels_put_list(&labels, a);
  ld_store_put_text(store, "", "labels", labels.bytes);
  ld_text_free(&labels);
}

/* `data` has the tensor's shape. */
static void put_tensor(ld_store *store, const char *group, const ld_adapter_tensor *t, const float *data) {
  ld_stored tensor = {.data = data, .dtype = LD_F32, .ndim = t->ndim};
  memcpy(tensor.shape, t->shape, sizeof tensor.shape);
  ld_store_put_tensor(store, group, t->role, &tensor);
}

static void put_module(ld_store *store, const ld_adapter_module *m) {
  char *group = ld_format(ADAPTER "%s", m->path);
  ld_store_put_text(store, group, "kind", m->kind);
  if (m->rank) {
    ld_store_put_integer(store, group, "rank", m->rank);
    ld_store_put_real(store, group, "alpha", m->alpha);
    ld_store_put_real(store, group, "scaling", m->scaling);
  }
  for (size_t k = 0; k < m->n_tensors; k++) put_tensor(store, group, &m->tensors[k], m->tensors[k].data);
  free(group);
}

static void put_moments(ld_store *store, const char *which, const ld_adapter *a, float *const *moments) {
  for (size_t i = 0, n = 0; i < a->n_modules; i++) {
    char *group = ld_format("optimizer/%s/%s", which, a->modules[i].path);
    for (size_t k = 0; k < a->modules[i].n_tensors; k++)
      put_tensor(store, group, &a->modules[i].tensors[k], moments[n++]);
    free(group);
  }
}

static void put_trainer(ld_store *store, const ld_progress *p) {
  const ld_stored exponents = {
      .data = p->exponents, .dtype = LD_I32, .ndim = 1, .shape = {(int64_t)p->n_exponents}};
  ld_store_put_integer(store, "trainer", "step", p->step);
  ld_store_put_integer(store, "trainer", "epoch", p->epoch);
  ld_store_put_integer(store, "trainer", "position", p->position);
  ld_store_put_integer(store, "trainer", "seed", (int64_t)p->seed);
  ld_store_put_integer(store, "trainer", "tokens", p->tokens);
  ld_store_put_real(store, "trainer", "best_loss", p->best_loss);
  ld_store_put_integer(store, "trainer", "best_step", p->best_step);
  if (p->best_cost != p->best_loss) ld_store_put_real(store, "trainer", "best_cost", p->best_cost);
  if (p->n_exponents) ld_store_put_tensor(store, "trainer", "exponents", &exponents);
}

static void put_checkpoint(ld_store *store, const ld_checkpoint *c) {
  put_root(store, c);
  for (size_t i = 0; i < c->adapter->n_modules; i++) put_module(store, &c->adapter->modules[i]);
  if (!c->has_trainer) return;
  put_moments(store, "m", c->adapter, c->m);
  put_moments(store, "v", c->adapter, c->v);
  put_trainer(store, &c->progress);
}

/* What is written, and where. */
typedef struct sink {
  const char *part, *path;
} sink;

static int take_image(const char *bytes, size_t length, void *user, ld_error *err) {
  const sink *to = user;
  char seal[LD_SEAL_BYTES];
  const int fd = open(to->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return ld_file_fail(to->part, "cannot create", err);
  ld_seal_make(bytes, length, seal);
  int code = ld_write_all(fd, seal, sizeof seal, to->path, err);
  if (!code) code = ld_write_all(fd, bytes + LD_SEAL_BYTES, length - LD_SEAL_BYTES, to->path, err);
  return ld_close_written(fd, to->path, code, err);
}

static int read_store(const void *bytes, size_t length, const char *name, ld_store *store, ld_error *err) {
  const int code = ld_seal_check(bytes, length, name, err);
  return code ? code : ld_store_decode(bytes, length, name, store, err);
}

/* Checks that the file reads back as it was meant. */
static int verify(const sink *to, const ld_store *meant, ld_error *err) {
  ld_map map;
  ld_store found = {0};
  ld_error why = {0};
  int code = ld_map_open(to->part, &map, &why);
  if (!code) code = read_store(map.bytes, map.length, to->part, &found, &why);
  if (code)
    code = ld_fail(err, LD_EFILE, "%s: was not written correctly: %s", to->path, why.text);
  else if (ld_store_hash(&found) != ld_store_hash(meant))
    code =
        ld_fail(err, LD_EFILE, "%s: was not written correctly: it reads back with other contents", to->path);
  ld_map_close(&map);
  ld_store_free(&found);
  return code;
}

static int check_parts(const char *path, const ld_checkpoint *c, ld_error *err) {
  int code = ld_adapter_check(c->adapter, path, err);
  if (code || !c->has_trainer) return code;
  for (size_t i = 0; i < ld_adapter_n_tensors(c->adapter); i++)
    if (!c->m || !c->v || !c->m[i] || !c->v[i])
      return ld_fail(err, LD_EMISMATCH, "%s: the moments of parameter %zu are missing", path, i);
  return 0;
}

int ld_checkpoint_write(const char *path, const ld_checkpoint *checkpoint, ld_error *err) {
  int code = check_parts(path, checkpoint, err);
  if (code) return code;
  char *part = ld_file_begin(path, err);
  if (!part) return LD_EFILE;
  sink to = {part, path};
  ld_store store = {0};
  put_checkpoint(&store, checkpoint);
  code = ld_store_encode(&store, LD_SEAL_BYTES, path, take_image, &to, err);
  if (!code) code = verify(&to, &store, err);
  ld_store_free(&store);
  return ld_file_end(part, path, code, err);
}

/* NULL where the store does not have it. */
static char *copy_text(ld_store *store, const char *name) {
  const ld_attribute *found = ld_store_attribute(store, "", name);
  return found && found->type == LD_ATTRIBUTE_TEXT ? ld_strdup(found->text) : NULL;
}

static int take_labels(ld_store *store, ld_adapter *adapter, ld_error *err) {
  const ld_attribute *labels = ld_store_attribute(store, "", "labels");
  if (!labels || labels->type != LD_ATTRIBUTE_TEXT) return 0;
  ld_value *tree = ld_json_parse(labels->text, strlen(labels->text), "labels", err);
  const int code = tree ? ld_adapter_labels_read(tree, "labels", adapter, err) : LD_EFORMAT;
  ld_value_free(tree);
  return code;
}

static int take_root(ld_store *store, ld_checkpoint *c, int64_t *version, ld_error *err) {
  ld_adapter *a = c->adapter;
  const char *format;
  int64_t rank = 0, rslora = 0, fan_in_fan_out = 0;
  int code = ld_store_text(store, "", "format", &format, err);
  if (!code && strcmp(format, FORMAT) != 0) code = ld_fail(err, LD_EFORMAT, "not a lora_dist checkpoint");
  if (!code) code = ld_store_integer(store, "", "version", 1, INT64_MAX, version, err);
  if (!code && *version > VERSION)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "is a checkpoint of version %lld; this program reads up to version %d",
                   (long long)*version, (int)VERSION);
  if (!code) code = ld_store_integer(store, "", "rank", 0, LD_MOST_RANK, &rank, err);
  if (!code) code = ld_store_real(store, "", "alpha", &a->alpha, err);
  if (!code) code = ld_store_real(store, "", "dropout", &a->dropout, err);
  if (!code) code = ld_store_integer(store, "", "rslora", 0, 1, &rslora, err);
  if (!code) code = ld_store_integer(store, "", "fan_in_fan_out", 0, 1, &fan_in_fan_out, err);
  a->rank = (int)rank, a->rslora = rslora, a->fan_in_fan_out = fan_in_fan_out;
  a->architecture = copy_text(store, "architecture");
  a->base_name = copy_text(store, "base_name");
  a->base_digest = copy_text(store, "base_digest");
  a->task_type = copy_text(store, "task_type");
  a->problem = copy_text(store, "problem_type");
  c->config = copy_text(store, "config");
  if (!c->config) c->config = ld_strdup("{}");
  return code ? code : take_labels(store, a, err);
}

/* The module of a group, without its tensors. */
static int take_module(ld_store *store, const char *group, ld_adapter *adapter, ld_error *err) {
  const char *kind;
  int64_t rank = 0;
  int code = ld_store_text(store, group, "kind", &kind, err);
  if (code) return code;
  ld_adapter_module *m = ld_adapter_add(adapter, group + strlen(ADAPTER), kind);
  if (ld_store_attribute(store, group, "rank")) {
    code = ld_store_integer(store, group, "rank", 1, LD_MOST_RANK, &rank, err);
    if (!code) code = ld_store_real(store, group, "alpha", &m->alpha, err);
    if (!code) code = ld_store_real(store, group, "scaling", &m->scaling, err);
  }
  m->rank = (int)rank;
  return code;
}

/* The tensor's module was taken before. */
static int take_tensor(ld_store_tensor *from, ld_adapter *adapter, ld_error *err) {
  ld_adapter_module *m = ld_adapter_module_at(adapter, from->group + strlen(ADAPTER));
  if (!m || from->tensor.dtype != LD_F32)
    return ld_fail(err, LD_EFORMAT, "'%s' is not a trained tensor", from->name);
  ld_adapter_put(m, from->name, from->tensor.ndim, from->tensor.shape, ld_store_take(from));
  return 0;
}

static int take_moment(ld_store *store, const char *group, const ld_adapter_tensor *t, float **out,
                       ld_error *err) {
  ld_store_tensor *found = ld_store_find(store, group, t->role);
  if (!found || found->tensor.dtype != LD_F32 || found->tensor.ndim != t->ndim ||
      memcmp(found->tensor.shape, t->shape, (size_t)t->ndim * sizeof *t->shape) != 0)
    return ld_fail(err, LD_EFORMAT, "'%s/%s' is missing, or has another shape than its tensor", group,
                   t->role);
  *out = ld_store_take(found);
  return 0;
}

static int take_moments(ld_store *store, const char *which, const ld_adapter *a, float ***out,
                        ld_error *err) {
  int code = 0;
  *out = ld_alloc(ld_adapter_n_tensors(a), sizeof **out);
  for (size_t i = 0, n = 0; i < a->n_modules && !code; i++) {
    char *group = ld_format("optimizer/%s/%s", which, a->modules[i].path);
    for (size_t k = 0; k < a->modules[i].n_tensors && !code; k++)
      code = take_moment(store, group, &a->modules[i].tensors[k], &(*out)[n++], err);
    free(group);
  }
  return code;
}

static int take_adapter(ld_store *store, ld_checkpoint *c, ld_error *err) {
  int code = 0;
  for (size_t i = 0; i < store->n_groups && !code; i++)
    if (!strncmp(store->groups[i], ADAPTER, strlen(ADAPTER)))
      code = take_module(store, store->groups[i], c->adapter, err);
  for (size_t i = 0; i < store->n_tensors && !code; i++)
    if (!strncmp(store->tensors[i].group, ADAPTER, strlen(ADAPTER)))
      code = take_tensor(&store->tensors[i], c->adapter, err);
  if (code || !ld_store_has(store, "trainer")) return code;
  code = take_moments(store, "m", c->adapter, &c->m, err);
  return code ? code : take_moments(store, "v", c->adapter, &c->v, err);
}

static int take_exponents(ld_store *store, ld_progress *p, ld_error *err) {
  ld_store_tensor *found = ld_store_find(store, "trainer", "exponents");
  if (!found) return 0;
  if (found->tensor.dtype != LD_I32 || found->tensor.ndim != 1)
    return ld_fail(err, LD_EFORMAT, "'trainer/exponents' has an unusable shape");
  p->n_exponents = (size_t)found->tensor.shape[0];
  p->exponents = ld_store_take(found);
  return 0;
}

static int take_trainer(ld_store *store, ld_checkpoint *c, ld_error *err) {
  ld_progress *p = &c->progress;
  int64_t seed = 0;
  c->has_trainer = ld_store_has(store, "trainer");
  if (!c->has_trainer) return 0;
  int code = ld_store_integer(store, "trainer", "step", 0, INT64_MAX, &p->step, err);
  if (!code) code = ld_store_integer(store, "trainer", "epoch", 0, INT64_MAX, &p->epoch, err);
  if (!code) code = ld_store_integer(store, "trainer", "position", 0, INT64_MAX, &p->position, err);
  if (!code) code = ld_store_integer(store, "trainer", "seed", INT64_MIN, INT64_MAX, &seed, err);
  if (!code) code = ld_store_integer(store, "trainer", "tokens", 0, INT64_MAX, &p->tokens, err);
  if (!code) code = ld_store_real(store, "trainer", "best_loss", &p->best_loss, err);
  if (!code) code = ld_store_integer(store, "trainer", "best_step", -1, INT64_MAX, &p->best_step, err);
  p->seed = (uint64_t)seed;
  /* There where it is not the loss. */
  if (!code && ld_store_real(store, "trainer", "best_cost", &p->best_cost, NULL)) p->best_cost = p->best_loss;
  return code ? code : take_exponents(store, p, err);
}

static int take_checkpoint(ld_store *store, ld_checkpoint *c, ld_error *err) {
  int64_t version = 0;
  int code = take_root(store, c, &version, err);
  if (!code)
    code = version == VERSION ? take_adapter(store, c, err)
                              : ld_checkpoint_take_old(store, c->adapter, &c->m, &c->v, err);
  return code ? code : take_trainer(store, c, err);
}

int ld_checkpoint_parse(const void *bytes, size_t length, const char *name, ld_checkpoint **out,
                        ld_error *err) {
  ld_store store = {0};
  ld_checkpoint *c = NULL;
  *out = NULL;
  int code = read_store(bytes, length, name, &store, err);
  if (!code) {
    c = ld_alloc(1, sizeof *c);
    c->adapter = ld_alloc(1, sizeof *c->adapter);
    code = take_checkpoint(&store, c, err);
    if (code) ld_fail_prefix(err, code, "%s", name);
    if (!code) code = ld_adapter_check(c->adapter, name, err);
  }
  ld_store_free(&store);
  if (code) ld_checkpoint_free(c);
  if (!code) *out = c;
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
