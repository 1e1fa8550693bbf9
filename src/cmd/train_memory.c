#include "cmd/train_memory.h"

double ld_job_base_bytes(const ld_job *j) {
  double bytes = 0;
  for (size_t i = 0; i < ld_model_folder_count(j->base.folder); i++) {
    const ld_stored *tensor = ld_model_folder_tensor(j->base.folder, i);
    bytes += (double)ld_stored_bytes(tensor);
  }
  return bytes;
}

size_t ld_job_rank_bytes(const ld_job *j) {
  return j->trainer.activation_bytes + ld_trainer_state_bytes(&j->trainer) +
         ld_trainer_index_bytes(&j->trainer);
}
