#include "io/hub/adapter_labels.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"

void ld_adapter_labels_put_list(ld_text *out, const ld_adapter *adapter) {
  ld_text_puts(out, "[");
  for (size_t i = 0; i < adapter->n_labels; i++) {
    if (i) ld_text_puts(out, ", ");
    ld_json_quote(out, adapter->labels[i]);
  }
  ld_text_puts(out, "]");
}

void ld_adapter_labels_put_map(ld_text *out, char *const *labels, size_t n) {
  ld_text_puts(out, "{");
  for (size_t i = 0; i < n; i++) {
    ld_text_printf(out, "%s\n  \"%zu\": ", i ? "," : "", i);
    ld_json_quote(out, labels[i]);
  }
  ld_text_puts(out, n ? "\n}\n" : "}\n");
}

/* The class number in a key: decimal digits without a leading zero; `n` for any other text. */
static size_t class_of(const char *key, size_t n) {
  const size_t digits = strspn(key, "0123456789");
  if (digits < 1 || digits > 9 || key[digits] || (key[0] == '0' && digits > 1)) return n;
  const size_t number = (size_t)strtoul(key, NULL, 10);
  return number < n ? number : n;
}

int ld_adapter_labels_read(const ld_value *tree, const char *name, ld_adapter *adapter, ld_error *err) {
  const size_t n = tree->n_items;
  if (tree->type != LD_LIST && tree->type != LD_MAP)
    return ld_fail(err, LD_EFORMAT, "%s: labels: expected {\"0\": \"...\", \"1\": \"...\"}, found %s", name,
                   ld_value_type_name(tree->type));
  if (n == 0) return 0;
  adapter->labels = ld_alloc(n, sizeof *adapter->labels);
  adapter->n_labels = n;
  for (size_t i = 0; i < n; i++) {
    const ld_value *item = &tree->items[i];
    const size_t number = tree->type == LD_LIST ? i : class_of(item->key, n);
    if (item->type != LD_STRING)
      return ld_fail(err, LD_EFORMAT, "%s: labels: the name of class %zu is %s, expected a string", name, i,
                     ld_value_type_name(item->type));
    if (number == n || adapter->labels[number])
      return ld_fail(err, LD_EFORMAT, "%s: labels: '%s' is not the number of one of %zu classes", name,
                     item->key, n);
    adapter->labels[number] = ld_strdup(item->string);
  }
  return 0;
}
