#include "io/dataset/label.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/hash.h"

void ld_labels_free(ld_labels *labels) {
  for (size_t i = 0; i < labels->n_names; i++) free(labels->names[i]);
  free(labels->names);
  *labels = (ld_labels){0};
}

bool ld_labels_have(const ld_labels *labels, const char *name) {
  for (size_t i = 0; i < labels->n_names; i++)
    if (!strcmp(labels->names[i], name)) return true;
  return false;
}

static void add_name(ld_labels *labels, char *name) {
  labels->names = ld_grow(labels->names, labels->n_names, &labels->room, sizeof *labels->names);
  labels->names[labels->n_names++] = name;
}

/* The slot of a name, or the free slot where it belongs. */
static int32_t *slot_of(const ld_label_set *set, const char *name) {
  size_t at = ld_hash_string(0, name) & (set->n_slots - 1);
  while (set->slots[at] && strcmp(set->labels->names[set->slots[at] - 1], name))
    at = (at + 1) & (set->n_slots - 1);
  return &set->slots[at];
}

/* Keeps at least half of the slots free. */
static void make_slots(ld_label_set *set) {
  const size_t n_names = set->labels->n_names;
  if (set->slots && set->n_slots >= 2 * (n_names + 1)) return;
  if (!set->n_slots) set->n_slots = 16;
  while (set->n_slots < 2 * (n_names + 1)) set->n_slots *= 2;
  free(set->slots);
  set->slots = ld_alloc(set->n_slots, sizeof *set->slots);
  for (size_t i = 0; i < n_names; i++) *slot_of(set, set->labels->names[i]) = (int32_t)i + 1;
}

void ld_label_set_free(ld_label_set *set) {
  free(set->slots);
  *set = (ld_label_set){0};
}

static size_t digits(const char *text) {
  return strspn(text, "0123456789");
}

/* The kind of a label as written: digits with an optional sign are an integer; with a point or an exponent, a
 * real. */
static ld_label_kind kind_of(const char *text) {
  if (*text == '-' || *text == '+') text++;
  const size_t whole = digits(text);
  text += whole;
  if (whole && !*text) return LD_LABEL_INTEGER;
  const size_t fraction = *text == '.' ? digits(++text) : 0;
  text += fraction;
  if (!whole && !fraction) return LD_LABEL_NAME;
  if (*text == 'e' || *text == 'E') {
    text++;
    if (*text == '-' || *text == '+') text++;
    if (!digits(text)) return LD_LABEL_NAME;
    text += digits(text);
  }
  return *text ? LD_LABEL_NAME : LD_LABEL_REAL;
}

static bool is_not_finite(const char *text) {
  if (*text == '-' || *text == '+') text++;
  return !strcasecmp(text, "nan") || !strcasecmp(text, "inf") || !strcasecmp(text, "infinity");
}

int ld_label_parse(const char *text, ld_value *out, ld_error *err) {
  if (!*text) return 0;
  if (is_not_finite(text))
    return ld_fail(err, LD_EFORMAT,
                   "label: \"%s\" is not a finite number (leave it empty where there is "
                   "none)",
                   text);
  const ld_label_kind kind = kind_of(text);
  out->type = kind == LD_LABEL_NAME ? LD_STRING : kind == LD_LABEL_INTEGER ? LD_INTEGER : LD_REAL;
  if (kind == LD_LABEL_NAME) out->string = ld_strdup(text);
  if (kind == LD_LABEL_INTEGER) out->integer = strtoll(text, NULL, 10);
  if (kind != LD_LABEL_NAME) out->real = strtod(text, NULL);
  return 0;
}

static bool is_control(const char *at) {
  const uint8_t first = (uint8_t)at[0], second = first ? (uint8_t)at[1] : 0;
  return first < 0x20 || first == 0x7F || (first == 0xC2 && second >= 0x80 && second < 0xA0);
}

