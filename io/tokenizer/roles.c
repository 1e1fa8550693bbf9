#include "io/tokenizer/roles.h"

#include <string.h>

const char *const ld_token_roles[LD_N_ROLES] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                "pad_token", "cls_token", "mask_token"};

bool ld_is_other_token(const char *key) {
  const size_t n = strlen(key);
  for (int i = 0; i < LD_N_ROLES; i++)
    if (!strcmp(key, ld_token_roles[i])) return false;
  return n > 6 && !strcmp(key + n - 6, "_token");
}
