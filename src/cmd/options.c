#include "cmd/options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"
#include "io/yaml.h"

enum kind { PATH, WORD, INTEGER, REAL, FLAG, CHOICE };
enum {
  DEFINES = 1,
  REQUIRED = 2,
  ON_OFF = 4
}; /* marks: changes the adapter's bits; must be given; has a --no- form */

#define TRAIN LD_CMD_TRAIN
#define EVAL LD_CMD_EVAL
#define GENERATE LD_CMD_GENERATE
#define MERGE LD_CMD_MERGE
#define EXPORT LD_CMD_EXPORT
#define IMPORT LD_CMD_IMPORT
#define FIELD(name) offsetof(ld_options, name)

typedef struct option_row {
  const char *name;
  enum kind kind;
  size_t field;
  int commands, required, marks;
  const char *fallback; /* NULL: none */
  double low, high;     /* numbers: the range allowed */
  const char *argument, *help;
} option_row;

static const option_row table[] = {
    {NULL, WORD, 0, TRAIN | EVAL | GENERATE | MERGE | EXPORT | IMPORT, 0, 0, NULL, 0, 0, NULL, "Files:"},
    {"model", PATH, FIELD(model), TRAIN | EVAL | GENERATE | MERGE, TRAIN | EVAL | GENERATE | MERGE, 0, NULL,
     0, 0, "DIR", "Hugging Face model folder: config.json, *.safetensors, tokenizer.json"},
    {"data", PATH, FIELD(data), TRAIN | EVAL, TRAIN | EVAL, 0, NULL, 0, 0, "PATH",
     "data: .jsonl with text, prompt and completion, or messages; .txt raw text"},
    {"valid", PATH, FIELD(valid), TRAIN, 0, 0, NULL, 0, 0, "PATH", "data to evaluate on while training"},
    {"out", PATH, FIELD(out), TRAIN | MERGE | EXPORT | IMPORT, TRAIN | MERGE | EXPORT | IMPORT, 0, NULL, 0, 0,
     "PATH", "where the result goes"},
    {"adapter", PATH, FIELD(adapter), EVAL | GENERATE | MERGE | EXPORT | IMPORT, MERGE | EXPORT | IMPORT, 0,
     NULL, 0, 0, "PATH", "adapter: an .h5 checkpoint, a PEFT folder, or a run folder"},
    {"config", PATH, FIELD(config), TRAIN | EVAL | GENERATE, 0, 0, NULL, 0, 0, "FILE",
     "YAML file with any of these options as keys; the command line wins"},

    {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, "LoRA:"},
    {"rank", INTEGER, FIELD(rank), TRAIN, 0, DEFINES, "8", 1, 65536, "R", "rank"},
    {"alpha", REAL, FIELD(alpha), TRAIN, 0, DEFINES, "16", 1e-6, 1e6, "X",
     "the addition is scaled by alpha / rank"},
    {"dropout", REAL, FIELD(dropout), TRAIN, 0, DEFINES, "0", 0, 0.999, "P",
     "dropout on the input of the adapters"},
    {"target", WORD, FIELD(target), TRAIN, 0, DEFINES, NULL, 0, 0, "LIST",
     "modules to adapt, as PEFT's target_modules: names or ends of names, or all-linear (default: the "
     "family's)"},
    {"rslora", FLAG, FIELD(rslora), TRAIN, 0, DEFINES, "no", 0, 0, NULL, "scale by alpha / sqrt(rank)"},
    {"init-adapter", PATH, FIELD(init_adapter), TRAIN, 0, DEFINES, NULL, 0, 0, "PATH",
     "start from this adapter, not a fresh one"},

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
    {"chat-template", CHOICE, FIELD(chat_template), TRAIN | EVAL | GENERATE, 0, DEFINES, NULL, 0, 0,
     "chatml|llama2|llama3", "layout of messages (default: from the tokenizer's special tokens)"},

    {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, "Training:"},
    {"epochs", REAL, FIELD(epochs), TRAIN, 0, DEFINES, "1", 1e-6, 1e6, "X", "passes over the data"},
    {"steps", INTEGER, FIELD(steps), TRAIN, 0, DEFINES, "0", 0, 1e12, "N",
     "optimizer steps, instead of epochs (0: epochs decide)"},
    {"lr", REAL, FIELD(lr), TRAIN, 0, DEFINES, "2e-4", 0, 1e3, "X", "peak learning rate"},
    {"schedule", CHOICE, FIELD(schedule), TRAIN, 0, DEFINES, "linear", 0, 0, "linear|cosine|constant",
     "course of the learning rate"},
    {"warmup", REAL, FIELD(warmup), TRAIN, 0, DEFINES, "0.03", 0, 1e12, "X",
     "warm-up: a share of the steps, or a count when above 1"},
    {"weight-decay", REAL, FIELD(weight_decay), TRAIN, 0, DEFINES, "0", 0, 1e3, "X", "AdamW"},
    {"beta1", REAL, FIELD(beta1), TRAIN, 0, DEFINES, "0.9", 0, 0.999999, "X", "AdamW"},
    {"beta2", REAL, FIELD(beta2), TRAIN, 0, DEFINES, "0.999", 0, 0.99999999, "X", "AdamW"},
    {"eps", REAL, FIELD(eps), TRAIN, 0, DEFINES, "1e-8", 0, 1, "X", "AdamW"},
    {"clip", REAL, FIELD(clip), TRAIN, 0, DEFINES, "1", 0, 1e9, "X",
     "largest global norm of the gradient (0: no limit)"},
    {"seed", INTEGER, FIELD(seed), TRAIN | GENERATE, 0, DEFINES, "0", 0, 9e15, "N", "all randomness"},
    {"precision", CHOICE, FIELD(precision), TRAIN, 0, DEFINES, "f32", 0, 0, "f32",
     "arithmetic of the matrix products"},
    {"threads", INTEGER, FIELD(threads), TRAIN | EVAL | GENERATE, 0, DEFINES, "1", 1, 1024, "N",
     "threads of each rank"},
    {"recompute", FLAG, FIELD(recompute), TRAIN, 0, 0, "no", 0, 0, NULL,
     "compute the inside of each block again in the backward pass: less memory, a third more work"},

    {NULL, WORD, 0, TRAIN, 0, 0, NULL, 0, 0, NULL, "Running:"},
    {"eval-every", INTEGER, FIELD(eval_every), TRAIN, 0, 0, "0", 0, 1e12, "N",
     "steps between evaluations (0: at each epoch's end)"},
    {"save-every", INTEGER, FIELD(save_every), TRAIN, 0, 0, "100", 1, 1e12, "N", "steps between checkpoints"},
    {"keep", INTEGER, FIELD(keep), TRAIN, 0, 0, "3", 1, 1e6, "N", "checkpoints to keep, beside the best"},
    {"resume", WORD, FIELD(resume), TRAIN, 0, 0, "auto", 0, 0, "auto|never|PATH",
     "go on from the newest good checkpoint in --out, or from this one"},
    {"dry-run", FLAG, FIELD(dry_run), TRAIN, 0, 0, "no", 0, 0, NULL,
     "print parameters, memory, work and traffic; train nothing"},

    {NULL, WORD, 0, GENERATE, 0, 0, NULL, 0, 0, NULL, "Generation:"},
    {"prompt", WORD, FIELD(prompt), GENERATE, GENERATE, 0, NULL, 0, 0, "TEXT", "text to go on from"},
    {"chat", FLAG, FIELD(chat), GENERATE, 0, 0, "no", 0, 0, NULL,
     "the prompt is a user's message: lay it out for a chat model"},
    {"max-tokens", INTEGER, FIELD(max_tokens), GENERATE, 0, 0, "256", 1, 1e9, "N", "most tokens to generate"},
    {"temperature", REAL, FIELD(temperature), GENERATE, 0, 0, "0", 0, 100, "X",
     "0 takes the likeliest token always"},
    {"top-k", INTEGER, FIELD(top_k), GENERATE, 0, 0, "0", 0, 1e9, "N",
     "draw from the N likeliest tokens (0: all)"},
    {"top-p", REAL, FIELD(top_p), GENERATE, 0, 0, "1", 1e-6, 1, "P",
     "draw from the likeliest tokens that together have probability P"},
    {"dtype", CHOICE, FIELD(dtype), MERGE, 0, 0, NULL, 0, 0, "f32|f16|bf16",
     "type of the merged weights (default: each as it is stored)"},
};
enum { N_OPTIONS = sizeof table / sizeof *table, NEGATED = 1 << 16, FIRST_KEY = 256 };

