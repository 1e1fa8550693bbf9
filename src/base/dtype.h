/* Element types of stored tensors.
 *
 * The table holds every whole-byte type of the safetensors format, so that any model file can be opened and
 * listed; a type that packs numbers in blocks gets a line too. Frozen weights can be of any type that has a
 * codec (linalg/codec.h); trained tensors are floats (ld_dtype_is_float). A reader that needs another type
 * refuses the tensor, naming its type with ld_dtype_name. */
#ifndef LD_DTYPE_H
#define LD_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, spelling in files, elements and bytes of a block; a block is one number, or several that are packed
 * together */
/* clang-format off */
#define LD_DTYPE_TABLE(X)                 \
  X(LD_F32, "F32", 1, 4)                  \
  X(LD_F16, "F16", 1, 2)                  \
  X(LD_BF16, "BF16", 1, 2)                \
  X(LD_F64, "F64", 1, 8)                  \
  X(LD_I64, "I64", 1, 8)                  \
  X(LD_I32, "I32", 1, 4)                  \
  X(LD_I16, "I16", 1, 2)                  \
  X(LD_I8, "I8", 1, 1)                    \
  X(LD_U8, "U8", 1, 1)                    \
  X(LD_BOOL, "BOOL", 1, 1)                \
  X(LD_U16, "U16", 1, 2)                  \
  X(LD_U32, "U32", 1, 4)                  \
  X(LD_U64, "U64", 1, 8)                  \
  X(LD_C64, "C64", 1, 8)                  \
  X(LD_F8_E4M3, "F8_E4M3", 1, 1)          \
  X(LD_F8_E5M2, "F8_E5M2", 1, 1)          \
  X(LD_F8_E8M0, "F8_E8M0", 1, 1)          \
  X(LD_F8_E4M3FNUZ, "F8_E4M3FNUZ", 1, 1)  \
  X(LD_F8_E5M2FNUZ, "F8_E5M2FNUZ", 1, 1)
/* clang-format on */

typedef enum ld_dtype {
#define LD_DTYPE_ENUM(name, text, elements, bytes) name,
  LD_DTYPE_TABLE(LD_DTYPE_ENUM)
#undef LD_DTYPE_ENUM
} ld_dtype;

/* LD_BF16_ELEMENTS, LD_BF16_BYTES and so on: a block of that type. */
enum {
#define LD_DTYPE_BLOCK(name, text, elements, bytes) name##_ELEMENTS = elements, name##_BYTES = bytes,
  LD_DTYPE_TABLE(LD_DTYPE_BLOCK)
#undef LD_DTYPE_BLOCK
};

enum { LD_MAX_DIMS = 8 };

/* A tensor as it is stored: a view that owns nothing. `data` is at least aligned to its element. */
typedef struct ld_stored {
  const void *data;
  ld_dtype dtype;
  int ndim;
  int64_t shape[LD_MAX_DIMS]; /* in numbers, also where they are packed */
  const void *beside;         /* extra data for the type's codec; NULL for most types */
} ld_stored;

size_t ld_dtype_size(ld_dtype dtype); /* bytes of a block */
const char *ld_dtype_name(ld_dtype dtype);

/* Finds the type by its spelling; false for an unknown one. */
bool ld_dtype_parse(const char *text, ld_dtype *out);

/* Whether the conversions below support it: LD_F32, LD_F16, LD_BF16. */
bool ld_dtype_is_float(ld_dtype dtype);

/* The product of the shape (1 without dimensions), which must fit: readers check with ld_shape_count. */
int64_t ld_stored_count(const ld_stored *tensor);

/* The bytes of its data, in whole blocks. */
size_t ld_stored_bytes(const ld_stored *tensor);

/* The product of a shape from a file; false when a dimension is negative or the product exceeds INT64_MAX. */
bool ld_shape_count(const int64_t *shape, int ndim, int64_t *count);

/* Converts elements [start, start + n) of an F32, F16 or BF16 array to float32, exactly (NaN stays NaN). */
void ld_dtype_to_f32(float *out, const void *data, ld_dtype dtype, int64_t start, int64_t n);

/* Rounds n floats to `dtype` (F32, F16 or BF16), to nearest even; too large values become infinity. */
void ld_dtype_from_f32(void *out, const float *data, ld_dtype dtype, int64_t n);

#endif
