/* Which entries of --out belong to a run. A run replaces, appends to and removes files of its own folder
 * without asking. So before it touches anything, the folder must be its own (it has a `lock` or a run's
 * `run.yaml`) or hold none of the names that a run uses, and no entry with these names may be an input of the
 * job. */
#include "job/run_claim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/dataset/index_file.h"
#include "io/dataset/joined.h"
#include "io/file.h"
#include "io/hub/adapter_formats.h"
#include "io/state/checkpoint_folder.h"

static const char *const files[] = {"lock",       "run.yaml",    "metrics.jsonl", "best.h5",
                                    "adapter.h5", "report.html", "profile.json",  "test-write"};

static bool is_file_name(const char *name) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (strcmp(files[i], name) == 0) return true;
  return false;
}

/* The folder of a format of adapters, also in the middle of an exchange. */
static bool is_adapter(const char *name) {
  static const char end[] = ".being-replaced";
  for (size_t i = 0; ld_adapter_formats[i]; i++) {
    const char *folder = ld_adapter_formats[i]->folder;
    const size_t length = folder ? strlen(folder) : 0;
    if (folder && !strncmp(name, folder, length) && (!name[length] || !strcmp(name + length, end)))
      return true;
  }
  return false;
}

/* Digests and indexes are written before a run begins, and say themselves whose they are (io/hub/digests.c,
 * io/dataset/index_file.c). */
static bool is_ours(const char *name) {
  return is_file_name(name) || is_adapter(name) || !strcmp(name, "digests.txt") ||
         ld_index_file_is_name(name) || ld_joined_is_name(name);
}

/* Whether a run may write or remove this entry: by its name, or because a killed run left it. */
static bool is_used(const char *name, bool (*ours)(const char *name)) {
  const size_t length = ld_file_leftover(name);
  char *of = length ? ld_strndup(name, length) : ld_strdup(name);
  const bool used = ours(of);
  free(of);
  return used;
}

static int check_input(const ld_options *options, const char *path, ld_error *err) {
  const char *const inputs[] = {options->data, options->valid, options->init_adapter};
  static const char *const names[] = {"data", "valid", "init-adapter"};
  int rc = 0;
  for (int i = 0; i < 3; i++)
    for (const char *at = inputs[i]; at && !rc;
         at = strchr(at, '\n')) { /* --data and --valid may be several */
      at += *at == '\n';
      char *input = ld_strndup(at, strcspn(at, "\n"));
      if (ld_file_same(input, path))
        rc = ld_fail(err, LD_EUSAGE, "--%s %s is %s, which this run would replace: choose another --out",
                     names[i], input, path);
      free(input);
    }
  return rc;
}

/* Fails when an entry of `folder` that a run uses is an input or contains one. */
static int check_inputs(const ld_options *options, const char *folder, bool (*ours)(const char *name),
                        ld_error *err) {
  size_t n;
  char **names = ld_folder_names(folder, &n, NULL);
  int rc = names ? check_input(options, folder, err) : 0;
  for (size_t i = 0; names && i < n && !rc; i++) {
    char *path = ld_path_join(folder, names[i]);
    if (is_used(names[i], ours)) rc = check_input(options, path, err);
    free(path);
  }
  ld_names_free(names, n);
  return rc;
}

static bool any_name(const char *name) {
  return name[0] != 0;
}

/* A run's run.yaml names its base, however it was edited. */
static bool is_record(const char *path) {
  struct stat info;
  ld_map map;
  if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode) || ld_map_open(path, &map, NULL)) return false;
  static const char mark[] = "\nbase-digest: ";
  const bool found = map.length && memmem(map.bytes, map.length, mark, sizeof mark - 1);
  ld_map_close(&map);
  return found;
}

