/* gzip (RFC 1952), by zlib. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "io/dataset/packing.h"

enum { PIECE = 1 << 18, TAKEN = 1 << 30, GZIP_ONLY = 16 + MAX_WBITS };

static int fail(const char *path, const char *what, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "%s: its gzip data %s: copy or compress it again", path, what);
}

/* One call of inflate for the rest of the input, whose result is put. *ended: a member is complete. */
static int inflate_some(z_stream *z, char *piece, const char *path, bool *ended, ld_error *err) {
  z->next_out = (Bytef *)piece;
  z->avail_out = PIECE;
  const int rc = inflate(z, Z_NO_FLUSH);
  *ended = rc == Z_STREAM_END;
  if (rc == Z_OK || *ended) return 0;
  if (rc == Z_MEM_ERROR) return ld_fail(err, LD_EMEMORY, "%s: out of memory while it is unpacked", path);
  return fail(path, rc == Z_BUF_ERROR ? "ends too early" : "is damaged", err);
}

static int unpack_all(z_stream *z, const char *bytes, size_t n, const char *path, ld_unpacked put, void *user,
                      ld_error *err) {
  char *piece = ld_alloc(PIECE, 1);
  size_t at = 0;
  bool ended = false;
  int rc = 0;
  while (!rc && !(ended && at == n)) {
    if (ended && (n - at < 2 || memcmp(bytes + at, ld_packing_gzip.magic, 2) != 0))
      rc = fail(path, "is followed by other bytes", err);
    if (!rc && ended) inflateReset(z);
    const uInt take = n - at < TAKEN ? (uInt)(n - at) : TAKEN;
    z->next_in = (Bytef *)(uintptr_t)(bytes + at);
    z->avail_in = take;
    if (!rc) rc = inflate_some(z, piece, path, &ended, err);
    at += take - z->avail_in;
    if (!rc) rc = put(user, piece, PIECE - z->avail_out, err);
  }
  free(piece);
  return rc;
}

static int unpack(const char *bytes, size_t n, const char *path, ld_unpacked put, void *user, ld_error *err) {
  z_stream z = {0};
  if (inflateInit2(&z, GZIP_ONLY) != Z_OK)
    return ld_fail(err, LD_EMEMORY, "%s: out of memory while it is unpacked", path);
  const int rc = unpack_all(&z, bytes, n, path, put, user, err);
  inflateEnd(&z);
  return rc;
}

const ld_packing ld_packing_gzip = {
    .name = "gzip", .ending = ".gz", .magic = {0x1f, 0x8b}, .n_magic = 2, .unpack = unpack};
