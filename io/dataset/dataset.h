/* Data sets: JSONL records, tables, raw text and images, read on demand.
 *
 * The bytes of a data set come from a file, from a folder, or from rank 0 (source.h). An index of records
 * (where each begins, its length, its label) is built in parts, one by each rank with the data. After the
 * parts are joined in order, any rank can read any record again. What is tokenised or decoded is not kept, except
 * for the index, as a file (index_file.h).
 *
 * Forms, chosen by ending, by keys, and by what the model takes:
 *   - .jsonl: one object per line, {"text"}, {"prompt", "completion"} or {"messages": [{"role", "content"},
 *     ...]}; a record may have further keys; the first record decides, and all others must have its form.
 *     For a classifier {"text", "label"}, with "text_pair" for pairs, or the names of a table's columns; the
 *     label is a name (a string), an integer or a real number; without a label, or with null, the record has
 *     none. Of several labels {"text", "labels": [...]}.
 *   - .json: one array of such objects.
 *   - .tsv, .csv: a table whose first line names its columns: text (or sentence), for pairs text and
 *     text_pair (or the names of column.c: sentence1 and sentence2, premise and hypothesis, question and
 *     sentence, ...), and label. A label that is not a number is a name; an empty one means none. TSV has no
 *     quoting; CSV follows RFC 4180, separated by commas or semicolons. For a language model the text column
 *     is plain text.
 *   - .conll, .bio: a line for each word with its tag, and blank lines between the texts: {"tokens", "tags"},
 *     which .jsonl may have too, for a classifier of tokens.
 *   - .txt: raw text, one stream of tokens, cut into records after blank lines (and within long
 *     paragraphs).
 *   - a folder: class folders with PNG, JPEG and WebP files, whose label is the folder's name; or images without
 *     labels.
 *     For a model that makes images from texts: images, also in folders below, with captions in metadata.jsonl,
 *     metadata.csv or text files beside them, or one caption for all (picture_list.h).
 *   - .png, .jpg, .jpeg, .webp: one image without a label.
 *   - .h5, .hdf5: images (N, H, W, C) or (N, H, W) uint8, and labels (N) integers, whose attribute `names`
 *     may name the classes.
 *
 * Tokens and targets, by form:
 *   - text: the text with the tokenizer's special tokens, then eos; all tokens but the first are targets.
 *   - prompt: the same for prompt and completion joined; targets begin where the ids of the prompt alone and
 *     of the whole diverge.
 *   - messages: the text of the chat layout, without further special tokens; targets are what the assistant
 *     says, with the tokens that end its turns.
 *   - raw: no special tokens, eos after the last record; all tokens are targets.
 *   - picture: the caption with the tokenizer's special tokens, no eos, truncated so that these stay; the image is the
 *     only target.
 *   - labelled: the text or the pair with the tokenizer's special tokens, no eos; truncated so that these
 *     stay; the label is the only target.
 * An eos that the tokenizer or the text already put at the end is not doubled.
 *
 * What the files hold and nothing uses (further keys, columns, files of other kinds) is counted and named in
 * a warning. */
#ifndef LD_DATASET_H
#define LD_DATASET_H

#include "io/dataset/index.h"
#include "io/dataset/joined.h"
#include "io/dataset/parsed.h"
#include "io/dataset/source.h"

/* Puts a record's position (line or number) before an error; returns rc. */
int ld_dataset_fail_at(const ld_dataset *dataset, const ld_record *record, int rc, ld_error *err);

/* Opens a data set and finds its form by the first record. LD_EUNSUPPORTED for an unknown kind of file, or
 * one that the model does not take; LD_EFORMAT for a file without records or without a known form. The caller
 * frees with ld_dataset_close. */
int ld_dataset_open(const char *path, const ld_dataset_options *options, ld_dataset **out, ld_error *err);
void ld_dataset_close(ld_dataset *dataset);

/* Whether the model takes a folder as it is, and whether it takes a file of that name, perhaps compressed, as text. */
bool ld_dataset_takes_folder(const char *path, const ld_dataset_options *options);
bool ld_dataset_takes_text(const char *path, const ld_dataset_options *options);

/* How files of this one's format are joined, with `several` of them, and the number of the format. LD_EUNSUPPORTED where
 * the model does not take it, and where its files cannot be read as one. */
int ld_dataset_join_rule(const char *path, bool several, const ld_dataset_options *options, size_t *format,
                         ld_join_rule *rule, ld_error *err);

const ld_data_form *ld_dataset_form(const ld_dataset *dataset);
const char *ld_dataset_path(const ld_dataset *dataset);

/* The options it was opened with, for code that makes samples (data_form.h). */
const ld_dataset_options *ld_dataset_asked(const ld_dataset *dataset);

/* Sets how long a sample may be, as in the options: the form of the records may decide which model reads them. */
void ld_dataset_set_lengths(ld_dataset *dataset, int seq_len, int target_len);

/* The names of a record's text and of the other text of its pair, of forms with columns (data_form.h). They belong
 * to the data set. */
const char *ld_dataset_text_key(const ld_dataset *dataset);
const char *ld_dataset_pair_key(const ld_dataset *dataset);

/* Where its bytes come from. Belongs to the data set. */
ld_source *ld_dataset_source(const ld_dataset *dataset);

/* Warns of data that nothing uses: `what` it is ("the keys", "the columns") and which ones; does nothing when
 * the tally is empty. The formats call it when they open the data. */
void ld_dataset_warn_unused(const ld_dataset *dataset, const char *what, const ld_tally *unused);

/* Indexes the records that begin in the part-th of n_parts equal ranges, in file order. Joined, the parts are
 * the same list for every n_parts, except that numbers of label names count within a part. An error names the
 * line. LD_EFORMAT for labels that mix names and numbers. *out is zeroed first, and empty on failure. */
int ld_dataset_index(const ld_dataset *dataset, int part, int n_parts, ld_index *out, ld_error *err);

/* Appends lines of text that name all that an index follows from besides the data's bytes, the tokenizer and the rule of
 * images: format, form, layout and options. Data sets with the same lines and the same of those have the same index. */
void ld_dataset_put_key(const ld_dataset *dataset, ld_text *out);

/* Parses one record without making a sample of it. The caller zeroes *out, except for `unused`, and frees it,
 * also after an error. It stays empty where there is no record. LD_EFORMAT names the file and the line or
 * image. */
int ld_dataset_parse(const ld_dataset *dataset, const ld_record *record, ld_parsed *out, ld_error *err);

/* Reads one record: tokens truncated to seq_len (raw text is not), or the image. */
int ld_dataset_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err);

/* For a rank without the data: appends the bytes from which ld_dataset_open_received makes the same data set
 * there. That set reads the records that its source receives (source_received.h) and cannot be indexed.
 * Errors name `path`; the options must be the same. The caller closes. */
void ld_dataset_put_opening(const ld_dataset *dataset, ld_text *out);
int ld_dataset_open_received(const char *path, const ld_dataset_options *options, const char *bytes,
                             size_t length, ld_dataset **out, ld_error *err);

/* The name of the chat layout for conversations; NULL for other data. It can be set to rank 0's, which may
 * see a template that other ranks do not. */
const char *ld_dataset_layout(const ld_dataset *dataset);
int ld_dataset_set_layout(ld_dataset *dataset, const char *name, ld_error *err);

#endif
