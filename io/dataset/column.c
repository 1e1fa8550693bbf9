#include "io/dataset/column.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "base/utf8.h"

/* Pairs of texts, in the order in which the model reads them. The first pair is the recommended one. */
static const char *const pairs[][2] = {
    {"text", "text_pair"},        /* ours, and the tokenizers' */
    {"sentence1", "sentence2"},   /* MRPC, RTE, STS-B, WNLI, PAWS, WiC */
    {"premise", "hypothesis"},    /* MNLI, CB, SciTail, ANLI */
    {"question", "sentence"},     /* QNLI */
    {"question1", "question2"},   /* QQP */
    {"question", "passage"},      /* BoolQ */
    {"question", "context"},      /* SQuAD and similar sets */
    {"question", "answer"},       /* WikiQA */
    {"query", "passage"},         /* MS MARCO */
    {"query", "document"},        /* other sets for retrieval */
    {"query", "answer"},          /* other sets for retrieval */
    {"query", "text"},            /* other sets for retrieval */
    {"text_a", "text_b"},         /* the first BERT's InputExample */
    {"text1", "text2"},           /* many sets on the hub */
    {"sentence_a", "sentence_b"}, /* SICK */
    {"claim", "evidence"},        /* FEVER */
    {"#1 string", "#2 string"},   /* MRPC as it was published */
    {NULL, NULL},
};

/* In a set that has "label", the others mean something else. */
static const char *const labels[] = {"label",
                                     "labels",
                                     "gold_label",   /* MNLI, SNLI */
                                     "score",        /* STS-B */
                                     "quality",      /* MRPC */
                                     "is_duplicate", /* QQP */
                                     NULL};

const ld_column_names ld_columns_labelled = {
    .pairs = pairs,
    .single = "sentence", /* SST-2, CoLA */
    .labels = labels,
    .advice =
        "name the text \"text\" (or \"sentence\"), the texts of pairs \"text\" and \"text_pair\" (or as in "
        "GLUE), and the label \"label\"",
};

static bool same(const char *name, const char *known) {
  return !strcasecmp(name, known);
}

static bool is_first(const ld_column_names *known, const char *name) {
  for (size_t p = 0; known->pairs[p][0]; p++)
    if (same(name, known->pairs[p][0])) return true;
  return known->single && same(name, known->single);
}

static bool is_text(const ld_column_names *known, const char *name) {
  for (size_t p = 0; known->pairs[p][0]; p++)
    if (same(name, known->pairs[p][1])) return true;
  return is_first(known, name);
}

static bool are_pair(const ld_column_names *known, const char *first, const char *second) {
  for (size_t p = 0; known->pairs[p][0]; p++)
    if (same(first, known->pairs[p][0]) && same(second, known->pairs[p][1])) return true;
  return false;
}

bool ld_columns_is_label(const char *name) {
  for (size_t i = 0; labels[i]; i++)
    if (same(name, labels[i])) return true;
  return false;
}

bool ld_columns_no_label(const char *column, const char *label, size_t length) {
  return same(column, "gold_label") && length == 1 && *label == '-';
}

const char *ld_columns_partner(const ld_column_names *known, const char *text) {
  for (size_t p = 0; known->pairs[p][0]; p++)
    if (same(text, known->pairs[p][0])) return known->pairs[p][1];
  return NULL;
}

/* A name as an error may show it, cut between characters. */
static void put_name(const char *name, ld_text *out) {
  const size_t length = strlen(name);
  size_t n = length < 40 ? length : 40;
  while (n && n < length && ld_utf8_goes_on(name[n])) n--;
  ld_text_puts(out, "\"");
  ld_text_append(out, name, n);
  ld_text_puts(out, n < length ? "...\"" : "\"");
}

/* Lists the names (`texts`: only those of texts), as many as fit on a line; returns their number. */
static size_t list_names(const ld_column_names *known, char *const *names, size_t n, bool texts,
                         ld_text *out) {
  const size_t most = 20;
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    if (texts && !is_text(known, names[i])) continue;
    if (count && count < most) ld_text_puts(out, ", ");
    if (count++ < most) put_name(names[i], out);
  }
  ld_text_puts(out, count > most ? ", ..." : count ? "" : "none");
  return count;
}

static int fail_without(const ld_column_names *known, char *const *names, size_t n, const char *what,
                        ld_error *err) {
  ld_text has = {0};
  list_names(known, names, n, false, &has);
  ld_fail(err, LD_EFORMAT, "the %s are %s, and none has a known name for a text: %s", what, has.bytes,
          known->advice);
  ld_text_free(&has);
  return LD_EFORMAT;
}

static int fail_several(const ld_column_names *known, char *const *names, size_t n, const char *what,
                        ld_error *err) {
  ld_text found = {0};
  const size_t count = list_names(known, names, n, true, &found);
  ld_fail(err, LD_EFORMAT, "%s %s could be the text (%s): leave only one named so, or %s",
          count == 2 ? "two" : "several", what, found.bytes, known->advice);
  ld_text_free(&found);
  return LD_EFORMAT;
}

static int find_texts(const ld_column_names *known, char *const *names, size_t n, const char *what,
                      ld_columns *out, ld_error *err) {
  size_t found[2], count = 0;
  for (size_t i = 0; i < n; i++) {
    if (!is_text(known, names[i])) continue;
    if (count < 2) found[count] = i;
    count++;
  }
  if (!count || (count == 1 && !is_first(known, names[found[0]])))
    return fail_without(known, names, n, what, err);
  if (count > 2) return fail_several(known, names, n, what, err);
  out->text = found[0] + 1;
  if (count == 1) return 0;
  const bool turned = are_pair(known, names[found[1]], names[found[0]]);
  if (!turned && !are_pair(known, names[found[0]], names[found[1]]))
    return fail_several(known, names, n, what, err);
  out->text = found[turned] + 1;
  out->pair = found[!turned] + 1;
  return 0;
}

static int find_label(const ld_column_names *known, char *const *names, size_t n, const char *what,
                      ld_columns *out, ld_error *err) {
  for (size_t l = 0; known->labels && known->labels[l] && !out->label; l++)
    for (size_t i = 0; i < n; i++) {
      if (!same(names[i], known->labels[l])) continue;
      if (out->label) return ld_fail(err, LD_EFORMAT, "two %s are named \"%s\"", what, known->labels[l]);
      out->label = i + 1;
    }
  return 0;
}

int ld_columns_find(const ld_column_names *known, char *const *names, size_t n, const char *what,
                    ld_columns *out, ld_error *err) {
  *out = (ld_columns){0};
  const int rc = find_texts(known, names, n, what, out, err);
  return rc ? rc : find_label(known, names, n, what, out, err);
}
