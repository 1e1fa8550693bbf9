/* Models that make pictures against diffusers + PEFT, recorded in tests/golden/diffusion: the autoencoder, the
 * prediction, the loss, every gradient of the adapter, and twenty steps of AdamW. */
#include "golden.h"
#include "model/diffusion.h"
#include "nn/ops.h"
#include "train/adamw.h"

#define FOLDER LD_TESTS_DIR "/golden/diffusion"

/* A case and its batch. */
typedef struct fixture {
  judged c;
  ld_lanes lanes;
  ld_batch batch;
  int n, height, width;
} fixture;

static const ld_stored *stored(const fixture *f, const char *name) {
  const ld_stored *tensor = ld_safetensors_find(f->c.golden, name);
  cr_assert(tensor, "%s: %s was not recorded", f->c.name, name);
  return tensor;
}

/* (B, C, H, W) to maps (C, B H W). */
static float *maps_of(const ld_stored *t) {
  const size_t B = (size_t)t->shape[0], C = (size_t)t->shape[1], size = (size_t)(t->shape[2] * t->shape[3]);
  float *maps = ld_alloc(B * C * size, sizeof *maps);
  for (size_t b = 0; b < B; b++)
    for (size_t c = 0; c < C; c++)
      memcpy(maps + (c * B + b) * size, (const float *)t->data + (b * C + c) * size, size * sizeof *maps);
  return maps;
}

static void check_maps(const fixture *f, const char *name, const ld_tensor *x) {
  const ld_stored *want = stored(f, name);
  float *maps = maps_of(want);
  cr_assert_eq(ld_stored_count(want), (int64_t)x->rows * x->cols, "%s: %s", f->c.name, name);
  const double error = relative(x->data, maps, (size_t)ld_stored_count(want));
  cr_assert(error < TOLERANCE, "%s: %s: %.2e", f->c.name, name, error);
  free(maps);
}

static void check_rows(const fixture *f, const char *name, const ld_tensor *x) {
  const ld_stored *want = stored(f, name);
  cr_assert_eq(ld_stored_count(want), (int64_t)x->rows * x->cols, "%s: %s", f->c.name, name);
  const double error = relative(x->data, want->data, (size_t)ld_stored_count(want));
  cr_assert(error < TOLERANCE, "%s: %s: %.2e", f->c.name, name, error);
}

static ld_lane *add_lane(fixture *f, const char *name, int rows, size_t width) {
  ld_lane *lane = ld_lane_of(&f->lanes, name);
  ld_lane_add(lane, rows, width);
  return lane;
}

static void lay_ids(fixture *f) {
  const ld_diffusion *d = f->c.base.model->diffusion;
  const ld_stored *ids = stored(f, "ids");
  ld_lane *text = ld_lane_of(&f->lanes, LD_TEXT);
  for (int b = 0; b < f->n; b++) {
    bool ended = false; /* the second tokenizer has another padding */
    ld_lane_begin_segment(text);
    for (int64_t i = 0; i < ids->shape[1]; i++) {
      const int32_t id = ((const int32_t *)ids->data)[b * ids->shape[1] + i];
      ld_lane_add_token(text, id, ended ? d->padding[1] : id);
      ended = ended || (i && id == d->eos);
    }
  }
}

