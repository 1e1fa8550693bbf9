#include "adapters.h"
#include "scratch.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/text.h"
#include "io/hub/adapter.h"
#include "io/hub/peft_config.h"
#include "io/hub/peft_pattern.h"
#include "io/hub/peft_read.h"
#include "io/hub/peft_write.h"
#include "io/json.h"

#define FILES LD_TESTS_DIR "/golden/files/"

static ld_adapter *read_good(const char *folder) {
  ld_adapter *adapter;
  ld_error err = {0};
  cr_assert_eq(ld_peft_read(folder, ld_adapter_forms(), &adapter, &err), 0, "%s", err.text);
  return adapter;
}

static ld_value *read_json(const char *folder, const char *name) {
  ld_error err = {0};
  char *path = ld_path_join(folder, name);
  ld_value *value = ld_json_read(path, &err);
  cr_assert(value, "%s", err.text);
  free(path);
  return value;
}

static const char *const cases[] = {FILES "peft_gpt2",           FILES "peft_llama",
                                    FILES "peft_llama_patterns", FILES "peft_llama_classifier",
                                    FILES "peft_llama_dora",     FILES "peft_torchvision_dora",
                                    FILES "peft_bert",           FILES "peft_bert_pooler",
                                    FILES "peft_bert_head",      FILES "peft_roberta",
                                    FILES "peft_distilbert",     FILES "peft_distilbert_untyped",
                                    FILES "peft_resnet",         FILES "peft_resnet_head_lora",
                                    FILES "peft_torchvision",    FILES "peft_cifar",
                                    FILES "peft_cifar_head"};

enum { N_CASES = sizeof cases / sizeof *cases };

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

Test(peft, ranks_and_scalings_are_pefts) {
  for (size_t c = 0; c < N_CASES; c++) {
    ld_adapter *adapter = read_good(cases[c]);
    ld_value *expected = read_json(cases[c], "expected.json");
    cr_assert_eq(adapter->n_modules - count_whole(adapter), expected->n_items, "%s", cases[c]);
    for (size_t i = 0; i < expected->n_items; i++) {
      const ld_adapter_module *m = &adapter->modules[i];
      const ld_value *facts = ld_value_get(expected, m->path);
      cr_assert(facts, "%s", m->path);
      cr_assert_eq(m->rank, ld_value_get(facts, "rank")->integer, "%s", m->path);
      cr_assert_float_eq(m->scaling, ld_value_get(facts, "scaling")->real, 1e-12, "%s", m->path);
    }
    ld_value_free(expected);
    ld_adapter_free(adapter);
  }
}

/* PEFT's files, read and written again, give the same tensor file and an equivalent config. */
Test(peft, writes_the_tensors_that_peft_writes) {
  char *folder = scratch_new(), *out = ld_path_join(folder, "out"),
       *file = ld_path_join(out, "adapter_model.safetensors");
  for (size_t c = 0; c < N_CASES; c++) {
    ld_error err = {0};
    size_t ours, theirs;
    ld_adapter *adapter = read_good(cases[c]);
    cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
    char *golden = ld_path_join(cases[c], "adapter_model.safetensors");
    char *a = scratch_read(file, &ours), *b = scratch_read(golden, &theirs);
    cr_assert(ours == theirs && memcmp(a, b, ours) == 0, "%s", cases[c]);
    ld_adapter *again = read_good(out);
    cr_assert_eq(again->n_modules, adapter->n_modules);
    for (size_t i = 0; i < again->n_modules; i++) {
      cr_assert_str_eq(again->modules[i].path, adapter->modules[i].path);
      cr_assert_eq(again->modules[i].scaling, adapter->modules[i].scaling, "%s", again->modules[i].path);
      cr_assert_str_eq(again->modules[i].kind, adapter->modules[i].kind, "%s", again->modules[i].path);
    }
    cr_assert(again->rslora == adapter->rslora && again->fan_in_fan_out == adapter->fan_in_fan_out);
    cr_assert_str_eq(again->base_name, adapter->base_name);
    cr_assert(same_text(again->task_type, adapter->task_type), "%s", cases[c]);
    ld_adapter_free(adapter), ld_adapter_free(again);
    free(a), free(b), free(golden);
  }
  free(out), free(file);
  scratch_end(folder);
}

/* Apart from the base's digest the file is the same. */
Test(peft, the_base_is_known_by_its_digest) {
  char *folder = scratch_new(), *out = ld_path_join(folder, "out"),
       *file = ld_path_join(out, "adapter_model.safetensors");
  ld_error err = {0};
  size_t n_plain, n_known;
  ld_adapter *adapter = read_good(cases[0]);
  cr_assert_null(adapter->base_digest);
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
  char *plain = scratch_read(file, &n_plain);
  adapter->base_digest = ld_strdup("0123456789abcdef");
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
  char *known = scratch_read(file, &n_known);
  ld_adapter *again = read_good(out);
  cr_assert_str_eq(again->base_digest, "0123456789abcdef");
  const size_t tensors = n_plain - 8 - (size_t) * (uint64_t *)plain;
  cr_assert_eq(memcmp(plain + n_plain - tensors, known + n_known - tensors, tensors), 0);
  ld_adapter_free(adapter), ld_adapter_free(again);
  free(plain), free(known), free(out), free(file);
  scratch_end(folder);
}

