#include "data/corpus_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/fetch.h"
#include "model/diffusion.h"

static int fail_without_any(const ld_corpus *corpus, ld_error *err) {
  const char *path = ld_dataset_path(corpus->dataset);
  if (!corpus->n_records && corpus->n_skipped)
    return ld_fail(err, LD_EFORMAT, "%s: %s: %s", path,
                   ld_plural(corpus->n_skipped, "its only image cannot be read",
                             "none of its images can be read, of which the first"),
                   corpus->first_skipped.text);
  if (!corpus->n_records) return ld_fail(err, LD_EFORMAT, "%s: none of its records has a token", path);
  return ld_fail(err, LD_EFORMAT, "%s: none of its %lld %s has %s", path, (long long)corpus->n_records,
                 ld_plural(corpus->n_records, "record", "records"),
                 ld_dataset_form(corpus->dataset)->without_any);
}

/* Warns of records that are left out or truncated. */
static void warn_of_records(const ld_corpus *corpus, int seq_len) {
  const char *path = ld_dataset_path(corpus->dataset);
  const ld_plan *plan = corpus->plan;
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  if (plan->n_cut && form->pictures)
    ld_warn("%s: %lld caption%s longer than %d tokens and truncated", path, (long long)plan->n_cut,
            ld_plural(plan->n_cut, " is", "s are"), seq_len);
  else if (plan->n_cut)
    ld_warn("%s: %lld record%s longer than --seq-len %d tokens and truncated", path, (long long)plan->n_cut,
            ld_plural(plan->n_cut, " is", "s are"), seq_len);
  if (plan->n_target_cut)
    ld_warn("%s: %lld %s longer than --target-len %lld tokens and truncated", path,
            (long long)plan->n_target_cut, ld_plural(plan->n_target_cut, "target is", "targets are"),
            (long long)corpus->options->target_len);
  if (plan->n_parts_cut)
    ld_warn("%s: %lld %s %s", path, (long long)plan->n_parts_cut,
            ld_plural(plan->n_parts_cut, "record has", "records have"), form->cut_parts);
  if (plan->n_idle)
    ld_warn("%s: %lld %s no %s and %s left out", path, (long long)plan->n_idle,
            ld_plural(plan->n_idle, "record has", "records have"), form->target ? form->target : "label",
            ld_plural(plan->n_idle, "is", "are"));
}

/* Counts the pictures of the class, each of which is paired with one to learn, and checks that pairs can be made. */
static int count_prior(ld_corpus *corpus, ld_error *err) {
  const char *path = ld_dataset_path(corpus->dataset), *class_data = corpus->options->class_data;
  corpus->n_prior = 0;
  for (int64_t i = 0; i < corpus->n_records; i++) corpus->n_prior += corpus->records[i].prior;
  if (!ld_dataset_asked(corpus->dataset)->class_data) return 0;
  if (!corpus->n_prior || corpus->n_prior == corpus->n_records)
    return ld_fail(err, LD_EFORMAT, "%s: none of its images can be read",
                   corpus->n_prior ? path : class_data);
  if (corpus->options->batch_size % 2)
    return ld_fail(err, LD_EUSAGE,
                   "--batch-size %lld: with --class-data half of a batch is from there: give an even number",
                   (long long)corpus->options->batch_size);
  return 0;
}

static int plan_rows(ld_corpus *corpus, ld_error *err) {
  const ld_options *options = corpus->options;
  const int seq_len = ld_corpus_seq_len(corpus), target_len = ld_corpus_target_len(corpus);
  ld_length *lengths = ld_alloc((size_t)corpus->n_records, sizeof *lengths);
  for (int64_t i = 0; i < corpus->n_records; i++) {
    const ld_record *r = &corpus->records[i];
    lengths[i] = (ld_length){r->n_tokens, r->n_targets, r->cut, r->prior, r->size};
  }
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  const bool packs = strcmp(options->pack, "auto") ? !strcmp(options->pack, "yes") : form->packs;
  const bool pack = packs && corpus->labelled; /* what is predicted has a row of its own */
  if (corpus->n_prior)
    corpus->plan = ld_plan_pairs(lengths, corpus->n_records);
  else if (form->continuous)
    corpus->plan = ld_plan_stream(lengths, corpus->n_records, seq_len, corpus->base->bos >= 0);
  else
    corpus->plan = ld_plan_records(lengths, corpus->n_records, seq_len + form->apart * target_len, pack);
  free(lengths);
  if (corpus->plan->n_targets) warn_of_records(corpus, seq_len);
  if (corpus->plan->n_targets) return 0;
  return fail_without_any(corpus, err);
}

