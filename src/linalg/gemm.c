#include "linalg/gemm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/text.h"
#include "linalg/codecs.h"
#include "linalg/gemm_blas.h"
#include "linalg/gemm_few.h"
#include "linalg/tile_pick.h"

/* A group of panels of the right factor stays in the second-level cache, half of which it may take, while a block of the
 * left factor, from the third level, streams past. So the right factor, the weights, is read from memory once per block.
 * Meanwhile the next group is prefetched, so there should be a few of them. */
enum { BLOCK_ROWS = 1536, LEAST_GROUP = 3, MOST_GROUP = 8, FEW_GROUPS = 4 };

/* Where all of the right factor is in the smallest group, the block stays in the second-level cache instead. */
enum { SMALL_BLOCK = 48 << 10, LEAST_ROWS = 48 };

/* How many rows of the right factor go into all panels of a group before the next ones do; even. */
enum { FILLED_ROWS = 32 };

/* The most rows of a transposed block, and how many lines of it are laid out before they are cut into strips. */
enum { TURNED_ROWS = 800, LINES = 8, LINE = TURNED_ROWS + 2 * LD_MOST_TILE_ROWS };

/* With fewer multiply-adds a second thread costs more than it saves. */
#define LEAST_SHARED 2e5

/* How products are computed in this process; see ld_gemm_setup. */
static struct {
  const ld_tile *tile;
  enum ld_precision precision;
  bool blas; /* products by OpenBLAS */
  const char *name;
  int threads;
  int group; /* the most panels of a group */
  void (*between)(void *user);
  void *user;
} setup;

/* Rows of words; when the left factor is transposed strips, of a tile's rows each (tile.h). */
static _Alignas(64) float left_block[BLOCK_ROWS * LD_BLOCK_STRIDE];

/* Of each thread. */
static _Thread_local const float *right_lines[LD_BLOCK_WORDS];
static _Thread_local _Alignas(64) float right_panels[MOST_GROUP][LD_BLOCK_WORDS * LD_PANEL];
static _Thread_local _Alignas(64) float widened[2 * LD_BLOCK_WORDS * LD_PANEL];
static _Thread_local _Alignas(64) float lines_to_cut[LINES * LINE];
static _Thread_local _Alignas(64) float edge[LD_MOST_TILE_ROWS * LD_PANEL];

static const float zeros[LD_PANEL];

/* Rows [row, row + rows) of C and words [word, word + words) of the terms. */
typedef struct gemm_block {
  int row, rows, word, words;
  int height; /* of its tiles */
  const float *const
      *lines; /* its rows of the right factor, where tiles are to read them in place; or NULL */
  const struct gemm_block *next; /* NULL where that is not to be prefetched */
} gemm_block;

const char *ld_gemm_kind(void) {
  return ld_gemm_fused() ? "fused" : ld_gemm_kernel();
}

/* OpenBLAS's kernel sets, by the processor level that they need, and its names for those that are about the
 * same. */
static const struct {
  const char *core, *also[5];
} levels[] = {{"Prescott", {"Core2", "Penryn", "Dunnington", "Barcelona", "Bobcat"}},
              {"Nehalem", {NULL}},
              {"Sandybridge", {"Bulldozer", "Piledriver", "Steamroller", "Excavator"}},
              {"Haswell", {"Zen", "avx2"}},
              {"SkylakeX", {"Cooperlake", "SapphireRapids", "avx512", "bf16"}}};
enum { N_LEVELS = sizeof levels / sizeof *levels, FUSED_LEVEL = 3 };

int ld_gemm_level(const char *kernel) {
  for (int i = 0; i < N_LEVELS; i++) {
    if (!strcmp(levels[i].core, kernel)) return i;
    for (int k = 0; k < 5 && levels[i].also[k]; k++)
      if (!strcmp(levels[i].also[k], kernel)) return i;
  }
  return -1;
}

bool ld_gemm_pin(int level) {
  if (level < 0 || level >= N_LEVELS || !ld_gemm_blas_load(levels[level].core)) return false;
  if (level < FUSED_LEVEL) setup.tile = ld_tile_plainest();
  setup.blas = true;
  setup.name = ld_gemm_blas_kernel();
  ld_gemm_blas_set_threads(setup.threads);
  return !strcmp(setup.name, levels[level].core);
}

