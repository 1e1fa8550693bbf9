/* Attention on the register tile. For each head of each sequence, keys and values are laid out once as
 * panels. Then the scores of some rows at a time against their visible keys are computed, as tiles by panels.
 * Above the causal diagonal, only what shares a tile with it is computed. */
#include <math.h>
#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "linalg/tile_pick.h"
#include "nn/attention_step.h"

/* Rows processed at a time: a few tiles' height, and few enough for their scores to stay in the second-level
 * cache at common lengths. */
enum { ROWS = 56 };

/* Scores of ROWS rows: number `key` of row i is at key / SLAB_KEYS * SLAB + i * LD_BLOCK_STRIDE + key %
 * SLAB_KEYS, so that they can be used as the left factor of a tile in place. A slab holds whole chains of
 * them. */
enum { SLAB_KEYS = LD_BLOCK_WORDS / LD_CHAIN_WORDS * LD_CHAIN_WORDS, SLAB = ROWS * LD_BLOCK_STRIDE };

typedef struct attention_op {
  ld_attention shape;
  const ld_field *rows, *keys;
  ld_cache *cache;          /* NULL: none */
  ld_tensor *q, *k, *v, *y; /* k, v: NULL where all keys are in the cache */
  const ld_tile *tile;
  float *lse; /* (H, T): log of the sum of exp of each row's scores */
} attention_op;

/* One head of one segment, with all its keys. */
typedef struct sequence {
  int n_rows, n_keys, past; /* past: keys before the segment's own, from the cache */
  const float *k, *v;
  int ldk, ldv;
} sequence;

/* Some of its rows, and the union of their visible keys. */
typedef struct part {
  int row, n_rows;
  int low, high;
} part;

/* Carved from the scratch. Words as in tile.h; Dp is D rounded up to half a panel. */
typedef struct room {
  float *k_turned, *v_turned; /* (keys / 32, D words, 32) */
  float *k_rows, *v_rows;     /* (Dp / 32, key words, 32); the last panel may be half as wide */
  float *dk, *dv;             /* (keys, Dp) */
  float *left;                /* rows of q or dy as a block */
  float *q_rows, *dy_rows;    /* (Dp / 32, row words, 32) */
  float *P, *dP;              /* scores */
  float *packed;              /* scores as pairs */
  float *out;                 /* (ROWS, Dp) */
  float *bias;                /* by distance, from that of the last row to the first key */
} room;

static const float zeros[LD_PANEL];

static int round_up(int n, int step) {
  return (n + step - 1) / step * step;
}

static int padded_width(const attention_op *op) {
  return round_up(op->shape.head_dim, LD_PANEL / 2);
}

/* For segments of up to so many rows and keys. */
static size_t carve(const attention_op *op, int n_rows, int n_keys, bool backward, float *memory, room *r) {
  const size_t keys = (size_t)round_up(n_keys, LD_PANEL), Dp = (size_t)padded_width(op);
  const size_t whole = keys * Dp, back = backward ? whole : 0,
               scores = (size_t)(n_keys + SLAB_KEYS - 1) / SLAB_KEYS * SLAB;
  const bool pairs = op->tile->pair == 2;
  const struct {
    float **place;
    size_t floats;
  } needs[] = {{&r->k_turned, whole},
               {&r->v_turned, back},
               {&r->k_rows, back},
               {&r->v_rows, whole},
               {&r->dk, back},
               {&r->dv, back},
               {&r->left, SLAB},
               {&r->q_rows, ROWS * Dp},
               {&r->dy_rows, ROWS * Dp},
               {&r->P, scores},
               {&r->dP, backward ? scores : 0},
               {&r->packed, pairs ? scores : 0},
               {&r->out, ROWS * Dp},
               {&r->bias, op->shape.distance.bias ? (size_t)n_rows + (size_t)n_keys : 0}};
  size_t total = 0;
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    *needs[i].place = memory ? memory + total : NULL;
    total += (needs[i].floats + 15) / 16 * 16;
  }
  return total;
}

static float *score(float *scores, int row, int key) {
  return scores + (ptrdiff_t)(key / SLAB_KEYS) * SLAB + row * LD_BLOCK_STRIDE + key % SLAB_KEYS;
}

