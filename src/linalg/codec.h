/* Codecs: how the numbers of a frozen weight are stored, and how they become floats.
 *
 * A codec is one file and its line in the table of codecs.c. Nothing else touches the bytes of a weight,
 * except that tiles read plain forms (ld_plain) as they are: products widen strips of it as they pack them (gemm.c), an
 * embedding widens a row, a merge all of it. The codec is looked up once, together with the weight (ld_codec_of), and stored with it.
 *
 *   numbers   | block 0              | block 1              | ...      rows one after the other, without gaps;
 *   strip                    [ first ....... first + n )               a row may end within a block
 *
 * A codec with scales for its blocks has them in the block (GGUF's q8_0: 2 + 32 bytes for 32 numbers) or
 * beside the data (NF4: two numbers per byte, and a separate array with a scale for every 64 numbers). */
#ifndef LD_CODEC_H
#define LD_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"

typedef struct ld_coded ld_coded;

/* Forms that a tile can read as they are stored: a number after the other. */
enum ld_plain { LD_PLAIN_NONE, LD_PLAIN_F32, LD_PLAIN_F16, LD_PLAIN_BF16, LD_N_PLAIN };

typedef struct ld_codec {
  const char *name;    /* for errors: "BF16" */
  int elements, bytes; /* of a block, as in base/dtype.h for the type */
  int step;            /* `widen` begins and ends at multiples of it */
  enum ld_plain plain; /* whether they have such a form */
  /* out[0 .. n) = numbers [first, first + n) of the blocks, exactly as the reference implementation computes them. */
  void (*widen)(float *out, const ld_coded *from, int64_t first, int64_t n);
  /* The same for `lines` strips that begin `stride` numbers apart, to lines of out `ld` apart. NULL: one by one. */
  void (*widen_lines)(float *out, ptrdiff_t ld, const ld_coded *from, int64_t first, int64_t stride,
                      int lines, int n);
  /* Where lines [first, first + n) of a matrix begin, if they are floats in memory, wherever each is. NULL: they are not. */
  void (*lines)(const ld_coded *from, int first, int n, const float **lines);
} ld_codec;

enum { LD_CODEC_STEP = 64 }; /* the largest step */

/* An array of numbers as stored. Owns nothing. */
struct ld_coded {
  const ld_codec *codec;
  const void *data;   /* blocks */
  const void *beside; /* the codec's extra data, in its own form; NULL for none */
  int64_t first;      /* the array's first number, counted from the start of `data` */
};

extern const ld_codec ld_codec_f32, ld_codec_f16, ld_codec_bf16;

/* out[0 .. n) = numbers [first, first + n), for any strip, whatever the codec's step. */
void ld_coded_widen(float *out, const ld_coded *from, int64_t first, int64_t n);

/* The same for `lines` strips that begin `stride` numbers apart; those of out begin `ld` apart. */
void ld_coded_widen_lines(float *out, ptrdiff_t ld, const ld_coded *from, int64_t first, int64_t stride,
                          int lines, int n);

/* `widen` for a codec that has widen_lines: of a matrix with lines of so many numbers. */
void ld_coded_widen_cut(float *out, const ld_coded *from, int64_t first, int64_t n, int64_t line);

/* The block that holds number n. */
const void *ld_coded_block(const ld_coded *from, int64_t n);

/* Whether two arrays hold the same n numbers. */
bool ld_coded_same(const ld_coded *a, const ld_coded *b, int64_t n);

#endif
