/* A SentencePiece model: the file spiece.model, sentencepiece.bpe.model or spm.model of a folder. */
#ifndef LD_SENTENCEPIECE_H
#define LD_SENTENCEPIECE_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

/* Reads `length` bytes of a Unigram model into what a tokenizer.json has of it: {"model": {"type", "unk_id",
 * "vocab"}, "normalizer"}, and "pieces", its control and user-defined pieces as added tokens. The caller
 * releases *out. LD_EFORMAT when it is malformed, LD_EUNSUPPORTED for a BPE; `name` stands for the file. */
int ld_sentencepiece_read(const char *bytes, size_t length, const char *name, json_t **out, ld_error *err);

#endif
