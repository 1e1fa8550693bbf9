#include "cmd/option_table.h"

#include <stddef.h>

/* Short names, for the table alone. */
#define TRAIN LD_CMD_TRAIN
#define EVAL LD_CMD_EVAL
#define GENERATE LD_CMD_GENERATE
#define MERGE LD_CMD_MERGE
#define EXPORT LD_CMD_EXPORT
#define IMPORT LD_CMD_IMPORT
#define PREDICT LD_CMD_PREDICT
#define CONVERT LD_CMD_CONVERT
#define PATH LD_OPTION_PATH
#define WORD LD_OPTION_WORD
#define INTEGER LD_OPTION_INTEGER
#define REAL LD_OPTION_REAL
#define DURATION LD_OPTION_DURATION
#define FLAG LD_OPTION_FLAG
#define CHOICE LD_OPTION_CHOICE
#define DEFINES LD_MARK_DEFINES
#define OF_MATRICES LD_MARK_OF_MATRICES
#define OF_ADAPTER LD_MARK_OF_ADAPTER
#define LANGUAGE LD_MARK_LANGUAGE
#define CLASSES LD_MARK_CLASSES
#define IMAGES LD_MARK_IMAGES
#define ONCE LD_MARK_ONCE
#define ROWS LD_MARK_ROWS
#define FOR_CHAT LD_MARK_FOR_CHAT
#define FOR_PROMPTS LD_MARK_FOR_PROMPTS
#define FOR_RECORDS LD_MARK_FOR_RECORDS
#define FIELD(name) offsetof(ld_options, name)

