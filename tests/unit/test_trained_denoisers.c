/* Small trained models from the folder that LORA_DIST_DATA names, or from ../shared/data: two that denoise digits and a
 * decoder of latents. They have layouts of their own, so they are put together here from single operations; each
 * folder's golden.json has their outputs for given inputs. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/file.h"
#include "io/hub/safetensors.h"
#include "io/json.h"
#include "linalg/codecs.h"
#include "model/map_blocks.h"
#include "nn/ops.h"

enum { MOST = 1024 };

static const ld_kernel same = {3, 3, 1, 1, 0}, point = {1, 1, 1, 0, 0};

/* An open model, and a pass over it. */
typedef struct net {
  ld_safetensors *file;
  ld_value *golden;
  ld_tape *tape;
  ld_batch batch;
  void *owned[MOST];
  int n_owned;
} net;

static void *own(net *n, size_t bytes) {
  cr_assert(n->n_owned < MOST);
  return n->owned[n->n_owned++] = ld_alloc(bytes, 1);
}

static const ld_stored *find(net *n, const char *name) {
  const ld_stored *tensor = ld_safetensors_find(n->file, name);
  cr_assert(tensor, "'%s' is missing", name);
  return tensor;
}

static float *floats(net *n, const char *name) {
  const ld_stored *tensor = find(n, name);
  const ld_coded numbers = ld_coded_of(tensor);
  float *copy = own(n, (size_t)ld_stored_count(tensor) * sizeof *copy);
  ld_coded_widen(copy, &numbers, 0, ld_stored_count(tensor));
  return copy;
}

static ld_weight weight_of(net *n, const char *name) {
  const ld_stored *tensor = find(n, name);
  const int rows = (int)tensor->shape[0];
  return (ld_weight){ld_coded_of(tensor), rows, (int)(ld_stored_count(tensor) / rows)};
}

static ld_linear *layer(net *n, const char *path, ld_kernel kernel) {
  char *weight = ld_format("%s.weight", path), *bias = ld_format("%s.bias", path);
  ld_linear *l = own(n, sizeof *l);
  *l = (ld_linear){.weight = weight_of(n, weight), .kernel = kernel};
  l->in = l->weight.cols;
  l->out = l->weight.rows;
  if (ld_safetensors_find(n->file, bias)) l->bias = floats(n, bias);
  free(weight);
  free(bias);
  return l;
}

static ld_tensor *linear(net *n, ld_tensor *x, const char *path) {
  return ld_op_linear(n->tape, x, layer(n, path, (ld_kernel){0}), &n->batch);
}

static ld_maps convolve(net *n, ld_maps x, const char *path, ld_kernel kernel) {
  return ld_op_convolution(n->tape, x, layer(n, path, kernel), &n->batch);
}

static ld_maps convolve_onto(net *n, ld_maps residual, ld_maps x, const char *path, ld_kernel kernel) {
  return ld_op_convolution_accumulate(n->tape, residual, x, layer(n, path, kernel), &n->batch);
}

static ld_maps relu(net *n, ld_maps x) {
  x.x = ld_op_activation(n->tape, x.x, LD_RELU);
  return x;
}

/* The name of part `part` of the k-th module in `path`. */
static const char *at(net *n, const char *path, int k, const char *part) {
  char *text = ld_format("%s.%d%s", path, k, part);
  char *name = strcpy(own(n, strlen(text) + 1), text);
  free(text);
  return name;
}

static float *constant(net *n, int count, float value) {
  float *list = own(n, (size_t)count * sizeof *list);
  for (int i = 0; i < count; i++) list[i] = value;
  return list;
}

typedef struct question {
  int t, class;
  ld_maps x;
} question;

/* ---- mnist-dit */

static ld_tensor *layer_norm(net *n, ld_tensor *x, const char *weight, const char *bias) {
  return ld_op_layer_norm(n->tape, x, floats(n, weight), floats(n, bias), 1e-5f);
}

