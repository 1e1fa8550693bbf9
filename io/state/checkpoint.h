/* Checkpoints: HDF5 files with the adapter, the optimizer's moments and the position of the training.
 *
 * Version 3 is written; versions 1 and 2 can be read (checkpoint_old.c):
 *
 *   /                          attributes: format ("lora_dist checkpoint"), version, config (JSON), architecture,
 *                              base_name, base_digest, task_type, problem_type (each left out when not known), rank,
 *                              alpha, dropout, rslora, fan_in_fan_out; labels (a JSON list of strings; left out when not
 *                              known)
 *   /adapter/<module>          attributes: kind ("lora", "whole", ...); of a low-rank kind also rank, alpha,
 *                              scaling
 *   /adapter/<module>/<role>   a trained tensor, "lora_A", "weight", ..., in the shape of PEFT's file
 *   /optimizer/m/<module>/<role>, /optimizer/v/...   its moments, in the same shape
 *   /trainer                   attributes: step, epoch, position, seed, tokens, best_loss, best_step
 *   /trainer/exponents         int32, of the exact sum, one for each trained tensor
 *
 * A finished adapter.h5 has neither optimizer nor trainer. Module paths contain dots but no slashes, so each
 * is one group name; groups keep the order of the adapter's list. Every dataset but a scalar is chunked, with
 * the fletcher32 filter; all are float32 except the exponents. Equal contents give equal files: no times are
 * stored. A seal (seal.h) comes before the HDF5 data. */
#ifndef LD_CHECKPOINT_H
#define LD_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "io/hub/adapter.h"

/* The position of the training. All integers exact, doubles bit for bit. */
typedef struct ld_progress {
  int64_t step;     /* optimizer steps done */
  int64_t epoch;    /* epochs done */
  int64_t position; /* rows of the current epoch already used */
  uint64_t seed;
  int64_t tokens;   /* target tokens seen */
  double best_loss; /* of the best evaluation so far; infinity before the first */
  double best_cost; /* what made it the best: its loss, or another metric, negated where higher is better */
  int64_t best_step;
  int32_t *exponents; /* of the exact sum, one for each tensor; NULL when n_exponents is 0 */
  size_t n_exponents;
} ld_progress;

/* The moments have the order of the adapter's tensors: those of its first module, then those of the next. */
typedef struct ld_checkpoint {
  ld_adapter *adapter;
  char *config;     /* the resolved options as JSON text; "{}" when not known */
  bool has_trainer; /* whether m, v and progress are set */
  float **m, **v;   /* (ld_adapter_n_tensors) arrays, each in the shape of its tensor */
  ld_progress progress;
} ld_checkpoint;

void ld_checkpoint_free(ld_checkpoint *checkpoint);

/* Frees everything but the adapter, which the caller then owns. */
ld_adapter *ld_checkpoint_take_adapter(ld_checkpoint *checkpoint);

/* Writes atomically: to a temporary file, which is read back, compared, synced and renamed. On failure, such
 * as a full disk, the old file at `path` stays. Meanwhile it takes memory for one image of the file. (Where a
 * limit on file sizes is set, the process must ignore SIGXFSZ for this to be an error.) */
int ld_checkpoint_write(const char *path, const ld_checkpoint *checkpoint, ld_error *err);

/* Reads and verifies. LD_EFORMAT for a damaged file (seal, checksum, missing or misshapen tensor),
 * LD_EUNSUPPORTED for one of a newer version. The caller frees with ld_checkpoint_free. */
int ld_checkpoint_read(const char *path, ld_checkpoint **out, ld_error *err);

/* The same from a file's bytes; `name` stands for the file in errors. */
int ld_checkpoint_parse(const void *bytes, size_t length, const char *name, ld_checkpoint **out,
                        ld_error *err);

#endif
