/* What commands print to standard output.
 */
#ifndef LD_PRINT_H
#define LD_PRINT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* Writes to standard output, with `flush` through to who reads it. LD_ECLOSED when the reader has gone (as
 * head does): then the program dies by SIGPIPE, or says so where that is ignored. */
int ld_print(const ld_text *text, bool flush, ld_error *err);

/* Prints text from a file to standard output, so that nothing in it steers a terminal: its first `most` characters
 * (0: all), and spaces up to `least`. */
void ld_print_part(const char *string, int least, int most);

/* "2h05m", "3m07s", "12 s", "1.2 s" or "85 ms". */
void ld_put_duration(char *text, size_t size, double seconds);

#endif
