#include "model/build.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "linalg/codecs.h"

enum { NAME_LENGTH = 256 };

void *ld_build_own(ld_builder *builder, void *memory) {
  ld_model *model = builder->model;
  model->owned = ld_grow(model->owned, model->n_owned, &model->room_owned, sizeof *model->owned);
  return model->owned[model->n_owned++] = memory;
}

void *ld_build_alloc(ld_builder *builder, size_t count, size_t size) {
  return ld_build_own(builder, ld_alloc(count, size));
}

/* The folder of the config in use: the model's, or its component's. The caller frees. */
static char *config_folder(const ld_builder *builder) {
  const char *source = builder->weights->source, *component = builder->component;
  return component ? ld_format("%s/%s", source, component) : ld_strdup(source);
}

const char *ld_build_text(ld_builder *builder, const char *format, ...) {
  char text[NAME_LENGTH];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return strcpy(ld_build_alloc(builder, strlen(text) + 1, 1), text);
}

static void config_failed(ld_builder *builder) {
  char *folder = config_folder(builder);
  builder->failed = ld_fail_prefix(builder->err, LD_EFORMAT, "%s/config.json", folder);
  free(folder);
}

void ld_build_refuse(ld_builder *builder, const char *key, const char *format, ...) {
  if (builder->failed) return;
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  char *folder = config_folder(builder);
  builder->failed = ld_fail(builder->err, LD_EUNSUPPORTED, "%s/config.json: %s %s", folder, key, text);
  free(folder);
}

bool ld_build_component_begin(ld_builder *builder, const char *name, const char *body, const ld_key *keys) {
  const ld_value *config = ld_value_get(builder->whole, name);
  if (builder->failed || !config || config->type != LD_MAP) return false;
  builder->component = name;
  builder->body = body;
  builder->config = config;
  builder->keys[0] = keys;
  builder->keys[1] = NULL;
  builder->depth_key = builder->bias_key = NULL;
  builder->n_sizes = 0;
  if (ld_keys_check(config, keys, builder->err)) config_failed(builder);
  return !builder->failed;
}

void ld_build_component_end(ld_builder *builder) {
  builder->component = NULL;
  builder->body = builder->model->family->body;
  builder->config = builder->whole;
  builder->unlisted = builder->aside = false;
}

void ld_build_warn(ld_builder *builder, const char *format, ...) {
  ld_model *model = builder->model;
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  model->warnings = ld_grow(model->warnings, model->n_warnings, &model->room_warnings, sizeof(char *));
  model->warnings[model->n_warnings++] = strcpy(ld_build_alloc(builder, strlen(text) + 1, 1), text);
}

const char *ld_build_key(const ld_builder *builder, const char *key) {
  return ld_config_name(builder->config, builder->keys, key);
}

void ld_build_name_size(ld_builder *builder, const char *keys, int64_t size) {
  for (int i = 0; i < builder->n_sizes; i++)
    if (builder->sizes[i].size == size && !strcmp(builder->sizes[i].key, keys)) return;
  if (builder->n_sizes == LD_BUILD_SIZES) return;
  builder->sizes[builder->n_sizes].key = keys;
  builder->sizes[builder->n_sizes++].size = size;
}

static int integer(ld_builder *builder, const char *key, int least, int fallback) {
  int64_t value = fallback;
  if (builder->failed) return 1;
  key = ld_build_key(builder, key);
  if (ld_value_int(builder->config, key, fallback, &value, builder->err)) {
    config_failed(builder);
    return 1;
  }
  /* The bound keeps products of two sizes within 64 bits and single sizes within an int. */
  if (value >= least && value <= 1 << 28) {
    ld_build_name_size(builder, key, value);
    return (int)value;
  }
  const bool absent = !ld_value_get(builder->config, key);
  ld_fail(builder->err, LD_EFORMAT, absent ? "%s is missing" : "%s must be between %d and 268435456", key,
          least);
  config_failed(builder);
  return 1;
}

int ld_build_size(ld_builder *builder, const char *key, int fallback) {
  return integer(builder, key, 1, fallback);
}

int ld_build_index(ld_builder *builder, const char *key, int fallback) {
  return integer(builder, key, 0, fallback);
}

