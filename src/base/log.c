#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"

/* The one place with process-wide state: there is one standard error. */
enum { MOST_SAID = 1000 };
static struct {
  bool mute, line;
  char *said[MOST_SAID]; /* warnings */
  size_t n_said;
} state;

void ld_log_mute(bool mute) {
  state.mute = mute;
}

bool ld_log_terminal(void) {
  return isatty(STDERR_FILENO);
}

void ld_progress_clear(void) {
  if (state.line) fputs("\r\033[K", stderr);
  state.line = false;
}

/* Text from files reaches a terminal as text only, so that it cannot steer it. */
static void say(const char *prefix, const char *format, va_list args) {
  char text[4096];
  ld_text line = {0};
  vsnprintf(text, sizeof text, format, args);
  ld_text_puts(&line, prefix);
  ld_text_put_visible(&line, text);
  ld_progress_clear();
  fprintf(stderr, "%s\n", line.bytes); /* one write, so that lines of several ranks do not mix */
  ld_text_free(&line);
}

/* Whether this warning was already printed. Files are opened more than once; each warning is printed once per
 * run. */
static bool said_before(const char *text) {
  flockfile(stderr); /* warnings come from several threads */
  size_t i = 0;
  while (i < state.n_said && strcmp(state.said[i], text) != 0) i++;
  const bool known = i < state.n_said;
  if (!known && i < MOST_SAID) state.said[state.n_said++] = ld_strdup(text);
  funlockfile(stderr);
  return known;
}

#define LD_SAY(prefix)                                                                                       \
  va_list args;                                                                                              \
  va_start(args, format);                                                                                    \
  say(prefix, format, args);                                                                                 \
  va_end(args)

void ld_info(const char *format, ...) {
  if (state.mute) return;
  LD_SAY("");
}

static void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void warn(const char *format, ...) {
  LD_SAY("lora_dist: warning: ");
}

void ld_warn(const char *format, ...) {
  if (state.mute) return;
  char text[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (!said_before(text)) warn("%s", text);
}

void ld_complain(const char *format, ...) {
  LD_SAY("lora_dist: error: ");
}

void ld_progress_line(const char *format, ...) {
  if (state.mute || !ld_log_terminal()) return;
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  struct winsize size;
  int width = 80;
  if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 1) width = size.ws_col;
  fprintf(stderr, "\r%.*s\033[K", width - 1, text); /* a line that wraps could not be rewritten */
  state.line = true;
}
