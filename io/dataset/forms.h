/* The forms that several objectives take.
 */
#ifndef LD_FORMS_H
#define LD_FORMS_H

#include "io/dataset/data_form.h"

/* Of language models. */
extern const ld_data_form ld_form_chat, ld_form_prompt, ld_form_text, ld_form_raw;
/* Of classifiers. */
extern const ld_data_form ld_form_labelled, ld_form_image;

#endif