static void check_shape(const ld_adapter_module *m, const char *role, int64_t n, int64_t c, int64_t h,
                        int64_t w) {
  const ld_adapter_tensor *t = ld_adapter_tensor_of(m, role);
  cr_assert(t && t->ndim == 4, "%s.%s", m->path, role);
  cr_assert(t->shape[0] == n && t->shape[1] == c && t->shape[2] == h && t->shape[3] == w, "%s.%s", m->path,
            role);
}

Test(peft, convolutions_have_kernels) {
  ld_adapter *adapter = read_good(FILES "peft_torchvision");
  const ld_adapter_module *stem = &adapter->modules[0], *wide = &adapter->modules[2],
                          *head = &adapter->modules[3];
  cr_assert_eq(adapter->n_modules, 4);
  cr_assert_str_eq(stem->path, "conv1");
  check_shape(stem, "lora_A", stem->rank, 3, 3, 3);
  check_shape(stem, "lora_B", 4, stem->rank, 1, 1);
  cr_assert_str_eq(wide->path, "layer1.0.conv2");
  check_shape(wide, "lora_A", wide->rank, 8, 1, 5);
  check_shape(wide, "lora_B", 8, wide->rank, 1, 1);
  cr_assert(ld_adapter_is_whole(head) && head->n_tensors == 2);
  const ld_adapter_tensor *weight = ld_adapter_tensor_of(head, "weight");
  cr_assert(weight->shape[0] == 3 && weight->shape[1] == 8);
  ld_adapter_free(adapter);
}

Test(peft, modules_come_in_the_order_of_their_numbers) {
  char paths[12][32];
  ld_adapter *adapter = new_adapter();
  for (int i = 0; i < 12; i++) {
    snprintf(paths[i], sizeof paths[i], "layers.%d.q", 11 - i);
    add_lora(adapter, paths[i], 1, 2, 2);
  }
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err = {0};
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
  ld_adapter *again = read_good(out);
  for (int i = 0; i < 12; i++) cr_assert_str_eq(again->modules[i].path, paths[11 - i]);
  ld_adapter_free(again), ld_adapter_free(adapter);
  free(out);
  scratch_end(folder);
}

/* target_modules of an adapter on `adapted` among `all`, joined by blanks. */
static void check_targets(const char *const *adapted, size_t n, const char *const *all, size_t n_all,
                          const char *expected) {
  ld_adapter *adapter = new_adapter();
  ld_text found = {0};
  for (size_t i = 0; i < n; i++) add_lora(adapter, adapted[i], 1, 2, 2);
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err = {0};
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), all, n_all, &err), 0, "%s", err.text);
  ld_value *config = read_json(out, "adapter_config.json");
  const ld_value *targets = ld_value_get(config, "target_modules");
  if (targets->type == LD_STRING) ld_text_puts(&found, targets->string);
  for (size_t i = 0; i < targets->n_items; i++)
    ld_text_printf(&found, i ? " %s" : "%s", targets->items[i].string);
  cr_assert_str_eq(found.bytes, expected);
  ld_adapter_free(adapter);
  ld_value_free(config);
  ld_text_free(&found);
  free(out);
  scratch_end(folder);
}

Test(peft, targets_select_just_the_adapted_modules) {
  static const char *const all[] = {"l.0.attn.q", "l.0.attn.k", "l.0.mlp.k", "l.1.attn.q",
                                    "l.1.attn.k", "l.1.mlp.k",  "head"};
  static const char *const q[] = {"l.0.attn.q", "l.1.attn.q"}, *const attn_k[] = {"l.0.attn.k", "l.1.attn.k"};
  static const char *const one[] = {"l.1.attn.q"}, *const mixed[] = {"l.0.attn.q", "l.1.attn.q", "l.0.mlp.k",
                                                                     "head"};
  check_targets(q, 2, all, 7, "q");
  check_targets(attn_k, 2, all, 7, "attn.k");
  check_targets(one, 1, all, 7, "l.1.attn.q");
  check_targets(mixed, 4, all, 7, "q l.0.mlp.k head");
  check_targets(q, 2, NULL, 0, "l.0.attn.q l.1.attn.q");
  static const char *const nested[] = {"enc.fc", "fc"}, *const fc[] = {"fc"};
  check_targets(fc, 1, nested, 2, "fc"); /* a pattern for the whole path: a list would take enc.fc too */
  static const char *const inner[] = {"x.fc", "y.x.fc"}, *const outer[] = {"x.fc"};
  check_targets(outer, 1, inner, 2, "x\\.fc");
}

Test(peft, patterns_of_the_writer_hold_for_one_module_each) {
  /* As a pattern "a.b" would match "x.a.b" and "a_b" too. */
  static const struct {
    const char *path;
    int rank;
    double alpha;
  } rows[] = {{"x.a.b", 1, 8}, {"a.b", 2, 8}, {"a_b", 4, 8}, {"other", 3, 9}};
  ld_adapter *adapter = new_adapter();
  adapter->rank = 4, adapter->alpha = 8;
  for (int i = 0; i < 4; i++) {
    ld_adapter_module *m = add_lora(adapter, rows[i].path, rows[i].rank, 2, 2);
    m->alpha = rows[i].alpha, m->scaling = m->alpha / m->rank;
  }
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err = {0};
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
  ld_value *config = read_json(out, "adapter_config.json");
  const ld_value *ranks = ld_value_get(config, "rank_pattern");
  cr_assert_eq(ranks->n_items, 3);
  cr_assert_str_eq(ranks->items[0].key, "x.a.b");
  cr_assert_str_eq(ranks->items[1].key, "^a\\.b");
  cr_assert_str_eq(ranks->items[2].key, "other");
  cr_assert_eq(ld_value_get(config, "alpha_pattern")->n_items, 1);
  ld_adapter *again = read_good(out);
  for (int k = 0; k < 4; k++) {
    const ld_adapter_module *m = ld_adapter_module_at(again, rows[k].path);
    cr_assert(m && m->rank == rows[k].rank && m->alpha == rows[k].alpha);
    cr_assert_eq(m->scaling, rows[k].alpha / rows[k].rank);
  }
  ld_adapter_free(again), ld_adapter_free(adapter);
  ld_value_free(config);
  free(out);
  scratch_end(folder);
}

