/* The chat templates that are known by a digest of their plain form (chat_form.h).
 */
#ifndef LD_CHAT_KNOWN_H
#define LD_CHAT_KNOWN_H

#include "io/digest.h"

/* The name of the layout that gives what a template of this form gives, for every conversation that the layout
 * takes; NULL when none is known to. */
const char *ld_chat_known(const char *form);

/* By what a form is known. */
void ld_chat_form_digest(const char *form, char text[LD_DIGEST_DIGITS + 1]);

#endif