static void *field_of(const ld_options *options, const option_row *o) {
  return (char *)options + o->field;
}

static int bad_value(const option_row *o, const char *text, ld_error *err) {
  if (o->kind == CHOICE)
    return ld_fail(err, LD_EUSAGE, "--%s: '%s' is none of %s", o->name, text, o->argument);
  if (o->kind == FLAG) return ld_fail(err, LD_EUSAGE, "--%s: '%s' is neither yes nor no", o->name, text);
  return ld_fail(err, LD_EUSAGE, "--%s: '%s' is not %s between %g and %g", o->name, text,
                 o->kind == INTEGER ? "an integer" : "a number", o->low, o->high);
}

/* Place of `text` among "a|b|c"; -1 when it is none. */
static int choice_index(const char *choices, const char *text) {
  const size_t n = strlen(text);
  int index = 0;
  for (const char *at = choices; at; at = strchr(at, '|'), index++) {
    if (*at == '|') at++;
    if (strcspn(at, "|") == n && !strncmp(at, text, n) && n) return index;
  }
  return -1;
}

static void set_string(ld_options *options, const option_row *o, const char *text) {
  char **field = field_of(options, o);
  free(*field);
  *field = ld_strdup(text);
}

static int set_number(ld_options *options, const option_row *o, const char *text, ld_error *err) {
  char *end;
  errno = 0;
  const double real = strtod(text, &end);
  if (!*text || *end || errno || !(real >= o->low && real <= o->high)) return bad_value(o, text, err);
  if (o->kind == REAL) {
    *(double *)field_of(options, o) = real;
    return 0;
  }
  if (real != floor(real)) return bad_value(o, text, err);
  const long long whole = strtoll(text, &end, 10);
  *(int64_t *)field_of(options, o) = *end ? (int64_t)real : whole; /* "1e3" is a fine integer too */
  return 0;
}

