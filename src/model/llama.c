/* Llama and its relatives (Touvron et al., 2023; Dubey et al., 2024): RMS norms, rotary positions,
 * grouped-query attention, SwiGLU. Mistral adds a sliding window, Qwen2 biases on q, k and v, Qwen3 a norm on
 * each head of q and k. */
#include <math.h>
#include <string.h>

#include "model/build.h"
#include "model/families.h"
#include "nn/ops.h"

enum { Q, K, V, O, GATE, UP, DOWN, N_LINEARS };

typedef struct block {
  float *input_norm, *post_norm, *q_norm, *k_norm;
  ld_linear linears[N_LINEARS];
  ld_attention attention;
} block;

typedef struct llama {
  ld_weight embedding;
  float *norm;
  float eps;
  float *frequency; /* (D / 2) of the rotary positions */
  int half;
  block *blocks;
} llama;

/* Sizes and flags that the blocks need while they are built. */
typedef struct sizes {
  int C, n_heads, n_kv_heads, D, inner;
  bool qkv_bias, o_bias, mlp_bias, head_norm;
} sizes;

/* Llama 3.1's stretching: long wavelengths by `factor`, short ones not, a blend between (Dubey et al., 2024;
 * the formula is that of the released code). */
static void scale_llama3(ld_builder *b, llama *own, const ld_value *scaling) {
  double factor, low, high;
  int64_t length;
  if (ld_value_real(scaling, "factor", 8, &factor, b->err) ||
      ld_value_real(scaling, "low_freq_factor", 1, &low, b->err) ||
      ld_value_real(scaling, "high_freq_factor", 4, &high, b->err) ||
      ld_value_int(scaling, "original_max_position_embeddings", 8192, &length, b->err) || factor <= 0 ||
      high <= low) {
    ld_build_refuse(b, "rope_scaling",
                    "needs positive factor, low_freq_factor below high_freq_factor and "
                    "original_max_position_embeddings");
    return;
  }
  for (int i = 0; i < own->half; i++) {
    const double f = (double)own->frequency[i], wavelength = 2 * M_PI / f;
    const double blend = ((double)length / wavelength - low) / (high - low);
    if (wavelength > (double)length / low)
      own->frequency[i] = (float)(f / factor);
    else if (wavelength >= (double)length / high)
      own->frequency[i] = (float)((1 - blend) * f / factor + blend * f);
  }
}

static void scale_frequencies(ld_builder *b, llama *own, const ld_value *scaling) {
  const char *type;
  double factor;
  if (ld_value_string(scaling, "rope_type", NULL, &type, b->err) ||
      (!type && ld_value_string(scaling, "type", "default", &type, b->err))) {
    ld_build_refuse(b, "rope_scaling", "must name its type in a string \"rope_type\"");
  } else if (!strcmp(type, "linear")) {
    if (ld_value_real(scaling, "factor", 0, &factor, b->err) || factor <= 0)
      ld_build_refuse(b, "rope_scaling", "of type linear needs a positive factor");
    else
      for (int i = 0; i < own->half; i++) own->frequency[i] /= (float)factor;
  } else if (!strcmp(type, "llama3")) {
    scale_llama3(b, own, scaling);
  } else if (strcmp(type, "default")) {
    ld_build_refuse(b, "rope_scaling", "type \"%s\" is not supported (known: default, linear, llama3)", type);
  }
}

/* rope_theta and rope_scaling at the top, or both in rope_parameters (transformers 5). */
static void build_rotary(ld_builder *b, llama *own, int D) {
  const ld_value *together = ld_value_get(b->config, "rope_parameters");
  const ld_value *scaling = together ? together : ld_value_get(b->config, "rope_scaling");
  double theta = ld_build_real(b, "rope_theta", 10000);
  if (b->failed) return;
  if (together && ld_value_real(together, "rope_theta", theta, &theta, b->err)) theta = 0;
  if (theta <= 0) ld_build_refuse(b, "rope_theta", "must be a positive number");
  double part = 1;
  if (ld_value_real(together ? together : b->config, "partial_rotary_factor", 1, &part, b->err) || part != 1)
    ld_build_refuse(b, "partial_rotary_factor", "other than 1 is not supported");
  own->half = D / 2;
  own->frequency = ld_build_alloc(b, (size_t)own->half, sizeof(float));
  for (int i = 0; i < own->half; i++) own->frequency[i] = (float)(1 / pow(theta, 2.0 * i / D));
  if (!b->failed && scaling) scale_frequencies(b, own, scaling);
}

/* What the classes of transformers put in for keys that a config leaves out; 0: it follows from other keys.
 */
typedef struct defaults {
  const char *model_type;
  int n_kv_heads, head_dim, window;
} defaults;

