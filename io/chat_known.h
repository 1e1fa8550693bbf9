/* The chat templates that are known by their plain form (chat_form.h).
 */
#ifndef LD_CHAT_KNOWN_H
#define LD_CHAT_KNOWN_H

/* The name of the layout that gives what a template of this form gives, for every conversation that the layout
 * takes; NULL when none is known to. */
const char *ld_chat_known(const char *form);

#endif
