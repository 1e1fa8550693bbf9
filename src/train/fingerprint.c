/* Inputs come only from the random number generator. Results of libm are rounded to float first, as they are
 * wherever they reach an adapter. */
#include "train/fingerprint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/augment.h"
#include "io/digest.h"
#include "io/image/fit.h"
#include "linalg/codecs.h"
#include "nn/ops.h"
#include "train/adamw.h"
#include "train/exact.h"

/* Memory for a part, and the number of its next input. */
typedef struct inputs {
  ld_arena arena;
  uint64_t drawn;
} inputs;

enum { ROOM = 1 << 20 };

static float *numbers(inputs *in, size_t n) {
  float *x = ld_arena_take(&in->arena, n * sizeof *x);
  const ld_stream stream = ld_rng_stream(0, LD_RNG_INIT, in->drawn++, 0);
  uint32_t words[4];
  for (size_t i = 0; i < n; i++) {
    if (i % 4 == 0) ld_rng_words(&stream, i / 4, words);
    x[i] = (float)(words[i % 4] >> 8) * 0x1p-23f - 1;
  }
  return x;
}

static void add_floats(ld_digest *digest, const float *x, size_t n) {
  ld_digest_bytes(digest, x, n * sizeof *x);
}

static void add_number(ld_digest *digest, double x) {
  const float rounded = (float)x;
  add_floats(digest, &rounded, 1);
}

/* All kinds of factors, in more than two chains, with a second term, a start and a bias. */
static bool products(inputs *in, ld_digest *digest) {
  enum { M = 19, N = 45, K = 421, R = 8 };
  static const ld_dtype types[] = {LD_F32, LD_BF16, LD_F16};
  const float *left = numbers(in, M * K), *right = numbers(in, K * N), *bias = numbers(in, N);
  const float *down = numbers(in, M * R), *up = numbers(in, R * N), *start = numbers(in, M * N);
  void *stored = numbers(in, K * N);
  float *C = numbers(in, M * N);
  for (int kind = 0; kind < 12; kind++) {
    const ld_dtype dtype = types[kind / 4];
    const bool across = kind & 1, turned = kind & 2;
    const ld_coded right_numbers = {ld_codec_of(dtype), stored, NULL, 0};
    ld_dtype_from_f32(stored, right, dtype, K * N);
    const ld_term terms[] = {
        {ld_float_factor(left, across ? M : K, across), {right_numbers, turned, turned ? K : N}, K, 1},
        {ld_float_factor(down, across ? M : R, across), ld_float_factor(up, N, false), R, 0.5f}};
    ld_gemm_sum(&(ld_sum){.M = M,
                          .N = N,
                          .terms = terms,
                          .n_terms = 2,
                          .start = start,
                          .ld_start = N,
                          .bias = bias,
                          .C = C,
                          .ldc = N});
    add_floats(digest, C, M * N);
  }
  return true;
}

/* A layer with an adapter. */
typedef struct layer {
  ld_linear linear;
  ld_change change;
  ld_param params[LD_ADAPTER_ROLES];
} layer;

enum { RANK = 4 };

static const ld_linear *make_layer(inputs *in, layer *l, int n_in, int n_out, ld_kernel kernel) {
  const int K = kernel.height ? n_in * kernel.height * kernel.width : n_in;
  const float *weight = numbers(in, (size_t)K * (size_t)n_out);
  l->linear = (ld_linear){
      .path = "", .in = K, .out = n_out, .weight = {ld_coded_floats(weight), n_out, K}, .kernel = kernel};
  l->change = (ld_change){.functions = &ld_adapter_lora.functions,
                          .layer = &l->linear,
                          .params = l->params,
                          .rank = RANK,
                          .scaling = 0.5f,
                          .dropout = 0.1f};
  ld_adapter_lora.lay_out(&l->change);
  for (int i = 0; i < l->change.n_params; i++) {
    l->params[i].data = numbers(in, l->params[i].count);
    l->params[i].grad = numbers(in, l->params[i].count);
  }
  l->change.id = (uint32_t)in->drawn;
  l->linear.change = &l->change;
  return &l->linear;
}

