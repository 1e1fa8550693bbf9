#include "io/hdf5_error.h"

#include <hdf5.h>
#include <stdbool.h>
#include <string.h>

void ld_hdf5_silence(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *user) {
  const char **text = user;
  if (n == 0 || !*text) *text = entry->desc;
  return 0;
}

int(ld_hdf5_fail)(ld_error *err, int code, const char *name, const char *what) {
  const char *reason = NULL;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &reason);
  const bool newer = reason && strstr(reason, "version number");
  ld_fail(err, code, "%s: %s%s%s%s%s", name, what, reason ? " (HDF5: " : "", reason ? reason : "",
          reason ? ")" : "",
          newer ? ": if a newer HDF5 wrote it, write it again with libver='earliest'" : "");
  H5Eclear2(H5E_DEFAULT);
  return code;
}
