/* Any bytes as a config.json and, after a NUL, a safetensors header that says which tensors there are. The
 * model is built from these, each in memory of its exact size, and a small one runs, so that no accepted
 * configuration leads beyond a tensor. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"
#include "model/model.h"
#include "model/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_TENSORS = 400, MOST_ELEMENTS = 1 << 16, TOKENS = 3, SIDE = 9 };

typedef struct shelf {
  const ld_value *header;
  ld_stored tensors[MOST_TENSORS];
  const char *names[MOST_TENSORS];
  size_t n;
} shelf;

/* All elements are 0.5. */
static void *fill(ld_dtype dtype, size_t n) {
  void *bytes = malloc(n * ld_dtype_size(dtype) + (n == 0));
  float *half = ld_alloc(n, sizeof *half);
  for (size_t i = 0; i < n; i++) half[i] = 0.5f;
  if (ld_dtype_is_float(dtype))
    ld_dtype_from_f32(bytes, half, dtype, (int64_t)n);
  else
    memset(bytes, 0, n * ld_dtype_size(dtype));
  free(half);
  return bytes;
}

static bool read_entry(const ld_value *entry, ld_stored *out) {
  const ld_value *shape = ld_value_get(entry, "shape"), *dtype = ld_value_get(entry, "dtype");
  int64_t count;
  if (!shape || shape->type != LD_LIST || shape->n_items > LD_MAX_DIMS) return false;
  if (!dtype || dtype->type != LD_STRING || !ld_dtype_parse(dtype->string, &out->dtype)) return false;
  out->ndim = (int)shape->n_items;
  for (size_t i = 0; i < shape->n_items; i++) out->shape[i] = shape->items[i].integer;
  return ld_shape_count(out->shape, out->ndim, &count) && count <= MOST_ELEMENTS;
}

static const ld_stored *find(void *self, const char *name, int block) {
  shelf *s = self;
  (void)block;
  for (size_t i = 0; i < s->n; i++)
    if (!strcmp(s->names[i], name)) return &s->tensors[i];
  const ld_value *entry = ld_value_get(s->header, name);
  ld_stored tensor = {0};
  if (s->n == MOST_TENSORS || !read_entry(entry, &tensor)) return NULL;
  tensor.data = fill(tensor.dtype, (size_t)ld_stored_count(&tensor));
  s->names[s->n] = entry->key;
  s->tensors[s->n] = tensor;
  return &s->tensors[s->n++];
}

static void run(const ld_model *model) {
  static const int32_t zeros[TOKENS], positions[TOKENS] = {0, 1, 2}, segment[] = {0, TOKENS};
  static float pixels[LD_MAX_DIMS * SIDE * SIDE];
  const ld_field text = {.name = LD_TEXT,
                         .n_rows = TOKENS,
                         .n_segments = 1,
                         .segment = segment,
                         .ids = zeros,
                         .positions = positions,
                         .types = zeros};
  const ld_field image = {.name = LD_IMAGE,
                          .n_rows = 1,
                          .numbers = pixels,
                          .channels = model->channels,
                          .height = SIDE,
                          .width = SIDE};
  const ld_batch batch = {.fields = {!strcmp(model->family->input, LD_IMAGE) ? image : text}};
  if (model->diffusion) return; /* its passes need more than one field */
  if (!strcmp(model->family->input, LD_IMAGE) ? model->channels > LD_MAX_DIMS : model->max_positions < TOKENS)
    return;
  ld_tape *tape = ld_tape_create();
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    ld_model_logits(model, tape, &batch);
    if (dry && (ld_tape_bytes(tape) > 1 << 24 || !ld_tape_reserve(tape))) break;
  }
  ld_tape_free(tape);
}

static void build(const ld_value *config, const ld_weight_store *weights, const ld_head_request *request) {
  ld_model *model = NULL;
  ld_error err = {0};
  const int rc = ld_model_build(config, weights, request, &model, &err);
  if (rc && (model || rc != err.code || !err.text[0])) abort();
  if (rc) return;
  for (int i = 0; i < 3; i++) ld_model_label(config, i);
  if (model->n_parameters < 1 << 20) run(model);
  ld_model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  const char *end = size ? memchr(text, 0, size) : NULL;
  if (!end) return 0;
  ld_value *config = ld_json_parse(text, (size_t)(end - text), "fuzz", NULL);
  ld_value *header = ld_json_parse(end + 1, size - (size_t)(end - text) - 1, "fuzz", NULL);
  shelf s = {.header = header};
  const ld_weight_store weights = {.source = "fuzz", .self = &s, .find = find};
  if (config && header && config->type == LD_MAP) {
    build(config, &weights, NULL);
    const ld_family *families[LD_MOST_HEADS] = {0};
    const int n = ld_model_families(config, "fuzz", families, NULL);
    build(config, &weights, &(ld_head_request){.n_outputs = 3});
    for (int i = 0; i < n; i++)
      build(config, &weights, &(ld_head_request){.family = families[i], .n_outputs = 3});
  }
  for (size_t i = 0; i < s.n; i++) free((void *)(uintptr_t)s.tensors[i].data);
  ld_value_free(config);
  ld_value_free(header);
  return 0;
}
