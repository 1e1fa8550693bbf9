/* T5 (Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
 * 2020): an encoder that reads the source, and a decoder that writes a text and also attends to what the
 * encoder made. Positions are a bias on the attention scores, by distance. T5 1.1 and Flan-T5 have a gated
 * feed-forward part and a head of their own, mT5 (Xue et al., 2021) too; in umT5 (Chung et al., 2023) each
 * block has its own bias. */
#include <math.h>
#include <string.h>

#include "model/build.h"
#include "model/encoder_decoder.h"
#include "model/families.h"

enum { IN, GATE, OUT, N_FEED }; /* wi or wi_1, wi_0, wo */

typedef struct t5_attention {
  ld_linear linears[LD_N_PROJECTIONS];
  float *norm; /* before it */
  ld_attention shape;
} t5_attention;

typedef struct t5_block {
  t5_attention self, cross; /* cross: of a decoder */
  ld_linear feed[N_FEED];
  float *feed_norm;
} t5_block;

typedef struct t5_stack {
  t5_block *blocks;
  int n;
  float *norm; /* after the last block */
} t5_stack;

typedef struct t5 {
  ld_weight shared;
  t5_stack encoder, decoder;
  float eps;
  bool gated;
  enum ld_activation activation;
} t5;

/* What the blocks need while they are built. */
typedef struct sizes {
  int width, n_heads, head_dim, inner;
  int n_buckets, max_distance;
  bool bias_in_each; /* each block has its own bias; otherwise all of a stack have the first one's */
} sizes;

/* The bucket of a distance from a row to a key, as transformers computes it in float. */
static int bucket_of(const sizes *s, int distance, bool both_ways) {
  int n = s->n_buckets, first = 0;
  if (both_ways) {
    n /= 2;
    if (distance > 0) first = n;
    distance = distance < 0 ? -distance : distance;
  } else {
    distance = distance < 0 ? -distance : 0;
  }
  const int exact = n / 2;
  if (distance < exact) return first + distance;
  const float ratio = (float)log((double)((float)distance / (float)exact)) /
                      (float)log((double)s->max_distance / exact) * (float)(n - exact);
  const int bucket = exact + (int)ratio;
  return first + (bucket < n ? bucket : n - 1);
}

/* The bias of each head by distance; distances of max_distance and more are in one bucket. */
static ld_distance_bias build_bias(ld_builder *b, const sizes *s, const char *stack, int block) {
  const int reach = s->max_distance, heads = s->n_heads;
  const float *buckets =
      ld_build_table(b, s->n_buckets, heads,
                     "%s.block.%d.layer.0.SelfAttention.relative_attention_bias.weight", stack, block);
  if (b->failed) return (ld_distance_bias){0};
  float *bias = ld_build_alloc(b, (size_t)heads * (2 * (size_t)reach + 1), sizeof *bias), *at = bias;
  for (int head = 0; head < heads; head++)
    for (int d = -reach; d <= reach; d++) *at++ = buckets[bucket_of(s, d, *stack == 'e') * heads + head];
  return (ld_distance_bias){bias, reach};
}

/* "encoder.block.3.layer.1": where the tensors of a part are. */
typedef struct place {
  const char *stack;
  int block, layer;
} place;

#define PLACE "%s.block.%d.layer.%d."
#define OF(p) (p).stack, (p).block, (p).layer

static float *build_norm(ld_builder *b, const sizes *s, place p) {
  return ld_build_vector(b, s->width, PLACE "layer_norm.weight", OF(p));
}

static void build_attention(ld_builder *b, const sizes *s, t5_attention *a, place p, const char *name) {
  static const char *const letters = "qkvo";
  const int C = s->width, inner = s->n_heads * s->head_dim;
  for (int i = 0; i < LD_N_PROJECTIONS; i++)
    ld_build_linear(b, &a->linears[i], i == LD_O ? inner : C, i == LD_O ? C : inner, false, PLACE "%s.%c",
                    OF(p), name, letters[i]);
  a->norm = build_norm(b, s, p);
  a->shape = (ld_attention){.n_heads = s->n_heads,
                            .n_kv_heads = s->n_heads,
                            .head_dim = s->head_dim,
                            .scale = 1,
                            .block = LD_NO_CACHE};
}

