#include "model/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The keys of every class, and keys that no class declares but all of them use. */
static const ld_key shared[] = {
    {"attention_chunk_size", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"attn_implementation", LD_TAKES_STRING | LD_TAKES_MAP | LD_TAKES_NULL, NULL},
    {"_attn_implementation", LD_TAKES_STRING | LD_TAKES_MAP | LD_TAKES_NULL, NULL},
    {"auto_map", LD_TAKES_MAP, NULL},
    {"chunk_size_feed_forward", LD_TAKES_INTEGER, NULL},
    {"dtype", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"id2label", LD_TAKES_MAP | LD_TAKES_NULL, NULL},
    {"is_causal", LD_TAKES_FLAG, NULL},
    {"is_encoder_decoder", LD_TAKES_FLAG, NULL},
    {"output_attentions", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"output_hidden_states", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"problem_type", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"return_dict", LD_TAKES_FLAG, NULL},
    {"sliding_window", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"torch_dtype", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {NULL, 0, NULL},
};

/* "7" and "07" are both 7. */
static bool read_number(const char *text, long *number) {
  char *end;
  *number = strtol(text, &end, 10);
  return end != text && !*end;
}

static int check_labels(const ld_value *config, const char *source, ld_error *err) {
  const ld_value *names = ld_value_get(config, "id2label");
  long number;
  for (size_t i = 0; names && i < names->n_items; i++)
    if (!read_number(names->items[i].key, &number))
      return ld_fail(err, LD_EFORMAT, "%s/config.json: id2label: the key '%.64s' is not a number", source,
                     names->items[i].key);
  return 0;
}

static int by_number(const void *a, const void *b) {
  const long x = *(const long *)a, y = *(const long *)b;
  return x < y ? -1 : x > y;
}

int ld_config_labels(const ld_value *config) {
  const ld_value *names = ld_value_get(config, "id2label");
  if (!names) return -1;
  long *numbers = ld_alloc(names->n_items, sizeof *numbers);
  for (size_t i = 0; i < names->n_items; i++) read_number(names->items[i].key, &numbers[i]);
  qsort(numbers, names->n_items, sizeof *numbers, by_number);
  int n = 0;
  for (size_t i = 0; i < names->n_items; i++) n += !i || numbers[i] != numbers[i - 1];
  free(numbers);
  return n;
}

/* The value must be a way in which transformers can run the model, although it does not affect the numbers. */
static int check_attention(const ld_value *config, const char *key, const char *source, ld_error *err) {
  static const char *const known[] = {
      "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention"};
  static const char paged[] = "paged|";
  const ld_value *value = ld_value_get(config, key);
  if (!value || value->type != LD_STRING) return 0;
  const char *name = value->string + (strncmp(value->string, paged, strlen(paged)) ? 0 : strlen(paged));
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i], name)) return 0;
  return ld_fail(err, LD_EFORMAT, "%s/config.json: %s: \"%.64s\" is not a way to compute attention", source,
                 key, value->string);
}

int ld_config_check(const ld_value *config, const ld_key *const *tables, const char *source, ld_error *err) {
  int rc = ld_keys_check(config, shared, err);
  for (; *tables && !rc; tables++) rc = ld_keys_check(config, *tables, err);
  if (rc) return ld_fail_prefix(err, rc, "%s/config.json", source);
  if (!rc) rc = check_labels(config, source, err);
  if (!rc) rc = check_attention(config, "attn_implementation", source, err);
  if (!rc) rc = check_attention(config, "_attn_implementation", source, err);
  return rc;
}

const char *ld_config_name(const ld_value *config, const ld_key *const *tables, const char *key) {
  for (; *tables; tables++)
    for (const ld_key *k = *tables; k->name; k++)
      if (k->alias && !strcmp(k->name, key) && ld_value_member(config, k->alias)) return k->alias;
  return key;
}
