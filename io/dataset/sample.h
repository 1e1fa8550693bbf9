/* Samples: what is made of a parsed record, tokens with targets or a fitted image. Not for use outside io/dataset.
 *
 * Formats give names and values, and do not know what is made of them; nothing is tokenised before this.
 */
#ifndef LD_SAMPLE_H
#define LD_SAMPLE_H

#include "io/dataset/parsed.h"
#include "io/dataset/record.h"

/* Fills the sample, which comes empty, by the form of the data set. Tokens come uncut, but for labelled text, for
 * which n_whole is set too; a text without tokens leaves it empty. LD_EFORMAT names the key that is missing or of
 * another type. */
int ld_sample_make(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                   ld_sample *sample, ld_error *err);

#endif
