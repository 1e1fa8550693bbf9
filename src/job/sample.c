#include "job/sample.h"

#include <stdlib.h>

#include "base/memory.h"
#include "generate/generate.h"
#include "job/report.h"

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
    rc = ld_prompts_read(o->sample_prompts, &j->base, of_data, o->chat_template, &j->prompts, err);
  }
  if (!rc && j->prompts.stop >= 0) ld_base_stop_at(&j->base, j->prompts.stop);
  return rc;
}

int ld_job_open_prompts(ld_job *j, ld_error *err) {
  if (j->base.objective->put_prediction || (!j->options.sample_prompts && !j->valid)) return 0;
  const int rc = ld_comm_by_first(j->comm, find_prompts, j, err);
  int64_t n = j->prompts.n;
  ld_comm_max_i64(j->comm, &n, 1);
  j->writes = n > 0;
  return rc;
}

/* A text being written. */
typedef struct writing {
  ld_comm *comm;
  ld_stream_decoder *decoder;
  ld_text text;
} writing;

static bool take_token(int32_t id, void *user) {
  writing *w = user;
  ld_stream_decoder_push(w->decoder, id, &w->text);
  ld_comm_poll(w->comm);
  return true;
}

/* Runs in the thread that may call MPI, because long products poll it. */
static int write_text(ld_job *j, const ld_ids *prompt, ld_error *err) {
  ld_options greedy = j->options;
  greedy.max_tokens = LENGTH;
  greedy.temperature = 0;
  writing w = {.comm = j->comm, .decoder = ld_stream_decoder_new(j->base.tokenizer, true)};
  ld_text_puts(&w.text, "");
  for (size_t i = 0; i < prompt->n; i++) ld_stream_decoder_push(w.decoder, prompt->ids[i], &w.text);
  char *asked = ld_strndup(w.text.bytes, w.text.length);
  ld_text_clear(&w.text);
  int rc = ld_generate(&j->base, &greedy, prompt->ids, (int)prompt->n, take_token, &w, err);
  ld_stream_decoder_finish(w.decoder, &w.text);
  if (!rc) rc = ld_job_record_sample(j, asked, w.text.bytes, err);
  ld_stream_decoder_free(w.decoder);
  ld_text_free(&w.text);
  free(asked);
  return rc;
}

int ld_job_sample(ld_job *j, ld_error *err) {
  int rc = 0;
  for (int i = 0; i < j->prompts.n && !rc; i++) rc = write_text(j, &j->prompts.ids[i], err);
  return j->writes ? ld_comm_agree(j->comm, rc, err) : 0;
}
