/* Ranks of different versions, and of different builds that compute the same bits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "linalg/gemm.h"
#include "mpi/comm.h"
#include "train/kernels.h"

static void check(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "FAIL: %s\n", what);
  exit(1);
}

int main(int argc, char **argv) {
  ld_comm *comm;
  ld_error err = {0};
  check(!ld_comm_start(&argc, &argv, 30, &comm, &err), "starts");
  const bool last = ld_comm_rank(comm) == ld_comm_size(comm) - 1, alone = ld_comm_size(comm) == 1;
  check(!ld_versions_agree(comm, "1.2.3", &err), "equal versions agree");
  const int rc = ld_versions_agree(comm, last ? "1.2.4" : "1.2.3", &err);
  check(alone ? !rc : rc == LD_EMISMATCH, "other versions do not");
  if (ld_comm_size(comm) == 4)
    check(strstr(err.text, "(1.2.3 on ranks 0-2 of ") && strstr(err.text, "; 1.2.4 on rank 3 of "), err.text);
  check(!ld_gemm_setup(1, LD_PRECISION_F32, &err), "kernels");
  ld_log_mute(ld_comm_rank(comm) != 0);
  check(!ld_kernels_agree(comm, last ? "clang" : "gcc", false, &err), err.text);
  ld_comm_finish(comm);
  return 0;
}
