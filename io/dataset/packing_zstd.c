/* Zstandard (RFC 8878), by libzstd. */
#include <stdlib.h>
#include <zstd.h>

#include "base/memory.h"
#include "io/dataset/packing.h"

static int unpack_all(ZSTD_DCtx *z, ZSTD_inBuffer *in, const char *path, ld_unpacked put, void *user,
                      ld_error *err) {
  const size_t room = ZSTD_DStreamOutSize();
  char *piece = ld_alloc(room, 1);
  size_t left = 1; /* of the frame; 0: it is complete */
  int rc = 0;
  bool full = false; /* the last piece, so that more may be waiting */
  while (!rc && (in->pos < in->size || full)) {
    ZSTD_outBuffer out = {piece, room, 0};
    left = ZSTD_decompressStream(z, &out, in);
    full = out.pos == room;
    if (ZSTD_isError(left))
      rc = ld_fail(err, LD_EFORMAT, "%s: its zstd data cannot be unpacked (%s): copy or compress it again",
                   path, ZSTD_getErrorName(left));
    else
      rc = put(user, piece, out.pos, err);
    if (full && !left) full = false;
  }
  free(piece);
  if (!rc && left)
    rc = ld_fail(err, LD_EFORMAT, "%s: its zstd data ends too early: copy or compress it again", path);
  return rc;
}

static int unpack(const char *bytes, size_t n, const char *path, ld_unpacked put, void *user, ld_error *err) {
  ZSTD_DCtx *z = ZSTD_createDCtx();
  if (!z) return ld_fail(err, LD_EMEMORY, "%s: out of memory while it is unpacked", path);
  const int rc = unpack_all(z, &(ZSTD_inBuffer){bytes, n, 0}, path, put, user, err);
  ZSTD_freeDCtx(z);
  return rc;
}

const ld_packing ld_packing_zstd = {
    .name = "zstd", .ending = ".zst", .magic = {0x28, 0xb5, 0x2f, 0xfd}, .n_magic = 4, .unpack = unpack};
