/* Finds the checkpoint that a training job resumes from, and reports which settings of the job have changed. */
#include "job/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/numerics.h"
#include "data/fetch.h"
#include "io/file.h"
#include "io/json.h"
#include "io/state/checkpoint_folder.h"
#include "linalg/gemm.h"
#include "load/base_adapter.h"
#include "options/resolve.h"

/* What rank 0 looks for. */
typedef struct checkpoint_search {
  ld_job *job;
  char **path;
  ld_checkpoint **found;
} checkpoint_search;

static int find(void *self, ld_error *err) {
  ld_job *j = ((checkpoint_search *)self)->job;
  char **path = ((checkpoint_search *)self)->path;
  ld_checkpoint **found = ((checkpoint_search *)self)->found;
  const char *resume = j->options.resume;
  if (strcmp(resume, "auto") && strcmp(resume, "never")) {
    *path = ld_strdup(resume);
    const int rc = ld_checkpoint_read(resume, found, err);
    if (rc || (*found)->has_trainer) return rc;
    return ld_fail(err, LD_EMISMATCH,
                   "%s: holds a finished adapter without optimizer state: use it with --init-adapter",
                   resume);
  }
  *found = ld_checkpoint_newest(j->run.checkpoints, path, ld_warn_damaged, NULL);
  if (!*path || strcmp(resume, "never")) return 0;
  return ld_fail(err, LD_EUSAGE,
                 "--resume never: %s already holds checkpoints: choose another --out, or remove them",
                 j->options.out);
}

int ld_job_find_checkpoint(ld_job *j, char **path, ld_checkpoint **found, ld_error *err) {
  ld_text text = {0};
  *path = NULL;
  *found = NULL;
  const int rc = ld_comm_by_first(j->comm, find, &(checkpoint_search){j, path, found}, err);
  if (*path) ld_text_puts(&text, *path);
  free(*path);
  ld_comm_broadcast_text(j->comm, &text, 0);
  *path = text.length ? ld_strdup(text.bytes) : NULL;
  ld_text_free(&text);
  return rc;
}

typedef struct changes {
  const char *allowed;  /* --resume-override */
  ld_text taken;        /* allowed differences, in words */
  ld_text refused;      /* differences that are not allowed */
  ld_text names, fixed; /* options of the refused: those that could be allowed, and those that could not */
  bool rows;            /* an allowed difference changes which rows the position in the data means */
} changes;

/* Returns the list that a difference belongs to; its words follow. */
static ld_text *sort_in(changes *c, const ld_difference *d) {
  const bool taken = !d->fixed && ld_options_named(c->allowed, d->name);
  ld_text *to = taken ? &c->taken : &c->refused, *list = d->fixed ? &c->fixed : &c->names;
  if (taken) c->rows = c->rows || d->rows;
  if (!taken) ld_text_printf(list, "%s%s", list->length ? "," : "", d->name);
  if (to->length) ld_text_puts(to, "; ");
  return to;
}

static const char *shown(const char *value) {
  return strcmp(value, "null") ? value : "default";
}

static void option_differs(const ld_difference *d, void *user) {
  ld_text_printf(sort_in(user, d), "--%s %s (was: %s)", d->name, shown(d->now), shown(d->was));
}

static void compare_digest(changes *c, const char *name, const char *was, const char *now, bool same) {
  if (same) {
    if (ld_digest_is_old(was))
      ld_info(
          "the checkpoint has a digest of version 1 of the %s, which does not cover every byte: it agrees",
          name);
    return;
  }
  const ld_difference d = {.name = name, .rows = true};
  ld_text_printf(sort_in(c, &d), "another %s (digest %s, was %s)", name, now, was);
}

/* The initial adapter is identified by its contents; older checkpoints know only the path as it was spelled. */
static int compare_init(changes *c, ld_job *j, const ld_value *recorded, ld_error *err) {
  const ld_difference d = {.name = "init-adapter"};
  const char *digest = NULL, *path = NULL, *given = j->options.init_adapter;
  int rc = ld_value_string(recorded, "init_digest", NULL, &digest, err);
  if (!rc) rc = ld_value_string(recorded, "init-adapter", NULL, &path, err);
  if (rc) return rc;
  if (digest && given && !j->init_digest[0]) {
    ld_info("--init-adapter %s no longer exists, which is harmless: the checkpoint holds what came of it",
            given);
    snprintf(j->init_digest, sizeof j->init_digest, "%s", digest);
  }
  const char *was = digest ? digest : path ? path : "none";
  const char *now = !given ? "none" : digest ? j->init_digest : given;
  if (strcmp(was, now)) ld_text_printf(sort_in(c, &d), "--init-adapter %s (was: %s)", now, was);
  return 0;
}

/* Threads do not change the bits of our own kernels, but may change OpenBLAS's. */
static int compare_threads(changes *c, const ld_job *j, const ld_value *recorded, ld_error *err) {
  const ld_difference d = {.name = "threads"};
  int64_t was = j->options.threads;
  const int rc = ld_value_int(recorded, "threads", was, &was, err);
  if (!rc && was != j->options.threads && !ld_gemm_fused())
    ld_text_printf(sort_in(c, &d), "--threads %lld (was: %lld)", (long long)j->options.threads,
                   (long long)was);
  return rc;
}

