/* Checkpoints of image generators in one file. golden/single_files/ has what diffusers makes of each tensor
 * (make_single_files.py); the files themselves are made here, since their bytes follow from the names. */
#include <stdint.h>

#include "load/base.h"
#include "model/diffusion.h"
#include "scratch.h"

#include "io/hub/ldm.h"
#include "io/hub/model_folder.h"
#include "io/hub/single_file.h"

#define CASES LD_TESTS_DIR "/golden/single_files/"
#define TOKENIZER LD_TESTS_DIR "/golden/tokenizers/clip_vocab"

static const char *const cases[] = {"sd1", "sd2", "sdxl"};

enum { N_CASES = sizeof cases / sizeof *cases, MOST = 1000 };

/* A recorded case: the tensors of its file, and those of the folder with their checksums. */
typedef struct recorded {
  char *text;
  ld_named from[MOST], to[MOST]; /* `to` with the component before the name, as in an open folder */
  uint64_t sums[MOST];
  size_t n_from, n_to;
} recorded;

static uint32_t seed_of(const char *name) {
  uint32_t h = 2166136261u;
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
  return h;
}

static void *bytes_of(const ld_named *named) {
  const size_t n = ld_stored_bytes(&named->tensor);
  const uint64_t seed = seed_of(named->name);
  unsigned char *bytes = ld_alloc(n, 1);
  for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)((i * 2654435761u + seed) >> 24);
  return bytes;
}

static uint64_t checksum(const ld_stored *tensor) {
  const unsigned char *bytes = tensor->data;
  uint64_t sum = 0;
  for (size_t i = 0; i < ld_stored_bytes(tensor); i++) sum += (i + 1) * bytes[i];
  return sum;
}

/* "F16", "64,32" or "-" */
static ld_stored parse_shape(const char *dtype, char *shape) {
  ld_stored tensor = {0};
  cr_assert(ld_dtype_parse(dtype, &tensor.dtype), "%s", dtype);
  for (char *rest = shape; *rest && *rest != '-'; rest += *rest == ',')
    tensor.shape[tensor.ndim++] = strtoll(rest, &rest, 10);
  return tensor;
}

static void add_line(recorded *r, char *line) {
  char *words[6] = {0}, *save = NULL;
  int n = 0;
  for (char *word = strtok_r(line, " ", &save); word && n < 6; word = strtok_r(NULL, " ", &save))
    words[n++] = word;
  if (!strcmp(words[0], "from")) {
    ld_named *named = &r->from[r->n_from++];
    *named = (ld_named){.name = ld_strdup(words[1]), .tensor = parse_shape(words[2], words[3])};
    named->tensor.data = bytes_of(named);
  } else {
    r->sums[r->n_to] = strtoull(words[5], NULL, 10);
    r->to[r->n_to++] =
        (ld_named){.name = ld_format("%s.%s", words[1], words[2]), .tensor = parse_shape(words[3], words[4])};
  }
  cr_assert(r->n_from < MOST && r->n_to < MOST);
}

