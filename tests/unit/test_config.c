/* The keys of config.json: types, limits, and which of two contradicting places wins.
 * tests/golden/config_settings.py compared all of them with transformers; here is one of each kind. */
#include "golden.h"

#include "base/text.h"
#include "linalg/codecs.h"
#include "model/model.h"
#include "model/registry.h"
#include "nn/ops.h"

/* A folder's weights, plus one or minus one. */
typedef struct changed {
  ld_model_folder *folder;
  const char *name; /* NULL: as in the folder */
  const ld_stored *stored;
} changed;

static const ld_stored *find_changed(void *self, const char *name, int block) {
  const changed *c = self;
  (void)block;
  return c->name && !strcmp(c->name, name) ? c->stored : ld_model_folder_find(c->folder, name);
}

typedef struct built {
  changed weights;
  ld_weight_store *store;
  ld_value *config;
  ld_model *model;
  ld_error err;
  int rc;
} built;

/* Builds the golden model with the members of `edits`, a JSON object, in its config.json, and with `stored` as
 * its tensor of that name. */
static built build_with(const char *name, const char *edits, const char *tensor, const ld_stored *stored) {
  built b = {.weights = {.name = tensor, .stored = stored}};
  char *path = ld_path_join(MODELS, name), *config = ld_path_join(path, "config.json");
  must(ld_model_folder_open(path, &b.weights.folder, &b.err), &b.err);
  ld_value *map = ld_json_parse(edits, strlen(edits), "edits", &b.err);
  cr_assert(map, "%s", b.err.text);
  b.config = ld_json_read(config, &b.err);
  size_t room = b.config->n_items;
  for (size_t i = 0; i < map->n_items; i++) {
    ld_value *at = (ld_value *)ld_value_member(b.config, map->items[i].key);
    if (!at) at = ld_value_add(b.config, ld_strdup(map->items[i].key), &room);
    char *key = at->key;
    ld_value_clear(at);
    *at = map->items[i];
    at->key = key;
    map->items[i] = (ld_value){.key = map->items[i].key};
  }
  ld_value_free(map);
  b.store = ld_alloc(1, sizeof *b.store); /* take is not needed: everything is always there */
  *b.store = (ld_weight_store){.source = "m", .self = &b.weights, .find = find_changed};
  b.rc = ld_model_build(b.config, b.store, NULL, &b.model, &b.err);
  free(path), free(config);
  return b;
}

static void end(built *b) {
  if (!b->rc) ld_model_free(b->model);
  free(b->store);
  ld_value_free(b->config);
  ld_model_folder_close(b->weights.folder);
}

static void refused(const char *name, const char *edits, const char *why) {
  built b = build_with(name, edits, NULL, NULL);
  cr_assert(b.rc, "%s takes %s", name, edits);
  cr_assert(strstr(b.err.text, why), "%s, %s: %s", name, edits, b.err.text);
  end(&b);
}

/* The logits of the folder without its adapter are those recorded. */
static void same_logits(const char *name, const char *edits, size_t n_warnings) {
  built b = build_with(name, edits, NULL, NULL);
  cr_assert(!b.rc, "%s, %s: %s", name, edits, b.err.text);
  cr_assert_eq(b.model->n_warnings, n_warnings, "%s, %s: %zu warnings", name, edits, b.model->n_warnings);
  char *path = ld_format("%s/%s/golden.safetensors", MODELS, name);
  ld_safetensors *golden;
  must(ld_safetensors_open(path, &golden, &b.err), &b.err);
  const ld_stored *ids = ld_safetensors_find(golden, "seq0.ids"),
                  *want = ld_safetensors_find(golden, "seq0.base_logits");
  const int T = (int)ids->shape[0];
  int32_t positions[64], segment[] = {0, T};
  for (int t = 0; t < T; t++) positions[t] = t;
  const ld_batch batch = {.fields = {{.name = LD_TEXT,
                                      .n_rows = T,
                                      .n_segments = 1,
                                      .segment = segment,
                                      .ids = ids->data,
                                      .positions = positions}}};
  ld_tape *tape = ld_tape_create();
  const ld_tensor *logits = NULL;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    logits = ld_model_logits(b.model, tape, &batch);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  const double error = relative(logits->data, want->data, (size_t)ld_stored_count(want));
  cr_assert(error < TOLERANCE, "%s, %s: %.2e", name, edits, error);
  ld_tape_free(tape);
  ld_safetensors_close(golden);
  free(path);
  end(&b);
}

#define LINEAR "{\"rope_type\": \"linear\", \"factor\": 2.5, \"rope_theta\": 10000.0}"

