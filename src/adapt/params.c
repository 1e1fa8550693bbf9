#include "adapt/params.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "nn/weight_store.h"

ld_change ld_choice_lay_out(const ld_choice *choice, ld_param *params) {
  ld_change change = {.functions = &choice->kind->functions,
                      .layer = choice->layer,
                      .params = params,
                      .rank = choice->rank,
                      .scaling = (float)choice->scaling};
  choice->kind->lay_out(&change);
  return change;
}

static void lay_out(ld_params *params, size_t i, double dropout) {
  ld_change *change = &params->changes[i];
  *change = ld_choice_lay_out(&params->choices[i], params->list + params->n);
  change->dropout = change->functions->read ? (float)dropout : 0; /* applies to the input of `read` */
  change->id = (uint32_t)i;
  params->n += (size_t)change->n_params;
  for (int k = 0; k < change->n_params; k++) params->n_floats += change->params[k].count;
}

static void place(ld_params *params) {
  size_t at = 0;
  params->data = ld_alloc(params->n_floats, sizeof(float));
  params->grad = ld_alloc(params->n_floats, sizeof(float));
  for (size_t i = 0; i < params->n; i++) {
    params->list[i].data = params->data + at;
    params->list[i].grad = params->grad + at;
    at += params->list[i].count;
  }
}

ld_params *ld_params_attach(const ld_choice *choices, size_t n, double dropout) {
  ld_params *params = ld_alloc(1, sizeof *params);
  params->n_changes = n;
  params->choices = ld_alloc(n, sizeof *params->choices);
  params->changes = ld_alloc(n, sizeof *params->changes);
  params->list = ld_alloc(n * LD_ADAPTER_ROLES, sizeof *params->list);
  if (n) memcpy(params->choices, choices, n * sizeof *choices);
  for (size_t i = 0; i < n; i++) lay_out(params, i, dropout);
  place(params);
  ld_params_switch(params, true);
  return params;
}

void ld_params_free(ld_params *params) {
  if (!params) return;
  ld_params_switch(params, false);
  for (size_t i = 0; i < params->n_changes; i++)
    if (params->choices[i].kind->release) params->choices[i].kind->release(&params->changes[i]);
  free(params->choices);
  free(params->changes);
  free(params->list);
  free(params->data);
  free(params->grad);
  free(params);
}

/* Kinds read the frozen weight outside of a pass too. */
static void take_weight(const ld_linear *layer) {
  ld_weights_take(layer->store, layer->block);
}

static void release_weight(const ld_linear *layer) {
  ld_weights_release(layer->store, layer->block);
}

void ld_params_start(ld_params *params, uint64_t seed) {
  for (size_t i = 0; i < params->n_changes; i++) {
    const ld_choice *choice = &params->choices[i];
    take_weight(choice->layer);
    choice->kind->start(&params->changes[i], seed);
    release_weight(choice->layer);
  }
  ld_params_update(params);
}

void ld_params_update(ld_params *params) {
  for (size_t i = 0; i < params->n_changes; i++) {
    const ld_choice *choice = &params->choices[i];
    if (!choice->kind->update) continue;
    take_weight(choice->layer);
    choice->kind->update(&params->changes[i]);
    release_weight(choice->layer);
  }
}

void ld_params_switch(ld_params *params, bool on) {
  for (size_t i = 0; i < params->n_changes; i++)
    params->choices[i].layer->change = on ? &params->changes[i] : NULL;
}

void ld_choice_merge(const ld_choice *choice, const ld_change *change, const char *which, float *values) {
  const ld_linear *layer = choice->layer;
  take_weight(layer);
  if (!strcmp(which, "weight"))
    ld_coded_widen(values, &layer->weight.numbers, 0, (int64_t)layer->in * layer->out);
  else
    memcpy(values, layer->bias, (size_t)layer->out * sizeof *values);
  choice->kind->merge(change, which, values);
  release_weight(layer);
}

ld_param *ld_params_find(const ld_params *params, const char *module, const char *role) {
  for (size_t i = 0; i < params->n; i++)
    if (!strcmp(params->list[i].role, role) && !strcmp(params->list[i].module, module))
      return &params->list[i];
  return NULL;
}