typedef struct pattern_case {
  const char *patterns, *path, *found; /* the key, NULL for none, "" for an error */
} pattern_case;

Test(peft, patterns_match_as_in_peft) {
  static const pattern_case rows[] = {
      {"{\"q\": 1}", "a.q", "q"},
      {"{\"q\": 1}", "q", "q"},
      {"{\"q\": 1}", "a.xq", NULL},
      {"{\"q\": 1}", "a.q.b", NULL},
      {"{\"x\": 1, \"q\": 2}", "a.q", "q"},
      {"{\"a.*\": 1, \"q\": 2}", "a.q", "a.*"},
      {"{\"^a.q\": 1}", "a.q", "^a.q"},
      {"{\"^q\": 1}", "a.q", NULL},
      {"{\"a|q\": 1}", "x.q", "a|q"},
      {"{\"(\": 1}", "q", ""},
      {"{}", "q", NULL},
      {"{\"(x+x+)+[yz]\": 1}", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", ""}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ld_error err = {0};
    const ld_value *found;
    ld_value *map = ld_json_parse(rows[i].patterns, strlen(rows[i].patterns), "t", &err);
    const int code = ld_peft_pattern(map, rows[i].path, "rank_pattern", &found, &err);
    if (rows[i].found && !*rows[i].found)
      cr_assert_eq(code, LD_EFORMAT, "%s", rows[i].patterns);
    else if (!rows[i].found)
      cr_assert(!code && !found, "%s", rows[i].patterns);
    else
      cr_assert(!code && found && strcmp(found->key, rows[i].found) == 0, "%s", rows[i].patterns);
    ld_value_free(map);
  }
}

static const char good_tensors[] =
    "{\"base_model.model.l.q.lora_A.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
    "\"base_model.model.l.q.lora_B.weight\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[8,20]}}";

/* Reads an adapter of this config and a header with 20 bytes of data. */
static int parse(const char *config, const char *header, ld_adapter **adapter, ld_error *err) {
  const size_t n = strlen(header);
  char *bytes = ld_alloc(8 + n + 20, 1);
  bytes[0] = (char)(n & 255), bytes[1] = (char)(n >> 8);
  memcpy(bytes + 8, header, n);
  const ld_peft_bytes both = {config, bytes, strlen(config), 8 + n + 20};
  const int code = ld_peft_parse(&both, "t", ld_adapter_forms(), adapter, err);
  free(bytes);
  return code;
}

static void refused(int code, const char *config, const char *header, const char *why) {
  ld_error err = {0};
  ld_adapter *adapter;
  cr_assert_eq(parse(config, header, &adapter, &err), code, "%s: %s", config, err.text);
  cr_assert_null(adapter);
  cr_assert(strstr(err.text, why), "%s: %s", why, err.text);
}

#define R1 "{\"peft_type\": \"LORA\", \"r\": 1"

Test(peft, defaults_are_pefts) {
  ld_error err = {0};
  ld_adapter *adapter;
  cr_assert_eq(parse(R1 "}", good_tensors, &adapter, &err), 0, "%s", err.text);
  cr_assert(adapter->alpha == 8 && adapter->dropout == 0 && !adapter->rslora && !adapter->task_type &&
            !adapter->base_name);
  cr_assert_eq(adapter->modules[0].scaling, 8);
  cr_assert_eq(ld_adapter_tensor_of(&adapter->modules[0], "lora_A")->shape[1], 2);
  cr_assert_eq(ld_adapter_tensor_of(&adapter->modules[0], "lora_B")->shape[0], 3);
  ld_adapter_free(adapter);
  cr_assert_eq(
      parse(R1 ", \"a_field_of_tomorrow\": 5, \"use_tomorrow\": false}", good_tensors, &adapter, &err), 0);
  ld_adapter_free(adapter);
}

Test(peft, refuses_what_would_change_the_numbers) {
  static const char *const fields[] = {"\"lora_bias\": true",
                                       "\"use_qalora\": true",
                                       "\"layer_replication\": [[0, 1]]",
                                       "\"trainable_token_indices\": [3]",
                                       "\"target_parameters\": [\"x\"]",
                                       "\"use_tomorrow\": true",
                                       "\"tomorrow_config\": {\"a\": 1}",
                                       "\"bias\": \"all\"",
                                       "\"init_lora_weights\": \"pissa\""};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    char *config = ld_format(R1 ", %s}", fields[i]),
         *field = ld_strndup(fields[i] + 1, strcspn(fields[i] + 1, "\""));
    refused(LD_EUNSUPPORTED, config, good_tensors, field);
    free(config), free(field);
  }
  refused(LD_EUNSUPPORTED, "{\"peft_type\": \"IA3\"}", good_tensors, "IA3");
  refused(LD_EUNSUPPORTED, "{}", good_tensors, "peft_type");
}