static int set(ld_options *options, const option_row *o, const char *text, ld_error *err) {
  switch (o->kind) {
  case PATH:
  case WORD:
    if (o->kind == PATH && !*text) return ld_fail(err, LD_EUSAGE, "--%s: the path is empty", o->name);
    set_string(options, o, text);
    return 0;
  case FLAG:
    if (strcmp(text, "yes") && strcmp(text, "no") && strcmp(text, "true") && strcmp(text, "false"))
      return bad_value(o, text, err);
    *(bool *)field_of(options, o) = !strcmp(text, "yes") || !strcmp(text, "true");
    return 0;
  case CHOICE:
    if (choice_index(o->argument, text) < 0) return bad_value(o, text, err);
    if (o->field == FIELD(schedule))
      options->schedule = choice_index(o->argument, text);
    else
      set_string(options, o, text);
    return 0;
  default:
    return set_number(options, o, text, err);
  }
}

/* Options given on the command line, applied after the configuration file. */
typedef struct given {
  int key;
  const char *text;
} given;

typedef struct parse {
  given *given;
  size_t n, room;
  char **positional;
  bool help;
} parse;

static error_t parse_one(int key, char *text, struct argp_state *state) {
  parse *p = state->input;
  if (key == ARGP_KEY_ARG) {
    if (!p->positional || *p->positional) return ARGP_ERR_UNKNOWN;
    *p->positional = text;
    return 0;
  }
  if (key < FIRST_KEY) return ARGP_ERR_UNKNOWN;
  if (key == ARGP_KEY_INIT || key == ARGP_KEY_SUCCESS || key == ARGP_KEY_ERROR || key == ARGP_KEY_FINI ||
      key == ARGP_KEY_END || key == ARGP_KEY_NO_ARGS || key == ARGP_KEY_ARGS)
    return ARGP_ERR_UNKNOWN;
  p->given = ld_grow(p->given, p->n, &p->room, sizeof *p->given);
  p->given[p->n++] = (given){key - FIRST_KEY, text};
  return 0;
}

/* The help text of an option with its default, in fresh memory. */
static char *help_text(const option_row *o) {
  return o->fallback && o->kind != FLAG           ? ld_format("%s [%s]", o->help, o->fallback)
         : o->kind == FLAG && (o->marks & ON_OFF) ? ld_format("%s [%s]", o->help, o->fallback)
                                                  : ld_strdup(o->help);
}

