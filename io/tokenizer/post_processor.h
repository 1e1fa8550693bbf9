/* Post-processors: the special tokens around a text or a pair of texts, and the type ids.
 */
#ifndef LD_POST_PROCESSOR_H
#define LD_POST_PROCESSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/tokenizer/component.h"
#include "io/tokenizer/ids.h"

/* A part of an input's ids: one of its texts, or special tokens. */
typedef struct ld_slot {
  int text;     /* 0 or 1: the ids of that text; -1: those of `special` */
  int32_t type; /* the type id of all of them */
  ld_ids special;
} ld_slot;

typedef struct ld_template {
  ld_slot *slots;
  size_t n, copies; /* number of slots, and of those that are texts */
} ld_template;

/* The template for a text or a pair; NULL: the texts one after the other, of types 0 and 1. */
const ld_template *ld_template_of(const ld_component *post_processor, bool pair);

/* A copy in which the special token `old` is `new`; freed with ld_template_free. */
ld_template ld_template_replace(const ld_template *template, int32_t old, int32_t new);
void ld_template_free(ld_template *template);

size_t ld_template_added(const ld_template *template); /* special tokens in it */
void ld_template_fill(const ld_template *template, const ld_ids texts[2], bool add_special, ld_ids *out,
                      ld_ids *types);

extern const ld_component_kind *const ld_post_processor_kinds[];

#endif