static void add_gradients(ld_digest *digest, const layer *layers, int n) {
  for (int i = 0; i < n; i++)
    for (int k = 0; k < layers[i].change.n_params; k++)
      add_floats(digest, layers[i].params[k].grad, layers[i].params[k].count);
}

/* A network records itself on the tape with its loss, and runs forward and backward. */
typedef void record_function(ld_tape *tape, const layer *layers, const float *const *vectors,
                             const ld_batch *batch, double *loss);

static bool run_net(record_function *record, const layer *layers, int n_layers, const float *const *vectors,
                    const ld_batch *batch, ld_digest *digest) {
  double loss = 0;
  bool there = true;
  ld_tape *tape = ld_tape_create();
  for (int dry = 1; there && dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, false);
    record(tape, layers, vectors, batch, &loss);
    ld_tape_backward(tape);
    if (dry) there = ld_tape_reserve(tape);
  }
  ld_tape_free(tape);
  add_number(digest, loss);
  add_gradients(digest, layers, n_layers);
  return there;
}

/* Two sequences of a text model that has the operations of all text models. */
enum { T = 250, VOCABULARY = 1600, HEADS = 2, WIDTH = 36, HEAD = WIDTH / HEADS };
enum { QUERY, KEY, VALUE, OUT, GATE, UP, DOWN, N_TEXT_LAYERS };

static void record_text(ld_tape *t, const layer *l, const float *const *vectors, const ld_batch *batch,
                        double *loss) {
  const ld_weight table = {ld_coded_floats(vectors[0]), VOCABULARY, WIDTH};
  const float *scale = vectors[1], *shift = vectors[2];
  const ld_attention shape = {
      .n_heads = HEADS, .n_kv_heads = HEADS, .head_dim = HEAD, .scale = 0.25f, .causal = true};
  const ld_field *text = ld_batch_field(batch, LD_TEXT);
  ld_tensor *angles = ld_op_rotary_angles(t, text, vectors[3], HEAD / 2, 1);
  const ld_embedding tables = {.words = &table, .positions = &table, .padding = -1};
  ld_tensor *x = ld_op_embedding(t, text, &tables);
  ld_tensor *h = ld_op_rms_norm(t, x, scale, WIDTH, 1e-5f);
  ld_tensor *q = ld_op_linear(t, h, &l[QUERY].linear, batch);
  ld_tensor *k = ld_op_linear(t, h, &l[KEY].linear, batch);
  ld_tensor *v = ld_op_linear(t, h, &l[VALUE].linear, batch);
  q = ld_op_rotary(t, q, angles);
  k = ld_op_rotary(t, k, angles);
  x = ld_op_linear_accumulate(t, x, ld_op_attention(t, q, k, v, &shape, text, text), &l[OUT].linear, batch);
  h = ld_op_layer_norm(t, x, scale, shift, 1e-5f);
  q = ld_op_linear(t, h, &l[GATE].linear, batch);
  h = ld_op_swiglu(t, q, ld_op_linear(t, h, &l[UP].linear, batch));
  for (int kind = 0; kind <= LD_TANH; kind++) h = ld_op_activation(t, h, (enum ld_activation)kind);
  x = ld_op_linear_accumulate(t, x, h, &l[DOWN].linear, batch);
  const ld_linear head = {.path = "", .in = WIDTH, .out = VOCABULARY, .weight = table};
  ld_op_cross_entropy(t, x, &head, ld_batch_field(batch, LD_TARGETS), batch, loss);
}

