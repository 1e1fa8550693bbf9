/* The digest of a data set, always read again. */
#ifndef DATA_DIGEST_H
#define DATA_DIGEST_H

#include <criterion/criterion.h>

#include "io/dataset/dataset.h"

static inline void data_digest(const ld_dataset *dataset, char text[LD_DIGEST_TEXT + 1]) {
  ld_digests *digests = ld_digests_create("host", 2);
  ld_error err = {0};
  cr_assert_eq(ld_source_digest(ld_dataset_source(dataset), digests, text, &err), 0, "%s", err.text);
  cr_assert_eq(strlen(text), LD_DIGEST_TEXT);
  cr_assert_eq(strncmp(text, "2:", 2), 0);
  ld_digests_free(digests);
}

#endif
