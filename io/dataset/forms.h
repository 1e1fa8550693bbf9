/* The forms that several objectives take.
 */
#ifndef LD_FORMS_H
#define LD_FORMS_H

#include "io/dataset/data_form.h"

/* Of language models. */
extern const ld_data_form ld_form_chat, ld_form_prompt, ld_form_text, ld_form_raw;
/* Of classifiers. */
extern const ld_data_form ld_form_labelled, ld_form_image;
/* Of models that make images: an image with its caption in the tokens; without a tokenizer an image, with its label if it
 * has one. */
extern const ld_data_form ld_form_picture;

#endif
