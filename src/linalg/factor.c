#include "linalg/factor.h"

#include "linalg/codecs.h"

ld_factor ld_weight_factor(const ld_weight *W, bool transposed) {
  return (ld_factor){W->numbers, transposed, W->cols};
}

ld_factor ld_float_factor(const float *data, int ld, bool transposed) {
  return (ld_factor){ld_coded_floats(data), transposed, ld};
}
