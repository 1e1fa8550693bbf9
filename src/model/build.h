/* For a family's build function: reads the config and asks for tensors.
 *
 * The first error sticks and later calls do nothing, so a build function reads straight down and is checked
 * once at its end. */
#ifndef LD_BUILD_H
#define LD_BUILD_H

#include "model/model.h"
#include "nn/ops.h"

enum { LD_BUILD_SIZES = 32 };

struct ld_builder {
  ld_model *model;
  const ld_value *config;                   /* in use: the model's, or a component's */
  const ld_value *whole;                    /* the model's */
  const ld_key *keys[LD_CONFIG_TABLES + 1]; /* of the config in use */
  const char *component;                    /* NULL: none */
  const char *body;                         /* the module whose name files may leave out; NULL: none */
  bool unlisted;                            /* modules are not listed in the model: nothing can train them */
  bool aside;                               /* they are ld_linear.aside */
  const ld_weight_store *weights;
  ld_head_request request;
  ld_error *err;
  int failed;   /* 0, or the first error's code */
  int block;    /* the block of the next weights; LD_NO_BLOCK outside of blocks */
  int n_blocks; /* begun so far */

  /* For errors: the key that asks for a missing tensor (one of a numbered layer, a bias), and the sizes read
   * so far. */
  const char *depth_key, *bias_key;
  struct {
    const char *key;
    int64_t size;
  } sizes[LD_BUILD_SIZES];
  int n_sizes;
};

/* Zeroed memory that the model owns. The second gives it memory that somebody else allocated. */
void *ld_build_alloc(ld_builder *builder, size_t count, size_t size);
void *ld_build_own(ld_builder *builder, void *memory);

/* A text that the model owns: part of a name. */
const char *ld_build_text(ld_builder *builder, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A component of a diffusers model (io/hub/pipeline.h). Until the end config values are the component's, names
 * of tensors and paths of modules get its name before them, and errors name its file. Names of its tensors may lack
 * `body` (NULL: none); `keys` are those of its config. False: there is no such component, or its config is refused. */
bool ld_build_component_begin(ld_builder *builder, const char *name, const char *body, const ld_key *keys);
void ld_build_component_end(ld_builder *builder);

/* Config values, under the key or its alias. A size is an integer of at least 1; without a fallback (0) it is
 * required. */
int ld_build_size(ld_builder *builder, const char *key, int fallback);
int ld_build_index(ld_builder *builder, const char *key, int fallback); /* an integer from 0 */

/* The key, or its alias if config.json has that. */
const char *ld_build_key(const ld_builder *builder, const char *key);

/* For errors: names a size that is computed from several keys, `keys`. */
void ld_build_name_size(ld_builder *builder, const char *keys, int64_t size);
/* A list of sizes, into out, which holds n_fallback default sizes for a missing key. Returns their number. */
int ld_build_sizes(ld_builder *builder, const char *key, int *out, int n_fallback, int room);
double ld_build_real(ld_builder *builder, const char *key, double fallback);
bool ld_build_flag(ld_builder *builder, const char *key, bool fallback);
const char *ld_build_string(ld_builder *builder, const char *key, const char *fallback);

/* Whether the config has the key at all, even as null: a class's default only replaces missing keys. */
bool ld_build_has(const ld_builder *builder, const char *key);

/* Refuses the config: "<source>/config.json: <key> ...", LD_EUNSUPPORTED. */
void ld_build_refuse(ld_builder *builder, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Records a warning in the model: "<source>/config.json: <text>". */
void ld_build_warn(ld_builder *builder, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Refuses a flag that is on; refuses a padding id outside the vocabulary, which has no embedding. */
void ld_build_refuse_flag(ld_builder *builder, const char *key);
void ld_build_check_padding(ld_builder *builder);

/* The activation function that the key names; and the one of that name, which `key` asks for. */
enum ld_activation ld_build_activation(ld_builder *builder, const char *key, const char *fallback);
enum ld_activation ld_build_activation_of(ld_builder *builder, const char *key, const char *name);

/* The token with which an encoder-decoder begins to write; `fallback` where config.json does not have the key
 * (-1: it must). */
int32_t ld_build_decoder_start(ld_builder *builder, int32_t fallback);

/* What is asked for between the two calls belongs to a block, which the forward pass begins and ends in the
 * same place (ld_tape_block_begin): its weights can be read while it runs. */
void ld_build_block_begin(ld_builder *builder);
void ld_build_block_end(ld_builder *builder);

/* Tensors; the name is a format. In the file the body's name before it ("transformer.", "bert.") may be
 * missing (bare base models), and a norm's "weight" and "bias" may be "gamma" and "beta" (old checkpoints). */
float *ld_build_vector(ld_builder *builder, int n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
ld_weight ld_build_matrix(ld_builder *builder, int rows, int cols, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
float *ld_build_table(ld_builder *builder, int rows, int cols, const char *format, ...) /* a small matrix */
    __attribute__((format(printf, 4, 5)));

/* Fills a linear module from "<path>.weight" and, with `bias`, "<path>.bias", and adds it to the model's
 * list. */
void ld_build_linear(ld_builder *builder, ld_linear *linear, int in, int out, bool bias,
                     const char *path_format, ...) __attribute__((format(printf, 6, 7)));

/* Whether the folder has the tensor, in any spelling and shape. */
bool ld_build_there(const ld_builder *builder, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Warns when the folder has this tensor, the one just after the last layer that the key asks for. */
void ld_build_end(ld_builder *builder, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fills a convolution from "<path>.weight" (out, channels, kernel, kernel) and, with `bias`, "<path>.bias". */
void ld_build_convolution(ld_builder *builder, ld_linear *convolution, int channels, int out,
                          ld_kernel kernel, bool bias, const char *path_format, ...)
    __attribute__((format(printf, 7, 8)));

/* The number of outputs of the head: as requested, or by num_labels, or without it by id2label (2 when the
 * config has neither). */
int ld_build_outputs(ld_builder *builder);

/* A linear module with bias in a classifier's head: the stored one, or a new one with zero weights if there
 * is none, if `renew`, or if another number of outputs was requested. A new one's first weights will have the
 * standard deviation `spread` (0: PyTorch's default for linear layers). */
typedef struct ld_new_weights {
  bool renew;
  double spread;
} ld_new_weights;
void ld_build_new_linear(ld_builder *builder, ld_linear *linear, int in, int out, ld_new_weights how,
                         const char *path_format, ...) __attribute__((format(printf, 6, 7)));

/* A norm's weight and bias (n) as a module that can be trained in full: the stored ones or, if there are none or with
 * `renew`, ones and zeros. */
void ld_build_norm(ld_builder *builder, ld_linear *norm, int n, bool renew, const char *path_format, ...)
    __attribute__((format(printf, 5, 6)));

/* The embedding of a language model (V, C), and its head, which is tied to it (config.json's flag) or
 * LD_HEAD_WEIGHT. `name` must live as long as the program. As in transformers 5, a stored lm_head.weight that
 * differs from the embedding is the head, whatever the flag says, and of two that are tied either may be
 * missing. */
ld_weight ld_build_embedding(ld_builder *builder, bool tied, const char *name);

/* The same for an embedding that the folder may also hold under other names (NULL after the last): any of them
 * will do, and those that are there must be equal. */
ld_weight ld_build_shared_embedding(ld_builder *builder, bool tied, const char *const *names);
void ld_build_head(ld_builder *builder, const ld_weight *embedding);

#endif
