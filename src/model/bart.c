/* BART (Lewis et al., "BART: Denoising Sequence-to-Sequence Pre-training", 2020): an encoder-decoder with
 * learned positions and norms after each part. mBART (Liu et al., 2020) has the norms before each part and one
 * more after each stack, and begins a text with its language; Pegasus (Zhang et al., 2020) too has them before,
 * and its positions are sines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "linalg/codecs.h"
#include "model/build.h"
#include "model/encoder_decoder.h"
#include "model/families.h"

typedef struct norm {
  float *weight, *bias; /* NULL: there is none */
} norm;

typedef struct bart_attention {
  ld_linear linears[LD_N_PROJECTIONS];
  norm norm;
  ld_attention shape;
} bart_attention;

typedef struct bart_block {
  bart_attention self, cross; /* cross: of a decoder */
  ld_linear up, down;
  norm norm;
} bart_block;

typedef struct bart_stack {
  bart_block *blocks;
  int n;
  ld_weight positions;
  norm first, last; /* after the embedding, and after the last block */
} bart_stack;

typedef struct bart {
  ld_weight shared;
  bart_stack encoder, decoder;
  enum ld_activation activation;
  bool norm_before; /* each part, instead of after it */
  int first_position;
  float scale; /* of the embedding */
} bart;

/* The differences between the three. */
typedef struct traits {
  const char *model_type;
  int pad, start, eos; /* the default ids; start: LD_START_LAST; eos: what ends a text that is cut off */
  bool norm_before, norm_first, norm_last, sines;
} traits;

static const traits known[] = {
    {"bart", 1, 2, 2, .norm_first = true},
    {"mbart", 1, LD_START_LAST, 2, .norm_before = true, .norm_first = true, .norm_last = true},
    {"pegasus", 0, 0, 1, .norm_before = true, .norm_last = true, .sines = true},
};

static const traits *traits_of(const ld_builder *b) {
  const traits *t = known;
  while (strcmp(t->model_type, b->model->family->model_type) != 0) t++;
  return t;
}

static norm build_norm(ld_builder *b, const char *stack, const char *name) {
  norm n = {ld_build_vector(b, b->model->width, "model.%s.%s.weight", stack, name), NULL};
  n.bias = ld_build_vector(b, b->model->width, "model.%s.%s.bias", stack, name);
  return n;
}

static norm build_block_norm(ld_builder *b, const char *stack, int block, const char *name) {
  char *place = ld_format("%s.layers.%d", stack, block);
  const norm n = build_norm(b, place, name);
  free(place);
  return n;
}

static void build_attention(ld_builder *b, bart_attention *a, int n_heads, const char *stack, int block,
                            const char *name) {
  static const char *const names[] = {"q_proj", "k_proj", "v_proj", "out_proj"};
  const int C = b->model->width, D = C / n_heads;
  for (int i = 0; i < LD_N_PROJECTIONS; i++)
    ld_build_linear(b, &a->linears[i], C, C, true, "model.%s.layers.%d.%s.%s", stack, block, name, names[i]);
  char *norm_name = ld_format("%s_layer_norm", name);
  a->norm = build_block_norm(b, stack, block, norm_name);
  free(norm_name);
  a->shape = (ld_attention){.n_heads = n_heads,
                            .n_kv_heads = n_heads,
                            .head_dim = D,
                            .scale = 1 / sqrtf((float)D),
                            .block = LD_NO_CACHE};
}

/* Pegasus's positions: sines in the first half of the columns, cosines in the second. */
static ld_weight make_sines(ld_builder *b, int n) {
  const int C = b->model->width, half = (C + 1) / 2;
  float *table = ld_build_alloc(b, (size_t)n * (size_t)C, sizeof *table);
  for (int row = 0; row < n; row++)
    for (int j = 0; j < C; j++) {
      const int pair = j / 2;
      const double angle = row / pow(10000, 2.0 * pair / C);
      table[(size_t)row * (size_t)C + (size_t)(j % 2 ? half + pair : pair)] =
          (float)(j % 2 ? cos(angle) : sin(angle));
    }
  return (ld_weight){ld_coded_floats(table), n, C};
}

static ld_weight build_positions(ld_builder *b, const traits *t, const bart *own, const char *stack) {
  const int n = b->model->max_positions + own->first_position;
  if (t->sines && !ld_build_there(b, "model.%s.embed_positions.weight", stack)) return make_sines(b, n);
  return ld_build_matrix(b, n, b->model->width, "model.%s.embed_positions.weight", stack);
}

/* The keys of a stack in config.json. */
typedef struct stack_keys {
  const char *name, *layers, *heads, *inner;
} stack_keys;