static void lay_batch(fixture *f) {
  const ld_diffusion *d = f->c.base.model->diffusion;
  const ld_stored *image = stored(f, "image"), *noise = stored(f, "noise");
  const size_t n = (size_t)ld_stored_count(noise) / (size_t)image->shape[0];
  f->n = (int)image->shape[0];
  f->height = (int)image->shape[2];
  f->width = (int)image->shape[3];
  float *maps = maps_of(image);
  memcpy(add_lane(f, LD_IMAGE, f->n, (size_t)ld_stored_count(image) / (size_t)f->n)->numbers, maps,
         (size_t)ld_stored_count(image) * sizeof *maps);
  free(maps);
  const size_t all = d->encode ? 2 * n : n;
  float *numbers = add_lane(f, LD_NOISE, f->n, all)->numbers;
  ld_lane *times = add_lane(f, LD_TIMES, f->n, 1);
  for (int b = 0; b < f->n; b++) {
    memcpy(numbers + (size_t)b * all, (const float *)noise->data + (size_t)b * n, n * sizeof *numbers);
    if (d->encode)
      memcpy(numbers + (size_t)b * all + n, (const float *)stored(f, "draw")->data + (size_t)b * n,
             n * sizeof *numbers);
    times->ids[b] = ((const int32_t *)stored(f, "times")->data)[b];
    times->numbers[b] = (float)ld_schedule_min_snr(&d->schedule, times->ids[b], 5);
    const float want = ((const float *)stored(f, "weights")->data)[b];
    cr_assert(fabsf(times->numbers[b] - want) < 1e-4f * want, "weight %g, not %g", (double)times->numbers[b],
              (double)want);
  }
  if (d->n_texts) lay_ids(f);
  float *sizes = d->sizes ? add_lane(f, LD_SIZES, f->n, LD_N_SIZES)->numbers : NULL;
  for (int b = 0; sizes && b < f->n; b++, sizes += LD_N_SIZES) {
    sizes[0] = sizes[4] = (float)f->height;
    sizes[1] = sizes[5] = (float)f->width;
    sizes[2] = sizes[3] = 0;
  }
  if (d->n_classes)
    memcpy(add_lane(f, LD_CLASSES, f->n, 0)->ids, stored(f, "classes")->data, (size_t)f->n * sizeof(int32_t));
  for (int i = 0; i < f->lanes.n; i++) f->batch.fields[i] = ld_lane_field(&f->lanes.list[i]);
  ld_field *field = f->batch.fields;
  while (strcmp(field->name, LD_IMAGE) != 0) field++;
  field->channels = 3;
  field->height = f->height;
  field->width = f->width;
}

/* Puts LoRA with the recorded matrices on the recorded modules. */
static void put_adapter(fixture *f) {
  const ld_model *model = f->c.base.model;
  ld_choice *choices = ld_alloc(model->n_linears, sizeof *choices);
  size_t n = 0;
  for (size_t i = 0; i < model->n_linears; i++) {
    char *name = ld_format("lora.%s.A", model->linears[i]->path);
    if (ld_safetensors_find(f->c.golden, name))
      choices[n++] = (ld_choice){model->linears[i], ld_adapter_kind_find("lora"), 3, 6, 2};
    free(name);
  }
  f->c.base.params = ld_params_attach(choices, n, 0);
  free(choices);
  size_t recorded_ones = 0;
  for (size_t i = 0; i < ld_safetensors_count(f->c.golden); i++)
    recorded_ones += !strncmp(ld_safetensors_name(f->c.golden, i), "lora.", 5);
  cr_assert_eq(f->c.base.params->n, recorded_ones, "%s: %zu of %zu matrices", f->c.name, f->c.base.params->n,
               recorded_ones);
  for (size_t i = 0; i < f->c.base.params->n; i++) {
    ld_param *param = &f->c.base.params->list[i];
    char *name = recorded_name("lora", param);
    const ld_stored *value = stored(f, name);
    cr_assert_eq((size_t)ld_stored_count(value), param->count);
    memcpy(param->data, value->data, param->count * sizeof *param->data);
    free(name);
  }
  ld_params_update(f->c.base.params);
}

static void open_fixture(fixture *f, const char *name) {
  ld_error err;
  char *path = ld_path_join(FOLDER, name), *golden = ld_path_join(path, "golden.safetensors");
  *f = (fixture){.c = {.name = name}};
  must(ld_model_folder_open(path, &f->c.base.folder, &err), &err);
  f->c.base.weights = ld_weights_mapped(f->c.base.folder);
  must(ld_model_build(ld_model_folder_config(f->c.base.folder), f->c.base.weights, NULL, &f->c.base.model,
                      &err),
       &err);
  f->c.base.objective = ld_objective_of(f->c.base.model);
  must(ld_safetensors_open(golden, &f->c.golden, &err), &err);
  ld_diffusion *d = f->c.base.model->diffusion;
  d->bos = 38;
  d->eos = d->padding[0] = 39;
  d->padding[1] = 0;
  lay_batch(f);
  put_adapter(f);
  free(path);
  free(golden);
}

