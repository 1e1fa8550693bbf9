#include "nn/tensor.h"

float *ld_grad(const ld_tensor *tensor) {
  if (!tensor->base) return tensor->grad;
  return tensor->base->grad ? tensor->base->grad + tensor->column : NULL;
}
