#include "adapt/kind.h"

ld_param *ld_change_add(ld_change *change, const char *role, int ndim, const int64_t *shape) {
  ld_param *param = &change->params[change->n_params++];
  *param = (ld_param){.module = change->layer->path, .role = role, .ndim = ndim, .count = 1};
  for (int d = 0; d < ndim; d++) param->count *= (size_t)(param->shape[d] = shape[d]);
  return param;
}
