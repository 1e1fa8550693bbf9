/* Llama and its relatives (Touvron et al., 2023; Dubey et al., 2024): RMS norms, rotary positions,
 * grouped-query attention, SwiGLU. Mistral adds a sliding window, Qwen2 biases on q, k and v, Qwen3 a norm on
 * each head of q and k. */
#include <math.h>
#include <string.h>

#include "model/build.h"
#include "model/families.h"
#include "model/rope.h"
#include "nn/ops.h"

enum { Q, K, V, O, GATE, UP, DOWN, N_LINEARS };

typedef struct llama_block {
  float *input_norm, *post_norm, *q_norm, *k_norm;
  ld_linear linears[N_LINEARS];
  ld_attention attention;
} llama_block;

typedef struct llama {
  ld_weight embedding;
  float *norm;
  float eps;
  float *frequency; /* (D / 2) of the rotary positions */
  int half;
  llama_block *blocks;
} llama;

/* Sizes and flags that the blocks need while they are built. */
typedef struct sizes {
  int C, n_heads, n_kv_heads, D, inner;
  bool qkv_bias, o_bias, mlp_bias, head_norm;
} sizes;

/* The differences between the four: the defaults of transformers' classes for keys that a config leaves out
 * (0: computed from other keys), and the keys that they use. */
typedef struct traits {
  const char *model_type;
  int n_kv_heads, head_dim, max_positions;
  int window; /* 0: sliding_window is ignored */
  bool qkv_bias, takes_attention_bias, takes_mlp_bias, head_norm;
  bool layered_window; /* from max_window_layers on, if use_sliding_window is on */
  bool heads_divide;   /* num_attention_heads must divide hidden_size */
} traits;

static const traits *own_traits(const ld_builder *b) {
  static const traits known[] = {
      {.model_type = "llama",
       .max_positions = 2048,
       .takes_attention_bias = true,
       .takes_mlp_bias = true,
       .heads_divide = true},
      {.model_type = "mistral", .n_kv_heads = 8, .max_positions = 131072, .window = 4096},
      {.model_type = "qwen2",
       .n_kv_heads = 32,
       .max_positions = 32768,
       .window = 4096,
       .qkv_bias = true,
       .layered_window = true},
      {.model_type = "qwen3",
       .n_kv_heads = 32,
       .head_dim = 128,
       .max_positions = 32768,
       .window = 4096,
       .takes_attention_bias = true,
       .head_norm = true,
       .layered_window = true}};
  const size_t n = sizeof known / sizeof *known;
  for (size_t i = 0; i < n; i++)
    if (!strcmp(known[i].model_type, b->model->family->model_type)) return &known[i];
  return &known[0];
}

/* A size whose key may be missing (the class's default) or null (`otherwise`). */
static int class_size(ld_builder *b, const char *key, int class_default, int otherwise) {
  return ld_build_size(b, key, class_default && !ld_build_has(b, key) ? class_default : otherwise);
}

/* The window in config.json, 0 for none. */
static int stated_window(ld_builder *b) {
  const traits *t = own_traits(b);
  const bool none = ld_build_has(b, "sliding_window") && !ld_value_get(b->config, "sliding_window");
  if (!t->window || none) return 0;
  if (t->layered_window && !ld_build_flag(b, "use_sliding_window", false)) return 0;
  return ld_build_size(b, "sliding_window", t->window);
}

/* The layer's entry in layer_types; NULL without it. */
static const char *layer_type(ld_builder *b, int layer) {
  const ld_value *types = ld_value_get(b->config, "layer_types");
  if (!types) return NULL;
  if (types->type != LD_LIST || types->n_items != (size_t)b->model->n_blocks) {
    ld_build_refuse(b, "layer_types", "must list a type for each of the %d layers of num_hidden_layers",
                    b->model->n_blocks);
    return NULL;
  }
  return types->items[layer].type == LD_STRING ? types->items[layer].string : "?";
}

/* The window of a layer, 0 for none: from layer_types if given, else by Qwen's max_window_layers rule, else
 * the same for every layer. */
static int layer_window(ld_builder *b, int layer) {
  const int window = stated_window(b);
  const char *type = layer_type(b, layer);
  const bool slides = type && !strcmp(type, "sliding_attention");
  if (type && !slides && strcmp(type, "full_attention") != 0)
    ld_build_refuse(b, "layer_types", "\"%.64s\" is not supported", type);
  if (slides && !window)
    ld_build_refuse(b, "layer_types",
                    "has \"sliding_attention\", but sliding_window or use_sliding_window say none");
  if (type) return slides ? window : 0;
  if (!own_traits(b)->layered_window) return window;
  return layer < ld_build_index(b, "max_window_layers", 28) ? 0 : window;
}

