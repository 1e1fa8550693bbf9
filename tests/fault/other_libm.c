/* Preloaded into one of several ranks: a libm whose logarithm is slightly off. Another version's may be off
 * by much less. */
#include <dlfcn.h>

double log(double x) {
  double (*real)(double);
  *(void **)&real = dlsym(RTLD_NEXT, "log");
  return real(x) * (1 + 1e-6);
}