static int check_name(const ld_text *name, ld_error *err) {
  if (!name->length) return ld_fail(err, LD_EFORMAT, "label: an empty name");
  if (name->length > LD_LONGEST_LABEL)
    return ld_fail(err, LD_EFORMAT, "label: a name of %zu bytes, at most %d are taken: is it a text?",
                   name->length, LD_LONGEST_LABEL);
  if (!ld_utf8_valid(name->bytes, name->length))
    return ld_fail(err, LD_EFORMAT, "label: the name is not UTF-8");
  for (size_t i = 0; i < name->length; i++)
    if (is_control(name->bytes + i))
      return ld_fail(err, LD_EFORMAT, "label: a name with the control character 0x%02x",
                     (unsigned)(uint8_t)name->bytes[i + (name->bytes[i] == '\xC2')]);
  return 0;
}

static int check_number(ld_label_kind kind, double value, ld_error *err) {
  if (!(fabs(value) <= FLT_MAX)) return ld_fail(err, LD_EFORMAT, "label: not a finite number");
  if (kind == LD_LABEL_INTEGER && value < 0)
    return ld_fail(err, LD_EFORMAT,
                   "label: %.0f, but classes count from 0: leave it out where there is none, and write %.1f "
                   "when it is a value to predict",
                   value, value);
  if (kind == LD_LABEL_INTEGER && value > LD_MOST_LABELS)
    return ld_fail(err, LD_EFORMAT,
                   "label: %.0f, but classes count up to %d: write %.1f when it is a value to predict", value,
                   LD_MOST_LABELS, value);
  return 0;
}

/* The kind of all labels after one of `kind` is added; false when they cannot be mixed. */
static bool join_kind(ld_label_kind *all, ld_label_kind kind) {
  if (*all == LD_LABEL_NONE || kind == LD_LABEL_NONE)
    *all = *all ? *all : kind;
  else if ((*all == LD_LABEL_NAME) != (kind == LD_LABEL_NAME))
    return false;
  else if (*all != kind)
    *all = LD_LABEL_REAL;
  return true;
}

static int fail_mixed(const ld_label_set *set, const ld_sample *sample, ld_error *err) {
  if (sample->label_kind == LD_LABEL_NAME)
    return ld_fail(err, LD_EFORMAT, "label: the name \"%s\", but those before it are numbers: use one kind",
                   sample->label_name.bytes);
  return ld_fail(err, LD_EFORMAT,
                 "label: the number %.9g, but those before it are names (\"%s\"): use one kind",
                 sample->label_value, set->labels->names[0]);
}

static int add_to_names(ld_label_set *set, const ld_text *name, int32_t *index, ld_error *err) {
  make_slots(set);
  int32_t *slot = slot_of(set, name->bytes);
  if (!*slot) {
    if (set->labels->n_names == LD_MOST_LABELS)
      return ld_fail(err, LD_EUNSUPPORTED, "label: more than %d different names: is it a text?",
                     LD_MOST_LABELS);
    add_name(set->labels, ld_strndup(name->bytes, name->length));
    *slot = (int32_t)set->labels->n_names;
  }
  *index = *slot - 1;
  return 0;
}

static int add_number(ld_labels *labels, const ld_sample *sample, ld_record *record, ld_error *err) {
  const double value = sample->label_value;
  int rc = check_number(sample->label_kind, value, err);
  if (rc) return rc;
  record->value = (float)value;
  if (value >= 0 && value <= LD_MOST_LABELS && value == floor(value)) record->label = (int32_t)value;
  if (sample->label_kind == LD_LABEL_INTEGER && (int64_t)value > labels->largest)
    labels->largest = (int64_t)value;
  return 0;
}

int ld_label_set_add(ld_label_set *set, const ld_sample *sample, ld_record *record, ld_error *err) {
  const ld_label_kind kind = sample->label_kind;
  record->label = -1;
  record->value = NAN;
  record->n_targets = 0;
  if (kind == LD_LABEL_NONE) return 0;
  int rc = kind == LD_LABEL_NAME ? check_name(&sample->label_name, err) : 0;
  if (rc) return rc;
  if (!join_kind(&set->labels->kind, kind)) return fail_mixed(set, sample, err);
  record->n_targets = 1;
  return kind == LD_LABEL_NAME ? add_to_names(set, &sample->label_name, &record->label, err)
                               : add_number(set->labels, sample, record, err);
}

int ld_label_set_add_name(ld_label_set *set, const char *name, ld_error *err) {
  const ld_text text = {.bytes = (char *)(uintptr_t)name, .length = strlen(name)};
  int32_t index;
  const int rc = check_name(&text, err);
  set->labels->kind = LD_LABEL_NAME;
  return rc ? rc : add_to_names(set, &text, &index, err);
}

