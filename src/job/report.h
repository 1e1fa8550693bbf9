/* What a training job prints, and what it writes to metrics.jsonl. */
#ifndef LD_JOB_REPORT_H
#define LD_JOB_REPORT_H

#include "job/measure.h"

/* Printed for the user: the job before it starts, each step (a progress line on a terminal, few lines
 * elsewhere), the dry run. */
void ld_job_describe(const ld_job *job);
void ld_job_show_step(ld_job *job, const ld_step_report *report, double seconds);
void ld_job_show_eval(const ld_job *job, const ld_measured *measured);
void ld_job_show_end(const ld_job *job);
void ld_job_print_plan(const ld_job *job);

/* Written to metrics.jsonl; rank 0 only. */
int ld_job_record_start(ld_job *job, ld_error *err);
int ld_job_record_step(ld_job *job, const ld_step_report *report, double seconds, ld_error *err);
int ld_job_record_eval(ld_job *job, const ld_measured *measured, double seconds, ld_error *err);
int ld_job_record_sample(ld_job *job, const char *prompt, const char *text, ld_error *err);
int ld_job_record_picture(ld_job *job, int64_t number, const char *prompt, const char *file, ld_error *err);
int ld_job_record_end(ld_job *job, ld_error *err);
int ld_job_record_stop(ld_job *job, ld_error *err);

#endif
