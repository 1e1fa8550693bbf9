#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The one place with process-wide state: there is one standard error. */
static struct { bool mute, line; } state;

void ld_log_mute(bool mute) {
  state.mute = mute;
}

bool ld_log_muted(void) {
  return state.mute;
}

bool ld_log_terminal(void) {
  return isatty(STDERR_FILENO);
}

void ld_progress_clear(void) {
  if (state.line) fputs("\r\033[K", stderr);
  state.line = false;
}

static void say(const char *prefix, const char *format, va_list args) {
  char text[4096];
  vsnprintf(text, sizeof text, format, args);
  ld_progress_clear();
  fprintf(stderr, "%s%s\n", prefix, text); /* one write, so that lines of ranks do not mix */
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

void ld_warn(const char *format, ...) {
  if (state.mute) return;
  LD_SAY("lora_dist: warning: ");
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