static ld_tensor *dit_condition(net *n, const question *q) {
  ld_field *class = own(n, sizeof *class);
  int32_t *id = own(n, sizeof *id);
  float *time = constant(n, 1, (float)q->t);
  ld_embedding *tables = own(n, sizeof *tables);
  ld_weight *words = own(n, sizeof *words);
  *id = q->class;
  *class = (ld_field){.name = LD_CLASSES, .n_rows = 1, .ids = id};
  *words = weight_of(n, "label_emb.weight");
  *tables = (ld_embedding){.words = words, .padding = -1};
  ld_tensor *label = ld_op_embedding(n->tape, class, tables);
  ld_tensor *h = linear(n, ld_op_sinusoids(n->tape, time, 1, 64, false, 1, 1), "time_emb.1");
  h = ld_op_activation(n->tape, h, LD_RELU);
  return ld_op_linear_accumulate(n->tape, label, h, layer(n, "time_emb.3", (ld_kernel){0}), &n->batch);
}

static ld_tensor *dit_block(net *n, ld_tensor *x, ld_tensor *c, const ld_field *patches, int k) {
  static const ld_attention attention = {
      .n_heads = 4, .n_kv_heads = 4, .head_dim = 64, .scale = 1 / 7.0f, .block = LD_NO_CACHE};
  ld_tape *tape = n->tape;
  const int rows = patches->n_rows;
  ld_tensor *h = layer_norm(n, x, at(n, "dits", k, ".ln1.weight"), at(n, "dits", k, ".ln1.bias"));
  ld_tensor *shift = linear(n, c, at(n, "dits", k, ".beta1"));
  ld_tensor *scale = linear(n, c, at(n, "dits", k, ".gamma1"));
  h = ld_op_modulate(tape, h, shift, scale, rows);
  ld_tensor *q = linear(n, h, at(n, "dits", k, ".wq")), *key = linear(n, h, at(n, "dits", k, ".wk"));
  ld_tensor *v = linear(n, h, at(n, "dits", k, ".wv"));
  h = linear(n, ld_op_attention(tape, q, key, v, &attention, patches, patches), at(n, "dits", k, ".lv"));
  x = ld_op_gate_accumulate(tape, x, h, linear(n, c, at(n, "dits", k, ".alpha1")), rows);
  h = layer_norm(n, x, at(n, "dits", k, ".ln2.weight"), at(n, "dits", k, ".ln2.bias"));
  shift = linear(n, c, at(n, "dits", k, ".beta2"));
  scale = linear(n, c, at(n, "dits", k, ".gamma2"));
  h = ld_op_modulate(tape, h, shift, scale, rows);
  h = ld_op_activation(tape, linear(n, h, at(n, "dits", k, ".ff.0")), LD_RELU);
  h = linear(n, h, at(n, "dits", k, ".ff.2"));
  return ld_op_gate_accumulate(tape, x, h, linear(n, c, at(n, "dits", k, ".alpha2")), rows);
}

static ld_maps run_dit(net *n, const question *q) {
  const ld_maps patches = convolve(n, q->x, "conv", (ld_kernel){4, 4, 4, 0, 0});
  const int n_patches = patches.height * patches.width;
  ld_field *field = own(n, sizeof *field);
  int32_t *positions = own(n, (size_t)n_patches * sizeof *positions);
  for (int i = 0; i < n_patches; i++) positions[i] = i;
  *field = *ld_pixel_rows(n->tape, patches);
  field->positions = positions;
  ld_tensor *x = linear(n, ld_op_rows_of_maps(n->tape, patches), "patch_emb");
  x = ld_op_add_positions(n->tape, x, field, floats(n, "patch_pos_emb"), n_patches);
  ld_tensor *c = dit_condition(n, q);
  for (int k = 0; k < 3; k++) x = dit_block(n, x, c, field, k);
  x = linear(n, layer_norm(n, x, "ln.weight", "ln.bias"), "linear");
  return ld_op_unpatch(n->tape, x, 1, patches.height, patches.width, 4);
}

