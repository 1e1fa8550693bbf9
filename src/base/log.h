/* What the program tells a person, on standard error.
 *
 * One rank speaks: the others call ld_log_mute once. Lines are whole: a progress line on a terminal is
 * rewritten in place and cleared before any other line is printed.
 */
#ifndef LD_LOG_H
#define LD_LOG_H

#include <stdbool.h>

void ld_log_mute(bool mute);

/* Control characters, which come from files only, are written as \x1b: they reach no terminal. A warning is said
 * once, however often it is given. */
void ld_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ld_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "lora_dist: error: ...": printed even when muted, for the one rank that must speak. */
void ld_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether standard error is a terminal. */
bool ld_log_terminal(void);

/* Rewrites the progress line (terminal only). */
void ld_progress_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ld_progress_clear(void);

#endif
