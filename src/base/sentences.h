/* Where the sentences of an English or similar text end.
 *
 * A sentence ends at the end of a line, and after . ! ? or an ellipsis, with the quotes and brackets that close
 * after it, if white space follows and then anything but a small letter. (Chinese and Japanese full stops need no
 * white space.) A full stop ends none
 *   - within a number or name: "3.5", "example.com"
 *   - after an initial: "J. Smith", "U.S. Army", "e.g. this"
 *   - after a title or another usual abbreviation: "Dr. Smith", "Fig. 3", "cf. above".
 *
 * This is a rule without a vocabulary, and so it has limits. It joins two sentences where the first ends with an
 * initial or an abbreviation ("He lives in the U.S. She does not."), or where the second begins with a small
 * letter ("iPhones"). It splits one after an abbreviation that it does not know, if a capital follows, and where
 * a quotation of several sentences stands in a sentence. A text whose lines were broken for width must be joined
 * before. Where this matters, give the sentences as a list. */
#ifndef LD_SENTENCES_H
#define LD_SENTENCES_H

#include <stdbool.h>
#include <stddef.h>

/* A sentence in its text, without the white space around it; never empty. */
typedef struct ld_sentence {
  const char *at;
  size_t length;
} ld_sentence;

/* Finds the first sentence of text[*from, length), and moves *from to its end; false when there is none. The text
 * is UTF-8. */
bool ld_sentence_next(const char *text, size_t length, size_t *from, ld_sentence *sentence);

#endif
