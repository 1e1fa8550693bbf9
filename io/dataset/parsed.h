/* A record as its format has parsed it: named values, before a sample is made of them (sample.h).
 *
 *   a line of JSONL     its keys and values
 *   a row of a table    the columns that are used, by their names
 *   raw text            "text"
 *   an image            the image, and "label" where it has one
 *
 * It owns all of this: the bytes that it was parsed from may go.
 */
#ifndef LD_PARSED_H
#define LD_PARSED_H

#include "base/tally.h"
#include "base/value.h"
#include "io/image/image.h"

/* Zero-initialise, free with ld_parsed_free. */
typedef struct ld_parsed {
  ld_value *values; /* a map; NULL of images without a label, and where no record stands (a blank line) */
  size_t room;      /* of ld_parsed_add */
  ld_image image;   /* as it is stored, but upright; without pixels where the record is none */
  char *place;      /* of an image, what errors call it */
  ld_tally *unused; /* borrowed: where keys without a use are counted; NULL: nowhere */
} ld_parsed;

void ld_parsed_free(ld_parsed *parsed);
bool ld_parsed_is_empty(const ld_parsed *parsed); /* no record stands there */

/* Adds a value, which is null. */
ld_value *ld_parsed_add(ld_parsed *parsed, const char *key);

void ld_parsed_add_integer(ld_parsed *parsed, const char *key, int64_t number);

/* Adds a text, without a NUL in it. */
void ld_parsed_add_text(ld_parsed *parsed, const char *key, const char *text, size_t length);

#endif
