/* What is checked of --model before a command opens it. */
#include <stdlib.h>

#include "cmd/command.h"
#include "io/file.h"

static int check(const char *model, const char *adapter, ld_error *err) {
  char *config = ld_path_join(model, "adapter_config.json");
  const bool there = ld_file_exists(config);
  free(config);
  if (!there || (adapter && ld_file_same(model, adapter))) return 0;
  return ld_fail(err, LD_EMISMATCH,
                 "%s: holds an adapter too (adapter_config.json), which transformers loads along with the model: "
                 "give the folder as the adapter as well, or move adapter_config.json out of it to use the model "
                 "alone",
                 model);
}

int ld_cmd_check_model(const char *model, const char *adapter, ld_comm *comm, ld_error *err) {
  return ld_comm_agree(comm, ld_comm_rank(comm) ? 0 : check(model, adapter, err), err);
}
