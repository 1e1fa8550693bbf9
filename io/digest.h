/* A 64-bit digest of contents, to tell files from each other; it is not cryptographic.
 *
 * Each 8-byte word w turns the state s into (s ^ w) times an odd constant, folded with its own upper half.
 * Every step is one-to-one in s and in w, so any change within one word changes the result. */
#ifndef LD_DIGEST_H
#define LD_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef struct ld_digest {
  uint64_t state;
} ld_digest;

enum { LD_DIGEST_DIGITS = 16 };

void ld_digest_init(ld_digest *digest);

/* Adds `length` and the bytes. (Adding in two calls is not the same as adding in one.) */
void ld_digest_bytes(ld_digest *digest, const void *bytes, size_t length);
void ld_digest_u64(ld_digest *digest, uint64_t value);
void ld_digest_double(ld_digest *digest, double value);       /* its bits */
void ld_digest_string(ld_digest *digest, const char *string); /* NULL differs from "" */

/* Adds a sample of large contents: up to 64 KiB in full; beyond that 64 blocks of 1 KiB, spread evenly from
 * the first byte to the last, without the length. `bytes` are mapped: all blocks are requested before the
 * first is read, so that a disk or a network fetches them in parallel. */
void ld_digest_spread(ld_digest *digest, const void *bytes, size_t length);

/* 16 hexadecimal digits and a NUL. */
void ld_digest_text(const ld_digest *digest, char text[LD_DIGEST_DIGITS + 1]);

/* The digest of one data file in version 1: FNV-1a over words of eight bytes; a shift lets their high bits
 * reach the low ones, as it would be with bytes. */
uint64_t ld_digest_words(const void *bytes, size_t length);

#endif