/* Row `row` of the sequence sees keys [*low, *high). */
static void visible(const ld_attention *shape, const sequence *s, int row, int *low, int *high) {
  const int place = s->past + row;
  *high = shape->causal ? place + 1 : s->n_keys;
  *low = shape->window && place - shape->window + 1 > 0 ? place - shape->window + 1 : 0;
}

/* The keys that rows [first, last] see together. */
static void visible_to(const ld_attention *shape, const sequence *s, int first, int last, int *low,
                       int *high) {
  int unused;
  visible(shape, s, first, low, &unused);
  visible(shape, s, last, &unused, high);
}

static part part_at(const ld_attention *shape, const sequence *s, int row) {
  part p = {.row = row, .n_rows = s->n_rows - row < ROWS ? s->n_rows - row : ROWS};
  visible_to(shape, s, row, row + p.n_rows - 1, &p.low, &p.high);
  return p;
}

/* Lays n rows of x, D wide, as the right factor whose k are columns of x. */
static void turn_keys(const attention_op *op, const float *x, int ld, int n, float *panels) {
  const int D = op->shape.head_dim, words = ld_tile_words(op->tile, D);
  for (int key = 0; key < n; key += LD_PANEL, panels += (ptrdiff_t)words * LD_PANEL)
    op->tile->turn(D, n - key < LD_PANEL ? n - key : LD_PANEL, LD_PANEL, x + (ptrdiff_t)key * ld, ld, 1,
                   panels);
}

/* The panel of columns from d on of a right factor whose k are `lines` lines of words. Each panel is in one piece,
 * so that its lines do not share a few cache sets when heads are wide. */
typedef struct right_panel {
  int width;    /* LD_PANEL or half of it */
  ptrdiff_t at; /* of its first word */
} right_panel;

static right_panel panel_at(const attention_op *op, int lines, int d) {
  const int rest = padded_width(op) - d;
  return (right_panel){rest < LD_PANEL ? rest : LD_PANEL, (ptrdiff_t)d * lines};
}

/* Lines of words of n numbers of k. */
static int lines_of(const attention_op *op, int n) {
  return ld_tile_words(op->tile, n);
}

/* Lays n rows of x, D wide, as the right factor whose k are rows of x. */
static void lay_rows(const attention_op *op, const float *x, int ld, int n, float *words) {
  const int D = op->shape.head_dim;
  for (int d = 0; d < D; d += LD_PANEL) {
    const right_panel to = panel_at(op, lines_of(op, n), d);
    op->tile->lay(n, D - d < to.width ? D - d : to.width, to.width, x + d, ld, 1, words + to.at, to.width);
  }
}

/* Rows of x, D wide, `ld` apart, times a factor. */
typedef struct scaled_rows {
  const float *x;
  int ld;
  float factor;
} scaled_rows;

/* scores (part, keys) = the rows (part, D) times the panels, over SLAB_KEYS words of D from `first` on; those after the
 * first ones are added. */
static void add_scores(const attention_op *op, const sequence *s, const part *p, int first,
                       const float *panels, const float *left, float *scores) {
  const ld_tile *tile = op->tile;
  const int words = lines_of(op, op->shape.head_dim), height = ld_tile_height(tile, p->n_rows);
  const int n_words = words - first < SLAB_KEYS ? words - first : SLAB_KEYS;
  for (int key = p->low / LD_PANEL * LD_PANEL; key < p->high; key += LD_PANEL)
    for (int i = 0; i < p->n_rows; i += height) {
      const int n = p->n_rows - i < height ? p->n_rows - i : height;
      int low, high;
      visible_to(&op->shape, s, p->row + i, p->row + i + n - 1, &low, &high);
      if (high <= key || low >= key + LD_PANEL) continue;
      float *c = score(scores, i, key);
      tile->by_rows[high - key <= LD_PANEL / 2](
          n, n_words, left + i * LD_BLOCK_STRIDE, panels + (ptrdiff_t)key * words + first * LD_PANEL,
          LD_PANEL, first ? c : zeros, first ? LD_BLOCK_STRIDE : 0, c, LD_BLOCK_STRIDE, NULL);
    }
}

