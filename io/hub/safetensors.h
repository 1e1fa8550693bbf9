/* The safetensors format: an 8-byte little-endian header length, a JSON header, then the tensors' bytes.
 *
 * Reading maps the file and validates everything before any tensor is used: header length against file length
 * (and 100 MB), JSON, dtypes, shapes against offsets, that tensors neither overlap nor leave gaps, and the
 * end of the data. Data that is not aligned to its element size (from old writers) is copied once.
 *
 * Types that nothing is computed from (integers, F8 formats) are opened and listed like others; code that
 * needs numbers refuses them by ld_dtype_is_float. Types smaller than a byte (F4, F6) and unknown spellings
 * are errors.
 * https://github.com/huggingface/safetensors (format section of its README) */
#ifndef LD_SAFETENSORS_H
#define LD_SAFETENSORS_H

#include "base/dtype.h"
#include "base/error.h"

typedef struct ld_safetensors ld_safetensors;

int ld_safetensors_open(const char *path, ld_safetensors **out, ld_error *err);

/* The same from `length` bytes, which must live as long as the result; `name` stands for the file in errors. */
int ld_safetensors_parse(const void *bytes, size_t length, const char *name, ld_safetensors **out,
                         ld_error *err);

void ld_safetensors_close(ld_safetensors *file);

size_t ld_safetensors_count(const ld_safetensors *file);
const char *ld_safetensors_name(const ld_safetensors *file, size_t index); /* sorted by name, bytewise */
const ld_stored *ld_safetensors_tensor(const ld_safetensors *file, size_t index);

/* NULL when there is none. The view is valid while the file is open. */
const ld_stored *ld_safetensors_find(const ld_safetensors *file, const char *name);

/* The value of a key of `__metadata__`; NULL when there is none. */
const char *ld_safetensors_metadata(const ld_safetensors *file, const char *key);

/* A tensor to write. With `make`, its bytes are made when their turn comes, in fresh memory that the writer
 * frees, so that a large model never has to be in memory as a whole. */
typedef struct ld_named ld_named;
struct ld_named {
  const char *name;
  ld_stored tensor; /* data is ignored when there is a `make` */
  int (*make)(const ld_named *named, void **out, ld_error *err);
  const void *user;
};

/* Writes atomically, byte for byte what the safetensors library writes: tensors by its order of dtypes (wide
 * ones first), then by name; header padded to 8 bytes; metadata {"format":"pt"}. */
int ld_safetensors_write(const char *path, const ld_named *tensors, size_t n, ld_error *err);

/* An entry of metadata; none without a value. */
typedef struct ld_note {
  const char *key, *value;
} ld_note;

/* The same with more entries of metadata, which other readers ignore. */
int ld_safetensors_write_noted(const char *path, const ld_named *tensors, size_t n, const ld_note *notes,
                               size_t n_notes, ld_error *err);

#endif
