/* What a user should know before the first step: what runs where, whether it fits, how long it takes, and
 * what is trained on. */
#include "job/preflight.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/print.h"
#include "io/file.h"
#include "job/memory.h"
#include "linalg/gemm.h"

static const double MIB = 1048576;

/* What each rank reports about where it runs. */
typedef struct rank_place {
  uint64_t cores[LD_CORE_WORDS];
  int64_t memory;
} rank_place;

/* The ranks of one host, combined. */
typedef struct host {
  const char *name;
  int n_ranks, n_cores;
  bool tight; /* a rank has fewer cores than threads, or the host fewer than all its ranks */
  int64_t memory;
} host;

static host *join_hosts(const ld_job *j, const rank_place *places, int *n) {
  const int size = ld_comm_size(j->comm), threads = (int)j->options.threads;
  host *hosts = ld_alloc((size_t)size, sizeof *hosts);
  *n = 0;
  for (int r = 0; r < size; r++) {
    const char *name = ld_comm_host_of(j->comm, r);
    int h = 0;
    while (h < *n && strcmp(hosts[h].name, name)) h++;
    if (h < *n) continue;
    uint64_t cores[LD_CORE_WORDS] = {0};
    hosts[*n] = (host){.name = name, .memory = places[r].memory};
    for (int k = r; k < size; k++) {
      if (strcmp(ld_comm_host_of(j->comm, k), name)) continue;
      hosts[*n].n_ranks++;
      hosts[*n].tight |= ld_machine_count_cores(places[k].cores) < threads;
      for (int w = 0; w < LD_CORE_WORDS; w++) cores[w] |= places[k].cores[w];
    }
    hosts[*n].n_cores = ld_machine_count_cores(cores);
    hosts[*n].tight |= hosts[*n].n_cores < hosts[*n].n_ranks * threads;
    ++*n;
  }
  return hosts;
}

/* "h1 4 on 4 cores; h2 to h9 2 on 4 cores": equal neighbours are listed once. */
static void list_hosts(const host *hosts, int n, ld_text *out) {
  for (int first = 0, end; first < n; first = end) {
    for (end = first + 1;
         end < n && hosts[end].n_ranks == hosts[first].n_ranks && hosts[end].n_cores == hosts[first].n_cores;)
      end++;
    ld_text_printf(out, "%s%s", first ? "; " : "", hosts[first].name);
    if (end - first > 1) ld_text_printf(out, "%s%s", end - first > 2 ? " to " : " and ", hosts[end - 1].name);
    ld_text_printf(out, " %d on %d core%s%s", hosts[first].n_ranks, hosts[first].n_cores,
                   ld_plural(hosts[first].n_cores, "", "s"), end - first > 1 ? " each" : "");
  }
}

static void show_ranks(const ld_job *j, const host *hosts, int n) {
  ld_text list = {0};
  list_hosts(hosts, n, &list);
  ld_info("ranks   %d: %s; %lld thread%s each (%s)", ld_comm_size(j->comm), list.bytes,
          (long long)j->options.threads, ld_plural(j->options.threads, "", "s"), ld_gemm_kernel());
  ld_text_free(&list);
  for (int h = 0; h < n; h++) {
    if (!hosts[h].tight) continue;
    ld_warn(
        "host %s has %d core%s for %d rank%s of %lld thread%s, which slows all of them down: start fewer, or "
        "let mpirun bind each rank to enough cores (--map-by slot:PE=%lld)",
        hosts[h].name, hosts[h].n_cores, ld_plural(hosts[h].n_cores, "", "s"), hosts[h].n_ranks,
        ld_plural(hosts[h].n_ranks, "", "s"), (long long)j->options.threads,
        ld_plural(j->options.threads, "", "s"), (long long)j->options.threads);
    return;
  }
}

/* The host with the least to spare decides. */
static void show_memory(const ld_job *j, const host *hosts, int n) {
  const double shared =
      (double)(ld_corpus_shared_bytes(j->data) + (j->valid ? ld_corpus_shared_bytes(j->valid) : 0));
  const double base = ld_job_base_bytes(j) + shared, rank = (double)ld_job_rank_bytes(j);
  int tightest = 0;
  double least = INFINITY;
  for (int h = 0; h < n; h++) {
    const double left = (double)hosts[h].memory - base - rank * hosts[h].n_ranks;
    if (hosts[h].memory >= 0 && left < least) {
      least = left;
      tightest = h;
    }
  }
  const host *h = &hosts[tightest];
  const double need = base + rank * h->n_ranks;
  ld_info("memory  %.1f MiB per host (base%s) + %.1f MiB per rank (%.1f of it the %s of the data and "
          "its longest record) = %.1f MiB; %.1f GiB available on %s",
          base / MIB, shared > 0 ? " and index of the data" : "", rank / MIB,
          (double)ld_trainer_index_bytes(&j->trainer) / MIB, shared > 0 ? "plan" : "index", need / MIB,
          (double)h->memory / MIB / 1024, h->name);
  if (least < 0)
    ld_warn("host %s has less memory than this needs: lower --micro-batch or --seq-len, use --recompute, or "
            "start fewer ranks on it",
            h->name);
}

