#include "scratch.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

Test(file, a_map_holds_the_bytes) {
  char *folder = scratch_new(), *path = scratch_file(folder, "a", "hello", 5),
       *empty = scratch_file(folder, "e", "", 0);
  ld_map map;
  ld_error err = {0};
  cr_assert_eq(ld_map_open(path, &map, &err), 0);
  cr_assert(map.length == 5 && memcmp(map.bytes, "hello", 5) == 0);
  ld_map_close(&map);
  cr_assert_eq(ld_map_open(empty, &map, &err), 0);
  cr_assert(map.length == 0 && !map.bytes);
  cr_assert_eq(ld_map_open(folder, &map, &err), LD_EFILE);
  cr_assert(strstr(err.text, "not a regular file"));
  cr_assert_eq(ld_map_open("/nowhere/x", &map, &err), LD_EFILE);
  cr_assert(strstr(err.text, "/nowhere/x"));
  free(path), free(empty);
  scratch_end(folder);
}

Test(file, a_pipe_does_not_hang) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "pipe");
  ld_map map;
  cr_assert_eq(mkfifo(path, 0600), 0);
  cr_assert_eq(ld_map_open(path, &map, NULL), LD_EFILE);
  free(path);
  scratch_end(folder);
}

Test(file, writing_replaces_as_a_whole) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "f");
  ld_error err = {0};
  size_t length, n;
  cr_assert_eq(ld_file_write(path, "one", 3, &err), 0, "%s", err.text);
  cr_assert_eq(ld_file_write(path, "second", 6, &err), 0, "%s", err.text);
  char *bytes = scratch_read(path, &length);
  cr_assert_str_eq(bytes, "second");
  char **names = ld_folder_names(folder, &n, &err);
  cr_assert_eq(n, 1, "a temporary file stays");
  ld_names_free(names, n);
  free(bytes), free(path);
  scratch_end(folder);
}

Test(file, writing_where_it_cannot_be) {
  char *folder = scratch_new();
  ld_error err = {0};
  cr_assert_eq(ld_file_write(folder, "x", 1, &err), LD_EFILE);
  cr_assert_eq(ld_file_write("/nowhere/at/all", "x", 1, &err), LD_EFILE);
  cr_assert(strstr(err.text, "/nowhere/at"));
  scratch_end(folder);
}

Test(file, a_full_disk_keeps_the_old_file) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "f"), *large = ld_alloc(1 << 20, 1);
  ld_error err = {0};
  size_t length, n;
  cr_assert_eq(ld_file_write(path, "old", 3, &err), 0);
  signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit = {100000, RLIM_INFINITY};
  cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
  cr_assert_eq(ld_file_write(path, large, 1 << 20, &err), LD_EFILE);
  char *bytes = scratch_read(path, &length);
  cr_assert_str_eq(bytes, "old");
  char **names = ld_folder_names(folder, &n, &err);
  cr_assert_eq(n, 1, "a temporary file stays");
  ld_names_free(names, n);
  free(bytes), free(path), free(large);
  scratch_end(folder);
}

Test(file, folders_are_made_with_those_above) {
  char *folder = scratch_new(), *deep = ld_path_join(folder, "a/b//c/"),
       *under = ld_path_join(folder, "file/x");
  ld_error err = {0};
  cr_assert_eq(ld_make_folders(deep, &err), 0, "%s", err.text);
  cr_assert_eq(ld_make_folders(deep, &err), 0);
  cr_assert(ld_is_folder(deep) && !ld_file_exists(deep));
  scratch_text(folder, "file", "");
  cr_assert_eq(ld_make_folders(under, &err), LD_EFILE);
  free(deep), free(under);
  scratch_end(folder);
}

static bool is_our_name(const char *name) {
  return !strcmp(name, "a") || !strcmp(name, "peft");
}

static void check_names(const char *folder, const char *const *expected, size_t n_expected) {
  size_t n;
  char **names = ld_folder_names(folder, &n, NULL);
  cr_assert_eq(n, n_expected, "%zu names in %s", n, folder);
  for (size_t i = 0; i < n; i++) cr_assert_str_eq(names[i], expected[i]);
  ld_names_free(names, n);
}

