/* Base64, with the usual alphabet and padding. */
#ifndef LD_BASE64_H
#define LD_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* Appends what the bytes are in base64. */
void ld_base64_append(ld_text *out, const char *bytes, size_t length);

/* Appends the bytes that it stands for; false when it is malformed. */
bool ld_base64_decode(ld_text *out, const char *s, size_t length);

#endif
