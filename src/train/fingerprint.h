/* Digests of what a process computes from fixed small inputs. Where the digests of two ranks are equal, the
 * ranks round in the same way, whatever their compiler, libm, OpenBLAS or processor. Where they differ, the
 * adapters would differ too. */
#ifndef LD_FINGERPRINT_H
#define LD_FINGERPRINT_H

#include <stdbool.h>
#include <stdint.h>

enum { LD_FINGERPRINT_PARTS = 8 };

typedef struct ld_fingerprint {
  uint64_t part[LD_FINGERPRINT_PARTS];
} ld_fingerprint;

/* Takes a few milliseconds. Call it after ld_gemm_setup: it covers the kernels and the precision in use.
 * False when memory runs out. Not collective. */
bool ld_fingerprint_take(ld_fingerprint *out);

/* The name of a part, for messages: "matrix products". */
const char *ld_fingerprint_name(int part);

#endif