/* Only names of this program: others may look like them. */
Test(file, sweeping_takes_only_our_leftovers) {
  char *folder = scratch_new();
  static const char *const files[] = {"a",      "a.tmp.12", "a.tmp.", "a.tmp.x1", "notes.tmp.2024",
                                      ".tmp.5", "precious"};
  for (size_t i = 0; i < 7; i++) scratch_text(folder, files[i], "");
  static const char *const folders[] = {"peft.tmp.7", "peft.tmp.8", "other.tmp.7", "peft.tmp.8/inner"};
  for (size_t i = 0; i < 4; i++) {
    char *inner = ld_path_join(folder, folders[i]);
    cr_assert_eq(mkdir(inner, 0777), 0);
    scratch_text(inner, "file", "x");
    free(inner);
  }
  char *link = ld_path_join(folder, "a.tmp.13"), *precious = ld_path_join(folder, "precious");
  cr_assert_eq(symlink(precious, link), 0);
  ld_file_sweep(folder, is_our_name);
  static const char *const left[] = {".tmp.5",         "a",           "a.tmp.",     "a.tmp.13", "a.tmp.x1",
                                     "notes.tmp.2024", "other.tmp.7", "peft.tmp.8", "precious"};
  check_names(folder, left, 9);
  free(link), free(precious);
  scratch_end(folder);
}

Test(file, what_is_no_plain_file_is_not_replaced) {
  char *folder = scratch_new();
  ld_error err = {0};
  char *pipe = ld_path_join(folder, "pipe"), *link = ld_path_join(folder, "link"),
       *dangling = ld_path_join(folder, "dangling"), *kept = scratch_file(folder, "kept", "old", 3);
  cr_assert_eq(mkfifo(pipe, 0600), 0);
  cr_assert_eq(symlink("kept", link), 0);
  cr_assert_eq(symlink("nothing", dangling), 0);
  for (int i = 0; i < 3; i++) {
    const char *const paths[] = {pipe, link, dangling};
    cr_assert_eq(ld_file_write(paths[i], "new", 3, &err), LD_EFILE, "%s", paths[i]);
    cr_assert(strstr(err.text, i ? "link" : "device or pipe"), "%s", err.text);
    int held;
    cr_assert_eq(ld_file_lock(paths[i], 0, &held, &err), LD_EFILE, "%s", paths[i]);
  }
  static const char *const left[] = {"dangling", "kept", "link", "pipe"};
  check_names(folder, left, 4);
  free(pipe), free(link), free(dangling), free(kept);
  scratch_end(folder);
}

/* A file that happens to have the temporary name belongs to somebody else. */
Test(file, a_part_is_a_new_file) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "f");
  char *mine = ld_format("f.tmp.%ld", (long)getpid());
  ld_error err = {0};
  size_t length;
  char *foreign = scratch_file(folder, mine, "theirs", 6);
  cr_assert_eq(ld_file_write(path, "ours", 4, &err), 0, "%s", err.text);
  char *bytes = scratch_read(foreign, &length);
  cr_assert_str_eq(bytes, "theirs");
  free(bytes), free(foreign), free(mine), free(path);
  scratch_end(folder);
}

Test(file, an_output_is_a_new_place) {
  char *folder = scratch_new();
  ld_error err = {0};
  scratch_text(folder, "file", "x");
  static const char *const taken[] = {"file", "full", "link", "dangling"}, *const free_places[] = {"empty",
                                                                                                   "none"};
  char *full = ld_path_join(folder, "full"), *empty = ld_path_join(folder, "empty/");
  cr_assert_eq(mkdir(full, 0777), 0);
  cr_assert_eq(mkdir(empty, 0777), 0);
  scratch_text(full, "x", "x");
  for (int i = 2; i < 4; i++) {
    char *link = ld_path_join(folder, taken[i]);
    cr_assert_eq(symlink(i == 2 ? "file" : "nowhere", link), 0);
    free(link);
  }
  for (int i = 0; i < 4; i++) {
    char *path = ld_path_join(folder, taken[i]);
    cr_assert_eq(ld_output_check(path, &err), LD_EFILE, "%s", path);
    cr_assert(strstr(err.text, taken[i]) && strstr(err.text, "already"));
    free(path);
  }
  for (int i = 0; i < 2; i++) {
    char *path = ld_path_join(folder, free_places[i]);
    cr_assert_eq(ld_output_check(path, &err), 0, "%s", err.text);
    free(path);
  }
  cr_assert_eq(ld_output_check(empty, &err), 0, "%s", err.text);
  free(full), free(empty);
  scratch_end(folder);
}

