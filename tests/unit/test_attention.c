/* Attention against its formula in double: a text over itself and over another one, with and without a bias by
 * distance, in one pass and step by step with a cache. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "linalg/gemm.h"
#include "nn/ops.h"

enum { HEADS = 4, KV_HEADS = 2, REACH = 5, MOST = 2000, B = 3, WIDEST = 1000 };

/* Errors are those of float32 times this. */
static double tolerance = 1;

typedef struct matrix {
  float *data;
  int rows, cols;
} matrix;

static matrix random_matrix(int rows, int cols, uint64_t purpose) {
  matrix m = {ld_alloc((size_t)rows * (size_t)cols, sizeof(float)), rows, cols};
  const ld_stream stream = ld_rng_stream(7, LD_RNG_SAMPLE, purpose, 0);
  for (int i = 0; i < rows * cols; i++)
    m.data[i] = (float)((double)(ld_rng_u64(&stream, (uint64_t)i) >> 11) * 0x1p-52 - 1);
  return m;
}

/* The formula, for one head of row `row` at `place` among the keys [begin, end). */
static void expect_row(const ld_attention *shape, const matrix m[3], int row, int place, int begin, int end,
                       int head, double *y) {
  const int D = shape->head_dim, kv = head / (shape->n_heads / shape->n_kv_heads) * D;
  double sum = 0, weights[MOST] = {0};
  for (int d = 0; d < D; d++) y[d] = 0;
  for (int key = begin; key < end; key++) {
    int distance = key - begin - place;
    if (shape->causal && distance > 0) continue;
    if (shape->window && distance <= -shape->window) continue;
    double score = 0;
    for (int d = 0; d < D; d++)
      score +=
          (double)m[0].data[row * m[0].cols + head * D + d] * (double)m[1].data[key * m[1].cols + kv + d];
    score *= (double)shape->scale;
    distance = distance < -REACH ? -REACH : distance > REACH ? REACH : distance;
    if (shape->distance.bias)
      score += (double)shape->distance.bias[head * (2 * REACH + 1) + distance + REACH];
    sum += weights[key - begin] = exp(score);
  }
  for (int key = begin; key < end; key++)
    for (int d = 0; d < D; d++)
      y[d] += weights[key - begin] / sum * (double)m[2].data[key * m[2].cols + kv + d];
}

static void check(const ld_attention *shape, const matrix m[3], const ld_field *rows, const ld_field *keys,
                  const ld_tensor *y) {
  double expected[WIDEST];
  for (int n = 0; n < B; n++)
    for (int row = rows->segment[n]; row < rows->segment[n + 1]; row++)
      for (int head = 0; head < HEADS; head++) {
        expect_row(shape, m, row, row - rows->segment[n], keys->segment[n], keys->segment[n + 1], head,
                   expected);
        for (int d = 0; d < shape->head_dim; d++)
          cr_assert_float_eq((double)y->data[row * y->stride + head * shape->head_dim + d], expected[d],
                             2e-6 * tolerance, "row %d head %d column %d: %g, expected %g", row, head, d,
                             (double)y->data[row * y->stride + head * shape->head_dim + d], expected[d]);
      }
}

/* Attends over the given rows of m, in one pass; the caller frees the tape. */
static ld_tensor *attend(ld_tape *tape, const ld_attention *shape, const matrix m[3], const ld_field *rows,
                         const ld_field *keys) {
  ld_tensor *t[3] = {NULL};
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    for (int i = 0; i < 3; i++)
      t[i] = m[i].rows ? ld_tape_input(tape, m[i].data, m[i].rows, m[i].cols) : NULL;
    t[0] = ld_op_attention(tape, t[0], t[1], t[2], shape, rows, keys);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  return t[0];
}

static const int32_t row_segment[B + 1] = {0, 3, 10, 70}, key_segment[B + 1] = {0, 90, 91, 104};

static void make(const ld_attention *shape, const ld_field *rows, const ld_field *keys, matrix m[3]) {
  m[0] = random_matrix(rows->segment[B], HEADS * shape->head_dim, 0);
  m[1] = random_matrix(keys->segment[B], KV_HEADS * shape->head_dim, 1);
  m[2] = random_matrix(keys->segment[B], KV_HEADS * shape->head_dim, 2);
}

static void free_all(matrix m[3]) {
  for (int i = 0; i < 3; i++) free(m[i].data);
}

