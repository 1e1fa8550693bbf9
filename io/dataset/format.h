/* What a data format provides, and what the formats share. Only for use in io/dataset.
 *
 * A new format is one file with such a table, and a line in dataset.c. It finds where records begin and
 * decodes their bytes, without knowing whether they come from a file or from rank 0. */
#ifndef LD_DATASET_FORMAT_H
#define LD_DATASET_FORMAT_H

#include "io/chat/chat.h"
#include "io/dataset/parsed.h"
#include "io/dataset/record.h"
#include "io/dataset/source.h"

typedef struct ld_data_format {
  const char *endings[5];   /* of the file's name, NULL after the last; "/" is a folder */
  bool continuous, columns; /* what it holds, as in ld_data_form; columns: its values have names */
  const char *key;          /* a value that its records always have, so that a form must too; NULL: none */
  bool captions;            /* each image has one */
  const char *between;      /* several files can be read as one with this between them; NULL: they cannot */
  bool header;              /* the first line of such files is the same, and counts once */
  const char *image;        /* it holds images, which errors call so: "image 3"; NULL: text */
  /* Opens dataset->source where the data is: ld_data_map_text for text. */
  int (*source)(ld_dataset *dataset, const char *path, ld_error *err);
  /* On every rank: from ld_source_start, sets the keys, dataset->own for the calls below, and the form if it
   * is not the first that fits. Marks with ld_source_keep the bytes that a rank without the data needs for
   * the same. May be NULL. */
  int (*open)(ld_dataset *dataset, ld_error *err);
  /* Frees dataset->own, which is not NULL. May be NULL. */
  void (*close)(ld_dataset *dataset);
  /* Where the data is, after `open`: finds what `next` needs and what takes reading the whole file. Sets
   * dataset->first, which is source->begin before; fails when there is no record. May be NULL. */
  int (*scan)(ld_dataset *dataset, ld_error *err);
  /* Where the data is: the first offset after `offset` at which a record begins, else the length. It may
   * depend only on the source and on `offset`, never on where a reader came from, so that parts join without
   * a seam. NULL: each unit is a record. */
  uint64_t (*next)(const ld_dataset *dataset, uint64_t offset);
  /* On every rank: parses the record's bytes. `out` comes empty, and stays empty where there is no record.
   * For text, the names of the values are dataset->keys or those of the form. */
  int (*read)(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes, ld_parsed *out,
              ld_error *err);
} ld_data_format;

extern const ld_data_format ld_data_jsonl, ld_data_raw, ld_data_tsv, ld_data_csv; /* the tables: table.c */
extern const ld_data_format ld_data_conll, ld_data_json_array;
extern const ld_data_format ld_data_image_folder, ld_data_picture_folder;
extern const ld_data_format ld_data_image_file, ld_data_image_hdf5;

/* Names of values; NULL for a missing one. */
typedef struct ld_data_keys {
  char *text, *pair, *label;
} ld_data_keys;

struct ld_dataset {
  const ld_data_format *format;
  ld_source *source;
  uint64_t first;       /* where records begin */
  uint64_t first_prior; /* where those of class_data begin; 0: there are none, or this rank has no files */
  ld_dataset_options options;
  const ld_data_form *form;
  ld_data_keys keys;            /* of text, except for forms whose keys have one name only */
  const ld_chat_layout *layout; /* of a form that has turns */
  bool adds_eos;                /* the tokenizer itself appends eos to a text */
  void *own;                    /* the format's */
};

/* The source of a text file, which begins after a byte order mark. Fails for a file of blanks only. */
int ld_data_map_text(ld_dataset *dataset, const char *path, ld_error *err);

/* Whether the bytes are UTF-8 without a NUL. */
bool ld_data_is_text(const char *text, size_t length);

bool ld_data_is_blank(const char *text, size_t length);

/* The path of the data set or, for a record that is prior, of class_data. */
const char *ld_data_path_of(const ld_dataset *dataset, const ld_record *record);

/* The path of the file that holds this byte. */
const char *ld_data_file(const ld_dataset *dataset, uint64_t offset);

/* The number, from 1, of the line that contains this byte. It counts from the beginning of the file, so use
 * it for errors only. 0 where this rank does not have the file. */
size_t ld_data_line(const ld_dataset *dataset, uint64_t offset);

/* Puts the file, and the line that contains this byte, before an error; returns rc. */
int ld_data_fail_at(const ld_dataset *dataset, uint64_t offset, int rc, ld_error *err);

/* Fails, naming the line, when a text at `offset` is not UTF-8 or holds a NUL. */
int ld_data_check_text(const ld_dataset *dataset, uint64_t offset, const char *text, size_t length,
                       ld_error *err);

/* As ld_dataset_warn_unused, for what a format knows when it opens the data. */
void ld_data_warn_unused(const ld_dataset *dataset, const char *what, const ld_tally *unused);

#endif
