/* Two codecs that only this test knows go through everything that reads frozen weights, beside the same
 * numbers as floats: adding a codec must need no change elsewhere. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/params.h"
#include "base/memory.h"
#include "base/rng.h"
#include "linalg/codecs.h"
#include "linalg/gemm.h"
#include "nn/ops.h"

enum { BLOCK = 32 };

/* Like NF4: one byte per number, the scales in a separate array, and reachable only at half blocks. */
static void widen_beside(float *out, const ld_coded *from, int64_t first, int64_t n) {
  const int8_t *data = from->data;
  const float *scales = from->beside;
  cr_assert(first % 16 == 0 && n % 16 == 0);
  for (int64_t i = 0; i < n; i++) out[i] = (float)data[first + i] * scales[(first + i) / BLOCK];
}

/* Like GGUF's q8_0: the scale before its numbers. */
typedef struct block {
  float scale;
  int8_t numbers[BLOCK];
} block;

static void widen_within(float *out, const ld_coded *from, int64_t first, int64_t n) {
  const block *blocks = (const block *)from->data + first / BLOCK;
  cr_assert(first % BLOCK == 0 && n % BLOCK == 0);
  for (int64_t i = 0; i < n; i++)
    out[i] = (float)blocks[i / BLOCK].numbers[i % BLOCK] * blocks[i / BLOCK].scale;
}

static const ld_codec codecs[] = {
    {.name = "scales beside", .elements = BLOCK, .bytes = BLOCK, .step = 16, .widen = widen_beside},
    {.name = "scales within",
     .elements = BLOCK,
     .bytes = sizeof(block),
     .step = BLOCK,
     .widen = widen_within}};
enum { N_CODECS = sizeof codecs / sizeof *codecs };

/* The same numbers twice. */
typedef struct pair {
  ld_coded coded, floats;
  void *memory[3];
} pair;

static pair make(int codec, int64_t count, uint64_t key) {
  const ld_stream stream = ld_rng_stream(7, LD_RNG_INIT, key, 0);
  const int64_t n_blocks = (count + BLOCK - 1) / BLOCK, n = n_blocks * BLOCK;
  float *raw = ld_alloc((size_t)n, sizeof *raw), *scales = ld_alloc((size_t)n_blocks, sizeof *scales);
  int8_t *numbers = ld_alloc((size_t)n, 1);
  block *blocks = ld_alloc((size_t)n_blocks, sizeof *blocks);
  ld_rng_fill(&stream, 0, 1, raw, (size_t)n);
  for (int64_t i = 0; i < n; i++) {
    numbers[i] = blocks[i / BLOCK].numbers[i % BLOCK] = (int8_t)(127 * raw[i]);
    if (i % BLOCK == 0) scales[i / BLOCK] = blocks[i / BLOCK].scale = raw[i] / 127;
    raw[i] = (float)numbers[i] * scales[i / BLOCK];
  }
  pair p = {.floats = ld_coded_floats(raw),
            .memory = {raw, codec ? (void *)blocks : numbers, codec ? NULL : scales}};
  p.coded = (ld_coded){&codecs[codec], p.memory[1], p.memory[2], 0};
  free(codec ? (void *)numbers : blocks);
  if (codec) free(scales);
  return p;
}

static void drop(pair *p) {
  for (int i = 0; i < 3; i++) free(p->memory[i]);
}

Test(codec, the_table_agrees_with_the_types) {
  cr_assert(ld_codec_of(LD_F32) == &ld_codec_f32 && ld_codec_of(LD_BF16) == &ld_codec_bf16);
  cr_assert_null(ld_codec_of(LD_I64));
  char *names = ld_codec_names();
  cr_assert_str_eq(names, "F32, F16, BF16");
  free(names);
  for (ld_dtype type = LD_F32; type <= LD_BF16; type++) {
    const ld_codec *codec = ld_codec_of(type);
    cr_assert(!strcmp(codec->name, ld_dtype_name(type)) && codec->bytes == (int)ld_dtype_size(type));
  }
}

Test(codec, any_strip_is_widened) {
  enum { N = 200 };
  float strip[N];
  for (int c = 0; c < N_CODECS; c++) {
    pair p = make(c, N, 1);
    for (int64_t first = 0; first < N; first++)
      for (int64_t n = 0; n <= N - first; n++) {
        ld_coded_widen(strip, &p.coded, first, n);
        cr_assert(!memcmp(strip, (const float *)p.floats.data + first, (size_t)n * sizeof *strip));
        ld_coded part = p.coded;
        part.first = first;
        memset(strip, 0, sizeof strip);
        ld_coded_widen(strip, &part, 0, n);
        cr_assert(!memcmp(strip, (const float *)p.floats.data + first, (size_t)n * sizeof *strip));
      }
    cr_assert(ld_coded_same(&p.coded, &p.floats, N));
    ((float *)p.memory[0])[N - 1] += 1;
    cr_assert(!ld_coded_same(&p.coded, &p.floats, N));
    drop(&p);
  }
}

