/* Files: reading whole ones through a map, and writing so that a file (or a flat folder) is whole or not
 * there.
 */
#ifndef LD_FILE_H
#define LD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A file mapped for reading. `bytes` is not NUL-terminated; NULL when the file is empty. */
typedef struct ld_map {
  const char *bytes;
  size_t length;
} ld_map;

/* Maps a regular file, shared and read-only, so that all ranks of a node use one copy in the page cache. A
 * git-lfs pointer in its place is LD_EFORMAT. */
int ld_map_open(const char *path, ld_map *map, ld_error *err);
void ld_map_close(ld_map *map);

bool ld_file_exists(const char *path); /* a regular file, or a link to one */
bool ld_file_is_named(
    const char *path); /* anything of that name, which opening may refuse: a link to nothing, a folder */
bool ld_is_folder(const char *path);

/* "folder/name" in fresh memory; the caller frees. */
char *ld_path_join(const char *folder, const char *name);

/* The last name of a path, in it; all of one that ends in a slash. */
const char *ld_path_base(const char *path);

/* Makes a folder and those above it (fine when it is there). */
int ld_make_folders(const char *path, ld_error *err);

/* Bytes that an ordinary user can still write to the file system of a folder, which need not be there yet; -1
 * when that is not known. */
int64_t ld_folder_room(const char *path);

/* Whether ld_make_folders could make the folder and files could be written into it, as far as that can be
 * seen now; what is made to try it is removed again. */
int ld_folder_check(const char *path, ld_error *err);

/* The names in a folder but "." and "..", sorted; NULL and an error when it cannot be read. The caller frees
 * with ld_names_free. */
char **ld_folder_names(const char *path, size_t *n, ld_error *err);
void ld_names_free(char **names, size_t n);

/* Fails with LD_EFILE and "<path>: <what>: <what errno says>; <what to do about it>". */
int ld_file_fail(const char *path, const char *what, ld_error *err);

/* Removes a folder of files and links; one that holds a folder stays, as does that. Returns 0, or -1 when it
 * is still there. */
int ld_remove_folder(const char *path);

/* Writing `path` atomically (beside, synced, renamed):
 *   char *part = ld_file_begin(path, err);           a name beside it to write to, "path.tmp.<pid>"
 *   code = ... write and close part ...
 *   return ld_file_end(part, path, code, err);       fsync, rename, fsync of the folder
 *
 * ld_file_end frees `part`. When `code` says that writing failed, or when its own work fails, it removes the
 * part and returns the code. A regular file at `path` is replaced; a folder, link, device or pipe there is
 * LD_EFILE. */
char *ld_file_begin(const char *path, ld_error *err);
int ld_file_end(char *part, const char *path, int code, ld_error *err);

/* Takes the lock file `path` (made when there is none) for this process until it ends or ld_file_unlock;
 * waits up to `seconds` for another holder, and says so. LD_EFILE when it is still held then, or when `path`
 * is a link or no regular file. A file system without locks counts as free. */
int ld_file_lock(const char *path, int seconds, int *lock, ld_error *err);
void ld_file_unlock(int lock); /* -1 is fine */

/* Writes all of `length` bytes to an open file; `path` is for the error text. */
int ld_write_all(int fd, const void *bytes, size_t length, const char *path, ld_error *err);

/* Closes it: some file systems tell only now that there was no room. Returns `code`, or when that is 0 how
 * the closing went. */
int ld_close_written(int fd, const char *path, int code, ld_error *err);

/* Writes `length` bytes to `path` atomically. */
int ld_file_write(const char *path, const void *bytes, size_t length, ld_error *err);

/* Writing a folder of plain files atomically, as a whole:
 *   char *part = ld_folder_begin(path, err);         makes the folder "path.tmp.<pid>"
 *   code = ... write files into part ...
 *   return ld_folder_end(part, path, code, err);     fsync of files and folder, which then takes the
 *                                                    place of `path`
 *
 * An old folder is swapped out in one step where the file system can (renameat2), and removed. Where it
 * cannot, it stands for a moment as "path.being-replaced" before the new one takes its name: a reader that
 * misses `path` looks there (ld_folder_present), and ld_folder_settle puts it back. Only a folder whose files
 * all have successors of the same name in `part` is replaced. */
char *ld_folder_begin(const char *path, ld_error *err);
int ld_folder_end(char *part, const char *path, int code, ld_error *err);

/* Undoes what a kill in the middle of a swap left: the old folder gets its name back, or goes. For a `path`
 * whose name belongs to this program. */
void ld_folder_settle(const char *path);

/* The folder to read for `path`: itself, or "path.being-replaced" after a kill in the middle of a swap. The
 * caller frees. */
char *ld_folder_present(const char *path);

/* The length of X in a name "X.tmp.<digits>", which is what a killed writer of X leaves; 0 for any other. */
size_t ld_file_leftover(const char *name);

/* Removes the leftovers in `folder` of those names that `is_ours` knows: regular files, and flat folders of
 * such. */
void ld_file_sweep(const char *folder, bool (*is_ours)(const char *name));

/* The rule for all outputs: what stands at the place of an output is not overwritten. LD_EFILE unless there
 * is nothing, or an empty folder. (A run replaces files in a folder of its own: job/run_claim.c.) */
int ld_output_check(const char *path, ld_error *err);

/* Whether both are there and are one file or folder, by whatever names. */
bool ld_file_same(const char *one, const char *other);

/* Whether `path`, which need not be there yet, is that folder or lies below it, by whatever names. */
bool ld_file_inside(const char *path, const char *folder);

#endif
