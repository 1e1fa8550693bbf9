/* The components of a pipeline. A component is one object of the tokenizer.json with a "type": a normalizer,
 * a pre-tokenizer, the model, a post-processor or a decoder. Each type is one ld_component_kind. To add one,
 * write the kind in its own file, add its name to kinds.h, and a line to the table of its family
 * (normalizer.c, pre_tokenizer.c, tokenizer.c, post_processor.c, decoder.c). */
#ifndef LD_COMPONENT_H
#define LD_COMPONENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/ids.h"
#include "io/tokenizer/regex.h"

enum {
  LD_MAX_TOKEN_ID =
      (1 << 22) - 1,          /* four times the largest vocabulary known: a larger id is a damaged file */
  LD_MAX_COMPONENT_DEPTH = 16 /* of Sequence in Sequence */
};

/* What the families work on: normal.h, pieces.h, post_processor.h, stage.h, vocabulary.h. */
struct ld_normal;
struct ld_pieces;
struct ld_next;
struct ld_template;
struct ld_stage;
struct ld_vocabulary;

typedef struct ld_component_kind ld_component_kind;

typedef struct ld_component {
  const ld_component_kind *kind; /* NULL: the tokenizer has none */
  void *data;
} ld_component;

typedef struct ld_components {
  ld_component *items;
  size_t n;
} ld_components;

/* What a loader knows besides its JSON object. */
typedef struct ld_load {
  const char *name;                      /* of the file */
  const char *where;                     /* "normalizer", "decoder", ... */
  const ld_component_kind *const *kinds; /* the family's table; NULL after the last */
  const char *type;
  int depth;
  bool exact; /* numbers were read by transformers, not by the library (see unigram.c) */
  ld_budget *budget;
  size_t *growth; /* the most bytes that the decoder's Replaces make of one byte */
  ld_error *err;
} ld_load;

struct ld_component_kind {
  const char *type;
  /* Reads the JSON object into component->data (which free_data frees also after a failure, unless it is
   * NULL). */
  int (*load)(ld_component *component, const json_t *json, ld_load *load);
  void (*free_data)(void *data);
  union {
    int (*normalize)(const void *data, struct ld_normal *normal, ld_error *err);
    int (*pre_tokenize)(const void *data, struct ld_pieces *pieces, const struct ld_next *next,
                        ld_error *err);
    /* Post-processor: the template for one text or for two; NULL when it only moves offsets. */
    const struct ld_template *(*template)(const void *data, bool pair);
    struct {
      int (*tokenize)(const void *data, const struct ld_pieces *pieces, ld_ids *out, ld_error *err);
      const struct ld_vocabulary *(*vocabulary)(const void *data);
    } model;
    struct {
      void (*feed)(struct ld_stage *stage, const char *bytes, size_t length);
      void (*end)(struct ld_stage *stage);
      void (*finish)(struct ld_stage *stage);
    } decode;
  };
};

/* Loads a component by its "type" from the table load->kinds; JSON null or absent leaves it empty. */
int ld_component_load(ld_component *component, const json_t *json, const ld_load *load);
void ld_component_free(ld_component *component);

/* The type of a model. Early files do not name it; then merges mean BPE, and a vocab with scores Unigram. */
const char *ld_model_type(const json_t *model);

/* For a Sequence: its data is ld_components, read from the array `key`, all of one family. */
int ld_sequence_load(ld_component *component, const json_t *json, const char *key, const ld_load *load);
void ld_sequence_free(void *data);

/* Fields of a component. Errors name the file, the component and the key. */
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

#endif