static bool text_model(inputs *in, ld_digest *digest) {
  layer layers[N_TEXT_LAYERS];
  static const int32_t segment[] = {0, 17, T};
  int32_t ids[T], positions[T], targets[T];
  const float *table = numbers(in, VOCABULARY * WIDTH), *frequency = numbers(in, HEAD / 2);
  const float *scale = numbers(in, WIDTH), *shift = numbers(in, WIDTH);
  const float *const vectors[] = {table, scale, shift, frequency};
  for (int i = 0; i < T; i++) {
    ids[i] = i * 7 % VOCABULARY;
    positions[i] = i < segment[1] ? i : i - segment[1];
    targets[i] = i % 5 ? i * 11 % VOCABULARY : -1;
  }
  const ld_field text = {
      .name = LD_TEXT, .n_rows = T, .n_segments = 2, .segment = segment, .ids = ids, .positions = positions};
  const ld_batch batch = {.fields = {text, {.name = LD_TARGETS, .n_rows = T, .ids = targets}}, .seed = 1};
  for (int i = 0; i < N_TEXT_LAYERS; i++) make_layer(in, &layers[i], WIDTH, WIDTH, (ld_kernel){0});
  return run_net(record_text, layers, N_TEXT_LAYERS, vectors, &batch, digest);
}

/* Three images of an image model, likewise. */
enum { B = 3, SIDE = 15, CHANNELS = 3, MAPS = 10, CLASSES = 12 };

static void record_images(ld_tape *t, const layer *l, const float *const *vectors, const ld_batch *batch,
                          double *loss) {
  const float *scale = vectors[0], *shift = vectors[1];
  const ld_maps first = ld_op_convolution_affine(t, ld_op_images(t, ld_batch_field(batch, LD_IMAGE)),
                                                 &l[0].linear, &(ld_affine){scale, shift, {0}, true}, batch);
  ld_maps x = ld_op_max_pool(t, first, 3, 2, 1);
  const ld_maps shortcut = ld_op_subsample(t, first, CLASSES);
  x = ld_op_convolution_affine(t, x, &l[1].linear, &(ld_affine){shift, scale, shortcut, false}, batch);
  ld_op_class_loss(t, ld_op_mean_pool(t, x), ld_batch_field(batch, LD_TARGETS), loss);
}

static bool image_model(inputs *in, ld_digest *digest) {
  layer layers[2];
  static const int32_t targets[B] = {3, 0, 11};
  const float *scale = numbers(in, CLASSES), *shift = numbers(in, CLASSES);
  const float *const vectors[] = {scale, shift};
  const float *pixels = numbers(in, CHANNELS * B * SIDE * SIDE);
  const ld_field images = {
      .name = LD_IMAGE, .n_rows = B, .numbers = pixels, .channels = CHANNELS, .height = SIDE, .width = SIDE};
  const ld_batch batch = {.fields = {images, {.name = LD_TARGETS, .n_rows = B, .ids = targets}}, .seed = 1};
  make_layer(in, &layers[0], CHANNELS, MAPS, (ld_kernel){3, 3, 1, 1, 0});
  make_layer(in, &layers[1], MAPS, CLASSES, (ld_kernel){1, 1, 1, 0, 0});
  return run_net(record_images, layers, 2, vectors, &batch, digest);
}

/* The same images through the operations of a diffusion model. */
enum { WIDE = 8, TALL = 20, BROAD = 23 };
enum { ENTRY, FIRST, SECOND, GATED, EXIT, N_DIFFUSION_LAYERS };

