#include <criterion/criterion.h>

#include "base/text.h"

/* text; what is shown */
static const char *const seen[][2] = {
    {"", ""},
    {"plain, Gr\u00fc\u00dfe \U0001F34B", "plain, Gr\u00fc\u00dfe \U0001F34B"},
    {"a\nb\tc", "a\\nb\\tc"},
    {"\033[31mred\r\b\177", "\\x1b[31mred\\x0d\\x08\\x7f"},
    {"\302\233m\302\240", "\\x9bm\302\240"},                 /* CSI, as one character; a no-break space */
    {"\233m\377\303", "\\x9bm\\xff\\xc3"},                   /* not UTF-8 */
    {"\u202eevil\u2066\u2028", "\\u202eevil\\u2066\\u2028"}, /* reversed */
    {"\340\200\233", "\\xe0\\x80\\x9b"},                     /* ESC, in an overlong form */
};

Test(text, shows_what_steers_a_terminal) {
  for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
    ld_text text = {0};
    ld_text_puts(&text, "");
    ld_text_put_visible(&text, seen[i][0]);
    cr_assert_str_eq(text.bytes, seen[i][1], "case %zu", i);
    ld_text_free(&text);
  }
}
