/* GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019): learned positions,
 * layer norms before each part, one product for q, k and v, weights stored (in, out), head tied to the
 * embedding. */
#include <math.h>

#include "model/build.h"
#include "model/families.h"
#include "nn/ops.h"

enum { ATTN, PROJ, FC, DOWN, N_LINEARS };

typedef struct gpt2_block {
  float *ln_1_weight, *ln_1_bias, *ln_2_weight, *ln_2_bias;
  ld_linear linears[N_LINEARS];
  ld_attention attention;
} gpt2_block;

typedef struct gpt2 {
  ld_weight wte, wpe;
  float *ln_f_weight, *ln_f_bias;
  float eps;
  enum ld_activation activation;
  gpt2_block *blocks;
} gpt2;

static void build_block(ld_builder *b, gpt2_block *k, int layer, int C, int inner, int n_heads) {
  ld_build_block_begin(b);
  k->ln_1_weight = ld_build_vector(b, C, "transformer.h.%d.ln_1.weight", layer);
  k->ln_1_bias = ld_build_vector(b, C, "transformer.h.%d.ln_1.bias", layer);
  ld_build_linear(b, &k->linears[ATTN], C, 3 * C, true, "transformer.h.%d.attn.c_attn", layer);
  ld_build_linear(b, &k->linears[PROJ], C, C, true, "transformer.h.%d.attn.c_proj", layer);
  k->ln_2_weight = ld_build_vector(b, C, "transformer.h.%d.ln_2.weight", layer);
  k->ln_2_bias = ld_build_vector(b, C, "transformer.h.%d.ln_2.bias", layer);
  ld_build_linear(b, &k->linears[FC], C, inner, true, "transformer.h.%d.mlp.c_fc", layer);
  ld_build_linear(b, &k->linears[DOWN], inner, C, true, "transformer.h.%d.mlp.c_proj", layer);
  ld_build_block_end(b);
  const int D = C / n_heads;
  float scale = 1;
  if (ld_build_flag(b, "scale_attn_weights", true)) scale /= sqrtf((float)D);
  if (ld_build_flag(b, "scale_attn_by_inverse_layer_idx", false)) scale /= (float)(layer + 1);
  k->attention = (ld_attention){.n_heads = n_heads,
                                .n_kv_heads = n_heads,
                                .head_dim = D,
                                .scale = scale,
                                .causal = true,
                                .block = layer};
}