static void whole(const ld_attention *shape, const int32_t *its_keys) {
  const ld_field rows = {.n_rows = row_segment[B], .n_segments = B, .segment = row_segment};
  const ld_field keys = {.n_rows = its_keys[B], .n_segments = B, .segment = its_keys};
  matrix m[3];
  make(shape, &rows, &keys, m);
  ld_tape *tape = ld_tape_create();
  check(shape, m, &rows, &keys, attend(tape, shape, m, &rows, &keys));
  ld_tape_free(tape);
  free_all(m);
}

static void all_shapes(void (*test)(const ld_attention *shape, const int32_t *its_keys),
                       const int32_t *its_keys, bool causal) {
  const matrix bias = random_matrix(HEADS, 2 * REACH + 1, 3);
  static const int widths[] = {5, 16, 40, 64};
  for (int w = 0; w < 4; w++)
    for (int biased = 0; biased < 2; biased++) {
      const ld_attention shape = {.n_heads = HEADS,
                                  .n_kv_heads = KV_HEADS,
                                  .head_dim = widths[w],
                                  .scale = 0.3f,
                                  .causal = causal,
                                  .window = causal && biased ? 6 : 0,
                                  .block = 1,
                                  .distance = {biased ? bias.data : NULL, REACH}};
      test(&shape, its_keys);
    }
  free(bias.data);
}

Test(attention, over_itself) {
  all_shapes(whole, row_segment, true);
  all_shapes(whole, row_segment, false);
}

Test(attention, over_another_text) {
  all_shapes(whole, key_segment, false);
}

/* The rows of segment n from `first` on, `count` of them, as a matrix of their own. */
static void take(const matrix *from, const int32_t *segment, int first, int count, matrix *to) {
  *to = (matrix){ld_alloc((size_t)(B * count * from->cols) + 1, sizeof(float)), B * count, from->cols};
  for (int n = 0; n < B; n++)
    for (int i = 0; i < count * from->cols; i++)
      to->data[n * count * from->cols + i] = from->data[(segment[n] + first) * from->cols + i];
}

static ld_cache make_cache(int width, int capacity, int32_t *length) {
  const size_t count = (size_t)(2 * B * capacity * width);
  return (ld_cache){
      2, B, capacity, width, length, ld_alloc(count, sizeof(float)), ld_alloc(count, sizeof(float))};
}

static void check_cached(const ld_attention *shape, const matrix m[3], const int32_t *segment, int place,
                         int count, const ld_tensor *y) {
  double expected[WIDEST];
  for (int n = 0; n < B; n++)
    for (int i = 0; i < count; i++)
      for (int head = 0; head < HEADS; head++) {
        const int end = shape->causal ? segment[n] + place + i + 1 : segment[n + 1];
        expect_row(shape, m, n * count + i, place + i, segment[n], end, head, expected);
        for (int d = 0; d < shape->head_dim; d++)
          cr_assert_float_eq((double)y->data[(n * count + i) * y->stride + head * shape->head_dim + d],
                             expected[d], 2e-6);
      }
}

/* Two rows of each segment at first, then one after the other, with slots in another order than the segments. */
static void stepwise(const ld_attention *shape, const int32_t *unused) {
  (void)unused;
  static const int32_t segment[B + 1] = {0, 9, 18, 27}, slot[B] = {2, 0, 1};
  const ld_field all = {.n_rows = 27, .n_segments = B, .segment = segment};
  matrix m[3];
  int32_t length[B] = {0};
  make(shape, &all, &all, m);
  ld_cache cache = make_cache(m[1].cols, 9, length);
  ld_tape *tape = ld_tape_create();
  for (int place = 0, count = 2; place < 9; place += count, count = 1) {
    const int32_t now[B + 1] = {0, count, 2 * count, 3 * count};
    const ld_field text = {
        .n_rows = 3 * count, .n_segments = B, .segment = now, .cache = &cache, .slot = slot};
    matrix part[3];
    for (int i = 0; i < 3; i++) take(&m[i], segment, place, count, &part[i]);
    const ld_tensor *y = attend(tape, shape, part, &text, &text);
    const matrix seen[3] = {part[0], m[1], m[2]};
    check_cached(shape, seen, segment, place, count, y);
    for (int n = 0; n < B; n++) length[slot[n]] += count;
    free_all(part);
  }
  ld_tape_free(tape);
  free(cache.keys);
  free(cache.values);
  free_all(m);
}

