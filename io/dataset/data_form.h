/* A form: what the records of a data set are, and the sample that is made from one: tokens with targets, or
 * an image.
 *
 * An objective lists the forms that it takes (forms.h), and may add its own. Formats give names and values
 * (parsed.h) without knowing how they are used; nothing is tokenised before this. */
#ifndef LD_DATA_FORM_H
#define LD_DATA_FORM_H

#include "io/dataset/column.h"
#include "io/dataset/parsed.h"
#include "io/dataset/record.h"

struct ld_data_form {
  const char *name;
  const char *takes;   /* for errors, before a list of endings: "a language model takes files that end in" */
  const char *keys[4]; /* the values that a JSON record of this form has; NULL after the last */
  const char *more[4]; /* the values that it may also have */
  const char
      *list; /* the one of `keys` whose value is a list, which sets it apart from other forms; NULL: none */
  const ld_column_names
      *columns; /* the names by which its texts are found, in tables and in JSON; NULL: `keys` */
  bool pairs;   /* the text may come with a second text and a label */
  bool apart;   /* what is to be predicted is a text of its own: it follows the input's n_source tokens */
  bool packs;   /* several records share a row by default */
  bool ends;    /* a text ends with the end token, if the model has one */
  bool
      pictures; /* images are what is learnt: each has a caption, if the model has a tokenizer, and is a target */
  bool continuous;          /* records continue each other: one stream of tokens, which is never truncated */
  const char *input;        /* the input that a model must take: "text" or "image" */
  const char *record;       /* a record's name in messages: "text" */
  const char *row;          /* the name of a row of the batch: "text", or "row" where records are packed */
  const char *target;       /* what is predicted in a row: "word"; NULL: the row itself */
  const char *without_any;  /* why there is nothing to train, after "none of its 12 records has": "a label" */
  const char *unused_label; /* what a warning of unused labels adds; NULL: nothing */
  const char *cut_parts;    /* what LD_CUT_PARTS has left out of a record, in words; NULL: it has no parts */
  /* Called once the form of a data set is known: finds what else `make` needs. May be NULL. */
  int (*open)(ld_dataset *dataset, ld_error *err);
  /* Fills the sample, which comes empty. Tokens are not truncated, unless n_whole is set too; a text without
   * tokens leaves the sample empty. LD_EFORMAT names a key that is missing or has another type. */
  int (*make)(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed, ld_sample *sample,
              ld_error *err);
  /* The same for a model that is to write what the record's last `n_answers` keys hold, which may be missing:
   * the tokens are those that it continues or reads, at least one, without targets; what the record says
   * itself becomes `references`. NULL: there is nothing to write in such records. */
  int (*ask)(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed, ld_sample *sample,
             ld_error *err);
  int n_answers;
};

#endif
