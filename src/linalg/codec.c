#include "linalg/codec.h"

#include <string.h>

/* A strip that does not begin and end at the codec's steps. */
static void widen_ragged(float *out, const ld_coded *from, int64_t first, int64_t n) {
  const int64_t step = from->codec->step;
  float whole[LD_CODEC_STEP];
  while (n > 0) {
    const int64_t skip = first % step;
    int64_t here = n / step * step;
    if (!skip && here) {
      from->codec->widen(out, from, first, here);
    } else {
      here = step - skip < n ? step - skip : n;
      from->codec->widen(whole, from, first - skip, step);
      memcpy(out, whole + skip, (size_t)here * sizeof *out);
    }
    out += here;
    first += here;
    n -= here;
  }
}

void ld_coded_widen(float *out, const ld_coded *from, int64_t first, int64_t n) {
  first += from->first;
  if (from->codec->step == 1)
    from->codec->widen(out, from, first, n);
  else
    widen_ragged(out, from, first, n);
}

void ld_coded_widen_lines(float *out, ptrdiff_t ld, const ld_coded *from, int64_t first, int64_t stride,
                          int lines, int n) {
  if (from->codec->widen_lines) {
    from->codec->widen_lines(out, ld, from, from->first + first, stride, lines, n);
    return;
  }
  for (int i = 0; i < lines; i++) ld_coded_widen(out + i * ld, from, first + i * stride, n);
}

void ld_coded_widen_cut(float *out, const ld_coded *from, int64_t first, int64_t n, int64_t line) {
  while (n > 0) {
    const int64_t rest = line - first % line, here = rest < n ? rest : n;
    from->codec->widen_lines(out, here, from, first, line, 1, (int)here);
    out += here, first += here, n -= here;
  }
}

const void *ld_coded_block(const ld_coded *from, int64_t n) {
  return (const char *)from->data + (from->first + n) / from->codec->elements * from->codec->bytes;
}

bool ld_coded_same(const ld_coded *a, const ld_coded *b, int64_t n) {
  enum { STRIP = 1024 };
  float x[STRIP], y[STRIP];
  if (a->codec == b->codec && a->data == b->data && a->beside == b->beside && a->first == b->first)
    return true;
  for (int64_t at = 0; at < n; at += STRIP) {
    const int64_t some = n - at < STRIP ? n - at : STRIP;
    ld_coded_widen(x, a, at, some);
    ld_coded_widen(y, b, at, some);
    if (memcmp(x, y, (size_t)some * sizeof *x) != 0) return false;
  }
  return true;
}