Test(peft, refuses_configs_that_are_wrong) {
  refused(LD_EFORMAT, "[]", good_tensors, "JSON object");
  refused(LD_EFORMAT, "{\"peft_type\": 1}", good_tensors, "peft_type");
  refused(LD_EFORMAT, R1 ", \"lora_alpha\": \"x\"}", good_tensors, "lora_alpha");
  refused(LD_EFORMAT, "{\"peft_type\": \"LORA\", \"r\": 0}", good_tensors, "r: 0");
  refused(LD_EFORMAT, "{\"peft_type\": \"LORA\", \"r\": 2}", good_tensors, "its rank is 2");
  refused(LD_EFORMAT, R1 ", \"rank_pattern\": {\"q\": \"x\"}}", good_tensors, "q: expected an integer");
  refused(LD_EFORMAT, R1 ", \"rank_pattern\": [1]}", good_tensors, "rank_pattern");
  refused(LD_EFORMAT, R1 ", \"alpha_pattern\": {\"[\": 1}}", good_tensors, "regular expression");
}

#define TENSOR(name, shape, from, to)                                                                        \
  "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"
#define P "base_model.model."

Test(peft, refuses_tensors_that_are_wrong) {
  refused(LD_EFORMAT, R1 "}", "{" TENSOR(P "q.lora_A.weight", "[1,5]", "0", "20") "}", "no lora_B");
  refused(LD_EFORMAT, R1 "}", "{" TENSOR(P "q.lora_B.weight", "[5,1]", "0", "20") "}", "no lora_A");
  refused(LD_EFORMAT, R1 "}", "{" TENSOR("q.lora_A.weight", "[1,5]", "0", "20") "}", "unknown key");
  refused(LD_EFORMAT, R1 "}", "{" TENSOR(P "head.weight", "[5]", "0", "20") "}", "unknown key");
  refused(LD_EFORMAT, R1 "}", "{" TENSOR(P "a/b.lora_A.weight", "[1,5]", "0", "20") "}", "not a module path");
  refused(LD_EFORMAT, R1 "}", "{" TENSOR(P "q.base_layer.weight", "[5]", "0", "20") "}", "base_layer");
  refused(LD_EUNSUPPORTED, R1 "}", "{" TENSOR(P "q.lora_embedding_A", "[1,5]", "0", "20") "}",
          "lora_embedding_A");
  refused(LD_EUNSUPPORTED, R1 "}", "{" TENSOR(P "q.lora_embedding_A", "[5]", "0", "20") "}", "embedding_A");
  refused(LD_EFORMAT, R1 "}",
          "{" TENSOR(P "q.lora_A.weight", "[1,4]", "0", "16") "," TENSOR(P "q.lora_B.weight", "[1]", "16",
                                                                         "20") "}",
          "must be matrices");
  refused(LD_EFORMAT, R1 ", \"modules_to_save\": [\"score\"]}",
          "{" TENSOR(P "head.weight", "[5]", "0", "20") "}", "unknown key");
}

/* LoRA of rank 1, from 2 to 1, with DoRA's lengths. */
#define DORA(lengths)                                                                                        \
  "{" TENSOR(P "q.lora_A.weight", "[1,2]", "0",                                                              \
             "8") "," TENSOR(P "q.lora_B.weight", "[1,1]", "8",                                              \
                             "12") "," TENSOR(P "q.lora_magnitude_vector", lengths, "12", "20") "}"

Test(peft, dora_is_in_the_config_and_in_the_file) {
  refused(LD_EFORMAT, R1 ", \"use_dora\": true}", good_tensors, "has a lora_A but no lora_magnitude_vector");
  refused(LD_EFORMAT, R1 ", \"use_dora\": true}", DORA("[2]"),
          "lora_magnitude_vector has 2 numbers, but lora_B has 1 rows");
  refused(LD_EFORMAT, R1 "}", DORA("[2]"), "does not have \"use_dora\": true");
  refused(LD_EFORMAT, R1 ", \"use_dora\": false}", DORA("[2]"), "does not have \"use_dora\": true");
}

/* A lora_A and a lora_B that fill 20 bytes. */
#define PAIR(A, B, split)                                                                                    \
  "{" TENSOR(P "c.lora_A.weight", A, "0", split) "," TENSOR(P "c.lora_B.weight", B, split, "20") "}"

Test(peft, refuses_convolutions_that_are_wrong) {
  ld_error err = {0};
  ld_adapter *adapter;
  cr_assert_eq(parse(R1 "}", PAIR("[1,1,2,1]", "[3,1,1,1]", "8"), &adapter, &err), 0, "%s", err.text);
  check_shape(&adapter->modules[0], "lora_A", 1, 1, 2, 1);
  ld_adapter_free(adapter);
  refused(LD_EFORMAT, R1 "}", PAIR("[1,1,2,1]", "[1,1,3,1]", "8"), "must be 1 x 1");
  refused(LD_EFORMAT, R1 "}", PAIR("[1,1,2,1]", "[1,1,1,3]", "8"), "must be 1 x 1");
  refused(LD_EFORMAT, R1 "}", PAIR("[1,1,2,1]", "[3,1]", "8"), "4 dimensions both");
  refused(LD_EFORMAT, R1 "}", PAIR("[1,2]", "[3,1,1,1]", "8"), "4 dimensions both");
  refused(LD_EFORMAT, R1 "}", PAIR("[1,5,1,0]", "[5,1,1,1]", "0"), "is empty");
  refused(LD_EFORMAT, R1 "}", PAIR("[2,1,1,1]", "[3,1,1,1]", "8"), "its rank is 1");
  refused(LD_EFORMAT, "{\"peft_type\": \"LORA\", \"r\": 2}", PAIR("[1,1,2,1]", "[3,1,1,1]", "8"),
          "its rank is 2");
  refused(LD_EUNSUPPORTED, "{\"peft_type\": \"LORA\", \"r\": 2}", PAIR("[2,1,1,1]", "[3,1,1,1]", "8"),
          "2 groups");
  refused(LD_EUNSUPPORTED, R1 "}", PAIR("[1,1,2]", "[3,1,1]", "8"), "'c' is a convolution in 1 dimension;");
  refused(LD_EUNSUPPORTED, R1 "}", PAIR("[1,1,2,1,1]", "[3,1,1,1,1]", "8"),
          "'c' is a convolution in 3 dimensions");
  refused(LD_EFORMAT, R1 "}", PAIR("[1,1,2,1,1,1]", "[3,1,1,1,1,1]", "8"), "must be matrices");
}

