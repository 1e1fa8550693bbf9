/* The plain form of a chat template.
 *
 * A template is a Jinja program. Nothing is interpreted here: what can be written in several ways is written
 * in one, so that templates that mean the same have the same form. Whitespace is removed as transformers sets
 * up Jinja (trim_blocks, lstrip_blocks), comments and the marks of assistants' text are dropped, concatenated
 * texts become one, and bos_token and eos_token are replaced by their spelling:
 *
 *   {%- for message in messages %}                          %for message in messages%
 *       {{- "<|im_start|>" + message['role'] ~ '\n' }}      <|im_start|>{message.role}
 *   {%- endfor %}                                           %endfor%     (lines are broken only by \n) */
#ifndef LD_CHAT_FORM_H
#define LD_CHAT_FORM_H

#include <stdbool.h>

#include "base/text.h"

/* Appends the form of `source`. `bos` and `eos` are NULL where the model has none. False when it is not a
 * template of the common kind; `form` may then hold a part. */
bool ld_chat_form(const char *source, size_t length, const char *bos, const char *eos, ld_text *form);

#endif