bool ld_run_is_folder(const char *folder) {
  char *record = ld_path_join(folder, "run.yaml"), *lock = ld_path_join(folder, "lock");
  struct stat info;
  const bool locked = lstat(lock, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0;
  const bool is = locked || is_record(record);
  free(record);
  free(lock);
  return is;
}

/* Whether a run's file (or folder) may replace `name`; `own` says whether the folder is the run's. */
static int check_entry(const ld_options *options, const char *name, bool folder, bool own, ld_error *err) {
  struct stat info;
  char *path = ld_path_join(options->out, name);
  int rc = 0;
  if (lstat(path, &info) != 0)
    rc = 0;
  else if (folder ? !S_ISDIR(info.st_mode) : !S_ISREG(info.st_mode))
    rc = ld_fail(err, LD_EFILE, "%s: is not a %s of this program: remove it, or choose another --out", path,
                 folder ? "folder" : "file");
  else if (!own)
    rc = ld_fail(err, LD_EFILE,
                 "%s: already exists, and '%s' is not the folder of a run: choose another --out, or move it",
                 path, options->out);
  free(path);
  return rc;
}

/* Such a folder is replaced as a whole at the end, so files that somebody else put into it would be lost. That
 * is checked now. */
static int check_adapter(const ld_adapter_format *format, const char *folder, ld_error *err) {
  size_t n;
  char **names = ld_folder_names(folder, &n, NULL);
  int rc = 0;
  for (size_t i = 0; names && i < n && !rc; i++)
    if (!ld_adapter_format_has(format, names[i]))
      rc = ld_fail(err, LD_EFILE,
                   "%s: contains '%s', which would be lost when the run ends: move it, or give another --out",
                   folder, names[i]);
  ld_names_free(names, n);
  return rc;
}

static int check_entries(const ld_options *options, ld_error *err) {
  const bool own = ld_run_is_folder(options->out);
  int rc = check_entry(options, "checkpoints", true, true, err);
  if (!rc) rc = check_entry(options, "samples", true, own, err);
  for (size_t i = 0; i < sizeof files / sizeof *files && !rc; i++)
    rc = check_entry(options, files[i], false, own, err);
  for (size_t i = 0; ld_adapter_formats[i] && !rc; i++)
    if (ld_adapter_formats[i]->folder)
      rc = check_entry(options, ld_adapter_formats[i]->folder, true, own, err);
  return rc;
}

/* Calls `look` for each folder of --out that an adapter may be written into. */
static int for_adapters(const ld_options *options,
                        int (*look)(const ld_options *, const ld_adapter_format *, const char *, ld_error *),
                        ld_error *err) {
  int rc = 0;
  for (size_t i = 0; ld_adapter_formats[i] && !rc; i++) {
    if (!ld_adapter_formats[i]->folder) continue;
    char *folder = ld_path_join(options->out, ld_adapter_formats[i]->folder);
    rc = look(options, ld_adapter_formats[i], folder, err);
    free(folder);
  }
  return rc;
}

static int look_for_inputs(const ld_options *options, const ld_adapter_format *format, const char *folder,
                           ld_error *err) {
  (void)format;
  return check_inputs(options, folder, any_name, err);
}

static int look_for_others(const ld_options *options, const ld_adapter_format *format, const char *folder,
                           ld_error *err) {
  (void)options;
  return check_adapter(format, folder, err);
}

static int settle(const ld_options *options, const ld_adapter_format *format, const char *folder,
                  ld_error *err) {
  (void)options, (void)format, (void)err;
  ld_folder_settle(folder);
  return 0;
}

int ld_run_claim(const ld_options *options, const char *checkpoints, ld_error *err) {
  int rc = check_inputs(options, options->out, is_ours, err);
  if (!rc) rc = check_inputs(options, checkpoints, ld_checkpoint_is_name, err);
  if (!rc) rc = for_adapters(options, look_for_inputs, err);
  if (!rc) rc = check_entries(options, err);
  return rc ? rc : for_adapters(options, look_for_others, err);
}

void ld_run_forget(const char *folder) {
  size_t n;
  char **names = ld_folder_names(folder, &n, NULL);
  for (size_t i = 0; names && i < n; i++) {
    char *path = ld_path_join(folder, names[i]);
    if (ld_index_file_is_name(names[i]) || ld_joined_is_name(names[i])) unlink(path);
    free(path);
  }
  if (names) ld_names_free(names, n);
  rmdir(folder);
}

void ld_run_sweep(const ld_options *options, const char *checkpoints) {
  ld_file_sweep(checkpoints, ld_checkpoint_is_name);
  ld_file_sweep(options->out, is_ours);
  for_adapters(options, settle, NULL);
}
