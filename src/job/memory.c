#include "job/memory.h"

double ld_job_base_bytes(const ld_job *j) {
  return (double)j->base.weights->bytes(j->base.weights->self);
}

size_t ld_job_rank_bytes(const ld_job *j) {
  return j->trainer.activation_bytes + ld_trainer_state_bytes(&j->trainer) +
         ld_trainer_index_bytes(&j->trainer);
}