Test(attention, step_by_step) {
  all_shapes(stepwise, NULL, true);
}

/* The other text is read once; later rows see it in the cache, two of them in one slot. */
static void over_cached(const ld_attention *given, const int32_t *its_keys) {
  ld_attention no_bias = *given, *shape = &no_bias; /* a text has no distance to another one */
  no_bias.distance.bias = NULL;
  static const int32_t slot[B] = {1, 2, 0}, none[B + 1] = {0}, one[B + 1] = {0, 1, 2, 3},
                       again[B] = {2, 1, 1};
  const ld_field rows = {.n_rows = row_segment[B], .n_segments = B, .segment = row_segment};
  int32_t length[B] = {0};
  matrix m[3];
  ld_field keys = {.n_rows = its_keys[B], .n_segments = B, .segment = its_keys};
  make(shape, &rows, &keys, m);
  ld_cache cache = make_cache(m[1].cols, MOST, length);
  keys.cache = &cache;
  keys.slot = slot;
  ld_tape *tape = ld_tape_create();
  check(shape, m, &rows, &keys, attend(tape, shape, m, &rows, &keys));
  for (int n = 0; n < B; n++) length[slot[n]] = its_keys[n + 1] - its_keys[n];
  const ld_field step = {.n_rows = B, .n_segments = B, .segment = one};
  const ld_field cached = {.n_segments = B, .segment = none, .cache = &cache, .slot = again};
  const matrix few[3] = {{m[0].data, B, m[0].cols}, {0}, {0}};
  const ld_tensor *y = attend(tape, shape, few, &step, &cached);
  double expected[WIDEST];
  for (int n = 0; n < B; n++)
    for (int head = 0; head < HEADS; head++) {
      const int source = again[n] == 2 ? 1 : 0;
      expect_row(shape, m, n, 0, its_keys[source], its_keys[source + 1], head, expected);
      for (int d = 0; d < shape->head_dim; d++)
        cr_assert_float_eq((double)y->data[n * y->stride + head * shape->head_dim + d], expected[d], 2e-6);
    }
  ld_tape_free(tape);
  free(cache.keys);
  free(cache.values);
  free_all(m);
}

Test(attention, over_a_text_in_the_cache) {
  all_shapes(over_cached, key_segment, false);
}

/* Gradients against the formula, of wide heads and of more keys than are laid out together. */
typedef struct ending {
  ld_tensor *y;
  const float *dy;
  float *found; /* y */
} ending;

static void end_forward(ld_tape *tape, void *self) {
  (void)tape;
  const ending *e = self;
  memcpy(e->found, e->y->data, (size_t)e->y->rows * (size_t)e->y->cols * sizeof(float));
}

static void end_backward(ld_tape *tape, void *self) {
  (void)tape;
  const ending *e = self;
  memcpy(ld_grad(e->y), e->dy, (size_t)e->y->rows * (size_t)e->y->cols * sizeof(float));
}

/* One segment with its gradients by the formula, (T or S, H D) each, in double. */
typedef struct wanted {
  double *q, *k, *v;
} wanted;

