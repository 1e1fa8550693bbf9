/* metrics.jsonl: one JSON object per line, appended and flushed after each record.
 *
 *   ld_metrics_begin(metrics);
 *   ld_metrics_int(metrics, "step", step);
 *   ld_metrics_real(metrics, "loss", loss);
 *   code = ld_metrics_end(metrics, err);
 *
 * A record belongs to its "step". After a crash the file may hold steps beyond the checkpoint, and half a
 * line. Opening it for step k drops both, so a resumed run leaves the same records as one that never stopped. */
#ifndef LD_METRICS_H
#define LD_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct ld_metrics ld_metrics;

/* Opens for appending, creating the file if necessary. Keeps the records whose step is at most `keep_step`,
 * and those without a step; with a negative keep_step the file starts empty. The caller frees with
 * ld_metrics_close. */
int ld_metrics_open(const char *path, int64_t keep_step, ld_metrics **out, ld_error *err);
void ld_metrics_close(ld_metrics *metrics); /* NULL is fine */

/* One record. NaN and infinities become null. */
void ld_metrics_begin(ld_metrics *metrics);
void ld_metrics_int(ld_metrics *metrics, const char *key, int64_t value);
void ld_metrics_real(ld_metrics *metrics, const char *key, double value);
void ld_metrics_string(ld_metrics *metrics, const char *key, const char *value); /* NULL: null */
void ld_metrics_json(ld_metrics *metrics, const char *key, const char *json);    /* as it is, on one line */

/* Writes the line. After LD_EFILE (a full disk) the file ends with the previous line. */
int ld_metrics_end(ld_metrics *metrics, ld_error *err);

#endif
