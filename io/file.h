/* Files: reads whole files through a map, and writes files (and flat folders) so that they are complete or do
 * not exist. */
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

/* Maps a regular file, shared and read-only, so that all ranks of a node use one copy in the page cache.
 * LD_EFORMAT for a git-lfs pointer in its place. */
int ld_map_open(const char *path, ld_map *map, ld_error *err);
void ld_map_close(ld_map *map);

/* The same, but what this process writes to the bytes is its own: it changes neither the file nor what other
 * processes see. */
int ld_map_open_own(const char *path, ld_map *map, ld_error *err);

bool ld_file_exists(const char *path); /* a regular file, or a link to one */
bool ld_file_is_named(
    const char *path); /* anything of that name, also a folder or a broken link, which opening may refuse */
bool ld_is_folder(const char *path);

/* "folder/name" in fresh memory; the caller frees. */
char *ld_path_join(const char *folder, const char *name);

/* The folder for temporary files: TMPDIR, or /tmp. */
const char *ld_temporary_folder(void);

/* The folder that the path is in: "." without a slash. The caller frees. */
char *ld_path_parent(const char *path);

/* The last name of a path, inside it; all of a path that ends in a slash. */
const char *ld_path_base(const char *path);

/* Makes a folder and those above it, unless it exists. */
int ld_make_folders(const char *path, ld_error *err);

/* The bytes that an ordinary user can still write to the file system of a folder, which need not exist yet;
 * -1 when not known. */
int64_t ld_folder_room(const char *path);

/* Checks whether ld_make_folders could make the folder and files could be written into it; what is made for
 * the check is removed again. */
int ld_folder_check(const char *path, ld_error *err);

/* The names in a folder except "." and "..", sorted; NULL and an error when it cannot be read. The caller
 * frees with ld_names_free. */
char **ld_folder_names(const char *path, size_t *n, ld_error *err);
void ld_names_free(char **names, size_t n);

/* Fails with LD_EFILE and "<path>: <what>: <errno's text>; <remedy>". */
int ld_file_fail(const char *path, const char *what, ld_error *err);

/* Removes a folder of files and links. A folder with a subfolder stays, and so does the subfolder. Returns 0,
 * or -1 if it still exists. */
int ld_remove_folder(const char *path);

/* The same with its subfolders: for folders that this process made. */
int ld_remove_tree(const char *path);

/* Writes `path` atomically (to a temporary file beside it, synced, renamed):
 *   char *part = ld_file_begin(path, err);           a name beside it to write to, "path.tmp.<pid>"
 *   code = ... write and close part ...
 *   return ld_file_end(part, path, code, err);       fsync, rename, fsync of the folder
 *
 * ld_file_end frees `part`. When `code` says that writing failed, or when ld_file_end itself fails, it
 * removes the part and returns the code. A regular file at `path` is replaced; a folder, link, device or pipe
 * there gives LD_EFILE. */
char *ld_file_begin(const char *path, ld_error *err);
int ld_file_end(char *part, const char *path, int code, ld_error *err);

/* Takes the lock file `path`, creating it if necessary, until this process ends or calls ld_file_unlock.
 * Waits up to `seconds` for another holder, with a message. LD_EFILE when it is still held then, or when
 * `path` is a link or not a regular file. A file system without locks counts as free. */
int ld_file_lock(const char *path, int seconds, int *lock, ld_error *err);
void ld_file_unlock(int lock); /* -1 is fine */

/* Writes all of `length` bytes to an open file; `path` is for errors. */
int ld_write_all(int fd, const void *bytes, size_t length, const char *path, ld_error *err);

/* Closes it: some file systems report only now that they are full. Returns `code`, or when that is 0 the
 * result of closing. */
int ld_close_written(int fd, const char *path, int code, ld_error *err);

/* Writes `length` bytes to `path` atomically. */
int ld_file_write(const char *path, const void *bytes, size_t length, ld_error *err);

/* Writes a folder of plain files, or of folders of them whose files were written by ld_file_write, atomically,
 * as a whole:
 *   char *part = ld_folder_begin(path, err);         makes the folder "path.tmp.<pid>"
 *   code = ... write files into part ...
 *   return ld_folder_end(part, path, code, err);     fsync of files and folder, which then takes the
 *                                                    place of `path`
 *
 * An old folder is exchanged in one step where the file system can do that (renameat2), and removed. Where it
 * cannot, the old folder is "path.being-replaced" for a moment before the new one takes its name: a reader
 * that finds no `path` looks there (ld_folder_present), and ld_folder_settle puts it back. A folder is
 * replaced only if `part` has a file of the same name for each of its files. */
char *ld_folder_begin(const char *path, ld_error *err);
int ld_folder_end(char *part, const char *path, int code, ld_error *err);

/* Undoes what a kill in the middle of an exchange left: the old folder gets its name back, or is removed. For
 * a `path` whose name belongs to this program. */
void ld_folder_settle(const char *path);

/* The folder to read for `path`: itself, or "path.being-replaced" after a kill in the middle of an exchange.
 * The caller frees. */
char *ld_folder_present(const char *path);

/* The length of X in a name "X.tmp.<digits>", which a killed writer of X leaves; 0 for any other name. */
size_t ld_file_leftover(const char *name);

/* Removes the leftovers in `folder` whose names `is_ours` accepts: regular files, and flat folders of such. */
void ld_file_sweep(const char *folder, bool (*is_ours)(const char *name));

/* The rule for all outputs: nothing is overwritten. LD_EFILE unless there is nothing at the path, or an empty
 * folder. (A run replaces files in its own folder: job/run_claim.c.) */
int ld_output_check(const char *path, ld_error *err);

/* Whether both exist and are one file or folder, under whatever names. */
bool ld_file_same(const char *one, const char *other);

/* Whether `path`, which need not exist yet, is that folder or lies below it, under whatever names. */
bool ld_file_inside(const char *path, const char *folder);

#endif
