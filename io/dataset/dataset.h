/* Data sets: JSONL records, tables, raw text and images, read on demand.
 *
 * The bytes of a data set come from a file, from a folder, or from rank 0 (source.h). An index of records
 * (where each begins, how long it is, its label) is built in parts, one part a rank with the data; after the parts
 * are joined in order, any record can be read again by anyone. Nothing tokenised or decoded is kept.
 *
 * Forms, by ending, by keys, and by what the model takes:
 *   - .jsonl: one object a line, {"text"}, {"prompt", "completion"} or {"messages": [{"role", "content"},
 *     ...]}; a record may have further keys; the first record decides, and all others must have its form.
 *     For a classifier {"text", "label"}, with "text_pair" for pairs, or the names of a table's columns; the
 *     label is a name (a string), an integer or a real number; without a label, or with null, the record has
 *     none.
 *   - .tsv, .csv: a table whose first line names its columns: text (or sentence), for pairs text and
 *     text_pair (or the names of column.c: sentence1 and sentence2, premise and hypothesis, question and
 *     sentence, ...), and label. A label that is no number is a name, an empty one none. TSV has no quoting;
 *     CSV is that of RFC 4180, separated by commas or semicolons. For a language model the text column is
 *     plain text.
 *   - .txt: raw text, one stream of tokens, cut into records after blank lines (and within long
 *     paragraphs).
 *   - a folder: class folders with PNG and JPEG files, whose label is the folder's name; or the images
 *     themselves, without labels.
 *   - .png, .jpg, .jpeg: one image without a label.
 *   - .h5, .hdf5: images (N, H, W, C) or (N, H, W) uint8, and labels (N) integers, whose attribute `names`
 *     may name the classes.
 *
 * Tokens and targets, by form:
 *   - text: the text with the tokenizer's special tokens, eos; targets are all but the first.
 *   - prompt: the same of prompt and completion written together; targets begin where the ids of the prompt
 *     alone and of the whole part.
 *   - messages: the text of the chat layout, no more special tokens; targets are what the assistant says,
 *     with the tokens that end its turns.
 *   - raw: no special tokens, eos after the last record; targets are all.
 *   - labelled: the text or the pair with the tokenizer's special tokens, no eos; cut inside, so that these
 *     stay; no targets but the label.
 * An eos that already stands at the end, from the tokenizer or from the text, is not doubled.
 *
 * What the files hold and nobody uses (further keys, columns, files of other kinds) is counted and named in a
 * warning.
 */
#ifndef LD_DATASET_H
#define LD_DATASET_H

#include "io/dataset/index.h"
#include "io/dataset/parsed.h"
#include "io/dataset/source.h"

/* Puts the place of a record, by line or number, before an error; returns rc. */
int ld_dataset_fail_at(const ld_dataset *dataset, const ld_record *record, int rc, ld_error *err);

/* Opens it and finds its form by the first record. LD_EUNSUPPORTED for a file of a kind that is not known
 * or not for this use, LD_EFORMAT for one without records or without a known form. The caller frees with
 * ld_dataset_close. */
int ld_dataset_open(const char *path, const ld_dataset_options *options, ld_dataset **out, ld_error *err);
void ld_dataset_close(ld_dataset *dataset);

const ld_data_form *ld_dataset_form(const ld_dataset *dataset);
const char *ld_dataset_path(const ld_dataset *dataset);

/* What it was opened with, for those who make samples (data_form.h). */
const ld_dataset_options *ld_dataset_asked(const ld_dataset *dataset);

/* Where its bytes come from. Belongs to the data set. */
ld_source *ld_dataset_source(const ld_dataset *dataset);

/* Warns of what the data holds and nobody uses, `what` it is ("the keys", "the columns") and which; nothing
 * when the tally is empty. The formats call it for what they know when they open the data. */
void ld_dataset_warn_unused(const ld_dataset *dataset, const char *what, const ld_tally *unused);

/* Indexes the records that begin in the part-th of n_parts equal ranges, in file order: joined, the parts are
 * the same list whatever n_parts is (but for the numbers of label names, which count within a part). An error
 * names the line. LD_EFORMAT for labels that mix names and numbers. *out is zeroed first, and empty on
 * failure. */
int ld_dataset_index(const ld_dataset *dataset, int part, int n_parts, ld_index *out, ld_error *err);

/* Parses one record, before anything is made of it; the caller zeroes *out, but for `unused`, and frees it, also
 * after an error. Empty where no record stands. LD_EFORMAT names the file and the line or image. */
int ld_dataset_parse(const ld_dataset *dataset, const ld_record *record, ld_parsed *out, ld_error *err);

/* Reads one record: tokens cut to seq_len (raw text is not cut), or the image. */
int ld_dataset_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err);

/* For a rank without the data: appends what ld_dataset_open_received makes the same data set of there, which
 * reads the records that its source receives (source_received.h) and cannot be indexed. Errors name `path`; the
 * options must be the same. The caller closes. */
void ld_dataset_put_opening(const ld_dataset *dataset, ld_text *out);
int ld_dataset_open_received(const char *path, const ld_dataset_options *options, const char *bytes,
                             size_t length, ld_dataset **out, ld_error *err);

/* The name of the chat layout in which conversations are read; NULL for other data. It can be set to rank
 * 0's, which may see a template that others do not. */
const char *ld_dataset_layout(const ld_dataset *dataset);
int ld_dataset_set_layout(ld_dataset *dataset, const char *name, ld_error *err);

#endif
