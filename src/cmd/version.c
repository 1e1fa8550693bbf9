#include "cmd/version.h"

#include "commit.h" /* made by the build: LD_COMMIT */
#include "linalg/gemm.h"
#include "mpi/comm.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char *ld_version_build(void) {
  return "commit " LD_COMMIT ", " COMPILER;
}

void ld_version_print(FILE *out) {
  char library[120];
  ld_comm_library(library, sizeof library);
  ld_gemm_setup(1, LD_PRECISION_F32, NULL);
  fprintf(out, "lora_dist %s (commit %s)\n", LD_VERSION, LD_COMMIT);
  fprintf(out, "compiler  %s\n", COMPILER);
  fprintf(out, "kernels   %s on this processor\n", ld_gemm_kernel());
  fprintf(out, "MPI       %s\n", library);
}
