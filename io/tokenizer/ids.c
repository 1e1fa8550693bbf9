#include "io/tokenizer/ids.h"

#include <stdlib.h>

#include "base/memory.h"

void ld_ids_push(ld_ids *list, int32_t id) {
  list->ids = ld_grow(list->ids, list->n, &list->room, sizeof *list->ids);
  list->ids[list->n++] = id;
}

void ld_ids_free(ld_ids *list) {
  free(list->ids);
  *list = (ld_ids){0};
}
