/* What the command generate makes: one kind for each sort of model. */
#ifndef LD_GENERATE_KIND_H
#define LD_GENERATE_KIND_H

#include "load/base.h"
#include "mpi/comm.h"

typedef struct ld_generate_kind {
  bool (*suits)(const ld_base *base);
  /* Checks options before anything is computed, in particular what is missing. On every rank. */
  int (*check)(const ld_options *options, ld_error *err);
  /* The base has its adapter. Collective. */
  int (*run)(const ld_options *options, ld_base *base, ld_comm *comm, ld_error *err);
} ld_generate_kind;

extern const ld_generate_kind ld_generate_texts, ld_generate_pictures;

#endif
