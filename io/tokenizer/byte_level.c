/* ByteLevel: text whose characters each stand for one byte, as in GPT-2. A normalizer, a pre-tokenizer and a
 * decoder. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/normal.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/regex.h"
#include "io/tokenizer/split.h"
#include "io/tokenizer/stage.h"

static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* Printable Latin-1 bytes stand for themselves; the 68 others for U+0100 and on, in order. */
static bool stands_for_itself(uint32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

static uint32_t char_of_byte(uint32_t byte) {
  if (stands_for_itself(byte)) return byte;
  if (byte <= ' ') return 0x100 + byte;
  return byte == 0xad ? 0x143 : 0x121 + (byte - 0x7f);
}

/* -1 when the character does not stand for a byte. */
static int byte_of_char(uint32_t code) {
  if (code < 0x100) return stands_for_itself(code) ? (int)code : -1;
  if (code <= 0x120) return (int)code - 0x100;
  if (code <= 0x142) return (int)code - 0x121 + 0x7f;
  return code == 0x143 ? 0xad : -1;
}

/* All these characters lie below U+0800: one or two bytes. */
static void append_spelled(ld_text *out, const char *s, size_t length) {
  char buffer[512];
  size_t n = 0;
  for (size_t i = 0; i < length; i++) {
    const uint32_t code = char_of_byte((unsigned char)s[i]);
    if (code < 0x80) {
      buffer[n++] = (char)code;
    } else {
      buffer[n++] = (char)(0xc0 | code >> 6);
      buffer[n++] = (char)(0x80 | (code & 0x3f));
    }
    if (n >= sizeof buffer - 1) {
      ld_text_append(out, buffer, n);
      n = 0;
    }
  }
  ld_text_append(out, buffer, n);
}

static int run_normalizer(const void *data, ld_normal *normal, ld_error *err) {
  (void)data;
  (void)err;
  if (!normal->text.length) return 0;
  append_spelled(&normal->scratch, normal->text.bytes, normal->head);
  const size_t head = normal->scratch.length;
  append_spelled(&normal->scratch, normal->text.bytes + normal->head, normal->text.length - normal->head);
  ld_normal_swap(normal, head);
  return 0;
}

const ld_component_kind ld_byte_level_normalizer = {.type = "ByteLevel", .normalize = run_normalizer};

typedef struct byte_level {
  bool add_prefix_space;
  ld_regex *regex; /* NULL without use_regex */
} byte_level;

static int load_pre_tokenizer(ld_component *component, const json_t *json, ld_load *load) {
  byte_level *data = component->data = ld_alloc(1, sizeof *data);
  bool use_regex = true, trim_offsets;
  int rc = ld_load_bool(load, json, "add_prefix_space", &data->add_prefix_space);
  if (!rc) rc = ld_load_bool(load, json, "trim_offsets", &trim_offsets);
  if (!rc && json_object_get(json, "use_regex")) rc = ld_load_bool(load, json, "use_regex", &use_regex);
  if (rc || !use_regex) return rc;
  data->regex = ld_regex_new(gpt2_pattern, strlen(gpt2_pattern), load->err);
  return data->regex ? 0 : ld_fail_prefix(load->err, LD_ESYSTEM, "%s: ByteLevel", load->name);
}

static void free_pre_tokenizer(void *data) {
  ld_regex_free(((byte_level *)data)->regex);
  free(data);
}

static void prefix_spaces(ld_pieces *pieces) {
  for (size_t i = 0; i < pieces->n; i++) {
    ld_piece piece = pieces->items[i];
    const char *s = pieces->bytes + piece.start;
    piece.start = pieces->scratch.length;
    const size_t added = piece.id < 0 && *s != ' ';
    ld_text_append(&pieces->scratch, " ", added);
    ld_text_append(&pieces->scratch, s, piece.length);
    piece.length += added;
    if (piece.head) piece.head += added;
    ld_pieces_add(pieces, piece);
  }
  ld_pieces_swap(pieces, true);
}

static void spell_bytes(ld_pieces *pieces) {
  for (size_t i = 0; i < pieces->n; i++) {
    ld_piece piece = pieces->items[i];
    const char *s = pieces->bytes + piece.start;
    const size_t start = pieces->scratch.length, old_head = piece.head;
    if (piece.id >= 0) {
      ld_text_append(&pieces->scratch, s, piece.length);
    } else {
      append_spelled(&pieces->scratch, s, old_head);
      piece.head = pieces->scratch.length - start;
      append_spelled(&pieces->scratch, s + old_head, piece.length - old_head);
      piece.length = pieces->scratch.length - start;
    }
    piece.start = start;
    ld_pieces_add(pieces, piece);
  }
  ld_pieces_swap(pieces, true);
}

typedef struct spelled_next {
  ld_next self;
  const ld_next *then;
} spelled_next;

static int run_spelling(const ld_next *self, ld_pieces *pieces, ld_error *err) {
  spell_bytes(pieces);
  return ld_pieces_pass(pieces, ((const spelled_next *)self)->then, err);
}

static int run_pre_tokenizer(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  const byte_level *b = data;
  const ld_splitter words = {.regex = b->regex, .behavior = LD_ISOLATED};
  const spelled_next then = {{run_spelling}, next};
  if (b->add_prefix_space || pieces->of_word) prefix_spaces(pieces);
  return b->regex ? ld_split(pieces, &words, &then.self, err) : run_spelling(&then.self, pieces, err);
}

const ld_component_kind ld_byte_level_pre_tokenizer = {.type = "ByteLevel",
                                                       .load = load_pre_tokenizer,
                                                       .free_data = free_pre_tokenizer,
                                                       .pre_tokenize = run_pre_tokenizer};

/* Passes on complete characters, and U+FFFD for each longest prefix of a character that cannot be completed,
 * as Rust's from_utf8_lossy does. `last`: no more bytes follow. */
static void pass_bytes(ld_stage *stage, ld_text *bytes, bool last) {
  size_t i = 0, whole = 0;
  while (i < bytes->length) {
    size_t bad;
    bool cut;
    const size_t size = ld_utf8_check(bytes->bytes + i, bytes->length - i, &bad, &cut);
    if (cut && !last) break;
    i += size ? size : bad;
    if (size) continue;
    ld_stage_feed(stage->next, bytes->bytes + whole, i - bad - whole);
    ld_stage_feed(stage->next, "\xef\xbf\xbd", 3);
    whole = i;
  }
  ld_stage_feed(stage->next, bytes->bytes + whole, i - whole);
  const size_t rest = bytes->length - i;
  memmove(bytes->bytes, bytes->bytes + i, rest);
  bytes->length = rest;
}

/* `hold` has the waiting bytes, then the token so far, which starts at `stripped`. */
static void decode_feed(ld_stage *stage, const char *bytes, size_t length) {
  ld_text_append(&stage->hold, bytes, length);
}

/* A token with a character that does not stand for a byte is passed on as it is. */
static void decode_end(ld_stage *stage) {
  if (!stage->hold.length) return;
  char *token = stage->hold.bytes + stage->stripped;
  const size_t length = stage->hold.length - stage->stripped;
  bool spelled = true;
  for (size_t i = 0; spelled && i < length;) spelled = byte_of_char(ld_utf8_next(token, &i)) >= 0;
  size_t n = 0;
  for (size_t i = 0; spelled && i < length;) token[n++] = (char)byte_of_char(ld_utf8_next(token, &i));
  if (spelled) stage->hold.length = stage->stripped + n;
  pass_bytes(stage, &stage->hold, false);
  stage->stripped = stage->hold.length;
}

static void decode_finish(ld_stage *stage) {
  if (stage->hold.length) pass_bytes(stage, &stage->hold, true);
  ld_stage_end(stage->next);
  ld_stage_finish(stage->next);
}

const ld_component_kind ld_byte_level_decoder = {.type = "ByteLevel",
                                                 .decode = {decode_feed, decode_end, decode_finish}};