static recorded *read_case(const char *name) {
  recorded *r = ld_alloc(1, sizeof *r);
  char *path = ld_format(CASES "%s.txt", name), *save = NULL;
  size_t length;
  r->text = scratch_read(path, &length);
  for (char *line = strtok_r(r->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
    add_line(r, line);
  free(path);
  return r;
}

static void free_named(ld_named *named) {
  free((void *)(uintptr_t)named->name);
  free((void *)(uintptr_t)named->tensor.data);
}

static void free_case(recorded *r) {
  for (size_t i = 0; i < r->n_from; i++) free_named(&r->from[i]);
  for (size_t i = 0; i < r->n_to; i++) free_named(&r->to[i]);
  free(r->text);
  free(r);
}

/* Another tensor of zeros. */
static void add(recorded *r, const char *name, ld_dtype dtype, int64_t n) {
  r->from[r->n_from++] = (ld_named){
      .name = ld_strdup(name),
      .tensor = {.data = ld_alloc((size_t)n, ld_dtype_size(dtype)), .dtype = dtype, .ndim = 1, .shape = {n}}};
}

static ld_named *find(recorded *r, const char *name) {
  for (size_t i = 0; i < r->n_from; i++)
    if (!strcmp(r->from[i].name, name)) return &r->from[i];
  cr_assert_fail("%s", name);
  return NULL;
}

static void rename_tensor(ld_named *named, char *name) {
  free((void *)(uintptr_t)named->name);
  named->name = name;
}

/* Converts the case's file; the result and the error. `folder` has the file and "out". */
static int convert(const recorded *r, const char *folder, const ld_single_request *request, ld_error *err) {
  char *path = ld_path_join(folder, "model.safetensors"), *out = ld_path_join(folder, "out");
  *err = (ld_error){0};
  cr_assert_eq(ld_safetensors_write(path, r->from, r->n_from, err), 0, "%s", err->text);
  const int rc = ld_single_file_convert(path, request, out, err);
  cr_assert(!rc || !ld_file_is_named(out));
  free(path);
  free(out);
  return rc;
}

static const ld_single_request plain = {0};
static const ld_single_request complete = {.prediction = "v_prediction", .tokenizer = TOKENIZER};

static void check_tensors(const recorded *r, const char *name, const char *path) {
  ld_model_folder *folder;
  ld_error err = {0};
  cr_assert_eq(ld_model_folder_open(path, &folder, &err), 0, "%s", err.text);
  cr_assert_eq(ld_model_folder_count(folder), r->n_to, "%s", name);
  for (size_t i = 0; i < r->n_to; i++) {
    const ld_named *expected = &r->to[i];
    const ld_stored *stored = ld_model_folder_find(folder, expected->name);
    cr_assert(stored, "%s: %s", name, expected->name);
    cr_assert_eq(stored->dtype, expected->tensor.dtype, "%s: %s", name, expected->name);
    cr_assert_eq(stored->ndim, expected->tensor.ndim, "%s: %s", name, expected->name);
    for (int d = 0; d < stored->ndim; d++)
      cr_assert_eq(stored->shape[d], expected->tensor.shape[d], "%s: %s", name, expected->name);
    cr_assert_eq(checksum(stored), r->sums[i], "%s: %s", name, expected->name);
  }
  ld_model_folder_close(folder);
}

/* The folder is a base as it is. */
static void check_base(const char *name, const char *path) {
  ld_base base = {0};
  ld_error err = {0};
  cr_assert_eq(ld_base_open(path, &base, &err), 0, "%s: %s", name, err.text);
  const ld_diffusion *d = base.model->diffusion;
  const bool two = !strcmp(name, "sdxl"), second = !strcmp(name, "sd2");
  cr_assert_eq(d->n_texts, two ? 2 : 1);
  cr_assert_eq(d->text_len, 77);
  cr_assert_eq(d->schedule.prediction, LD_PREDICTION_V);
  cr_assert_eq(d->size, two ? 1024 : second ? 768 : 512, "%s: %d", name, d->size);
  cr_assert_eq(d->padding[0], ld_tokenizer_id(base.tokenizer, second ? "!" : "<|endoftext|>"));
  if (two) cr_assert_eq(d->padding[1], ld_tokenizer_id(base.tokenizer, "!"));
  ld_base_close(&base);
}

Test(single_file, equals_what_diffusers_makes) {
  for (size_t c = 0; c < N_CASES; c++) {
    recorded *r = read_case(cases[c]);
    char *folder = scratch_new(), *out = ld_path_join(folder, "out");
    ld_error err;
    cr_assert_eq(convert(r, folder, &complete, &err), 0, "%s", err.text);
    check_tensors(r, cases[c], out);
    check_base(cases[c], out);
    free(out);
    scratch_end(folder);
    free_case(r);
  }
}

/* The case's file without the tensor `left_out`, with bytes for numbers, all 0. The caller frees. */
static char *file_without(const recorded *r, size_t left_out, size_t *length) {
  ld_text header = {0};
  size_t at = 0;
  for (size_t i = 0; i < r->n_from; i++) {
    const ld_stored *tensor = &r->from[i].tensor;
    if (i == left_out) continue;
    ld_text_printf(&header, "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[", header.length ? "," : "{",
                   r->from[i].name);
    for (int d = 0; d < tensor->ndim; d++)
      ld_text_printf(&header, "%s%lld", d ? "," : "", (long long)tensor->shape[d]);
    ld_text_printf(&header, "],\"data_offsets\":[%zu,", at);
    ld_text_printf(&header, "%zu]}", at += (size_t)ld_stored_count(tensor));
  }
  ld_text_puts(&header, "}");
  const uint64_t size = header.length;
  *length = 8 + header.length + at;
  char *bytes = ld_alloc(*length, 1);
  memcpy(bytes, &size, 8);
  memcpy(bytes + 8, header.bytes, header.length);
  ld_text_free(&header);
  return bytes;
}

static int read_without(const recorded *r, size_t left_out, ld_error *err) {
  ld_safetensors *file;
  ld_ldm *ldm;
  size_t length;
  char *bytes = file_without(r, left_out, &length);
  *err = (ld_error){0};
  cr_assert_eq(ld_safetensors_parse(bytes, length, "it", &file, err), 0, "%s", err->text);
  const int rc = ld_ldm_read(file, "it", "epsilon", &ldm, err);
  cr_assert_eq(!rc, ldm != NULL);
  ld_ldm_free(ldm);
  ld_safetensors_close(file);
  free(bytes);
  return rc;
}

static bool is_needed(const char *name) {
  static const char *const idle[] = {"betas", "model_ema", "position_ids", "logit_scale", "resblocks.23"};
  for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
    if (strstr(name, idle[i])) return false;
  return strcmp(name, "cond_stage_model.model.text_projection") != 0;
}

/* No tensor of a network can be missing without an error. */
Test(single_file, refuses_a_missing_tensor) {
  for (size_t c = 0; c < N_CASES; c++) {
    recorded *r = read_case(cases[c]);
    for (size_t i = 0; i < r->n_from; i += c ? 3 : 1) {
      ld_error err;
      const int rc = read_without(r, i, &err);
      const bool needed = is_needed(r->from[i].name);
      cr_assert_eq(rc != 0, needed, "%s without %s: %s", cases[c], r->from[i].name, err.text);
      if (needed) cr_assert_eq(strncmp(err.text, "it: ", 4), 0, "%s", err.text);
    }
    free_case(r);
  }
}

static void expect_refused(const recorded *r, int code, const char *text) {
  char *folder = scratch_new();
  ld_error err;
  cr_assert_eq(convert(r, folder, &plain, &err), code, "%s: %s", text, err.text);
  cr_assert(strstr(err.text, text), "%s: %s", text, err.text);
  scratch_end(folder);
}

Test(single_file, refuses_other_models) {
  static const char *const rows[][2] = {
      {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"},
      {"double_blocks.0.img_attn.qkv.weight", "Flux"},
      {"conditioner.embedders.0.model.ln_final.weight", "refiner"},
      {"control_model.time_embed.0.weight", "ControlNet"},
      {"edm_mean", "Playground"},
      {"lora_unet_mid_block_attentions_0_proj_in.alpha", "adapter"},
      {"model.diffusion_model.label_emb.weight", "upscaler"},
      {"model.diffusion_model.input_blocks.1.0.in_layers.9.weight", "has no place in Stable Diffusion 1"},
      {"cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc3.weight", "has no place"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    recorded *r = read_case("sd1");
    add(r, rows[i][0], LD_F16, 4);
    expect_refused(r, LD_EUNSUPPORTED, rows[i][1]);
    free_case(r);
  }
}

/* Every tensor whose name begins so gets another beginning. */
static void rename_all(recorded *r, const char *from, const char *to) {
  for (size_t i = 0; i < r->n_from; i++)
    if (!strncmp(r->from[i].name, from, strlen(from)))
      rename_tensor(&r->from[i], ld_format("%s%s", to, r->from[i].name + strlen(from)));
}

Test(single_file, refuses_parts_and_other_shapes) {
  static const char *const rows[][2] = {{"model.diffusion_model.", "is not Stable Diffusion in one file"},
                                        {"first_stage_model.", "holds no autoencoder"},
                                        {"cond_stage_model.", "holds no text encoder"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    recorded *r = read_case("sd1");
    rename_all(r, rows[i][0], "else.");
    expect_refused(r, LD_EUNSUPPORTED, rows[i][1]);
    free_case(r);
  }
  recorded *r = read_case("sd1");
  ld_stored *first = &find(r, "model.diffusion_model.input_blocks.0.0.weight")->tensor;
  free((void *)(uintptr_t)first->data);
  first->shape[1] = 9;
  first->data = ld_alloc(ld_stored_bytes(first), 1);
  expect_refused(r, LD_EUNSUPPORTED, "inpainting");
  free_case(r);
  r = read_case("sd1");
  first = &find(r, "first_stage_model.decoder.conv_in.bias")->tensor;
  first->shape[0] = 32;
  expect_refused(r, LD_EFORMAT, "first_stage_model.decoder.conv_in.bias' has the shape (32)");
  free_case(r);
}

/* Of early descendants: the text model without its name. */
Test(single_file, reads_early_names) {
  recorded *r = read_case("sd1");
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err;
  rename_all(r, "cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.");
  cr_assert_eq(convert(r, folder, &plain, &err), 0, "%s", err.text);
  check_tensors(r, "early", out);
  free(out);
  scratch_end(folder);
  free_case(r);
}

static void expect_prediction(const recorded *r, const char *prediction) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "out/scheduler/scheduler_config.json");
  ld_error err;
  size_t length;
  cr_assert_eq(convert(r, folder, &plain, &err), 0, "%s", err.text);
  char *text = scratch_read(path, &length), *expected = ld_format("\"prediction_type\": \"%s\"", prediction);
  cr_assert(strstr(text, expected), "%s", text);
  free(text), free(expected), free(path);
  scratch_end(folder);
}

Test(single_file, asks_what_version_2_predicts) {
  recorded *r = read_case("sd2");
  expect_refused(r, LD_EUSAGE, "give --prediction v_prediction");
  add(r, "global_step", LD_I64, 1);
  int64_t *steps = (void *)(uintptr_t)find(r, "global_step")->tensor.data;
  *steps = 123;
  expect_refused(r, LD_EUSAGE, "give --prediction v_prediction");
  *steps = 875000;
  expect_prediction(r, "epsilon");
  *steps = 110000;
  expect_prediction(r, "v_prediction");
  free_case(r);
  r = read_case("sdxl");
  expect_prediction(r, "epsilon");
  add(r, "v_pred", LD_F32, 0);
  expect_prediction(r, "v_prediction");
  free_case(r);
}

Test(single_file, without_a_tokenizer_says_what_is_missing) {
  recorded *r = read_case("sd1");
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  ld_error err;
  cr_assert_eq(convert(r, folder, &plain, &err), 0, "%s", err.text);
  ld_base base = {0};
  cr_assert_eq(ld_base_open(out, &base, &err), LD_EFILE);
  cr_assert(strstr(err.text, "out/tokenizer: ") && strstr(err.text, "vocab.json"), "%s", err.text);
  ld_base_close(&base);
  /* The two files with words are enough then. */
  const char *const names[] = {"vocab.json", "merges.txt"};
  for (int i = 0; i < 2; i++) {
    char *from = ld_format(TOKENIZER "/%s", names[i]), *to = ld_format("tokenizer/%s", names[i]);
    size_t length;
    char *bytes = scratch_read(from, &length);
    free(scratch_file(out, to, bytes, length));
    free(bytes), free(from), free(to);
  }
  cr_assert_eq(ld_base_open(out, &base, &err), 0, "%s", err.text);
  cr_assert_eq(base.model->diffusion->padding[0], ld_tokenizer_id(base.tokenizer, "<|endoftext|>"));
  ld_base_close(&base);
  free(out);
  scratch_end(folder);
  free_case(r);
}

Test(single_file, refuses_what_it_cannot_read) {
  char *folder = scratch_new(), *out = ld_path_join(folder, "out");
  char *file = scratch_file(folder, "cut.safetensors", "\x20\0\0\0\0\0\0\0{}", 10),
       *pickle = scratch_file(folder, "model.ckpt", "PK", 2);
  const char *const rows[][2] = {
      {file, "cut.safetensors: "}, {pickle, "is a pickle"}, {folder, "is a folder"}};
  for (int i = 0; i < 3; i++) {
    ld_error err = {0};
    cr_assert(ld_single_file_convert(rows[i][0], &plain, out, &err));
    cr_assert(strstr(err.text, rows[i][1]), "%s", err.text);
    cr_assert(!ld_file_is_named(out));
  }
  recorded *r = read_case("sd1");
  ld_error err;
  cr_assert_eq(convert(r, folder, &(ld_single_request){.tokenizer = folder}, &err), LD_EFILE);
  cr_assert(strstr(err.text, "--tokenizer"), "%s", err.text);
  free_case(r);
  free(file), free(pickle), free(out);
  scratch_end(folder);
}