static double dot(const float *a, const float *b, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

/* Adds the gradients of one row of one head, whose columns begin at `at`. */
static void want_row(const ld_attention *shape, const matrix m[3], const float *dy, int row, int at,
                     wanted *w) {
  const int D = shape->head_dim, C = m[0].cols;
  const float *q = m[0].data + row * C + at, *dout = dy + row * C + at;
  double weights[MOST], sum = 0, delta = 0;
  for (int key = 0; key < m[1].rows; key++)
    sum += weights[key] = exp((double)shape->scale * dot(q, m[1].data + key * C + at, D));
  for (int key = 0; key < m[1].rows; key++) {
    weights[key] /= sum;
    delta += weights[key] * dot(dout, m[2].data + key * C + at, D);
  }
  for (int key = 0; key < m[1].rows; key++) {
    const int place = key * C + at;
    const double slope = weights[key] * (dot(dout, m[2].data + place, D) - delta) * (double)shape->scale;
    for (int d = 0; d < D; d++) {
      w->q[row * C + at + d] += slope * (double)m[1].data[place + d];
      w->k[place + d] += slope * (double)q[d];
      w->v[place + d] += weights[key] * (double)dout[d];
    }
  }
}

static void check_near(const float *found, const double *want, int n, const char *what, int width) {
  double most = 0, scale = 0;
  for (int i = 0; i < n; i++) {
    most = fmax(most, fabs((double)found[i] - want[i]));
    scale = fmax(scale, fabs(want[i]));
  }
  cr_assert(most < 5e-6 * tolerance * scale, "%s of heads %d wide: %.2e", what, width, most / scale);
}

/* One pass over T rows and S keys; t: q, k and v with their gradients. */
static void go_back(ld_tape *tape, const ld_attention *shape, const matrix m[3], ending *e, ld_tensor *t[3]) {
  static int32_t row_segment_of[2], key_segment_of[2];
  row_segment_of[1] = m[0].rows;
  key_segment_of[1] = m[1].rows;
  const ld_field rows = {.n_rows = m[0].rows, .n_segments = 1, .segment = row_segment_of};
  const ld_field keys = {.n_rows = m[1].rows, .n_segments = 1, .segment = key_segment_of};
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, false);
    for (int i = 0; i < 3; i++) {
      t[i] = ld_tape_input(tape, m[i].data, m[i].rows, m[i].cols);
      t[i]->trained = true;
    }
    e->y = ld_op_attention(tape, t[0], t[1], t[2], shape, &rows, &keys);
    ld_tape_push(tape, (ld_op){.name = "end",
                               .self = e,
                               .forward = end_forward,
                               .backward = end_backward,
                               .in = LD_TENSORS(e->y)});
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
}

static void check_gradients(int n_heads, int width, int n_rows, int n_keys) {
  const int C = n_heads * width;
  const ld_attention shape = {.n_heads = n_heads,
                              .n_kv_heads = n_heads,
                              .head_dim = width,
                              .scale = 1 / sqrtf((float)width),
                              .block = LD_NO_CACHE};
  const matrix m[3] = {random_matrix(n_rows, C, 0), random_matrix(n_keys, C, 1), random_matrix(n_keys, C, 2)};
  const matrix dy = random_matrix(n_rows, C, 3);
  ld_tensor *t[3];
  ending e = {.dy = dy.data, .found = ld_alloc((size_t)(n_rows * C), sizeof(float))};
  ld_tape *tape = ld_tape_create();
  go_back(tape, &shape, m, &e, t);
  double *want[3], expected[WIDEST];
  for (int i = 0; i < 3; i++) want[i] = ld_alloc((size_t)m[i].rows * (size_t)C, sizeof **want);
  for (int row = 0; row < n_rows; row++)
    for (int head = 0; head < n_heads; head++) {
      want_row(&shape, m, dy.data, row, head * width, &(wanted){want[0], want[1], want[2]});
      expect_row(&shape, m, row, row, 0, n_keys, head, expected);
      check_near(e.found + row * C + head * width, expected, width, "output", width);
    }
  for (int i = 0; i < 3; i++) {
    check_near(t[i]->grad, want[i], m[i].rows * C, i == 0 ? "dq" : i == 1 ? "dk" : "dv", width);
    free(want[i]);
    free(m[i].data);
  }
  free(dy.data);
  free(e.found);
  ld_tape_free(tape);
}

Test(attention, gradients) {
  check_gradients(3, 40, 70, 77);
  check_gradients(2, 64, 9, 1700);
  check_gradients(2, 80, 61, 33);
  check_gradients(2, 160, 60, 77);
  check_gradients(1, 512, 58, 70);
  check_gradients(1, 37, 3, 5);
  check_gradients(1, 1000, 60, 35); /* wider than a block of the tile */
}

/* With factors of bfloat16, which have 8 bits. */
static void with_precision(enum ld_precision precision) {
  if (ld_gemm_setup(1, precision, NULL)) cr_skip_test("this processor has no products of bfloat16");
  tolerance = 5000;
  all_shapes(whole, row_segment, true);
  all_shapes(whole, key_segment, false);
  check_gradients(3, 40, 70, 77);
  check_gradients(2, 64, 9, 1700);
  check_gradients(1, 37, 3, 5);
}

Test(attention, bf16) {
  with_precision(LD_PRECISION_BF16);
}

Test(attention, bf16_amx) {
  with_precision(LD_PRECISION_BF16_AMX);
}
