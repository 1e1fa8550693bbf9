#include "io/digest.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static inline uint64_t mix(uint64_t state, uint64_t word) {
  state = (state ^ word) * 0x9e3779b97f4a7c15u;
  return state ^ state >> 32;
}

void ld_digest_init(ld_digest *digest) {
  digest->state = 0x6c6f72615f646973u;
}

void ld_digest_u64(ld_digest *digest, uint64_t value) {
  digest->state = mix(digest->state, value);
}

void ld_digest_bytes(ld_digest *digest, const void *bytes, size_t length) {
  const unsigned char *at = bytes;
  uint64_t state = mix(digest->state, length), word;
  for (; length >= sizeof word; length -= sizeof word, at += sizeof word) {
    memcpy(&word, at, sizeof word);
    state = mix(state, word);
  }
  if (length) {
    word = 0;
    memcpy(&word, at, length);
    state = mix(state, word);
  }
  digest->state = state;
}

enum { WHOLE = 64 << 10, BLOCKS = 64, BLOCK = 1024 };

static size_t block_start(size_t length, int block) {
  return (length - BLOCK) / (BLOCKS - 1) * (size_t)block +
         (length - BLOCK) % (BLOCKS - 1) * (size_t)block / (BLOCKS - 1);
}

static void prefetch(const char *bytes, size_t length) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < BLOCKS; i++) {
    const uintptr_t at = (uintptr_t)bytes + block_start(length, i), start = at / page * page;
    (void)madvise((void *)start, at + BLOCK - start, MADV_WILLNEED); /* only a hint */
  }
}

void ld_digest_spread(ld_digest *digest, const void *bytes, size_t length) {
  if (length <= WHOLE) {
    ld_digest_bytes(digest, bytes, length);
    return;
  }
  prefetch(bytes, length);
  for (int i = 0; i < BLOCKS; i++)
    ld_digest_bytes(digest, (const char *)bytes + block_start(length, i), BLOCK);
}

void ld_digest_double(ld_digest *digest, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  ld_digest_u64(digest, bits);
}

void ld_digest_string(ld_digest *digest, const char *string) {
  ld_digest_u64(digest, string != NULL);
  if (string) ld_digest_bytes(digest, string, strlen(string));
}

void ld_digest_text(const ld_digest *digest, char text[LD_DIGEST_DIGITS + 1]) {
  snprintf(text, LD_DIGEST_DIGITS + 1, "%016llx", (unsigned long long)digest->state);
}

uint64_t ld_digest_words(const void *bytes, size_t length) {
  const uint64_t prime = 0x100000001b3u;
  const unsigned char *at = bytes;
  uint64_t h = (0xcbf29ce484222325u ^ length) * prime, word;
  for (; length >= sizeof word; at += sizeof word, length -= sizeof word) {
    memcpy(&word, at, sizeof word);
    h = (h ^ le64toh(word)) * prime;
    h ^= h >> 29;
  }
  for (; length; at++, length--) h = (h ^ *at) * prime;
  h = (h ^ h >> 32) * prime;
  return h ^ h >> 29;
}