int ld_build_sizes(ld_builder *builder, const char *key, int *out, int n_fallback, int room) {
  const ld_value *list = ld_value_get(builder->config, key);
  if (builder->failed || !list) return n_fallback;
  bool good = list->type == LD_LIST && list->n_items >= 1 && list->n_items <= (size_t)room;
  for (size_t i = 0; good && i < list->n_items; i++) {
    good =
        list->items[i].type == LD_INTEGER && list->items[i].integer >= 1 && list->items[i].integer <= 1 << 16;
    out[i] = (int)list->items[i].integer;
  }
  if (good) return (int)list->n_items;
  ld_fail(builder->err, LD_EFORMAT, "%s must be a list of 1 to %d sizes from 1 to 65536", key, room);
  config_failed(builder);
  return n_fallback;
}

double ld_build_real(ld_builder *builder, const char *key, double fallback) {
  double value = fallback;
  if (!builder->failed &&
      ld_value_real(builder->config, ld_build_key(builder, key), fallback, &value, builder->err))
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
  return ld_value_member(builder->config, key) != NULL;
}

void ld_build_refuse_flag(ld_builder *builder, const char *key) {
  if (ld_build_flag(builder, key, false)) ld_build_refuse(builder, key, "is not supported");
}

/* PyTorch counts a negative one from the vocabulary's end. */
void ld_build_check_padding(ld_builder *builder) {
  const ld_value *pad = ld_value_get(builder->config, "pad_token_id");
  const int64_t vocab = builder->model->vocab;
  if (pad && (pad->integer >= vocab || pad->integer < -vocab))
    ld_build_refuse(builder, "pad_token_id", "(%lld) is not in the vocabulary: vocab_size is %d",
                    (long long)pad->integer, builder->model->vocab);
}

enum ld_activation ld_build_activation(ld_builder *builder, const char *key, const char *fallback) {
  return ld_build_activation_of(builder, key, ld_build_string(builder, key, fallback));
}

enum ld_activation ld_build_activation_of(ld_builder *builder, const char *key, const char *name) {
  static const struct {
    const char *name;
    enum ld_activation kind;
  } known[] = {{"gelu_new", LD_GELU_TANH},
               {"gelu_pytorch_tanh", LD_GELU_TANH},
               {"gelu_fast", LD_GELU_TANH},
               {"gelu", LD_GELU_ERF},
               {"relu", LD_RELU},
               {"silu", LD_SILU},
               {"swish", LD_SILU},
               {"tanh", LD_TANH},
               {"quick_gelu", LD_QUICK_GELU}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].name, name)) return known[i].kind;
  ld_build_refuse(builder, key, "\"%s\" is not supported", name);
  return LD_GELU_TANH;
}

int32_t ld_build_decoder_start(ld_builder *builder, int32_t fallback) {
  static const char key[] = "decoder_start_token_id";
  const ld_value *value = ld_value_get(builder->config, key);
  const int64_t id = value ? value->integer : ld_build_has(builder, key) ? -1 : fallback;
  if (!value && id < 0)
    ld_build_refuse(builder, key,
                    "is missing: give the token with which the decoder begins, for T5 the "
                    "padding token (0)");
  else if (id < 0 || id >= builder->model->vocab)
    ld_build_refuse(builder, key, "(%lld) is not in the vocabulary: vocab_size is %d", (long long)id,
                    builder->model->vocab);
  return (int32_t)id;
}

void ld_build_block_begin(ld_builder *builder) {
  builder->block = builder->n_blocks++;
}

void ld_build_block_end(ld_builder *builder) {
  builder->block = LD_NO_BLOCK;
}

/* The possible names of a tensor: its own; an old one for a norm; and both without the body's name, since the
 * body is a module and may have been saved alone. */
enum { SPELLINGS = 4 };
typedef struct spellings {
  char *names[SPELLINGS];
  int n;
} spellings;

static void add_spelling(const ld_builder *b, spellings *all, char *name) {
  const size_t before = b->component ? strlen(b->component) + 1 : 0, length = b->body ? strlen(b->body) : 0;
  all->names[all->n++] = name;
  if (length && !strncmp(name + before, b->body, length) && name[before + length] == '.')
    all->names[all->n++] = ld_format("%.*s%s", (int)before, name, name + before + length + 1);
}