/* ---- mnist-unet */

/* Normalises all numbers of the one image together; each has a weight and a bias of its own. */
static ld_maps norm_all(net *n, ld_maps x, const char *path) {
  char *weight = ld_format("%s.weight", path), *bias = ld_format("%s.bias", path);
  const int C = x.x->rows;
  x = ld_op_group_norm(n->tape, x, constant(n, C, 1), constant(n, C, 0), 1, 1e-5f, false);
  x.x = ld_op_multiply(n->tape, x.x, ld_tape_input(n->tape, floats(n, weight), C, x.x->cols));
  const float *one = constant(n, 1, 1);
  x = ld_op_mix_noise(n->tape, x, floats(n, bias), 0, one, one);
  free(weight);
  free(bias);
  return x;
}

static ld_maps unet_block(net *n, ld_maps x, const char *path, int k) {
  ld_maps h = norm_all(n, x, at(n, path, k, ".ln"));
  h = relu(n, convolve(n, h, at(n, path, k, ".conv1"), same));
  char *shortcut = ld_format("%s.%d.residual_conv.weight", path, k);
  if (ld_safetensors_find(n->file, shortcut)) x = convolve(n, x, at(n, path, k, ".residual_conv"), point);
  free(shortcut);
  return relu(n, convolve_onto(n, x, h, at(n, path, k, ".conv2"), same));
}

static ld_maps two_blocks(net *n, ld_maps x, const char *path) {
  return unet_block(n, unet_block(n, x, path, 0), path, 1);
}

/* A transposed convolution of 2 x 2 with stride 2 is a linear layer, each of whose rows is a square of pixels. */
static ld_maps enlarge(net *n, ld_maps x, const char *path) {
  char *name = ld_format("%s.weight", path), *bias_name = ld_format("%s.bias", path);
  const ld_stored *stored = find(n, name);
  const int in = (int)stored->shape[0], out = (int)stored->shape[1];
  const float *from = stored->data, *bias = floats(n, bias_name);
  float *weight = own(n, (size_t)in * (size_t)out * 4 * sizeof *weight);
  ld_linear *l = own(n, sizeof *l);
  *l = (ld_linear){.in = in, .out = 4 * out, .weight = {ld_coded_floats(weight), 4 * out, in}};
  l->bias = own(n, (size_t)out * 4 * sizeof *l->bias);
  for (int o = 0; o < out; o++)
    for (int k = 0; k < 4; k++) {
      l->bias[k * out + o] = bias[o];
      for (int i = 0; i < in; i++) weight[(k * out + o) * in + i] = from[(i * out + o) * 4 + k];
    }
  ld_tensor *rows = ld_op_linear(n->tape, ld_op_rows_of_maps(n->tape, x), l, &n->batch);
  free(name);
  free(bias_name);
  return ld_op_unpatch(n->tape, rows, 1, x.height, x.width, 2);
}

/* A column of zeros at the right, and a row of them at the bottom. */
static ld_maps pad(net *n, ld_maps x) {
  const int C = x.x->rows;
  float *identity = constant(n, C * C, 0);
  for (int i = 0; i < C; i++) identity[i * C + i] = 1;
  ld_linear *l = own(n, sizeof *l);
  *l = (ld_linear){.in = C, .out = C, .weight = {ld_coded_floats(identity), C, C}, .kernel = {1, 1, 1, 0, 1}};
  return ld_op_convolution(n->tape, x, l, &n->batch);
}

static ld_tensor *unet_time(net *n, int t) {
  float *table = own(n, 128 * sizeof *table);
  for (int i = 0; i < 64; i++) {
    const double angle = t / pow(10000, 2 * i / 128.0);
    table[2 * i] = (float)sin(angle);
    table[2 * i + 1] = (float)cos(angle);
  }
  return ld_tape_input(n->tape, table, 1, 128);
}

