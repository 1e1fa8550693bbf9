/* The table of adapters' formats. */
#ifndef LD_ADAPTER_FORMATS_H
#define LD_ADAPTER_FORMATS_H

#include "io/hub/adapter_format.h"

/* NULL after the last. */
extern const ld_adapter_format *const ld_adapter_formats[];

/* The format of that name; NULL for none. */
const ld_adapter_format *ld_adapter_format_find(const char *name);

/* The format of the adapter at a path; NULL when there is none. */
const ld_adapter_format *ld_adapter_format_at(const char *path);

/* The format in which a run writes the adapter beside its own files. */
const ld_adapter_format *ld_adapter_format_for(const ld_adapter *adapter);

/* Whether the format may have a file of that name in its folder. */
bool ld_adapter_format_has(const ld_adapter_format *format, const char *file);

#endif