/* scores (part, keys) = the rows (part, D) times the panels. */
static void find_scores(const attention_op *op, const sequence *s, const part *p, scaled_rows rows,
                        const float *panels, room *r, float *scores) {
  const ld_tile *tile = op->tile;
  const int D = op->shape.head_dim, words = lines_of(op, D);
  for (int first = 0; first < words; first += SLAB_KEYS) {
    const int n = words - first < SLAB_KEYS ? words - first : SLAB_KEYS,
              column = ld_tile_numbers(tile, first);
    for (int i = 0; i < p->n_rows; i++)
      tile->copy(D - column < ld_tile_numbers(tile, n) ? D - column : ld_tile_numbers(tile, n),
                 rows.x + (ptrdiff_t)i * rows.ld + column, rows.factor, r->left + i * LD_BLOCK_STRIDE);
    add_scores(op, s, p, first, panels, r->left, scores);
  }
}

/* The scores as the left factor of a product over keys. */
static const float *left_by_rows(const attention_op *op, const part *p, float *scores, room *r) {
  if (op->tile->pair == 1) return scores;
  for (int key = p->low / SLAB_KEYS * SLAB_KEYS; key < p->high; key += SLAB_KEYS)
    for (int i = 0; i < p->n_rows; i++)
      op->tile->copy(round_up(p->high - key < SLAB_KEYS ? p->high - key : SLAB_KEYS, 2),
                     score(scores, i, key), 1, score(r->packed, i, ld_tile_words(op->tile, key)));
  return r->packed;
}

/* The same for a product over rows. */
static const float *left_by_columns(const attention_op *op, const part *p, float *scores, room *r) {
  if (op->tile->pair == 1) return scores;
  for (int key = p->low / SLAB_KEYS * SLAB_KEYS; key < p->high; key += SLAB_KEYS) {
    const int n = p->high - key < SLAB_KEYS ? p->high - key : SLAB_KEYS;
    op->tile->lay(p->n_rows, n, n, score(scores, 0, key), LD_BLOCK_STRIDE, 1, score(r->packed, 0, key),
                  LD_BLOCK_STRIDE);
  }
  return r->packed;
}

/* out (part, Dp) = scores (part, keys) right (keys, Dp). */
typedef struct key_product {
  const attention_op *op;
  const sequence *s;
  const part *p;
  const float *scores, *right;
  float *out;
} key_product;

/* Over the keys of one slab, which begins at word `slab`, for one panel. */
static void keys_of_slab(const key_product *x, int slab, int d) {
  const ld_tile *tile = x->op->tile;
  const int Dp = padded_width(x->op), height = ld_tile_height(tile, x->p->n_rows);
  const right_panel panel = panel_at(x->op, lines_of(x->op, x->s->n_keys), d);
  for (int i = 0; i < x->p->n_rows; i += height) {
    const int n = x->p->n_rows - i < height ? x->p->n_rows - i : height;
    int low, high;
    visible_to(&x->op->shape, x->s, x->p->row + i, x->p->row + i + n - 1, &low, &high);
    const int first = ld_tile_group(tile, low), last = lines_of(x->op, high);
    const int end = last < slab + SLAB_KEYS ? last : slab + SLAB_KEYS;
    float *c = x->out + (ptrdiff_t)i * Dp + d;
    for (int from = first > slab ? first : slab, to; from < end; from = to) {
      /* The first piece ends where a chain begins. */
      to = from % tile->chain ? (from / tile->chain + 1) * tile->chain : end;
      to = to < end ? to : end;
      const bool fresh = from == first;
      tile->by_rows[panel.width < LD_PANEL](n, to - from, score((float *)x->scores, i, from),
                                            x->right + panel.at + (ptrdiff_t)from * panel.width, panel.width,
                                            fresh ? zeros : c, fresh ? 0 : Dp, c, Dp, NULL);
    }
  }
}

static void over_keys(const key_product *x) {
  const int first = ld_tile_group(x->op->tile, x->p->low);
  for (int slab = first / SLAB_KEYS * SLAB_KEYS; slab < lines_of(x->op, x->p->high); slab += SLAB_KEYS)
    for (int d = 0; d < padded_width(x->op); d += LD_PANEL) keys_of_slab(x, slab, d);
}