static void build_block(ld_builder *b, llama_block *k, int i, const sizes *s) {
  const int q = s->n_heads * s->D, kv = s->n_kv_heads * s->D;
  ld_linear *linears = k->linears;
  b->bias_key = "attention_bias";
  ld_build_block_begin(b);
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
  b->bias_key = "mlp_bias";
  ld_build_linear(b, &linears[GATE], s->C, s->inner, s->mlp_bias, "model.layers.%d.mlp.gate_proj", i);
  ld_build_linear(b, &linears[UP], s->C, s->inner, s->mlp_bias, "model.layers.%d.mlp.up_proj", i);
  ld_build_linear(b, &linears[DOWN], s->inner, s->C, s->mlp_bias, "model.layers.%d.mlp.down_proj", i);
  ld_build_block_end(b);
  const float scale = 1 / sqrtf((float)s->D);
  k->attention = (ld_attention){.n_heads = s->n_heads,
                                .n_kv_heads = s->n_kv_heads,
                                .head_dim = s->D,
                                .scale = scale,
                                .causal = true,
                                .window = layer_window(b, i),
                                .block = i};
}

static void read_flags(ld_builder *b, sizes *s) {
  const traits *t = own_traits(b);
  const bool bias = t->takes_attention_bias && ld_build_flag(b, "attention_bias", false);
  s->qkv_bias = t->qkv_bias || bias;
  s->o_bias = bias;
  s->mlp_bias = t->takes_mlp_bias && ld_build_flag(b, "mlp_bias", false);
  s->head_norm = t->head_norm;
}

static sizes read_sizes(ld_builder *b) {
  const traits *t = own_traits(b);
  sizes s = {.C = ld_build_size(b, "hidden_size", 0), .n_heads = ld_build_size(b, "num_attention_heads", 0)};
  s.n_kv_heads = class_size(b, "num_key_value_heads", t->n_kv_heads, s.n_heads);
  s.D = class_size(b, "head_dim", t->head_dim, s.C / s.n_heads > 0 ? s.C / s.n_heads : 1);
  s.inner = ld_build_size(b, "intermediate_size", 0);
  ld_build_name_size(b, "num_attention_heads times head_dim", (int64_t)s.n_heads * s.D);
  ld_build_name_size(b, "num_key_value_heads times head_dim", (int64_t)s.n_kv_heads * s.D);
  if (t->heads_divide && s.C % s.n_heads)
    ld_build_refuse(b, "num_attention_heads", "(%d) must divide hidden_size (%d)", s.n_heads, s.C);
  if (s.n_heads % s.n_kv_heads)
    ld_build_refuse(b, "num_key_value_heads", "(%d) must divide num_attention_heads (%d)", s.n_kv_heads,
                    s.n_heads);
  if (s.D % 2)
    ld_build_refuse(b, "head_dim",
                    "(hidden_size over num_attention_heads where it is not given) must be even, but is %d",
                    s.D);
  const char *activation = ld_build_string(b, "hidden_act", "silu");
  if (strcmp(activation, "silu") && strcmp(activation, "swish"))
    ld_build_refuse(b, "hidden_act", "\"%s\" is not supported (known: silu)", activation);
  read_flags(b, &s);
  return s;
}

