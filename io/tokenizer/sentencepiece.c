/* SentencePiece's model file, a protobuf message (sentencepiece_model.proto).
 *
 * A message is a sequence of fields: a number and a wire type, then a varint, 4 or 8 bytes, or a length and as
 * many bytes, which may be a message again. Fields that are not needed are skipped. */
#include "io/tokenizer/sentencepiece.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"
#include "base/base64.h"
#include "io/tokenizer/component.h"

typedef struct message {
  const char *at, *end;
} message;

typedef struct field {
  uint32_t number;
  uint64_t value; /* of a varint, or 4 bytes */
  message bytes;  /* of a field with a length */
} field;

enum { VARINT = 0, BYTES_8 = 1, LENGTH = 2, BYTES_4 = 5 };
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_UNK_ID = 40, NORMALIZER_CHARSMAP = 2 };
enum { TYPE_UNIGRAM = 1, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 };

static bool read_varint(message *m, uint64_t *out) {
  *out = 0;
  for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
    const unsigned char byte = (unsigned char)*m->at++;
    *out |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

static bool read_field(message *m, field *out) {
  uint64_t key, length;
  if (!read_varint(m, &key)) return false;
  *out = (field){.number = key >> 3 > UINT32_MAX ? UINT32_MAX : (uint32_t)(key >> 3)};
  const int type = (int)(key & 7);
  if (type == VARINT) return read_varint(m, &out->value);
  if (type == LENGTH)
    length = read_varint(m, &length) ? length : UINT64_MAX;
  else
    length = type == BYTES_4 ? 4 : type == BYTES_8 ? 8 : UINT64_MAX;
  if (length > (uint64_t)(m->end - m->at)) return false;
  out->bytes = (message){m->at, m->at + length};
  for (size_t i = 0; type == BYTES_4 && i < 4; i++) out->value |= (uint64_t)(unsigned char)m->at[i] << 8 * i;
  m->at += length;
  return true;
}

typedef struct reading {
  json_t *vocab, *pieces;
  ld_text charsmap; /* in base64 */
  uint64_t model_type, unk_id;
} reading;

static double float_of(uint64_t bits) {
  const uint32_t word = (uint32_t)bits;
  float value;
  memcpy(&value, &word, sizeof value);
  return value;
}

static bool read_piece(message m, reading *r) {
  message text = {0};
  double score = 0;
  uint64_t type = 1;
  for (field f; m.at < m.end;) {
    if (!read_field(&m, &f)) return false;
    if (f.number == PIECE_TEXT) text = f.bytes;
    if (f.number == PIECE_SCORE) score = float_of(f.value);
    if (f.number == PIECE_TYPE) type = f.value;
  }
  const size_t length = (size_t)(text.end - text.at);
  const char *bytes = length ? text.at : "";
  json_t *number = json_real(score); /* NULL for infinity and NaN */
  if (!number || !ld_utf8_valid(bytes, length) || json_array_size(r->vocab) > LD_MAX_TOKEN_ID) {
    json_decref(number);
    return false;
  }
  json_t *piece = json_stringn(bytes, length);
  if (type == TYPE_CONTROL || type == TYPE_USER_DEFINED)
    json_array_append_new(r->pieces, json_pack("{s:s, s:O, s:b, s:b}", "__type", "AddedToken", "content",
                                               piece, "normalized", false, "special", type == TYPE_CONTROL));
  json_array_append_new(r->vocab, json_pack("[o, o]", piece, number));
  return true;
}

static bool read_trainer(message m, reading *r) {
  for (field f; m.at < m.end;) {
    if (!read_field(&m, &f)) return false;
    if (f.number == TRAINER_MODEL_TYPE) r->model_type = f.value;
    if (f.number == TRAINER_UNK_ID) r->unk_id = f.value;
  }
  return true;
}

static bool read_normalizer(message m, reading *r) {
  for (field f; m.at < m.end;) {
    if (!read_field(&m, &f)) return false;
    if (f.number != NORMALIZER_CHARSMAP) continue;
    ld_text_clear(&r->charsmap);
    ld_base64_append(&r->charsmap, f.bytes.at, (size_t)(f.bytes.end - f.bytes.at));
  }
  return true;
}

static bool read_model(message m, reading *r) {
  for (field f; m.at < m.end;) {
    if (!read_field(&m, &f)) return false;
    if (f.number == MODEL_PIECES && !read_piece(f.bytes, r)) return false;
    if (f.number == MODEL_TRAINER && !read_trainer(f.bytes, r)) return false;
    if (f.number == MODEL_NORMALIZER && !read_normalizer(f.bytes, r)) return false;
  }
  return json_array_size(r->vocab) && r->unk_id < json_array_size(r->vocab);
}

int ld_sentencepiece_read(const char *bytes, size_t length, const char *name, json_t **out, ld_error *err) {
  reading r = {.vocab = json_array(), .pieces = json_array(), .model_type = TYPE_UNIGRAM};
  int rc = 0;
  *out = NULL;
  if (!length || !read_model((message){bytes, bytes + length}, &r))
    rc = ld_fail(err, LD_EFORMAT, "%s: is not a SentencePiece model, or damaged", name);
  else if (r.model_type != TYPE_UNIGRAM)
    rc = ld_fail(err, LD_EUNSUPPORTED,
                 "%s: is a SentencePiece model of another type than Unigram: have transformers save a "
                 "tokenizer.json",
                 name);
  if (!rc) {
    *out = json_pack("{s:{s:s, s:I, s:O}, s:O}", "model", "type", "Unigram", "unk_id", (json_int_t)r.unk_id,
                     "vocab", r.vocab, "pieces", r.pieces);
    if (r.charsmap.length)
      json_object_set_new(
          *out, "normalizer",
          json_pack("{s:s, s:s}", "type", "Precompiled", "precompiled_charsmap", r.charsmap.bytes));
  }
  json_decref(r.vocab);
  json_decref(r.pieces);
  ld_text_free(&r.charsmap);
  return rc;
}