/* out (keys, Dp) += scores^T (keys, part) right (part, Dp). */
static void over_rows(const attention_op *op, const sequence *s, const part *p, const float *scores,
                      const float *right, float *out) {
  const ld_tile *tile = op->tile;
  const ld_attention *shape = &op->shape;
  const int Dp = padded_width(op), first = s->past + p->row;
  for (int key = p->low, n; key < p->high; key += n) {
    const int block_end = (key / SLAB_KEYS + 1) * SLAB_KEYS;
    n = p->high - key < tile->rows ? p->high - key : tile->rows;
    n = block_end - key < n ? block_end - key : n;
    /* Only rows [from, to) of the part see some of these keys. */
    const int from = shape->causal && key > first ? ld_tile_group(tile, key - first) : 0;
    int to = p->n_rows;
    if (shape->window && key + n - 1 + shape->window - first < to) to = key + n - 1 + shape->window - first;
    to = ld_tile_words(tile, to);
    for (int d = 0; d < Dp; d += LD_PANEL) {
      float *c = out + (ptrdiff_t)key * Dp + d;
      const right_panel panel = panel_at(op, lines_of(op, p->n_rows), d);
      tile->by_columns[panel.width < LD_PANEL](n, to - from, score((float *)scores, from, key),
                                               right + panel.at + (ptrdiff_t)from * panel.width, panel.width,
                                               c, Dp, c, Dp, NULL);
    }
  }
}

/* Runs the body for the pieces of keys [low, high) of a row that lie in one slab each. */
#define FOR_PIECES(from, n, low, high)                                                                       \
  for (int from = (low), n;                                                                                  \
       n = SLAB_KEYS - from % SLAB_KEYS, n = (high)-from < n ? (high)-from : n, from < (high); from += n)

/* Zeroes scores of keys that only other rows of the part see, or that only share a panel with visible ones. */
static void mask_row(const part *p, float *scores, int i, int low, int high) {
  const int first = p->low / LD_PANEL * LD_PANEL, last = round_up(p->high, LD_PANEL);
  FOR_PIECES(from, n, first, low) memset(score(scores, i, from), 0, (size_t)n * sizeof(float));
  FOR_PIECES(from, n, high, last) memset(score(scores, i, from), 0, (size_t)n * sizeof(float));
}

/* Scores to exp(score - shift); returns their sum. */
static double exp_row(const part *p, float *scores, int i, int low, int high, float shift) {
  double sum = 0;
  FOR_PIECES(from, n, low, high) sum += ld_row_exp(score(scores, i, from), shift, n);
  mask_row(p, scores, i, low, high);
  return sum;
}

/* Lays a head's bias by distance; distance d is at r->bias[d + past + n_rows - 1]. */
static void lay_bias(const attention_op *op, const sequence *s, int head, room *r) {
  const int reach = op->shape.distance.reach, last = s->past + s->n_rows - 1;
  const float *bias = op->shape.distance.bias;
  if (!bias) return;
  bias += (ptrdiff_t)head * (2 * reach + 1) + reach;
  for (int d = -last; d < s->n_keys; d++)
    r->bias[d + last] = bias[d < -reach ? -reach : d > reach ? reach : d];
}

static void add_bias(const attention_op *op, const sequence *s, const part *p, room *r) {
  for (int i = 0; op->shape.distance.bias && i < p->n_rows; i++) {
    int low, high;
    visible(&op->shape, s, p->row + i, &low, &high);
    const float *bias = r->bias + (s->n_rows - 1 - p->row - i);
    FOR_PIECES(from, n, low, high) ld_row_add(score(r->P, i, from), bias + from, (size_t)n);
  }
}

static void part_forward(const attention_op *op, const sequence *s, const part *p, const float *q, float *y,
                         float *lse, room *r) {
  const int D = op->shape.head_dim, Dp = padded_width(op);
  float factor[ROWS];
  find_scores(op, s, p, (scaled_rows){q, op->q->stride, op->shape.scale}, r->k_turned, r, r->P);
  add_bias(op, s, p, r);
  for (int i = 0; i < p->n_rows; i++) {
    int low, high;
    float max = -INFINITY;
    visible(&op->shape, s, p->row + i, &low, &high);
    FOR_PIECES(from, n, low, high) max = fmaxf(max, ld_row_max(score(r->P, i, from), n));
    const float sum = (float)exp_row(p, r->P, i, low, high, max);
    factor[i] = 1.0f / sum;
    if (lse) lse[i] = max + (float)log((double)sum);
  }
  over_keys(&(key_product){op, s, p, left_by_rows(op, p, r->P, r), r->v_rows, r->out});
  for (int i = 0; i < p->n_rows; i++)
    for (int d = 0; d < D; d++)
      y[(ptrdiff_t)i * op->y->stride + d] = r->out[(ptrdiff_t)i * Dp + d] * factor[i];
}

