/* BERT (Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019) with a classifier on
 * its first token, and its relatives, which differ in names and in the layers before the classifier: RoBERTa
 * (Liu et al., 2019), whose positions begin after its padding id, and DistilBERT (Sanh et al., 2019), which
 * has no token types. With a head for sentences it is BertSum (Liu and Lapata, "Text Summarization with
 * Pretrained Encoders", 2019): a score of the first token of each, and no end of positions. */
#include <math.h>
#include <string.h>

#include "model/build.h"
#include "model/families.h"
#include "model/sentence_head.h"
#include "nn/ops.h"

enum { Q, K, V, O, UP, DOWN, N_LINEARS };

typedef struct bert_block {
  ld_linear linears[N_LINEARS];
  float *norm_weight[2], *norm_bias[2]; /* after attention, after the feed-forward part */
} bert_block;

typedef struct bert {
  ld_weight words, positions, types;
  bool has_types;
  int padding; /* RoBERTa's padding id, after which its positions begin; -1 for others */
  float *norm_weight, *norm_bias;
  float eps;
  enum ld_activation activation, head_activation;
  ld_attention attention;
  bert_block *blocks;
  ld_linear head[2]; /* from the first token's row to a vector, and from there to the outputs */
  ld_sentence_head *sentence_head;
} bert;

/* What a relative calls its parts, below its body's name, and its keys in config.json. */
typedef struct spelling {
  const char *body, *layers, *linears[N_LINEARS], *norms[2], *head[2];
  const char *width, *heads, *inner, *depth, *activation;
  const char *eps; /* NULL: always 1e-12 */
} spelling;

static const spelling bert_spelling = {
    "bert",
    "encoder.layer",
    {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
     "intermediate.dense", "output.dense"},
    {"attention.output.LayerNorm", "output.LayerNorm"},
    {"bert.pooler.dense", "classifier"},
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "num_hidden_layers",
    "hidden_act",
    "layer_norm_eps",
};

static const spelling distilbert_spelling = {
    "distilbert",
    "transformer.layer",
    {"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"},
    {"sa_layer_norm", "output_layer_norm"},
    {"pre_classifier", "classifier"},
    "dim",
    "n_heads",
    "hidden_dim",
    "n_layers",
    "activation",
    NULL,
};

static spelling roberta_spelling(void) {
  spelling s = bert_spelling;
  s.body = "roberta";
  s.head[0] = "classifier.dense";
  s.head[1] = "classifier.out_proj";
  return s;
}

static void build_block(ld_builder *b, const spelling *s, bert_block *k, int layer, int C, int inner) {
  ld_build_block_begin(b);
  for (int i = 0; i < N_LINEARS; i++)
    ld_build_linear(b, &k->linears[i], i == DOWN ? inner : C, i == UP ? inner : C, true, "%s.%s.%d.%s",
                    s->body, s->layers, layer, s->linears[i]);
  for (int i = 0; i < 2; i++) {
    k->norm_weight[i] = ld_build_vector(b, C, "%s.%s.%d.%s.weight", s->body, s->layers, layer, s->norms[i]);
    k->norm_bias[i] = ld_build_vector(b, C, "%s.%s.%d.%s.bias", s->body, s->layers, layer, s->norms[i]);
  }
  ld_build_block_end(b);
}

static void build_embeddings(ld_builder *b, const spelling *s, bert *own, int n_types) {
  const int C = b->model->width, n_positions = ld_build_size(b, "max_position_embeddings", 512);
  own->words = ld_build_matrix(b, b->model->vocab, C, "%s.embeddings.word_embeddings.weight", s->body);
  own->positions = ld_build_matrix(b, n_positions, C, "%s.embeddings.position_embeddings.weight", s->body);
  own->has_types = n_types > 0;
  if (n_types)
    own->types = ld_build_matrix(b, n_types, C, "%s.embeddings.token_type_embeddings.weight", s->body);
  own->norm_weight = ld_build_vector(b, C, "%s.embeddings.LayerNorm.weight", s->body);
  own->norm_bias = ld_build_vector(b, C, "%s.embeddings.LayerNorm.bias", s->body);
  b->model->max_positions = n_positions;
  b->model->n_types = n_types;
}

