/* Checkpoints: HDF5 files with the adapter, the optimizer's moments and the trainer's place.
 *
 *   /                   attributes: format ("lora_dist checkpoint"), version, digest, config (JSON),
 *                       architecture, base_name, base_digest, task_type (each left out when not known),
 *                       rank, alpha, dropout, rslora, fan_in_fan_out; labels (a JSON list of strings; left
 * out when not known) /lora/<module>/A    (rank, in)    attributes of the group: rank, alpha, scaling; of a
 * convolution also kernel (height, width), and then in is channels * height * width /lora/<module>/B    (out,
 * rank) /full/<parameter> /optimizer/m/<module>/A ... and /optimizer/v/...   (absent in a finished
 * adapter.h5) /trainer            attributes: step, epoch, position, seed, tokens, best_loss, best_step
 *   /trainer/exponents  int32
 *
 * Module paths hold dots, never slashes, so each is one group name; groups keep the order in which the
 * adapter lists them. Every dataset but a scalar is chunked, with the fletcher32 filter, and float32 but for
 * the exponents; the root attribute `digest` covers the names, shapes and bytes of all datasets and all
 * attributes. Equal contents give equal files: no times are stored. The version is 1, and 2 in a file with a
 * kernel or labels: what came before knows neither, and refuses such a file by its version.
 *
 * The HDF5 file follows a user block of 512 bytes, as the format allows: a line of text that seals the file's
 * length and all of its bytes. It is checked before HDF5 sees the file, so that damage is found by our own
 * arithmetic and not by a library that would follow a damaged pointer. A file that was changed by another
 * program is therefore refused.
 */
#ifndef LD_CHECKPOINT_H
#define LD_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "io/adapter.h"

/* Where training stands. All integers exact, doubles bit for bit. */
typedef struct ld_progress {
  int64_t step;     /* optimizer steps done */
  int64_t epoch;    /* epochs done */
  int64_t position; /* rows of the present epoch already used */
  uint64_t seed;
  int64_t tokens;   /* target tokens seen */
  double best_loss; /* best evaluation so far; infinity before the first */
  int64_t best_step;
  int32_t *exponents; /* of the exact sum, one per parameter; NULL when n_exponents is 0 */
  size_t n_exponents;
} ld_progress;

/* The moments run parallel to the adapter: for each module A then B, then each full tensor. */
typedef struct ld_checkpoint {
  ld_adapter *adapter;
  char *config;     /* the resolved options as JSON text; "{}" when not known */
  bool has_trainer; /* whether m, v and progress are there */
  float **m, **v;   /* 2 * n_modules + n_full arrays each, shaped as their parameters */
  ld_progress progress;
} ld_checkpoint;

void ld_checkpoint_free(ld_checkpoint *checkpoint);

/* Frees all but the adapter, which is the caller's. */
ld_adapter *ld_checkpoint_take_adapter(ld_checkpoint *checkpoint);

/* Writes atomically: beside, read back and verified against its digest, synced, renamed. On failure, a full
 * disk among others, what stood at `path` stays. Takes memory for one image of the file while it works.
 * (Where a limit on file sizes is set, SIGXFSZ must be ignored by the process for this to be an error.) */
int ld_checkpoint_write(const char *path, const ld_checkpoint *checkpoint, ld_error *err);

/* Reads and verifies. A damaged file (seal, checksum, digest, missing or misshapen dataset) is LD_EFORMAT;
 * one of a newer version LD_EUNSUPPORTED. The caller frees with ld_checkpoint_free. */
int ld_checkpoint_read(const char *path, ld_checkpoint **out, ld_error *err);

/* The same from a file's bytes; `name` stands for the file in error texts. */
int ld_checkpoint_parse(const void *bytes, size_t length, const char *name, ld_checkpoint **out,
                        ld_error *err);

/* Whether the folder holds a file with a checkpoint's name, good or not. */
bool ld_checkpoint_any(const char *folder);

/* The newest good checkpoint ("step-%08d.h5") of `folder`; damaged newer ones are told to `warn` (may be
 * NULL) one by one and passed over. NULL when there is none. The caller frees path and checkpoint. */
ld_checkpoint *ld_checkpoint_newest(const char *folder, char **path,
                                    void (*warn)(const char *path, const ld_error *why, void *user),
                                    void *user);

/* Whether it is a checkpoint's name: "step-<digits>.h5". */
bool ld_checkpoint_is_name(const char *name);

/* Keeps the `keep` newest good checkpoints of `folder` and what is newer than the last of these, and removes
 * the older ones, good or damaged; never the one named `spare` (a file name or a path; may be NULL), which
 * counts as good, and never a link or a file that this program did not write. With `keep` below 1 it removes
 * nothing. */
void ld_checkpoint_prune(const char *folder, int keep, const char *spare);

#endif
