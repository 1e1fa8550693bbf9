/* A store: a tree of groups with attributes and tensors, and its HDF5 file.
 *
 * A group is named by its path, with parts joined by slashes ("" is the root). A name contains no slash, so a
 * module path with its dots is one name. Groups, attributes and tensors keep the order in which they were
 * put, also in the file, and equal stores give equal files: no times are stored. What they mean is up to the
 * caller (checkpoint.c). */
#ifndef LD_STORE_H
#define LD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/error.h"

typedef enum ld_attribute_type {
  LD_ATTRIBUTE_INTEGER,
  LD_ATTRIBUTE_REAL,
  LD_ATTRIBUTE_TEXT
} ld_attribute_type;

/* Integers may be several (a kernel's height and width); reals and texts are single. */
typedef struct ld_attribute {
  char *group, *name;
  ld_attribute_type type;
  int n;
  int64_t integers[LD_MAX_DIMS];
  double real;
  char *text;
} ld_attribute;

/* F32 or I32. */
typedef struct ld_store_tensor {
  char *group, *name;
  ld_stored tensor;
  void *owned; /* its data, when the store frees it; NULL when borrowed */
} ld_store_tensor;

typedef struct ld_store {
  char **groups; /* each path once */
  size_t n_groups, room_groups;
  ld_attribute *attributes;
  size_t n_attributes, room_attributes;
  ld_store_tensor *tensors;
  size_t n_tensors, room_tensors;
  size_t last_attribute, last_tensor; /* where a search begins: mostly the next entry is asked for */
} ld_store;

/* A zeroed store is empty. */
void ld_store_free(ld_store *store);

/* Put an entry that is not there yet. A group exists once something is put into it, or when it is put itself.
 * Texts are copied (NULL puts nothing), tensors' data is borrowed. */
void ld_store_put_group(ld_store *store, const char *group);
void ld_store_put_integer(ld_store *store, const char *group, const char *name, int64_t value);
void ld_store_put_integers(ld_store *store, const char *group, const char *name, const int64_t *values,
                           int n);
void ld_store_put_real(ld_store *store, const char *group, const char *name, double value);
void ld_store_put_text(ld_store *store, const char *group, const char *name, const char *value);
void ld_store_put_tensor(ld_store *store, const char *group, const char *name, const ld_stored *tensor);

/* NULL when it is not there. */
const ld_attribute *ld_store_attribute(ld_store *store, const char *group, const char *name);
ld_store_tensor *ld_store_find(ld_store *store, const char *group, const char *name);
bool ld_store_has(const ld_store *store, const char *group);

/* The value of an attribute that must be present, an integer within [low, high]. LD_EFORMAT says what is
 * wrong. A text belongs to the store. */
int ld_store_integer(ld_store *store, const char *group, const char *name, int64_t low, int64_t high,
                     int64_t *value, ld_error *err);
int ld_store_real(ld_store *store, const char *group, const char *name, double *value, ld_error *err);
int ld_store_text(ld_store *store, const char *group, const char *name, const char **value, ld_error *err);

/* Takes the data of a tensor that was read; the caller then owns it. NULL when it was taken before. */
void *ld_store_take(ld_store_tensor *tensor);

/* A hash of all contents, which does not depend on their order. */
uint64_t ld_store_hash(const ld_store *store);

#endif
