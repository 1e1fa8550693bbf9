/* Any lines "NAME SHAPE" as the tensors of a checkpoint in one file, with bytes for numbers. What is accepted is
 * read to its last byte. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/hub/ldm.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BYTES = 1 << 24 };

/* "64,32" as the rest of the tensor's entry, whose data begins at *at; false when it is too large. */
static bool put_entry(ld_text *header, const char *shape, size_t *at) {
  size_t count = 1;
  ld_text_puts(header, ":{\"dtype\":\"U8\",\"shape\":[");
  for (int d = 0; *shape && *shape != '-' && d < LD_MAX_DIMS; d++) {
    char *end;
    const unsigned long n = strtoul(shape, &end, 10);
    if (end == shape || n > MOST_BYTES || count * n > MOST_BYTES) return false;
    count *= n;
    ld_text_printf(header, "%s%lu", d ? "," : "", n);
    shape = end + (*end == ',');
  }
  ld_text_printf(header, "],\"data_offsets\":[%zu,%zu]}", *at, *at + count);
  *at += count;
  return *at <= MOST_BYTES;
}

/* The file that the lines describe; NULL for none. */
static char *make_file(char *lines, size_t *length) {
  ld_text header = {0};
  size_t at = 0;
  bool fits = true;
  char *save = NULL;
  for (char *line = strtok_r(lines, "\n", &save); line && fits; line = strtok_r(NULL, "\n", &save)) {
    char *space = strchr(line, ' ');
    if (!space) continue;
    *space = 0;
    ld_text_puts(&header, header.length ? "," : "{");
    ld_json_quote(&header, line);
    fits = put_entry(&header, space + 1, &at);
  }
  ld_text_puts(&header, header.length ? "}" : "{}");
  const uint64_t bytes = header.length;
  char *file = fits ? ld_alloc(8 + header.length + at, 1) : NULL;
  if (file) {
    memcpy(file, &bytes, 8);
    memcpy(file + 8, header.bytes, header.length);
    *length = 8 + header.length + at;
  }
  ld_text_free(&header);
  return file;
}

static void read_all(const ld_ldm *ldm) {
  unsigned sum = 0;
  for (int c = 0; c < ldm->n_components; c++)
    for (size_t i = 0; i < ldm->components[c].list.n; i++) {
      const ld_named *named = &ldm->components[c].list.named[i];
      void *made = NULL;
      if (named->make && named->make(named, &made, NULL)) abort();
      const unsigned char *bytes = made ? made : named->tensor.data;
      for (size_t k = 0; k < ld_stored_bytes(&named->tensor); k++) sum += bytes[k];
      free(made);
    }
  volatile unsigned used = sum; /* so that the reading is not optimised away */
  (void)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_safetensors *tensors;
  ld_error err = {0};
  size_t length = 0;
  char *lines = ld_strndup((const char *)data, size), *file = make_file(lines, &length);
  if (file && !ld_safetensors_parse(file, length, "fuzz", &tensors, &err)) {
    ld_ldm *ldm;
    const int rc = ld_ldm_read(tensors, "fuzz", "epsilon", &ldm, &err);
    if (rc && (ldm || !err.text[0])) abort();
    if (!rc) read_all(ldm);
    ld_ldm_free(ldm);
    ld_safetensors_close(tensors);
  }
  free(file);
  free(lines);
  return 0;
}
