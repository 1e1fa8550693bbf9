#include "job/sample.h"

#include <stdlib.h>

#include "base/memory.h"
#include "generate/generate.h"
#include "job/report.h"
#include "job/sample_pictures.h"

enum { LENGTH = 48 }; /* tokens of a text, at most */

static int find_prompts(void *self, ld_error *err) {
  ld_job *j = self;
  const ld_options *o = &j->options;
  const char *layout = ld_dataset_layout(j->data->dataset);
  int rc = 0;
  if (!o->sample_prompts) {
    rc = ld_prompts_choose(j->valid, &j->prompts, err);
  } else {
    const ld_chat_layout *of_data = layout ? ld_chat_find(layout, NULL, NULL, err) : NULL;
    rc = ld_prompts_read(o->sample_prompts, &j->base, of_data, o, &j->prompts, err);
  }
  if (rc) return rc;
  ld_base_stop_at(&j->base, j->prompts.stop);
  rc = ld_generation_settings_find(&j->base, o, &j->samples, err);
  j->samples.temperature = 0;
  j->samples.max_length = 0;
  j->samples.max_new_tokens = LENGTH;
  return rc;
}

int ld_job_open_prompts(ld_job *j, ld_error *err) {
  if (j->base.model->diffusion) return ld_job_open_pictures(j, err);
  if (!j->base.objective->prompt || (!j->options.sample_prompts && !j->valid)) return 0;
  const int rc = ld_comm_by_first(j->comm, find_prompts, j, err);
  int64_t n = j->prompts.n;
  ld_comm_max_i64(j->comm, &n, 1);
  j->writes = n > 0;
  return rc;
}

/* The texts that follow the prompts. */
typedef struct writing {
  ld_job *job;
  char *texts[LD_MOST_PROMPTS];
} writing;

static char *decode(const ld_job *j, const ld_ids *ids) {
  ld_text text = {0};
  ld_text_puts(&text, "");
  ld_tokenizer_decode(j->base.tokenizer, ids->ids, ids->n, true, &text);
  return text.bytes;
}

static bool take_text(int i, const ld_ids *ids, bool ends, void *user) {
  writing *w = user;
  if (ends) w->texts[i] = decode(w->job, ids);
  return true;
}

static int record(writing *w, int rc, ld_error *err) {
  ld_job *j = w->job;
  for (int i = 0; i < j->prompts.n; i++) {
    const ld_prompt *prompt = &j->prompts.list[i];
    char *asked = decode(j, prompt->source.n ? &prompt->source : &prompt->text);
    if (!rc) rc = ld_job_record_sample(j, asked, w->texts[i], err);
    free(w->texts[i]);
    free(asked);
  }
  return rc;
}

/* Runs in the thread that may call MPI, because long products poll it. */
static int write_texts(ld_job *j, ld_error *err) {
  writing w = {.job = j};
  ld_generator generator = {.base = &j->base, .settings = &j->samples, .comm = j->comm};
  const int rc = ld_generate(&generator, j->prompts.list, j->prompts.n, take_text, &w, err);
  ld_generator_free(&generator);
  return record(&w, rc, err);
}

int ld_job_sample(ld_job *j, ld_error *err) {
  if (j->shown.n) return ld_job_sample_pictures(j, err);
  const int rc = j->prompts.n ? write_texts(j, err) : 0;
  return j->writes ? ld_comm_agree(j->comm, rc, err) : 0;
}
