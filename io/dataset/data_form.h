/* A form: what the records of a data set are, and the sample that is made of one: tokens with targets, or an image.
 *
 * An objective lists the forms that it takes (forms.h), and may add its own. Formats give names and values (parsed.h),
 * and do not know what is made of them; nothing is tokenised before this.
 */
#ifndef LD_DATA_FORM_H
#define LD_DATA_FORM_H

#include "io/dataset/parsed.h"
#include "io/dataset/record.h"

struct ld_data_form {
  const char *name;
  const char *takes;   /* for errors, before a list of endings: "a language model takes files that end in" */
  const char *keys[4]; /* the values that a JSON record of this form has, NULL after the last */
  const char *more[4]; /* those that it may have besides */
  bool
      by_columns; /* its text is found among names as people choose them (column.h): in tables, and where it has no
                      keys of its own in JSON too */
  bool pairs;              /* a second text and a label may stand beside the text */
  bool packs;              /* several records share a row, unless asked otherwise */
  bool ends;               /* a text ends with the end token, where the model has one */
  bool continuous;         /* records continue each other: one stream of tokens, of which none is cut off */
  const char *input;       /* what a model must read: "text" or "image" */
  const char *record;      /* what a person calls a record: "text" */
  const char *row;         /* and a row of the batch: "text"; where records are packed "row" */
  const char *target;      /* what in a row is predicted: "word"; NULL: the row itself */
  const char *without_any; /* why there is nothing to train, after "none of its 12 records has": "a label" */
  const char
      *unused_label; /* what a warning adds when the data has labels that nobody uses; NULL for nothing */
  /* Once the form of a data set is known: finds what `make` needs besides. May be NULL. */
  int (*open)(ld_dataset *dataset, ld_error *err);
  /* Fills the sample, which comes empty. Tokens come uncut, but where n_whole is set too; a text without tokens leaves
   * it empty. LD_EFORMAT names the key that is missing or of another type. */
  int (*make)(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed, ld_sample *sample,
              ld_error *err);
};

#endif
