#include "cmd/option_table.h"

#include <stddef.h>

#define TRAIN LD_CMD_TRAIN
#define EVAL LD_CMD_EVAL
#define GENERATE LD_CMD_GENERATE
#define MERGE LD_CMD_MERGE
#define EXPORT LD_CMD_EXPORT
#define IMPORT LD_CMD_IMPORT
#define FIELD(name) offsetof(ld_options, name)

/* clang-format off */
const ld_option ld_option_table[] = {
  {NULL, WORD, 0, TRAIN | EVAL | GENERATE | MERGE | EXPORT | IMPORT, 0, 0, NULL, 0, 0, NULL, "Files:"},
  {"model", PATH, FIELD(model), TRAIN | EVAL | GENERATE | MERGE, TRAIN | EVAL | GENERATE | MERGE, 0, NULL, 0, 0, "DIR",
   "Hugging Face model folder: config.json, *.safetensors, tokenizer.json"},
  {"data", PATH, FIELD(data), TRAIN | EVAL, TRAIN | EVAL, 0, NULL, 0, 0, "PATH",
   "data: .jsonl with text, prompt and completion, or messages; .txt raw text"},
  {"valid", PATH, FIELD(valid), TRAIN, 0, 0, NULL, 0, 0, "PATH",
   "data to evaluate on while training"},
  {"out", PATH, FIELD(out), TRAIN | MERGE | EXPORT | IMPORT, TRAIN | MERGE | EXPORT | IMPORT, 0, NULL, 0, 0, "PATH",
   "where the result goes"},
  {"adapter", PATH, FIELD(adapter), EVAL | GENERATE | MERGE | EXPORT | IMPORT, MERGE | EXPORT | IMPORT, 0, NULL, 0, 0, "PATH",
   "adapter: an .h5 checkpoint, a PEFT folder, or a run folder"},
  {"config", PATH, FIELD(config), TRAIN | EVAL | GENERATE, 0, 0, NULL, 0, 0, "FILE",
   "YAML file with any of these options as keys; the command line wins"},

  {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, "LoRA:"},
  {"rank", INTEGER, FIELD(rank), TRAIN, 0, DEFINES | OF_ADAPTER, "8", 1, 65536, "R",
   "rank"},
  {"alpha", REAL, FIELD(alpha), TRAIN, 0, DEFINES | OF_ADAPTER, "16", 1e-6, 1e6, "X",
   "the addition is scaled by alpha / rank"},
  {"dropout", REAL, FIELD(dropout), TRAIN, 0, DEFINES, "0", 0, 0.999, "P",
   "dropout on the input of the adapters"},
  {"target", WORD, FIELD(target), TRAIN, 0, DEFINES | OF_ADAPTER, NULL, 0, 0, "LIST",
   "modules to adapt, as PEFT's target_modules: names or ends of names, or all-linear (default: the family's)"},
  {"rslora", FLAG, FIELD(rslora), TRAIN, 0, DEFINES | OF_ADAPTER, "no", 0, 0, NULL,
   "scale by alpha / sqrt(rank)"},
  {"init-adapter", PATH, FIELD(init_adapter), TRAIN, 0, DEFINES, NULL, 0, 0, "PATH",
   "start from this adapter, not a fresh one; it decides rank, alpha, rslora and target"},

  {NULL, WORD, 0, TRAIN | EVAL, 0, 0, NULL, 0, 0, NULL, "Data:"},
  {"batch-size", INTEGER, FIELD(batch_size), TRAIN, 0, DEFINES, "8", 1, 1 << 24, "N",
   "sequences per optimizer step of the whole job, whatever the number of ranks"},
  {"micro-batch", INTEGER, FIELD(micro_batch), TRAIN | EVAL, 0, DEFINES, "1", 1, 65536, "N",
   "sequences that a rank computes at a time"},
  {"seq-len", INTEGER, FIELD(seq_len), TRAIN | EVAL, 0, DEFINES, "512", 2, 1 << 20, "T",
   "longest sequence; longer ones are cut"},
  {"pack", CHOICE, FIELD(pack), TRAIN | EVAL, 0, DEFINES | ON_OFF, "auto", 0, 0, "auto|yes|no",
   "several short samples in one row, attention kept apart (auto: for raw text)"},
  {"mask-prompt", FLAG, FIELD(mask_prompt), TRAIN | EVAL, 0, DEFINES | ON_OFF, "yes", 0, 0, NULL,
   "loss on completions and assistant turns only"},
  {"shuffle", FLAG, FIELD(shuffle), TRAIN, 0, DEFINES | ON_OFF, "yes", 0, 0, NULL,
   "another order of samples in each epoch"},
  {"chat-template", CHOICE, FIELD(chat_template), TRAIN | EVAL | GENERATE, 0, DEFINES, NULL, 0, 0, "chatml|llama2|llama3",
   "layout of messages (default: from the tokenizer's special tokens)"},

  {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, "Training:"},
  {"epochs", REAL, FIELD(epochs), TRAIN, 0, DEFINES, "1", 1e-6, 1e6, "X",
   "passes over the data"},
  {"steps", INTEGER, FIELD(steps), TRAIN, 0, DEFINES, "0", 0, 1e12, "N",
   "optimizer steps, instead of epochs (0: epochs decide)"},
  {"lr", REAL, FIELD(lr), TRAIN, 0, DEFINES, "2e-4", 0, 1e3, "X",
   "peak learning rate"},
  {"schedule", CHOICE, FIELD(schedule), TRAIN, 0, DEFINES, "linear", 0, 0, "linear|cosine|constant",
   "course of the learning rate"},
  {"warmup", REAL, FIELD(warmup), TRAIN, 0, DEFINES, "0.03", 0, 1e12, "X",
   "warm-up: a share of the steps, or a count when above 1"},
  {"weight-decay", REAL, FIELD(weight_decay), TRAIN, 0, DEFINES, "0", 0, 1e3, "X",
   "AdamW"},
  {"beta1", REAL, FIELD(beta1), TRAIN, 0, DEFINES, "0.9", 0, 0.999999, "X",
   "AdamW"},
  {"beta2", REAL, FIELD(beta2), TRAIN, 0, DEFINES, "0.999", 0, 0.99999999, "X",
   "AdamW"},
  {"eps", REAL, FIELD(eps), TRAIN, 0, DEFINES, "1e-8", 0, 1, "X",
   "AdamW"},
  {"clip", REAL, FIELD(clip), TRAIN, 0, DEFINES, "1", 0, 1e9, "X",
   "largest global norm of the gradient (0: no limit)"},
  {"seed", INTEGER, FIELD(seed), TRAIN | GENERATE, 0, DEFINES, "0", 0, 9e15, "N",
   "all randomness"},
  {"precision", CHOICE, FIELD(precision), TRAIN, 0, DEFINES, "f32", 0, 0, "f32",
   "arithmetic of the matrix products"},
  {"threads", INTEGER, FIELD(threads), TRAIN | EVAL | GENERATE, 0, DEFINES, "1", 1, 1024, "N",
   "threads of each rank"},
  {"recompute", FLAG, FIELD(recompute), TRAIN, 0, 0, "no", 0, 0, NULL,
   "compute the inside of each block again in the backward pass: less memory, a third more work"},

  {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, "Running:"},
  {"eval-every", INTEGER, FIELD(eval_every), TRAIN, 0, 0, "0", 0, 1e12, "N",
   "steps between evaluations (0: at each epoch's end)"},
  {"save-every", INTEGER, FIELD(save_every), TRAIN, 0, 0, "100", 1, 1e12, "N",
   "steps between checkpoints"},
  {"keep", INTEGER, FIELD(keep), TRAIN, 0, 0, "3", 1, 1e6, "N",
   "checkpoints to keep, beside the best"},
  {"resume", WORD, FIELD(resume), TRAIN, 0, 0, "auto", 0, 0, "auto|never|PATH",
   "go on from the newest good checkpoint in --out, or from this one"},
  {"dry-run", FLAG, FIELD(dry_run), TRAIN, 0, 0, "no", 0, 0, NULL,
   "print parameters, memory, work and traffic; train nothing"},

  {NULL, WORD, 0, GENERATE, 0, 0, NULL, 0, 0, NULL, "Generation:"},
  {"prompt", WORD, FIELD(prompt), GENERATE, GENERATE, 0, NULL, 0, 0, "TEXT",
   "text to go on from"},
  {"chat", FLAG, FIELD(chat), GENERATE, 0, 0, "no", 0, 0, NULL,
   "the prompt is a user's message: lay it out for a chat model"},
  {"max-tokens", INTEGER, FIELD(max_tokens), GENERATE, 0, 0, "256", 1, 1e9, "N",
   "most tokens to generate"},
  {"temperature", REAL, FIELD(temperature), GENERATE, 0, 0, "0", 0, 100, "X",
   "0 takes the likeliest token always"},
  {"top-k", INTEGER, FIELD(top_k), GENERATE, 0, 0, "0", 0, 1e9, "N",
   "draw from the N likeliest tokens (0: all)"},
  {"top-p", REAL, FIELD(top_p), GENERATE, 0, 0, "1", 1e-6, 1, "P",
   "draw from the likeliest tokens that together have probability P"},
  {"dtype", CHOICE, FIELD(dtype), MERGE, 0, 0, NULL, 0, 0, "f32|f16|bf16",
   "type of the merged weights (default: each as it is stored)"},
};
/* clang-format on */

const int ld_n_options = sizeof ld_option_table / sizeof *ld_option_table;
