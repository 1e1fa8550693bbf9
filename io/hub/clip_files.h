/* The files of CLIP's tokenizer, which checkpoints in one file lack: copied from a folder that the user has. */
#ifndef LD_CLIP_FILES_H
#define LD_CLIP_FILES_H

#include "base/error.h"

/* The folder of the tokenizer `name` ("tokenizer_2") in `from`: a folder with the files, or a diffusers folder.
 * LD_EFILE when neither vocab.json nor tokenizer.json is there. The caller frees *out. */
int ld_clip_files_find(const char *from, const char *name, char **out, ld_error *err);

/* Makes `folder` and copies the files there. The padding token becomes `padding`, whatever it was: the models
 * that share the vocabulary differ in it. Without `from` (NULL) only tokenizer_config.json is written, to which
 * the user adds vocab.json and merges.txt. */
int ld_clip_files_write(const char *from, const char *folder, const char *padding, ld_error *err);

#endif