static const ld_key keys[] = {
    {"activation_function", LD_TAKES_STRING, NULL},
    {"add_cross_attention", LD_TAKES_FLAG, NULL},
    {"attn_pdrop", LD_TAKES_SHARE, NULL},
    {"bos_token_id", LD_TAKES_ID, NULL},
    {"embd_pdrop", LD_TAKES_SHARE, NULL},
    {"eos_token_id", LD_TAKES_IDS, NULL},
    {"initializer_range", LD_TAKES_REAL, NULL},
    {"layer_norm_epsilon", LD_TAKES_REAL, NULL},
    {"n_embd", LD_TAKES_INTEGER, "hidden_size"},
    {"n_head", LD_TAKES_INTEGER, "num_attention_heads"},
    {"n_inner", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"n_layer", LD_TAKES_INTEGER, "num_hidden_layers"},
    {"n_positions", LD_TAKES_INTEGER, "max_position_embeddings"},
    {"pad_token_id", LD_TAKES_ID, NULL},
    {"reorder_and_upcast_attn", LD_TAKES_FLAG, NULL},
    {"resid_pdrop", LD_TAKES_SHARE, NULL},
    {"scale_attn_by_inverse_layer_idx", LD_TAKES_FLAG, NULL},
    {"scale_attn_weights", LD_TAKES_FLAG, NULL},
    {"summary_activation", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"summary_first_dropout", LD_TAKES_NUMBER, NULL},
    {"summary_proj_to_labels", LD_TAKES_FLAG, NULL},
    {"summary_type", LD_TAKES_STRING, NULL},
    {"summary_use_proj", LD_TAKES_FLAG, NULL},
    {"tie_word_embeddings", LD_TAKES_FLAG, NULL},
    {"use_cache", LD_TAKES_FLAG, NULL},
    {"vocab_size", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

static void build(ld_builder *b) {
  ld_model *model = b->model;
  gpt2 *own = model->own = ld_build_alloc(b, 1, sizeof *own);
  const int C = model->width = ld_build_size(b, "n_embd", 0);
  const int n_heads = ld_build_size(b, "n_head", 0);
  const int inner = ld_build_size(b, "n_inner", 4 * C);
  model->vocab = ld_build_size(b, "vocab_size", 0);
  model->n_blocks = ld_build_size(b, "n_layer", 0);
  model->max_positions = ld_build_size(b, "n_positions", 1024);
  model->kv_width = C;
  own->eps = (float)ld_build_real(b, "layer_norm_epsilon", 1e-5);
  own->activation = ld_build_activation(b, "activation_function", "gelu_new");
  const bool tied = ld_build_flag(b, "tie_word_embeddings", true);
  if (C % n_heads)
    ld_build_refuse(b, ld_build_key(b, "n_head"), "(%d) must divide %s (%d)", n_heads,
                    ld_build_key(b, "n_embd"), C);
  ld_build_refuse_flag(b, "add_cross_attention");
  b->depth_key = "n_layer";
  ld_build_name_size(b, "3 times n_embd", 3 * (int64_t)C);
  own->wte = ld_build_embedding(b, tied, "transformer.wte.weight");
  own->wpe = ld_build_matrix(b, model->max_positions, C, "transformer.wpe.weight");
  if (b->failed) return;
  own->blocks = ld_build_alloc(b, (size_t)model->n_blocks, sizeof *own->blocks);
  for (int i = 0; i < model->n_blocks && !b->failed; i++)
    build_block(b, &own->blocks[i], i, C, inner, n_heads);
  ld_build_end(b, "n_layer", "transformer.h.%d.ln_1.weight", model->n_blocks);
  own->ln_f_weight = ld_build_vector(b, C, "transformer.ln_f.weight");
  own->ln_f_bias = ld_build_vector(b, C, "transformer.ln_f.bias");
  ld_build_head(b, &own->wte);
}

static ld_tensor *block_forward(ld_tape *t, const gpt2 *own, const gpt2_block *k, ld_tensor *x,
                                const ld_batch *batch) {
  const int C = x->cols;
  const ld_field *text = ld_batch_field(batch, LD_TEXT);
  ld_tensor *h = ld_op_layer_norm(t, x, k->ln_1_weight, k->ln_1_bias, own->eps);
  ld_tensor *qkv = ld_op_linear(t, h, &k->linears[ATTN], batch);
  h = ld_op_attention(t, ld_tape_columns(t, qkv, 0, C), ld_tape_columns(t, qkv, C, C),
                      ld_tape_columns(t, qkv, 2 * C, C), &k->attention, text, text);
  x = ld_op_linear_accumulate(t, x, h, &k->linears[PROJ], batch);
  h = ld_op_layer_norm(t, x, k->ln_2_weight, k->ln_2_bias, own->eps);
  h = ld_op_linear(t, h, &k->linears[FC], batch);
  h = ld_op_activation(t, h, own->activation);
  return ld_op_linear_accumulate(t, x, h, &k->linears[DOWN], batch);
}

static ld_tensor *features(const ld_model *model, ld_tape *t, const ld_batch *batch) {
  const gpt2 *own = model->own;
  const ld_embedding embedding = {.words = &own->wte, .positions = &own->wpe, .padding = -1};
  ld_tensor *x = ld_op_embedding(t, ld_batch_field(batch, LD_TEXT), &embedding);
  for (int i = 0; i < model->n_blocks; i++) {
    ld_tape_block_begin(t);
    x = block_forward(t, own, &own->blocks[i], x, batch);
    ld_tape_block_end(t, LD_TENSORS(x));
  }
  return ld_op_layer_norm(t, x, own->ln_f_weight, own->ln_f_bias, own->eps);
}

const ld_family ld_gpt2 = {
    .model_type = "gpt2",
    .architectures = {"GPT2LMHeadModel"},
    .keys = {keys},
    .body = "transformer",
    .input = LD_TEXT,
    .default_targets = "c_attn",
    .task_type = "CAUSAL_LM",
    .fan_in_fan_out = true,
    .build = build,
    .features = features,
};
