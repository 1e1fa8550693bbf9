/* Messages to the user, on standard error.
 *
 * Only one rank prints; the others call ld_log_mute once. Lines are never mixed: a progress line on a
 * terminal is rewritten in place, and cleared before any other line is printed. */
#ifndef LD_LOG_H
#define LD_LOG_H

#include <stdbool.h>

void ld_log_mute(bool mute);

/* Control characters, which only come from files, are written as \x1b and reach no terminal. A repeated
 * warning is printed once. */
void ld_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ld_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "lora_dist: error: ...": printed even when muted, for the one rank that must report it. */
void ld_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether standard error is a terminal. */
bool ld_log_terminal(void);

/* Rewrites the progress line (terminal only). */
void ld_progress_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ld_progress_clear(void);

#endif
