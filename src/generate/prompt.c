#include "generate/prompt.h"

#include <string.h>

#include "io/dataset/record.h"

void ld_prompt_free(ld_prompt *prompt) {
  ld_ids_free(&prompt->source);
  ld_ids_free(&prompt->text);
  *prompt = (ld_prompt){0};
}

int ld_prompt_of_sample(const ld_base *base, const ld_sample *sample, ld_prompt *prompt, ld_error *err) {
  base->objective->prompt(sample, &prompt->source, &prompt->text);
  const int rc = ld_base_check_ids(base, prompt->source.ids, NULL, prompt->source.n, err);
  return rc ? rc : ld_base_check_ids(base, prompt->text.ids, NULL, prompt->text.n, err);
}

/* A text that is continued does not end. */
static int open_end(const ld_base *base, ld_ids *ids, ld_error *err) {
  while (ids->n > 1 && ids->ids[ids->n - 1] == base->eos) ids->n--;
  /* A model without a beginning-of-text token can still begin after an end of text. */
  if (!ids->n && base->eos < 0)
    return ld_fail(err, LD_EUSAGE, "the prompt is empty, and the tokenizer has no token that begins a text");
  if (!ids->n) ld_ids_push(ids, base->eos);
  return 0;
}

static int settle(const ld_base *base, const ld_sample *sample, ld_prompt *prompt, ld_error *err) {
  const size_t most = (size_t)base->model->max_positions;
  int rc = ld_prompt_of_sample(base, sample, prompt, err);
  if (!rc && !prompt->source.n) rc = open_end(base, &prompt->text, err);
  const size_t n = prompt->source.n ? prompt->source.n : prompt->text.n;
  if (rc || !most || n <= most) return rc;
  return ld_fail(err, LD_EMISMATCH, "the prompt has %zu tokens, but the model takes %zu", n, most);
}

int ld_prompt_of_text(const ld_base *base, const ld_options *options, const char *text, ld_prompt *prompt,
                      ld_error *err) {
  ld_sample sample = {0};
  ld_text whole = {0};
  ld_text_puts(&whole, options->source_prefix ? options->source_prefix : "");
  ld_text_puts(&whole, text);
  const ld_input input = {.text = whole.bytes, .length = whole.length, .language = options->source_lang};
  int rc = ld_tokenizer_encode_input(base->tokenizer, &input, &sample.tokens, &sample.types, err);
  if (!rc) rc = settle(base, &sample, prompt, err);
  ld_text_free(&whole);
  ld_sample_free(&sample);
  return rc;
}

int ld_prompt_of_messages(const ld_base *base, const ld_chat_layout *layout, const ld_message *messages,
                          size_t n, ld_prompt *prompt, ld_error *err) {
  ld_sample sample = {0};
  ld_text text = {0};
  int rc = ld_chat_render(layout, messages, n, true, &text, NULL, err);
  if (!rc) rc = ld_tokenizer_encode(base->tokenizer, text.bytes, text.length, false, &sample.tokens, err);
  if (!rc) rc = settle(base, &sample, prompt, err);
  ld_text_free(&text);
  ld_sample_free(&sample);
  return rc;
}