static void build_feed(ld_builder *b, const sizes *s, t5_block *k, bool gated, place p) {
  const int C = s->width;
  if (gated) ld_build_linear(b, &k->feed[GATE], C, s->inner, false, PLACE "DenseReluDense.wi_0", OF(p));
  ld_build_linear(b, &k->feed[IN], C, s->inner, false, PLACE "DenseReluDense.%s", OF(p),
                  gated ? "wi_1" : "wi");
  ld_build_linear(b, &k->feed[OUT], s->inner, C, false, PLACE "DenseReluDense.wo", OF(p));
  k->feed_norm = build_norm(b, s, p);
}

static void build_stack(ld_builder *b, const sizes *s, const t5 *own, t5_stack *stack, const char *name) {
  const bool decodes = stack == &own->decoder;
  stack->blocks = ld_build_alloc(b, (size_t)stack->n, sizeof *stack->blocks);
  ld_distance_bias bias = {0};
  for (int i = 0; i < stack->n && !b->failed; i++) {
    t5_block *k = &stack->blocks[i];
    ld_build_block_begin(b);
    build_attention(b, s, &k->self, (place){name, i, 0}, "SelfAttention");
    if (!i || s->bias_in_each) bias = build_bias(b, s, name, i);
    k->self.shape.distance = bias;
    k->self.shape.causal = decodes;
    if (decodes) {
      build_attention(b, s, &k->cross, (place){name, i, 1}, "EncDecAttention");
      k->self.shape.block = k->cross.shape.block = i;
    }
    build_feed(b, s, k, own->gated, (place){name, i, 1 + decodes});
    ld_build_block_end(b);
  }
  ld_build_end(b, b->depth_key, "%s.block.%d.layer.0.layer_norm.weight", name, stack->n);
  stack->norm = ld_build_vector(b, s->width, "%s.final_layer_norm.weight", name);
}

/* "relu" or "gated-gelu", where gelu means the tanh form; dense_act_fn and is_gated_act, which transformers
 * writes too, come first. */
static void build_activation(ld_builder *b, t5 *own, const char *fallback) {
  static const char key[] = "feed_forward_proj", gated[] = "gated-";
  const char *name = ld_build_string(b, key, fallback);
  own->gated = !strncmp(name, gated, strlen(gated));
  if (own->gated) name += strlen(gated);
  if (strchr(name, '-'))
    ld_build_refuse(b, key, "\"%.64s\" is not an activation, or one after \"gated-\"", name);
  const bool tanh_form = own->gated && !strcmp(name, "gelu");
  own->gated = ld_build_flag(b, "is_gated_act", own->gated);
  own->activation = ld_build_activation_of(b, ld_build_has(b, "dense_act_fn") ? "dense_act_fn" : key,
                                           ld_build_string(b, "dense_act_fn", tanh_form ? "gelu_new" : name));
}

