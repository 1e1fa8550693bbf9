/* What a process makes of fixed small inputs, as digests: where two ranks' are equal they round in the same
 * way, whatever compiler, libm, OpenBLAS or processor they come from; where they differ, so would the
 * adapter.
 */
#ifndef LD_FINGERPRINT_H
#define LD_FINGERPRINT_H

#include <stdbool.h>
#include <stdint.h>

enum { LD_FINGERPRINT_PARTS = 7 };

typedef struct ld_fingerprint {
  uint64_t part[LD_FINGERPRINT_PARTS];
} ld_fingerprint;

/* Takes a few milliseconds. After ld_gemm_setup: it is that of the kernels and the precision in use. False
 * when the system has no memory for it. Not collective. */
bool ld_fingerprint_take(ld_fingerprint *out);

/* What a part is of, for messages: "matrix products". */
const char *ld_fingerprint_name(int part);

#endif
