/* Checks that all ranks compute the same bits. Different processors, builds of the program or libraries can
 * give different last bits. */
#ifndef LD_KERNELS_H
#define LD_KERNELS_H

#include <stdbool.h>

#include "mpi/comm.h"

/* Checks that all ranks run the same version of the program. Must be the first collective call. LD_EMISMATCH
 * names the ranks. Collective. */
int ld_versions_agree(ld_comm *comm, const char *version, ld_error *err);

/* Called after ld_gemm_setup and before the first product. Where the ranks' kernels would give different
 * bits, all ranks switch to one set that they have in common, with a warning; LD_EUNSUPPORTED when there is
 * no such set. Then all fingerprints (fingerprint.h) must be equal, or LD_EMISMATCH names the ranks and what
 * differs; `build` describes how each rank's program was built. With `mixed` each rank keeps its own kernels,
 * and a warning says what that costs. Collective. */
int ld_kernels_agree(ld_comm *comm, const char *build, bool mixed, ld_error *err);

#endif