static spellings spell(const ld_builder *builder, const char *name) {
  static const char *const old[][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
  const char *end = strrchr(name, '.');
  spellings all = {0};
  add_spelling(builder, &all, ld_strdup(name));
  for (int i = 0; end && i < 2; i++)
    if (!strcmp(end, old[i][0]))
      add_spelling(builder, &all, ld_format("%.*s%s", (int)(end - name), name, old[i][1]));
  return all;
}

static void free_spellings(spellings *all) {
  for (int i = 0; i < all->n; i++) free(all->names[i]);
}

static const ld_stored *find_spelling(const ld_builder *builder, const char *name) {
  return builder->weights->find(builder->weights->self, name, builder->block);
}

static const ld_stored *find(const ld_builder *builder, const char *name) {
  spellings all = spell(builder, name);
  const ld_stored *tensor = NULL;
  for (int i = 0; i < all.n && !tensor; i++) tensor = find_spelling(builder, all.names[i]);
  free_spellings(&all);
  return tensor;
}

/* Which of the two is used would depend on their order in the file, or on how transformers sorts them. */
static void refuse_two(ld_builder *builder, const char *name) {
  spellings all = spell(builder, name);
  const char *first = NULL;
  for (int i = 0; i < all.n && !builder->failed; i++) {
    if (!find_spelling(builder, all.names[i])) continue;
    if (first)
      builder->failed = ld_fail(builder->err, LD_EFORMAT,
                                "%s: the tensors '%s' and '%s' are two for one: remove one of them",
                                builder->weights->source, first, all.names[i]);
    first = all.names[i];
  }
  free_spellings(&all);
}

typedef struct ld_shape {
  int n;
  int64_t sizes[4];
} ld_shape;

static bool has_shape(const ld_stored *tensor, const ld_shape *shape) {
  return tensor->ndim == shape->n &&
         !memcmp(tensor->shape, shape->sizes, (size_t)shape->n * sizeof *shape->sizes);
}

static void describe_shape(ld_text *text, const int64_t *sizes, int n) {
  ld_text_puts(text, "(");
  for (int i = 0; i < n; i++) ld_text_printf(text, "%s%lld", i ? ", " : "", (long long)sizes[i]);
  ld_text_puts(text, ")");
}

/* The config key that asks for a tensor of this name, if known. */
static const char *asking_key(const ld_builder *builder, const char *name) {
  const char *end = strrchr(name, '.');
  const bool bias = end && !strcmp(end, ".bias") && builder->bias_key;
  if (bias && ld_build_has(builder, builder->bias_key)) return builder->bias_key;
  return name[strcspn(name, "0123456789")] ? builder->depth_key : NULL;
}

static void refuse_missing(ld_builder *builder, const char *name) {
  const char *key = asking_key(builder, name);
  builder->failed =
      ld_fail(builder->err, LD_EFORMAT, "%s: tensor '%s' is missing%s%s%s: is the folder complete?",
              builder->weights->source, name, key ? ", which " : "", key ? ld_build_key(builder, key) : "",
              key ? " in config.json asks for" : "");
}

/* " (n_embd is 48)" for each size that the tensor does not have. */
static void describe_keys(const ld_builder *builder, const ld_stored *tensor, const ld_shape *shape,
                          ld_text *out) {
  for (int i = 0; i < builder->n_sizes; i++) {
    bool wanted = false;
    for (int d = 0; d < shape->n; d++)
      wanted = wanted || (shape->sizes[d] == builder->sizes[i].size &&
                          (tensor->ndim != shape->n || tensor->shape[d] != shape->sizes[d]));
    if (wanted &&
        (!builder->depth_key || strcmp(builder->sizes[i].key, ld_build_key(builder, builder->depth_key))))
      ld_text_printf(out, "%s%s is %lld", out->length ? ", " : "", builder->sizes[i].key,
                     (long long)builder->sizes[i].size);
  }
}

static void refuse_shape(ld_builder *builder, const char *name, const ld_stored *tensor,
                         const ld_shape *shape) {
  ld_text found = {0}, wanted = {0}, keys = {0};
  describe_shape(&found, tensor->shape, tensor->ndim);
  describe_shape(&wanted, shape->sizes, shape->n);
  describe_keys(builder, tensor, shape, &keys);
  builder->failed =
      ld_fail(builder->err, LD_EFORMAT, "%s: tensor '%s' has shape %s, but config.json asks for %s%s%s%s",
              builder->weights->source, name, found.bytes, wanted.bytes, keys.length ? " (" : "",
              keys.length ? keys.bytes : "", keys.length ? ")" : "");
  ld_text_free(&found);
  ld_text_free(&wanted);
  ld_text_free(&keys);
}

/* The stored tensor of that name, if it has that shape. */
static const ld_stored *require(ld_builder *builder, const char *name, const ld_shape *shape) {
  if (builder->failed) return NULL;
  const ld_stored *tensor = find(builder, name);
  if (!tensor)
    refuse_missing(builder, name);
  else
    refuse_two(builder, name);
  if (builder->failed) return NULL;
  if (!ld_codec_of(tensor->dtype)) {
    char *known = ld_codec_names();
    builder->failed = ld_fail(builder->err, LD_EUNSUPPORTED, "%s: tensor '%s' has dtype %s; supported are %s",
                              builder->weights->source, name, ld_dtype_name(tensor->dtype), known);
    free(known);
    return NULL;
  }
  builder->model->n_parameters += ld_stored_count(tensor);
  if (has_shape(tensor, shape)) return tensor;
  refuse_shape(builder, name, tensor, shape);
  return NULL;
}

/* Writes the component's name and a dot, if there is one, and returns its length. */
static size_t put_component(const ld_builder *builder, char *name) {
  if (!builder->component) return 0;
  return (size_t)snprintf(name, NAME_LENGTH, "%s.", builder->component);
}

#define FORMAT_NAME(format)                                                                                  \
  char name[NAME_LENGTH];                                                                                    \
  const size_t before = put_component(builder, name);                                                        \
  va_list args;                                                                                              \
  va_start(args, format);                                                                                    \
  vsnprintf(name + before, sizeof name - before, format, args);                                              \
  va_end(args)

static float *vector(ld_builder *builder, const char *name, int n) {
  const ld_stored *tensor = require(builder, name, &(ld_shape){1, {n}});
  if (!tensor) return NULL;
  float *copy = ld_build_alloc(builder, (size_t)n, sizeof *copy);
  const ld_coded numbers = ld_coded_of(tensor);
  ld_weights_take(builder->weights, builder->block);
  ld_coded_widen(copy, &numbers, 0, n);
  ld_weights_release(builder->weights, builder->block);
  return copy;
}

/* A module that nothing trains may be stored as a 1 x 1 convolution. */
static ld_weight matrix(ld_builder *builder, const char *name, int rows, int cols) {
  const ld_stored *as_stored = builder->unlisted && !builder->failed ? find(builder, name) : NULL;
  const int ndim = as_stored && as_stored->ndim == 4 ? 4 : 2;
  const ld_stored *tensor = require(builder, name, &(ld_shape){ndim, {rows, cols, 1, 1}});
  if (!tensor) return (ld_weight){.rows = rows, .cols = cols};
  return (ld_weight){ld_coded_of(tensor), rows, cols};
}

static float *table(ld_builder *builder, const char *name, int rows, int cols) {
  const ld_weight weight = matrix(builder, name, rows, cols);
  if (builder->failed) return NULL;
  float *copy = ld_build_alloc(builder, (size_t)rows * (size_t)cols, sizeof *copy);
  ld_weights_take(builder->weights, builder->block);
  ld_coded_widen(copy, &weight.numbers, 0, (int64_t)rows * cols);
  ld_weights_release(builder->weights, builder->block);
  return copy;
}

float *ld_build_table(ld_builder *builder, int rows, int cols, const char *format, ...) {
  FORMAT_NAME(format);
  return table(builder, name, rows, cols);
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
  if (builder->unlisted) return;
  linear->aside = builder->aside;
  model->linears = ld_grow(model->linears, model->n_linears, &model->room_linears, sizeof(ld_linear *));
  model->linears[model->n_linears++] = linear;
}

static char *own_path(ld_builder *builder, const char *path) {
  char *copy = ld_build_alloc(builder, strlen(path) + 1, 1);
  return strcpy(copy, path);
}

static void set_place(const ld_builder *builder, ld_linear *linear) {
  linear->store = builder->weights;
  linear->block = builder->block;
}

void ld_build_linear(ld_builder *builder, ld_linear *linear, int in, int out, bool bias,
                     const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  char tensor[NAME_LENGTH + 8];
  *linear = (ld_linear){.path = own_path(builder, name), .in = in, .out = out};
  set_place(builder, linear);
  linear->transposed = builder->model->family->fan_in_fan_out;
  snprintf(tensor, sizeof tensor, "%s.weight", name);
  linear->weight = linear->transposed ? matrix(builder, tensor, in, out) : matrix(builder, tensor, out, in);
  snprintf(tensor, sizeof tensor, "%s.bias", name);
  if (bias) linear->bias = vector(builder, tensor, out);
  list_linear(builder, linear);
}

void ld_build_convolution(ld_builder *builder, ld_linear *convolution, int channels, int out,
                          ld_kernel kernel, bool bias, const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  char *tensor_name = ld_format("%s.weight", name);
  const int64_t in = (int64_t)channels * kernel.height * kernel.width;
  const ld_stored *tensor =
      require(builder, tensor_name, &(ld_shape){4, {out, channels, kernel.height, kernel.width}});
  free(tensor_name);
  if (!tensor) return;
  *convolution = (ld_linear){.path = own_path(builder, name), .in = (int)in, .out = out};
  set_place(builder, convolution);
  convolution->weight = (ld_weight){ld_coded_of(tensor), out, (int)in};
  convolution->kernel = kernel;
  if (bias) {
    char *bias_name = ld_format("%s.bias", name);
    convolution->bias = vector(builder, bias_name, out);
    free(bias_name);
  }
  list_linear(builder, convolution);
}

bool ld_build_there(const ld_builder *builder, const char *format, ...) {
  FORMAT_NAME(format);
  return find(builder, name) != NULL;
}

void ld_build_end(ld_builder *builder, const char *key, const char *format, ...) {
  FORMAT_NAME(format);
  if (builder->failed || !find(builder, name)) return;
  ld_build_warn(builder, "%s ends before the tensor '%s', which the folder has too: it is left out", key,
                name);
}

/* In transformers a num_labels that differs from id2label's count replaces its names. */
static int stated_outputs(ld_builder *builder) {
  const ld_value *number = ld_value_member(builder->config, "num_labels");
  const int named = ld_config_labels(builder->config);
  if (number && number->type != LD_INTEGER)
    ld_build_refuse(builder, "num_labels", "must be an integer, not %s", ld_value_type_name(number->type));
  if (!number && !named) ld_build_refuse(builder, "id2label", "names no class");
  if (number && named > 0 && number->integer != named)
    ld_build_warn(builder, "id2label is ignored: it names %d class%s, but num_labels is %lld", named,
                  named > 1 ? "es" : "", (long long)number->integer);
  if (number || named < 0) return ld_build_size(builder, "num_labels", 2);
  ld_build_name_size(builder, "the number of names in id2label", named);
  return named;
}

int ld_build_outputs(ld_builder *builder) {
  const int stated = stated_outputs(builder);
  return builder->request.n_outputs ? builder->request.n_outputs : stated;
}

/* Whether to take the stored layer. Unless another number of outputs is requested, an existing layer must
 * fit, which is checked when it is taken. */
static bool is_stored(const ld_builder *builder, const char *path, int in, int out) {
  char *weight_name = ld_format("%s.weight", path), *bias_name = ld_format("%s.bias", path);
  const ld_stored *weight = find(builder, weight_name), *bias = find(builder, bias_name);
  free(weight_name);
  free(bias_name);
  if (!builder->request.n_outputs) return weight || bias;
  return weight && bias && has_shape(weight, &(ld_shape){2, {out, in}}) &&
         has_shape(bias, &(ld_shape){1, {out}});
}

void ld_build_new_linear(ld_builder *builder, ld_linear *linear, int in, int out, ld_new_weights how,
                         const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  if (!how.renew && is_stored(builder, name, in, out)) {
    ld_build_linear(builder, linear, in, out, true, "%s", name);
    return;
  }
  *linear = (ld_linear){
      .path = own_path(builder, name), .in = in, .out = out, .is_new = true, .spread = (float)how.spread};
  const float *zeros = ld_build_alloc(builder, (size_t)in * (size_t)out, sizeof *zeros);
  linear->weight = (ld_weight){ld_coded_floats(zeros), out, in};
  linear->bias = ld_build_alloc(builder, (size_t)out, sizeof(float));
  list_linear(builder, linear);
}

void ld_build_norm(ld_builder *builder, ld_linear *norm, int n, bool renew, const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  char tensor[NAME_LENGTH + 8];
  snprintf(tensor, sizeof tensor, "%s.weight", name);
  *norm = (ld_linear){.path = own_path(builder, name), .in = 1, .out = n, .by_column = true};
  norm->is_new = renew || !find(builder, tensor);
  float *weight =
      norm->is_new ? ld_build_alloc(builder, (size_t)n, sizeof *weight) : vector(builder, tensor, n);
  snprintf(tensor, sizeof tensor, "%s.bias", name);
  norm->bias =
      norm->is_new ? ld_build_alloc(builder, (size_t)n, sizeof *norm->bias) : vector(builder, tensor, n);
  for (int i = 0; norm->is_new && i < n; i++) weight[i] = 1;
  norm->weight = (ld_weight){ld_coded_floats(weight), n, 1};
  list_linear(builder, norm);
}

ld_weight ld_build_embedding(ld_builder *builder, bool tied, const char *name) {
  ld_model *model = builder->model;
  model->embedding_name = name;
  model->config_ties = tied;
  const bool from_head = tied && !find(builder, name) && find(builder, LD_HEAD_WEIGHT);
  return matrix(builder, from_head ? LD_HEAD_WEIGHT : name, model->vocab, model->width);
}

ld_weight ld_build_shared_embedding(ld_builder *builder, bool tied, const char *const *names) {
  const char *const *first = names;
  while (first[1] && !find(builder, *first)) first++;
  if (!find(builder, *first)) first = names;
  const ld_weight embedding = ld_build_embedding(builder, tied, *first);
  for (const char *const *other = first + 1; *first && *other && !builder->failed; other++) {
    const ld_stored *copy = find(builder, *other);
    if (!copy) continue;
    const ld_weight same = matrix(builder, *other, embedding.rows, embedding.cols);
    const int64_t n = (int64_t)same.rows * same.cols;
    builder->model->n_parameters -= n;
    if (!builder->failed && !ld_coded_same(&same.numbers, &embedding.numbers, n))
      builder->failed =
          ld_fail(builder->err, LD_EUNSUPPORTED,
                  "%s: the tensors '%s' and '%s' differ, but are one embedding: remove the one that "
                  "was not trained",
                  builder->weights->source, *first, *other);
  }
  return embedding;
}

/* The stored head of a tied model, if it differs from the embedding; otherwise without data. */
static ld_weight other_head(ld_builder *builder, const ld_weight *embedding) {
  const ld_model *model = builder->model;
  if (!find(builder, LD_HEAD_WEIGHT) || !find(builder, model->embedding_name)) return (ld_weight){0};
  const ld_weight head = matrix(builder, LD_HEAD_WEIGHT, model->vocab, model->width);
  if (builder->failed) return head;
  const int64_t n = (int64_t)head.rows * head.cols;
  if (ld_coded_same(&head.numbers, &embedding->numbers, n)) {
    builder->model->n_parameters -= n;
    return (ld_weight){0};
  }
  ld_build_warn(builder,
                "tie_word_embeddings is true, but '" LD_HEAD_WEIGHT "' differs from '%s': they are not tied",
                model->embedding_name);
  return head;
}

void ld_build_head(ld_builder *builder, const ld_weight *embedding) {
  ld_model *model = builder->model;
  bool tied = model->config_ties;
  if (!tied && !find(builder, LD_HEAD_WEIGHT))
    ld_build_refuse(builder, "tie_word_embeddings",
                    "is false, but the tensor '" LD_HEAD_WEIGHT "' is missing");
  if (builder->failed) return;
  ld_linear *head = ld_build_alloc(builder, 1, sizeof *head);
  *head = (ld_linear){.path = own_path(builder, "lm_head"), .in = model->width, .out = model->vocab};
  head->weight =
      tied ? other_head(builder, embedding) : matrix(builder, LD_HEAD_WEIGHT, model->vocab, model->width);
  if (builder->failed) return;
  tied = !head->weight.numbers.data;
  if (tied) head->weight = *embedding;
  model->head = head;
  model->head_tied = tied;
  list_linear(builder, head);
}