/* Rows of segment n. */
static int length_of(const ld_field *field, int n) {
  return field->segment[n + 1] - field->segment[n];
}

/* Where block and slot of segment n begin in a cache. */
static size_t cached_at(const attention_op *op, int n) {
  const ld_cache *cache = op->cache;
  const size_t place = (size_t)op->shape.block * (size_t)cache->n_slots + (size_t)op->keys->slot[n];
  return place * (size_t)cache->capacity * (size_t)cache->width;
}

/* Segment n, with the keys and values of one head: its own or, with a cache, those in it. */
static sequence sequence_of(const attention_op *op, int n, int kv_head) {
  const ld_cache *cache = op->cache;
  const int column = kv_head * op->shape.head_dim, begin = op->keys->segment[n];
  sequence s = {.n_rows = length_of(op->rows, n), .n_keys = length_of(op->keys, n)};
  if (cache) {
    const size_t at = cached_at(op, n);
    s.past = cache->length[op->keys->slot[n]];
    s.n_keys += s.past;
    s.ldk = s.ldv = cache->width;
    s.k = cache->keys + at + column;
    s.v = cache->values + at + column;
  } else if (op->k && op->v && op->k->data) { /* a dry pass has no data */
    s.ldk = op->k->stride;
    s.ldv = op->v->stride;
    s.k = op->k->data + (size_t)begin * (size_t)s.ldk + (size_t)column;
    s.v = op->v->data + (size_t)begin * (size_t)s.ldv + (size_t)column;
  }
  return s;
}

static void fill_cache(const attention_op *op) {
  const ld_cache *cache = op->cache;
  const size_t width = (size_t)cache->width;
  for (int n = 0; n < op->keys->n_segments; n++) {
    size_t at = cached_at(op, n) + (size_t)cache->length[op->keys->slot[n]] * width;
    for (int t = op->keys->segment[n]; t < op->keys->segment[n + 1]; t++, at += width) {
      memcpy(cache->keys + at, op->k->data + (ptrdiff_t)t * op->k->stride, width * sizeof(float));
      memcpy(cache->values + at, op->v->data + (ptrdiff_t)t * op->v->stride, width * sizeof(float));
    }
  }
}

static void head_forward(const attention_op *op, const sequence *s, int begin, int head, room *r) {
  const int D = op->shape.head_dim;
  lay_bias(op, s, head, r);
  for (int row = 0; row < s->n_rows; row += ROWS) {
    const part p = part_at(&op->shape, s, row);
    const ptrdiff_t at = begin + row;
    part_forward(op, s, &p, op->q->data + at * op->q->stride + head * D,
                 op->y->data + at * op->y->stride + head * D,
                 op->lse ? op->lse + (ptrdiff_t)head * op->q->rows + at : NULL, r);
  }
}

static void segment_forward(const attention_op *op, int n, float *scratch) {
  const int group = op->shape.n_heads / op->shape.n_kv_heads;
  for (int head = 0; head < op->shape.n_heads; head++) {
    const sequence s = sequence_of(op, n, head / group);
    room r;
    carve(op, s.n_rows, s.n_keys, false, scratch, &r);
    if (head % group == 0) {
      turn_keys(op, s.k, s.ldk, s.n_keys, r.k_turned);
      lay_rows(op, s.v, s.ldv, s.n_keys, r.v_rows);
    }
    head_forward(op, &s, op->rows->segment[n], head, &r);
  }
}

/* One row does not pay for laying out the keys. */
static void step_forward(const attention_op *op, int n, float *scratch) {
  const sequence s = sequence_of(op, n, 0);
  const ptrdiff_t row = op->rows->segment[n];
  ld_attention_step(&op->shape, op->q->data + row * op->q->stride, &(ld_seen){s.k, s.v, s.n_keys, s.ldk},
                    s.past, scratch, op->y->data + row * op->y->stride);
}