static ld_maps run_down(net *n, ld_maps x, ld_tensor *time, int k) {
  ld_tensor *h = ld_op_activation(n->tape, linear(n, time, at(n, "pe_linears_en", k, ".0")), LD_RELU);
  h = linear(n, h, at(n, "pe_linears_en", k, ".2"));
  return two_blocks(n, ld_op_add_channels(n->tape, x, h), at(n, "encoders", k, ""));
}

static ld_maps run_up(net *n, ld_maps x, ld_maps kept, ld_tensor *time, int k) {
  x = enlarge(n, x, at(n, "ups", k, ""));
  if (x.height < kept.height) x = pad(n, x);
  x = ld_op_join(n->tape, kept, x);
  x = ld_op_add_channels(n->tape, x, linear(n, time, at(n, "pe_linears_de", k, "")));
  return two_blocks(n, x, at(n, "decoders", k, ""));
}

static ld_maps run_unet(net *n, const question *q) {
  ld_tensor *time = unet_time(n, q->t);
  ld_maps x = ld_op_upsample(n->tape, q->x, q->x.height, q->x.width), kept[3]; /* a copy */
  for (int k = 0; k < 3; k++) {
    kept[k] = run_down(n, x, time, k);
    x = convolve(n, kept[k], at(n, "downs", k, ""), (ld_kernel){2, 2, 2, 0, 0});
  }
  x = two_blocks(n, ld_op_add_channels(n->tape, x, linear(n, time, "pe_mid")), "mid");
  for (int k = 0; k < 3; k++) x = run_up(n, x, kept[2 - k], time, k);
  return convolve(n, x, "conv_out", same);
}

/* ---- taef2-decoder */

static ld_maps decoder_pool(net *n, ld_maps x, const char *number) {
  char *path = ld_format("%s.pool", number), *weight = ld_format("%s.1.weight", path),
       *bias = ld_format("%s.1.bias", path);
  ld_maps h = convolve(n, x, at(n, path, 0, ""), point);
  h = ld_op_group_norm(n->tape, h, floats(n, weight), floats(n, bias), 4, 1e-5f, false);
  x = convolve_onto(n, x, relu(n, h), at(n, path, 3, ""), point);
  free(path);
  free(weight);
  free(bias);
  return x;
}

static ld_maps decoder_block(net *n, ld_maps x, int at_place, bool pools) {
  char *number = ld_format("%d", at_place), *path = ld_format("%d.conv", at_place);
  if (pools) x = decoder_pool(n, x, number);
  ld_maps h = relu(n, convolve(n, x, at(n, path, 0, ""), same));
  h = relu(n, convolve(n, h, at(n, path, 2, ""), same));
  h = relu(n, convolve_onto(n, x, h, at(n, path, 4, ""), same));
  free(number);
  free(path);
  return h;
}

static ld_maps run_decoder(net *n, const question *q) {
  ld_tape *tape = n->tape;
  static const float third[] = {1 / 3.0f}, three[] = {3}, nothing[] = {0};
  const float *zeros = constant(n, q->x.x->rows * q->x.x->cols, 0);
  ld_maps x = ld_op_mix_noise(tape, q->x, zeros, 0, third, nothing);
  x.x = ld_op_activation(tape, x.x, LD_TANH);
  x = ld_op_mix_noise(tape, x, zeros, 0, three, nothing);
  x = relu(n, convolve(n, x, "1", same));
  for (int k = 3; k <= 5; k++) x = decoder_block(n, x, k, true);
  x = convolve(n, ld_op_upsample(tape, x, 2 * x.height, 2 * x.width), "7", same);
  for (int k = 8; k <= 10; k++) x = decoder_block(n, x, k, false);
  x = convolve(n, ld_op_upsample(tape, x, 2 * x.height, 2 * x.width), "12", same);
  for (int k = 13; k <= 15; k++) x = decoder_block(n, x, k, false);
  x = convolve(n, ld_op_upsample(tape, x, 2 * x.height, 2 * x.width), "17", same);
  return convolve(n, decoder_block(n, x, 18, false), "19", same);
}

