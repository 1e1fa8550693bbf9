/* Activations, trained parameters and linear layers: together with batches (nn/batch.h) the nouns of src/nn.
 *
 * Letters for shapes, here and everywhere: B sequences, T tokens (rows of a packed batch), C channels (hidden
 * width), H heads, D head width, V vocabulary, R LoRA rank, M, N, K a product. Everything is row-major
 * float32. */
#ifndef LD_TENSOR_H
#define LD_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "linalg/gemm.h"
#include "nn/batch.h"

/* An activation: a matrix (rows, cols) whose row i begins at data + i * stride. Lives on a tape. */
typedef struct ld_tensor ld_tensor;
struct ld_tensor {
  float *data;
  float *grad; /* same layout; exists only from its first use in the backward pass to its last */
  int rows, cols, stride;
  bool trained;            /* something that it depends on is trained, so it has a gradient */
  ld_tensor *base;         /* of a view: the tensor some of whose columns it shows */
  int column;              /* of a view: its first column in base */
  const ld_field *rows_of; /* whose rows it has one for one; NULL: of none */
  int maps; /* of feature maps: images side by side in its columns; 0: its rows are tokens or samples */

  /* Set by the planner (nn/tape.c), for a tensor that is not a view. */
  int part;       /* the number of the part that made it, from 1; 0: none */
  int block;      /* the number of the block that it ends with, from 1; 0: it stays for the whole pass */
  bool read_back; /* its data is read in the backward pass */
  bool costly;    /* it is too much work to compute again, or its inputs do not exist any more */
  bool keeps;     /* an operation that writes it keeps floats of its own */
  bool again;     /* it is computed again in the backward pass */
};

/* The gradient of a tensor or of a view; NULL when it is not trained. */
float *ld_grad(const ld_tensor *tensor);

/* One trained tensor. Data and gradient lie in the flat arrays of the list that owns it. */
typedef struct ld_param {
  const char *module; /* Hugging Face path of the module that it changes, "model.layers.0.self_attn.q_proj" */
  const char *role;   /* PEFT's name for it within the module: "lora_A", "weight", "bias" */
  int ndim;
  int64_t shape[LD_MAX_DIMS]; /* as in PEFT's files; row-major */
  size_t count;
  float *data;
  float *grad; /* of the current microbatch */
} ld_param;

/* How a convolution steps over its input; all 0 for a linear layer. */
typedef struct ld_kernel {
  int height, width, stride;
  int padding; /* on all four sides */
  int extra;   /* padding at the right and at the bottom beyond `padding` */
} ld_kernel;

/* y = x W^T + bias. W is frozen; `change` is what training adds to it or puts in its place.
 *
 * A convolution is the same on the patches under its kernel: `in` is channels * height * width, in the order
 * of the stored weight. */
typedef struct ld_linear {
  char *path; /* Hugging Face module path, "model.layers.0.self_attn.q_proj" */
  int in, out;
  ld_weight
      weight; /* (out, in); (in, out) when transposed; readable while its block is taken (nn/weight_store.h) */
  const struct ld_weight_store *store; /* NULL: the weight is always there */
  int block;                           /* of the store */
  bool transposed;                     /* GPT-2's Conv1D */
  float *bias;                         /* (out); NULL for none */
  bool bias_fixed;                     /* it is not the module's own, so nothing trains it */
  bool by_column; /* of a norm: y = weight x + bias, column by column; weight (out), and in is 1 */
  ld_kernel kernel;
  bool aside;               /* of a part that is only trained when asked for: "all-linear" leaves it out */
  bool is_new;              /* the folder has no such layer: weight and bias must still be set */
  float spread;             /* of a new layer: standard deviation of its first weights; 0: U(+-1/sqrt(in)) */
  struct ld_change *change; /* nn/change.h; NULL: nothing in it is trained */
} ld_linear;

#endif
