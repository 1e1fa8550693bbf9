/* Sixteen or twenty AdamW steps against PyTorch's, recorded in tests/golden/models (see its README): the
 * batches, the loss, the rate and the gradient's norm of each step, and the adapter at the end. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/corpus_index.h"
#include "data/corpus_open.h"
#include "io/file.h"
#include "io/hub/safetensors.h"
#include "load/base_adapter.h"
#include "options/command_line.h"
#include "options/resolve.h"
#include "train/trainer.h"

#define MODELS LD_TESTS_DIR "/golden/models/"
static const double TOLERANCE = 1e-4;

typedef struct training {
  ld_options options;
  ld_base base;
  ld_corpus *corpus;
  ld_trainer trainer;
  ld_safetensors *golden;
  ld_comm *comm;
} training;

static void must(int rc, const ld_error *err) {
  cr_assert(rc == 0, "%s", err->text);
}

/* The options from the recorded .args file and a few more, as the command line would give them. */
static void read_options(ld_options *options, const char *model, const char *data, const char *run,
                         const char *more) {
  char *args_path = ld_format(MODELS "%s/train_%s.args", model, run), *argv[64] = {"train"};
  ld_map map;
  ld_error err = {0};
  must(ld_map_open(args_path, &map, &err), &err);
  char *text = ld_format("%.*s --model " MODELS "%s --data " MODELS "%s/%s --init-adapter " MODELS
                         "%s/adapter --out unused %s",
                         (int)map.length, map.bytes, model, model, data, model, more);
  int argc = 1;
  for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) argv[argc++] = word;
  ld_command_line *line = ld_command_line_parse(LD_CMD_TRAIN, argc, argv, false, &err);
  cr_assert(line, "%s", err.text);
  must(ld_options_resolve(line, NULL, options, &err), &err);
  ld_command_line_free(line);
  ld_map_close(&map);
  free(text);
  free(args_path);
}

static void begin(training *t, const char *model, const char *data, const char *run, const char *more) {
  ld_error err = {0};
  *t = (training){.comm = ld_comm_alone()};
  read_options(&t->options, model, data, run, more);
  must(ld_base_open(t->options.model, &t->base, &err), &err);
  must(ld_corpus_open(t->options.data, &t->base, &t->options, t->comm, LD_CORPUS_LEARN, &t->corpus, &err),
       &err);
  ld_adapter *adapter;
  must(ld_adapter_load(t->options.init_adapter, NULL, &adapter, &err), &err);
  must(ld_base_adapt(&t->base, adapter, "adapter", 0, &err), &err);
  ld_adapter_free(adapter);
  must(ld_corpus_index(t->corpus, t->comm, NULL, &err), &err);
  must(ld_corpus_plan(t->corpus, &err), &err);
  must(ld_trainer_create(&t->trainer, &t->options, t->comm, &t->base, t->corpus, NULL, &err), &err);
  char *golden = ld_format(MODELS "%s/train_%s.safetensors", model, run);
  must(ld_safetensors_open(golden, &t->golden, &err), &err);
  free(golden);
}

static void end(training *t) {
  ld_safetensors_close(t->golden);
  ld_trainer_free(&t->trainer);
  ld_corpus_close(t->corpus);
  ld_base_close(&t->base);
  ld_options_free(&t->options);
  ld_comm_finish(t->comm);
}

static const void *recorded(const training *t, const char *name) {
  const ld_stored *tensor = ld_safetensors_find(t->golden, name);
  cr_assert(tensor, "%s was not recorded", name);
  return tensor->data;
}

static void check_batches(const training *t) {
  const ld_stored *all = ld_safetensors_find(t->golden, "batch.ids");
  const int32_t *ids = all->data, *targets = recorded(t, "batch.target"),
                *lengths = recorded(t, "batch.lengths");
  const int width = (int)all->shape[1];
  ld_feed feed = {0};
  ld_error err;
  for (int64_t row = 0; row < all->shape[0]; row++, ids += width, targets += width) {
    ld_batch batch;
    must(ld_corpus_batch(t->corpus, &row, 1, -1, &feed, &batch, &err), &err);
    const ld_field *text = ld_batch_field(&batch, LD_TEXT), *laid = ld_batch_field(&batch, LD_TARGETS);
    cr_assert(text->n_rows == lengths[row], "row %d has %d tokens, not %d", (int)row, text->n_rows,
              lengths[row]);
    for (int i = 0; i < text->n_rows; i++) {
      const int32_t want = i + 1 < text->n_rows && targets[i + 1] ? ids[i + 1] : -1;
      cr_assert(text->ids[i] == ids[i] && laid->ids[i] == want, "row %d, token %d", (int)row, i);
    }
  }
  ld_feed_free(&feed);
}