static void close_fixture(fixture *f) {
  ld_lanes_free(&f->lanes);
  close_case(&f->c);
}

/* The parts of a pass, in inference. */
static void check_parts(const fixture *f) {
  const ld_model *model = f->c.base.model;
  const ld_diffusion *d = model->diffusion;
  ld_tape *tape = ld_tape_create();
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    if (d->encode) {
      ld_maps images = ld_op_images(tape, ld_batch_field(&f->batch, LD_IMAGE));
      ld_maps moments = d->encode(model, tape, images, &f->batch);
      const ld_maps latents = ld_op_draw(tape, moments, NULL, 0, 1, 0);
      const ld_maps pictures = d->decode(model, tape, latents, &f->batch);
      if (!dry) check_maps(f, "moments", moments.x);
      if (!dry) check_maps(f, "decoded", pictures.x);
    }
    const ld_condition condition = d->condition(model, tape, &f->batch);
    if (!dry && condition.states) check_rows(f, "states", condition.states);
    if (!dry && condition.pooled) check_rows(f, "pooled", condition.pooled);
    const ld_stored *noised = stored(f, "noised");
    float *maps = maps_of(noised);
    float times[3];
    for (int b = 0; b < f->n; b++)
      times[b] = ld_schedule_timestep(&d->schedule, ((const int32_t *)stored(f, "times")->data)[b]);
    const ld_maps x = {
        ld_tape_input(tape, maps, (int)noised->shape[1], f->n * (int)(noised->shape[2] * noised->shape[3])),
        f->n, (int)noised->shape[2], (int)noised->shape[3]};
    const ld_maps y = d->denoise(model, tape, x, times, &condition, &f->batch);
    if (!dry) check_maps(f, "prediction", y.x);
    free(maps);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  ld_tape_free(tape);
}

static double backward(fixture *f, ld_tape *tape, bool recompute) {
  double loss = 0;
  ld_params *params = f->c.base.params;
  for (int dry = 1; dry >= 0; dry--) {
    memset(params->grad, 0, params->n_floats * sizeof(float));
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, recompute);
    f->c.base.objective->loss(f->c.base.model, tape, &f->batch, &loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  return loss;
}

/* Twenty steps of AdamW on the batch: each loss, and the matrices after them. */
static void check_steps(fixture *f, ld_tape *tape) {
  ld_params *params = f->c.base.params;
  const size_t n = params->n_floats;
  ld_adamw adamw = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .n = n};
  adamw.m = ld_alloc(n, sizeof *adamw.m);
  adamw.v = ld_alloc(n, sizeof *adamw.v);
  const ld_stored *losses = stored(f, "losses");
  for (int64_t step = 1; step <= losses->shape[0]; step++) {
    const double loss = backward(f, tape, false) / f->n, want = ((const double *)losses->data)[step - 1];
    cr_assert(fabs(loss - want) < TOLERANCE * want, "%s: step %d: loss %.9g, not %.9g", f->c.name, (int)step,
              loss, want);
    for (size_t i = 0; i < n; i++) params->grad[i] /= (float)f->n;
    ld_adamw_step(&adamw, params->data, params->grad, 5e-4, step);
    ld_params_update(params);
  }
  for (size_t i = 0; i < params->n; i++) {
    char *name = recorded_name("after", &params->list[i]);
    const double error = relative(params->list[i].data, stored(f, name)->data, params->list[i].count);
    cr_assert(error < 1e-3, "%s: %s: %.2e", f->c.name, name, error);
    free(name);
  }
  ld_adamw_free(&adamw);
}

/* A keeper in memory. */
typedef struct kept {
  uint64_t keys[64];
  float *numbers[64];
  int n, n_read;
} kept;

static int find_kept(const kept *k, uint64_t key) {
  int i = 0;
  while (i < k->n && k->keys[i] != key) i++;
  return i;
}

static bool has_kept(void *self, uint64_t key) {
  const kept *k = self;
  return find_kept(k, key) < k->n;
}

