/* Errors.
 *
 * A function that can fail returns 0, or a negative code from the table below, and takes an `ld_error *` as
 * its last argument. The code is for the program, the text for the user: one sentence that names the file,
 * the field and the remedy. Only the command at the top prints it, so a library function may fail on any rank
 * without noise. */
#ifndef LD_ERROR_H
#define LD_ERROR_H

#include <stdarg.h>

enum ld_error_code {
  LD_EUSAGE = -2,       /* bad usage */
  LD_EFILE = -3,        /* cannot read or write */
  LD_EFORMAT = -4,      /* malformed input */
  LD_EUNSUPPORTED = -5, /* not supported */
  LD_EMISMATCH = -6,    /* does not fit together */
  LD_EMEMORY = -7,      /* out of memory */
  LD_ENUMERIC = -8,     /* numerical failure */
  LD_ESYSTEM = -9,      /* a library failed */
  LD_ECLOSED = -10      /* nobody reads the output any more */
};

typedef struct ld_error {
  int code;        /* 0 when nothing failed */
  char text[2048]; /* one sentence on one line */
} ld_error;

/* Fills `err` (which may be NULL) and returns `code`: `return ld_fail(err, LD_EFILE, "%s: ...", path);` A
 * text that is too long keeps its start and its end; control characters are written as ld_text_put_visible
 * does. */
int ld_fail(ld_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__ /* which does not look into other files: the code is returned, and is not 0 */
#define ld_fail(err, code, ...) ((void)ld_fail(err, code, __VA_ARGS__), (code))
#endif

/* Puts "prefix: " before the text that a deeper function left in `err`; returns err->code (or `code`). */
int ld_fail_prefix(ld_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