/* clang-format off */
const ld_option ld_option_table[] = {
  {NULL, WORD, 0, TRAIN | EVAL | PREDICT | GENERATE | MERGE | EXPORT | IMPORT | CONVERT, 0, 0, NULL, 0, 0, NULL, .help = "Files:"},
  {"model", PATH, FIELD(model), TRAIN | EVAL | PREDICT | MERGE, TRAIN | EVAL | PREDICT | MERGE, 0, NULL, 0, 0, "DIR",
   .help = "Hugging Face model folder: config.json, *.safetensors, and tokenizer.json, vocab.txt or preprocessor_config.json",
   .elsewhere = "model-name-or-path|base-model"},
  {"model", PATH, FIELD(model), GENERATE, GENERATE, 0, NULL, 0, 0, "DIR",
   .help = "Hugging Face folder of a language model: config.json, *.safetensors, and tokenizer.json",
   .elsewhere = "model-name-or-path|base-model"},
  {"model", PATH, FIELD(model), EXPORT, 0, 0, NULL, 0, 0, "DIR",
   .help = "the base's folder, or its name on a hub, as the PEFT folder is to name it (default: the run's). With the folder "
   "modules have short names there",
   .elsewhere = "model-name-or-path|base-model"},
  {"data", PATH, FIELD(data), TRAIN | EVAL | PREDICT, TRAIN | EVAL | PREDICT, 0, NULL, 0, 0, "PATH",
   .help = "data: .jsonl with text, prompt and completion, or messages; .txt raw text. For a classifier .jsonl, .tsv, .csv "
   "with text and label; class folders of images, or .h5",
   .elsewhere = "train-file|dataset|train-data"},
  {"data", PATH, FIELD(data), CONVERT, CONVERT, 0, NULL, 0, 0, "PATH",
   .help = "CIFAR-10, CIFAR-100 or MNIST files, or a folder of class folders of images"},
  {"labels-file", PATH, FIELD(labels_file), CONVERT, 0, 0, NULL, 0, 0, "FILE",
   .help = "file with MNIST's labels (default: the one that lies beside the images)"},
  {"valid", PATH, FIELD(valid), TRAIN, 0, 0, NULL, 0, 0, "PATH",
   .help = "validation data, evaluated while training",
   .elsewhere = "validation-file|eval-data"},
  {"out", PATH, FIELD(out), TRAIN, TRAIN, 0, NULL, 0, 0, "DIR",
   .help = "folder of the run: what it leaves there is resumed by the same command",
   .elsewhere = "output-dir"},
  {"out", PATH, FIELD(out), MERGE | EXPORT, MERGE | EXPORT, 0, NULL, 0, 0, "DIR",
   .help = "folder to write, which must be new or empty",
   .elsewhere = "output-dir"},
  {"out", PATH, FIELD(out), IMPORT | CONVERT, IMPORT | CONVERT, 0, NULL, 0, 0, "FILE",
   .help = "HDF5 file to write, which must be new",
   .elsewhere = "output-dir"},
  {"adapter", PATH, FIELD(adapter), EVAL | PREDICT | GENERATE | MERGE | EXPORT | IMPORT, MERGE | EXPORT | IMPORT, 0, NULL, 0, 0, "PATH",
   .help = "adapter: an .h5 checkpoint, a PEFT folder, or a run folder (its latest checkpoint)"},
  {"other-base", FLAG, FIELD(other_base), TRAIN | EVAL | PREDICT | GENERATE | MERGE, 0, ONCE, "no", 0, 0, NULL,
   .help = "accept an adapter that was trained on another base, such as the same model in another dtype",
   .needs = "adapter", .needs_of = EVAL | PREDICT | GENERATE},
  {"cache", PATH, FIELD(cache), TRAIN | EVAL | PREDICT | GENERATE | MERGE, 0, 0, NULL, 0, 0, "DIR",
   .help = "folder for digests of model and data, so that the next start need not read all of them again (train: --out)"},
  {"verify", FLAG, FIELD(verify), TRAIN | EVAL | PREDICT | GENERATE | MERGE, 0, ONCE, "no", 0, 0, NULL,
   .help = "read every byte of model and data, whatever digests are kept"},
  {"config", PATH, FIELD(config), TRAIN | EVAL | PREDICT | GENERATE, 0, ONCE, NULL, 0, 0, "FILE",
   .help = "YAML file with any of these options as keys, or the run.yaml of a run; the command line wins"},

  {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, .help = "LoRA:"},
  {"method", CHOICE, FIELD(method), TRAIN, 0, DEFINES | OF_ADAPTER | OF_MATRICES, "lora", 0, 0, "lora|dora",
   .help = "lora, or dora, which trains the length of each row of a weight as well",
   .elsewhere = "use-dora|finetuning-type"},
  {"rank", INTEGER, FIELD(rank), TRAIN, 0, DEFINES | OF_ADAPTER | OF_MATRICES, "8", 1, 65536, "R",
   .help = "rank of the matrices A and B",
   .elsewhere = "r|lora-rank|lora-r"},
  {"alpha", REAL, FIELD(alpha), TRAIN, 0, DEFINES | OF_ADAPTER | OF_MATRICES, "16", 1e-6, 1e6, "X",
   .help = "LoRA scaling: the update is multiplied by alpha / rank",
   .elsewhere = "lora-alpha"},
  {"dropout", REAL, FIELD(dropout), TRAIN, 0, DEFINES | OF_MATRICES, "0", 0, 0.999, "P",
   .help = "dropout probability at the input of each adapter",
   .elsewhere = "lora-dropout"},
  {"target", WORD, FIELD(target), TRAIN, 0, DEFINES | OF_ADAPTER, NULL, 0, 0, "LIST",
   .help = "modules to adapt, like PEFT's target_modules: names or ends of names with commas between them, all-linear, or none (default: the family's)",
   .elsewhere = "target-modules|lora-target"},
  {"whole", WORD, FIELD(whole), TRAIN, 0, DEFINES | OF_ADAPTER, NULL, 0, 0, "LIST",
   .help = "modules to train in full, like PEFT's modules_to_save, or none (default: the head of a classifier)",
   .elsewhere = "modules-to-save"},
  {"rslora", FLAG, FIELD(rslora), TRAIN, 0, DEFINES | OF_ADAPTER | OF_MATRICES, "no", 0, 0, NULL,
   .help = "scale by alpha / sqrt(rank) (rank-stabilised LoRA)",
   .elsewhere = "use-rslora"},
  {"init-adapter", PATH, FIELD(init_adapter), TRAIN, 0, 0, NULL, 0, 0, "PATH",
   .help = "start from this adapter instead of a new one; it decides method, rank, alpha, rslora, target, whole and the head"},

  {NULL, WORD, 0, TRAIN | EVAL | PREDICT, 0, 0, NULL, 0, 0, NULL, .help = "Data:"},
  {"batch-size", INTEGER, FIELD(batch_size), TRAIN, 0, DEFINES, "8", 1, 1 << 24, "N",
   .help = "sequences or images per optimizer step of the whole job, on any number of ranks",
   .elsewhere = "per-device-train-batch-size|train-batch-size"},
  {"micro-batch", INTEGER, FIELD(micro_batch), TRAIN | EVAL | PREDICT, 0, DEFINES, "1", 1, 65536, "N",
   .help = "sequences or images that a rank computes at a time"},
  {"seq-len", INTEGER, FIELD(seq_len), TRAIN | EVAL | PREDICT, 0, DEFINES | ROWS | LANGUAGE | CLASSES, "512", 2, 1 << 20, "T",
   .help = "longest sequence in tokens; longer texts are truncated",
   .elsewhere = "max-seq-length|max-length|block-size|cutoff-len"},
  {"pack", CHOICE, FIELD(pack), TRAIN | EVAL, 0, DEFINES | ROWS | LANGUAGE | FOR_RECORDS, "auto", 0, 0, "auto|yes|no",
   .help = "put several short samples in one row, each with its own attention (auto: for raw text)",
   .off = "do not pack: one sample per row"},
  {"mask-prompt", FLAG, FIELD(mask_prompt), TRAIN | EVAL, 0, DEFINES | ROWS | LANGUAGE | FOR_PROMPTS, "yes", 0, 0, NULL,
   .help = "train on completions and assistant turns only", .off = "train on prompts and user turns too"},
  {"shuffle", FLAG, FIELD(shuffle), TRAIN, 0, DEFINES | ROWS, "yes", 0, 0, NULL,
   .help = "visit the samples in another order in each epoch", .off = "do not shuffle: keep the order of the data"},
  {"chat-template", CHOICE, FIELD(chat_template), TRAIN | EVAL | GENERATE, 0, DEFINES | ROWS | LANGUAGE | FOR_CHAT, NULL, 0, 0, "chatml|llama2|llama3",
   .help = "layout of chat messages (default: by the tokenizer's special tokens)", .needs = "chat", .needs_of = GENERATE},
  {"labels", INTEGER, FIELD(labels), TRAIN, 0, DEFINES | OF_ADAPTER | CLASSES | IMAGES, "0", 0, 1 << 20, "N",
   .help = "number of classes of a classifier's head; 1 predicts a number (0: as many as the data has; a stored head that fits is kept)"},
  {"new-head", FLAG, FIELD(new_head), TRAIN, 0, DEFINES | OF_ADAPTER | CLASSES | IMAGES, "no", 0, 0, NULL,
   .help = "start with a new head even if the stored one fits the labels"},
  {"flip", FLAG, FIELD(flip), TRAIN, 0, DEFINES | IMAGES, "no", 0, 0, NULL,
   .help = "images: mirror half of them, at random"},
  {"crop", INTEGER, FIELD(crop), TRAIN, 0, DEFINES | IMAGES, "0", 0, 4096, "N",
   .help = "images: shift each by up to N pixels at random (a random crop after padding by N)"},
  {"strict", FLAG, FIELD(strict), TRAIN | EVAL | PREDICT, 0, IMAGES, "no", 0, 0, NULL,
   .help = "images: stop at an unreadable one; otherwise those are skipped and counted"},

  {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, .help = "Training:"},
  {"epochs", REAL, FIELD(epochs), TRAIN, 0, DEFINES, "1", 1e-6, 1e6, "X",
   .help = "passes over the data",
   .elsewhere = "num-train-epochs|num-epochs"},
  {"steps", INTEGER, FIELD(steps), TRAIN, 0, DEFINES, "0", 0, 1e12, "N",
   .help = "optimizer steps, instead of epochs (0: epochs decide)",
   .elsewhere = "max-steps"},
  {"lr", REAL, FIELD(lr), TRAIN, 0, DEFINES, "2e-4", 0, 1e3, "X",
   .help = "peak learning rate",
   .elsewhere = "learning-rate"},
  {"schedule", CHOICE, FIELD(schedule), TRAIN, 0, DEFINES, "linear", 0, 0, "linear|cosine|constant",
   .help = "how the learning rate falls after the warm-up",
   .elsewhere = "lr-scheduler-type"},
  {"warmup", REAL, FIELD(warmup), TRAIN, 0, DEFINES, "0.03", 0, 1e12, "X",
   .help = "warm-up steps: a fraction of all steps, or their number if above 1",
   .elsewhere = "warmup-ratio|warmup-steps"},
  {"weight-decay", REAL, FIELD(weight_decay), TRAIN, 0, DEFINES, "0", 0, 1e3, "X",
   .help = "weight decay of AdamW"},
  {"beta1", REAL, FIELD(beta1), TRAIN, 0, DEFINES, "0.9", 0, 0.999999, "X",
   .help = "AdamW: decay of the mean of gradients",
   .elsewhere = "adam-beta1"},
  {"beta2", REAL, FIELD(beta2), TRAIN, 0, DEFINES, "0.999", 0, 0.99999999, "X",
   .help = "AdamW: decay of the mean of squared gradients",
   .elsewhere = "adam-beta2"},
  {"eps", REAL, FIELD(eps), TRAIN, 0, DEFINES, "1e-8", 0, 1, "X",
   .help = "AdamW: added to the denominator",
   .elsewhere = "adam-epsilon"},
  {"clip", REAL, FIELD(clip), TRAIN, 0, DEFINES, "1", 0, 1e9, "X",
   .help = "clip gradients to this global norm (0: do not clip)",
   .elsewhere = "max-grad-norm"},
  {"seed", INTEGER, FIELD(seed), TRAIN | GENERATE, 0, DEFINES | ROWS, "0", 0, 9e15, "N",
   .help = "seed of all random numbers"},
  {"precision", CHOICE, FIELD(precision), TRAIN, 0, DEFINES, "f32", 0, 0, "f32|bf16",
   .help = "number format of the factors in matrix products; sums are f32"},
  {"threads", INTEGER, FIELD(threads), TRAIN | EVAL | PREDICT | GENERATE, 0, ONCE, "1", 1, 1024, "N",
   .help = "threads of each rank"},
  {"recompute", FLAG, FIELD(recompute), TRAIN, 0, 0, "no", 0, 0, NULL,
   .help = "recompute each block in the backward pass instead of keeping it: less memory, a third more work",
   .elsewhere = "gradient-checkpointing"},

  {NULL, WORD, 0, TRAIN | EVAL | PREDICT, 0, 0, NULL, 0, 0, NULL, .help = "Running:"},
  {"eval-every", INTEGER, FIELD(eval_every), TRAIN, 0, 0, "0", 0, 1e12, "N",
   .help = "evaluate every N steps (0: at the end of each epoch)", .needs = "valid", .needs_of = TRAIN,
   .elsewhere = "eval-steps"},
  {"save-every", INTEGER, FIELD(save_every), TRAIN, 0, 0, "100", 1, 1e12, "N",
   .help = "write a checkpoint every N steps",
   .elsewhere = "save-steps"},
  {"keep", INTEGER, FIELD(keep), TRAIN, 0, 0, "3", 1, 1e6, "N",
   .help = "keep the latest N checkpoints, and the best adapter",
   .elsewhere = "save-total-limit"},
  {"resume", WORD, FIELD(resume), TRAIN, 0, ONCE, "auto", 0, 0, "auto|never|PATH",
   .help = "resume from the latest good checkpoint in --out, never, or from this one",
   .elsewhere = "resume-from-checkpoint"},
  {"resume-override", WORD, FIELD(resume_override), TRAIN, 0, ONCE, NULL, 0, 0, "LIST",
   .help = "options that may differ from the checkpoint's, by name (lr,steps,batch-size); also data, base and kernels"},
  {"time-limit", DURATION, FIELD(time_limit), TRAIN, 0, ONCE, "0", 0, 1e9, "TIME",
   .help = "write a checkpoint and stop with status 75 before this time is over: seconds, 90m, 12h or H:MM:SS (0: no limit)"},
  {"patience", DURATION, FIELD(patience), TRAIN | EVAL | PREDICT, 0, ONCE, "30", 1, 1e6, "TIME",
   .help = "how long a host may be unresponsive before all ranks end with an error"},
  {"mixed-cpus", FLAG, FIELD(mixed_cpus), TRAIN | EVAL | PREDICT, 0, 0, "no", 0, 0, NULL,
   .help = "let each rank keep its own kernels where processors round differently, at the cost of reproducibility"},
  {"dry-run", FLAG, FIELD(dry_run), TRAIN, 0, ONCE, "no", 0, 0, NULL,
   .help = "print parameters, memory, time and traffic; train nothing"},
  {"profile", FLAG, FIELD(profile), TRAIN, 0, ONCE, "no", 0, 0, NULL,
   .help = "print at the end how the time of a step was spent, by operation, and write profile.json"},

  {NULL, WORD, 0, GENERATE, 0, 0, NULL, 0, 0, NULL, .help = "Generation:"},
  {"prompt", WORD, FIELD(prompt), GENERATE, GENERATE, 0, NULL, 0, 0, "TEXT",
   .help = "the prompt"},
  {"chat", FLAG, FIELD(chat), GENERATE, 0, 0, "no", 0, 0, NULL,
   .help = "the prompt is a user's message to a chat model"},
  {"max-tokens", INTEGER, FIELD(max_tokens), GENERATE, 0, 0, "256", 1, 1e9, "N",
   .help = "generate at most N tokens",
   .elsewhere = "max-new-tokens"},
  {"temperature", REAL, FIELD(temperature), GENERATE, 0, 0, "0", 0, 100, "X",
   .help = "randomness of the choice; 0 always takes the most likely token"},
  {"top-k", INTEGER, FIELD(top_k), GENERATE, 0, 0, "0", 0, 1e9, "N",
   .help = "draw from the N most likely tokens (0: all)", .needs = "temperature", .needs_of = GENERATE},
  {"top-p", REAL, FIELD(top_p), GENERATE, 0, 0, "1", 1e-6, 1, "P",
   .help = "draw from the most likely tokens that together have probability P", .needs = "temperature", .needs_of = GENERATE},
  {"dtype", CHOICE, FIELD(dtype), MERGE, 0, 0, NULL, 0, 0, "f32|f16|bf16",
   .help = "number format of the merged weights (default: as each is stored)"},
};
/* clang-format on */

const int ld_n_options = sizeof ld_option_table / sizeof *ld_option_table;
