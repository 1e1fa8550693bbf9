/* The version of the program, and what it runs with. */
#ifndef LD_VERSION_H
#define LD_VERSION_H

#include <stdio.h>

/* Prints "lora_dist 0.2.0 (commit ...)", and a line each for compiler, kernels and libraries. Chooses the
 * kernels for this processor if that has not been done. */
void ld_version_print(FILE *out);

/* "commit 0123456789, gcc 12.2.0": how this binary was built. */
const char *ld_version_build(void);

#endif