/* argp's table from ours; `texts` keeps what must be freed. */
static struct argp_option *argp_table(int command, char **texts) {
  struct argp_option *out = ld_alloc(2 * N_OPTIONS + 1, sizeof *out);
  size_t n = 0, n_texts = 0;
  int group = 0;
  for (int i = 0; i < N_OPTIONS; i++) {
    const option_row *o = &table[i];
    if (!(o->commands & command)) continue;
    if (!o->name) out[n++] = (struct argp_option){.doc = o->help, .group = ++group};
    if (!o->name) continue;
    const bool bare = o->kind == FLAG || (o->marks & ON_OFF);
    texts[n_texts] = help_text(o);
    out[n++] =
        (struct argp_option){o->name, FIRST_KEY + i, bare ? NULL : o->argument, 0, texts[n_texts++], group};
    if (!(o->marks & ON_OFF)) continue;
    texts[n_texts] = ld_format("no-%s", o->name);
    out[n++] =
        (struct argp_option){texts[n_texts++], FIRST_KEY + (i | NEGATED), NULL, 0, "the opposite", group};
  }
  return out;
}

static int apply_given(ld_options *options, const parse *p, ld_error *err) {
  for (size_t i = 0; i < p->n; i++) {
    const option_row *o = &table[p->given[i].key & ~NEGATED];
    const char *text = p->given[i].text;
    if (!text) text = p->given[i].key & NEGATED ? "no" : "yes";
    const int rc = set(options, o, text, err);
    if (rc) return rc;
  }
  return 0;
}

static const option_row *find_key(int command, const char *key) {
  for (int i = 0; i < N_OPTIONS; i++) {
    const char *a = table[i].name ? table[i].name : "", *b = key;
    while (*a && (*a == *b || (*a == '-' && *b == '_'))) a++, b++;
    if (!*a && !*b && table[i].name && (table[i].commands & command)) return &table[i];
  }
  return NULL;
}

static int apply_entry(int command, const char *path, const ld_value *entry, ld_options *options,
                       ld_error *err) {
  const option_row *o = find_key(command, entry->key);
  if (!o) return ld_fail(err, LD_EUSAGE, "%s: '%s' is no option of this command", path, entry->key);
  char *text;
  switch (entry->type) {
  case LD_NULL:
    return 0;
  case LD_BOOLEAN:
    text = ld_strdup(entry->boolean ? "yes" : "no");
    break;
  case LD_INTEGER:
    text = ld_format("%lld", (long long)entry->integer);
    break;
  case LD_REAL:
    text = ld_format("%.17g", entry->real);
    break;
  case LD_STRING:
    text = ld_strdup(entry->string);
    break;
  default:
    return ld_fail(err, LD_EUSAGE, "%s: '%s' must be a single value", path, entry->key);
  }
  int rc = set(options, o, text, err);
  if (rc) rc = ld_fail_prefix(err, rc, "%s", path);
  free(text);
  return rc;
}

static int apply_config(int command, const char *path, ld_options *options, ld_error *err) {
  ld_value *root = ld_yaml_read(path, err);
  if (!root) return err->code;
  int rc = 0;
  if (root->type != LD_MAP) rc = ld_fail(err, LD_EUSAGE, "%s: must hold 'option: value' lines", path);
  for (size_t i = 0; !rc && i < root->n_items; i++)
    rc = apply_entry(command, path, &root->items[i], options, err);
  ld_value_free(root);
  return rc;
}

static int apply_defaults(ld_options *options, ld_error *err) {
  for (int i = 0; i < N_OPTIONS; i++) {
    const int rc = table[i].fallback ? set(options, &table[i], table[i].fallback, err) : 0;
    if (rc) return rc;
  }
  return 0;
}

static int check_required(int command, const ld_options *options, ld_error *err) {
  for (int i = 0; i < N_OPTIONS; i++)
    if ((table[i].required & command) && !*(char **)field_of(options, &table[i]))
      return ld_fail(err, LD_EUSAGE, "--%s %s is missing", table[i].name, table[i].argument);
  return 0;
}

static int apply_all(int command, const parse *p, ld_options *options, ld_error *err) {
  int rc = apply_defaults(options, err);
  for (size_t i = 0; !rc && i < p->n; i++)
    if (table[p->given[i].key & ~NEGATED].field == FIELD(config))
      rc = apply_config(command, p->given[i].text, options, err);
  if (!rc) rc = apply_given(options, p, err);
  if (!rc) rc = check_required(command, options, err);
  return rc;
}