/* Makes all ranks read conversations as rank 0 does. */
static int agree_on_layout(ld_corpus *corpus, ld_comm *comm, ld_error *err) {
  const char *mine = ld_dataset_layout(corpus->dataset);
  ld_text name = {0};
  ld_text_puts(&name, mine ? mine : "");
  ld_comm_broadcast_text(comm, &name, 0);
  const int rc = mine && name.length ? ld_dataset_set_layout(corpus->dataset, name.bytes, err) : 0;
  ld_text_free(&name);
  return ld_comm_agree(comm, rc, err);
}

/* Finds the sizes of images by the options. */
static int choose_sizes(ld_corpus *corpus, ld_error *err) {
  const ld_options *options = corpus->options;
  ld_image_rule *rule = &corpus->image_rule;
  *rule = corpus->base->image_rule;
  if (!rule->cover) return 0;
  ld_image_size size = {rule->height, rule->width};
  const int rc = options->resolution ? ld_image_size_parse(options->resolution, rule->step, &size, err) : 0;
  if (rc) return ld_fail_prefix(err, rc, "--resolution");
  rule->height = size.height;
  rule->width = size.width;
  if (!options->buckets) return 0;
  corpus->sizes = ld_alloc(LD_MOST_SIZES, sizeof *corpus->sizes);
  corpus->n_sizes = ld_image_sizes(size, rule->step, corpus->sizes);
  return 0;
}

int ld_corpus_open(const char *path, const ld_base *base, const ld_options *options, ld_comm *comm,
                   ld_corpus_use use, ld_corpus **out, ld_error *err) {
  ld_corpus *corpus = ld_alloc(1, sizeof *corpus);
  corpus->base = base;
  corpus->options = options;
  corpus->labelled = use != LD_CORPUS_ASK;
  int rc = choose_sizes(corpus, err); /* the same on every rank */
  const ld_dataset_options data_options = {.forms = base->forms,
                                           .settled = base->params != NULL,
                                           .tokenizer = base->tokenizer,
                                           .image_rule = &corpus->image_rule,
                                           .sizes = corpus->sizes,
                                           .n_sizes = corpus->n_sizes,
                                           .caption = options->caption,
                                           .class_data = use == LD_CORPUS_LEARN ? options->class_data : NULL,
                                           .class_caption = options->class_caption,
                                           .unlabelled = !corpus->labelled,
                                           .strict = options->strict,
                                           .eos = base->eos,
                                           .sentences = (int)options->sentences,
                                           .source_prefix = options->source_prefix,
                                           .source_lang = options->source_lang,
                                           .target_lang = options->target_lang,
                                           .mask_prompt = options->mask_prompt,
                                           .chat_template = options->chat_template,
                                           .own_template = base->chat_template};
  if (!rc) rc = ld_corpus_open_data(corpus, comm, path, &data_options, err);
  if (!rc) rc = agree_on_layout(corpus, comm, err);
  if (rc) {
    ld_corpus_close(corpus);
    return rc;
  }
  *out = corpus;
  return 0;
}

/* Whether the record has that name among its labels; it is read again. */
static bool has_name(const ld_corpus *corpus, int64_t i, size_t name, ld_sample *sample) {
  const char *wanted = corpus->labels.names[name];
  if (corpus->records[i].label == (int32_t)name) return true;
  if (corpus->n_readers < corpus->n_ranks ||
      ld_dataset_read(corpus->dataset, &corpus->records[i], sample, NULL))
    return false;
  for (size_t at = 0; at < sample->tags.length; at += strlen(sample->tags.bytes + at) + 1)
    if (!strcmp(sample->tags.bytes + at, wanted)) return true;
  return false;
}