Test(config, rope_scaling_stands_in_for_rope_parameters) {
  const char *other = "{\"rope_type\": \"default\", \"rope_theta\": 77.0}";
  char *both =
      ld_format("{\"rope_scaling\": " LINEAR ", \"rope_parameters\": %s, \"rope_theta\": 3.0}", other);
  same_logits("llama_linear", "{}", 0);
  same_logits("llama_linear", both, 1);
  same_logits("llama_linear", "{\"rope_scaling\": {}, \"rope_theta\": 3.0}", 0);
  same_logits("llama_linear",
              "{\"rope_parameters\": null, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}}", 0);
  same_logits("llama_linear",
              "{\"rope_parameters\": null, \"rope_theta\": 10000, \"rope_scaling\": {\"type\": \"yarn\", "
              "\"rope_type\": \"linear\", \"factor\": 2.5, \"beta_fast\": 3}}",
              1);
  free(both);
}

Test(config, a_length_at_the_top_comes_before_that_of_rope_parameters) {
  built b = build_with("llama3", "{}", NULL, NULL);
  const ld_value *rope = ld_value_get(b.config, "rope_scaling");
  if (!rope) rope = ld_value_get(b.config, "rope_parameters");
  const double length = ld_value_get(rope, "original_max_position_embeddings")->real;
  char *edits =
      ld_format("{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": %g, \"low_freq_factor\": %g, "
                "\"high_freq_factor\": %g, \"original_max_position_embeddings\": 3, \"rope_theta\": 5e5}, "
                "\"original_max_position_embeddings\": %g}",
                ld_value_get(rope, "factor")->real, ld_value_get(rope, "low_freq_factor")->real,
                ld_value_get(rope, "high_freq_factor")->real, length);
  same_logits("llama3", edits, ld_value_get(b.config, "rope_parameters") ? 1 : 0);
  free(edits);
  end(&b);
}