Test(peft, modules_to_save_are_full) {
  ld_error err = {0};
  ld_adapter *adapter;
  const char *header = "{" TENSOR(P "head.weight", "[5]", "0", "20") "}";
  cr_assert_eq(parse(R1 ", \"modules_to_save\": [\"head\"]}", header, &adapter, &err), 0, "%s", err.text);
  cr_assert(adapter->n_modules == 1 && ld_adapter_is_whole(&adapter->modules[0]));
  cr_assert_str_eq(adapter->modules[0].path, "head");
  cr_assert_eq(ld_adapter_tensor_of(&adapter->modules[0], "weight")->shape[0], 5);
  ld_adapter_free(adapter);
}

typedef struct saved_case {
  const char *task, *full[4], *lora[2], *all[4]; /* paths */
  const char *saved;                             /* modules_to_save joined by blanks; NULL: refused */
  const char *found; /* the task type that is written, or the reason for the refusal */
} saved_case;

#define LINEAR(name) name ".weight", name ".bias"

static const saved_case saved_cases[] = {
    {"SEQ_CLS", {LINEAR("classifier")}, {"bert.q"}, {"bert.q", "classifier"}, "classifier", "SEQ_CLS"},
    {"SEQ_CLS", {"score.weight"}, {"q"}, {NULL}, "score", "SEQ_CLS"},
    {"TOKEN_CLS", {LINEAR("classifier")}, {"q"}, {NULL}, "classifier", "TOKEN_CLS"},
    {"SEQ_CLS",
     {LINEAR("classifier.dense"), LINEAR("classifier.out_proj")},
     {"q"},
     {"q", "classifier.dense", "classifier.out_proj"},
     "classifier",
     "SEQ_CLS"},
    {"SEQ_CLS",
     {LINEAR("pre_classifier"), LINEAR("classifier")},
     {"q"},
     {NULL},
     "pre_classifier classifier",
     "SEQ_CLS"},
    {"SEQ_CLS",
     {LINEAR("bert.pooler.dense"), LINEAR("classifier")},
     {"q"},
     {NULL},
     "bert.pooler.dense classifier",
     "SEQ_CLS"},
    {NULL, {LINEAR("classifier.1")}, {"c.0"}, {"c.0", "classifier.1"}, "classifier.1", NULL},
    {NULL, {LINEAR("fc")}, {"conv1"}, {"conv1", "fc"}, "fc", NULL},
    {NULL, {LINEAR("linear")}, {"conv1"}, {"conv1", "linear"}, "linear", NULL},
    {NULL, {"bn.running_mean", "bn.num_batches_tracked"}, {"conv1"}, {NULL}, "bn", NULL},
    /* A frozen head: PEFT would look for it in the file. */
    {"SEQ_CLS", {NULL}, {"q"}, {"q", "classifier"}, "", NULL},
    {"SEQ_CLS", {NULL}, {"classifier"}, {"q", "classifier"}, "", NULL},
    {"CAUSAL_LM", {NULL}, {"q"}, {"q"}, "", "CAUSAL_LM"},
    /* Names that PEFT would also apply to other modules. */
    {"SEQ_CLS",
     {LINEAR("classifier")},
     {"q"},
     {"q", "pre_classifier", "classifier"},
     NULL,
     "'pre_classifier'"},
    {NULL, {LINEAR("classifier")}, {"pre_classifier"}, {NULL}, NULL, "'pre_classifier'"},
    {NULL, {LINEAR("fc")}, {"q"}, {"q", "h.c_fc", "fc"}, NULL, "'h.c_fc'"},
    {"SEQ_CLS",
     {LINEAR("classifier.dense")},
     {"q"},
     {"classifier.dense", "classifier.out_proj"},
     NULL,
     "'classifier.out_proj'"},
    {"SEQ_CLS", {LINEAR("classifier.dense")}, {"classifier.out_proj"}, {NULL}, NULL, "'classifier.out_proj'"},
};

static size_t count(const char *const *names, size_t room) {
  size_t n = 0;
  while (n < room && names[n]) n++;
  return n;
}

/* "head.weight" is the weight of the module "head". */
static void add_whole(ld_adapter *adapter, const char *tensor) {
  const char *dot = strrchr(tensor, '.');
  char *path = ld_strndup(tensor, (size_t)(dot - tensor));
  ld_adapter_module *m = ld_adapter_module_at(adapter, path);
  if (!m) m = ld_adapter_add(adapter, path, LD_ADAPTER_WHOLE);
  ld_adapter_put(m, dot + 1, 1, (int64_t[]){2}, NULL);
  free(path);
}

