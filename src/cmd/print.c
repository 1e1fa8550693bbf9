#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/command.h"

int ld_cmd_print(const ld_text *text, bool flush, ld_error *err) {
  errno = 0;
  if (fwrite(text->bytes, 1, text->length, stdout) == text->length && (!flush || !fflush(stdout))) return 0;
  return ld_fail(err, errno == EPIPE ? LD_ECLOSED : LD_EFILE, "standard output: cannot be written: %s",
                 errno ? strerror(errno) : "an earlier write failed");
}