/* Prefixes the error that a label is not among the base's with the place of the first record that has it. */
static int fail_unknown_name(const ld_corpus *corpus, int rc, ld_error *err) {
  const ld_labels *labels = &corpus->labels;
  ld_sample sample = {0};
  size_t name = 0;
  int64_t i = 0;
  while (name < labels->n_names && ld_labels_have(&corpus->base->labels, labels->names[name])) name++;
  while (name < labels->n_names && i < corpus->n_records && !has_name(corpus, i, name, &sample)) i++;
  ld_sample_free(&sample);
  return i < corpus->n_records ? ld_dataset_fail_at(corpus->dataset, &corpus->records[i], rc, err)
                               : ld_fail_prefix(err, rc, "%s", ld_dataset_path(corpus->dataset));
}

static int check_class(const ld_labels *labels, const ld_labels *classes, const ld_diffusion *d,
                       ld_error *err) {
  if (labels->kind == LD_LABEL_NONE && !d->null_class)
    return ld_fail(err, LD_EMISMATCH, "its images have no classes, but the model makes images of %d",
                   d->n_classes);
  if (labels->kind == LD_LABEL_REAL || (labels->kind == LD_LABEL_INTEGER && labels->largest >= d->n_classes))
    return ld_fail(err, LD_EMISMATCH, "its labels must be classes from 0 to %d", d->n_classes - 1);
  for (size_t i = 0; i < labels->n_names; i++)
    if (!ld_labels_have(classes, labels->names[i]))
      return ld_fail(err, LD_EMISMATCH,
                     "the class \"%s\" is not among the model's %d (\"%s\", ...): name it as id2label in "
                     "model_index.json does, or by its number if there are no names",
                     labels->names[i], d->n_classes, classes->names[0]);
  return 0;
}

/* Turns the names of classes into those of the pictures that the base makes; a base without classes ignores them. */
static int map_classes(ld_corpus *corpus, ld_error *err) {
  const ld_diffusion *d = corpus->base->model->diffusion;
  if (!d->n_classes) return 0;
  ld_labels classes = ld_base_picture_classes(corpus->base);
  ld_index view = {.records = corpus->records, .n = (size_t)corpus->n_records, .labels = corpus->labels};
  int rc = check_class(&corpus->labels, &classes, d, err);
  if (rc) ld_fail_prefix(err, rc, "%s", ld_dataset_path(corpus->dataset));
  if (!rc) rc = ld_index_renumber(&view, &classes, err);
  corpus->labels = view.labels;
  ld_labels_free(&classes);
  return rc;
}

/* Turns names into the base's classes. */
static int map_names(ld_corpus *corpus, ld_error *err) {
  ld_index view = {.records = corpus->records, .n = (size_t)corpus->n_records, .labels = corpus->labels};
  const int rc = ld_index_renumber(&view, &corpus->base->labels, err);
  corpus->labels = view.labels;
  return rc ? fail_unknown_name(corpus, rc, err) : 0;
}

/* The base may serve several objectives until an adapter or the training data decides. */
static int check_form(const ld_corpus *corpus, ld_error *err) {
  const ld_objective *objective = corpus->base->objective;
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  if (ld_objective_takes(objective, form)) return 0;
  return ld_fail(err, LD_EMISMATCH,
                 "%s: its records are of the form \"%s\", which a model for \"%s\" does not take",
                 ld_dataset_path(corpus->dataset), form->name, objective->name);
}

int ld_corpus_plan(ld_corpus *corpus, ld_error *err) {
  const ld_base *base = corpus->base;
  const ld_labels *labels = &corpus->labels;
  int rc = check_form(corpus, err);
  if (!rc && corpus->labelled && labels->kind != LD_LABEL_NONE && base->objective->suit)
    rc = base->objective->suit(labels, base->model->head->out, err);
  if (rc) ld_fail_prefix(err, rc, "%s", ld_dataset_path(corpus->dataset));
  if (!rc && base->model->diffusion)
    rc = map_classes(corpus, err);
  else if (!rc && labels->kind == LD_LABEL_NAME)
    rc = map_names(corpus, err);
  /* A record that is only predicted has a row, whatever it holds. */
  for (int64_t i = 0; !corpus->labelled && i < corpus->n_records; i++)
    if (!corpus->records[i].n_targets) corpus->records[i].n_targets = 1;
  for (int64_t i = 0; base->objective->by_output && i < corpus->n_records; i++)
    corpus->records[i].n_targets *= base->model->head->out;
  if (!rc) rc = count_prior(corpus, err);
  return rc ? rc : plan_rows(corpus, err);
}
