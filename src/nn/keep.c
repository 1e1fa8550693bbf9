#include "nn/keep.h"

#include <string.h>

static int count_of(const ld_field *field) {
  return field->n_segments ? field->n_segments : field->n_rows;
}

/* Spreads the bits of a key (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
static uint64_t mixed(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

int ld_kept_count(const ld_batch *batch, const ld_field *field) {
  if (field) return field->keys ? count_of(field) : 0;
  int n = 0;
  for (const ld_field *f = batch->fields; f->name; f++) {
    if (f->is_input && !f->keys) return 0;
    if (f->keys) n = count_of(f);
  }
  return n;
}

ld_kept_samples ld_kept_samples_of(const ld_batch *batch, const ld_field *field, uint64_t *keys) {
  const ld_kept_samples samples = {ld_kept_count(batch, field), keys};
  for (int s = 0; s < samples.n; s++) {
    keys[s] = 0;
    for (const ld_field *f = batch->fields; f->name; f++)
      if (f->keys && (!field || f == field)) keys[s] = mixed(keys[s] + f->keys[s]);
  }
  return samples;
}

/* A sample's part of a tensor: `rows` runs of `width` floats, `stride` apart. */
typedef struct place {
  size_t first, rows, width, stride;
} place;

static bool by_field(const ld_kept_samples *samples, const ld_tensor *t) {
  return t->rows_of && t->rows_of->n_segments == samples->n;
}

bool ld_kept_divides(const ld_kept_samples *samples, const ld_tensor *t) {
  return t->maps == samples->n || by_field(samples, t) || (!t->maps && t->rows == samples->n);
}

static place place_of(const ld_kept_samples *samples, const ld_tensor *t, int s) {
  if (t->maps) {
    const size_t width = (size_t)(t->cols / t->maps);
    return (place){(size_t)s * width, (size_t)t->rows, width, (size_t)t->cols};
  }
  const int32_t *segment = by_field(samples, t) ? t->rows_of->segment : NULL;
  const size_t first = (size_t)(segment ? segment[s] : s), width = (size_t)t->cols;
  const size_t rows = segment ? (size_t)(segment[s + 1] - segment[s]) : 1;
  return (place){first * width, rows, width, width};
}

static uint64_t key_of(const ld_kept_samples *samples, uint64_t number, int s) {
  return mixed(samples->keys[s] + mixed(number + 1));
}

size_t ld_kept_floats(const ld_kept_samples *samples, const ld_tensor *t) {
  size_t most = 0;
  for (int s = 0; s < samples->n; s++) {
    const place p = place_of(samples, t, s);
    if (p.rows * p.width > most) most = p.rows * p.width;
  }
  return most;
}

bool ld_kept_has(const ld_keeper *keeper, const ld_kept_samples *samples, uint64_t number) {
  for (int s = 0; s < samples->n; s++)
    if (!keeper->has(keeper->self, key_of(samples, number, s))) return false;
  return true;
}

bool ld_kept_read(const ld_keeper *keeper, const ld_kept_samples *samples, uint64_t number, ld_tensor *t,
                  float *room) {
  for (int s = 0; s < samples->n; s++) {
    const place p = place_of(samples, t, s);
    if (!keeper->read(keeper->self, key_of(samples, number, s), room, p.rows * p.width)) return false;
    for (size_t r = 0; r < p.rows; r++)
      memcpy(t->data + p.first + r * p.stride, room + r * p.width, p.width * sizeof *room);
  }
  return true;
}

void ld_kept_write(const ld_keeper *keeper, const ld_kept_samples *samples, uint64_t number,
                   const ld_tensor *t, float *room) {
  for (int s = 0; s < samples->n; s++) {
    const uint64_t key = key_of(samples, number, s);
    if (keeper->has(keeper->self, key)) continue;
    const place p = place_of(samples, t, s);
    for (size_t r = 0; r < p.rows; r++)
      memcpy(room + r * p.width, t->data + p.first + r * p.stride, p.width * sizeof *room);
    keeper->write(keeper->self, key, room, p.rows * p.width);
  }
}