/* The kernels that the environment asks for; NULL for none. */
static const char *requested(void) {
  const char *name = getenv("LORA_DIST_KERNEL");
  return name && *name ? name : NULL;
}

static int no_such_kernel(enum ld_precision precision, const char *name, ld_error *err) {
  ld_text known = {0};
  bool exists = false;
  for (int i = 0; ld_tile_name(precision, i); i++) {
    ld_text_printf(&known, "%s%s", i ? ", " : "", ld_tile_name(precision, i));
    exists = exists || !strcmp(name, ld_tile_name(precision, i));
  }
  const int rc = ld_fail(err, LD_EUSAGE, "LORA_DIST_KERNEL=%s: %s: use %s%s, or unset it", name,
                         exists ? "this processor does not have it" : "there is no such kernel", known.bytes,
                         precision == LD_PRECISION_F32 ? ", openblas" : "");
  ld_text_free(&known);
  return rc;
}

static int no_bf16(enum ld_precision precision, const char *name, ld_error *err) {
  const char *option = ld_precision_names[precision];
  if (name && ld_tile_pick(precision, NULL))
    return ld_fail_prefix(err, no_such_kernel(precision, name, err), "--precision %s", option);
  return ld_fail(err, LD_EUSAGE,
                 "--precision %s: this processor has no fused multiply-adds (AVX2): use f32, or another host",
                 option);
}

/* As many panels as half of the second-level cache has room for; LEAST_GROUP where its size is not known. */
static int group_of_cache(void) {
#ifdef _SC_LEVEL2_CACHE_SIZE
  const long n = sysconf(_SC_LEVEL2_CACHE_SIZE) / 2 / (long)sizeof right_panels[0];
#else
  const long n = 0;
#endif
  return n < LEAST_GROUP ? LEAST_GROUP : n > MOST_GROUP ? MOST_GROUP : (int)n;
}

int ld_gemm_setup(int threads, enum ld_precision precision, ld_error *err) {
  setup.group = group_of_cache();
  const char *name = requested();
  const bool openblas = name && !strcmp(name, "openblas");
  const ld_tile *tile = ld_tile_pick(precision, openblas ? NULL : name);
  if (precision != LD_PRECISION_F32 && (openblas || !tile)) return no_bf16(precision, name, err);
  if (!tile) return no_such_kernel(precision, name, err);
  const bool blas = (openblas || !tile->fused) && ld_gemm_blas_load(NULL);
  if (openblas && !blas)
    return ld_fail(err, LD_ESYSTEM,
                   "LORA_DIST_KERNEL=openblas: libopenblas.so.0 cannot be loaded: install it");
  setup.tile = tile;
  setup.precision = precision;
  setup.blas = blas;
  setup.name = blas ? ld_gemm_blas_kernel() : tile->name;
  setup.threads = threads;
  if (blas) ld_gemm_blas_set_threads(threads);
  return 0;
}

bool ld_gemm_use(const char *kernel) {
  const ld_tile *tile = ld_gemm_fused() ? ld_tile_pick(setup.precision, kernel) : NULL;
  if (!tile || !tile->fused) return false;
  setup.tile = tile;
  setup.name = tile->name;
  return true;
}

const char *ld_gemm_kernel_name(int i) {
  return ld_tile_name(setup.precision, i);
}

void ld_gemm_between(void (*between)(void *user), void *user) {
  setup.between = between;
  setup.user = user;
}

/* For products before ld_gemm_setup, or without it: the best tile, whatever the environment says. */
static void set_up(void) {
  if (setup.tile || !ld_gemm_setup(1, LD_PRECISION_F32, NULL)) return;
  setup.tile = ld_tile_pick(LD_PRECISION_F32, NULL);
  setup.name = setup.tile->name;
  setup.threads = 1;
}

const ld_tile *ld_gemm_tile(void) {
  set_up();
  return setup.tile;
}

const char *ld_gemm_kernel(void) {
  set_up();
  return setup.name;
}

bool ld_gemm_fused(void) {
  set_up();
  return !setup.blas && setup.tile->fused;
}

