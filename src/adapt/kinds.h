/* The table of the kinds of adapter. */
#ifndef LD_ADAPTER_KINDS_H
#define LD_ADAPTER_KINDS_H

#include "adapt/kind.h"

/* The kind of that name; NULL for none. */
const ld_adapter_kind *ld_adapter_kind_find(const char *name);

/* The forms of all kinds, for readers and writers of PEFT folders; NULL after the last. */
const ld_adapter_form *const *ld_adapter_forms(void);

#endif
