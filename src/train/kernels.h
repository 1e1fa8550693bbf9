/* Which kernels the ranks compute with: on processors of several kinds these can differ, and so can the last
 * bits.
 */
#ifndef LD_KERNELS_H
#define LD_KERNELS_H

#include <stdbool.h>

#include "mpi/comm.h"

/* Behind ld_gemm_setup, before the first product. Where the ranks' kernels would give different bits, all
 * take one set that all have, and a warning says so; with `mixed` each keeps its own, and a warning says what
 * that costs. Collective. LD_EUNSUPPORTED when there is no common set. */
int ld_kernels_agree(ld_comm *comm, bool mixed, ld_error *err);

#endif
