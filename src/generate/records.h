/* The texts that a model writes for the records of a data set, which was opened for prediction: one row for
 * each record. */
#ifndef LD_GENERATE_RECORDS_H
#define LD_GENERATE_RECORDS_H

#include "data/corpus.h"
#include "data/walk.h"
#include "generate/generate.h"

/* Call it before the settings are found: conversations make texts end where a turn ends. LD_EMISMATCH, naming
 * the data, when there is nothing to write in records of its form. */
int ld_records_suit(ld_base *base, const ld_corpus *corpus, ld_error *err);

/* Receives the text of a row, and what the record says that it should be: any number of references, each ended
 * by a NUL. */
typedef void (*ld_record_sink)(int64_t row, const char *text, const ld_text *references, void *user);

/* Writes the texts of rows [first, first + n) together. Errors name the record. Not collective. */
int ld_records_write(ld_generator *generator, const ld_corpus *corpus, int64_t first, int n,
                     ld_record_sink sink, void *user, ld_error *err);

/* Writes the texts of all rows, settings->together at a time on each rank, and passes them to rank 0's sink as members
 * of a JSON object: "prediction" and, where the record has one, "reference", or a list "references".
 * Collective. */
int ld_records_predict(ld_generator *generator, const ld_corpus *corpus,
                       int (*sink)(int64_t row, const char *members, void *user, ld_error *err), void *user,
                       ld_error *err);

#endif