static void build_stack(ld_builder *b, const traits *t, bart *own, bart_stack *stack, const stack_keys *k) {
  const bool decodes = stack == &own->decoder;
  const int C = b->model->width, n_heads = ld_build_size(b, k->heads, 16),
            inner = ld_build_size(b, k->inner, 4096);
  stack->n = ld_build_size(b, k->layers, 12);
  b->depth_key = k->layers;
  if (C % n_heads)
    ld_build_refuse(b, ld_build_key(b, k->heads), "(%d) must divide %s (%d)", n_heads,
                    ld_build_key(b, "d_model"), C);
  stack->positions = build_positions(b, t, own, k->name);
  if (t->norm_first) stack->first = build_norm(b, k->name, "layernorm_embedding");
  if (b->failed) return;
  stack->blocks = ld_build_alloc(b, (size_t)stack->n, sizeof *stack->blocks);
  for (int i = 0; i < stack->n && !b->failed; i++) {
    bart_block *block = &stack->blocks[i];
    ld_build_block_begin(b);
    build_attention(b, &block->self, n_heads, k->name, i, "self_attn");
    block->self.shape.causal = decodes;
    if (decodes) {
      build_attention(b, &block->cross, n_heads, k->name, i, "encoder_attn");
      block->self.shape.block = block->cross.shape.block = i;
    }
    ld_build_linear(b, &block->up, C, inner, true, "model.%s.layers.%d.fc1", k->name, i);
    ld_build_linear(b, &block->down, inner, C, true, "model.%s.layers.%d.fc2", k->name, i);
    block->norm = build_block_norm(b, k->name, i, "final_layer_norm");
    ld_build_block_end(b);
  }
  ld_build_end(b, k->layers, "model.%s.layers.%d.fc1.weight", k->name, stack->n);
  if (t->norm_last) stack->last = build_norm(b, k->name, "layer_norm");
}

