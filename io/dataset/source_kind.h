/* What a kind of source provides. Only for use in io/dataset. */
#ifndef LD_SOURCE_KIND_H
#define LD_SOURCE_KIND_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "io/file.h"
#include "io/hub/digests.h"

typedef struct ld_source ld_source;
typedef struct ld_joined ld_joined;

/* Bytes of a source while they are held. */
typedef struct ld_bytes {
  const char *at;
  size_t length;
  const char *name; /* as ld_source_name; also of a received record */
  ld_map map;       /* mapped by the source for these bytes */
  char *own;
} ld_bytes;

/* Where a callback is NULL, the default is that of one mapped file. */
typedef struct ld_source_kind {
  /* Reads units, which lie within the length. */
  int (*read)(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err);
  const char *(*name)(const ld_source *source, uint64_t offset); /* NULL: units have none */
  size_t (*unit_bytes)(const ld_source *source);                 /* NULL: 1 */
  uint64_t (*stamp)(const ld_source *source);                    /* may be NULL, as the next two */
  int (*digest)(const ld_source *source, ld_digests *digests, ld_contents *out, ld_error *err);
  uint64_t (*old_digest)(const ld_source *source);
  void (*close)(ld_source *source); /* may be NULL: frees source->own */
} ld_source_kind;

struct ld_source {
  const ld_source_kind *kind;
  char *path;
  uint64_t length;         /* in units */
  uint64_t begin;          /* where a text begins: after a byte order mark */
  ld_bytes opening;        /* what a rank without the data receives to open it; borrowed */
  ld_map map;              /* of one file; empty for other kinds */
  ld_stamp stamp;          /* of that file, when it was opened */
  const ld_joined *joined; /* several or compressed files, of which `map` is a copy (joined.h); NULL: none */
  void *own;               /* the kind's */
};

#endif