static const ld_key its_keys[] = {
    {"classifier_dropout", LD_TAKES_NUMBER, NULL},
    {"d_ff", LD_TAKES_INTEGER, NULL},
    {"d_kv", LD_TAKES_INTEGER, "head_dim"},
    {"d_model", LD_TAKES_INTEGER, "hidden_size"},
    {"decoder_start_token_id", LD_TAKES_ID, NULL},
    {"dense_act_fn", LD_TAKES_STRING, NULL},
    {"dropout_rate", LD_TAKES_NUMBER, NULL},
    {"eos_token_id", LD_TAKES_IDS, NULL},
    {"feed_forward_proj", LD_TAKES_STRING, NULL},
    {"initializer_factor", LD_TAKES_REAL, NULL},
    {"is_decoder", LD_TAKES_FLAG, NULL},
    {"is_gated_act", LD_TAKES_FLAG, NULL},
    {"layer_norm_epsilon", LD_TAKES_REAL, NULL},
    {"num_decoder_layers", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"num_heads", LD_TAKES_INTEGER, "num_attention_heads"},
    {"num_layers", LD_TAKES_INTEGER, "num_hidden_layers"},
    {"pad_token_id", LD_TAKES_ID, NULL},
    {"relative_attention_max_distance", LD_TAKES_INTEGER, NULL},
    {"relative_attention_num_buckets", LD_TAKES_INTEGER, NULL},
    {"scale_decoder_outputs", LD_TAKES_FLAG, NULL},
    {"tie_word_embeddings", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"use_cache", LD_TAKES_FLAG, NULL},
    {"vocab_size", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

/* The differences between the three: mostly the defaults of transformers' classes. */
typedef struct traits {
  const char *model_type, *feed;
  int vocab, d_ff, n_layers, n_heads;
  bool starts;       /* decoder_start_token_id is 0 by default */
  bool may_scale;    /* the decoder's output is scaled where the head is tied */
  bool bias_in_each; /* see sizes */
} traits;

static const traits known[] = {
    {"t5", "relu", 32128, 2048, 6, 8, .may_scale = true},
    {"mt5", "gated-gelu", 250112, 1024, 8, 6, .starts = true},
    {"umt5", "gated-gelu", 250112, 1024, 8, 6, .starts = true, .may_scale = true, .bias_in_each = true}};

static const traits *traits_of(const ld_builder *b) {
  const traits *t = known;
  while (strcmp(t->model_type, b->model->family->model_type) != 0) t++;
  return t;
}

static sizes build_sizes(ld_builder *b, const traits *t) {
  const sizes s = {.width = ld_build_size(b, "d_model", 512),
                   .n_heads = ld_build_size(b, "num_heads", t->n_heads),
                   .head_dim = ld_build_size(b, "d_kv", 64),
                   .inner = ld_build_size(b, "d_ff", t->d_ff),
                   .n_buckets = ld_build_size(b, "relative_attention_num_buckets", 32),
                   .max_distance = ld_build_size(b, "relative_attention_max_distance", 128),
                   .bias_in_each = t->bias_in_each};
  if (s.n_buckets < 4 || s.max_distance <= s.n_buckets / 2 || s.max_distance > 1 << 16)
    ld_build_refuse(
        b, "relative_attention_max_distance",
        "(%d) is not supported with relative_attention_num_buckets (%d): of at least 4 buckets, half "
        "must be fewer than the distance",
        s.max_distance, s.n_buckets);
  ld_build_name_size(b, "num_heads times d_kv", (int64_t)s.n_heads * s.head_dim);
  return s;
}

/* An output that goes through the embedding as its head is scaled first. Scaling the last norm does that. */
static void scale_output(ld_builder *b, t5 *own, bool by_default) {
  if (!ld_build_flag(b, "scale_decoder_outputs", by_default) || b->failed) return;
  const float scale = (float)pow(b->model->width, -0.5);
  for (int i = 0; i < b->model->width; i++) own->decoder.norm[i] *= scale;
  b->model->untied_key = "scale_decoder_outputs";
}

static const char *const embeddings[] = {"shared.weight", "encoder.embed_tokens.weight",
                                         "decoder.embed_tokens.weight", NULL};

static void build(ld_builder *b) {
  const traits *t = traits_of(b);
  ld_model *model = b->model;
  t5 *own = model->own = ld_build_alloc(b, 1, sizeof *own);
  const sizes s = build_sizes(b, t);
  model->width = s.width;
  model->kv_width = s.n_heads * s.head_dim;
  model->vocab = ld_build_size(b, "vocab_size", t->vocab);
  own->encoder.n = model->n_encoder_blocks = ld_build_size(b, "num_layers", t->n_layers);
  /* transformers takes its default from num_layers before it reads the other name. */
  const ld_value *layers = ld_value_get(b->config, "num_layers");
  own->decoder.n = model->n_blocks =
      ld_build_size(b, "num_decoder_layers", layers ? (int)layers->integer : t->n_layers);
  own->eps = (float)ld_build_real(b, "layer_norm_epsilon", 1e-6);
  build_activation(b, own, t->feed);
  ld_build_refuse_flag(b, "is_decoder");
  model->decoder_start = ld_build_decoder_start(b, t->starts ? 0 : -1);
  const bool flag = ld_build_flag(b, "tie_word_embeddings", true);
  /* The head is always tied, as far as the flag goes: false only says that a head may be stored. */
  const bool tied = flag && t->may_scale ? true : !ld_build_there(b, LD_HEAD_WEIGHT);
  own->shared = ld_build_shared_embedding(b, tied, embeddings);
  if (b->failed) return;
  b->depth_key = "num_layers";
  build_stack(b, &s, own, &own->encoder, "encoder");
  b->depth_key = "num_decoder_layers";
  build_stack(b, &s, own, &own->decoder, "decoder");
  scale_output(b, own, t->may_scale && flag);
  ld_build_head(b, &own->shared);
}

/* x + attention(norm x) */
static ld_tensor *attend(const ld_stack_pass *p, const t5 *own, const t5_attention *a, ld_tensor *x,
                         bool cross) {
  ld_tensor *h = ld_op_rms_norm(p->tape, x, a->norm, x->cols, own->eps);
  h = ld_stack_attend(p, a->linears, &a->shape, h, cross);
  return ld_op_linear_accumulate(p->tape, x, h, &a->linears[LD_O], p->batch);
}

static ld_tensor *feed_forward(const ld_stack_pass *p, const t5 *own, const t5_block *k, ld_tensor *x) {
  ld_tape *t = p->tape;
  ld_tensor *h = ld_op_rms_norm(t, x, k->feed_norm, x->cols, own->eps), *gate = NULL;
  if (own->gated) gate = ld_op_activation(t, ld_op_linear(t, h, &k->feed[GATE], p->batch), own->activation);
  h = ld_op_linear(t, h, &k->feed[IN], p->batch);
  h = gate ? ld_op_multiply(t, gate, h) : ld_op_activation(t, h, own->activation);
  return ld_op_linear_accumulate(t, x, h, &k->feed[OUT], p->batch);
}

static ld_tensor *run_stack(const ld_stack_pass *p, const void *of) {
  const t5 *own = of;
  const t5_stack *stack = p->source ? &own->decoder : &own->encoder;
  const ld_embedding tables = {.words = &own->shared, .padding = -1};
  ld_tape *t = p->tape;
  ld_tensor *x = ld_op_embedding(t, p->text, &tables);
  for (int i = 0; i < stack->n; i++) {
    const t5_block *k = &stack->blocks[i];
    ld_tape_block_begin(t);
    x = attend(p, own, &k->self, x, false);
    if (p->source) x = attend(p, own, &k->cross, x, true);
    x = feed_forward(p, own, k, x);
    ld_tape_block_end(t, LD_TENSORS(x));
  }
  return ld_op_rms_norm(t, x, stack->norm, x->cols, own->eps);
}

static ld_tensor *features(const ld_model *model, ld_tape *t, const ld_batch *batch) {
  return ld_stacks_run(t, batch, model->own, run_stack);
}

#define FAMILY(type, ...)                                                                                    \
  {                                                                                                          \
    .model_type = type, .architectures = {__VA_ARGS__}, .keys = {its_keys}, .input = LD_TEXT,                \
    .default_targets = "q,v", .task_type = "SEQ_2_SEQ_LM", .head = LD_HEAD_SEQ2SEQ, .build = build,          \
    .features = features,                                                                                    \
  }

const ld_family ld_t5 = FAMILY("t5", "T5ForConditionalGeneration", "T5WithLMHeadModel");
const ld_family ld_mt5 = FAMILY("mt5", "MT5ForConditionalGeneration");
const ld_family ld_umt5 = FAMILY("umt5", "UMT5ForConditionalGeneration");