static const ld_key keys[] = {
    {"activation_dropout", LD_TAKES_NUMBER, NULL},
    {"activation_function", LD_TAKES_STRING, NULL},
    {"attention_dropout", LD_TAKES_NUMBER, NULL},
    {"bos_token_id", LD_TAKES_ID, NULL},
    {"classifier_dropout", LD_TAKES_NUMBER, NULL},
    {"d_model", LD_TAKES_INTEGER, "hidden_size"},
    {"decoder_attention_heads", LD_TAKES_INTEGER, NULL},
    {"decoder_ffn_dim", LD_TAKES_INTEGER, NULL},
    {"decoder_layerdrop", LD_TAKES_NUMBER, NULL},
    {"decoder_layers", LD_TAKES_INTEGER, NULL},
    {"decoder_start_token_id", LD_TAKES_ID, NULL},
    {"dropout", LD_TAKES_NUMBER, NULL},
    {"encoder_attention_heads", LD_TAKES_INTEGER, "num_attention_heads"},
    {"encoder_ffn_dim", LD_TAKES_INTEGER, NULL},
    {"encoder_layerdrop", LD_TAKES_NUMBER, NULL},
    {"encoder_layers", LD_TAKES_INTEGER, "num_hidden_layers"},
    {"eos_token_id", LD_TAKES_IDS, NULL},
    {"forced_eos_token_id", LD_TAKES_IDS, NULL},
    {"init_std", LD_TAKES_REAL, NULL},
    {"is_decoder", LD_TAKES_FLAG, NULL},
    {"max_position_embeddings", LD_TAKES_INTEGER, NULL},
    {"pad_token_id", LD_TAKES_ID, NULL},
    {"scale_embedding", LD_TAKES_FLAG, NULL},
    {"tie_word_embeddings", LD_TAKES_FLAG, NULL},
    {"use_cache", LD_TAKES_FLAG, NULL},
    {"vocab_size", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

static const char *const embeddings[] = {"model.shared.weight", "model.encoder.embed_tokens.weight",
                                         "model.decoder.embed_tokens.weight", NULL};
static const stack_keys encoder_keys = {"encoder", "encoder_layers", "encoder_attention_heads",
                                        "encoder_ffn_dim"};
static const stack_keys decoder_keys = {"decoder", "decoder_layers", "decoder_attention_heads",
                                        "decoder_ffn_dim"};

/* A bias on the logits, which is not the head's: nothing trains it. Mostly it is all zeros. */
static void build_logit_bias(ld_builder *b) {
  const int n = b->model->vocab;
  if (!ld_build_there(b, "final_logits_bias")) return;
  float *bias = ld_build_table(b, 1, n, "final_logits_bias");
  bool used = false;
  for (int i = 0; bias && i < n; i++) used = used || bias[i] != 0;
  if (!used || b->failed) return;
  b->model->head->bias = bias;
  b->model->head->bias_fixed = true;
}

static void build(ld_builder *b) {
  const traits *t = traits_of(b);
  ld_model *model = b->model;
  bart *own = model->own = ld_build_alloc(b, 1, sizeof *own);
  model->width = model->kv_width = ld_build_size(b, "d_model", 1024);
  model->vocab = ld_build_size(b, "vocab_size", 50265);
  model->max_positions = ld_build_size(b, "max_position_embeddings", 1024);
  own->norm_before = t->norm_before;
  own->first_position = t->sines ? 0 : 2;
  own->activation = ld_build_activation(b, "activation_function", "gelu");
  if (ld_build_flag(b, "scale_embedding", false)) own->scale = (float)sqrt(model->width);
  ld_build_refuse_flag(b, "is_decoder");
  ld_build_check_padding(b);
  model->padding = ld_build_index(b, "pad_token_id", t->pad);
  model->forced_eos = t->eos;
  model->decoder_start = t->start == LD_START_LAST ? LD_START_LAST : ld_build_decoder_start(b, t->start);
  own->shared = ld_build_shared_embedding(b, ld_build_flag(b, "tie_word_embeddings", true), embeddings);
  build_stack(b, t, own, &own->encoder, &encoder_keys);
  build_stack(b, t, own, &own->decoder, &decoder_keys);
  model->n_encoder_blocks = own->encoder.n;
  model->n_blocks = own->decoder.n;
  ld_build_head(b, &own->shared);
  if (!b->failed) build_logit_bias(b);
}

static const float EPS = 1e-5f;

static ld_tensor *normalise(const ld_stack_pass *p, ld_tensor *x, const norm *n) {
  return n->weight ? ld_op_layer_norm(p->tape, x, n->weight, n->bias, EPS) : x;
}

static ld_tensor *attend(const ld_stack_pass *p, const bart *own, const bart_attention *a, ld_tensor *x,
                         bool cross) {
  ld_tensor *h = own->norm_before ? normalise(p, x, &a->norm) : x;
  h = ld_stack_attend(p, a->linears, &a->shape, h, cross);
  x = ld_op_linear_accumulate(p->tape, x, h, &a->linears[LD_O], p->batch);
  return own->norm_before ? x : normalise(p, x, &a->norm);
}

static ld_tensor *feed_forward(const ld_stack_pass *p, const bart *own, const bart_block *k, ld_tensor *x) {
  ld_tape *t = p->tape;
  ld_tensor *h = own->norm_before ? normalise(p, x, &k->norm) : x;
  h = ld_op_linear(t, h, &k->up, p->batch);
  h = ld_op_activation(t, h, own->activation);
  x = ld_op_linear_accumulate(t, x, h, &k->down, p->batch);
  return own->norm_before ? x : normalise(p, x, &k->norm);
}

static ld_tensor *run_stack(const ld_stack_pass *p, const void *of) {
  const bart *own = of;
  const bart_stack *stack = p->source ? &own->decoder : &own->encoder;
  const ld_embedding tables = {.words = &own->shared,
                               .positions = &stack->positions,
                               .padding = -1,
                               .first = own->first_position,
                               .scale = own->scale};
  ld_tape *t = p->tape;
  ld_tensor *x = ld_op_embedding(t, p->text, &tables);
  x = normalise(p, x, &stack->first);
  for (int i = 0; i < stack->n; i++) {
    const bart_block *k = &stack->blocks[i];
    ld_tape_block_begin(t);
    x = attend(p, own, &k->self, x, false);
    if (p->source) x = attend(p, own, &k->cross, x, true);
    x = feed_forward(p, own, k, x);
    ld_tape_block_end(t, LD_TENSORS(x));
  }
  return normalise(p, x, &stack->last);
}

static ld_tensor *features(const ld_model *model, ld_tape *t, const ld_batch *batch) {
  return ld_stacks_run(t, batch, model->own, run_stack);
}

#define FAMILY(type, ...)                                                                                    \
  {                                                                                                          \
    .model_type = type, .architectures = {__VA_ARGS__}, .keys = {keys}, .body = "model", .input = LD_TEXT,   \
    .default_targets = "q_proj,v_proj", .task_type = "SEQ_2_SEQ_LM", .head = LD_HEAD_SEQ2SEQ,                \
    .build = build, .features = features,                                                                    \
  }

const ld_family ld_bart = FAMILY("bart", "BartForConditionalGeneration", "BartModel");
const ld_family ld_mbart = FAMILY("mbart", "MBartForConditionalGeneration", "MBartModel");
const ld_family ld_pegasus = FAMILY("pegasus", "PegasusForConditionalGeneration", "PegasusModel");
