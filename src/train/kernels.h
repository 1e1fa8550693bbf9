/* Whether all ranks compute the same bits: on processors of several kinds, by programs of several builds and
 * with other libraries their last bits can differ.
 */
#ifndef LD_KERNELS_H
#define LD_KERNELS_H

#include <stdbool.h>

#include "mpi/comm.h"

/* All ranks must run the same version of the program; before anything else that is collective. LD_EMISMATCH
 * names the ranks. Collective. */
int ld_versions_agree(ld_comm *comm, const char *version, ld_error *err);

/* After ld_gemm_setup, before the first product. Where the ranks' kernels would give different bits, all take
 * one set that all have, and a warning says so; LD_EUNSUPPORTED when there is no common set. Then all
 * fingerprints (fingerprint.h) must be equal, or LD_EMISMATCH names the ranks, and what differs; `build` says
 * what each rank's program was made of. With `mixed` each rank keeps its own kernels, and a warning says what
 * that costs. Collective. */
int ld_kernels_agree(ld_comm *comm, const char *build, bool mixed, ld_error *err);

/* Times a product with --precision bf16 for a moment beside one in float32, and warns where it is slower. For
 * one rank; after ld_gemm_setup with these threads, which it leaves as it was. */
void ld_kernels_time_bf16(int threads);

#endif
