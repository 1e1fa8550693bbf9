/* What the files of the tokenizer share: text in pieces, the parts of a pipeline and their tables, Unicode,
 * and regular expressions.
 *
 * A part is one object of the tokenizer.json with a "type": a normalizer, a pre-tokenizer, the model, a
 * post-processor or a decoder. Each type is one ld_part_kind; adding one is a kind in a file of its own, its
 * name below, and one line in the table of its family.
 */
#ifndef LD_TOKENIZER_INTERNAL_H
#define LD_TOKENIZER_INTERNAL_H

#include <jansson.h>

#include "io/tokenizer.h"

enum {
  LD_MAX_TOKEN_ID =
      (1 << 22) - 1,     /* four times the largest vocabulary known: a larger id is a damaged file */
  LD_MAX_PART_DEPTH = 16 /* of Sequence in Sequence */
};

/* What a text, or a file that is loaded, may cost (budget.c). A NULL budget has no limit. */
typedef struct ld_budget {
  size_t bytes, most; /* of the text; what may be made of it */
  size_t done;        /* made, and dropped again */
  double seconds;     /* processor time */
  double start, look_at;
  bool spent;
} ld_budget;

void ld_budget_start(ld_budget *budget, size_t bytes);

/* What a thread does between a pause and the next resume does not count; `bytes` are more of the text. */
void ld_budget_pause(ld_budget *budget);
void ld_budget_resume(ld_budget *budget, size_t bytes);

/* Whether its time is over. Cheap. */
bool ld_budget_is_spent(ld_budget *budget);

/* The same, and whether a text that became `length` long is within the limit; LD_EFORMAT names the limit. */
int ld_budget_check(ld_budget *budget, size_t length, ld_error *err);

/* A run of UTF-8 with the number of its first bytes that stem from the very start of the user's text, which
 * Metaspace's "first" asks for. */
typedef struct ld_normal {
  ld_text text, scratch; /* a normalizer writes scratch and calls ld_normal_swap */
  size_t head;
  size_t before; /* bytes that were made of the text's other pieces */
  ld_budget *budget;
} ld_normal;

/* Makes scratch the text. */
void ld_normal_swap(ld_normal *normal, size_t head);

/* A part of the text on its way to ids; `id` is that of an added token, or -1. */
typedef struct ld_piece {
  size_t start, length;
  size_t head; /* as in ld_normal */
  int32_t id;
} ld_piece;

typedef struct ld_pieces {
  const char *bytes; /* what the pieces lie in: the user's text, or `own` */
  ld_text own, scratch;
  ld_piece *items, *spare; /* spare: where a step puts the new ones */
  size_t n, room, n_spare, room_spare;
  ld_budget *budget;
} ld_pieces;

/* Adds to the new pieces, unless it is empty. */
void ld_pieces_add(ld_pieces *pieces, ld_piece piece);

/* Adds [start, end) of an old piece, counted from that piece's start. */
void ld_pieces_cut(ld_pieces *pieces, const ld_piece *of, size_t start, size_t end, int32_t id);

/* The new pieces become the pieces; with `rewritten` they lie in scratch. */
void ld_pieces_swap(ld_pieces *pieces, bool rewritten);
void ld_pieces_free(ld_pieces *pieces);

/* What is done with pieces once they are made: with those of a long text in portions, so that not all of them
 * are there at a time. The first member of a struct of what it needs. */
typedef struct ld_next {
  int (*take)(const struct ld_next *next, ld_pieces *pieces, ld_error *err);
} ld_next;

/* Gives it the pieces, if they are within the budget. */
int ld_pieces_pass(ld_pieces *pieces, const ld_next *next, ld_error *err);

/* A match of a pattern, or what lies between two. */
typedef struct ld_match {
  size_t start, end;
  bool is_match;
} ld_match;

/* Takes them one by one: in order, covering the text. The first member of a struct of what it needs. What is
 * not 0 ends the search. */
typedef struct ld_sink {
  int (*take)(struct ld_sink *sink, ld_match match, ld_error *err);
} ld_sink;

/* Gives it what lies between `last`, the end of the match before, and the match [start, end); then this. */
int ld_sink_match(ld_sink *sink, size_t last, size_t start, size_t end, ld_error *err);