/* Some words of all rows of a transposed left factor's block, as strips. */
static void fill_strips(const gemm_block *b, const ld_term_part *of, int k, int n) {
  const ld_tile *tile = setup.tile;
  const ld_lines from = ld_factor_lines(&of->term->left, of->k + k, n, b->row, b->rows, widened);
  tile->lay(n, b->rows, b->rows, from.at, from.ld, of->term->scale, lines_to_cut, LINE);
  const int word = of->at + ld_tile_words(tile, k), n_words = ld_tile_words(tile, n);
  tile->cut(n_words, b->rows, b->height, lines_to_cut, LINE, left_block + word * tile->strip,
            (ptrdiff_t)b->words * tile->strip);
}

/* Some of a row of the left factor's block. */
static void fill_row(const gemm_block *b, const ld_term_part *of, int i) {
  const ld_term *term = of->term;
  float *words = left_block + i * LD_BLOCK_STRIDE + of->at;
  if (setup.tile->pair == 1 && term->scale == 1)
    ld_coded_widen(words, &term->left.numbers, (int64_t)(b->row + i) * term->left.ld + of->k, of->n);
  else
    setup.tile->copy(of->n, ld_factor_lines(&term->left, b->row + i, 1, of->k, of->n, widened).at,
                     term->scale, words);
}

/* A thread's part of the left factor's block: rows of it, or words of all rows when it is transposed. */
static void fill_block(const ld_job *j, const gemm_block *b, int thread, int n_threads) {
  ld_term_part parts[LD_MAX_TERMS];
  const int n = ld_job_parts(j, b->word, b->words, parts), step = ld_tile_numbers(setup.tile, LINES);
  for (int p = 0; p < n; p++) {
    const ld_term_part *of = &parts[p];
    if (of->term->left.transposed)
      for (int k = thread * step; k < of->n; k += n_threads * step)
        fill_strips(b, of, k, of->n - k < step ? of->n - k : step);
    else
      for (int i = thread; i < b->rows; i += n_threads) fill_row(b, of, i);
  }
}

/* Columns [column, column + n) of lines [k, k + n_k) that are in memory, wherever each is, into a panel. */
static void lay_lines(const ld_coded *numbers, int k, int n_k, int column, int n, int padded, float *panel) {
  enum { SOME = 64 };
  const ld_tile *tile = setup.tile;
  const float *lines[SOME];
  for (int from = 0; from < n_k; from += SOME) {
    const int some = n_k - from < SOME ? n_k - from : SOME;
    numbers->codec->lines(numbers, k + from, some, lines);
    for (int i = 0; i < some; i += tile->pair, panel += tile->words * LD_PANEL) {
      const bool alone = i + 1 >= some || tile->pair == 1;
      tile->lay(alone ? 1 : 2, n, padded, lines[i] + column, alone ? 0 : lines[i + 1] - lines[i], 1, panel,
                LD_PANEL);
    }
  }
}

/* Columns [column, column + n) of n_k numbers of k, from number k of a term's part on, into a panel. */
static void fill_panel(const ld_term_part *of, int k, int n_k, int column, int n, float *panel) {
  const ld_factor *right = &of->term->right;
  const int padded = n <= LD_PANEL / 2 ? LD_PANEL / 2 : LD_PANEL;
  const ld_tile *tile = setup.tile;
  panel += (of->at + ld_tile_words(tile, k)) * LD_PANEL;
  k += of->k;
  if (right->numbers.codec->plain == LD_PLAIN_BF16 && tile->lay_bf16) {
    const uint16_t *x = ld_coded_block(&right->numbers, right->transposed ? (int64_t)column * right->ld + k
                                                                          : (int64_t)k * right->ld + column);
    if (right->transposed)
      tile->turn_bf16(n_k, n, padded, x, right->ld, panel);
    else
      tile->lay_bf16(n_k, n, padded, x, right->ld, panel, LD_PANEL);
    return;
  }
  if (!right->transposed && right->numbers.codec->lines) {
    lay_lines(&right->numbers, k, n_k, column, n, padded, panel);
  } else if (!right->transposed && n == LD_PANEL && tile->pair == 1) {
    ld_coded_widen_lines(panel, LD_PANEL, &right->numbers, (int64_t)k * right->ld + column, right->ld, n_k,
                         n);
  } else if (right->transposed) {
    const ld_lines from = ld_factor_lines(right, column, n, k, n_k, widened);
    tile->turn(n_k, n, padded, from.at, from.ld, 1, panel);
  } else {
    const ld_lines from = ld_factor_lines(right, k, n_k, column, n, widened);
    tile->lay(n_k, n, padded, from.at, from.ld, 1, panel, LD_PANEL);
  }
}