static void refuse_what_is_not_known(ld_builder *b) {
  const char *positions = ld_build_string(b, "position_embedding_type", "absolute");
  if (strcmp(positions, "absolute") != 0)
    ld_build_refuse(b, "position_embedding_type", "\"%s\" is not supported", positions);
  const ld_value *chunk = ld_value_get(b->config, "chunk_size_feed_forward");
  if (chunk && chunk->integer > 1)
    ld_build_refuse(b, "chunk_size_feed_forward",
                    "(%lld) is not supported: it saves memory in transformers, which then takes only texts "
                    "of a multiple of it; set it to 0, which changes no number",
                    (long long)chunk->integer);
  ld_build_refuse_flag(b, "is_decoder");
  ld_build_refuse_flag(b, "add_cross_attention");
}

/* The keys that the classes of BERT and RoBERTa declare. */
static const ld_key bert_keys[] = {
    {"add_cross_attention", LD_TAKES_FLAG, NULL},
    {"attention_probs_dropout_prob", LD_TAKES_SHARE, NULL},
    {"bos_token_id", LD_TAKES_ID, NULL},
    {"classifier_dropout", LD_TAKES_SHARE | LD_TAKES_NULL, NULL},
    {"eos_token_id", LD_TAKES_IDS, NULL},
    {"hidden_act", LD_TAKES_STRING, NULL},
    {"hidden_dropout_prob", LD_TAKES_SHARE, NULL},
    {"hidden_size", LD_TAKES_INTEGER, NULL},
    {"initializer_range", LD_TAKES_REAL, NULL},
    {"intermediate_size", LD_TAKES_INTEGER, NULL},
    {"is_decoder", LD_TAKES_FLAG, NULL},
    {"layer_norm_eps", LD_TAKES_REAL, NULL},
    {"max_position_embeddings", LD_TAKES_INTEGER, NULL},
    {"num_attention_heads", LD_TAKES_INTEGER, NULL},
    {"num_hidden_layers", LD_TAKES_INTEGER, NULL},
    {"pad_token_id", LD_TAKES_ID, NULL},
    {"tie_word_embeddings", LD_TAKES_FLAG, NULL},
    {"type_vocab_size", LD_TAKES_INTEGER, NULL},
    {"use_cache", LD_TAKES_FLAG, NULL},
    {"vocab_size", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

static const ld_key distilbert_keys[] = {
    {"activation", LD_TAKES_STRING, NULL},
    {"attention_dropout", LD_TAKES_SHARE, NULL},
    {"bos_token_id", LD_TAKES_ID, NULL},
    {"dim", LD_TAKES_INTEGER, "hidden_size"},
    {"dropout", LD_TAKES_SHARE, NULL},
    {"eos_token_id", LD_TAKES_IDS, NULL},
    {"hidden_dim", LD_TAKES_INTEGER, NULL},
    {"initializer_range", LD_TAKES_REAL, NULL},
    {"max_position_embeddings", LD_TAKES_INTEGER, NULL},
    {"n_heads", LD_TAKES_INTEGER, "num_attention_heads"},
    {"n_layers", LD_TAKES_INTEGER, "num_hidden_layers"},
    {"pad_token_id", LD_TAKES_ID, NULL},
    {"qa_dropout", LD_TAKES_SHARE, NULL},
    {"seq_classif_dropout", LD_TAKES_SHARE, NULL},
    {"sinusoidal_pos_embds", LD_TAKES_FLAG, NULL},
    {"tie_word_embeddings", LD_TAKES_FLAG, NULL},
    {"vocab_size", LD_TAKES_INTEGER, NULL},
    {NULL, 0, NULL},
};

static bert *build_encoder(ld_builder *b, const spelling *s, int n_types) {
  ld_model *model = b->model;
  bert *own = model->own = ld_build_alloc(b, 1, sizeof *own);
  own->padding = -1;
  const int C = model->width = ld_build_size(b, s->width, 768);
  const int n_heads = ld_build_size(b, s->heads, 12), inner = ld_build_size(b, s->inner, 3072);
  model->vocab = ld_build_size(b, "vocab_size", 0);
  model->n_blocks = ld_build_size(b, s->depth, 12);
  own->eps = s->eps ? (float)ld_build_real(b, s->eps, 1e-12) : 1e-12f;
  own->activation = ld_build_activation(b, s->activation, "gelu");
  refuse_what_is_not_known(b);
  ld_build_check_padding(b);
  b->depth_key = s->depth;
  if (C % n_heads)
    ld_build_refuse(b, ld_build_key(b, s->heads), "(%d) must divide %s (%d)", n_heads,
                    ld_build_key(b, s->width), C);
  const int head_width = C / n_heads;
  own->attention = (ld_attention){.n_heads = n_heads,
                                  .n_kv_heads = n_heads,
                                  .head_dim = head_width,
                                  .scale = 1 / sqrtf((float)head_width),
                                  .block = LD_NO_CACHE};
  build_embeddings(b, s, own, n_types);
  if (b->failed) return own;
  own->blocks = ld_build_alloc(b, (size_t)model->n_blocks, sizeof *own->blocks);
  for (int i = 0; i < model->n_blocks && !b->failed; i++) build_block(b, s, &own->blocks[i], i, C, inner);
  ld_build_end(b, s->depth, "%s.%s.%d.%s.weight", s->body, s->layers, model->n_blocks, s->linears[Q]);
  return own;
}

/* `renew`: the first layer belongs to the head too, and is made new with it. */
static void build_head(ld_builder *b, const spelling *s, bert *own, enum ld_activation activation,
                       bool renew) {
  if (b->model->family->head == LD_HEAD_SENTENCE) {
    b->model->max_positions = 0;
    own->sentence_head = ld_build_sentence_head(b);
    return;
  }
  const double spread = ld_build_real(b, "initializer_range", 0.02);
  const int C = b->model->width, n = ld_build_outputs(b);
  own->head_activation = activation;
  b->model->head = &own->head[1];
  if (b->model->family->head == LD_HEAD_TOKEN) {
    ld_build_new_linear(b, &own->head[1], C, n, (ld_new_weights){b->request.fresh, spread}, "classifier");
    return;
  }
  const ld_new_weights dense = {renew && b->request.fresh, spread};
  ld_build_new_linear(b, &own->head[0], C, C, dense, "%s", s->head[0]);
  ld_build_new_linear(b, &own->head[1], C, n, (ld_new_weights){b->request.fresh, spread}, "%s", s->head[1]);
}

static void build_bert(ld_builder *b) {
  bert *own = build_encoder(b, &bert_spelling, ld_build_size(b, "type_vocab_size", 2));
  build_head(b, &bert_spelling, own, LD_TANH, false);
}

/* The rows up to the padding id's have no position. */
static void build_roberta(ld_builder *b) {
  const spelling s = roberta_spelling();
  bert *own = build_encoder(b, &s, ld_build_size(b, "type_vocab_size", 2));
  if (ld_build_has(b, "pad_token_id") && !ld_value_get(b->config, "pad_token_id"))
    ld_build_refuse(b, "pad_token_id", "must not be null: the positions of a RoBERTa model begin after it");
  own->padding = ld_build_index(b, "pad_token_id", 1);
  b->model->max_positions -= own->padding + 1;
  if (b->model->max_positions < 1)
    ld_build_refuse(b, "pad_token_id", "(%d) leaves no positions of max_position_embeddings (%d)",
                    own->padding, own->positions.rows);
  build_head(b, &s, own, LD_TANH, true);
}

static void build_distilbert(ld_builder *b) {
  bert *own = build_encoder(b, &distilbert_spelling, 0);
  build_head(b, &distilbert_spelling, own, LD_RELU, true);
}

/* The rows that the head reads, by their numbers: the first token of each text, or of each sentence. */
typedef struct head_rows {
  const int32_t *list; /* NULL: all */
  int n;
} head_rows;

static head_rows rows_of_head(const ld_model *model, const ld_batch *batch) {
  if (model->family->head == LD_HEAD_TOKEN) return (head_rows){0};
  const bool by_record = model->family->head == LD_HEAD_RECORD;
  const ld_field *field = ld_batch_field(batch, by_record ? LD_TEXT : LD_SENTENCES);
  return by_record ? (head_rows){field->segment, field->n_segments} : (head_rows){field->ids, field->n_rows};
}

/* Of the last block only the rows that the head reads are computed after attention. */
static ld_tensor *block_forward(ld_tape *t, const bert *own, const bert_block *k, head_rows rows,
                                ld_tensor *x, const ld_batch *batch) {
  const ld_linear *l = k->linears;
  const ld_field *text = ld_batch_field(batch, LD_TEXT);
  ld_tensor *q = ld_op_linear(t, x, &l[Q], batch);
  ld_tensor *key = ld_op_linear(t, x, &l[K], batch);
  ld_tensor *value = ld_op_linear(t, x, &l[V], batch);
  ld_tensor *h = ld_op_attention(t, q, key, value, &own->attention, text, text);
  if (rows.list) {
    h = ld_op_pick_rows(t, h, rows.list, rows.n);
    x = ld_op_pick_rows(t, x, rows.list, rows.n);
  }
  x = ld_op_linear_accumulate(t, x, h, &l[O], batch);
  x = ld_op_layer_norm(t, x, k->norm_weight[0], k->norm_bias[0], own->eps);
  h = ld_op_linear(t, x, &l[UP], batch);
  h = ld_op_activation(t, h, own->activation);
  x = ld_op_linear_accumulate(t, x, h, &l[DOWN], batch);
  return ld_op_layer_norm(t, x, k->norm_weight[1], k->norm_bias[1], own->eps);
}

static ld_tensor *features(const ld_model *model, ld_tape *t, const ld_batch *batch) {
  const bert *own = model->own;
  const ld_head head = model->family->head;
  const ld_embedding tables = {.words = &own->words,
                               .positions = &own->positions,
                               .types = own->has_types ? &own->types : NULL,
                               .padding = own->padding,
                               .stretched = head == LD_HEAD_SENTENCE};
  ld_tensor *x = ld_op_embedding(t, ld_batch_field(batch, LD_TEXT), &tables);
  x = ld_op_layer_norm(t, x, own->norm_weight, own->norm_bias, own->eps);
  for (int i = 0; i < model->n_blocks; i++) {
    ld_tape_block_begin(t);
    const head_rows rows = i == model->n_blocks - 1 ? rows_of_head(model, batch) : (head_rows){0};
    x = block_forward(t, own, &own->blocks[i], rows, x, batch);
    ld_tape_block_end(t, LD_TENSORS(x));
  }
  if (head == LD_HEAD_SENTENCE) return ld_sentence_features(own->sentence_head, t, x, batch);
  if (head == LD_HEAD_TOKEN) return x;
  return ld_op_activation(t, ld_op_linear(t, x, &own->head[0], batch), own->head_activation);
}

#define FAMILY(type, its_keys, build_function, targets, its_head, task, whole, layers, ...)                  \
  {                                                                                                          \
    .model_type = type, .architectures = {__VA_ARGS__}, .keys = {its_keys}, .body = type, .input = LD_TEXT,  \
    .default_targets = targets, .default_whole = whole, .task_type = task, .head = its_head,                 \
    .head_layers = layers, .build = build_function, .features = features,                                    \
  }
#define RECORDS LD_HEAD_RECORD, "SEQ_CLS", "classifier,score", NULL
#define TOKENS LD_HEAD_TOKEN, "TOKEN_CLS", "classifier,score", NULL
#define SENTENCES LD_HEAD_SENTENCE, "FEATURE_EXTRACTION", "ext_layer", LD_SENTENCE_LAYERS
#define EXPAND(...) FAMILY(__VA_ARGS__)
#define BERT "BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction"
#define ROBERTA "RobertaModel", "RobertaForMaskedLM"
#define DISTILBERT "DistilBertModel", "DistilBertForMaskedLM"

const ld_family ld_bert =
    EXPAND("bert", bert_keys, build_bert, "query,value", RECORDS, "BertForSequenceClassification", BERT);
const ld_family ld_roberta = EXPAND("roberta", bert_keys, build_roberta, "query,value", RECORDS,
                                    "RobertaForSequenceClassification", ROBERTA);
const ld_family ld_distilbert = EXPAND("distilbert", distilbert_keys, build_distilbert, "q_lin,v_lin",
                                       RECORDS, "DistilBertForSequenceClassification", DISTILBERT);
const ld_family ld_bert_tokens =
    EXPAND("bert", bert_keys, build_bert, "query,value", TOKENS, "BertForTokenClassification", BERT);
const ld_family ld_roberta_tokens = EXPAND("roberta", bert_keys, build_roberta, "query,value", TOKENS,
                                           "RobertaForTokenClassification", ROBERTA);
const ld_family ld_distilbert_tokens = EXPAND("distilbert", distilbert_keys, build_distilbert, "q_lin,v_lin",
                                              TOKENS, "DistilBertForTokenClassification", DISTILBERT);

/* transformers does not have these classes. */
const ld_family ld_bert_sentences =
    EXPAND("bert", bert_keys, build_bert, "query,value", SENTENCES, "BertForExtractiveSummarization", BERT);
const ld_family ld_roberta_sentences = EXPAND("roberta", bert_keys, build_roberta, "query,value", SENTENCES,
                                              "RobertaForExtractiveSummarization", ROBERTA);
const ld_family ld_distilbert_sentences =
    EXPAND("distilbert", distilbert_keys, build_distilbert, "q_lin,v_lin", SENTENCES,
           "DistilBertForExtractiveSummarization", DISTILBERT);
