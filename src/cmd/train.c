/* lora_dist train: opens a job, prints what it will do, and runs it. */
#include "base/machine.h"
#include "cmd/command.h"
#include "job/open.h"
#include "job/preflight.h"
#include "job/report.h"
#include "job/steps.h"
#include "job/stop.h"

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  ld_job j = {.options = *options, .comm = comm, .began = ld_clock()};
  if (!options->dry_run) ld_stop_hear();
  int rc = ld_job_open(&j, err);
  if (!rc) {
    ld_job_describe(&j);
    rc = ld_job_preflight(&j, err);
  }
  if (!rc && !options->dry_run) {
    rc = ld_job_run(&j, err);
  } else if (!rc && ld_comm_rank(comm) == 0) {
    ld_job_show_out(&j);
    ld_job_print_plan(&j);
  }
  ld_job_close(&j);
  return rc;
}

const ld_command ld_command_train = {
    .name = "train",
    .bit = LD_CMD_TRAIN,
    .summary = "train a LoRA adapter",
    .about = "Trains a LoRA adapter on a frozen base model.",
    .uses_ranks = true,
    .run = run,
};
