/* Porter's stemmer for English: "relational" becomes "relat".
 *
 * M. Porter, "An algorithm for suffix stripping", 1980, with the changes of NLTK's PorterStemmer in its
 * default mode, NLTK_EXTENSIONS. */
#ifndef LD_PORTER_H
#define LD_PORTER_H

#include <stddef.h>

/* Stems `word` (lower-case letters and digits) where it stands; returns the length of the stem, which is
 * never longer. */
size_t ld_porter_stem(char *word, size_t length);

#endif