static void record_diffusion(ld_tape *t, const layer *l, const float *const *vectors, const ld_batch *batch,
                             double *loss) {
  const float *weight = vectors[0], *bias = vectors[1], *times = vectors[2], *target = vectors[3];
  ld_maps x = ld_op_images(t, ld_batch_field(batch, LD_IMAGE));
  x = ld_op_convolution(t, x, &l[ENTRY].linear, batch);
  ld_tensor *time = ld_op_sinusoids(t, times, B, 3 * WIDE, true, 0, 1);
  time = ld_op_activation(t, time, LD_SILU);
  ld_maps h = ld_op_group_norm(t, x, weight, bias, WIDE / 2, 1e-5f, true);
  h = ld_op_convolution(t, h, &l[FIRST].linear, batch);
  h = ld_op_add_channels(t, h, ld_tape_columns(t, time, 0, WIDE));
  h = ld_op_group_norm(t, h, bias, weight, 2, 1e-5f, false);
  x = ld_op_convolution_accumulate(t, x, h, &l[SECOND].linear, batch);
  ld_tensor *rows = ld_op_rows_of_maps(t, x), *shift = ld_tape_columns(t, time, WIDE, WIDE);
  rows = ld_op_modulate(t, rows, shift, ld_tape_columns(t, time, 2 * WIDE, WIDE), x.height * x.width);
  rows = ld_op_linear(t, rows, &l[GATED].linear, batch);
  ld_tensor *hidden = ld_tape_columns(t, rows, 0, WIDE);
  rows = ld_op_geglu(t, hidden, ld_tape_columns(t, rows, WIDE, WIDE));
  x = ld_op_maps_of_rows_accumulate(t, x, ld_op_activation(t, rows, LD_QUICK_GELU));
  x = ld_op_upsample(t, ld_op_join(t, x, h), TALL, BROAD);
  ld_op_weighted_error(t, ld_op_convolution(t, x, &l[EXIT].linear, batch), target, times, CHANNELS, loss);
}

static bool diffusion_model(inputs *in, ld_digest *digest) {
  layer layers[N_DIFFUSION_LAYERS];
  const uint64_t drawn = in->drawn;
  static const float times[B] = {1, 420, 999};
  const float *weight = numbers(in, WIDE), *bias = numbers(in, WIDE);
  const float *target = numbers(in, CHANNELS * B * TALL * BROAD);
  const float *const vectors[] = {weight, bias, times, target};
  const float *pixels = numbers(in, CHANNELS * B * SIDE * SIDE);
  const ld_field images = {
      .name = LD_IMAGE, .n_rows = B, .numbers = pixels, .channels = CHANNELS, .height = SIDE, .width = SIDE};
  const ld_batch batch = {.fields = {images}, .seed = 1};
  make_layer(in, &layers[ENTRY], CHANNELS, WIDE, (ld_kernel){3, 3, 2, 0, 1});
  make_layer(in, &layers[FIRST], WIDE, WIDE, (ld_kernel){3, 3, 1, 1, 0});
  make_layer(in, &layers[SECOND], WIDE, WIDE, (ld_kernel){1, 1, 1, 0, 0});
  make_layer(in, &layers[GATED], WIDE, 2 * WIDE, (ld_kernel){0});
  make_layer(in, &layers[EXIT], 2 * WIDE, CHANNELS, (ld_kernel){3, 3, 1, 1, 0});
  for (int i = 0; i < N_DIFFUSION_LAYERS; i++)
    layers[i].linear.bias = numbers(in, (size_t)layers[i].linear.out);
  in->drawn = drawn; /* the inputs of later parts do not depend on this one */
  return run_net(record_diffusion, layers, N_DIFFUSION_LAYERS, vectors, &batch, digest);
}

/* Sums of gradients, clipping, AdamW and its learning rates. */
static bool optimizer(inputs *in, ld_digest *digest) {
  enum { N = 201 };
  const ld_options options = {.lr = 1e-3,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .eps = 1e-8,
                              .weight_decay = 0.01,
                              .warmup = 2,
                              .schedule = LD_COSINE};
  ld_param param = {.count = N};
  param.data = numbers(in, N);
  param.grad = numbers(in, N);
  ld_exact exact;
  ld_adamw adamw;
  ld_exact_create(&exact, &param, 1);
  ld_adamw_create(&adamw, &options, N);
  for (int step = 0; step < 8; step++) {
    ld_exact_reset(&exact);
    ld_exact_add(&exact, 0);
    ld_exact_add(&exact, 0);
    ld_exact_fit(&exact, 2);
    ld_exact_mean(&exact, 3);
    add_number(digest, ld_clip(param.grad, N, 1));
    ld_adamw_step(&adamw, param.data, param.grad, ld_learning_rate(&options, step, 8), step + 1);
  }
  add_floats(digest, param.data, N);
  ld_exact_free(&exact);
  ld_adamw_free(&adamw);
  return true;
}