static bool read_kept(void *self, uint64_t key, float *out, size_t n) {
  kept *k = self;
  memcpy(out, k->numbers[find_kept(k, key)], n * sizeof *out);
  k->n_read++;
  return true;
}

static void write_kept(void *self, uint64_t key, const float *numbers, size_t n) {
  kept *k = self;
  k->keys[k->n] = key;
  k->numbers[k->n] = ld_alloc(n, sizeof *numbers);
  memcpy(k->numbers[k->n++], numbers, n * sizeof *numbers);
}

/* What the autoencoder and the text encoders make of the batch is kept, and read again with the same bits. */
static void check_reuse(fixture *f, ld_tape *tape) {
  static const uint64_t keys[] = {11, 22, 33};
  kept k = {.n = 0};
  const ld_keeper keeper = {&k, 0, has_kept, read_kept, write_kept};
  const ld_params *params = f->c.base.params;
  bool texts_trained = false;
  for (size_t i = 0; i < params->n_changes; i++)
    texts_trained = texts_trained || params->choices[i].layer->aside;
  float *grad = ld_alloc(params->n_floats, sizeof *grad);
  const double loss = backward(f, tape, false);
  memcpy(grad, params->grad, params->n_floats * sizeof *grad);
  for (ld_field *field = f->batch.fields; field->name; field++)
    if (!strcmp(field->name, LD_IMAGE) || !strcmp(field->name, LD_TEXT)) field->keys = keys;
  ld_tape_keep(tape, &keeper);
  for (int time = 0; time < 2; time++) {
    cr_assert(backward(f, tape, time) == loss, "%s: the loss changes", f->c.name);
    cr_assert_arr_eq(params->grad, grad, params->n_floats * sizeof *grad);
  }
  const ld_diffusion *d = f->c.base.model->diffusion;
  const int results = (d->encode ? 1 : 0) + (texts_trained ? 0 : d->n_texts);
  cr_assert_eq(k.n, f->n * results, "%s: %d results are kept, not %d", f->c.name, k.n, f->n * results);
  cr_assert_eq(k.n_read, k.n);
  ld_tape_keep(tape, NULL);
  for (int i = 0; i < k.n; i++) free(k.numbers[i]);
  free(grad);
}

static void check_case(const char *name) {
  fixture f;
  open_fixture(&f, name);
  ld_tape *tape = ld_tape_create();
  check_parts(&f);
  const double loss = backward(&f, tape, true);
  cr_assert(loss == backward(&f, tape, false), "%s: the loss changes with recompute", name);
  check_loss_of(&f.c, loss / f.n);
  check_gradients_of(&f.c, f.n);
  check_reuse(&f, tape);
  check_steps(&f, tape);
  ld_tape_free(tape);
  close_fixture(&f);
}

Test(diffusion, stable_diffusion_1) {
  check_case("sd1");
}

Test(diffusion, stable_diffusion_2) {
  check_case("sd2");
}

Test(diffusion, sdxl) {
  check_case("sdxl");
}

Test(diffusion, pixels) {
  check_case("ddpm");
}

Test(diffusion, pixels_of_classes) {
  check_case("ddpm_classes");
}

Test(diffusion, transformer) {
  check_case("dit");
}

Test(diffusion, transformer_with_flow_matching) {
  check_case("dit_flow");
}

/* ---- what is drawn for a record */

static ld_laid laid_of(const fixture *f, const ld_record *record, int number) {
  static const ld_sample empty;
  return (ld_laid){.sample = &empty,
                   .record = record,
                   .model = f->c.base.model,
                   .height = f->height,
                   .width = f->width,
                   .seed = 1,
                   .number = number};
}

/* The class of a record with label 3, of an epoch (negative: an evaluation), when that part of them are dropped. */
static int32_t class_laid(const fixture *f, double dropout, int64_t epoch) {
  const ld_record record = {.label = 3};
  ld_lanes lanes = {0};
  ld_laid laid = laid_of(f, &record, 0);
  laid.epoch = epoch;
  laid.noising.caption_dropout = dropout;
  f->c.base.objective->lay(&laid, &lanes);
  const int32_t class = ld_lane_of(&lanes, LD_CLASSES)->ids[0];
  ld_lanes_free(&lanes);
  return class;
}

