/* Reads and prints the value of an option. */
#ifndef LD_OPTION_VALUE_H
#define LD_OPTION_VALUE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "options/table.h"

/* Sets the option's field from text. LD_EUSAGE, naming option and value, when the table does not allow it. */
int ld_option_set(ld_options *options, const ld_option *option, const char *text, ld_error *err);

/* Whether the option takes several names, separated by commas. */
bool ld_option_is_list(const ld_option *option);

/* Appends the option's value as JSON. */
void ld_option_put(const ld_options *options, const ld_option *option, ld_text *out);

/* The option's field when it is a string, which ld_options owns; NULL otherwise. */
char **ld_option_string(const ld_options *options, const ld_option *option);

#endif
