#include "model/build.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { NAME_LENGTH = 256 };

void *ld_build_alloc(ld_builder *builder, size_t count, size_t size) {
  ld_model *model = builder->model;
  model->owned = ld_grow(model->owned, model->n_owned, &model->room_owned, sizeof *model->owned);
  return model->owned[model->n_owned++] = ld_alloc(count, size);
}

static void config_failed(ld_builder *builder) {
  builder->failed = ld_fail_prefix(builder->err, LD_EFORMAT, "%s/config.json", builder->weights->source);
}

void ld_build_refuse(ld_builder *builder, const char *key, const char *format, ...) {
  if (builder->failed) return;
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  builder->failed =
      ld_fail(builder->err, LD_EUNSUPPORTED, "%s/config.json: %s %s", builder->weights->source, key, text);
}

int ld_build_size(ld_builder *builder, const char *key, int fallback) {
  int64_t value = fallback;
  if (builder->failed) return 1;
  if (ld_value_int(builder->config, key, fallback, &value, builder->err)) {
    config_failed(builder);
    return 1;
  }
  /* The bound keeps products of two sizes within 64 bits and single sizes within an int. */
  if (value >= 1 && value <= 1 << 28) return (int)value;
  const bool missing = !ld_value_get(builder->config, key);
  ld_fail(builder->err, LD_EFORMAT, missing ? "%s is missing" : "%s must be between 1 and 268435456", key);
  config_failed(builder);
  return 1;
}

double ld_build_real(ld_builder *builder, const char *key, double fallback) {
  double value = fallback;
  if (!builder->failed && ld_value_real(builder->config, key, fallback, &value, builder->err))
    config_failed(builder);
  return value;
}

bool ld_build_flag(ld_builder *builder, const char *key, bool fallback) {
  bool value = fallback;
  if (!builder->failed && ld_value_bool(builder->config, key, fallback, &value, builder->err))
    config_failed(builder);
  return value;
}

const char *ld_build_string(ld_builder *builder, const char *key, const char *fallback) {
  const char *value = fallback;
  if (!builder->failed && ld_value_string(builder->config, key, fallback, &value, builder->err))
    config_failed(builder);
  return value;
}

bool ld_build_has(const ld_builder *builder, const char *key) {
  for (size_t i = 0; i < builder->config->n_items; i++)
    if (!strcmp(builder->config->items[i].key, key)) return true;
  return false;
}

static const ld_stored *find(const ld_builder *builder, const char *name) {
  const ld_weights *weights = builder->weights;
  const ld_stored *tensor = weights->find(weights->self, name);
  if (tensor) return tensor;
  static const char *const prefixes[] = {"transformer.", "model."};
  for (int i = 0; i < 2; i++)
    if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
      return weights->find(weights->self, name + strlen(prefixes[i]));
  return NULL;
}

static void describe_shape(ld_text *text, const ld_stored *tensor) {
  ld_text_puts(text, "(");
  for (int i = 0; i < tensor->ndim; i++)
    ld_text_printf(text, "%s%lld", i ? ", " : "", (long long)tensor->shape[i]);
  ld_text_puts(text, ")");
}

