/* The kinds of sources, for the formats that make them. Not for use outside io/dataset.
 */
#ifndef LD_SOURCE_KIND_H
#define LD_SOURCE_KIND_H

#include "io/dataset/source.h"

/* Where a callback may be NULL, the source is one mapped file. */
typedef struct ld_source_kind {
  /* Units that lie within the length. */
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
  uint64_t length;  /* in units */
  uint64_t begin;   /* where a text begins: after a byte order mark */
  ld_bytes opening; /* what a rank without the data gets when it opens it; borrowed */
  ld_map map;       /* of one file; empty of others */
  ld_stamp stamp;   /* of that file, when it was opened */
  void *own;        /* the kind's */
};

/* A source of this kind without a file; the kind fills the rest. */
ld_source *ld_source_create(const ld_source_kind *kind, const char *path);

/* A file that is mapped, whose units are its bytes; or those of another kind, which sets `length`. On failure
 * *out is NULL. */
int ld_source_map(const char *path, const ld_source_kind *kind, ld_source **out, ld_error *err);
extern const ld_source_kind ld_source_file;

/* A folder's files with these names below it, n at least 1; it owns the names. A file that changes after it was
 * first read is LD_EMISMATCH. */
ld_source *ld_source_folder(const char *path, char **names, size_t n);

/* What a format's `open` reads: the file from `begin` on, or the opening where the file is not. */
ld_bytes ld_source_start(const ld_source *source);

/* Says which bytes of the start are the opening: those that `open` needs. It is empty otherwise. */
void ld_source_keep(ld_source *source, const char *at, size_t length);

#endif
