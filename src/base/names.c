#include "base/names.h"

#include <string.h>

bool ld_name_next(const char *list, ld_name *name) {
  const char *at = name->at ? name->at + name->length : list;
  if (!at) return false;
  name->at = at + strspn(at, ", ");
  name->length = strcspn(name->at, ", ");
  return name->length > 0;
}

bool ld_name_is(const ld_name *name, const char *word) {
  return name->length == strlen(word) && !memcmp(name->at, word, name->length);
}
