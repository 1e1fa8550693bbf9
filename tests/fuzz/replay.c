/* Replaces libFuzzer when clang is missing: passes each file of the command line to the target, in memory of
 * its exact size. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return perror(path), 1;
  const long size = ftell(file);
  rewind(file);
  uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
  const int failed = !data || size < 0 || fread(data, 1, (size_t)size, file) != (size_t)size;
  if (failed)
    perror(path);
  else
    LLVMFuzzerTestOneInput(data, (size_t)size);
  free(data);
  fclose(file);
  return failed;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (replay(argv[i])) return 1;
  return argc < 2;
}