static void check_saved(const saved_case *c, const char *out) {
  ld_adapter *adapter = new_adapter();
  ld_error err = {0};
  ld_text saved = {0};
  adapter->task_type = c->task ? ld_strdup(c->task) : NULL;
  for (size_t i = 0, n = count(c->lora, 2); i < n; i++) add_lora(adapter, c->lora[i], 1, 2, 2);
  for (size_t i = 0, n = count(c->full, 4); i < n; i++) add_whole(adapter, c->full[i]);
  const int code = ld_peft_write(out, adapter, ld_adapter_forms(), c->all, count(c->all, 4), &err);
  cr_assert_eq(code, c->saved ? 0 : LD_EUNSUPPORTED, "%s, %s: %s", c->full[0], c->lora[0], err.text);
  ld_adapter_free(adapter);
  if (!c->saved) cr_assert(strstr(err.text, c->found), "%s: %s", c->found, err.text);
  if (code) return;
  ld_value *config = read_json(out, "adapter_config.json");
  const ld_value *names = ld_value_get(config, "modules_to_save"), *task = ld_value_get(config, "task_type");
  ld_text_puts(&saved, "");
  for (size_t i = 0; names && i < names->n_items; i++)
    ld_text_printf(&saved, i ? " %s" : "%s", names->items[i].string);
  cr_assert_str_eq(saved.bytes, c->saved);
  cr_assert(same_text(task ? task->string : NULL, c->found), "%s", c->saved);
  ld_text_free(&saved);
  ld_value_free(config);
  ld_adapter_free(read_good(out));
}

/* PEFT's behaviour for each of these was tried by loading them. */
Test(peft, modules_to_save_are_those_that_peft_wraps) {
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  for (size_t i = 0; i < sizeof saved_cases / sizeof *saved_cases; i++) check_saved(&saved_cases[i], out);
  free(out);
  scratch_end(folder);
}

Test(peft, an_adapter_without_lora_targets_nothing) {
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err = {0};
  ld_adapter *adapter = read_good(FILES "peft_bert_head");
  cr_assert(adapter->n_modules == 1 && count_whole(adapter) == 1);
  adapter->rank = 0;
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
  ld_value *config = read_json(out, "adapter_config.json");
  cr_assert_str_eq(ld_value_get(config, "target_modules")->string, "dummy-target-modules");
  cr_assert_eq(ld_value_get(config, "r")->integer, 1);
  ld_adapter_free(read_good(out));
  const ld_adapter empty = {.rank = 1, .alpha = 2};
  cr_assert_eq(ld_peft_write(out, &empty, ld_adapter_forms(), NULL, 0, &err), LD_EMISMATCH);
  ld_value_free(config);
  ld_adapter_free(adapter);
  free(out);
  scratch_end(folder);
}

Test(peft, labels_come_back_and_go) {
  char *names[] = {(char[]){"no"}, (char[]){"\xc3\xbc \"x\"\n"}, (char[]){""}};
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err = {0};
  ld_adapter *adapter = read_good(FILES "peft_bert");
  cr_assert_null(adapter->labels);
  ld_adapter with = *adapter;
  with.labels = names, with.n_labels = 3;
  cr_assert_eq(ld_peft_write(out, &with, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
  ld_adapter *again = read_good(out);
  cr_assert_eq(again->n_labels, 3);
  for (int i = 0; i < 3; i++) cr_assert_str_eq(again->labels[i], names[i]);
  ld_adapter_free(again);
  /* Old labels neither keep a folder from being replaced nor stay. */
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), 0, "%s", err.text);
  again = read_good(out);
  cr_assert_eq(again->n_labels, 0);
  ld_adapter_free(again);
  ld_adapter_free(adapter);
  free(out);
  scratch_end(folder);
}

Test(peft, labels_that_are_wrong_are_refused) {
  static const char *const rows[][2] = {
      {"{", "line 1"},
      {"3", "found a"},
      {"{\"0\": \"a\", \"1\": \"b\", \"3\": \"c\"}", "'3' is not the number"},
      {"{\"0\": \"a\", \"1\": \"b\", \"02\": \"c\"}", "'02' is not the number"},
      {"{\"0\": \"a\", \"1\": \"b\", \"-1\": \"c\"}", "'-1' is not the number"},
      {"{\"0\": \"a\", \"1\": \"b\", \"\": \"c\"}", "'' is not the number"},
      {"{\"0\": \"a\", \"0\": \"b\"}", "line 1"},
      {"{\"0\": 1}", "class 0 is an integer"},
      {"[\"a\", null, \"c\"]", "class 1 is"}};
  static const char *const good[] = {"{}", "[]", "{\"2\": \"c\", \"0\": \"a\", \"1\": \"b\"}",
                                     "[\"a\", \"b\", \"c\"]"};
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_adapter *adapter = read_good(FILES "peft_roberta");
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, NULL), 0);
  ld_adapter_free(adapter);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ld_error err = {0};
    scratch_text(out, "labels.json", rows[i][0]);
    cr_assert_neq(ld_peft_read(out, ld_adapter_forms(), &adapter, &err), 0, "%s", rows[i][0]);
    cr_assert_null(adapter);
    cr_assert(strstr(err.text, rows[i][1]), "%s: %s", rows[i][0], err.text);
  }
  for (size_t i = 0; i < 4; i++) {
    scratch_text(out, "labels.json", good[i]);
    adapter = read_good(out);
    cr_assert_eq(adapter->n_labels, i < 2 ? 0 : 3);
    if (i > 1) cr_assert_str_eq(adapter->labels[2], "c");
    ld_adapter_free(adapter);
  }
  free(out);
  scratch_end(folder);
}