/* The keys that all four classes declare, those that Qwen's two add, and those that each adds. */
static const ld_key common_keys[] = {
    {"bos_token_id", LD_TAKES_ID, NULL},
    {"eos_token_id", LD_TAKES_IDS, NULL},
    {"hidden_act", LD_TAKES_STRING, NULL},
    {"hidden_size", LD_TAKES_INTEGER, NULL},
    {"intermediate_size", LD_TAKES_INTEGER, NULL},
    {"max_position_embeddings", LD_TAKES_INTEGER, NULL},
    {"num_attention_heads", LD_TAKES_INTEGER, NULL},
    {"num_hidden_layers", LD_TAKES_INTEGER, NULL},
    {"pad_token_id", LD_TAKES_ID, NULL},
    {"rms_norm_eps", LD_TAKES_REAL, NULL},
    {"rope_parameters", LD_TAKES_MAP | LD_TAKES_NULL, NULL},
    {"rope_scaling", LD_TAKES_MAP | LD_TAKES_NULL, NULL},
    {"tie_word_embeddings", LD_TAKES_FLAG, NULL},
    {"use_cache", LD_TAKES_FLAG, NULL},
    {"vocab_size", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

static const ld_key qwen_keys[] = {
    {"attention_dropout", LD_TAKES_SHARE, NULL},
    {"initializer_range", LD_TAKES_REAL, NULL},
    {"layer_types", LD_TAKES_STRINGS | LD_TAKES_NULL, NULL},
    {"max_window_layers", LD_TAKES_INTEGER, NULL},
    {"num_key_value_heads", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"sliding_window", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"use_sliding_window", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

static const ld_key llama_keys[] = {
    {"attention_bias", LD_TAKES_FLAG, NULL},
    {"attention_dropout", LD_TAKES_SHARE | LD_TAKES_NULL, NULL},
    {"head_dim", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"initializer_range", LD_TAKES_REAL | LD_TAKES_UP_TO_1, NULL},
    {"mlp_bias", LD_TAKES_FLAG, NULL},
    {"num_key_value_heads", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"pretraining_tp", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {NULL, 0, NULL},
};

static const ld_key mistral_keys[] = {
    {"attention_dropout", LD_TAKES_SHARE, NULL},
    {"head_dim", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"initializer_range", LD_TAKES_REAL, NULL},
    {"num_key_value_heads", LD_TAKES_INTEGER, NULL},
    {"sliding_window", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {NULL, 0, NULL},
};

static const ld_key qwen2_keys[] = {
    {"head_dim", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

static const ld_key qwen3_keys[] = {
    {"attention_bias", LD_TAKES_FLAG, NULL},
    {"head_dim", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

static void build(ld_builder *b) {
  ld_model *model = b->model;
  llama *own = model->own = ld_build_alloc(b, 1, sizeof *own);
  const sizes s = read_sizes(b);
  model->width = s.C;
  model->kv_width = s.n_kv_heads * s.D;
  model->vocab = ld_build_size(b, "vocab_size", 0);
  model->n_blocks = ld_build_size(b, "num_hidden_layers", 0);
  model->max_positions = ld_build_size(b, "max_position_embeddings", own_traits(b)->max_positions);
  own->eps = (float)ld_build_real(b, "rms_norm_eps", 1e-6);
  const bool tied = ld_build_flag(b, "tie_word_embeddings", false);
  ld_build_check_padding(b);
  if (b->failed) return;
  own->half = s.D / 2;
  own->frequency = ld_build_rotary(b, s.D);
  b->depth_key = "num_hidden_layers";
  own->embedding = ld_build_embedding(b, tied, "model.embed_tokens.weight");
  if (b->failed) return;
  own->blocks = ld_build_alloc(b, (size_t)model->n_blocks, sizeof *own->blocks);
  for (int i = 0; i < model->n_blocks && !b->failed; i++) build_block(b, &own->blocks[i], i, &s);
  ld_build_end(b, "num_hidden_layers", "model.layers.%d.input_layernorm.weight", b->model->n_blocks);
  own->norm = ld_build_vector(b, s.C, "model.norm.weight");
  ld_build_head(b, &own->embedding);
}

static ld_tensor *block_forward(ld_tape *t, const llama *own, const llama_block *k, ld_tensor *x,
                                ld_tensor *angles, const ld_batch *batch) {
  const ld_linear *linears = k->linears;
  const ld_field *text = ld_batch_field(batch, LD_TEXT);
  const int D = k->attention.head_dim;
  ld_tensor *h = ld_op_rms_norm(t, x, k->input_norm, x->cols, own->eps);
  ld_tensor *q = ld_op_linear(t, h, &linears[Q], batch);
  ld_tensor *key = ld_op_linear(t, h, &linears[K], batch);
  ld_tensor *value = ld_op_linear(t, h, &linears[V], batch);
  if (k->q_norm) q = ld_op_rms_norm(t, q, k->q_norm, D, own->eps);
  if (k->k_norm) key = ld_op_rms_norm(t, key, k->k_norm, D, own->eps);
  q = ld_op_rotary(t, q, angles);
  key = ld_op_rotary(t, key, angles);
  h = ld_op_attention(t, q, key, value, &k->attention, text, text);
  x = ld_op_linear_accumulate(t, x, h, &linears[O], batch);
  h = ld_op_rms_norm(t, x, k->post_norm, x->cols, own->eps);
  ld_tensor *gate = ld_op_linear(t, h, &linears[GATE], batch);
  ld_tensor *up = ld_op_linear(t, h, &linears[UP], batch);
  h = ld_op_swiglu(t, gate, up);
  return ld_op_linear_accumulate(t, x, h, &linears[DOWN], batch);
}

static ld_tensor *features(const ld_model *model, ld_tape *t, const ld_batch *batch) {
  const llama *own = model->own;
  const ld_field *text = ld_batch_field(batch, LD_TEXT);
  ld_tensor *angles = ld_op_rotary_angles(t, text, own->frequency, own->half, 1);
  const ld_embedding embedding = {.words = &own->embedding, .padding = -1};
  ld_tensor *x = ld_op_embedding(t, text, &embedding);
  for (int i = 0; i < model->n_blocks; i++) {
    ld_tape_block_begin(t);
    x = block_forward(t, own, &own->blocks[i], x, angles, batch);
    ld_tape_block_end(t, LD_TENSORS(x));
  }
  return ld_op_rms_norm(t, x, own->norm, x->cols, own->eps);
}

#define RELATIVE(type, class, ...)                                                                           \
  {                                                                                                          \
    .model_type = type, .architectures = {class}, .keys = {common_keys, __VA_ARGS__}, .body = "model",       \
    .input = LD_TEXT, .default_targets = "q_proj,v_proj", .task_type = "CAUSAL_LM", .build = build,          \
    .features = features                                                                                     \
  }

const ld_family ld_llama = RELATIVE("llama", "LlamaForCausalLM", llama_keys);
const ld_family ld_mistral = RELATIVE("mistral", "MistralForCausalLM", mistral_keys);
const ld_family ld_qwen2 = RELATIVE("qwen2", "Qwen2ForCausalLM", qwen_keys, qwen2_keys);
const ld_family ld_qwen3 = RELATIVE("qwen3", "Qwen3ForCausalLM", qwen_keys, qwen3_keys);
