/* Element types of stored tensors.
 *
 * The table holds every whole-byte type of the safetensors format, so that any model file can be opened and
 * listed; numbers are computed from LD_F32, LD_F16 and LD_BF16 only (ld_dtype_is_float). A reader that needs
 * a tensor of another type refuses it with ld_dtype_name in its text.
 */
#ifndef LD_DTYPE_H
#define LD_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, safetensors' spelling, bytes per element */
/* clang-format off */
#define LD_DTYPE_TABLE(X)              \
  X(LD_F32, "F32", 4)                  \
  X(LD_F16, "F16", 2)                  \
  X(LD_BF16, "BF16", 2)                \
  X(LD_F64, "F64", 8)                  \
  X(LD_I64, "I64", 8)                  \
  X(LD_I32, "I32", 4)                  \
  X(LD_I16, "I16", 2)                  \
  X(LD_I8, "I8", 1)                    \
  X(LD_U8, "U8", 1)                    \
  X(LD_BOOL, "BOOL", 1)                \
  X(LD_U16, "U16", 2)                  \
  X(LD_U32, "U32", 4)                  \
  X(LD_U64, "U64", 8)                  \
  X(LD_C64, "C64", 8)                  \
  X(LD_F8_E4M3, "F8_E4M3", 1)          \
  X(LD_F8_E5M2, "F8_E5M2", 1)          \
  X(LD_F8_E8M0, "F8_E8M0", 1)          \
  X(LD_F8_E4M3FNUZ, "F8_E4M3FNUZ", 1)  \
  X(LD_F8_E5M2FNUZ, "F8_E5M2FNUZ", 1)
/* clang-format on */

typedef enum ld_dtype {
#define LD_DTYPE_ENUM(name, text, bytes) name,
  LD_DTYPE_TABLE(LD_DTYPE_ENUM)
#undef LD_DTYPE_ENUM
} ld_dtype;

enum { LD_MAX_DIMS = 8 };

/* A tensor as it is stored: a view that owns nothing. `data` is at least aligned to its element. */
typedef struct ld_stored {
  const void *data;
  ld_dtype dtype;
  int ndim;
  int64_t shape[LD_MAX_DIMS];
} ld_stored;

size_t ld_dtype_size(ld_dtype dtype);
const char *ld_dtype_name(ld_dtype dtype);

/* The type of a spelling; false when there is none. */
bool ld_dtype_parse(const char *text, ld_dtype *out);

/* Whether the conversions below know it: LD_F32, LD_F16, LD_BF16. */
bool ld_dtype_is_float(ld_dtype dtype);

/* The product of the shape (1 without dimensions), which must fit: readers check with ld_shape_count. */
int64_t ld_stored_count(const ld_stored *tensor);

/* The product of a shape from a file; false when a dimension is negative or the product exceeds INT64_MAX. */
bool ld_shape_count(const int64_t *shape, int ndim, int64_t *count);

/* Converts elements [start, start + n) of an F32, F16 or BF16 array to float32, exactly (NaN stays NaN). */
void ld_dtype_to_f32(float *out, const void *data, ld_dtype dtype, int64_t start, int64_t n);

/* Whether two arrays of n elements, each F32, F16 or BF16, hold the same numbers. */
bool ld_dtype_same(const void *a, ld_dtype a_dtype, const void *b, ld_dtype b_dtype, int64_t n);

/* Rounds n floats to `dtype` (F32, F16 or BF16), to nearest even; what is too large becomes infinity. */
void ld_dtype_from_f32(void *out, const float *data, ld_dtype dtype, int64_t n);

#endif
