/* Adapters on a model: which modules get one, and the trained parameters.
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

/* The adapters of a model. Parameters come in the model's order, for each module A then B, and lie
 * without gaps in two flat arrays. */
typedef struct ld_lora_set {
  ld_model *model;
  ld_lora *loras;
  ld_lora_choice *choices; /* as attached, with the linear of each */
  size_t n_loras;
  ld_param *params; /* 2 * n_loras */
  size_t n_params;
  bool rslora;        /* how scaling follows from alpha and rank */
  float *data, *grad; /* n_floats each */
  size_t n_floats;
} ld_lora_set;

/* The modules that PEFT would adapt for `targets`: comma-separated names, each the whole path of a module or
 * its end after a dot; "all-linear" is every linear module but the head; NULL is the family's default. All
 * get the rank, alpha and scaling of `like`. LD_EMISMATCH, naming it, for a target that fits no module. The
 * caller frees `choices`. */
int ld_lora_choose(const ld_model *model, const char *targets, const ld_lora_choice *like,
                   ld_lora_choice **choices, size_t *n, ld_error *err);

/* The linear module of that path; NULL when there is none. */
ld_linear *ld_lora_find(const ld_model *model, const char *path);

/* Puts adapters with zero matrices on the model. The set must be freed before the model. */
ld_lora_set *ld_lora_attach(ld_model *model, const ld_lora_choice *choices, size_t n, double dropout);
void ld_lora_free(ld_lora_set *set);

/* A from U(-1/sqrt(in), 1/sqrt(in)) (PEFT's Kaiming-uniform with a = sqrt 5), B zero. Each A depends on the
 * seed and its module's path only. */
void ld_lora_init(ld_lora_set *set, uint64_t seed);

#endif
