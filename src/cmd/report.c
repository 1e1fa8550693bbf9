/* lora_dist report: writes the page of a run, which may also be unfinished or still in progress. */
#include <stdlib.h>

#include "base/log.h"
#include "cmd/command.h"
#include "io/file.h"
#include "io/report/report.h"
#include "job/run_claim.h"

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)options;
  (void)comm;
  char *metrics = ld_path_join(path, "metrics.jsonl"), *page = ld_path_join(path, "report.html");
  int rc = 0;
  if (!ld_is_folder(path))
    rc = ld_fail(err, LD_EFILE, "%s: no such folder: give the --out of a training run", path);
  else if (!ld_file_exists(metrics))
    rc = ld_fail(err, LD_EFILE, "%s: holds no metrics.jsonl: give the --out of a training run", path);
  else if (ld_file_exists(page) && !ld_run_is_folder(path))
    rc = ld_fail(err, LD_EFILE, "%s: already exists, and '%s' is not the folder of a run: move it", page,
                 path);
  free(metrics);
  free(page);
  if (!rc) rc = ld_report_write(path, path, err);
  if (!rc) ld_info("wrote %s/report.html", path);
  return rc;
}

const ld_command ld_command_report = {
    .name = "report",
    .bit = LD_CMD_REPORT,
    .summary = "write the report page of a run",
    .about =
        "Writes report.html into a run folder from its metrics.jsonl and run.yaml, also while the run is in "
        "progress.",
    .takes_path = true,
    .run = run,
};
