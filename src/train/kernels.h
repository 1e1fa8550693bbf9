/* Checks that all ranks compute the same bits. Different processors, builds of the program or libraries can
 * give different last bits. */
#ifndef LD_KERNELS_H
#define LD_KERNELS_H

#include <stdbool.h>

#include "linalg/tile.h"
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

/* Of the kernels that give the same bits as the present ones, takes the fastest on this processor, measured in some
 * milliseconds; says so when it is not the one that was taken. Not when the environment names one. After
 * ld_gemm_setup. */
void ld_kernels_choose(void);

/* The speed of products of a precision over those of float32, measured in a few milliseconds; 0 where this processor has
 * none, or LORA_DIST_KERNEL names kernels that one of both lacks. Otherwise leaves products set up for that precision. */
double ld_kernels_speed(enum ld_precision precision, int threads);

/* For one rank of a job of that precision: warns when it is slower than float32. */
void ld_kernels_check(enum ld_precision precision, int threads);

#endif
