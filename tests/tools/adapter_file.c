/* adapter_file IN MODULES FORMAT OUT: reads an adapter in any of its formats and writes it in another. MODULES
 * is a file with the paths of the base's modules, one a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/memory.h"
#include "io/hub/adapter_formats.h"

static char **read_lines(const char *path, size_t *n) {
  char **lines = NULL, line[1024];
  size_t room = 0;
  FILE *file = fopen(path, "r");
  *n = 0;
  while (file && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    lines = ld_grow(lines, *n, &room, sizeof *lines);
    lines[(*n)++] = ld_strdup(line);
  }
  if (file) fclose(file);
  return lines;
}

static int convert(const char *in, const char *format, const char *out, const ld_adapter_context *context,
                   ld_error *err) {
  const ld_adapter_format *from = ld_adapter_format_at(in), *to = ld_adapter_format_find(format);
  ld_adapter *adapter = NULL;
  if (!from || !to) return ld_fail(err, LD_EUSAGE, "%s: no adapter, or '%s' is no format", in, format);
  int rc = from->read(in, context, &adapter, err);
  if (!rc) rc = to->write(out, adapter, context, err);
  ld_adapter_free(adapter);
  return rc;
}

int main(int argc, char **argv) {
  ld_error err = {0};
  if (argc != 5) return 2;
  size_t n;
  char **modules = read_lines(argv[2], &n);
  const ld_adapter_context context = {ld_adapter_forms(), (const char **)modules, n};
  const int rc = convert(argv[1], argv[3], argv[4], &context, &err);
  if (rc) fprintf(stderr, "%s\n", err.text);
  for (size_t i = 0; i < n; i++) free(modules[i]);
  free(modules);
  return rc ? 1 : 0;
}