Test(file, the_same_by_other_names) {
  char *folder = scratch_new(), *a = scratch_file(folder, "a", "x", 1),
       *deep = ld_path_join(folder, "in/deep");
  char *hard = ld_path_join(folder, "hard"), *soft = ld_path_join(folder, "soft"),
       *inside = ld_path_join(folder, "soft/new/er"), *beside = ld_path_join(folder, "in/../new"),
       *in = ld_path_join(folder, "in"), *other = ld_path_join(folder, "int");
  cr_assert_eq(link(a, hard), 0);
  cr_assert_eq(ld_make_folders(deep, NULL), 0);
  cr_assert_eq(symlink("in/deep", soft), 0);
  cr_assert(ld_file_same(a, hard) && !ld_file_same(a, folder) && !ld_file_same("/nowhere", "/nowhere"));
  cr_assert(ld_file_inside(deep, in) && ld_file_inside(in, in) && ld_file_inside(soft, in));
  cr_assert(ld_file_inside(deep, soft) && ld_file_inside(inside, in) && !ld_file_inside(in, soft));
  cr_assert(!ld_file_inside(beside, in) && !ld_file_inside(other, in) && !ld_file_inside(hard, a));
  cr_assert(ld_file_inside("new", "/") && !ld_file_inside("new", "/nowhere"));
  free(a), free(deep), free(hard), free(soft), free(inside), free(beside), free(in), free(other);
  scratch_end(folder);
}

static void write_folder(const char *path, const char *text, int expected) {
  ld_error err = {0};
  char *part = ld_folder_begin(path, &err);
  cr_assert(part, "%s", err.text);
  scratch_text(part, "x", text);
  char *name = ld_strdup(part);
  cr_assert_eq(ld_folder_end(part, path, 0, &err), expected, "%s", err.text);
  cr_assert_not(ld_is_folder(name));
  free(name);
}

static void check_folder(const char *path, const char *text) {
  char *file = ld_path_join(path, "x");
  size_t length;
  char *bytes = scratch_read(file, &length);
  cr_assert_str_eq(bytes, text);
  free(bytes), free(file);
}

Test(file, a_folder_is_replaced_as_a_whole) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "out/peft/");
  size_t n;
  write_folder(path, "one", 0);
  write_folder(path, "two", 0);
  check_folder(path, "two");
  char *out = ld_path_join(folder, "out");
  char **names = ld_folder_names(out, &n, NULL);
  cr_assert_eq(n, 1, "a temporary folder stays");
  ld_names_free(names, n);
  free(out), free(path);
  scratch_end(folder);
}

Test(file, a_folder_with_other_files_stays) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "peft");
  cr_assert_eq(mkdir(path, 0777), 0);
  scratch_text(path, "thesis.tex", "years of work");
  write_folder(path, "one", LD_EFILE);
  char *file = ld_path_join(path, "thesis.tex");
  cr_assert(ld_file_exists(file));
  free(file), free(path);
  scratch_end(folder);
}

/* The state after a kill, on a file system that cannot exchange two names. */
Test(file, a_swap_that_was_killed_can_be_read_and_goes_on) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "peft");
  char *aside = ld_path_join(folder, "peft.being-replaced");
  write_folder(path, "one", 0);
  cr_assert_eq(rename(path, aside), 0);
  char *present = ld_folder_present(path);
  cr_assert_str_eq(present, aside);
  check_folder(present, "one");
  ld_folder_settle(path);
  check_folder(path, "one");
  cr_assert_eq(mkdir(aside, 0777), 0);
  scratch_text(aside, "x", "old");
  ld_folder_settle(path);
  write_folder(path, "two", 0);
  check_folder(path, "two");
  cr_assert_not(ld_is_folder(aside));
  free(present);
  present = ld_folder_present(path);
  cr_assert_str_eq(present, path);
  free(present), free(aside), free(path);
  scratch_end(folder);
}

/* Nothing beside a new folder is touched, whatever its name. */
Test(file, a_new_folder_leaves_others) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "peft");
  static const char *const left[] = {"peft", "peft.being-replaced", "peft.tmp.1"};
  for (int i = 1; i < 3; i++) {
    char *part = ld_path_join(folder, left[i]);
    cr_assert_eq(mkdir(part, 0777), 0);
    scratch_text(part, "x", "half");
    free(part);
  }
  write_folder(path, "one", 0);
  check_names(folder, left, 3);
  free(path);
  scratch_end(folder);
}

Test(file, a_folder_that_could_be_made_is_known) {
  char *folder = scratch_new(), *file = scratch_file(folder, "f", "", 0), *below = ld_path_join(file, "x/y");
  char *deep = ld_path_join(folder, "a/b//c/");
  ld_error err = {0};
  cr_assert_eq(ld_folder_check(folder, &err), 0, "%s", err.text);
  cr_assert_eq(ld_folder_check(deep, &err), 0, "%s", err.text);
  cr_assert_eq(ld_folder_check("new", &err), 0, "%s", err.text);
  cr_assert_eq(ld_folder_check(file, &err), LD_EFILE);
  cr_assert_eq(ld_folder_check(below, &err), LD_EFILE);
  cr_assert(strstr(err.text, "is a file"), "%s", err.text);
  size_t n;
  ld_names_free(ld_folder_names(folder, &n, &err), 1);
  cr_assert_eq(n, 1);
  free(file), free(below), free(deep);
  scratch_end(folder);
}