/* The stored tensor of that name if it has the shape (rows, cols), or (cols) when rows is 0. */
static const ld_stored *require(ld_builder *builder, const char *name, int rows, int cols) {
  if (builder->failed) return NULL;
  const char *source = builder->weights->source;
  const ld_stored *tensor = find(builder, name);
  if (!tensor) {
    builder->failed = ld_fail(builder->err, LD_EFORMAT, "%s: tensor '%s' is missing: is the folder complete?",
                              source, name);
    return NULL;
  }
  if (tensor->dtype != LD_F32 && tensor->dtype != LD_F16 && tensor->dtype != LD_BF16) {
    builder->failed = ld_fail(builder->err, LD_EUNSUPPORTED,
                              "%s: tensor '%s' has dtype %s; F32, F16 and BF16 are supported", source, name,
                              ld_dtype_name(tensor->dtype));
    return NULL;
  }
  builder->model->n_parameters += ld_stored_count(tensor);
  if (rows ? tensor->ndim == 2 && tensor->shape[0] == rows && tensor->shape[1] == cols
           : tensor->ndim == 1 && tensor->shape[0] == cols)
    return tensor;
  ld_text found = {0};
  describe_shape(&found, tensor);
  const char *form = rows ? "%s: tensor '%s' has shape %s, but config.json asks for (%d, %d)"
                          : "%s: tensor '%s' has shape %s, but config.json asks for (%.0d%d)";
  builder->failed = ld_fail(builder->err, LD_EFORMAT, form, source, name, found.bytes, rows, cols);
  ld_text_free(&found);
  return NULL;
}

#define FORMAT_NAME(format)                                                                                  \
  char name[NAME_LENGTH];                                                                                    \
  va_list args;                                                                                              \
  va_start(args, format);                                                                                    \
  vsnprintf(name, sizeof name, format, args);                                                                \
  va_end(args)

static float *vector(ld_builder *builder, const char *name, int n) {
  const ld_stored *tensor = require(builder, name, 0, n);
  if (!tensor) return NULL;
  float *copy = ld_build_alloc(builder, (size_t)n, sizeof *copy);
  ld_dtype_to_f32(copy, tensor->data, tensor->dtype, 0, n);
  return copy;
}

static ld_weight matrix(ld_builder *builder, const char *name, int rows, int cols) {
  const ld_stored *tensor = require(builder, name, rows, cols);
  if (!tensor) return (ld_weight){.rows = rows, .cols = cols};
  return (ld_weight){tensor->data, tensor->dtype, rows, cols};
}

float *ld_build_vector(ld_builder *builder, int n, const char *format, ...) {
  FORMAT_NAME(format);
  return vector(builder, name, n);
}

ld_weight ld_build_matrix(ld_builder *builder, int rows, int cols, const char *format, ...) {
  FORMAT_NAME(format);
  return matrix(builder, name, rows, cols);
}

static void list_linear(ld_builder *builder, ld_linear *linear) {
  ld_model *model = builder->model;
  model->linears = ld_grow(model->linears, model->n_linears, &model->room_linears, sizeof(ld_linear *));
  model->linears[model->n_linears++] = linear;
}

static char *own_path(ld_builder *builder, const char *path) {
  char *copy = ld_build_alloc(builder, strlen(path) + 1, 1);
  return strcpy(copy, path);
}

void ld_build_linear(ld_builder *builder, ld_linear *linear, int in, int out, bool bias,
                     const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  char tensor[NAME_LENGTH + 8];
  *linear = (ld_linear){.path = own_path(builder, name), .in = in, .out = out};
  linear->transposed = builder->model->family->fan_in_fan_out;
  snprintf(tensor, sizeof tensor, "%s.weight", name);
  linear->weight = linear->transposed ? matrix(builder, tensor, in, out) : matrix(builder, tensor, out, in);
  snprintf(tensor, sizeof tensor, "%s.bias", name);
  if (bias) linear->bias = vector(builder, tensor, out);
  list_linear(builder, linear);
}

void ld_build_head(ld_builder *builder, bool tied, const ld_weight *embedding) {
  ld_model *model = builder->model;
  if (builder->failed) return;
  ld_linear *head = ld_build_alloc(builder, 1, sizeof *head);
  *head = (ld_linear){.path = own_path(builder, "lm_head"), .in = model->width, .out = model->vocab};
  head->weight = tied ? *embedding : matrix(builder, "lm_head.weight", model->vocab, model->width);
  model->head = head;
  model->head_tied = tied;
  list_linear(builder, head);
}

bool ld_any_adapted(const ld_linear *linears, int n) {
  for (int i = 0; i < n; i++)
    if (linears[i].lora) return true;
  return false;
}