/* A panel in use: columns [column, column + n), filled from the right factor or, where `words` is NULL, that itself. */
typedef struct panel {
  const float *words;
  int column, n;
} panel;

/* For so few tiles it is not worth copying floats into panels. */
enum { FEW_TILES = 2 };

/* Where the rows of a part's right factor begin; false if they are not in memory as floats. */
static bool find_lines(const ld_term_part *of, const float **lines) {
  const ld_factor *right = &of->term->right;
  const float *floats = ld_coded_in_place(&right->numbers);
  const ld_codec *codec = right->numbers.codec;
  if (right->transposed || (!floats && !codec->lines)) return false;
  if (!floats) codec->lines(&right->numbers, of->k, of->n, lines);
  for (int k = 0; floats && k < of->n; k++) lines[k] = floats + (ptrdiff_t)(of->k + k) * right->ld;
  return true;
}

/* The rows of a block's right factor, if tiles are to read them in place: where a codec says where they are, or where
 * there are few tiles; or NULL. */
static const float *const *lines_of(const ld_job *j, const gemm_block *b) {
  ld_term_part parts[LD_MAX_TERMS];
  const int n = ld_job_parts(j, b->word, b->words, parts);
  bool wanted = b->rows <= FEW_TILES * b->height;
  for (int p = 0; p < n; p++) wanted = wanted || parts[p].term->right.numbers.codec->lines;
  if (!wanted || !setup.tile->lines_by_rows[0]) return NULL;
  for (int p = 0; p < n; p++)
    if (!find_lines(&parts[p], right_lines + parts[p].at)) return NULL;
  return right_lines;
}

/* Panels [from, end). Some rows of k go into all of them before the next ones do, since each may be in a page of its own;
 * a codec that lays out lines itself has its own order. */
static void take_panels(const ld_job *j, const gemm_block *b, int from, int end, panel *panels) {
  ld_term_part parts[LD_MAX_TERMS];
  const int n_parts = ld_job_parts(j, b->word, b->words, parts), n = end - from;
  for (int i = 0; i < n; i++) {
    panel *p = &panels[i];
    p->column = (from + i) * LD_PANEL;
    p->n = j->N - p->column < LD_PANEL ? j->N - p->column : LD_PANEL;
    p->words = b->lines && (p->n == LD_PANEL || p->n == LD_PANEL / 2) ? NULL : right_panels[i];
  }
  for (const ld_term_part *of = parts; of < parts + n_parts; of++) {
    const ld_factor *right = &of->term->right;
    const int step = right->transposed || right->numbers.codec->widen_lines ? of->n : FILLED_ROWS;
    for (int k = 0; k < of->n; k += step)
      for (int i = 0; i < n; i++)
        if (panels[i].words)
          fill_panel(of, k, of->n - k < step ? of->n - k : step, panels[i].column, panels[i].n,
                     right_panels[i]);
  }
}

/* The bytes of n numbers, about: with a codec's long blocks they may end within one. */
static size_t bytes_of(const ld_coded *numbers, size_t n) {
  return n * (size_t)numbers->codec->bytes / (size_t)numbers->codec->elements;
}

/* Columns [first, first + n) of rows [row, row + rows) of a factor as stored. */
static ld_fetch fetch_stored(const ld_factor *factor, int row, int rows, int first, int n) {
  const ld_coded *numbers = &factor->numbers;
  return (ld_fetch){.at = ld_coded_block(numbers, (int64_t)row * factor->ld + first),
                    .stride = (ptrdiff_t)bytes_of(numbers, (size_t)factor->ld),
                    .rows = rows,
                    .lines = (int)((bytes_of(numbers, (size_t)n) + 63) / 64)};
}