/* Text on one line with nothing hidden: control characters and backslashes are written as in C. */
static void put_plain(const ld_text *text, ld_text *out) {
  for (size_t i = 0; i < text->length; i++) {
    const char c = text->bytes[i];
    if (c == '\n' || c == '\t' || c == '\\')
      ld_text_puts(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\\\");
    else if ((unsigned char)c < 0x20 || c == 0x7F)
      ld_text_printf(out, "\\x%02x", (unsigned)(unsigned char)c);
    else
      ld_text_append(out, &c, 1);
  }
}

enum { SHOWN = 60 }; /* characters of each part */

/* Cuts the middle out of a long text, between characters. */
static void put_short(const ld_text *text, ld_text *out) {
  ld_text plain = {0};
  if (text->length) put_plain(text, &plain);
  if (plain.length <= 2 * SHOWN) {
    if (plain.length) ld_text_append(out, plain.bytes, plain.length);
  } else {
    size_t head = SHOWN, tail = plain.length - SHOWN;
    while (head && ld_utf8_goes_on(plain.bytes[head])) head--;
    while (tail < plain.length && ld_utf8_goes_on(plain.bytes[tail])) tail++;
    ld_text_append(out, plain.bytes, head);
    ld_text_puts(out, " ... ");
    ld_text_append(out, plain.bytes + tail, plain.length - tail);
  }
  ld_text_free(&plain);
}

/* Whether token t of a language model's batch is trained: the position before it predicts it. */
static bool is_target(const int32_t *targets, int t) {
  return targets && t > 0 && targets[t - 1] >= 0;
}

/* The text of the first row, with the trained parts in [[ ]]. It is decoded as one text, so that the spaces
 * between its tokens show; a character of several tokens appears at its last token. `targets` (may be NULL)
 * is of a language model. */
static void put_tokens(const ld_tokenizer *tokenizer, const ld_field *row, const int32_t *targets,
                       ld_text *out) {
  ld_stream_decoder *decoder = ld_stream_decoder_new(tokenizer, false);
  ld_text part = {0};
  const int n = row->segment[1];
  for (int t = 0; t < n; t++) {
    const bool trained = is_target(targets, t);
    ld_stream_decoder_push(decoder, row->ids[t], &part);
    if (t + 1 < n && trained == is_target(targets, t + 1)) continue;
    if (t + 1 == n) ld_stream_decoder_finish(decoder, &part);
    ld_text_puts(out, trained ? "[[" : "");
    put_short(&part, out);
    ld_text_puts(out, trained ? "]]" : "");
    ld_text_clear(&part);
  }
  ld_stream_decoder_free(decoder);
  ld_text_free(&part);
}

static bool is_shown(const ld_field *field) {
  return !strcmp(field->name, LD_TEXT) || !strcmp(field->name, LD_SOURCE) || !strcmp(field->name, LD_IMAGE);
}

/* The plan's first sample as it is trained. Only rank 0 decodes it, because it has the data. */
static int show_sample(void *self, ld_error *err) {
  const ld_job *j = self;
  const ld_objective *objective = j->base.objective;
  const int64_t row = 0;
  ld_feed feed = {0};
  ld_batch batch;
  ld_text text = {0};
  const int rc = ld_corpus_batch(j->data, &row, 1, -1, &feed, &batch, err);
  const ld_field *targets = rc ? NULL : ld_batch_field(&batch, LD_TARGETS);
  for (const ld_field *field = batch.fields; !rc && field->name; field++) {
    if (!is_shown(field)) continue;
    const bool trained = !objective->put_target && field->n_rows == targets->n_rows;
    ld_text_puts(&text, text.length ? " -> " : "");
    if (field->width)
      ld_text_printf(&text, "image of %d x %d, %d channels", field->width, field->height, field->channels);
    else
      put_tokens(j->base.tokenizer, field, trained ? targets->ids : NULL, &text);
  }
  if (!rc && objective->put_target) objective->put_target(targets, &j->base.labels, &text);
  if (!rc) ld_info("sample  %s%s", text.bytes, objective->put_target ? "" : "   (trained: [[ ]])");
  ld_text_free(&text);
  ld_feed_free(&feed);
  return rc;
}

/* Parameters and both moments, and the overhead of HDF5, as measured: for the file, and for the three data
 * sets of a parameter with their groups and indexes. */
static double checkpoint_bytes(const ld_job *j) {
  return 3.0 * sizeof(float) * (double)j->base.params->n_floats + 9000 + 9700.0 * (double)j->base.params->n;
}

/* `tried` begins the line: how long a test write took. */
static void show_room(const ld_job *j, const char *tried) {
  const double bytes = checkpoint_bytes(j), room = (double)ld_folder_room(j->options.out);
  char left[40] = "";
  if (room >= 0) snprintf(left, sizeof left, ", %.0f MiB are free", room / MIB);
  ld_info("out     %s: %sa checkpoint takes about %.2f MiB%s", j->options.out, tried, bytes / MIB, left);
  if (room < 0 || room >= bytes * (double)(j->options.keep + 3)) return;
  ld_warn("%s: the disk has no room for the %lld %s that --keep asks for and the adapter: free some, or "
          "lower --keep",
          j->options.out, (long long)j->options.keep,
          ld_plural(j->options.keep, "checkpoint", "checkpoints"));
}

enum { MOST_TRIED = 8 << 20 };

int ld_job_try_out(const ld_job *j, ld_error *err) {
  const double bytes = checkpoint_bytes(j), began = ld_clock();
  const size_t tried = bytes < MOST_TRIED ? (size_t)bytes : MOST_TRIED;
  char *path = ld_path_join(j->options.out, "test-write"), *content = ld_alloc(tried, 1);
  const int rc = ld_file_write(path, content, tried, err);
  const double seconds = ld_clock() - began;
  if (!rc) unlink(path);
  free(path);
  free(content);
  if (rc) return rc;
  char what[64];
  snprintf(what, sizeof what, "%.1f MiB written and synced in %.1f ms; ", (double)tried / MIB, 1e3 * seconds);
  show_room(j, what);
  return 0;
}

void ld_job_show_out(const ld_job *j) {
  if (j->options.out) show_room(j, "");
}

/* Returns the seconds that a step's sums take by themselves. */
static double show_network(ld_job *j) {
  if (ld_comm_size(j->comm) == 1) return 0;
  const size_t n_chunks = j->trainer.reduce.n_buckets;
  const double seconds = ld_trainer_probe(&j->trainer);
  char chunks[80] = "";
  if (n_chunks > 1)
    snprintf(chunks, sizeof chunks, ", in %zu chunks overlapped with the backward pass", n_chunks);
  ld_info("network %.2f MiB per step, %.2f ms%s", (double)ld_trainer_traffic(&j->trainer) / MIB,
          1e3 * seconds, chunks);
  return seconds;
}

/* What frozen layers make of a sample, and where it stays for later epochs. */
static void show_reuse(const ld_job *j) {
  const ld_trainer *t = &j->trainer;
  if (!t->reuse || t->kept_floats <= 0) return;
  const double each = t->kept_floats * sizeof(float);
  const double all = each * (double)(j->data->plan->n_rows + (j->valid ? j->valid->plan->n_rows : 0)) *
                     (j->options.flip ? 2 : 1);
  ld_info("reuse   what frozen layers make of a sample, up to %.1f KiB, is computed once and kept in %s: up "
          "to %.1f "
          "MiB on each host",
          each / 1024, ld_reuse_folder(t->reuse), all / MIB);
}

static int show_time(ld_job *j, double network, ld_error *err) {
  char all[32], step[32], trial[32], first[32], of_first[80] = "";
  const ld_estimate *e = &j->estimate;
  const int rc = ld_estimate_make(&j->trainer, network, &j->estimate, err);
  if (rc || !e->steps) return rc;
  ld_put_duration(all, sizeof all, e->rest);
  ld_put_duration(step, sizeof step, e->step);
  ld_put_duration(trial, sizeof trial, e->trial);
  ld_put_duration(first, sizeof first, e->first);
  if (strcmp(first, step) != 0)
    snprintf(of_first, sizeof of_first, ", in the first epoch of %s, as nothing is kept yet", first);
  ld_info("time    about %s for %lld %s of %s%s (estimated from a trial of %s)", all, (long long)e->steps,
          ld_plural(e->steps, "step", "steps"), step, of_first, trial);
  return 0;
}

/* Warns of settings that are valid but probably not intended. */
static void warn_of_settings(const ld_job *j) {
  const ld_options *options = &j->options;
  const long long steps = (long long)j->trainer.total_steps;
  const ld_data_form *form = ld_dataset_form(j->data->dataset);
  if (form->ends && j->base.eos < 0)
    ld_warn(
        "%s: names no end token (eos_token in its tokenizer's files, eos_token_id in config.json): no end is "
        "trained, and generating will not stop by itself",
        options->model);
  if (options->warmup > 1 && options->warmup > (double)steps)
    ld_warn("--warmup %g is longer than the run of %lld %s: the learning rate never reaches --lr %g",
            options->warmup, steps, ld_plural(steps, "step", "steps"), options->lr);
}

int ld_job_preflight(ld_job *j, ld_error *err) {
  rank_place mine = {.memory = ld_machine_memory()};
  void *places;
  size_t bytes;
  int n;
  if (mine.memory >= 0 && j->model.received)
    mine.memory += j->model.bytes; /* the base, which is counted below */
  ld_machine_cores(mine.cores);
  ld_comm_gather_all(j->comm, &mine, sizeof mine, &places, &bytes);
  host *hosts = join_hosts(j, places, &n);
  show_ranks(j, hosts, n);
  show_memory(j, hosts, n);
  free(hosts);
  free(places);
  warn_of_settings(j);
  show_reuse(j);
  const int rc = show_time(j, show_network(j), err);
  return rc ? rc : ld_comm_by_first(j->comm, show_sample, j, err);
}