Test(config, rope_is_refused_by_name) {
  static const char *const rows[][2] = {
      {"{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0}}", "rope_scaling has the type \"yarn\""},
      {"{\"rope_scaling\": [1, 2]}", "rope_scaling: expected a map or null, found a list"},
      {"{\"rope_parameters\": \"linear\"}", "rope_parameters: expected a map or null, found a string"},
      {"{\"rope_parameters\": {\"rope_type\": null}}", "rope_type in a string, not null"},
      {"{\"rope_parameters\": {\"rope_type\": \"linear\"}}", "needs a member 'factor'"},
      {"{\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": \"2\"}}", "'factor' that is a string"},
      {"{\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 0}}", "positive factor"},
      {"{\"rope_parameters\": {\"rope_theta\": null}}", "'rope_theta' that is null"},
      {"{\"rope_parameters\": null, \"rope_theta\": null}", "rope_theta must be a positive number"},
      {"{\"rope_parameters\": null, \"rope_theta\": 0}", "rope_theta must be a positive number"},
      {"{\"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8}}",
       "needs a member 'low_freq_factor'"},
      {"{\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 3}}}", "each type of layer"},
      {"{\"partial_rotary_factor\": 0.5}", "partial_rotary_factor"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) refused("llama_linear", rows[i][0], rows[i][1]);
}

Test(config, values_are_of_the_types_that_transformers_declares) {
  static const char *const rows[][3] = {
      {"gpt2", "{\"n_head\": 4.0}", "n_head: expected an integer, found 4"},
      {"gpt2", "{\"n_positions\": null}", "n_positions: expected an integer, found null"},
      {"gpt2", "{\"layer_norm_epsilon\": 1}", "layer_norm_epsilon: expected a number with a decimal point"},
      {"gpt2", "{\"use_cache\": 1}", "use_cache: expected true or false, found 1"},
      {"gpt2", "{\"resid_pdrop\": 2}", "resid_pdrop: expected a number from 0 to 1, found 2"},
      {"gpt2", "{\"eos_token_id\": [\"a\"]}",
       "eos_token_id: expected an integer or a list of integers or null"},
      {"gpt2", "{\"hidden_size\": 7}", "must divide hidden_size (7)"},
      {"gpt2", "{\"is_causal\": false}", "is_causal must be true"},
      {"gpt2", "{\"dtype\": \"text\"}", "dtype \"text\""},
      {"gpt2", "{\"per_layer_config\": {\"0\": {}}}", "per_layer_config is not supported"},
      {"gpt2", "{\"n_layer\": 3}", "which n_layer in config.json asks for"},
      {"gpt2", "{\"vocab_size\": 5}", "(vocab_size is 5)"},
      {"gpt2", "{\"tie_word_embeddings\": false}",
       "tie_word_embeddings is false, but the tensor 'lm_head.weight'"},
      {"mistral", "{\"num_key_value_heads\": null}", "num_key_value_heads: expected an integer, found null"},
      {"mistral", "{\"layer_types\": [\"full_attention\"]}", "layer_types must list a type for each"},
      {"llama2", "{\"attention_bias\": true}", "which attention_bias in config.json asks for"},
      {"llama2", "{\"pad_token_id\": 1000000}", "pad_token_id (1000000) is not in the vocabulary"},
      {"qwen3", "{\"head_dim\": null}", "head_dim: expected an integer, found null"},
      {"bert", "{\"num_labels\": 5}", "num_labels is 5"},
      {"bert", "{\"num_labels\": null}", "num_labels must be an integer, not null"},
      {"bert", "{\"id2label\": {\"a\": \"b\"}}", "id2label: the key 'a' is"},
      {"bert", "{\"id2label\": {}}", "id2label names no class"},
      {"bert", "{\"add_cross_attention\": true}", "add_cross_attention is not supported"},
      {"roberta", "{\"pad_token_id\": null}", "pad_token_id must not be null"},
      {"distilbert", "{\"dropout\": \"x\"}", "dropout: expected a number from 0 to 1, found a string"},
      {"resnet_basic", "{\"depths\": [1.0, 2.0]}", "depths: expected a list of integers"},
      {"resnet_basic", "{\"out_features\": [\"stage9\"]}", "out_features has \"stage9\""}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) refused(rows[i][0], rows[i][1], rows[i][2]);
}

Test(config, an_alias_comes_before_its_key) {
  built b = build_with("gpt2", "{}", NULL, NULL);
  const long long heads = ld_value_get(b.config, "n_head")->integer;
  char *edits = ld_format("{\"n_head\": 1, \"num_attention_heads\": %lld}", heads);
  same_logits("gpt2", edits, 0);
  free(edits);
  end(&b);
}

Test(config, num_labels_comes_before_id2label) {
  built b = build_with("bert", "{\"num_labels\": 3, \"id2label\": {\"0\": \"a\"}}", NULL, NULL);
  cr_assert(!b.rc, "%s", b.err.text);
  cr_assert_eq(b.model->head->out, 3);
  cr_assert(b.model->n_warnings == 1 && strstr(b.model->warnings[0], "id2label is ignored"));
  cr_assert_null(ld_model_label(b.config, 0));
  end(&b);
}

/* As in transformers 5: tensors that differ are not tied, and of two that are tied one may be missing. */
Test(config, a_stored_head_that_differs_is_the_head) {
  static const char *const models[][2] = {{"gpt2", "transformer.wte.weight"},
                                          {"llama3", "model.embed_tokens.weight"}};
  for (int i = 0; i < 2; i++) {
    built plain = build_with(models[i][0], "{}", NULL, NULL);
    const ld_stored *embedding = ld_model_folder_find(plain.weights.folder, models[i][1]);
    const size_t n = (size_t)ld_stored_count(embedding);
    float *copy = ld_alloc(n, sizeof *copy);
    ld_dtype_to_f32(copy, embedding->data, embedding->dtype, 0, (int64_t)n);
    ld_stored head = *embedding;
    head.data = copy;
    head.dtype = LD_F32;
    built same = build_with(models[i][0], "{}", LD_HEAD_WEIGHT, &head);
    cr_assert(same.model->head_tied && !same.model->n_warnings);
    cr_assert_eq(same.model->n_parameters, plain.model->n_parameters);
    copy[n - 1] += 1;
    built other = build_with(models[i][0], "{}", LD_HEAD_WEIGHT, &head);
    cr_assert(!other.model->head_tied && other.model->config_ties &&
              other.model->head->weight.numbers.data == copy);
    cr_assert(strstr(other.model->warnings[0], "they are not tied"));
    built none = build_with(models[i][0], "{}", models[i][1], NULL);
    cr_assert(none.rc && strstr(none.err.text, models[i][1]));
    end(&plain), end(&same), end(&other), end(&none);
    free(copy);
  }
}

/* Names that may lack the body's: in a file with both it is unclear which one counts. */
Test(config, two_names_for_one_tensor_are_refused) {
  static const char *const models[][3] = {
      {"gpt2", "transformer.h.1.mlp.c_fc.bias", "h.1.mlp.c_fc.bias"},
      {"gpt2", "transformer.wte.weight", "wte.weight"},
      {"llama3", "model.layers.0.self_attn.q_proj.weight", "layers.0.self_attn.q_proj.weight"},
      {"bert", "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma"},
      {"bert", "bert.embeddings.LayerNorm.bias", "embeddings.LayerNorm.beta"},
      {"roberta", "roberta.embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"},
      {"distilbert", "distilbert.transformer.layer.0.attention.q_lin.weight",
       "transformer.layer.0.attention.q_lin.weight"},
      {"resnet_basic", "resnet.embedder.embedder.convolution.weight",
       "embedder.embedder.convolution.weight"}};
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    built plain = build_with(models[i][0], "{}", NULL, NULL);
    cr_assert(!plain.rc, "%s: %s", models[i][0], plain.err.text);
    const ld_stored *tensor = ld_model_folder_find(plain.weights.folder, models[i][1]);
    cr_assert(tensor, "%s", models[i][1]);
    built both = build_with(models[i][0], "{}", models[i][2], tensor);
    cr_assert(both.rc, "%s: takes both", models[i][0]);
    cr_assert(strstr(both.err.text, models[i][1]) && strstr(both.err.text, models[i][2]), "%s",
              both.err.text);
    end(&plain), end(&both);
  }
}

