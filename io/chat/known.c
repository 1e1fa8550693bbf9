#include "io/chat/known.h"

#include <stddef.h>
#include <string.h>

#include "io/digest.h"

/* Digests of forms, as tests/tools/chat_template.c prints them. A form contains the spelling of bos and eos:
 * here <s>, </s> and <|begin_of_text|>. */
static const struct {
  const char *layout, *digest;
} known[] = {
    {"chatml", "b0f6b06c9b542ae1"}, /* each message with its role's name */
    {"chatml", "04a44a8907e6fe1c"}, /* the same with a branch for each role */
    {"chatml", "36f3991cfba99114"}, /* Qwen 3 of July 2025, without thinking: it only adds tools */
    {"llama3", "b8a27f1beb59cb04"}, /* Llama 3: bos before the first message of the loop */
    {"llama3", "ef5b9f3ae58953e9"}, /* bos before the loop */
    {"llama2", "d7ce625abd6a99cb"}, /* Llama 2 */
    {"llama2",
     "0506b6a478dccf7b"}, /* transformers' former default for all Llamas; the variables that it tests are never set */
};

/* The beginning of some templates, which has no effect: the variable is always given. */
static const char *const idle[] = {
    "%if not add_generation_prompt is defined%%set add_generation_prompt={false}%%endif%",
    "%if add_generation_prompt is not defined%%set add_generation_prompt={false}%%endif%"};

void ld_chat_form_digest(const char *form, char text[LD_DIGEST_DIGITS + 1]) {
  for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
    if (!strncmp(form, idle[i], strlen(idle[i]))) form += strlen(idle[i]);
  ld_digest digest;
  ld_digest_init(&digest);
  ld_digest_string(&digest, form);
  ld_digest_text(&digest, text);
}

const char *ld_chat_known(const char *form) {
  char text[LD_DIGEST_DIGITS + 1];
  ld_chat_form_digest(form, text);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(text, known[i].digest)) return known[i].layout;
  return NULL;
}
