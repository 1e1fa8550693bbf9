/* Text to token ids and back, from a Hugging Face `tokenizer.json` or an older vocabulary, with exactly the
 * results of the `tokenizers` library (0.23).
 *
 * The pipeline is that library's: added tokens are cut out, the rest is normalised, split by the
 * pre-tokenizer, turned into ids by the model, and the post-processor adds its special tokens. `truncation`
 * and `padding` in the file are ignored: the trainer decides how long a sample may be. An open tokenizer is
 * read-only; any number of threads may use it. */
#ifndef LD_TOKENIZER_H
#define LD_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "io/tokenizer/ids.h"

typedef struct ld_tokenizer ld_tokenizer;

/* Opens the tokenizer in the folder `path`: tokenizer.json; else vocab.txt; else vocab.json and merges.txt;
 * else a SentencePiece model of the type Unigram. `path` may also be a tokenizer.json, which is then used
 * alone, or one of the others.
 *
 * The folder's files are merged as in transformers (5.24): the class (tokenizer_class in
 * tokenizer_config.json or config.json, or config.json's model_type) with its options, and the special and
 * added tokens of tokenizer_config.json, special_tokens_map.json and added_tokens.json. Any of these may be
 * missing. An unknown class uses a tokenizer.json as it is, with a warning.
 *
 * LD_EFILE when there is no tokenizer, LD_EFORMAT when it is malformed, LD_EUNSUPPORTED when it asks for an
 * unknown component (named in the text). The caller frees with ld_tokenizer_free. */
int ld_tokenizer_open(const char *path, ld_tokenizer **out, ld_error *err);

/* The same from `length` bytes of JSON; `name` stands for the file in errors. */
int ld_tokenizer_parse(const char *json, size_t length, const char *name, ld_tokenizer **out, ld_error *err);

/* The same from a folder's files that were already read (folder.h). */
struct ld_token_files;
int ld_tokenizer_build(const struct ld_token_files *files, ld_tokenizer **out, ld_error *err);

void ld_tokenizer_free(ld_tokenizer *tokenizer);

/* Between the ids of two tokenizers. */
enum { LD_NEXT_TOKENIZER = -1 };

/* For models that read a text by two tokenizers: from now on, what the first one encodes with its special ids is
 * followed by LD_NEXT_TOKENIZER and by the ids of `next` for the same text. The first one frees `next`. */
void ld_tokenizer_follow(ld_tokenizer *tokenizer, ld_tokenizer *next);

/* Appends the ids of `length` bytes of UTF-8 to `out`; with `add_special` also what the post-processor adds
 * around a single text (bos, eos, ...). LD_EFORMAT when the text is not UTF-8, or when it has characters that
 * are not in the vocabulary and unk_token is not either. */
int ld_tokenizer_encode(const ld_tokenizer *tokenizer, const char *text, size_t length, bool add_special,
                        ld_ids *out, ld_error *err);

/* An encoder's input: a text, or (if `pair` is not NULL) two. */
typedef struct ld_input {
  const char *text;
  size_t length;
  const char *pair;
  size_t pair_length;
  size_t most; /* limit on tokens, with the special ones; 0: no limit */
  /* "de_DE": its token stands where the post-processor has a language's (mBART "text </s> de_DE", mBART-50 and
   * NLLB "de_DE text </s>"), for a source and for a target. NULL: src_lang of the settings or, without it, the
   * class's default. */
  const char *language;
} ld_input;

/* Appends the ids of an input, with what the post-processor adds, to `out`, and their type ids to `types`: as
 * the library's encode(text, pair) after enable_truncation(most, strategy="longest_first", direction by
 * truncation_side). LD_EFORMAT when a text is not UTF-8 or cannot be encoded (as above); LD_EMISMATCH when
 * `most` leaves no room for the special tokens (the library then truncates nothing), or when the tokenizer
 * does not have the language. Neither list changes after an error. */
int ld_tokenizer_encode_input(const ld_tokenizer *tokenizer, const ld_input *input, ld_ids *out,
                              ld_ids *types, ld_error *err);

/* The id of a language's token, "de_DE", if inputs of the tokenizer have one: LD_EMISMATCH if they do not, or
 * if it does not have this language; the error lists those it has. Generation begins with this token of the
 * target's language. */
int ld_tokenizer_language(const ld_tokenizer *tokenizer, const char *language, int32_t *id, ld_error *err);

/* Words that were split before: each is encoded separately. */
typedef struct ld_words {
  const char *const *list;
  size_t n;
  size_t most; /* limit on tokens, with the special ones; 0: no limit */
} ld_words;

/* Appends the ids of words, with what the post-processor adds, to `out`: as the library's encode(words,
 * is_pretokenized=True) after enable_truncation(most, direction by truncation_side), for a tokenizer that
 * transformers opened with add_prefix_space=True: a ByteLevel that is not in a Sequence puts a blank before
 * each word. Appends one number per id to `word`: the word whose first remaining id it is, or -1 for a word's
 * further ids and for special ones. *n_whole is the number of ids without the limit. Errors as above. */
int ld_tokenizer_encode_words(const ld_tokenizer *tokenizer, const ld_words *words, ld_ids *out, ld_ids *word,
                              size_t *n_whole, ld_error *err);

/* Appends the text of `n` ids to `out`, as `decode(ids, skip_special_tokens)` does: unknown ids add nothing,
 * bytes that are not UTF-8 become U+FFFD. */
void ld_tokenizer_decode(const ld_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                         ld_text *out);

/* Decodes id by id, for text that is shown while it is generated. What push and finish append adds up to what
 * ld_tokenizer_decode appends for all ids, in pieces of whole UTF-8 characters, each as soon as no later id
 * can change it. The tokenizer must outlive the decoder; the caller frees with ld_stream_decoder_free. */
typedef struct ld_stream_decoder ld_stream_decoder;

ld_stream_decoder *ld_stream_decoder_new(const ld_tokenizer *tokenizer, bool skip_special);
void ld_stream_decoder_push(ld_stream_decoder *decoder, int32_t id, ld_text *out);
void ld_stream_decoder_finish(ld_stream_decoder *decoder, ld_text *out); /* once, after the last id */
void ld_stream_decoder_free(ld_stream_decoder *decoder);

/* The id of a token's exact spelling in the vocabulary or among the added tokens; -1 for an unknown one. */
int32_t ld_tokenizer_id(const ld_tokenizer *tokenizer, const char *token);

/* The spelling of an id; NULL for an unknown one. Belongs to the tokenizer. */
const char *ld_tokenizer_token(const ld_tokenizer *tokenizer, int32_t id);

/* Whether an id is an added token that is marked special. */
bool ld_tokenizer_is_special(const ld_tokenizer *tokenizer, int32_t id);

/* Whether the model of the folder's settings takes type ids. If not, it sees all of them as 0, whatever
 * ld_tokenizer_encode_input returns. */
bool ld_tokenizer_has_types(const ld_tokenizer *tokenizer);

/* The id of the eos_token in the folder's settings or its class; -1 when there is none. */
int32_t ld_tokenizer_eos(const ld_tokenizer *tokenizer);

/* The id of the pad_token in the folder's settings or its class, which fills a text up to a fixed length; -1
 * when there is none. */
int32_t ld_tokenizer_pad(const ld_tokenizer *tokenizer);

/* The model_max_length of the folder's settings: how many tokens, with the special ones, its model takes; 0
 * when it sets no limit. */
int32_t ld_tokenizer_most(const ld_tokenizer *tokenizer);

/* One more than the highest id. */
int32_t ld_tokenizer_size(const ld_tokenizer *tokenizer);

#endif