/* C of a product with the weight on either side, as stored or transposed; rows end within blocks. */
static void check_product(const pair *p, bool left, bool transposed, int M, int N, int K) {
  const int64_t size = (int64_t)M * N, other_size = (int64_t)K * (left ? N : M);
  const int rows = left ? M : K, cols = left ? K : N, ld = transposed ? rows : cols;
  float *other = ld_alloc((size_t)other_size, sizeof *other), *C = ld_alloc(2 * (size_t)size, sizeof *C);
  const ld_stream stream = ld_rng_stream(7, LD_RNG_INIT, 2, 0);
  ld_rng_fill(&stream, 0, 1, other, (size_t)other_size);
  for (int i = 0; i < 2; i++) {
    const ld_factor weight = {i ? p->floats : p->coded, transposed, ld},
                    x = ld_float_factor(other, left ? N : K, false);
    ld_gemm(M, N, (ld_term){left ? weight : x, left ? x : weight, K, 1}, 0, C + i * size, N);
  }
  cr_assert(!memcmp(C, C + size, (size_t)size * sizeof *C), "%s: weight %s%s, M %d, N %d, K %d",
            p->coded.codec->name, left ? "left" : "right", transposed ? ", transposed" : "", M, N, K);
  free(other);
  free(C);
}

/* Arrays that begin with the first of their blocks, or within one. */
static void check_products(void) {
  enum { FIRST = 37 };
  static const int shapes[][3] = {{3, 5, 7}, {40, 33, 1000}, {70, 130, 421}, {900, 20, 50}, {5, 64, 96}};
  for (int c = 0; c < N_CODECS; c++)
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
      const int *m = shapes[s];
      pair p = make(c, FIRST + (int64_t)m[2] * (m[0] > m[1] ? m[0] : m[1]), 3 + s);
      for (int way = 0; way < 8; way++) {
        p.coded.first = p.floats.first = way & 4 ? FIRST : 0;
        check_product(&p, way & 1, way & 2, m[0], m[1], m[2]);
      }
      drop(&p);
    }
}

Test(codec, products_have_the_bits_of_floats) {
  check_products();
}

Test(codec, products_of_bfloat16_have_them_too) {
  if (ld_gemm_setup(1, LD_PRECISION_BF16, NULL)) cr_skip("this processor has no products of bfloat16");
  check_products();
}

Test(codec, products_by_openblas_have_them_too) {
  setenv("LORA_DIST_KERNEL", "openblas", 1);
  if (ld_gemm_setup(1, LD_PRECISION_F32, NULL)) cr_skip("OpenBLAS cannot be loaded");
  /* Sums in slices where a factor is widened. */
  static const int shape[] = {5, 7, 12};
  for (int c = 0; c < N_CODECS; c++) {
    pair p = make(c, shape[1] * shape[2], 9);
    for (int way = 0; way < 4; way++) check_product(&p, way & 1, way & 2, shape[0], shape[1], shape[2]);
    drop(&p);
  }
}

/* A model of an embedding, a layer with an adapter, and a loss; the results of training and merging it. */
enum { T = 9, VOCABULARY = 21, IN = 37, OUT = 13, RANK = 3, MOST = IN * OUT + RANK * (IN + OUT) + OUT };

typedef struct made {
  double loss;
  float gradients[MOST], merged[IN * OUT];
} made;

static void train(ld_coded table, ld_coded weight, const ld_adapter_kind *kind, made *out) {
  static const int32_t ids[T] = {3, 20, 0, 7, 7, 1, 19, 4, 5}, positions[T], segment[] = {0, T},
                       targets[T] = {1, 5, 12};
  const ld_field text = {
      .name = LD_TEXT, .n_rows = T, .n_segments = 1, .segment = segment, .ids = ids, .positions = positions};
  const ld_batch batch = {.fields = {text, {.name = LD_TARGETS, .n_rows = T, .ids = targets}}};
  const ld_weight words = {table, VOCABULARY, IN};
  const ld_embedding tables = {.words = &words, .padding = -1, .positions = NULL};
  ld_linear layer = {.path = "layer", .in = IN, .out = OUT, .weight = {weight, OUT, IN}};
  ld_params *params = ld_params_attach(&(ld_choice){&layer, kind, RANK, 4, 1.3}, 1, 0);
  const ld_stream stream = ld_rng_stream(7, LD_RNG_INIT, 11, 0);
  ld_params_start(params, 5);
  ld_rng_fill(&stream, 0, 0.1f, params->list[1].data, params->list[1].count);
  ld_params_update(params);
  ld_tape *tape = ld_tape_create();
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, false);
    ld_tensor *x = ld_op_embedding(tape, &text, &tables);
    ld_op_class_loss(tape, ld_op_linear(tape, x, &layer, &batch), &batch.fields[1], &out->loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  cr_assert(params->n_floats <= MOST && out->loss > 0);
  memcpy(out->gradients, params->grad, params->n_floats * sizeof(float));
  ld_choice_merge(&params->choices[0], &params->changes[0], "weight", out->merged);
  ld_tape_free(tape);
  ld_params_free(params);
}

Test(codec, embeddings_layers_adapters_and_merges_have_the_bits_of_floats) {
  static const ld_adapter_kind *const kinds[] = {&ld_adapter_lora, &ld_adapter_dora, &ld_adapter_whole};
  for (int c = 0; c < N_CODECS; c++) {
    pair table = make(c, VOCABULARY * IN, 20), weight = make(c, IN * OUT, 21);
    for (int k = 0; k < 3; k++) {
      made *coded = ld_alloc(1, sizeof *coded), *floats = ld_alloc(1, sizeof *floats);
      train(table.coded, weight.coded, kinds[k], coded);
      train(table.floats, weight.floats, kinds[k], floats);
      cr_assert(!memcmp(coded, floats, sizeof *coded), "%s, %s", codecs[c].name, kinds[k]->name);
      free(coded);
      free(floats);
    }
    drop(&table);
    drop(&weight);
  }
}
