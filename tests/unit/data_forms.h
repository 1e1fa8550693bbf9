/* The forms of records that models of each kind take, and the size of images. */
#ifndef TEST_DATA_FORMS_H
#define TEST_DATA_FORMS_H

#include "io/dataset/forms.h"
#include "io/image/rule.h"

__attribute__((unused)) static const ld_data_form *const of_language[] = {&ld_form_chat, &ld_form_prompt,
                                                                          &ld_form_text, &ld_form_raw, NULL};
__attribute__((unused)) static const ld_data_form *const of_texts[] = {&ld_form_labelled, NULL};
__attribute__((unused)) static const ld_data_form *const of_images[] = {&ld_form_image, NULL};
__attribute__((unused)) static const ld_image_rule image_rule = {.resize_height = 9,
                                                                 .resize_width = 11,
                                                                 .height = 9,
                                                                 .width = 11,
                                                                 .channels = 3,
                                                                 .scale = 1,
                                                                 .std = {1, 1, 1}};

#endif
