/* Any bytes as the captions of a folder with a.png, b.png and sub/c.png: pieces of a file's number, a length of two
 * bytes, and the file's content. What opens must have a caption for each image. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/dataset/picture_list.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"metadata.jsonl", "metadata.csv",    "sub/metadata.jsonl",
                                    "a.txt",          "a.caption",       "sub/c.txt",
                                    "d.txt",          "sub/metadata.csv"};
enum { N_NAMES = sizeof names / sizeof *names, N_IMAGES = 3 };

static void begin_folder(void) {
  char path[128];
  snprintf(path, sizeof path, "%s/sub", scratch_folder());
  mkdir(path, 0700);
  scratch_write("a.png", "", 0, path);
  scratch_write("b.png", "", 0, path);
  scratch_write("sub/c.png", "", 0, path);
  for (size_t i = 0; i < N_NAMES; i++) {
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), names[i]);
    unlink(path);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_picture_list list;
  ld_error err = {0};
  char path[128];
  if (size < 1) return 0;
  const char *common = data[0] % 2 ? "all" : NULL;
  begin_folder();
  for (data++, size--; size >= 3;) {
    size_t length = data[1] | (size_t)data[2] << 8;
    if (length > size - 3) length = size - 3;
    scratch_write(names[data[0] % N_NAMES], data + 3, length, path);
    data += 3 + length;
    size -= 3 + length;
  }
  if (ld_picture_list_read(scratch_folder(), common, &list, &err)) {
    if (!err.text[0]) abort();
  } else {
    if (list.n != N_IMAGES) abort();
    for (size_t i = 0; i < list.n; i++)
      if (!list.captions[i]) abort();
  }
  ld_picture_list_free(&list);
  return 0;
}
