/* The tokenizer class of CLIP's text models, which Stable Diffusion's folders have. */
#ifndef LD_CLASS_CLIP_H
#define LD_CLASS_CLIP_H

#include "io/tokenizer/class_parts.h"

extern const ld_token_class ld_clip_class;

#endif
