/* Compares the records of two indexes. */
#ifndef TEST_DATA_RECORDS_H
#define TEST_DATA_RECORDS_H

#include <stdbool.h>
#include <string.h>

#include "io/dataset/record.h"

/* Whether n records have the same members. Not by one memcmp: the struct has padding. */
static inline bool same_records(const ld_record *a, const ld_record *b, size_t n) {
  for (size_t i = 0; i < n; i++, a++, b++)
    if (a->offset != b->offset || a->bytes != b->bytes || a->n_tokens != b->n_tokens ||
        a->n_targets != b->n_targets || a->label != b->label || a->n_parts != b->n_parts ||
        memcmp(&a->value, &b->value, sizeof a->value))
      return false;
  return true;
}

#endif
