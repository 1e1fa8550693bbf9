/* CLIP's text models (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
 * section 2.4): a causal transformer over a text of a fixed length. */
#ifndef LD_CLIP_H
#define LD_CLIP_H

#include "model/build.h"

typedef struct ld_clip ld_clip;

/* What a text encoder makes of texts. */
typedef struct ld_clip_states {
  ld_tensor *last;   /* (T, C) after the final norm */
  ld_tensor *before; /* (T, C) the input of the last block */
  ld_tensor *pooled; /* (B, C') of the end token, projected where the model has a projection */
} ld_clip_states;

/* The component of that name; NULL without one. */
ld_clip *ld_clip_build(ld_builder *builder, const char *component);

int ld_clip_width(const ld_clip *clip);
int ld_clip_pooled_width(const ld_clip *clip);
int ld_clip_length(const ld_clip *clip); /* tokens of a text at most */
int ld_clip_vocab(const ld_clip *clip);

/* Segments of the field are texts with their padding. Of the states only those that the caller asks for are
 * computed. */
typedef struct ld_clip_wanted {
  bool last, before, pooled;
} ld_clip_wanted;

ld_clip_states ld_clip_run(const ld_clip *clip, ld_tape *tape, const ld_field *text, ld_clip_wanted wanted,
                           const ld_batch *batch);

#endif
