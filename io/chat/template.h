/* A model folder's own chat template. It is not interpreted yet; this is what can be said about it without
 * that.
 *
 * As in transformers, additional_chat_templates/default.jinja takes precedence over chat_template.jinja, and
 * that over tokenizer_config.json's "chat_template", a text or a list of named ones; chat_template.json,
 * which processors have, comes last. */
#ifndef LD_CHAT_TEMPLATE_H
#define LD_CHAT_TEMPLATE_H

#include "base/error.h"
#include "base/text.h"

typedef struct ld_chat_template {
  char *source; /* where it was found, for messages */
  ld_text text; /* Jinja */
  ld_text form; /* its plain form (form.h); empty when it has none */
} ld_chat_template;

/* *out is NULL when the folder has none. `bos` and `eos` are the model's, NULL where it has none. The caller
 * frees. */
int ld_chat_template_read(const char *folder, const char *bos, const char *eos, ld_chat_template **out,
                          ld_error *err);
void ld_chat_template_free(ld_chat_template *own);

/* Appends what the template visibly adds to the messages: "a default system message, a date". */
void ld_chat_template_extras(const ld_chat_template *own, ld_text *out);

#endif