/* The first term's part of columns [column, column + n) in a block. */
static ld_fetch fetch_of(const ld_job *j, const gemm_block *b, int column, int n) {
  ld_term_part parts[LD_MAX_TERMS];
  if (n <= 0 || !ld_job_parts(j, b->word, b->words, parts)) return (ld_fetch){0};
  const ld_factor *right = &parts[0].term->right;
  return right->transposed ? fetch_stored(right, column, n, parts[0].k, parts[0].n)
                           : fetch_stored(right, parts[0].k, parts[0].n, column, n);
}

/* The first term's part of a block of the left factor; NULL: nothing. */
static ld_fetch fetch_block(const ld_job *j, const gemm_block *b) {
  ld_term_part parts[LD_MAX_TERMS];
  if (!b || !ld_job_parts(j, b->word, b->words, parts)) return (ld_fetch){0};
  const ld_factor *left = &parts[0].term->left;
  return left->transposed ? fetch_stored(left, parts[0].k, parts[0].n, b->row, b->rows)
                          : fetch_stored(left, b->row, b->rows, parts[0].k, parts[0].n);
}

/* Where a piece of C begins, and what it starts from: rows of the piece `ld` apart. */
typedef struct piece {
  const float *start;
  ptrdiff_t ld_start;
  float *c;
  ptrdiff_t ldc;
} piece;

/* C or its start in place if tiles can use them, else at `edge`. */
static piece piece_at(const ld_job *j, bool fresh, int row, int rows, int column, int n) {
  const bool whole = j->column == 1 && (n == LD_PANEL || n == LD_PANEL / 2);
  float *c = j->C + row * j->row + column * j->column;
  piece p = {edge, LD_PANEL, whole ? c : edge, whole ? j->row : LD_PANEL};
  if (whole && !fresh)
    p.start = c, p.ld_start = j->row;
  else if (whole && j->start && !j->bias && j->start_column == 1)
    p.start = j->start + row * j->start_row + column, p.ld_start = j->start_row;
  else if (whole && !j->start && j->bias && j->bias_column == 1)
    p.start = j->bias + column, p.ld_start = 0;
  else if (whole && !j->start && !j->bias)
    p.start = zeros, p.ld_start = 0;
  else
    ld_job_start(j, fresh, row, rows, column, n, edge);
  return p;
}

/* What of a block is computed at a time: rows [row, row + rows), at most a tile's, and words [word, word + words). */
typedef struct share {
  int row, rows, word, words;
} share;

/* A share of the block times the same words of a panel. */
static void run_tile(const ld_job *j, const gemm_block *b, share s, const panel *right, ld_fetch *fetch) {
  const bool strips = j->terms[0].left.transposed, half = right->n <= LD_PANEL / 2;
  const ld_tile *t = setup.tile;
  const float *a = left_block + (ptrdiff_t)s.row * (strips ? 0 : LD_BLOCK_STRIDE);
  if (strips) a += (ptrdiff_t)(s.row / b->height) * b->words * setup.tile->strip;
  a += s.word * (strips ? setup.tile->strip : 1);
  const piece p = piece_at(j, b->word + s.word == 0, b->row + s.row, s.rows, right->column, right->n);
  if (right->words)
    (strips ? t->by_strips : t->by_rows)[half](s.rows, s.words, a, right->words + s.word * LD_PANEL, LD_PANEL,
                                               p.start, p.ld_start, p.c, p.ldc, fetch);
  else
    (strips ? t->lines_by_strips : t->lines_by_rows)[half](
        s.rows, s.words, a, b->lines + s.word, right->column, p.start, p.ld_start, p.c, p.ldc, fetch);
  if (p.c != edge) return;
  float *c = j->C + (b->row + s.row) * j->row + right->column * j->column;
  for (int i = 0; i < s.rows; i++)
    for (int k = 0; k < right->n; k++) c[i * j->row + k * j->column] = edge[i * LD_PANEL + k];
}

/* Rows [first, last) of the block times panels [from, end). Meanwhile, what is needed next is prefetched: panels up to
 * `next_end` or, if there are none, the next block. */