/* The head of the packed labels; the names follow. All ranks of a job have the same byte order. */
typedef struct packed_labels {
  int64_t kind, largest, n_names;
} packed_labels;

void ld_labels_put(const ld_labels *labels, ld_text *out) {
  const packed_labels head = {labels->kind, labels->largest, (int64_t)labels->n_names};
  ld_text_append(out, &head, sizeof head);
  for (size_t i = 0; i < labels->n_names; i++)
    ld_text_append(out, labels->names[i], strlen(labels->names[i]) + 1);
}

static int fail_take(ld_labels *out, ld_error *err) {
  ld_labels_free(out);
  return ld_fail(err, LD_EFORMAT, "the labels received from another rank are damaged");
}

int ld_labels_take(const char **at, const char *end, ld_labels *out, ld_error *err) {
  packed_labels head;
  *out = (ld_labels){0};
  if ((size_t)(end - *at) < sizeof head) return fail_take(out, err);
  memcpy(&head, *at, sizeof head);
  *at += sizeof head;
  if (head.kind < LD_LABEL_NONE || head.kind > LD_LABEL_REAL) return fail_take(out, err);
  if ((head.kind == LD_LABEL_NAME) != (head.n_names > 0)) return fail_take(out, err);
  out->kind = (ld_label_kind)head.kind;
  out->largest = head.largest;
  for (int64_t i = 0; i < head.n_names; i++) {
    const char *stop = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;
    if (!stop) return fail_take(out, err);
    add_name(out, ld_strdup(*at));
    *at = stop + 1;
  }
  return 0;
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_once(ld_labels *labels) {
  if (labels->n_names) qsort(labels->names, labels->n_names, sizeof *labels->names, by_bytes);
  size_t n = 0;
  for (size_t i = 0; i < labels->n_names; i++)
    if (n && !strcmp(labels->names[n - 1], labels->names[i]))
      free(labels->names[i]);
    else
      labels->names[n++] = labels->names[i];
  labels->n_names = n;
}

int ld_labels_merge(const ld_labels *parts, size_t n_parts, ld_labels *out, ld_error *err) {
  *out = (ld_labels){0};
  for (const ld_labels *part = parts; part < parts + n_parts; part++) {
    const ld_label_kind before = out->kind;
    if (!join_kind(&out->kind, part->kind)) {
      const char *name = before == LD_LABEL_NAME ? out->names[0] : part->names[0];
      ld_fail(
          err, LD_EFORMAT,
          "label: some are names (\"%s\"), but in another part of the data they are numbers: use one kind",
          name);
      ld_labels_free(out);
      return LD_EFORMAT;
    }
    for (size_t i = 0; i < part->n_names; i++) add_name(out, ld_strdup(part->names[i]));
    if (part->largest > out->largest) out->largest = part->largest;
  }
  sort_once(out);
  if (out->n_names <= LD_MOST_LABELS) return 0;
  ld_labels_free(out);
  return ld_fail(err, LD_EUNSUPPORTED, "label: more than %d different names: are they texts?",
                 LD_MOST_LABELS);
}

int ld_labels_match(const ld_labels *mine, ld_labels *all, int32_t *number, ld_error *err) {
  ld_label_set set = {.labels = all};
  int rc = 0;
  make_slots(&set);
  for (size_t i = 0; !rc && i < mine->n_names; i++) {
    number[i] = *slot_of(&set, mine->names[i]) - 1;
    if (number[i] < 0)
      rc = ld_fail(err, LD_EMISMATCH,
                   "label: \"%s\" is not among the %zu known %s (\"%s\"%s): give other data, or "
                   "a head that has it (--new-head when training)",
                   mine->names[i], all->n_names, ld_plural((long long)all->n_names, "one", "ones"),
                   all->n_names ? all->names[0] : "", all->n_names > 1 ? ", ..." : "");
  }
  ld_label_set_free(&set);
  return rc;
}

ld_labels ld_labels_copy_names(const ld_labels *labels) {
  ld_labels names = {.kind = LD_LABEL_NAME};
  for (size_t i = 0; i < labels->n_names; i++) add_name(&names, ld_strdup(labels->names[i]));
  return names;
}