Test(diffusion, dropped_class_is_none) {
  fixture f;
  open_fixture(&f, "dit");
  cr_assert_eq(class_laid(&f, 0, 0), 3);
  cr_assert_eq(class_laid(&f, 1, 0), 5);
  cr_assert_eq(class_laid(&f, 1, -1), 3);
  close_fixture(&f);
}

/* How many of 1000 records' timesteps are in each tenth of 1000. */
static void count_times(const fixture *f, bool logit_normal, int tenths[10]) {
  const ld_record record = {.label = 0};
  ld_lanes lanes = {0};
  for (int i = 0; i < 10; i++) tenths[i] = 0;
  for (int i = 0; i < 1000; i++) {
    ld_laid laid = laid_of(f, &record, i);
    laid.noising.logit_normal = logit_normal;
    f->c.base.objective->lay(&laid, &lanes);
    const int32_t t = ld_lane_of(&lanes, LD_TIMES)->ids[i];
    cr_assert(t >= 0 && t < 1000, "t = %d", (int)t);
    tenths[t / 100]++;
  }
  ld_lanes_free(&lanes);
}

/* A tenth each, or by the logistic distribution of a normal number: 0.014 in the first tenth, 0.157 in the fifth. */
Test(diffusion, timesteps_are_drawn_as_asked) {
  fixture f;
  int tenths[10];
  open_fixture(&f, "dit_flow");
  count_times(&f, false, tenths);
  for (int i = 0; i < 10; i++) cr_assert(abs(tenths[i] - 100) < 40, "tenth %d: %d", i, tenths[i]);
  count_times(&f, true, tenths);
  for (int i = 0; i < 10; i += 9) cr_assert(tenths[i] < 30, "tenth %d: %d", i, tenths[i]);
  for (int i = 4; i < 6; i++) cr_assert(abs(tenths[i] - 157) < 45, "tenth %d: %d", i, tenths[i]);
  close_fixture(&f);
}

/* ---- configs that are refused */

static ld_value *member(ld_value *map, const char *key) {
  for (size_t i = 0; i < map->n_items; i++)
    if (!strcmp(map->items[i].key, key)) return &map->items[i];
  cr_assert_fail("no member %s", key);
  return NULL;
}

/* Sets a number or, with `text`, a text in the transformer's config, and expects an error with `message`. */
static void refuse(const char *key, int64_t number, const char *text, const char *message) {
  ld_error err;
  ld_model_folder *folder;
  ld_model *model;
  must(ld_model_folder_open(FOLDER "/dit", &folder, &err), &err);
  ld_weight_store *weights = ld_weights_mapped(folder);
  ld_value *value = member(member((ld_value *)ld_model_folder_config(folder), "transformer"), key);
  ld_value_clear(value);
  value->type = text ? LD_STRING : LD_INTEGER;
  value->integer = number;
  if (text) value->string = ld_strdup(text);
  cr_assert(ld_model_build(ld_model_folder_config(folder), weights, NULL, &model, &err) < 0, "%s", key);
  cr_assert(strstr(err.text, message) && strstr(err.text, "dit/transformer/config.json"), "%s", err.text);
  free(weights);
  ld_model_folder_close(folder);
}

Test(diffusion, transformer_that_is_not_supported) {
  refuse("_class_name", 0, "PixArtTransformer2DModel", "_class_name \"PixArtTransformer2DModel\"");
  refuse("norm_type", 0, "ada_norm_single", "norm_type \"ada_norm_single\" is not supported");
  refuse("activation_fn", 0, "geglu", "activation_fn \"geglu\" is not supported");
  refuse("out_channels", 5, NULL, "out_channels (5) must be in_channels (4) or");
  refuse("attention_head_dim", 7, NULL,
         "attention_head_dim times num_attention_heads (14) must be a multiple of 4");
  refuse("sample_size", 1, NULL, "sample_size (1) must be at least patch_size (2)");
}