static void attention_forward(ld_tape *tape, void *self) {
  attention_op *op = self;
  if (op->cache && op->k) fill_cache(op);
  for (int n = 0; n < op->rows->n_segments; n++) {
    if (op->cache && length_of(op->rows, n) == 1)
      step_forward(op, n, ld_tape_scratch(tape));
    else
      segment_forward(op, n, ld_tape_scratch(tape));
  }
}

LD_VECTOR static void score_gradient(float *dp, const float *p, float delta, float scale, int n) {
  for (int i = 0; i < n; i++) dp[i] = p[i] * (dp[i] - delta) * scale;
}

/* P and dP of a row to dS = P (dP - rowsum(P dP)) scale, in place of dP. The row sum equals rowsum(dY Y), but
 * Y is rounded: dS would not sum to 0, and where all keys have much in common, the remainder in dQ would be
 * larger than the rest. */
static void row_backward(const attention_op *op, const part *p, room *r, int i, int low, int high,
                         float lse) {
  const double sum = exp_row(p, r->P, i, low, high, lse); /* 1 except for rounding */
  double delta = 0;
  FOR_PIECES(from, n, low, high) delta += (double)ld_row_dot(score(r->P, i, from), score(r->dP, i, from), n);
  delta /= sum;
  FOR_PIECES(from, n, low, high)
  score_gradient(score(r->dP, i, from), score(r->P, i, from), (float)delta, op->shape.scale, n);
  mask_row(p, r->dP, i, low, high);
}

/* Adds `from` (n, Dp) to the D columns of `to`. */
static void add_rows(const attention_op *op, float *to, int ld, const float *from, int n) {
  const int D = op->shape.head_dim, Dp = padded_width(op);
  for (int i = 0; i < n; i++) ld_row_add(to + (ptrdiff_t)i * ld, from + (ptrdiff_t)i * Dp, (size_t)D);
}

/* A head's part of the tensors, and of the gradients that are needed. */
typedef struct gradients {
  const float *q, *dy, *lse;
  float *dq;
  bool keys, values;
} gradients;

/* dV += P^T dY;  dP = dY V^T;  dQ += dS K;  dK += dS^T Q. */
static void part_backward(const attention_op *op, const sequence *s, const part *p, const gradients *g,
                          room *r) {
  find_scores(op, s, p, (scaled_rows){g->q, op->q->stride, op->shape.scale}, r->k_turned, r, r->P);
  add_bias(op, s, p, r);
  find_scores(op, s, p, (scaled_rows){g->dy, op->y->stride, 1}, r->v_turned, r, r->dP);
  for (int i = 0; i < p->n_rows; i++) {
    int low, high;
    visible(&op->shape, s, p->row + i, &low, &high);
    row_backward(op, p, r, i, low, high, g->lse[i]);
  }
  if (g->values) {
    lay_rows(op, g->dy, op->y->stride, p->n_rows, r->dy_rows);
    over_rows(op, s, p, left_by_columns(op, p, r->P, r), r->dy_rows, r->dv);
  }
  if (g->keys) {
    lay_rows(op, g->q, op->q->stride, p->n_rows, r->q_rows);
    over_rows(op, s, p, left_by_columns(op, p, r->dP, r), r->q_rows, r->dk);
  }
  if (!g->dq) return;
  over_keys(&(key_product){op, s, p, left_by_rows(op, p, r->dP, r), r->k_rows, r->out});
  add_rows(op, g->dq, op->q->stride, r->out, p->n_rows);
}

/* One head of the rows from `begin` on, with the gradients that are needed. */
static void head_backward(const attention_op *op, const sequence *s, int begin, int head, room *r) {
  const int D = op->shape.head_dim;
  float *dq = ld_grad(op->q);
  lay_bias(op, s, head, r);
  for (int row = 0; row < s->n_rows; row += ROWS) {
    const part p = part_at(&op->shape, s, row);
    const ptrdiff_t at = begin + row;
    const gradients g = {.q = op->q->data + at * op->q->stride + head * D,
                         .dy = op->y->grad + at * op->y->stride + head * D,
                         .lse = op->lse + (ptrdiff_t)head * op->q->rows + at,
                         .dq = dq ? dq + at * op->q->stride + head * D : NULL,
                         .keys = op->k->trained,
                         .values = op->v->trained};
    part_backward(op, s, &p, &g, r);
  }
}

