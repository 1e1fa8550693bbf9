/* The head of a summariser that chooses sentences, above any body: a score for each, from the row of its first
 * token. Liu and Lapata, "Text Summarization with Pretrained Encoders", 2019. Names are those of PreSumm, their
 * program.
 *
 * Without layers it is one linear layer. With layers, the rows of a text's sentences first go through a
 * transformer of their own, so that a sentence's score depends on the others:
 *
 *   x + sines of the sentence's number
 *   each layer:  x + attention(norm(x)), 8 heads, without this norm in the first;  x + w_2 gelu(w_1 norm(x)), 2048 wide
 *   norm, then a linear layer */
#ifndef LD_SENTENCE_HEAD_H
#define LD_SENTENCE_HEAD_H

#include "model/build.h"
#include "nn/tape.h"

#define LD_SENTENCE_LAYERS "ext_layer.transformer_inter" /* the path of the layers, before ".0" */

typedef struct ld_sentence_head ld_sentence_head;

/* Builds it with as many layers as requested or, where 0 are, as the folder has, and makes its last linear layer
 * the model's head. It belongs to the model. */
ld_sentence_head *ld_build_sentence_head(ld_builder *builder);

/* What the last linear layer reads (K, C), of the sentences' rows x (K, C). */
ld_tensor *ld_sentence_features(const ld_sentence_head *head, ld_tape *tape, ld_tensor *x,
                                const ld_batch *batch);

#endif