static void check_adapter(const training *t) {
  const ld_params *params = t->base.params;
  for (size_t i = 0; i < params->n; i++) {
    const ld_param *param = &params->list[i];
    const bool low = !strncmp(param->role, "lora_", 5);
    if (strstr(param->module, ".linear_keys") && !strcmp(param->role, "bias"))
      continue; /* its gradient is 0 */
    char *name = ld_format("final.%s.%s", param->module, param->role + (low ? 5 : 0));
    const float *want = recorded(t, name);
    double most = 0, scale = 0;
    for (size_t k = 0; k < param->count; k++) {
      most = fmax(most, fabs((double)param->data[k] - (double)want[k]));
      scale = fmax(scale, fabs((double)want[k]));
    }
    cr_assert(most < TOLERANCE * scale, "%s: %.2e", name, most / scale);
    free(name);
  }
}

/* Compares each step and the adapter at the end, and ends. */
static void follow_steps(training *t, const char *model, const char *run) {
  const double *loss = recorded(t, "loss"), *norm = recorded(t, "grad_norm"), *lr = recorded(t, "lr");
  for (int step = 0; step < t->options.steps; step++) {
    ld_step_report report;
    ld_error err;
    must(ld_trainer_step(&t->trainer, false, &report, &err), &err);
    cr_assert(fabs(report.loss - loss[step]) < TOLERANCE * loss[step], "%s/%s step %d: loss %.7g, not %.7g",
              model, run, step + 1, report.loss, loss[step]);
    cr_assert(fabs(report.grad_norm - norm[step]) < TOLERANCE * norm[step],
              "%s/%s step %d: norm %.7g, not %.7g", model, run, step + 1, report.grad_norm, norm[step]);
    cr_assert(fabs(report.lr - lr[step]) <= 1e-12, "%s/%s step %d: rate %g, not %g", model, run, step + 1,
              report.lr, lr[step]);
  }
  check_adapter(t);
  end(t);
}

static void follow(const char *model, const char *run, const char *more) {
  training t;
  begin(&t, model, "train.jsonl", run, more);
  check_batches(&t);
  follow_steps(&t, model, run);
}

/* Row `row` of the recorded table (64, width). */
static const int32_t *recorded_row(const training *t, const char *name, int64_t row) {
  const ld_stored *table = ld_safetensors_find(t->golden, name);
  cr_assert(table, "%s was not recorded", name);
  return (const int32_t *)table->data + row * (table->ndim > 1 ? table->shape[1] : 1);
}

static void check_texts(const training *t) {
  ld_feed feed = {0};
  ld_error err;
  for (int64_t row = 0; row < t->corpus->plan->n_rows; row++) {
    ld_batch batch;
    must(ld_corpus_batch(t->corpus, &row, 1, -1, &feed, &batch, &err), &err);
    const ld_field *text = ld_batch_field(&batch, LD_TEXT);
    const size_t n = (size_t)text->n_rows * sizeof(int32_t);
    cr_assert(text->n_rows == *recorded_row(t, "batch.lengths", row), "row %d has %d tokens", (int)row,
              text->n_rows);
    cr_assert(!memcmp(text->ids, recorded_row(t, "batch.ids", row), n), "row %d: ids", (int)row);
    cr_assert(!memcmp(text->types, recorded_row(t, "batch.types", row), n), "row %d: types", (int)row);
    const ld_field *targets = ld_batch_field(&batch, LD_TARGETS);
    cr_assert(!memcmp(targets->ids, recorded_row(t, "batch.labels", row),
                      (size_t)targets->n_rows * sizeof *targets->ids),
              "row %d: label", (int)row);
  }
  ld_feed_free(&feed);
}

static void check_images(const training *t) {
  const ld_stored *want = ld_safetensors_find(t->golden, "first.pixels");
  ld_feed feed = {0};
  ld_error err;
  for (int64_t row = 0; row < t->corpus->plan->n_rows; row++) {
    ld_batch batch;
    must(ld_corpus_batch(t->corpus, &row, 1, -1, &feed, &batch, &err), &err);
    cr_assert(ld_batch_field(&batch, LD_TARGETS)->ids[0] == *recorded_row(t, "batch.labels", row),
              "row %d: label", (int)row);
    for (int64_t i = 0; !row && i < ld_stored_count(want); i++)
      cr_assert(fabsf(ld_batch_field(&batch, LD_IMAGE)->numbers[i] - ((const float *)want->data)[i]) < 1e-6f,
                "pixel %d", (int)i);
  }
  ld_feed_free(&feed);
}

static void check_row(const training *t, int64_t row, const char *what, const int32_t *ids, int n) {
  char *name = ld_format("row%d.%s", (int)row, what);
  const ld_stored *want = ld_safetensors_find(t->golden, name);
  cr_assert(want, "%s was not recorded", name);
  cr_assert(want->shape[0] == n && !memcmp(ids, want->data, (size_t)n * sizeof *ids), "%s", name);
  free(name);
}

