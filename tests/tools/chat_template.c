/* chat_template BOS EOS < TEMPLATE: prints the layout that renders as the template does ("none" when none is
 * known to), what the template adds, the digest of its plain form, and that form. */
#include <stdio.h>

#include "io/chat/form.h"
#include "io/chat/known.h"
#include "io/chat/template.h"

int main(int argc, char **argv) {
  ld_chat_template own = {0};
  ld_text extras = {0};
  char bytes[4096];
  for (size_t n; (n = fread(bytes, 1, sizeof bytes, stdin)) > 0;) ld_text_append(&own.text, bytes, n);
  if (argc != 3 || !own.text.length) return 2;
  const char *layout = NULL;
  if (ld_chat_form(own.text.bytes, own.text.length, argv[1], argv[2], &own.form))
    layout = ld_chat_known(own.form.bytes);
  ld_text_puts(&extras, "");
  ld_chat_template_extras(&own, &extras);
  char digest[LD_DIGEST_DIGITS + 1] = "";
  if (own.form.length) ld_chat_form_digest(own.form.bytes, digest);
  printf("%s\n%s\n%s\n%s\n", layout ? layout : "none", extras.bytes, digest,
         own.form.length ? own.form.bytes : "");
  return 0;
}
