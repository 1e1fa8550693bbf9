#include "load/weights.h"

#include "base/memory.h"

static const ld_stored *find(void *self, const char *name, int block) {
  (void)block;
  return ld_model_folder_find(self, name);
}

static size_t bytes(const void *self) {
  size_t sum = 0;
  for (size_t i = 0; i < ld_model_folder_count(self); i++)
    sum += ld_stored_bytes(ld_model_folder_tensor(self, i));
  return sum;
}

ld_weight_store *ld_weights_mapped(ld_model_folder *folder) {
  ld_weight_store *store = ld_alloc(1, sizeof *store);
  *store =
      (ld_weight_store){.source = ld_model_folder_path(folder), .self = folder, .find = find, .bytes = bytes};
  return store;
}
