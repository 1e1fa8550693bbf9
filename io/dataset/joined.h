/* Several text files, or compressed ones, as one file: what they hold, one after the other, and a table that says which
 * file each part is from. It is made once, by rank 0, and then mapped like any text (docs/file-formats.md has the
 * layout). Errors name the file and the line that a byte is from. */
#ifndef LD_JOINED_H
#define LD_JOINED_H

#include "io/dataset/source.h"

typedef struct ld_joined_part {
  uint64_t begin; /* of its text */
  uint64_t line;  /* the number in its file of its first line */
  char *path;
} ld_joined_part;

struct ld_joined {
  ld_map map;    /* of the file */
  uint64_t text; /* bytes of the text, which begins the map */
  uint64_t hash; /* of the text */
  ld_joined_part *parts;
  size_t n;
};

/* What a format says of files that are read as one. */
typedef struct ld_join_rule {
  const char *between; /* after the line end of a file, before the next one */
  bool header;         /* the first line of each file is the same, and is kept once */
} ld_join_rule;

/* Writes the joined file, not atomically, to an open file that is called `out`. LD_EFORMAT, naming the file, for one that
 * is empty, is compressed under another name, cannot be unpacked, or has another header. It needs a piece of memory, however large
 * the files are. */
int ld_joined_put(int file, const char *out, char *const *paths, size_t n, const ld_join_rule *rule,
                  ld_error *err);

/* Maps such a file. With n_threads its checksums are found by reading all of it; with 0 only its table is read, and the
 * hash of its text must be `hash`. LD_EFILE where there is none, LD_EFORMAT for a damaged one, LD_EMISMATCH for another
 * hash. The caller frees with ld_joined_close. */
int ld_joined_open(const char *path, int n_threads, uint64_t hash, ld_joined **out, ld_error *err);
void ld_joined_close(ld_joined *joined); /* NULL is fine */

/* Makes a source of it, which owns it then; errors that are of no record name `path`. */
ld_source *ld_source_joined(const char *path, ld_joined *joined);

/* The part that holds this byte of the text. */
const ld_joined_part *ld_joined_find(const ld_joined *joined, uint64_t offset);

/* Where the joined file with this key is kept in a folder, and whether a name is one of such a file. The caller frees. */
char *ld_joined_path(const char *folder, uint64_t key);
bool ld_joined_is_name(const char *name);

#endif
