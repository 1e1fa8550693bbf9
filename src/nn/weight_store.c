#include "nn/weight_store.h"

void ld_weights_take(const ld_weight_store *store, int block) {
  if (store && block != LD_NO_BLOCK && store->take) store->take(store->self, block);
}

void ld_weights_release(const ld_weight_store *store, int block) {
  if (store && block != LD_NO_BLOCK && store->release) store->release(store->self, block);
}
