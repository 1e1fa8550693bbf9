/* What Python's str knows of characters. The packages that define the scores are written in Python, so
 * its ideas of white space and of lower case are part of their definition. */
#ifndef LD_PYTHON_STR_H
#define LD_PYTHON_STR_H

#include <stdbool.h>
#include <stdint.h>

/* str.isspace(): what str.split() splits at and str.rstrip() removes. */
bool ld_python_is_space(uint32_t code);

/* The ASCII letter or digit with which str.lower() of the character begins; 0 when it begins with another
 * character. Beyond ASCII there are two: U+0130 gives "i" and a combining dot, U+212A (kelvin) gives "k". */
char ld_python_lower(uint32_t code);

#endif
