/* Adapters on a base: read from files, put on it, and taken from it to be saved.
 */
#ifndef LD_BASE_ADAPTER_H
#define LD_BASE_ADAPTER_H

#include "load/base.h"

/* The paths of all its linear modules and convolutions, for ld_peft_write. The caller frees the array; the texts
 * are the model's. */
const char **ld_base_module_paths(const ld_base *base, size_t *n);

/* Reads an adapter from an .h5 file, a PEFT folder, or a run folder (its newest good checkpoint). The caller
 * frees. */
int ld_adapter_load(const char *path, ld_adapter **out, ld_error *err);

/* The file of which ld_adapter_load takes an adapter that is no PEFT folder: of a run folder its newest good
 * checkpoint. The path itself where there is none. The caller frees. */
char *ld_adapter_file(const char *path);

/* Says where the base lies, for PEFT: by its absolute path, so that it is found from any folder and however it
 * was spelled here. */
void ld_adapter_set_base_path(ld_adapter *adapter, const char *path);

/* The adapter no longer says which base it is of, and fits any whose modules have its shapes. */
void ld_adapter_forget_base(ld_adapter *adapter);

/* For ld_checkpoint_newest: warns of a damaged checkpoint that is passed over. */
void ld_warn_damaged(const char *path, const ld_error *why, void *user);

/* Puts the adapter's matrices and whole modules on the base, whose head takes the size of the adapter's.
 * LD_EMISMATCH, naming it, for a module that the base lacks, another shape, or a base with another digest.
 * `dropout` is that of training, 0 else. `source` names the adapter in errors. */
int ld_base_adapt(ld_base *base, const ld_adapter *adapter, const char *source, double dropout,
                  ld_error *err);

/* The same from a path that ld_adapter_load takes; with `other_base` whatever base it was trained on. */
int ld_base_adapt_from(ld_base *base, const char *path, bool other_base, ld_error *err);

/* Puts a fresh adapter on the base, and trains modules whole, as the options say. */
int ld_base_adapt_fresh(ld_base *base, const ld_options *options, ld_error *err);

/* Makes an open base ready for use, with the adapter of that path (NULL: none), as ld_base_adapt_from.
 * LD_EMISMATCH when a module that the folder lacks does not come with the adapter. */
int ld_base_make_ready(ld_base *base, const char *adapter, bool other_base, ld_error *err);

/* The base's adapter as it is to be saved. It knows its base by the digest alone: where that lies, or how its
 * path was spelled, is no part of the result. The caller frees with ld_adapter_free. */
ld_adapter *ld_base_adapter(const ld_base *base, const ld_options *options);

#endif