/* The base's config and tokenizer; older checkpoints do not have their digest. */
static int compare_settings(changes *c, const ld_job *j, const ld_value *recorded, ld_error *err) {
  const ld_difference d = {.name = "base", .rows = true};
  const char *was = NULL;
  const int rc = ld_value_string(recorded, "settings_digest", NULL, &was, err);
  if (!rc && was && strcmp(was, j->settings))
    ld_text_puts(sort_in(c, &d), "another config.json or tokenizer of the base");
  return rc;
}

/* A resumed run keeps its kind of kernels where this processor has them too. */
static void compare_kernels(changes *c, const char *was) {
  if (!was || !*was || !strcmp(was, ld_gemm_kind())) return;
  const ld_difference d = {.name = "kernels"};
  if (!ld_options_named(c->allowed, d.name) && ld_gemm_pin(ld_gemm_level(was))) {
    ld_info("kernels stay OpenBLAS's %s as before (--resume-override kernels to use this processor's own)",
            was);
    return;
  }
  ld_text_printf(sort_in(c, &d), "kernels %s (was: %s)", ld_gemm_kind(), was);
}

/* What was computed cannot be computed again, so a run of older numerics continues with the current ones. */
static void warn_of_numerics(const char *path, int64_t was) {
  if (was == LD_NUMERICS) return;
  ld_warn("%s: was computed with version %lld of the numerics, and this program has version %d: the run "
          "continues, but its adapter will differ in the last bits from one by either program alone",
          path, (long long)was, (int)LD_NUMERICS);
}

static int refuse(const changes *c, const char *path, ld_error *err) {
  ld_text way = {0};
  if (c->names.length)
    ld_text_printf(&way, ", or --resume-override %s to continue with the new ones", c->names.bytes);
  if (c->fixed.length)
    ld_text_printf(&way, "; what decides the adapter's shape (%s) cannot change within a run",
                   c->fixed.bytes);
  const int rc = ld_fail(err, LD_EMISMATCH,
                         "%s: settings differ from the checkpoint's: %s. Use the original "
                         "settings, another --out%s",
                         path, c->refused.bytes, way.bytes);
  ld_text_free(&way);
  return rc;
}

/* Only a model of the same kind can take over an adapter at all. */
static int check_family(const ld_job *j, const ld_adapter *adapter, const char *path, ld_error *err) {
  const char *now = j->base.model->family->architectures[0], *was = adapter->architecture;
  if (!was || !*was || !strcmp(was, now)) return 0;
  return ld_fail(err, LD_EMISMATCH,
                 "%s: was trained on another base (a %s; %s is a %s): give the --model that it was trained "
                 "on, or another --out",
                 path, was, j->options.model, now);
}

int ld_job_compare(ld_job *j, ld_checkpoint *checkpoint, const char *path, bool *restart, ld_error *err) {
  ld_adapter *adapter = checkpoint->adapter;
  changes c = {.allowed = j->options.resume_override};
  const char *base = adapter->base_digest, *data = NULL, *kernels = NULL;
  int64_t numerics = LD_NUMERICS;
  int rc = check_family(j, adapter, path, err);
  ld_value *recorded = rc ? NULL : ld_json_parse(checkpoint->config, strlen(checkpoint->config), path, err);
  if (!recorded) return rc ? rc : err->code;
  rc = ld_value_string(recorded, "data_digest", NULL, &data, err);
  if (!rc) rc = ld_value_string(recorded, "kernels", "", &kernels, err);
  if (!rc) rc = ld_value_int(recorded, "numerics", 1, &numerics, err);
  ld_options_compare(&j->options, recorded, option_differs, &c);
  if (data && *data)
    compare_digest(&c, "data", data, j->data->digest, ld_corpus_has_digest(j->data, j->comm, data));
  if (base && *base)
    compare_digest(&c, "base", base, ld_model_folder_digest(j->base.folder),
                   ld_model_folder_has_digest(j->base.folder, base));
  if (!rc) rc = compare_settings(&c, j, recorded, err);
  if (!rc) rc = compare_init(&c, j, recorded, err);
  compare_kernels(&c, kernels);
  if (!rc) rc = compare_threads(&c, j, recorded, err);
  if (!rc && c.refused.length) rc = refuse(&c, path, err);
  if (!rc && c.taken.length)
    ld_warn("%s: continuing although settings differ from the checkpoint's: %s", path, c.taken.bytes);
  if (!rc) warn_of_numerics(path, numerics);
  if (!rc) ld_adapter_forget_base(adapter);
  *restart = c.rows;
  ld_value_free(recorded);
  ld_text_free(&c.taken);
  ld_text_free(&c.refused);
  ld_text_free(&c.names);
  ld_text_free(&c.fixed);
  return rc;
}
