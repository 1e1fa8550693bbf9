/* A growing list of token ids.
 */
#ifndef LD_IDS_H
#define LD_IDS_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; the owner frees with ld_ids_free. */
typedef struct ld_ids {
  int32_t *ids;
  size_t n, room;
} ld_ids;

void ld_ids_push(ld_ids *list, int32_t id);
void ld_ids_free(ld_ids *list);

#endif
