#include <criterion/criterion.h>
#include <math.h>

#include "base/vmath.h"

Test(vmath, exp_is_within_two_units) {
  for (double x = -86; x < 88; x += 0.00137) {
    const double got = (double)ld_expf((float)x), want = exp((double)(float)x);
    cr_assert(fabs(got - want) <= 2.4e-7 * want, "exp(%g) = %g, not %g", x, got, want);
  }
  cr_assert(ld_expf(0) == 1);
  cr_assert(ld_expf(-200) == 0 && ld_expf(-INFINITY) == 0);
  cr_assert(isfinite(ld_expf(1000)));
  cr_assert(isnan(ld_expf(NAN)));
}

Test(vmath, tanh_and_sigmoid) {
  for (double x = -20; x < 20; x += 0.00091) {
    cr_assert(fabs((double)ld_tanhf((float)x) - tanh((double)(float)x)) < 2e-7);
    cr_assert(fabs((double)ld_sigmoidf((float)x) - 1 / (1 + exp(-(double)(float)x))) < 2e-7);
  }
}

Test(vmath, normal_distribution_function) {
  for (double at = -13; at < 13; at += 0.00037) {
    const float x = (float)at;
    const double want = 0.5 * erfc(-(double)x / sqrt(2)), bell = exp(-0.5 * (double)x * (double)x);
    const double got = (double)ld_normal_cdf(x, (float)bell), error = fabs(got - want);
    cr_assert(error < 1.5e-7, "cdf(%g) is off by %g", at, error);
    if (at < 0) cr_assert(error < 1e-6 * want + 1e-38, "cdf(%g) is off by %g of it", at, error / want);
  }
  cr_assert(ld_normal_cdf(0, 1) == 0.5f);
  cr_assert(isnan(ld_normal_cdf(NAN, NAN)));
}