/* The heads that share keys and values. */
static void group_backward(const attention_op *op, int n, int kv_head, room *r) {
  const sequence s = sequence_of(op, n, kv_head);
  const int D = op->shape.head_dim, Dp = padded_width(op), group = op->shape.n_heads / op->shape.n_kv_heads;
  const ptrdiff_t begin = op->keys->segment[n];
  float *dk = ld_grad(op->k), *dv = ld_grad(op->v);
  turn_keys(op, s.k, s.ldk, s.n_keys, r->k_turned);
  turn_keys(op, s.v, s.ldv, s.n_keys, r->v_turned);
  lay_rows(op, s.k, s.ldk, s.n_keys, r->k_rows);
  memset(r->dk, 0, (size_t)s.n_keys * (size_t)Dp * sizeof(float));
  memset(r->dv, 0, (size_t)s.n_keys * (size_t)Dp * sizeof(float));
  for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
    head_backward(op, &s, op->rows->segment[n], head, r);
  if (dk) add_rows(op, dk + begin * s.ldk + kv_head * D, s.ldk, r->dk, s.n_keys);
  if (dv) add_rows(op, dv + begin * s.ldv + kv_head * D, s.ldv, r->dv, s.n_keys);
}

static void attention_backward(ld_tape *tape, void *self) {
  attention_op *op = self;
  for (int n = 0; n < op->rows->n_segments; n++) {
    room r;
    carve(op, length_of(op->rows, n), length_of(op->keys, n), true, ld_tape_scratch(tape), &r);
    for (int kv_head = 0; kv_head < op->shape.n_kv_heads; kv_head++) group_backward(op, n, kv_head, &r);
  }
}

/* Rows times keys that they see, over all segments. */
static double n_scores(const attention_op *op) {
  double total = 0;
  for (int n = 0; n < op->rows->n_segments; n++) {
    const sequence s = sequence_of(op, n, 0);
    for (int row = 0; row < s.n_rows; row++) {
      int low, high;
      visible(&op->shape, &s, row, &low, &high);
      total += high - low;
    }
  }
  return total;
}

/* The scratch that the largest segment needs. */
static size_t scratch_of(const attention_op *op, bool trained) {
  int most_rows = 0, most_keys = 0;
  for (int n = 0; n < op->rows->n_segments; n++) {
    const sequence s = sequence_of(op, n, 0);
    if (s.n_rows > most_rows) most_rows = s.n_rows;
    if (s.n_keys > most_keys) most_keys = s.n_keys;
  }
  room r;
  const size_t whole = carve(op, most_rows, most_keys, trained, NULL, &r);
  const size_t step = op->cache ? ld_attention_step_scratch(&op->shape, most_keys) : 0;
  return step > whole ? step : whole;
}

ld_tensor *ld_op_attention(ld_tape *tape, ld_tensor *q, ld_tensor *k, ld_tensor *v, const ld_attention *shape,
                           const ld_field *rows, const ld_field *keys) {
  attention_op *op = ld_tape_record(tape, sizeof *op);
  *op = (attention_op){.shape = *shape,
                       .rows = rows,
                       .keys = keys,
                       .cache = shape->block == LD_NO_CACHE ? NULL : keys->cache,
                       .q = q,
                       .k = k,
                       .v = v,
                       .tile = ld_gemm_tile()};
  const bool keys_trained = k && k->trained, values_trained = v && v->trained;
  const bool trained = q->trained || keys_trained || values_trained;
  op->y = ld_tape_tensor(tape, q->rows, q->cols);
  const double product = (double)shape->n_heads * shape->head_dim * n_scores(op);
  const int n_back = values_trained + (q->trained || keys_trained) + q->trained + keys_trained;
  ld_tape_push(tape, (ld_op){.name = "attention",
                             .self = op,
                             .forward = attention_forward,
                             .backward = attention_backward,
                             .out = op->y,
                             .in = LD_TENSORS(q, k, v), /* without k and v the list ends after q */
                             .backward_reads = LD_TENSORS(q, k, v),
                             .kept = {&op->lse, trained ? (size_t)shape->n_heads * (size_t)q->rows : 0},
                             .scratch = scratch_of(op, trained),
                             .work = {2 * product, product * n_back}});
  return op->y;
}
