/* Small adapters for tests. */
#ifndef TEST_ADAPTERS_H
#define TEST_ADAPTERS_H

#include "adapt/kinds.h"
#include "base/memory.h"

/* Adds LoRA of a linear layer, all zeros. */
__attribute__((unused)) static ld_adapter_module *add_lora(ld_adapter *adapter, const char *path, int rank,
                                                           int64_t in, int64_t out) {
  ld_adapter_module *m = ld_adapter_add(adapter, path, "lora");
  m->rank = rank, m->alpha = 2 * rank, m->scaling = 2;
  ld_adapter_put(m, "lora_A", 2, (int64_t[]){rank, in}, NULL);
  ld_adapter_put(m, "lora_B", 2, (int64_t[]){out, rank}, NULL);
  return m;
}

/* An adapter without modules, of rank 1 and alpha 2. */
__attribute__((unused)) static ld_adapter *new_adapter(void) {
  ld_adapter *adapter = ld_alloc(1, sizeof *adapter);
  adapter->rank = 1, adapter->alpha = 2;
  return adapter;
}

/* The modules that are trained in full. */
__attribute__((unused)) static size_t count_whole(const ld_adapter *adapter) {
  size_t n = 0;
  for (size_t i = 0; i < adapter->n_modules; i++) n += ld_adapter_is_whole(&adapter->modules[i]);
  return n;
}

#endif