/* The code point at s[*i] of valid UTF-8; moves *i behind it. */
static inline uint32_t ld_utf8_next(const char *s, size_t *i) {
  const unsigned char *u = (const unsigned char *)s + *i;
  if (u[0] < 0x80) return *i += 1, u[0];
  if (u[0] < 0xe0) return *i += 2, (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
  if (u[0] < 0xf0) return *i += 3, (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
  *i += 4;
  return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
}

/* The code point before s[i], i > 0; *start gets where it starts. */
uint32_t ld_utf8_before(const char *s, size_t i, size_t *start);
void ld_utf8_append(ld_text *out, uint32_t code);
bool ld_utf8_valid(const char *s, size_t length);

/* The bytes of the character that starts at s, when it is whole and valid within `length`. Otherwise 0, and
 * *bad gets the length of the longest start of a character there (at least 1), *cut whether more bytes could
 * still complete it. */
size_t ld_utf8_check(const char *s, size_t length, size_t *bad, bool *cut);

bool ld_is_space(uint32_t code);
bool ld_is_word(uint32_t code);
bool ld_is_numeric(uint32_t code);
bool ld_is_punctuation(uint32_t code);
bool ld_is_mark(uint32_t code);
bool ld_is_nonspacing(uint32_t code); /* general category Mn */
bool ld_is_other(uint32_t code);      /* Cc, Cf and Co */
void ld_lower_append(ld_text *out, uint32_t code);

typedef enum ld_form { LD_NFC, LD_NFD, LD_NFKC, LD_NFKD } ld_form;

/* Whether that takes no more time than its length: no letter has thousands of marks. */
bool ld_form_is_fast(const char *s, size_t length);

/* Appends the normalisation form of `length` bytes. */
void ld_form_append(ld_text *out, const char *s, size_t length, ld_form form);

/* Appends \p{category} and what it lacks, as the inside of a character class; category has one or two
 * letters. */
void ld_category_append(ld_text *out, const char *category);

typedef struct ld_regex ld_regex;

ld_regex *ld_regex_new(const char *pattern, size_t length, ld_error *err);
ld_regex *ld_regex_literal(const char *string, size_t length, ld_error *err);
void ld_regex_free(ld_regex *regex);

int ld_regex_find(const ld_regex *regex, const char *s, size_t length, ld_budget *budget, ld_sink *sink,
                  ld_error *err);

/* No match has fewer characters. */
size_t ld_regex_shortest(const ld_regex *regex);

/* The pattern in PCRE2's syntax. */
int ld_regex_translate(const char *pattern, size_t length, ld_text *out, ld_error *err);

typedef struct ld_token_text {
  const char *bytes;
  size_t length;
} ld_token_text;

typedef struct ld_keys {
  struct ld_key {
    size_t start, length;
    int32_t value;
  } * items;
  size_t n, room;
  ld_text bytes;
  uint64_t *slots; /* upper half of the key's hash; index of the item, plus 1 */
  size_t n_slots;
} ld_keys;

/* -1 when it is not there. Values are at least 0. */
int32_t ld_keys_get(const ld_keys *keys, const char *key, size_t length);
void ld_keys_set(ld_keys *keys, const char *key, size_t length, int32_t value);
void ld_keys_free(ld_keys *keys);

/* A model's tokens, both ways. */
typedef struct ld_vocabulary {
  ld_keys keys;          /* id */
  ld_token_text *tokens; /* by id; NULL bytes for a hole */
  int32_t size;          /* highest id + 1; the count of tokens, keys.n, is less when there are holes */
} ld_vocabulary;

typedef struct ld_part_kind ld_part_kind;

typedef struct ld_part {
  const ld_part_kind *kind; /* NULL: the tokenizer has none */
  void *data;
} ld_part;

typedef struct ld_parts {
  ld_part *items;
  size_t n;
} ld_parts;

/* What a loader knows beside its JSON object. */
typedef struct ld_load {
  const char *name;  /* of the file */
  const char *where; /* "normalizer", "decoder", ... */
  const char *type;
  int depth;
  ld_budget *budget;
  size_t *growth; /* the most bytes that the decoder's Replaces make of one */
  ld_error *err;
} ld_load;

/* One token's text flows through the decoders in parts: feed, feed, ..., end; finish after the last token. */
typedef struct ld_stage ld_stage;
struct ld_stage {
  const ld_part_kind *kind;
  const void *data;
  ld_stage *next; /* NULL: the last, which writes to `out` */
  ld_text *out;
  ld_text hold;    /* what waits for more */
  size_t index;    /* tokens ended */
  size_t stripped; /* Strip: characters taken away at the start of this token */
  bool inside;     /* Strip: past its start */
  ld_budget *budget;
};

/* Where in the ids of an input its texts stand, and between them special tokens. */
typedef struct ld_slot {
  int text;     /* 0 or 1: the ids of that text; -1: those of `special` */
  int32_t type; /* the type id of all of them */
  ld_ids special;
} ld_slot;

typedef struct ld_template {
  ld_slot *slots;
  size_t n, copies; /* of the slots, those of a text */
} ld_template;

struct ld_part_kind {
  const char *type;
  /* Reads the JSON object into part->data (which free_data gets also after a failure, when not NULL). */
  int (*load)(ld_part *part, const json_t *json, ld_load *load);
  void (*free_data)(void *data);
  union {
    int (*normalize)(const void *data, ld_normal *normal, ld_error *err);
    int (*pre_tokenize)(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err);
    /* Post-processor: the template of one text or of two; NULL when it moves only offsets. */
    const ld_template *(*template)(const void *data, bool pair);
    struct {
      int (*tokenize)(const void *data, const ld_pieces *pieces, ld_ids *out, ld_error *err);
      const ld_vocabulary *(*vocabulary)(const void *data);
    } model;
    struct {
      void (*feed)(ld_stage *stage, const char *bytes, size_t length);
      void (*end)(ld_stage *stage);
      void (*finish)(ld_stage *stage);
    } decode;
  };
};

extern const ld_part_kind *const ld_normalizer_kinds[];
extern const ld_part_kind *const ld_pre_tokenizer_kinds[];
extern const ld_part_kind *const ld_model_kinds[];
extern const ld_part_kind *const ld_post_processor_kinds[];
extern const ld_part_kind *const ld_decoder_kinds[];

/* Kinds that stand in a file of their own. */
extern const ld_part_kind ld_bpe_kind;
extern const ld_part_kind ld_byte_level_normalizer, ld_byte_level_pre_tokenizer, ld_byte_level_decoder;
extern const ld_part_kind ld_metaspace_pre_tokenizer, ld_metaspace_decoder;
extern const ld_part_kind ld_wordpiece_kind, ld_wordpiece_decoder;
extern const ld_part_kind ld_bert_normalizer, ld_bert_pre_tokenizer;

/* Loads a part by its "type" from a table that ends with NULL; JSON null or absent leaves it empty. */
int ld_part_load(ld_part *part, const json_t *json, const ld_part_kind *const *kinds, ld_load *load);
void ld_part_free(ld_part *part);

/* The array `key` of parts of the same family, for a Sequence. */
int ld_parts_load(ld_parts *parts, const json_t *json, const char *key, const ld_part_kind *const *kinds,
                  ld_load *load);
void ld_parts_free(ld_parts *parts);

/* Fields of a part. Errors name the file, the part and the key. */
int ld_load_fail(const ld_load *load, int code, const char *key, const char *problem);
int ld_load_bool(const ld_load *load, const json_t *json, const char *key, bool *out);
int ld_load_bool_or(const ld_load *load, const json_t *json, const char *key, bool fallback, bool *out);
int ld_load_string(const ld_load *load, const json_t *json, const char *key, const char **out,
                   size_t *length);
int ld_load_id(const ld_load *load, const json_t *json, const char *key, int32_t *out);
/* A string of one character. */
int ld_load_char(const ld_load *load, const json_t *json, const char *key, uint32_t *out);
/* "pattern": {"String": ...} or {"Regex": ...}. */
int ld_load_pattern(const ld_load *load, const json_t *json, ld_regex **out);

/* "vocab", an object of ids. */
int ld_vocabulary_load(ld_vocabulary *vocabulary, const json_t *json, const ld_load *load);
void ld_vocabulary_free(ld_vocabulary *vocabulary);

int ld_normalize(const ld_part *normalizer, ld_normal *normal, ld_error *err);
int ld_pre_tokenize(const ld_part *pre_tokenizer, ld_pieces *pieces, const ld_next *next, ld_error *err);

/* What normalizers are made of: rewriting character by character, and a normalisation form. */
void ld_normal_each(ld_normal *normal, void (*append)(ld_text *out, uint32_t code));
int ld_normal_form(ld_normal *normal, ld_form form, ld_error *err);

/* The template for a text or a pair; NULL: the texts one after the other, of types 0 and 1. */
const ld_template *ld_template_of(const ld_part *post_processor, bool pair);
size_t ld_template_added(const ld_template *template); /* special tokens in it */
void ld_template_fill(const ld_template *template, const ld_ids texts[2], bool add_special, ld_ids *out,
                      ld_ids *types);

/* Split behaviours. */
typedef enum ld_behavior {
  LD_REMOVED,
  LD_ISOLATED,
  LD_MERGED_WITH_PREVIOUS,
  LD_MERGED_WITH_NEXT,
  LD_CONTIGUOUS
} ld_behavior;

/* What splits a text: a regular expression, or else a class of characters. */
typedef struct ld_splitter {
  const ld_regex *regex;
  bool (*is)(uint32_t code);
  ld_behavior behavior;
  bool invert;
} ld_splitter;

/* Splits every piece of text. */
int ld_split(ld_pieces *pieces, const ld_splitter *splitter, const ld_next *next, ld_error *err);
int ld_split_twice(ld_pieces *pieces, const ld_splitter *first, const ld_splitter *second, const ld_next *next,
                   ld_error *err);
extern const ld_splitter ld_at_spaces; /* which go */

/* ByteLevel's spelling of bytes as characters, appended. */
void ld_byte_level_append(ld_text *out, const char *s, size_t length);

/* Added tokens. */
typedef struct ld_added {
  char *content;
  size_t length;
  ld_text spelling; /* the normalised content where that differs: what is matched, and what is decoded */
  int32_t id;
  bool single_word, lstrip, rstrip, normalized, special;
} ld_added;

typedef struct ld_patterns {
  const ld_added **items; /* by their bytes */
  size_t n;
  bool starts[256];    /* the first bytes that occur */
  bool split_special; /* special tokens in a text are text */
} ld_patterns;

typedef struct ld_added_tokens {
  ld_added *items;
  size_t n, room;
  ld_keys by_content; /* id */
  ld_keys special;    /* spellings that decoding skips */
  ld_keys by_id;      /* the id's bytes: index in items */
  ld_patterns raw, normalized;
} ld_added_tokens;

int ld_added_load(ld_added_tokens *added, const json_t *json, const ld_part *model, const ld_part *normalizer,
                  const ld_load *load);
void ld_added_free(ld_added_tokens *added);
const ld_added *ld_added_find(const ld_added_tokens *added, int32_t id);

/* Cuts the added tokens out of the pieces that are still text. */
int ld_added_split(const ld_patterns *patterns, ld_pieces *pieces, ld_error *err);

/* What a tokenizer's folder has: the vocabulary and the settings beside it. */
typedef struct ld_token_files {
  char *name, *settings_name; /* the vocabulary's path, and tokenizer_config.json's, for error texts */
  json_t *source;   /* tokenizer.json; of an older vocabulary one that has only its model */
  size_t bytes;     /* of the vocabulary's file */
  bool older;       /* source stands for vocab.txt, or for vocab.json and merges.txt */
  json_t *settings; /* tokenizer_config.json with what special_tokens_map.json changes; never NULL */
  json_t *added;    /* added_tokens.json; NULL where there is none, or it does not count */
  json_t *config;   /* config.json; NULL where there is none */
} ld_token_files;

/* Reads them: `path` is a folder, a vocab.txt or vocab.json (with the settings beside it), or any other file,
 * which is a tokenizer.json that stands alone. Freed with ld_token_files_free, also after an error. */
int ld_token_files_read(const char *path, ld_token_files *files, ld_error *err);
void ld_token_files_free(ld_token_files *files);

/* In transformers' order. */
/* Keys of the joined settings that are no file's: extra tokens that have names; a description that comes from
 * special_tokens_map.json. */
#define LD_MODEL_TOKENS "model_specific_special_tokens"
#define LD_FROM_MAP "from special_tokens_map.json"

enum { LD_BOS, LD_EOS, LD_UNK, LD_SEP, LD_PAD, LD_CLS, LD_MASK, LD_N_ROLES };

/* The added tokens that the files make together. */
typedef struct ld_special_tokens {
  json_t *roles[LD_N_ROLES]; /* spellings; NULL: there is none */
  json_t *added;             /* a tokenizer.json's added_tokens */
  json_t *ids;               /* the id that each of them will have, by content */
  json_t *skipped;           /* contents that decoding skips, whatever the flags of their tokens say */
} ld_special_tokens;

typedef struct ld_token_class ld_token_class;
struct ld_class_input;

/* Freed with ld_special_tokens_free, also after an error. */
int ld_special_tokens_merge(const ld_token_files *files, const ld_token_class *class, ld_special_tokens *out,
                            ld_error *err);
void ld_special_tokens_free(ld_special_tokens *tokens);

/* Whether a key names a special token of none of those roles, such as "image_token". */
bool ld_is_other_token(const char *key);

/* A role's spelling, or NULL; and that it has one. */
const char *ld_special_token(const ld_special_tokens *tokens, int role);
int ld_special_token_need(const ld_token_files *files, const ld_special_tokens *tokens, int role,
                          ld_error *err);

/* How transformers makes a tokenizer of a vocabulary. */
struct ld_token_class {
  const char *model;                /* the type of model that it takes */
  const char *vocabulary;           /* the older vocabulary that it takes, or "" */
  const char *defaults[LD_N_ROLES]; /* the special tokens where the settings are silent */
  bool plain_specials;              /* all special tokens are added without flags */
  bool no_types;                    /* its model gets no token types */
  /* Writes the parts of a tokenizer.json; NULL: the file stays as it is. */
  int (*build)(const struct ld_class_input *in, json_t *root);
};

/* The class that the settings name, or that config.json's model_type has. */
int ld_token_class_choose(const ld_token_files *files, const ld_token_class **out, ld_error *err);

/* The tokenizer.json that the class makes of the files. */
int ld_token_class_build(const ld_token_class *class, const ld_token_files *files,
                         const ld_special_tokens *tokens, json_t **root, ld_error *err);

/* What else the settings change about a tokenizer once it is made. */
int ld_token_settings_apply(const ld_token_class *class, const ld_token_files *files, ld_tokenizer *tokenizer,
                            ld_error *err);

/* Makes a tokenizer of a folder's files. */
int ld_token_files_build(const ld_token_files *files, ld_tokenizer **out, ld_error *err);

/* Makes a tokenizer of a tree, which it takes; `bytes` is the size of its file. */
int ld_tokenizer_build(json_t *root, const char *name, size_t bytes, ld_tokenizer **out, ld_error *err);

struct ld_tokenizer {
  ld_part normalizer, pre_tokenizer, model, post_processor, decoder;
  ld_added_tokens added;
  ld_token_text *spellings; /* by id; NULL bytes for a hole */
  uint8_t *skipped;         /* by id: whether decoding skips it with the special ones */
  int32_t size, eos;
  bool no_types; /* see ld_tokenizer_has_types */
  bool clean_up; /* decoded text: clean_up_tokenization_spaces */
  bool cut_left; /* what does not fit is cut from the start of a text */
};

/* A chain of stages for one text; the decoder's tokens go in at its head and text comes out at its end. */
typedef struct ld_chain {
  ld_stage *stages;
  size_t n;
  ld_budget budget; /* the stages point to it: a chain does not move */
} ld_chain;

/* `clean_up`: of the whole text, which then comes at its end. */
void ld_chain_init(ld_chain *chain, const ld_part *decoder, bool clean_up);
void ld_chain_token(ld_chain *chain, const char *bytes, size_t length, ld_text *out);
void ld_chain_finish(ld_chain *chain, ld_text *out);
void ld_chain_free(ld_chain *chain);

/* Passing on within a chain. */
void ld_stage_feed(ld_stage *stage, const char *bytes, size_t length);
void ld_stage_end(ld_stage *stage);
void ld_stage_finish(ld_stage *stage);

/* English punctuation joins the word before it; with `contract` " do not" becomes " don't". */
void ld_clean_up(ld_text *text, bool contract);

/* For stages that keep a token until it is whole, and have nothing left at the end. */
void ld_stage_hold(ld_stage *stage, const char *bytes, size_t length);
void ld_stage_pass_finish(ld_stage *stage);

#endif
