#include "linalg/factor.h"

ld_factor ld_weight_factor(const ld_weight *W, bool transposed) {
  return (ld_factor){W->data, W->dtype, transposed, W->cols};
}

ld_factor ld_float_factor(const float *data, int ld, bool transposed) {
  return (ld_factor){data, LD_F32, transposed, ld};
}
