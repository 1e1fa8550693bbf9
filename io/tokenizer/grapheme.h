/* Grapheme clusters: what a reader takes for one character, as in Unicode's UAX 29 (extended clusters). */
#ifndef LD_GRAPHEME_H
#define LD_GRAPHEME_H

#include <stddef.h>

/* The end of the cluster that starts at s[start] of `length` bytes of UTF-8; start < length, where a cluster
 * before it ends, or 0. */
size_t ld_grapheme_end(const char *s, size_t length, size_t start);

#endif
