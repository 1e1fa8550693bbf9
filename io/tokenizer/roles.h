/* The roles of special tokens in a model, as settings name them. */
#ifndef LD_TOKEN_ROLES_H
#define LD_TOKEN_ROLES_H

#include <stdbool.h>

/* In transformers' order. */
enum { LD_BOS, LD_EOS, LD_UNK, LD_SEP, LD_PAD, LD_CLS, LD_MASK, LD_N_ROLES };

extern const char *const ld_token_roles[LD_N_ROLES]; /* "bos_token", ... */

/* Whether a key names a special token outside those roles, such as "image_token". */
bool ld_is_other_token(const char *key);

#endif
