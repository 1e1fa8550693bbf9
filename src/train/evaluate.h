/* Evaluation and prediction: forward passes over a corpus, with the same bits on any number of ranks. */
#ifndef LD_EVALUATE_H
#define LD_EVALUATE_H

#include "data/feed.h"
#include "objective/objectives.h"

typedef struct ld_evaluation {
  double loss; /* mean over all targets; NaN when a microbatch's loss is not finite */
  int64_t n_targets, n_rows;
  ld_scores scores; /* of the objective */
} ld_evaluation;

/* What a pass over data needs; everything is borrowed. */
typedef struct ld_session {
  ld_comm *comm;
  ld_tape *tape;
  ld_feed *feed;
  const ld_model *model;
  int micro_batch; /* rows */
} ld_session;

/* Reserves the tape for microbatches of these corpora (second may be NULL), with `recompute` (--recompute)
 * for training. *bytes receives the size. */
int ld_session_fit(const ld_session *session, enum ld_pass pass, bool recompute, const ld_corpus *corpus,
                   const ld_corpus *second, size_t *bytes, ld_error *err);

/* The most rows that a microbatch of theirs has. */
int64_t ld_session_rows(const ld_session *session, const ld_corpus *corpus, const ld_corpus *second);

/* Loss and scores. The session must have been fitted to the corpus. Free with ld_evaluation_free. Collective. */
int ld_evaluate(const ld_session *session, const ld_corpus *corpus, ld_evaluation *out, ld_error *err);
void ld_evaluation_free(ld_evaluation *evaluation);

/* Appends the result as text, with the objective's metrics: "loss 0.3000  accuracy 0.9100 ...", each with
 * `more` digits above its usual number. */
void ld_evaluation_put(const ld_evaluation *evaluation, const ld_objective *objective, int more,
                       ld_text *out);

/* Receives the members of the JSON object that is a row's prediction, in the order of the rows. An error
 * stops the prediction on all ranks. */
typedef int (*ld_prediction_sink)(int64_t row, const char *members, void *user, ld_error *err);

/* Predicts all rows by the objective and passes the predictions to rank 0's sink. LD_ENUMERIC for outputs
 * that are not finite. Collective. */
int ld_predict(const ld_session *session, const ld_corpus *corpus, ld_prediction_sink sink, void *user,
               ld_error *err);

#endif
