#include "io/dataset/foreign.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/dataset/packings.h"
#include "io/file.h"

/* `reader` is the function of pandas. */
typedef struct foreign {
  const char *name, *endings[3], *magic, *reader;
} foreign;

static const foreign known[] = {
    {"a Parquet file", {".parquet", ".pq"}, "PAR1", "read_parquet"},
    {"an Arrow (Feather) file", {".arrow", ".feather"}, "ARROW1", "read_feather"},
    {"an ORC file", {".orc"}, "ORC", "read_orc"},
    {"a spreadsheet", {".xlsx", ".xls", ".ods"}, NULL, "read_excel"},
};

static bool is_named(const foreign *f, const char *path) {
  const size_t length = strlen(path);
  for (size_t i = 0; i < 3 && f->endings[i]; i++) {
    const size_t n = strlen(f->endings[i]);
    if (length > n && !strcasecmp(path + length - n, f->endings[i])) return true;
  }
  return false;
}

/* The first bytes of a file, none of one that cannot be read or is none. */
static size_t read_start(const char *path, char start[8]) {
  FILE *file = ld_file_exists(path) ? fopen(path, "rbe") : NULL;
  const size_t n = file ? fread(start, 1, 8, file) : 0;
  if (file) fclose(file);
  return n;
}

/* Whether a file begins as this kind does: with its magic, and then bytes that no text has ("ORCHARD" is one). */
static bool begins_as(const foreign *f, const char *start, size_t n) {
  const size_t length = f->magic ? strlen(f->magic) : 0;
  if (!length || n < length || memcmp(start, f->magic, length) != 0) return false;
  for (size_t i = length; i < n; i++) {
    const unsigned char c = (unsigned char)start[i];
    if (c < ' ' && c != '\n' && c != '\r' && c != '\t') return true;
  }
  return false;
}

static int fail(const foreign *f, const char *path, ld_error *err) {
  ld_text from = {0};
  ld_text_put_visible(&from, path);
  const char *base = ld_path_base(from.bytes), *dot = strrchr(base, '.');
  const int stem = (int)(dot && dot > base ? (size_t)(dot - from.bytes) : from.length);
  const int rc =
      ld_fail(err, LD_EUNSUPPORTED,
              "%s: is %s, which is not read: convert it: python3 -c \"import pandas; "
              "pandas.%s('%s').to_json('%.*s%s.jsonl', "
              "orient='records', lines=True)\"",
              path, f->name, f->reader, from.bytes, stem, from.bytes, is_named(f, path) ? "" : ".converted");
  ld_text_free(&from);
  return rc;
}

int ld_foreign_check(const char *path, ld_error *err) {
  char start[8];
  const size_t n = read_start(path, start);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (is_named(&known[i], path) || begins_as(&known[i], start, n)) return fail(&known[i], path, err);
  return 0;
}
