/* The options of all commands, as plain values. The table in src/options/table.c gives them names, help and
 * defaults. */
#ifndef LD_OPTIONS_H
#define LD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum ld_schedule_kind { LD_LINEAR, LD_COSINE, LD_CONSTANT };

typedef struct ld_options {
  bool *given; /* by position in the table: set by the user, not by a default or a record; NULL: none */
  /* files */
  char *model, *data, *valid, *sample_prompts, *out, *adapter, *init_adapter, *config;
  bool other_base; /* accept an adapter of another base */
  char *cache;     /* a folder for what the next start uses again; "none"; NULL: the default */
  bool verify;     /* ignore kept digests */
  /* LoRA */
  char *format; /* of ld_adapter_formats */
  char *method; /* a kind of src/adapt */
  int64_t rank;
  double alpha, dropout;
  char *target; /* NULL: the family's default */
  char *whole;  /* modules trained in full; NULL: the family's default */
  bool rslora;
  const char *lora_given; /* an option that an initial adapter decides but that was given; NULL: none */
  /* data */
  int64_t batch_size, micro_batch, seq_len, target_len;
  char *pack;                      /* "auto", "yes", "no" */
  char *source_prefix;             /* NULL: none */
  char *source_lang, *target_lang; /* NULL: the tokenizer's default */
  int64_t sentences;               /* of a summary that is chosen from a document */
  int64_t head_layers;             /* of a new head that scores sentences */
  double label_smoothing;          /* a share of each target */
  bool mask_prompt, shuffle;
  char *chat_template;
  int64_t labels; /* outputs of a classifier's head; 0: counted from the data */
  bool new_head;
  bool flip;    /* augmentation of images */
  int64_t crop; /* pixels of padding */
  bool strict;
  char *resolution;                 /* of images to learn; NULL: the base's */
  bool buckets;                     /* sizes by aspect ratio */
  char *cut;                        /* "center", "random" */
  char *caption;                    /* of images without one; NULL: none */
  char *class_data, *class_caption; /* pictures of the class that a subject belongs to; NULL: none */
  double prior_weight;              /* of their loss */
  double min_snr, noise_offset, caption_dropout; /* how pictures are noised */
  char *timesteps;                               /* "uniform", "logit-normal" */
  bool text_encoder;                             /* the texts' encoders are trained too */
  char *labels_file;                             /* convert */
  char *tokenizer;                               /* convert: a folder to copy it from; NULL: none */
  char *prediction;                              /* convert; NULL: as the file or its kind has it */
  /* training */
  double epochs;
  int64_t steps; /* 0: epochs decide */
  double lr, warmup, weight_decay, beta1, beta2, eps, clip;
  int64_t schedule; /* enum ld_schedule_kind */
  int64_t seed;
  bool recompute;
  char *precision;
  int64_t threads;
  /* running */
  int64_t eval_every, save_every, keep; /* eval_every 0: at each epoch's end */
  int64_t eval_generate;                /* records whose texts are written at each evaluation */
  char *best;                           /* "loss", or the key of a metric */
  char *resume;                         /* "auto", "never" or a path */
  char *resume_override;                /* a list of option names; NULL for none */
  double time_limit, patience;          /* seconds; time_limit 0: none */
  bool mixed_cpus, dry_run, profile;
  char *reuse;   /* results of frozen layers: "auto", "yes", "no" */
  char *scratch; /* folder for them; NULL: TMPDIR, or /tmp */
  /* generate */
  char *prompt;
  bool chat;
  int64_t max_tokens, min_tokens;
  double temperature, top_p;
  int64_t top_k;
  int64_t beams;
  double length_penalty;
  char *early_stopping; /* "no", "yes", "never"; NULL: not given */
  double repetition_penalty;
  int64_t no_repeat_ngram;
  /* pictures */
  char *prompts;          /* a file; NULL: none */
  char *negative_prompt;  /* NULL: none */
  int64_t picture_class;  /* -1: none */
  int64_t images;         /* for each prompt */
  int64_t sampling_steps; /* 0: the scheduler's default */
  double guidance;
  char *size;      /* NULL: the base's */
  char *scheduler; /* NULL: the one that the folder names */
  bool generate;   /* eval */
  bool stem;       /* eval, train */
  /* merge */
  char *dtype;
} ld_options;

#endif