/* ---- */

static void open_net(net *n, const char *name) {
  ld_error err;
  const char *data = getenv("LORA_DIST_DATA");
  char *folder = ld_format("%s/models/%s", data ? data : LD_TESTS_DIR "/../../shared/data", name);
  char *file = ld_path_join(folder, "model.safetensors"), *golden = ld_path_join(folder, "golden.json");
  const bool there = ld_file_is_named(golden);
  *n = (net){.tape = ld_tape_create()};
  if (there) {
    cr_assert(!ld_safetensors_open(file, &n->file, &err), "%s", err.text);
    n->golden = ld_json_read(golden, &err);
    cr_assert(n->golden, "%s", err.text);
  }
  free(folder);
  free(file);
  free(golden);
  if (!there) cr_skip_test("neither LORA_DIST_DATA nor ../shared/data holds models/%s", name);
}

static void forget(net *n) {
  while (n->n_owned) free(n->owned[--n->n_owned]);
}

static double number_of(const ld_value *map, const char *key) {
  double number;
  ld_error err;
  cr_assert(!ld_value_real(map, key, 0, &number, &err));
  return number;
}

static void close_to(const char *name, const char *what, double found, double want) {
  cr_assert(fabs(found - want) < 1e-4 * fmax(1, fabs(want)), "%s: %s: %.8g, not %.8g", name, what, found,
            want);
}

static void check_output(const char *name, const ld_tensor *y, const ld_value *want) {
  const size_t count = (size_t)y->rows * (size_t)y->cols;
  double sum = 0, squares = 0;
  for (size_t i = 0; i < count; i++) {
    sum += (double)y->data[i];
    squares += (double)y->data[i] * (double)y->data[i];
  }
  const ld_value *first = ld_value_get(want, "first");
  cr_assert(first && first->n_items == 8);
  for (size_t i = 0; i < first->n_items; i++)
    close_to(name, "a number", (double)y->data[i], first->items[i].real);
  close_to(name, "the mean", sum / (double)count, number_of(want, "mean"));
  close_to(name, "the norm", sqrt(squares), number_of(want, "norm"));
}

static void check(const char *name, ld_maps shape, int channels, ld_maps (*run)(net *n, const question *q)) {
  net n;
  open_net(&n, name);
  const int pixels = shape.height * shape.width;
  float *x = ld_alloc((size_t)channels * (size_t)pixels, sizeof *x);
  for (int i = 0; i < channels * pixels; i++) x[i] = (float)sin(0.37 * i + 0.1 * cos(i));
  const ld_value *outputs = ld_value_get(n.golden, "outputs");
  for (size_t i = 0; i < outputs->n_items; i++) {
    question q = {(int)number_of(&outputs->items[i], "t"), (int)number_of(&outputs->items[i], "class"),
                  shape};
    for (int dry = 1; dry >= 0; dry--) {
      ld_tape_begin(n.tape, LD_PASS_INFER, dry, false);
      q.x.x = ld_tape_input(n.tape, x, channels, pixels);
      const ld_maps y = run(&n, &q);
      if (dry)
        cr_assert(ld_tape_reserve(n.tape));
      else
        check_output(name, y.x, &outputs->items[i]);
      forget(&n);
    }
  }
  free(x);
  ld_value_free(n.golden);
  ld_safetensors_close(n.file);
  ld_tape_free(n.tape);
}

Test(trained_denoisers, transformer_of_digits) {
  check("mnist-dit", (ld_maps){NULL, 1, 28, 28}, 1, run_dit);
}

Test(trained_denoisers, unet_of_digits) {
  check("mnist-unet", (ld_maps){NULL, 1, 28, 28}, 1, run_unet);
}

Test(trained_denoisers, decoder_of_latents) {
  check("taef2-decoder", (ld_maps){NULL, 1, 4, 4}, 32, run_decoder);
}
