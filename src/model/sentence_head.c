#include "model/sentence_head.h"

#include <math.h>

#include "nn/ops.h"

enum { HEADS = 8, INNER = 2048 };
static const float eps = 1e-6f;

typedef struct sentence_layer {
  ld_linear norm; /* not in the first layer */
  ld_linear query, keys, values, final, inner_norm, up, down;
} sentence_layer;

struct ld_sentence_head {
  int n_layers;
  sentence_layer *layers;
  ld_attention attention;
  float *sines; /* (LD_MOST_SENTENCES, C) */
  ld_linear norm, score;
};

/* Sines and cosines in turn. */
static void make_sines(ld_builder *b, ld_sentence_head *head) {
  const int C = b->model->width;
  head->sines = ld_build_alloc(b, (size_t)LD_MOST_SENTENCES * (size_t)C, sizeof *head->sines);
  for (int i = 0; i < LD_MOST_SENTENCES; i++)
    for (int c = 0; c < C; c++) {
      const int even = c / 2 * 2;
      const double angle = i * exp(-log(10000.0) * even / C);
      head->sines[(size_t)i * (size_t)C + (size_t)c] = (float)(c % 2 ? cos(angle) : sin(angle));
    }
}

static void build_layer(ld_builder *b, sentence_layer *layer, int i) {
  static const char path[] = LD_SENTENCE_LAYERS;
  const int C = b->model->width;
  const ld_new_weights how = {b->request.fresh, 0};
  ld_build_block_begin(b);
  if (i) ld_build_norm(b, &layer->norm, C, how.renew, "%s.%d.layer_norm", path, i);
  ld_build_new_linear(b, &layer->query, C, C, how, "%s.%d.self_attn.linear_query", path, i);
  ld_build_new_linear(b, &layer->keys, C, C, how, "%s.%d.self_attn.linear_keys", path, i);
  ld_build_new_linear(b, &layer->values, C, C, how, "%s.%d.self_attn.linear_values", path, i);
  ld_build_new_linear(b, &layer->final, C, C, how, "%s.%d.self_attn.final_linear", path, i);
  ld_build_norm(b, &layer->inner_norm, C, how.renew, "%s.%d.feed_forward.layer_norm", path, i);
  ld_build_new_linear(b, &layer->up, C, INNER, how, "%s.%d.feed_forward.w_1", path, i);
  ld_build_new_linear(b, &layer->down, INNER, C, how, "%s.%d.feed_forward.w_2", path, i);
  ld_build_block_end(b);
}

static int count_stored(const ld_builder *b) {
  int n = 0;
  while (ld_build_there(b, LD_SENTENCE_LAYERS ".%d.feed_forward.w_1.weight", n)) n++;
  return n;
}

static void build_layers(ld_builder *b, ld_sentence_head *head) {
  const int C = b->model->width;
  if (C % HEADS)
    ld_build_refuse(b, "the width",
                    "(%d) must be a multiple of %d for a head with layers: use --head-layers 0", C, HEADS);
  if (b->failed) return;
  const int head_width = C / HEADS;
  head->attention = (ld_attention){.n_heads = HEADS,
                                   .n_kv_heads = HEADS,
                                   .head_dim = head_width,
                                   .scale = 1 / sqrtf((float)head_width),
                                   .block = LD_NO_CACHE};
  make_sines(b, head);
  head->layers = ld_build_alloc(b, (size_t)head->n_layers, sizeof *head->layers);
  for (int i = 0; i < head->n_layers; i++) build_layer(b, &head->layers[i], i);
  ld_build_norm(b, &head->norm, C, b->request.fresh, "ext_layer.layer_norm");
}

ld_sentence_head *ld_build_sentence_head(ld_builder *b) {
  ld_sentence_head *head = ld_build_alloc(b, 1, sizeof *head);
  head->n_layers = b->request.n_layers ? b->request.n_layers : count_stored(b);
  if (head->n_layers) build_layers(b, head);
  b->model->head = &head->score;
  ld_build_new_linear(b, &head->score, b->model->width, 1, (ld_new_weights){b->request.fresh, 0},
                      head->n_layers ? "ext_layer.wo" : "ext_layer.linear1");
  return head;
}

static ld_tensor *layer_forward(ld_tape *t, const ld_sentence_head *head, int i, ld_tensor *x,
                                const ld_batch *batch) {
  const sentence_layer *layer = &head->layers[i];
  const ld_field *sentences = ld_batch_field(batch, LD_SENTENCES);
  ld_tensor *h = i ? ld_op_trained_norm(t, x, &layer->norm, eps) : x;
  ld_tensor *query = ld_op_linear(t, h, &layer->query, batch);
  ld_tensor *key = ld_op_linear(t, h, &layer->keys, batch);
  ld_tensor *value = ld_op_linear(t, h, &layer->values, batch);
  h = ld_op_attention(t, query, key, value, &head->attention, sentences, sentences);
  x = ld_op_linear_accumulate(t, x, h, &layer->final, batch);
  h = ld_op_trained_norm(t, x, &layer->inner_norm, eps);
  h = ld_op_linear(t, h, &layer->up, batch);
  h = ld_op_activation(t, h, LD_GELU_TANH);
  return ld_op_linear_accumulate(t, x, h, &layer->down, batch);
}

ld_tensor *ld_sentence_features(const ld_sentence_head *head, ld_tape *t, ld_tensor *x,
                                const ld_batch *batch) {
  if (!head->n_layers) return x;
  x = ld_op_add_positions(t, x, ld_batch_field(batch, LD_SENTENCES), head->sines, LD_MOST_SENTENCES);
  for (int i = 0; i < head->n_layers; i++) {
    ld_tape_block_begin(t);
    x = layer_forward(t, head, i, x, batch);
    ld_tape_block_end(t, LD_TENSORS(x));
  }
  return ld_op_trained_norm(t, x, &head->norm, eps);
}