static const defaults *class_defaults(const ld_builder *b) {
  static const defaults known[] = {
      {"llama", 0, 0, 0}, {"mistral", 8, 0, 4096}, {"qwen2", 32, 0, 4096}, {"qwen3", 32, 128, 4096}};
  const size_t n = sizeof known / sizeof *known;
  for (size_t i = 0; i < n; i++)
    if (!strcmp(known[i].model_type, b->model->family->model_type)) return &known[i];
  return &known[0];
}

/* A size whose key may be left out (the class's default) or null (`otherwise`). */
static int class_size(ld_builder *b, const char *key, int class_default, int otherwise) {
  return ld_build_size(b, key, class_default && !ld_build_has(b, key) ? class_default : otherwise);
}

/* The window of a layer, 0 for none: layer_types where it is given, else Qwen's max_window_layers rule, else
 * every layer. */
static int layer_window(ld_builder *b, int layer) {
  const int class_default = class_defaults(b)->window;
  const bool none = ld_build_has(b, "sliding_window") && !ld_value_get(b->config, "sliding_window");
  if (!class_default || none) return 0;
  const bool qwen = strncmp(b->model->family->model_type, "qwen", 4) == 0;
  if (qwen && !ld_build_flag(b, "use_sliding_window", false)) return 0;
  const int window = ld_build_size(b, "sliding_window", class_default);
  const ld_value *types = ld_value_get(b->config, "layer_types");
  if (types && types->type == LD_LIST && (size_t)layer < types->n_items && types->items[layer].string) {
    const char *type = types->items[layer].string;
    if (!strcmp(type, "sliding_attention")) return window;
    if (strcmp(type, "full_attention")) ld_build_refuse(b, "layer_types", "\"%s\" is not supported", type);
    return 0;
  }
  return qwen && layer < ld_build_size(b, "max_window_layers", 28) ? 0 : window;
}

static void build_block(ld_builder *b, block *k, int i, const sizes *s) {
  const int q = s->n_heads * s->D, kv = s->n_kv_heads * s->D;
  ld_linear *linears = k->linears;
  k->input_norm = ld_build_vector(b, s->C, "model.layers.%d.input_layernorm.weight", i);
  ld_build_linear(b, &linears[Q], s->C, q, s->qkv_bias, "model.layers.%d.self_attn.q_proj", i);
  ld_build_linear(b, &linears[K], s->C, kv, s->qkv_bias, "model.layers.%d.self_attn.k_proj", i);
  ld_build_linear(b, &linears[V], s->C, kv, s->qkv_bias, "model.layers.%d.self_attn.v_proj", i);
  ld_build_linear(b, &linears[O], q, s->C, s->o_bias, "model.layers.%d.self_attn.o_proj", i);
  if (s->head_norm) {
    k->q_norm = ld_build_vector(b, s->D, "model.layers.%d.self_attn.q_norm.weight", i);
    k->k_norm = ld_build_vector(b, s->D, "model.layers.%d.self_attn.k_norm.weight", i);
  }
  k->post_norm = ld_build_vector(b, s->C, "model.layers.%d.post_attention_layernorm.weight", i);
  ld_build_linear(b, &linears[GATE], s->C, s->inner, s->mlp_bias, "model.layers.%d.mlp.gate_proj", i);
  ld_build_linear(b, &linears[UP], s->C, s->inner, s->mlp_bias, "model.layers.%d.mlp.up_proj", i);
  ld_build_linear(b, &linears[DOWN], s->inner, s->C, s->mlp_bias, "model.layers.%d.mlp.down_proj", i);
  const float scale = 1 / sqrtf((float)s->D);
  k->attention = (ld_attention){s->n_heads, s->n_kv_heads, s->D, scale, true, layer_window(b, i), i};
}

static sizes read_sizes(ld_builder *b) {
  const char *type = b->model->family->model_type;
  sizes s = {.C = ld_build_size(b, "hidden_size", 0), .n_heads = ld_build_size(b, "num_attention_heads", 0)};
  s.n_kv_heads = class_size(b, "num_key_value_heads", class_defaults(b)->n_kv_heads, s.n_heads);
  s.D = class_size(b, "head_dim", class_defaults(b)->head_dim, s.C / s.n_heads > 0 ? s.C / s.n_heads : 1);
  s.inner = ld_build_size(b, "intermediate_size", 0);
  const bool bias = ld_build_flag(b, "attention_bias", false);
  s.qkv_bias = !strcmp(type, "qwen2") || bias;
  s.o_bias = strcmp(type, "qwen2") && bias;
  s.mlp_bias = ld_build_flag(b, "mlp_bias", false);
  s.head_norm = !strcmp(type, "qwen3");
  if (s.n_heads % s.n_kv_heads)
    ld_build_refuse(b, "num_key_value_heads", "(%d) must divide num_attention_heads (%d)", s.n_kv_heads,
                    s.n_heads);
  if (s.D % 2) ld_build_refuse(b, "head_dim", "must be even, but is %d", s.D);
  const char *activation = ld_build_string(b, "hidden_act", "silu");
  if (strcmp(activation, "silu") && strcmp(activation, "swish"))
    ld_build_refuse(b, "hidden_act", "\"%s\" is not supported (known: silu)", activation);
  return s;
}

