/* Texts: continues a prompt, printing the text as it is generated. Rank 0 does it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/print.h"
#include "cmd/generate_kind.h"
#include "generate/generate.h"
#include "generate/prompt.h"
#include "io/chat/chat.h"

static int make_prompt(const ld_options *options, ld_base *base, ld_prompt *prompt, ld_error *err) {
  int rc;
  if (options->chat) {
    const ld_chat_layout *layout =
        ld_chat_find(options->chat_template, base->chat_template, base->tokenizer, err);
    if (!layout) return err->code;
    ld_base_stop_at(base, ld_tokenizer_id(base->tokenizer, ld_chat_end(layout)));
    rc = ld_prompt_of_messages(base, layout, &(ld_message){"user", options->prompt}, 1, prompt, err);
  } else {
    rc = ld_prompt_of_text(base, options, options->prompt, prompt, err);
  }
  return rc ? ld_fail_prefix(err, rc, "--prompt") : 0;
}

typedef struct text_printer {
  ld_stream_decoder *decoder;
  size_t n_printed; /* tokens */
  ld_text text;
  int rc;
  ld_error *err;
} text_printer;

/* Control characters are made visible on a terminal, so that nothing steers it; a file or a pipe gets every
 * byte. */
static void make_visible(ld_text *text) {
  ld_text seen = {0};
  for (char *from = text->bytes, *end;; from = end + 1) {
    end = from + strcspn(from, "\n\t");
    const char border = *end;
    *end = 0;
    ld_text_put_visible(&seen, from);
    if (!border) break;
    ld_text_append(&seen, &border, 1);
  }
  ld_text_free(text);
  *text = seen;
}

static void print_text(text_printer *p) {
  if (p->text.length && isatty(STDOUT_FILENO)) make_visible(&p->text);
  if (!p->rc && p->text.length) p->rc = ld_print(&p->text, true, p->err);
  ld_text_clear(&p->text);
}

static bool print_tokens(int number, const ld_ids *ids, bool ends, void *user) {
  (void)number;
  (void)ends;
  text_printer *p = user;
  for (; p->n_printed < ids->n; p->n_printed++)
    ld_stream_decoder_push(p->decoder, ids->ids[p->n_printed], &p->text);
  print_text(p);
  return !p->rc;
}

static int stream(ld_generator *generator, bool chat, const ld_prompt *prompt, ld_error *err) {
  text_printer p = {.decoder = ld_stream_decoder_new(generator->base->tokenizer, true), .err = err};
  if (!chat)
    for (size_t i = 0; i < prompt->text.n; i++)
      ld_stream_decoder_push(p.decoder, prompt->text.ids[i], &p.text);
  const int rc = ld_generate(generator, prompt, 1, print_tokens, &p, err);
  ld_stream_decoder_finish(p.decoder, &p.text);
  ld_text_puts(&p.text, "\n");
  if (!rc) print_text(&p);
  ld_stream_decoder_free(p.decoder);
  ld_text_free(&p.text);
  return rc ? rc : p.rc;
}

static bool suits(const ld_base *base) {
  return base->objective->prompt != NULL;
}

static int check(const ld_options *options, ld_error *err) {
  return options->prompt ? 0 : ld_fail(err, LD_EUSAGE, "--prompt TEXT is missing");
}

static int write_text(const ld_options *options, ld_base *base, ld_comm *comm, ld_error *err) {
  ld_prompt prompt = {0};
  ld_generation_settings settings = {0};
  ld_generator generator = {.base = base, .settings = &settings, .comm = comm};
  int rc = make_prompt(options, base, &prompt, err);
  if (!rc) rc = ld_generation_settings_find(base, options, &settings, err);
  if (!rc) rc = stream(&generator, options->chat, &prompt, err);
  ld_generator_free(&generator);
  ld_generation_settings_free(&settings);
  ld_prompt_free(&prompt);
  return rc;
}

static int run(const ld_options *options, ld_base *base, ld_comm *comm, ld_error *err) {
  const int rc = ld_comm_rank(comm) ? 0 : write_text(options, base, comm, err);
  return ld_comm_agree(comm, rc, err);
}

const ld_generate_kind ld_generate_texts = {suits, check, run};
