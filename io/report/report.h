/* report.html: the page that shows a training run. It is one file that fetches nothing: style, curves and
 * words are inside. It is complete without its script, which only adds a read-out under the pointer.
 *
 * It is made from the run folder: metrics.jsonl (one object per line, whose "event" says what it is) and
 * run.yaml.
 *
 *   start      step, total_steps, ranks, hosts, trained_parameters, base_parameters, date,
 *              task: what the model predicts, "language" (when missing), "classes" or "value",
 *              data, valid: sizes, each {"records", "rows", "tokens", "targets"},
 *              kernels, cores, memory: rank 0's, and the bytes that were free on its host,
 *              unit: what `tokens` of a step counts, "tokens" (when missing) or "images"
 *   step       step, epoch, loss, lr, grad_norm, target_tokens (of a classifier: labels), tokens, seconds
 *   eval       step, loss, seconds, and by task perplexity; accuracy, macro_f1, matthews; pearson, spearman
 *   confusion  step, labels: a list of names, counts: a list for each label as truth, of how often each label
 *              was predicted; the last one is shown, of up to LD_REPORT_CLASSES (run.h) labels
 *   sample     step, prompt, text: of each prompt the first and the last text are shown side by side
 *              step, number, prompt, image: of each number a strip of pictures over the steps; image is the name of a
 *              PNG file in the folder `samples`, which the page takes in
 *   end        seconds
 *
 * Every key but "event" and "step" may be missing or null. Other events and keys, and lines that are not JSON
 * (the last one of a killed run), are ignored. A repeated step replaces the records from that step on. */
#ifndef LD_REPORT_H
#define LD_REPORT_H

#include "base/error.h"

/* Writes <run_folder>/report.html atomically; `title` (NULL: the folder's path) becomes its heading. LD_EFILE
 * when metrics.jsonl cannot be read or the page cannot be written; without run.yaml the page has no settings. */
int ld_report_write(const char *run_folder, const char *title, ld_error *err);

#endif
