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

Test(file, sweeping_takes_only_leftovers) {
  char *folder = scratch_new();
  static const char *const names[] = {"a.tmp.12", "b.tmp.", "c.tmp.x1", "tmp.3", ".tmp.5", "d.h5", "e.tmp.7"};
  size_t n;
  for (size_t i = 0; i < 6; i++) scratch_text(folder, names[i], "");
  char *inner = ld_path_join(folder, names[6]);
  cr_assert_eq(mkdir(inner, 0777), 0);
  scratch_text(inner, "file", "x");
  ld_file_sweep(folder);
  char **left = ld_folder_names(folder, &n, NULL);
  cr_assert_eq(n, 5);
  for (size_t i = 0; i < n; i++)
    cr_assert(strcmp(left[i], "a.tmp.12") && strcmp(left[i], "e.tmp.7"), "%s", left[i]);
  ld_names_free(left, n);
  free(inner);
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

/* What a kill leaves on a file system that cannot exchange two names. */
Test(file, a_swap_that_was_killed_can_be_read_and_goes_on) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "peft");
  char *aside = ld_path_join(folder, "peft.being-replaced");
  write_folder(path, "one", 0);
  cr_assert_eq(rename(path, aside), 0);
  char *present = ld_folder_present(path);
  cr_assert_str_eq(present, aside);
  check_folder(present, "one");
  write_folder(path, "two", 0);
  check_folder(path, "two");
  cr_assert_not(ld_is_folder(aside));
  free(present);
  present = ld_folder_present(path);
  cr_assert_str_eq(present, path);
  free(present), free(aside), free(path);
  scratch_end(folder);
}

Test(file, a_new_folder_sweeps_what_killed_writers_left) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "peft");
  size_t n;
  static const char *const left[] = {"peft.tmp.1", "other.tmp.1", "peft2.tmp.1"};
  for (int i = 0; i < 3; i++) {
    char *part = ld_path_join(folder, left[i]);
    cr_assert_eq(mkdir(part, 0777), 0);
    scratch_text(part, "x", "half");
    free(part);
  }
  write_folder(path, "one", 0);
  char **names = ld_folder_names(folder, &n, NULL);
  cr_assert_eq(n, 3);
  cr_assert_str_eq(names[0], "other.tmp.1");
  cr_assert_str_eq(names[2], "peft2.tmp.1");
  ld_names_free(names, n);
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
