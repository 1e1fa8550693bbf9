/* Any bytes as a PEFT folder: the first two are the length of adapter_config.json, the rest is
 * adapter_model.safetensors. What is accepted must pass the writer's checks. The configuration is tried as
 * labels too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/text.h"
#include "io/hub/adapter_labels.h"
#include "io/hub/peft_read.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Accepted labels must give the same number when they are written and read again. */
static void try_labels(const char *bytes, size_t length) {
  ld_adapter first = {0}, second = {0};
  ld_error err = {0};
  ld_text text = {0};
  ld_value *tree = ld_json_parse(bytes, length, "fuzz", &err);
  if (tree && ld_adapter_labels_read(tree, "fuzz", &first, &err) == 0) {
    ld_adapter_labels_put_map(&text, first.labels, first.n_labels);
    ld_value *again = ld_json_parse(text.bytes, text.length, "fuzz", &err);
    if (!again || ld_adapter_labels_read(again, "fuzz", &second, &err) || first.n_labels != second.n_labels)
      abort();
    ld_value_free(again);
  }
  ld_text_free(&text);
  ld_value_free(tree);
  for (size_t i = 0; i < first.n_labels; i++) free(first.labels[i]);
  for (size_t i = 0; i < second.n_labels; i++) free(second.labels[i]);
  free(first.labels);
  free(second.labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_adapter *adapter;
  ld_error err = {0};
  if (size < 2) return 0;
  size_t config = data[0] | (size_t)data[1] << 8;
  if (config > size - 2) config = size - 2;
  const char *both = (const char *)data + 2;
  const ld_peft_bytes bytes = {both, both + config, config, size - 2 - config};
  try_labels(both, config);
  if (ld_peft_parse(&bytes, "fuzz", ld_adapter_forms(), &adapter, &err)) {
    if (!err.text[0] || adapter) abort();
    return 0;
  }
  if (ld_adapter_check(adapter, "fuzz", &err)) abort();
  if (ld_adapter_check_finite(adapter, "fuzz", &err) && !strstr(err.text, "NaN or infinite")) abort();
  ld_peft_warn_of_gaps(adapter, "fuzz", &err);
  ld_adapter_free(adapter);
  return 0;
}