int ld_options_parse(enum ld_command_bit command, const char *name, const char *about, int argc, char **argv,
                     bool speak, ld_options *options, char **positional, ld_error *err) {
  *options = (ld_options){0};
  char *texts[2 * N_OPTIONS] = {0};
  struct argp_option *rows = argp_table(command, texts);
  const struct argp argp = {rows, parse_one, positional ? "PATH" : NULL, about, NULL, NULL, NULL};
  parse p = {.positional = positional};
  argp_err_exit_status = 2;
  argv[0] = (char *)name;
  const error_t failed = argp_parse(&argp, argc, argv, speak ? 0 : ARGP_SILENT, NULL, &p);
  const int rc = failed ? 3 : apply_all(command, &p, options, err);
  free(p.given);
  free(rows);
  for (int i = 0; i < 2 * N_OPTIONS; i++) free(texts[i]);
  return rc;
}

static bool is_string(const option_row *o) {
  if (o->kind == CHOICE) return o->field != FIELD(schedule);
  return o->name && (o->kind == PATH || o->kind == WORD);
}

void ld_options_free(ld_options *options) {
  for (int i = 0; i < N_OPTIONS; i++)
    if (is_string(&table[i])) free(*(char **)field_of(options, &table[i]));
  *options = (ld_options){0};
}

/* Appends the value of an option as JSON. */
static void put_value(const ld_options *options, const option_row *o, ld_text *out) {
  static const char *const schedules[] = {"linear", "cosine", "constant"};
  const char *text = NULL;
  switch (o->kind) {
  case INTEGER:
    ld_text_printf(out, "%lld", (long long)*(int64_t *)field_of(options, o));
    return;
  case REAL:
    ld_json_number(out, *(double *)field_of(options, o));
    return;
  case FLAG:
    ld_text_puts(out, *(bool *)field_of(options, o) ? "true" : "false");
    return;
  default:
    text = o->field == FIELD(schedule) ? schedules[options->schedule] : *(char **)field_of(options, o);
  }
  if (text)
    ld_json_quote(out, text);
  else
    ld_text_puts(out, "null");
}

void ld_options_json(enum ld_command_bit command, const ld_options *options, bool defining, ld_text *out) {
  const char *comma = "";
  ld_text_puts(out, "{");
  for (int i = 0; i < N_OPTIONS; i++) {
    if (!table[i].name || !(table[i].commands & (int)command) || (defining && !(table[i].marks & DEFINES)))
      continue;
    ld_text_printf(out, "%s\"%s\": ", comma, table[i].name);
    put_value(options, &table[i], out);
    comma = ", ";
  }
  ld_text_puts(out, "}");
}

void ld_options_yaml(enum ld_command_bit command, const ld_options *options, ld_text *out) {
  for (int i = 0; i < N_OPTIONS; i++) {
    if (!table[i].name || !(table[i].commands & (int)command)) continue;
    ld_text_printf(out, "%s: ", table[i].name);
    put_value(options, &table[i], out); /* JSON scalars are YAML scalars */
    ld_text_puts(out, "\n");
  }
}

static void put_recorded(const ld_value *value, ld_text *out) {
  if (!value)
    ld_text_puts(out, "null");
  else if (value->type == LD_STRING)
    ld_json_quote(out, value->string);
  else if (value->type == LD_BOOLEAN)
    ld_text_puts(out, value->boolean ? "true" : "false");
  else if (value->type == LD_INTEGER)
    ld_text_printf(out, "%lld", (long long)value->integer);
  else if (value->type == LD_REAL)
    ld_json_number(out, value->real);
}

int ld_options_same(const ld_options *options, const ld_value *recorded, const char *path, ld_error *err) {
  ld_text now = {0}, then = {0};
  int rc = 0;
  for (int i = 0; !rc && i < N_OPTIONS; i++) {
    if (!(table[i].marks & DEFINES) || !(table[i].commands & LD_CMD_TRAIN)) continue;
    const ld_value *entry = ld_value_get(recorded, table[i].name);
    ld_text_clear(&now);
    ld_text_clear(&then);
    put_value(options, &table[i], &now);
    if (entry && table[i].kind == REAL)
      ld_json_number(&then, entry->real);
    else
      put_recorded(entry, &then);
    if (strcmp(now.bytes, then.bytes))
      rc = ld_fail(err, LD_EMISMATCH,
                   "%s: was trained with --%s %s, but now it is %s: give the same value, or another --out",
                   path, table[i].name, then.bytes, now.bytes);
  }
  ld_text_free(&now);
  ld_text_free(&then);
  return rc;
}