Test(peft, a_pickle_and_an_empty_folder_are_explained) {
  ld_adapter *adapter;
  ld_error err = {0};
  char *folder = scratch_new();
  cr_assert_eq(ld_peft_read(folder, ld_adapter_forms(), &adapter, &err), LD_EFILE);
  cr_assert(strstr(err.text, "adapter_config.json"));
  scratch_text(folder, "adapter_config.json", R1 "}");
  cr_assert_eq(ld_peft_read(folder, ld_adapter_forms(), &adapter, &err), LD_EFILE);
  cr_assert(strstr(err.text, "adapter_model.safetensors"));
  scratch_text(folder, "adapter_model.bin", "x");
  cr_assert_eq(ld_peft_read(folder, ld_adapter_forms(), &adapter, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "pickle"));
  scratch_end(folder);
}

static void set_path(ld_adapter_module *m, const char *path) {
  free(m->path);
  m->path = ld_strdup(path);
}

Test(peft, the_writer_refuses_broken_adapters) {
  ld_adapter *adapter = new_adapter();
  ld_error err = {0};
  add_lora(adapter, "q", 1, 2, 2);
  ld_adapter_module *m = add_lora(adapter, "q", 1, 2, 2);
  cr_assert_eq(ld_adapter_check(adapter, "t", &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "twice"));
  set_path(m, "a..b");
  cr_assert_eq(ld_adapter_check(adapter, "t", &err), LD_EMISMATCH);
  set_path(m, "k");
  m->scaling = 3;
  cr_assert_eq(ld_adapter_check(adapter, "t", &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "scaling"));
  m->scaling = 2;
  cr_assert_eq(ld_adapter_check(adapter, "t", &err), 0);
  m->tensors[0].shape[1] = 0;
  cr_assert_eq(ld_adapter_check(adapter, "t", &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "'k.lora_A' has no usable shape"));
  m->tensors[0].shape[1] = 2;
  adapter->labels = ld_alloc(2, sizeof *adapter->labels), adapter->n_labels = 2;
  adapter->labels[0] = ld_strdup("a"), adapter->labels[1] = ld_strdup("\xff");
  cr_assert_eq(ld_adapter_check(adapter, "t", &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "class 1 is not UTF-8"));
  ld_adapter_free(adapter);
}

/* PEFT has one kind for all modules. */
Test(peft, kinds_that_peft_does_not_have_are_not_written) {
  ld_adapter *adapter = new_adapter();
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err = {0};
  add_lora(adapter, "q", 1, 2, 2);
  ld_adapter_module *m = add_lora(adapter, "k", 1, 2, 2);
  free(m->kind);
  m->kind = ld_strdup("other");
  cr_assert_eq(ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "of the kinds lora and other"), "%s", err.text);
  ld_adapter_free(adapter);
  free(out);
  scratch_end(folder);
}