/* torchvision's names beside those of transformers, which knows none of them. */
Test(config, a_resnet_takes_transformers_names_first) {
  built plain = build_with("resnet_basic", "{}", NULL, NULL);
  const ld_stored *stem =
      ld_model_folder_find(plain.weights.folder, "resnet.embedder.embedder.convolution.weight");
  built both = build_with("resnet_basic", "{}", "conv1.weight", stem);
  cr_assert(!both.rc, "%s", both.err.text);
  cr_assert_str_eq(both.model->linears[0]->path, "resnet.embedder.embedder.convolution");
  end(&plain), end(&both);
}

/* model_type decides, whatever class of the same purpose is named. */
Test(config, model_type_comes_before_architectures) {
  same_logits("gpt2", "{\"architectures\": [\"LlamaForCausalLM\"]}", 1);
  same_logits("gpt2", "{\"architectures\": [\"OtherForCausalLM\"]}", 1);
  same_logits("llama3", "{\"architectures\": [\"MistralForCausalLM\"]}", 1);
  same_logits("llama3", "{\"architectures\": [\"MistralForCausalLM\", \"LlamaForCausalLM\"]}", 0);
  refused("llama3", "{\"architectures\": [\"LlamaForSequenceClassification\"]}",
          "architectures \"LlamaForSequenceClassification\"");
  refused("llama3", "{\"architectures\": [\"MistralModel\"]}", "architectures \"MistralModel\"");
  refused("bert", "{\"architectures\": [\"BertForQuestionAnswering\"]}", "architectures");
  refused("bert", "{\"architectures\": [\"ResNetForImageClassification\"]}", "architectures");
  built other = build_with("bert", "{\"architectures\": [\"RobertaForSequenceClassification\"]}", NULL, NULL);
  cr_assert(!other.rc && other.model->n_warnings == 1, "%s", other.err.text);
  cr_assert(strstr(other.model->warnings[0],
                   "\"RobertaForSequenceClassification\" is not a class of model_type \"bert\""));
  end(&other);
}

/* Where transformers only takes texts of a multiple of it. */
Test(config, chunks_of_a_text_are_refused) {
  static const char *const models[] = {"bert", "roberta", "distilbert"};
  for (int i = 0; i < 3; i++) {
    refused(models[i], "{\"chunk_size_feed_forward\": 2}", "chunk_size_feed_forward (2) is not supported");
    built one = build_with(models[i], "{\"chunk_size_feed_forward\": 1}", NULL, NULL);
    cr_assert(!one.rc, "%s", one.err.text);
    end(&one);
  }
}

/* Each size that a tensor does not have is named once, and no other size. */
Test(config, a_wrong_shape_names_each_key_once) {
  built b = build_with("resnet_basic", "{\"num_channels\": 1}", NULL, NULL);
  const char *key = b.rc ? strstr(b.err.text, "num_channels is 1") : NULL;
  cr_assert(key && !strstr(key + 1, "num_channels is 1") && !strstr(b.err.text, "depths"), "%s", b.err.text);
  end(&b);
}

/* Padding within a text has the row of its id and does not count. */
Test(config, roberta_counts_no_padding) {
  float words[8] = {0}, rows[10], *out = NULL;
  for (int i = 0; i < 10; i++) rows[i] = (float)i;
  const ld_weight word_table = {ld_coded_floats(words), 8, 1},
                  position_table = {ld_coded_floats(rows), 10, 1};
  const ld_embedding tables = {.words = &word_table, .positions = &position_table, .padding = 1};
  const int32_t ids[] = {0, 1, 5, 1, 1, 2, 4, 3}, positions[] = {0, 1, 2, 3, 4, 5, 0, 1},
                segment[] = {0, 6, 8};
  static const float want[] = {2, 1, 3, 1, 1, 4, 2, 3};
  const ld_field text = {
      .name = LD_TEXT, .n_rows = 8, .n_segments = 2, .segment = segment, .ids = ids, .positions = positions};
  ld_tape *tape = ld_tape_create();
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    out = ld_op_embedding(tape, &text, &tables)->data;
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  for (int t = 0; t < 8; t++) cr_assert_eq(out[t], want[t], "token %d", t);
  ld_tape_free(tape);
}
