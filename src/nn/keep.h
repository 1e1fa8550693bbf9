/* What is computed once: results that follow from a sample and frozen weights alone are kept by sample, and read in
 * later passes instead of being computed again. A row's bits do not depend on the batch that it is in, so nothing
 * changes by that. */
#ifndef LD_KEEP_H
#define LD_KEEP_H

#include "nn/tensor.h"

/* Who keeps them. A key names a sample's part of one result. */
typedef struct ld_keeper {
  void *self;
  double
      least_work; /* multiply-adds for each number; what is less work is computed again. 0: everything is kept */
  bool (*has)(void *self, uint64_t key);
  bool (*read)(void *self, uint64_t key, float *out, size_t n);            /* false: it cannot be read */
  void (*write)(void *self, uint64_t key, const float *numbers, size_t n); /* which may fail without a word */
} ld_keeper;

/* The samples of a batch: those of the fields that have keys. */
typedef struct ld_kept_samples {
  int n;                /* 0: nothing can be kept */
  const uint64_t *keys; /* (n) */
} ld_kept_samples;

/* The samples of one field, or of all fields that have keys; `keys` is room for their keys, one for each. */
ld_kept_samples ld_kept_samples_of(const ld_batch *batch, const ld_field *field, uint64_t *keys);
int ld_kept_count(const ld_batch *batch, const ld_field *field); /* of those samples */

/* Whether it is known which part of the tensor is of which sample: of maps, of rows of a field, and where each sample
 * has one row. */
bool ld_kept_divides(const ld_kept_samples *samples, const ld_tensor *tensor);

/* The floats of the largest part that a sample has in the tensor. */
size_t ld_kept_floats(const ld_kept_samples *samples, const ld_tensor *tensor);

/* Whether all samples' parts of result number `number` are kept; reads them into the tensor; writes those that are
 * not kept yet. `room` holds ld_kept_floats. */
bool ld_kept_has(const ld_keeper *keeper, const ld_kept_samples *samples, uint64_t number);
bool ld_kept_read(const ld_keeper *keeper, const ld_kept_samples *samples, uint64_t number, ld_tensor *tensor,
                  float *room);
void ld_kept_write(const ld_keeper *keeper, const ld_kept_samples *samples, uint64_t number,
                   const ld_tensor *tensor, float *room);

#endif
