/* Output of commands on standard output. */
#ifndef LD_PRINT_H
#define LD_PRINT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* Writes to standard output; with `flush`, passes it on to the reader at once. When the reader has gone (as
 * head does), the program dies by SIGPIPE or, where that is ignored, gets LD_ECLOSED. */
int ld_print(const ld_text *text, bool flush, ld_error *err);

/* Prints text from a file so that nothing in it can steer a terminal: its first `most` characters (0: all),
 * padded with spaces to `least`. */
void ld_print_part(const char *string, int least, int most);

/* "2h05m", "3m07s", "12 s", "1.2 s" or "85 ms". */
void ld_put_duration(char *text, size_t size, double seconds);

#endif
