/* Any bytes as a model folder: pieces of a name's number, a length of two bytes, and the file's content. What
 * opens must describe itself in the same way through every function, and give no byte beyond a file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/hub/model_folder.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"config.json",
                                    "model.safetensors",
                                    "model.safetensors.index.json",
                                    "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "generation_config.json"};
enum { N_NAMES = sizeof names / sizeof *names };

static void clear_folder(void) {
  char path[128];
  for (size_t i = 0; i < N_NAMES; i++) {
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), names[i]);
    unlink(path);
  }
}

static void lay_out(const uint8_t *data, size_t size) {
  char path[128];
  while (size >= 3) {
    size_t length = data[1] | (size_t)data[2] << 8;
    if (length > size - 3) length = size - 3;
    scratch_write(names[data[0] % N_NAMES], data + 3, length, path);
    data += 3 + length;
    size -= 3 + length;
  }
}

static void read_tensors(const ld_model_folder *folder) {
  unsigned sum = 0;
  for (size_t i = 0; i < ld_model_folder_count(folder); i++) {
    const ld_stored *tensor = ld_model_folder_tensor(folder, i);
    if (tensor != ld_model_folder_find(folder, ld_model_folder_name(folder, i))) abort();
    const size_t bytes = ld_stored_bytes(tensor);
    for (size_t k = 0; k < bytes; k++) sum += ((const unsigned char *)tensor->data)[k];
  }
  volatile unsigned used = sum; /* so that the reading is not optimised away */
  (void)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_model_folder *folder;
  ld_error err = {0};
  int32_t ids[LD_MAX_EOS + 1] = {[LD_MAX_EOS] = -7};
  int n;
  clear_folder();
  lay_out(data, size);
  if (ld_model_folder_open(scratch_folder(), &folder, &err)) {
    if (folder || !err.text[0]) abort();
    return 0;
  }
  read_tensors(folder);
  if (strlen(ld_model_folder_digest(folder)) != LD_DIGEST_TEXT) abort();
  for (const char *const *role = (const char *const[]){"bos_token", "eos_token", "pad_token", NULL}; *role;
       role++)
    ld_model_folder_token(folder, *role);
  const int rc = ld_model_folder_eos(folder, 1000, ids, &n, &err);
  if (n < 0 || n > LD_MAX_EOS || ids[LD_MAX_EOS] != -7 || (rc && !err.text[0])) abort();
  ld_model_folder_close(folder);
  return 0;
}