static void build(ld_builder *b) {
  ld_model *model = b->model;
  llama *own = model->own = ld_build_alloc(b, 1, sizeof *own);
  const sizes s = read_sizes(b);
  model->width = s.C;
  model->kv_width = s.n_kv_heads * s.D;
  model->vocab = ld_build_size(b, "vocab_size", 0);
  model->n_blocks = ld_build_size(b, "num_hidden_layers", 0);
  model->max_positions = ld_build_size(b, "max_position_embeddings", 2048);
  own->eps = (float)ld_build_real(b, "rms_norm_eps", 1e-6);
  if (b->failed) return;
  build_rotary(b, own, s.D);
  own->embedding = ld_build_matrix(b, model->vocab, s.C, "model.embed_tokens.weight");
  if (b->failed) return;
  own->blocks = ld_build_alloc(b, (size_t)model->n_blocks, sizeof *own->blocks);
  for (int i = 0; i < model->n_blocks && !b->failed; i++) build_block(b, &own->blocks[i], i, &s);
  ld_build_end(b, "num_hidden_layers", "model.layers.%d.input_layernorm.weight", b->model->n_blocks);
  own->norm = ld_build_vector(b, s.C, "model.norm.weight");
  ld_build_head(b, ld_build_flag(b, "tie_word_embeddings", false), &own->embedding);
}

static ld_tensor *block_forward(ld_tape *t, const llama *own, const block *k, ld_tensor *x,
                                const ld_rotary *rotary, const ld_batch *batch) {
  const ld_linear *linears = k->linears;
  const int D = k->attention.head_dim;
  ld_tensor *h = ld_op_rms_norm(ld_tape_brief(t), x, k->input_norm, x->cols, own->eps);
  ld_tensor *q = ld_op_linear(t, h, &linears[Q], batch);
  ld_tensor *key = ld_op_linear(t, h, &linears[K], batch);
  ld_tensor *value = ld_op_linear(t, h, &linears[V], batch);
  if (k->q_norm) q = ld_op_rms_norm(t, q, k->q_norm, D, own->eps);
  if (k->k_norm) key = ld_op_rms_norm(t, key, k->k_norm, D, own->eps);
  q = ld_op_rotary(t, q, rotary);
  key = ld_op_rotary(t, key, rotary);
  h = ld_op_attention(ld_any_trained(&linears[O], 1) ? t : ld_tape_brief(t), q, key, value, &k->attention,
                      batch);
  x = ld_op_linear_onto(t, x, h, &linears[O], batch);
  h = ld_op_rms_norm(ld_tape_brief(t), x, k->post_norm, x->cols, own->eps);
  ld_tensor *gate = ld_op_linear(t, h, &linears[GATE], batch);
  ld_tensor *up = ld_op_linear(t, h, &linears[UP], batch);
  h = ld_op_swiglu(ld_tape_brief(t), gate, up);
  return ld_op_linear_onto(t, x, h, &linears[DOWN], batch);
}

static ld_tensor *features(const ld_model *model, ld_tape *t, const ld_batch *batch) {
  const llama *own = model->own;
  const ld_rotary *rotary = ld_op_rotary_angles(t, batch, own->frequency, own->half, 1);
  ld_tensor *x = ld_op_embedding(t, batch, &own->embedding, NULL, NULL);
  for (int i = 0; i < model->n_blocks; i++) {
    const block *k = &own->blocks[i];
    ld_tape_block_begin(t, x->rows, x->cols, x->trained || ld_any_trained(k->linears, N_LINEARS));
    x = ld_tape_block_end(t, block_forward(t, own, k, x, rotary, batch));
  }
  return ld_op_rms_norm(t, x, own->norm, x->cols, own->eps);
}

#define RELATIVE(type, class)                                                                                \
  {                                                                                                          \
    .model_type = type, .architectures = {class}, .body = "model", .default_targets = "q_proj,v_proj",       \
    .task_type = "CAUSAL_LM", .build = build, .features = features                                           \
  }

const ld_family ld_llama = RELATIVE("llama", "LlamaForCausalLM");
const ld_family ld_mistral = RELATIVE("mistral", "MistralForCausalLM");
const ld_family ld_qwen2 = RELATIVE("qwen2", "Qwen2ForCausalLM");
const ld_family ld_qwen3 = RELATIVE("qwen3", "Qwen3ForCausalLM");
