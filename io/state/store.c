#include "io/state/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/hash.h"

void ld_store_free(ld_store *store) {
  for (size_t i = 0; i < store->n_groups; i++) free(store->groups[i]);
  for (size_t i = 0; i < store->n_attributes; i++) {
    free(store->attributes[i].group);
    free(store->attributes[i].name);
    free(store->attributes[i].text);
  }
  for (size_t i = 0; i < store->n_tensors; i++) {
    free(store->tensors[i].group);
    free(store->tensors[i].name);
    free(store->tensors[i].owned);
  }
  free(store->groups);
  free(store->attributes);
  free(store->tensors);
  *store = (ld_store){0};
}

/* Searches from the newest group: entries are put group by group. */
bool ld_store_has(const ld_store *store, const char *group) {
  for (size_t i = store->n_groups; i-- > 0;)
    if (!strcmp(store->groups[i], group)) return true;
  return !*group;
}

void ld_store_put_group(ld_store *store, const char *group) {
  const char *slash = strrchr(group, '/');
  if (ld_store_has(store, group)) return;
  char *above = slash ? ld_strndup(group, (size_t)(slash - group)) : ld_strdup("");
  ld_store_put_group(store, above);
  free(above);
  store->groups = ld_grow(store->groups, store->n_groups, &store->room_groups, sizeof *store->groups);
  store->groups[store->n_groups++] = ld_strdup(group);
}

static ld_attribute *add_attribute(ld_store *store, const char *group, const char *name,
                                   ld_attribute_type type) {
  ld_store_put_group(store, group);
  store->attributes =
      ld_grow(store->attributes, store->n_attributes, &store->room_attributes, sizeof *store->attributes);
  ld_attribute *attribute = &store->attributes[store->n_attributes++];
  *attribute = (ld_attribute){.group = ld_strdup(group), .name = ld_strdup(name), .type = type, .n = 1};
  return attribute;
}

void ld_store_put_integers(ld_store *store, const char *group, const char *name, const int64_t *values,
                           int n) {
  ld_attribute *attribute = add_attribute(store, group, name, LD_ATTRIBUTE_INTEGER);
  attribute->n = n;
  memcpy(attribute->integers, values, (size_t)n * sizeof *values);
}

void ld_store_put_integer(ld_store *store, const char *group, const char *name, int64_t value) {
  ld_store_put_integers(store, group, name, &value, 1);
}

void ld_store_put_real(ld_store *store, const char *group, const char *name, double value) {
  add_attribute(store, group, name, LD_ATTRIBUTE_REAL)->real = value;
}

void ld_store_put_text(ld_store *store, const char *group, const char *name, const char *value) {
  if (value) add_attribute(store, group, name, LD_ATTRIBUTE_TEXT)->text = ld_strdup(value);
}

void ld_store_put_tensor(ld_store *store, const char *group, const char *name, const ld_stored *tensor) {
  ld_store_put_group(store, group);
  store->tensors = ld_grow(store->tensors, store->n_tensors, &store->room_tensors, sizeof *store->tensors);
  store->tensors[store->n_tensors++] =
      (ld_store_tensor){.group = ld_strdup(group), .name = ld_strdup(name), .tensor = *tensor};
}

const ld_attribute *ld_store_attribute(ld_store *store, const char *group, const char *name) {
  for (size_t i = 0; i < store->n_attributes; i++) {
    const size_t at = (store->last_attribute + i) % store->n_attributes;
    const ld_attribute *found = &store->attributes[at];
    if (strcmp(found->name, name) != 0 || strcmp(found->group, group) != 0) continue;
    store->last_attribute = at;
    return found;
  }
  return NULL;
}

ld_store_tensor *ld_store_find(ld_store *store, const char *group, const char *name) {
  for (size_t i = 0; i < store->n_tensors; i++) {
    const size_t at = (store->last_tensor + i) % store->n_tensors;
    ld_store_tensor *found = &store->tensors[at];
    if (strcmp(found->name, name) != 0 || strcmp(found->group, group) != 0) continue;
    store->last_tensor = at;
    return found;
  }
  return NULL;
}

void *ld_store_take(ld_store_tensor *tensor) {
  void *data = tensor->owned;
  tensor->owned = NULL;
  return data;
}

static uint64_t hash_attribute(const ld_attribute *a) {
  uint64_t hash = ld_hash_string(ld_hash_string(a->type, a->group), a->name);
  switch (a->type) {
  case LD_ATTRIBUTE_INTEGER:
    return ld_hash(hash, a->integers, (size_t)a->n * sizeof *a->integers);
  case LD_ATTRIBUTE_REAL:
    return ld_hash(hash, &a->real, sizeof a->real);
  default:
    return ld_hash_string(hash, a->text);
  }
}

static uint64_t hash_tensor(const ld_store_tensor *t) {
  const ld_stored *tensor = &t->tensor;
  uint64_t hash = ld_hash_string(ld_hash_string(tensor->dtype, t->group), t->name);
  hash = ld_hash(hash, tensor->shape, (size_t)tensor->ndim * sizeof *tensor->shape);
  return ld_hash(hash, tensor->data, ld_stored_bytes(tensor));
}

uint64_t ld_store_hash(const ld_store *store) {
  uint64_t sum = 0;
  for (size_t i = 0; i < store->n_groups; i++) sum += ld_hash_string(0, store->groups[i]);
  for (size_t i = 0; i < store->n_attributes; i++) sum += hash_attribute(&store->attributes[i]);
  for (size_t i = 0; i < store->n_tensors; i++) sum += hash_tensor(&store->tensors[i]);
  return sum;
}

static int find(ld_store *store, const char *group, const char *name, ld_attribute_type type,
                const ld_attribute **found, ld_error *err) {
  *found = ld_store_attribute(store, group, name);
  if (!*found) return ld_fail(err, LD_EFORMAT, "'%s%s%s' is missing", group, *group ? "/" : "", name);
  if ((*found)->type == type && (*found)->n == 1) return 0;
  return ld_fail(err, LD_EFORMAT, "'%s%s%s' has another type than expected", group, *group ? "/" : "", name);
}

int ld_store_integer(ld_store *store, const char *group, const char *name, int64_t low, int64_t high,
                     int64_t *value, ld_error *err) {
  const ld_attribute *found;
  const int rc = find(store, group, name, LD_ATTRIBUTE_INTEGER, &found, err);
  if (rc) return rc;
  *value = found->integers[0];
  if (*value >= low && *value <= high) return 0;
  return ld_fail(err, LD_EFORMAT, "'%s%s%s' is out of range", group, *group ? "/" : "", name);
}

int ld_store_real(ld_store *store, const char *group, const char *name, double *value, ld_error *err) {
  const ld_attribute *found;
  const int rc = find(store, group, name, LD_ATTRIBUTE_REAL, &found, err);
  if (!rc) *value = found->real;
  return rc;
}

int ld_store_text(ld_store *store, const char *group, const char *name, const char **value, ld_error *err) {
  const ld_attribute *found;
  const int rc = find(store, group, name, LD_ATTRIBUTE_TEXT, &found, err);
  if (!rc) *value = found->text;
  return rc;
}
