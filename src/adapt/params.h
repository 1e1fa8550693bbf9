/* What is trained on a model: one list of named parameters, which the adapter kinds lay out. */
#ifndef LD_PARAMS_H
#define LD_PARAMS_H

#include "adapt/kind.h"

/* One module to train, and how. */
typedef struct ld_choice {
  ld_linear *layer;
  const ld_adapter_kind *kind;
  int rank; /* of a low-rank kind, with alpha and scaling; 0 for others */
  double alpha, scaling;
} ld_choice;

/* The parameters in the order of the choices, and those of a module in the order of its kind's roles. They
 * lie without gaps in two flat arrays. */
typedef struct ld_params {
  ld_choice *choices;
  ld_change *changes; /* (n_changes) of the choices, in their order */
  size_t n_changes;
  ld_param *list;
  size_t n;
  float *data, *grad; /* n_floats each */
  size_t n_floats;
  bool rslora; /* how scaling is computed from alpha and rank */
} ld_params;

/* The change for a choice, with the roles and shapes of its parameters in `params`, which has room for
 * LD_ADAPTER_ROLES: without values, and on no layer. */
ld_change ld_choice_lay_out(const ld_choice *choice, ld_param *params);

/* Puts changes with zeros on the chosen layers, until ld_params_free, which must be called before the model
 * is freed. The choices are copied; no layer may be chosen twice. */
ld_params *ld_params_attach(const ld_choice *choices, size_t n, double dropout);
void ld_params_free(ld_params *params);

/* Sets the initial values, as each kind defines them. They depend only on the seed and the module. */
void ld_params_start(ld_params *params, uint64_t seed);

/* Call it whenever values were set: computes what depends on them. */
void ld_params_update(ld_params *params);

/* Takes the changes off the model, or puts them back: without them it is the base again. */
void ld_params_switch(ld_params *params, bool on);

/* The layer's tensor `which` ("weight", as stored, or "bias") merged with the change, as floats; for a layer
 * that the folder does not have, starting from zeros. */
void ld_choice_merge(const ld_choice *choice, const ld_change *change, const char *which, float *values);

/* The parameter of that module and role; NULL when there is none. */
ld_param *ld_params_find(const ld_params *params, const char *module, const char *role);

#endif
