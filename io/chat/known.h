/* The chat templates that are known by a digest of their plain form (form.h). */
#ifndef LD_CHAT_KNOWN_H
#define LD_CHAT_KNOWN_H

#include "io/digest.h"

/* The name of the layout that renders like a template of this form, for every conversation that the layout
 * accepts; NULL when none is known to. */
const char *ld_chat_known(const char *form);

/* The digest that identifies a form. */
void ld_chat_form_digest(const char *form, char text[LD_DIGEST_DIGITS + 1]);

#endif
