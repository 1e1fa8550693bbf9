/* CoNLL columns: a line for each word, with columns separated by blanks or tabs, of which the first is the
 * word and the last its tag; blank lines between sentences. A record is a sentence, {"tokens": [...], "tags":
 * [...]}. Lines that begin with -DOCSTART- or, before a sentence, with "# " (comments) are not words. */
#include <string.h>

#include "base/memory.h"
#include "io/dataset/form.h"

/* Where the next line begins; the length if this is the last. */
static size_t next_line(const char *text, size_t at, size_t length) {
  const char *end = memchr(text + at, '\n', length - at);
  return end ? (size_t)(end - text) + 1 : length;
}

static size_t line_of(const char *text, size_t at) {
  while (at && text[at - 1] != '\n') at--;
  return at;
}

/* A record begins after a blank line. */
static uint64_t conll_next(const ld_dataset *dataset, uint64_t offset) {
  const char *text = dataset->source->map.bytes;
  const size_t length = (size_t)dataset->source->length;
  for (size_t line = line_of(text, (size_t)offset), next; line < length; line = next) {
    next = next_line(text, line, length);
    if (next > offset && ld_data_is_blank(text + line, next - line)) return next;
  }
  return length;
}

static void add(ld_value *list, size_t *room, const char *text, size_t length) {
  ld_value *item = ld_value_add(list, NULL, room);
  item->type = LD_STRING;
  item->string = ld_strndup(text, length);
}

static bool begins_with(const char *line, size_t length, const char *text) {
  return length >= strlen(text) && !memcmp(line, text, strlen(text));
}

/* The word of a line, unless it has none, and its tag, which data for prediction may lack. */
static int take_line(ld_value *record, size_t room[2], const char *line, size_t length, bool tagged,
                     ld_error *err) {
  const bool begins = !record->items[0].n_items;
  while (length && strchr(" \t\r\n", line[length - 1])) length--;
  if (!length || begins_with(line, length, "-DOCSTART-") || (begins && begins_with(line, length, "# ")))
    return 0;
  size_t word = 0, tag = length;
  while (word < length && !strchr(" \t", line[word])) word++;
  while (tag && !strchr(" \t", line[tag - 1])) tag--;
  if (!tag && tagged)
    return ld_fail(err, LD_EFORMAT, "the word \"%.*s\" has no tag: write \"word tag\"",
                   (int)(length < 40 ? length : 40), line);
  add(&record->items[0], &room[0], line, word);
  add(&record->items[1], &room[1], line + tag, length - tag);
  return 0;
}

static int conll_read(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                      ld_parsed *out, ld_error *err) {
  size_t room[2] = {0};
  int rc = ld_data_check_text(dataset, record->offset, bytes->at, bytes->length, err);
  if (rc || ld_data_is_blank(bytes->at, bytes->length)) return rc;
  ld_parsed_add(out, "tokens")->type = LD_LIST;
  ld_parsed_add(out, "tags")->type = LD_LIST;
  for (size_t at = 0, next; at < bytes->length && !rc; at = next) {
    next = next_line(bytes->at, at, bytes->length);
    rc = take_line(out->values, room, bytes->at + at, next - at, !dataset->options.unlabelled, err);
    if (rc) ld_data_fail_at(dataset, record->offset + at, rc, err);
  }
  if (!rc && !out->values->items[0].n_items) { /* only comments */
    ld_value_free(out->values);
    out->values = NULL;
  }
  return rc;
}

static int conll_open(ld_dataset *dataset, ld_error *err) {
  ld_parsed likeness = {0};
  ld_parsed_add(&likeness, "tokens")->type = LD_LIST;
  ld_parsed_add(&likeness, "tags")->type = LD_LIST;
  const int rc = ld_form_find(dataset, likeness.values, err);
  ld_parsed_free(&likeness);
  return rc ? ld_fail_prefix(err, rc, "%s", dataset->source->path) : 0;
}

const ld_data_format ld_data_conll = {.endings = {".conll", ".bio"},
                                      .key = "tokens",
                                      .source = ld_data_map_text,
                                      .between = "\n",
                                      .open = conll_open,
                                      .next = conll_next,
                                      .read = conll_read};