Test(peft, values_are_of_the_types_that_peft_takes) {
  static const char *const rows[][2] = {
      {"\"lora_alpha\": null", "lora_alpha: expected a number, found null"},
      {"\"lora_alpha\": true", "lora_alpha: expected a number, found true or false"},
      {"\"r\": null", "r: expected an integer, found null"},
      {"\"r\": 1.0", "r: expected an integer, found 1"},
      {"\"lora_dropout\": 2", "lora_dropout: expected a number from 0 to 1, found 2"},
      {"\"bias\": null", "bias: expected a string, found null"},
      {"\"rank_pattern\": null", "rank_pattern: expected a map, found null"},
      {"\"rank_pattern\": {\"q\": null}", "rank_pattern: q: expected an integer, found null"},
      {"\"alpha_pattern\": {\"q\": null}", "alpha_pattern: q: expected a number, found null"},
      {"\"modules_to_save\": \"q\"", "modules_to_save: expected a list of strings or null"},
      {"\"modules_to_save\": [1]", "modules_to_save: expected a list of strings or null"},
      {"\"target_modules\": 3", "target_modules: expected a string or a list of strings or null"},
      {"\"use_rslora\": 1", "use_rslora: expected true or false, found 1"},
      {"\"task_type\": \"causal_lm\"", "task_type: PEFT knows no task 'causal_lm'"},
      {"\"eva_config\": 3", "eva_config: expected a map or null, found 3"},
      {"\"use_dora\": \"yes\"", "use_dora: expected true or false or null, found a string"},
      {"\"layers_pattern\": \"l\"", "layers_pattern needs layers_to_transform"},
      {"\"layers_to_transform\": 0, \"target_modules\": \".*q\"", "needs a list in target_modules"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char *config = ld_format("{\"peft_type\": \"LORA\", %s}", rows[i][0]);
    refused(LD_EFORMAT, config, good_tensors, rows[i][1]);
    free(config);
  }
  refused(LD_EUNSUPPORTED, R1 ", \"kasa_config\": {}}", good_tensors, "kasa_config is on");
  refused(LD_EUNSUPPORTED, R1 ", \"tomorrow\": {\"a\": 1}}", good_tensors,
          "tomorrow is an unknown key, and it holds a map");
}

/* As in PEFT's check_target_module_exists. */
Test(peft, modules_are_selected_as_in_peft) {
  static const struct {
    const char *config, *path;
    bool selected;
  } rows[] = {
      {"\"target_modules\": [\"q\"]", "m.l.0.q", true},
      {"\"target_modules\": [\"q\"]", "m.l.0.xq", false},
      {"\"target_modules\": [\".q\"]", "m.l.0.q", false},
      {"\"target_modules\": \"q\"", "m.l.0.q", false},
      {"\"target_modules\": \".*q\"", "m.l.0.q", true},
      {"\"target_modules\": \".*l\"", "m.l.0.q", false},
      {"\"target_modules\": \"All-linear\"", "m.l.0.q", true},
      {"\"target_modules\": \"all-linear\"", "lm_head", false},
      {"\"target_modules\": null", "m.l.0.q", true},
      {"\"target_modules\": [\"q\"], \"exclude_modules\": [\"0.q\"]", "m.l.0.q", false},
      {"\"target_modules\": [\"q\"], \"exclude_modules\": \".*1.*\"", "m.l.0.q", true},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": 0", "m.l.0.q", true},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [1]", "m.l.0.q", false},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": []", "m.l.0.q", true},
      {"\"target_modules\": [\"m.l.0.q\"], \"layers_to_transform\": [1]", "m.l.0.q", true},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [0], \"layers_pattern\": \"l\"", "m.l.0.q",
       true},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [0], \"layers_pattern\": [\"h\"]", "m.l.0.q",
       false},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [0], \"layers_pattern\": \"(l|h)\"", "m.l.0.q",
       true},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [0], \"layers_pattern\": \"(l|h)\"", "m.l.1.q",
       false},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [1], \"layers_pattern\": \"(l|h)\"", "m.l.1.q",
       true},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [1], \"layers_pattern\": \"l|h\"", "m.l.1.q",
       false},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [1], \"layers_pattern\": [\"m\", \"l\"]",
       "m.l.1.q", true},
      {"\"target_modules\": null, \"layers_to_transform\": [0]", "m.l.0.q", true},
      {"\"target_modules\": null, \"layers_to_transform\": [0]", "m.l.1.q", false},
      {"\"target_modules\": [\"q\"], \"layers_to_transform\": [0]", "l.0.q", false},
      {"\"target_modules\": [\"q\"], \"modules_to_save\": [\"q\"]", "m.l.0.q", false},
      {"\"target_modules\": [\"q\"], \"modules_to_save\": [\"l\"]", "m.l.0.q", false},
      {"\"target_modules\": [\"dense\"], \"task_type\": \"SEQ_CLS\"", "classifier.dense", false},
      {"\"target_modules\": [\"dense\"]", "classifier.dense", true}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ld_error err = {0};
    bool selected;
    char *text = ld_format("{%s}", rows[i].config);
    ld_value *config = ld_json_parse(text, strlen(text), "t", &err);
    cr_assert_eq(ld_peft_config_selects(config, rows[i].path, "t", &selected, &err), 0, "%s", err.text);
    cr_assert_eq(selected, rows[i].selected, "%s, %s", rows[i].config, rows[i].path);
    ld_value_free(config);
    free(text);
  }
  refused(LD_EFORMAT, R1 ", \"target_modules\": [\"k\"]}", good_tensors,
          "has LoRA for 'l.q', which adapter_config.json does not select");
  refused(LD_EFORMAT, R1 ", \"target_modules\": \"(q\"}", good_tensors, "regular expression");
}

Test(peft, keys_with_an_adapters_name_are_explained) {
  refused(LD_EFORMAT, R1 "}", "{" TENSOR(P "q.lora_A.default.weight", "[1,5]", "0", "20") "}",
          "contains the adapter's name 'default'");
  refused(LD_EFORMAT, R1 "}", "{" TENSOR(P "head.modules_to_save.mine.weight", "[5]", "0", "20") "}",
          "replace('.modules_to_save.mine', '')");
}

static void write_for_ever(const char *out) {
  ld_adapter *adapter = new_adapter();
  ld_adapter_module *m = add_lora(adapter, "q", 1, 40000, 2);
  for (;;) {
    m->alpha = m->scaling = adapter->alpha = 6 - m->alpha;
    for (int i = 0; i < 40000; i++) m->tensors[0].data[i] = (float)m->alpha;
    if (ld_peft_write(out, adapter, ld_adapter_forms(), NULL, 0, NULL)) _exit(1);
  }
}

/* A writer that is killed at any moment leaves one adapter: its config and its tensors belong together. */
static bool is_any_name(const char *name) {
  return name[0] != 0;
}

Test(peft, a_killed_writer_leaves_the_old_or_the_new) {
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  size_t n;
  for (int round = 0; round < 20; round++) {
    const pid_t child = fork();
    if (child == 0) write_for_ever(out);
    usleep(round ? 10000 + 3700 * (unsigned)round : 500000);
    cr_assert_eq(kill(child, SIGKILL), 0);
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFSIGNALED(status), "the writer failed");
    ld_adapter *adapter = read_good(out);
    cr_assert(adapter->alpha == 2 || adapter->alpha == 4);
    cr_assert_eq(adapter->modules[0].tensors[0].data[39999], (float)adapter->alpha);
    ld_adapter_free(adapter);
  }
  ld_file_sweep(folder, is_any_name);
  char **names = ld_folder_names(folder, &n, NULL);
  cr_assert_eq(n, 1);
  ld_names_free(names, n);
  free(out);
  scratch_end(folder);
}
