/* What is trained on a model: adapters, and modules trained whole; which modules get them, and the
 * parameters.
 */
#ifndef LD_LORA_H
#define LD_LORA_H

#include "base/error.h"
#include "model/model.h"

/* One module to adapt. */
typedef struct ld_lora_choice {
  ld_linear *linear;
  int rank;
  double alpha, scaling;
} ld_lora_choice;

/* A module trained whole, with what it showed before. */
typedef struct ld_whole {
  ld_linear *linear;
  ld_weight weight;
  float *bias;
} ld_whole;

/* The trained parameters of a model. They come in the model's order, for each adapted module A then B, then
 * for each module trained whole weight then bias, and lie without gaps in two flat arrays. */
typedef struct ld_lora_set {
  ld_model *model;
  ld_lora *loras;
  ld_lora_choice *choices; /* as attached, with the linear of each */
  size_t n_loras;
  ld_whole *wholes;
  size_t n_wholes;
  ld_param *params; /* 2 * n_loras, then those of the wholes */
  size_t n_params;
  bool rslora;        /* how scaling follows from alpha and rank */
  float *data, *grad; /* n_floats each */
  size_t n_floats;
} ld_lora_set;

/* Which modules are trained whole: flags parallel to model->linears, which the caller frees. `names` is
 * comma-separated; as with PEFT's modules_to_save a module is meant whose path, or whose parent's, ends with
 * the name. NULL is the model's default, "none" nothing. New modules always are. LD_EUSAGE for a name that
 * fits no module, LD_EUNSUPPORTED for a module that cannot be trained whole (a convolution, a tied head,
 * GPT-2's layers). */
int ld_whole_choose(const ld_model *model, const char *names, bool **whole, ld_error *err);

/* The modules that PEFT would adapt for `targets`: comma-separated names, each the whole path of a module or
 * its end after a dot; "all-linear" is every linear module but the head, "none" is nothing; NULL is the
 * model's default. Modules that are trained whole (flags as above) are left out. All get the rank, alpha and
 * scaling of `like`. LD_EUSAGE, naming it, for a target that fits no module. The caller frees `choices`.
 */
int ld_lora_choose(const ld_model *model, const char *targets, const bool *whole, const ld_lora_choice *like,
                   ld_lora_choice **choices, size_t *n, ld_error *err);

/* Whether one of the targets, as above, names the linear module. */
bool ld_lora_targets(const ld_linear *linear, const char *targets);

/* The linear module of that path; NULL when there is none. */
ld_linear *ld_lora_find(const ld_model *model, const char *path);

/* Puts adapters with zero matrices on the model, and trained copies of the weights of modules that are
 * flagged whole. The set must be freed before the model, which then shows its frozen weights again. */
ld_lora_set *ld_lora_attach(ld_model *model, const ld_lora_choice *choices, size_t n, double dropout,
                            const bool *whole);
void ld_lora_free(ld_lora_set *set);

/* A from U(-1/sqrt(in), 1/sqrt(in)) (PEFT's Kaiming-uniform with a = sqrt 5), B zero; new modules by their
 * `spread`, or like A, and their biases zero, or from the same. Each depends on the seed and its module's
 * path only. */
void ld_lora_init(ld_lora_set *set, uint64_t seed);

#endif
