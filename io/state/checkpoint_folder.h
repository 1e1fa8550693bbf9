/* A run's folder of checkpoints. */
#ifndef LD_CHECKPOINT_FOLDER_H
#define LD_CHECKPOINT_FOLDER_H

#include "io/state/checkpoint.h"

/* Whether the folder holds a file with a checkpoint's name, good or damaged. */
bool ld_checkpoint_any(const char *folder);

/* The latest good checkpoint ("step-%08d.h5") of `folder`; NULL when there is none. `warn` (may be NULL) is
 * called for later ones that are skipped because they are damaged or hold no training state. The caller frees
 * path and checkpoint. */
ld_checkpoint *ld_checkpoint_newest(const char *folder, char **path,
                                    void (*warn)(const char *path, const ld_error *why, void *user),
                                    void *user);

/* Whether it is a checkpoint's name: "step-<digits>.h5". */
bool ld_checkpoint_is_name(const char *name);

/* Keeps the `keep` latest good checkpoints of `folder` and whatever is later than the oldest of these, and
 * removes the older ones, good or damaged. It never removes the one named `spare` (a file name or a path; may
 * be NULL), which counts as good, nor a link, nor a file that this program did not write. With `keep` below 1
 * it removes nothing. */
void ld_checkpoint_prune(const char *folder, int keep, const char *spare);

#endif
