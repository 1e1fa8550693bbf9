/* The chat template that a model folder has of its own, which is not interpreted yet: what is known of it
 * without that.
 *
 * As in transformers, additional_chat_templates/default.jinja comes before chat_template.jinja, and that before
 * tokenizer_config.json's "chat_template", a text or a list of named ones; then chat_template.json, as processors
 * have it.
 */
#ifndef LD_CHAT_TEMPLATE_H
#define LD_CHAT_TEMPLATE_H

#include "base/error.h"
#include "base/text.h"

typedef struct ld_chat_template {
  char *source; /* where it stands, for messages */
  ld_text text; /* Jinja */
  ld_text form; /* its plain form (chat_form.h); empty when it has none */
} ld_chat_template;

/* NULL in *out when the folder has none. `bos` and `eos` are the model's, NULL where it has none. The caller frees. */
int ld_chat_template_read(const char *folder, const char *bos, const char *eos, ld_chat_template **out,
                          ld_error *err);
void ld_chat_template_free(ld_chat_template *own);

/* Appends what the text shows that it adds to the messages: "a default system message, a date". */
void ld_chat_template_extras(const ld_chat_template *own, ld_text *out);

#endif
