/* The families, one line each; registry.c has the table.
 */
#ifndef LD_FAMILIES_H
#define LD_FAMILIES_H

#include "model/model.h"

extern const ld_family ld_gpt2;  /* gpt2.c */
extern const ld_family ld_llama; /* llama.c, with its relatives: */
extern const ld_family ld_mistral;
extern const ld_family ld_qwen2;
extern const ld_family ld_qwen3;
extern const ld_family ld_bert; /* bert.c, with its relatives: */
extern const ld_family ld_roberta;
extern const ld_family ld_distilbert;
extern const ld_family ld_bert_tokens; /* the same bodies, with a head for each token: */
extern const ld_family ld_roberta_tokens;
extern const ld_family ld_distilbert_tokens;
extern const ld_family ld_bert_sentences; /* and with one for each sentence: */
extern const ld_family ld_roberta_sentences;
extern const ld_family ld_distilbert_sentences;
extern const ld_family ld_t5; /* t5.c, with its relatives: */
extern const ld_family ld_mt5;
extern const ld_family ld_umt5;
extern const ld_family ld_bart; /* bart.c, with its relatives: */
extern const ld_family ld_mbart;
extern const ld_family ld_pegasus;
extern const ld_family ld_resnet; /* resnet.c, with torchvision's names too: */
extern const ld_family ld_resnet_cifar;
extern const ld_family ld_stable_diffusion; /* stable_diffusion.c, with its relatives: */
extern const ld_family ld_sdxl;
extern const ld_family ld_ddpm;
extern const ld_family ld_ddim;
extern const ld_family ld_dit; /* dit.c */

#endif
