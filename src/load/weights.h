/* The weight store of a model folder: its files, mapped; all ranks of a host share one copy. */
#ifndef LD_WEIGHTS_H
#define LD_WEIGHTS_H

#include "io/hub/model_folder.h"
#include "nn/weight_store.h"

/* The folder is borrowed, and must outlive the store. The caller frees with free(). */
ld_weight_store *ld_weights_mapped(ld_model_folder *folder);

#endif