static void run_group(const ld_job *j, const gemm_block *b, int first, int last, int from, int end,
                      int next_end) {
  const int rows = last - first, height = b->height, n = end - from;
  const int n_tiles = (rows + height - 1) / height;
  panel panels[MOST_GROUP];
  take_panels(j, b, from, end, panels);
  const int next = end * LD_PANEL,
            next_columns = next_end * LD_PANEL < j->N ? next_end * LD_PANEL - next : j->N - next;
  ld_fetch fetch = next_end > end ? fetch_of(j, b, next, next_columns) : fetch_block(j, b->next);
  const int times = n_tiles * n * ((b->words + LD_FETCH_WORDS - 1) / LD_FETCH_WORDS);
  const int step = setup.tile->at_once && j->column == 1 ? setup.tile->at_once : b->words;
  fetch.each = (fetch.rows * fetch.lines + times - 1) / times;
  for (int row = first; row < last; row += height)
    for (int word = 0; word < b->words; word += step) {
      const share s = {row, last - row < height ? last - row : height, word,
                       b->words - word < step ? b->words - word : step};
      for (int i = 0; i < n; i++) run_tile(j, b, s, &panels[i], &fetch);
    }
}

/* The number of groups: the same for each thread, if they do not become too small for that, or too large. */
static int count_groups(int n_panels, int n_threads) {
  const int least = (n_panels + setup.group - 1) / setup.group;
  const int most = (n_panels + LEAST_GROUP - 1) / LEAST_GROUP;
  const int few = most < FEW_GROUPS ? most : FEW_GROUPS, n = few < least ? least : few;
  const int fewer = n / n_threads * n_threads, more = (n + n_threads - 1) / n_threads * n_threads;
  return more <= most ? more : fewer >= least && fewer ? fewer : n;
}

/* A thread's part of a block: some groups of panels, or rows of them when there are fewer groups than threads. */
static void run_block(const ld_job *j, const gemm_block *b, int thread, int n_threads) {
  const int n_panels = (j->N + LD_PANEL - 1) / LD_PANEL, n_tiles = (b->rows + b->height - 1) / b->height;
  const int n_groups = count_groups(n_panels, n_threads);
  const int n_slices = n_groups < n_threads ? n_threads : 1, n_units = n_groups * n_slices;
  const int last_unit = n_units * (thread + 1) / n_threads;
  for (int unit = n_units * thread / n_threads; unit < last_unit; unit++) {
    const int group = unit / n_slices, slice = unit % n_slices, next = (unit + 1) / n_slices;
    const int from = n_panels * group / n_groups, end = n_panels * (group + 1) / n_groups;
    const int first = n_tiles * slice / n_slices * b->height,
              end_row = n_tiles * (slice + 1) / n_slices * b->height;
    const int last = end_row < b->rows ? end_row : b->rows;
    const bool more = unit + 1 < last_unit && next > group;
    if (first < last) run_group(j, b, first, last, from, end, more ? n_panels * (next + 1) / n_groups : end);
  }
}

/* Cuts `whole` into the fewest parts of at most `most`, all about equal; returns the size of one, a multiple
 * of `step`. */
static int even_cut(int whole, int most, int step) {
  const int n = (whole + most - 1) / most, size = n ? (whole + n - 1) / n : 1;
  return (size + step - 1) / step * step;
}

/* The words of a block: all of them, or some chains. */
static int block_words(int words) {
  const int chain = setup.tile->chain;
  return words <= LD_BLOCK_WORDS ? words : even_cut(words, LD_BLOCK_WORDS / chain * chain, chain);
}

/* Whether blocks are to stay in the second-level cache: all of the right factor is in the smallest group. */
static bool has_small_blocks(const ld_job *j) {
  return j->N <= LEAST_GROUP * LD_PANEL;
}

/* The rows of a block of so many words. */
static int block_rows(const ld_job *j, int words) {
  const int rows = even_cut(j->M, j->terms[0].left.transposed ? TURNED_ROWS : BLOCK_ROWS, 1);
  const int some = SMALL_BLOCK / words < LEAST_ROWS ? LEAST_ROWS : SMALL_BLOCK / words;
  return has_small_blocks(j) && some < rows ? even_cut(j->M, some, setup.tile->rows) : rows;
}

