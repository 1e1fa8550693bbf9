/* The tensors of one component of a diffusers folder, each taken from a file with the first layout's names.
 * What is asked for must be there, in its shape; what nobody asked for is known afterwards. */
#ifndef LD_LDM_LIST_H
#define LD_LDM_LIST_H

#include <stdbool.h>

#include "io/hub/safetensors.h"

/* A file that is taken apart. */
typedef struct ld_ldm_file {
  const ld_safetensors *tensors;
  const char *path; /* for errors */
  bool *used;       /* by the index of the tensor */
} ld_ldm_file;

/* Begins with `file`, `prefix` and `err` set. Once it has failed, nothing is added. */
typedef struct ld_ldm_list {
  const ld_ldm_file *file;
  const char *prefix; /* of the component's names in the file: "model.diffusion_model." */
  ld_named *named;    /* ready for ld_safetensors_write; they refer to the file's bytes */
  size_t n, room;
  int failed; /* an error code */
  ld_error *err;
} ld_ldm_list;

void ld_ldm_list_free(ld_ldm_list *list);

/* Whether any tensor of the file has a name that begins so. */
bool ld_ldm_begins(const ld_ldm_file *file, const char *prefix);

/* The same within the component. */
bool ld_ldm_has(const ld_ldm_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many dimensions a tensor of the component has; 0 without it. */
int ld_ldm_rank(const ld_ldm_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A dimension of a tensor of the component, to recognise the network's shape by. 0 and a failed list when the
 * tensor is missing or does not have it. */
int ld_ldm_size(ld_ldm_list *list, int dim, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* How many items there are: the format has one %d, which counts from `first`. */
int ld_ldm_count(const ld_ldm_list *list, int first, const char *format);

/* A shape. In the file further dimensions of 1 may follow (a 1 x 1 convolution for a linear layer). */
typedef struct ld_ldm_shape {
  int n;
  int64_t of[4];
} ld_ldm_shape;
#define LD_LDM_SHAPE(...)                                                                                    \
  (ld_ldm_shape) {                                                                                           \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {                                             \
      __VA_ARGS__                                                                                            \
    }                                                                                                        \
  }

/* Adds the tensor `from` of the component, as `to`. */
void ld_ldm_take(ld_ldm_list *list, ld_ldm_shape shape, const char *to, const char *from);

/* Adds the i-th of `n` equal parts of `from` by its first dimension; `shape` is the part's. */
void ld_ldm_take_part(ld_ldm_list *list, ld_ldm_shape shape, int i, int n, const char *to, const char *from);

/* Adds the transposed matrix; `shape` is that of the file. */
void ld_ldm_take_transposed(ld_ldm_list *list, ld_ldm_shape shape, const char *to, const char *from);

/* Layers: a weight and a bias, below the paths `to` and `from` as "path.name". */
typedef struct ld_ldm_at {
  const char *to, *from; /* paths; "" for the component's top */
} ld_ldm_at;
void ld_ldm_norm(ld_ldm_list *list, int n, ld_ldm_at at, const char *to, const char *from);
void ld_ldm_linear(ld_ldm_list *list, int in, int out, bool bias, ld_ldm_at at, const char *to,
                   const char *from);
void ld_ldm_conv(ld_ldm_list *list, int in, int out, int kernel, ld_ldm_at at, const char *to,
                 const char *from);

/* Reports the file: "path: text". Only the first error of a list counts. */
void ld_ldm_fail(ld_ldm_list *list, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