static void check_pairs(const training *t) {
  ld_feed feed = {0};
  ld_error err;
  for (int64_t row = 0; row < t->corpus->plan->n_rows; row++) {
    ld_batch batch;
    must(ld_corpus_batch(t->corpus, &row, 1, -1, &feed, &batch, &err), &err);
    const ld_field *source = ld_batch_field(&batch, LD_SOURCE), *text = ld_batch_field(&batch, LD_TEXT),
                   *targets = ld_batch_field(&batch, LD_TARGETS);
    check_row(t, row, "source", source->ids, source->n_rows);
    check_row(t, row, "target", targets->ids, targets->n_rows);
    cr_assert_eq(text->n_rows, targets->n_rows);
    cr_assert(!memcmp(text->ids + 1, targets->ids, (size_t)(text->n_rows - 1) * sizeof *text->ids));
  }
  ld_feed_free(&feed);
}

static void follow_pairs(const char *model, const char *run, const char *more) {
  training t;
  begin(&t, model, "train.jsonl", run, more);
  check_pairs(&t);
  follow_steps(&t, model, run);
}

static void check_documents(const training *t) {
  ld_feed feed = {0};
  ld_error err;
  for (int64_t row = 0; row < t->corpus->plan->n_rows; row++) {
    ld_batch batch;
    must(ld_corpus_batch(t->corpus, &row, 1, -1, &feed, &batch, &err), &err);
    const ld_field *text = ld_batch_field(&batch, LD_TEXT), *firsts = ld_batch_field(&batch, LD_SENTENCES),
                   *targets = ld_batch_field(&batch, LD_TARGETS);
    check_row(t, row, "ids", text->ids, text->n_rows);
    check_row(t, row, "types", text->types, text->n_rows);
    check_row(t, row, "sentences", firsts->ids, firsts->n_rows);
    check_row(t, row, "labels", targets->ids, targets->n_rows);
  }
  ld_feed_free(&feed);
}

static void follow_documents(const char *model, const char *more) {
  training t;
  begin(&t, model, "train.jsonl", "linear", more);
  check_documents(&t);
  follow_steps(&t, model, "linear");
}

static void follow_texts(const char *model, const char *more) {
  training t;
  begin(&t, model, "train.jsonl", "linear", more);
  check_texts(&t);
  follow_steps(&t, model, "linear");
}

static void follow_images(const char *model, const char *more) {
  training t;
  begin(&t, model, "train.h5", "linear", more);
  check_images(&t);
  follow_steps(&t, model, "linear");
}

Test(training, gpt2_linear_schedule) {
  follow("gpt2", "linear", "");
}

Test(training, gpt2_constant_schedule_without_clipping) {
  follow("gpt2", "constant", "");
}

Test(training, llama3_cosine_schedule_with_weight_decay) {
  follow("llama3", "cosine", "");
}

Test(training, llama_with_its_head_in_full) {
  follow("llama_whole", "linear", "");
  follow("llama_whole", "linear", "--micro-batch 2 --recompute");
}

Test(training, t5_from_one_text_to_another) {
  follow_pairs("t5", "linear", "");
  follow_pairs("t5", "linear", "--micro-batch 3 --recompute");
}

Test(training, bart_and_a_text_that_begins_with_its_last_token) {
  follow_pairs("bart", "linear", "--micro-batch 2");
  follow_pairs("mbart", "linear", "--micro-batch 4");
}

Test(training, t5_with_smoothed_targets) {
  follow_pairs("t5", "smooth", "--micro-batch 2");
}

Test(training, bert_with_pairs_and_its_head) {
  follow_texts("bert", "");
  follow_texts("bert", "--micro-batch 3");
  follow_texts("bert", "--micro-batch 4 --recompute");
}

Test(training, bert_with_several_labels) {
  follow_texts("bert_multilabel", "");
  follow_texts("bert_multilabel", "--micro-batch 3");
}

Test(training, bert_that_chooses_sentences) {
  follow_documents("bert_extract", "");
  follow_documents("bert_extract", "--micro-batch 3");
  follow_documents("bert_extract", "--micro-batch 4 --recompute");
  follow_documents("bert_extract_layers", "--micro-batch 3");
  follow_documents("bert_extract_layers", "--recompute");
}

Test(training, resnet_with_its_head) {
  follow_images("resnet_cifar", "");
  follow_images("resnet_cifar", "--micro-batch 3");
  follow_images("resnet_cifar", "--micro-batch 4 --recompute");
}

Test(training, dora) {
  follow("gpt2_dora", "linear", "");
  follow("gpt2_dora", "linear", "--micro-batch 2 --recompute");
  follow_images("resnet_dora", "");
  follow_images("resnet_dora", "--micro-batch 3");
}

/* The split of a batch into microbatches, and recomputing, do not change the agreement with PyTorch. */
Test(training, microbatches_do_not_matter) {
  follow("gpt2", "linear", "--micro-batch 3");
  follow("llama3", "cosine", "--micro-batch 4 --recompute");
}