static bool random_numbers(inputs *in, ld_digest *digest) {
  enum { N = 500 };
  (void)in;
  int64_t order[N];
  const ld_stream stream = ld_rng_stream(5, LD_RNG_SHUFFLE, 3, 2);
  for (uint64_t i = 0; i < N; i++) {
    const float pair[] = {ld_rng_uniform(&stream, i), ld_rng_normal(&stream, i)};
    add_floats(digest, pair, 2);
  }
  ld_rng_permute(&stream, order, N);
  ld_digest_bytes(digest, order, sizeof order);
  return true;
}

static bool libm_functions(inputs *in, ld_digest *digest) {
  (void)in;
  for (int i = 1; i < 1000; i++) {
    const double x = i * 0.37;
    const double values[] = {log(x), exp(-0.1 * x), sin(x),
                             cos(x), pow(0.999, x), 1 / pow(500000, 0.001 * x)};
    for (size_t k = 0; k < sizeof values / sizeof *values; k++) add_number(digest, values[k]);
  }
  return true;
}

/* Resized, turned and normalised. */
static bool images(inputs *in, ld_digest *digest) {
  enum { H = 37, W = 53, SIZE = 24 };
  const float *noise = numbers(in, H * W * 3);
  float *pixels = numbers(in, SIZE * SIZE * 3);
  ld_image image = {.height = H, .width = W, .channels = 3}, fitted = {0};
  image.pixels = ld_alloc(H * W * 3, 1);
  for (int i = 0; i < H * W * 3; i++) image.pixels[i] = (uint8_t)(127.5f + 127.5f * noise[i]);
  bool there = true;
  for (int kind = LD_BILINEAR; there && kind <= LD_BICUBIC; kind++) {
    const ld_image_rule rule = {.shortest_edge = kind == LD_BILINEAR ? 29 : 71,
                                .resample = (ld_resample)kind,
                                .height = SIZE,
                                .width = SIZE,
                                .channels = 3,
                                .scale = 1 / 255.0f,
                                .mean = {0.485f, 0.456f, 0.406f},
                                .std = {0.229f, 0.224f, 0.225f}};
    const ld_augment augment = ld_augment_draw(true, 2, 1, 2, 3);
    there = !ld_image_fit(&image, &rule, "", &fitted, NULL);
    if (there) ld_image_put(&fitted, &rule, &augment, 0, 1, pixels);
    add_floats(digest, pixels, SIZE * SIZE * 3);
  }
  ld_image_free(&image);
  ld_image_free(&fitted);
  return there;
}

/* Parts with matrix products come first, as many as OF_PRODUCTS of tests/unit/test_fingerprint.c. */
static const struct {
  const char *name;
  bool (*run)(inputs *in, ld_digest *digest);
} parts[LD_FINGERPRINT_PARTS] = {
    {"matrix products", products},
    {"a text model's passes", text_model},
    {"an image model's passes", image_model},
    {"a diffusion model's passes", diffusion_model},
    {"the optimizer", optimizer},
    {"random numbers", random_numbers},
    {"functions of libm", libm_functions},
    {"resizing of images", images},
};

const char *ld_fingerprint_name(int part) {
  return parts[part].name;
}

bool ld_fingerprint_take(ld_fingerprint *out) {
  inputs in = {0};
  bool there = ld_arena_reserve(&in.arena, ROOM);
  for (int i = 0; there && i < LD_FINGERPRINT_PARTS; i++) {
    ld_digest digest;
    ld_digest_init(&digest);
    in.arena.used = 0;
    there = parts[i].run(&in, &digest);
    out->part[i] = digest.state;
  }
  ld_arena_free(&in.arena);
  return there;
}
