#include "model/clip.h"

#include <math.h>
#include <string.h>

typedef struct block {
  float *norm1[2], *norm2[2]; /* weight and bias */
  ld_linear q, k, v, out, up, down;
} block;

struct ld_clip {
  int width, n_blocks, length, vocab;
  int32_t eos;
  float eps;
  enum ld_activation activation;
  ld_attention shape;
  ld_weight words, positions;
  block *blocks;
  float *norm[2];
  ld_linear projection; /* without a path: none */
};

static const ld_key keys[] = {
    {"architectures", LD_TAKES_STRINGS | LD_TAKES_NULL, NULL},
    {"attention_dropout", LD_TAKES_NUMBER, NULL},
    {"eos_token_id", LD_TAKES_ID, NULL},
    {"hidden_act", LD_TAKES_STRING, NULL},
    {"hidden_size", LD_TAKES_INTEGER, NULL},
    {"intermediate_size", LD_TAKES_INTEGER, NULL},
    {"layer_norm_eps", LD_TAKES_NUMBER, NULL},
    {"max_position_embeddings", LD_TAKES_INTEGER, NULL},
    {"model_type", LD_TAKES_STRING, NULL},
    {"num_attention_heads", LD_TAKES_INTEGER, NULL},
    {"num_hidden_layers", LD_TAKES_INTEGER, NULL},
    {"projection_dim", LD_TAKES_INTEGER, NULL},
    {"vocab_size", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

#define BODY "text_model" /* files may have its name before those of tensors, or not */

static void build_norm(ld_builder *b, float *norm[2], int width, const char *path) {
  norm[0] = ld_build_vector(b, width, "%s.weight", path);
  norm[1] = ld_build_vector(b, width, "%s.bias", path);
}

static void build_block(ld_builder *b, block *k, int width, int inner, int i) {
  ld_build_block_begin(b);
  const char *path = ld_build_text(b, BODY ".encoder.layers.%d", i);
  build_norm(b, k->norm1, width, ld_build_text(b, "%s.layer_norm1", path));
  ld_build_linear(b, &k->k, width, width, true, "%s.self_attn.k_proj", path);
  ld_build_linear(b, &k->v, width, width, true, "%s.self_attn.v_proj", path);
  ld_build_linear(b, &k->q, width, width, true, "%s.self_attn.q_proj", path);
  ld_build_linear(b, &k->out, width, width, true, "%s.self_attn.out_proj", path);
  build_norm(b, k->norm2, width, ld_build_text(b, "%s.layer_norm2", path));
  ld_build_linear(b, &k->up, width, inner, true, "%s.mlp.fc1", path);
  ld_build_linear(b, &k->down, inner, width, true, "%s.mlp.fc2", path);
  ld_build_block_end(b);
}

static void read_config(ld_builder *b, ld_clip *clip) {
  const char *type = ld_build_string(b, "model_type", "clip_text_model");
  if (strcmp(type, "clip_text_model") != 0)
    ld_build_refuse(b, "model_type", "\"%.64s\" is not supported as a text encoder", type);
  clip->width = ld_build_size(b, "hidden_size", 512);
  clip->n_blocks = ld_build_size(b, "num_hidden_layers", 12);
  clip->length = ld_build_size(b, "max_position_embeddings", 77);
  clip->vocab = ld_build_size(b, "vocab_size", 49408);
  clip->eos = ld_build_index(b, "eos_token_id", 49407);
  clip->eps = (float)ld_build_real(b, "layer_norm_eps", 1e-5);
  clip->activation = ld_build_activation(b, "hidden_act", "quick_gelu");
  const int heads = ld_build_size(b, "num_attention_heads", 8), D = clip->width / heads;
  if (clip->width % heads)
    ld_build_refuse(b, "num_attention_heads", "(%d) must divide hidden_size (%d)", heads, clip->width);
  clip->shape = (ld_attention){.n_heads = heads,
                               .n_kv_heads = heads,
                               .head_dim = D,
                               .scale = 1 / sqrtf((float)D),
                               .causal = true,
                               .block = LD_NO_CACHE};
}

ld_clip *ld_clip_build(ld_builder *b, const char *component) {
  if (!ld_build_component_begin(b, component, BODY, keys)) return NULL;
  ld_clip *clip = ld_build_alloc(b, 1, sizeof *clip);
  b->aside = true;
  read_config(b, clip);
  const int inner = ld_build_size(b, "intermediate_size", 2048), width = clip->width;
  b->depth_key = "num_hidden_layers";
  clip->words = ld_build_matrix(b, clip->vocab, width, BODY ".embeddings.token_embedding.weight");
  clip->positions = ld_build_matrix(b, clip->length, width, BODY ".embeddings.position_embedding.weight");
  clip->blocks = ld_build_alloc(b, (size_t)clip->n_blocks, sizeof *clip->blocks);
  for (int i = 0; i < clip->n_blocks && !b->failed; i++) build_block(b, &clip->blocks[i], width, inner, i);
  ld_build_end(b, "num_hidden_layers", BODY ".encoder.layers.%d.mlp.fc1.weight", clip->n_blocks);
  build_norm(b, clip->norm, width, BODY ".final_layer_norm");
  if (ld_build_there(b, "text_projection.weight"))
    ld_build_linear(b, &clip->projection, width, ld_build_size(b, "projection_dim", 512), false,
                    "text_projection");
  ld_build_component_end(b);
  return clip;
}

int ld_clip_width(const ld_clip *clip) {
  return clip->width;
}

int ld_clip_pooled_width(const ld_clip *clip) {
  return clip->projection.path ? clip->projection.out : clip->width;
}

int ld_clip_length(const ld_clip *clip) {
  return clip->length;
}

int ld_clip_vocab(const ld_clip *clip) {
  return clip->vocab;
}

static ld_tensor *run_block(const ld_clip *clip, const block *k, ld_tape *t, ld_tensor *x,
                            const ld_field *text, const ld_batch *batch) {
  ld_tape_block_begin(t);
  ld_tensor *h = ld_op_layer_norm(t, x, k->norm1[0], k->norm1[1], clip->eps);
  ld_tensor *q = ld_op_linear(t, h, &k->q, batch);
  ld_tensor *keys_of = ld_op_linear(t, h, &k->k, batch);
  ld_tensor *values = ld_op_linear(t, h, &k->v, batch);
  h = ld_op_attention(t, q, keys_of, values, &clip->shape, text, text);
  x = ld_op_linear_accumulate(t, x, h, &k->out, batch);
  h = ld_op_layer_norm(t, x, k->norm2[0], k->norm2[1], clip->eps);
  h = ld_op_activation(t, ld_op_linear(t, h, &k->up, batch), clip->activation);
  x = ld_op_linear_accumulate(t, x, h, &k->down, batch);
  ld_tape_block_end(t, LD_TENSORS(x));
  return x;
}

/* The row of each text's end: the first with the end token's id. Configs of old files say 2 for that id, which
 * is not true: there the largest id is the end, as in transformers. */
static const int32_t *find_ends(const ld_clip *clip, ld_tape *tape, const ld_field *text) {
  int32_t *ends = ld_tape_record(tape, (size_t)text->n_segments * sizeof *ends);
  for (int s = 0; s < text->n_segments; s++) {
    const int32_t first = text->segment[s], last = text->segment[s + 1];
    ends[s] = first;
    for (int32_t i = last - 1; i >= first; i--) {
      const bool end = clip->eos == 2 ? text->ids[i] >= text->ids[ends[s]] : text->ids[i] == clip->eos;
      if (end) ends[s] = i;
    }
  }
  return ends;
}

ld_clip_states ld_clip_run(const ld_clip *clip, ld_tape *tape, const ld_field *text, ld_clip_wanted wanted,
                           const ld_batch *batch) {
  const ld_embedding tables = {.words = &clip->words, .positions = &clip->positions, .padding = -1};
  ld_clip_states states = {0};
  ld_tensor *x = ld_op_embedding(tape, text, &tables);
  const int n = wanted.last || wanted.pooled ? clip->n_blocks : clip->n_blocks - 1;
  for (int i = 0; i < n; i++) {
    if (i == clip->n_blocks - 1) states.before = x;
    x = run_block(clip, &clip->blocks[i], tape, x, text, batch);
  }
  if (n < clip->n_blocks) states.before = x;
  if (!wanted.last && !wanted.pooled) return states;
  if (wanted.pooled && !wanted.last)
    x = ld_op_pick_rows(tape, x, find_ends(clip, tape, text), text->n_segments);
  x = ld_op_layer_norm(tape, x, clip->norm[0], clip->norm[1], clip->eps);
  states.last = x;
  if (!wanted.pooled) return states;
  if (wanted.last) x = ld_op_pick_rows(tape, x, find_ends(clip, tape, text), text->n_segments);
  states.pooled = clip->projection.path ? ld_op_linear(tape, x, &clip->projection, batch) : x;
  return states;
}