static gemm_block block_at(const ld_job *j, int row, int rows, int word, int words) {
  gemm_block b = {.row = row, .rows = j->M - row < rows ? j->M - row : rows};
  b.word = word, b.words = j->words - word < words ? j->words - word : words;
  b.height = ld_tile_height(setup.tile, b.rows);
  return b;
}

static void run(const ld_job *j, int thread, int n_threads) {
  if (ld_gemm_is_few(j)) {
    ld_gemm_few(j, thread, n_threads);
    return;
  }
  const int words = block_words(j->words), rows = block_rows(j, words);
  for (int row = 0; row < j->M; row += rows)
    for (int word = 0; word < j->words; word += words) {
      gemm_block b = block_at(j, row, rows, word, words), next;
      const bool last = word + words >= j->words;
      if (has_small_blocks(j) && n_threads == 1 && (!last || row + rows < j->M)) {
        next = block_at(j, last ? row + rows : row, rows, last ? 0 : word + words, words);
        b.next = &next;
      }
      fill_block(j, &b, thread, n_threads);
      b.lines = lines_of(j, &b);
#pragma omp barrier
      run_block(j, &b, thread, n_threads);
#pragma omp barrier
      if (thread == 0 && setup.between) setup.between(setup.user);
    }
}

static void run_threads(const ld_job *j) {
#ifdef _OPENMP
  if (setup.threads > 1 && (double)j->M * j->N * j->words > LEAST_SHARED) {
#pragma omp parallel num_threads(setup.threads)
    run(j, omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  run(j, 0, 1);
}

/* Nothing to multiply: C = start + bias. */
static void put_start(const ld_job *j) {
  for (int i = 0; i < j->M; i++)
    for (int k = 0; k < j->N; k++)
      j->C[i * j->row + k * j->column] = (j->start ? j->start[i * j->start_row + k * j->start_column] : 0) +
                                         (j->bias ? j->bias[i * j->bias_row + k * j->bias_column] : 0);
}

/* The same product with C transposed: C^T = right^T left^T. */
static void turn_job(ld_job *j, ld_term *term) {
  const ld_factor left = term->left;
  term->left = term->right;
  term->left.transposed = !term->right.transposed;
  term->right = left;
  term->right.transposed = !left.transposed;
  const ld_job from = *j;
  j->M = from.N;
  j->N = from.M;
  j->row = from.column;
  j->column = from.row;
  j->start_row = from.start_column;
  j->start_column = from.start_row;
  j->bias_row = from.bias_column;
  j->bias_column = from.bias_row;
}

void ld_gemm_sum(const ld_sum *sum) {
  const int M = sum->M, N = sum->N;
  if (!M || !N) return;
  set_up();
  if (setup.blas) {
    ld_gemm_blas(sum);
    return;
  }
  ld_job j = {.tile = setup.tile, .M = M, .N = N, .n_terms = sum->n_terms, .terms = sum->terms};
  j.start = sum->start, j.start_row = sum->ld_start, j.start_column = 1;
  j.bias = sum->bias, j.bias_row = sum->bias_by_row, j.bias_column = !sum->bias_by_row;
  j.C = sum->C, j.row = sum->ldc, j.column = 1;
  for (int i = 0; i < j.n_terms; i++) j.words += ld_tile_words(setup.tile, j.terms[i].K);
  /* A narrow result of a tall product over rows (the gradient of B): computed as rows, its right factor can
   * stay in place. */
  ld_term turned = j.terms[0];
  if (j.n_terms == 1 && N <= 64 && M > 2 * N && turned.left.transposed && !turned.right.transposed) {
    turn_job(&j, &turned);
    j.terms = &turned;
  }
  if (j.words)
    run_threads(&j);
  else
    put_start(&j);
}

void ld_gemm(int M, int N, ld_term term, float beta, float *C, int ldc) {
  ld_gemm_sum(&(ld_sum){.M = M,
                        .N = N,
                        .terms = &term,
                        .n_terms = 1,
                        .start = beta != 0 ? C : NULL,
                        .ld_start = ldc,
                        .C = C,
                        .ldc = ldc});
}
