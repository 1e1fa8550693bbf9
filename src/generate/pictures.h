/* Many pictures, spread over the ranks: for each prompt one or several. */
#ifndef LD_PICTURES_H
#define LD_PICTURES_H

#include "generate/picture.h"

typedef struct ld_picture_prompt {
  char *text;    /* as it was written; NULL: none */
  ld_ids ids;    /* with the first and the end token; empty for a model without texts */
  int32_t class; /* for a model of classes */
} ld_picture_prompt;

/* What the pictures are to show. Zero-initialise, free with ld_picture_prompts_free. */
typedef struct ld_picture_prompts {
  ld_picture_prompt *list;
  size_t n, room;
  bool has_negative;
  ld_ids negative;
} ld_picture_prompts;

void ld_picture_prompts_free(ld_picture_prompts *prompts);

/* A file of prompts, on every rank: one per line, blank lines are ignored; in a .jsonl file each line is an object with
 * "prompt". For a model of classes a prompt is the number of a class. Errors name the line. */
int ld_picture_prompts_read(const ld_base *base, const char *path, const ld_text *file,
                            ld_picture_prompts *prompts, ld_error *err);

/* The one prompt of --prompt or --class; for a model with neither texts nor classes it is empty. */
int ld_picture_prompts_take(const ld_base *base, const ld_options *options, ld_picture_prompts *prompts,
                            ld_error *err);

/* Reads --negative-prompt (NULL: none), and refuses it where it has no effect. */
int ld_picture_prompts_avoid(const ld_base *base, const ld_picture_settings *settings, const char *negative,
                             ld_picture_prompts *prompts, ld_error *err);

/* What they are made with; all is borrowed. */
typedef struct ld_pictures {
  const ld_base *base;
  const ld_picture_settings *settings;
  const ld_picture_prompts *prompts;
  int64_t each; /* pictures for each prompt */
  /* Receives picture i on rank 0, in order: those of the first prompt come first. */
  int (*take)(void *user, int64_t i, const ld_image *image, ld_error *err);
  void *user;
} ld_pictures;

/* Makes them all: rank r makes those with i % ranks = r, and their bits do not depend on it. Collective. */
int ld_pictures_make(const ld_pictures *pictures, ld_comm *comm, ld_error *err);

#endif
