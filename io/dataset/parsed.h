/* A record as its format has parsed it: named values, before a sample is made of them (data_form.h).
 *
 *   a line of JSONL     its keys and values
 *   a row of a table    the columns that are used, by their names
 *   raw text            "text"
 *   an image            the image, and "label" where it has one
 *
 * It owns all of this; the bytes that it was parsed from may be freed. */
#ifndef LD_PARSED_H
#define LD_PARSED_H

#include "base/tally.h"
#include "base/value.h"
#include "io/image/image.h"

/* Zero-initialise, free with ld_parsed_free. */
typedef struct ld_parsed {
  ld_value *values; /* a map; NULL for images without a label, and where there is no record (a blank line) */
  size_t room;      /* of ld_parsed_add */
  ld_image image;   /* as stored, but upright; without pixels where the record is not an image */
  char *place;      /* of an image, its name in errors */
  ld_tally *unused; /* borrowed: where unused keys are counted; NULL: nowhere */
} ld_parsed;

void ld_parsed_free(ld_parsed *parsed);
bool ld_parsed_is_empty(const ld_parsed *parsed); /* there is no record */

/* Adds a null value. */
ld_value *ld_parsed_add(ld_parsed *parsed, const char *key);

void ld_parsed_add_integer(ld_parsed *parsed, const char *key, int64_t number);

/* Adds a text, which contains no NUL. */
void ld_parsed_add_text(ld_parsed *parsed, const char *key, const char *text, size_t length);

#endif
