#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "generate/pictures.h"
#include "io/json.h"
#include "model/diffusion.h"

void ld_picture_prompts_free(ld_picture_prompts *prompts) {
  for (size_t i = 0; i < prompts->n; i++) {
    free(prompts->list[i].text);
    ld_ids_free(&prompts->list[i].ids);
  }
  free(prompts->list);
  ld_ids_free(&prompts->negative);
  *prompts = (ld_picture_prompts){0};
}

/* Cut to the model's length, with its end token. */
static int encode(const ld_base *base, const char *text, ld_ids *ids, ld_error *err) {
  const int rc = ld_tokenizer_encode(base->tokenizer, text, strlen(text), true, ids, err);
  return rc ? rc : ld_base_check_ids(base, ids->ids, NULL, ids->n, err);
}

static int check_class(const ld_base *base, int64_t class, ld_error *err) {
  const int n = base->model->diffusion->n_classes;
  return class >= 0 && class < n
             ? 0
             : ld_fail(err, LD_EUSAGE, "the model's classes are numbered from 0 to %d, not %lld", n - 1,
                       (long long)class);
}

static int read_class(const ld_base *base, const char *text, int32_t *out, ld_error *err) {
  char *end;
  const long long class = strtoll(text, &end, 10);
  if (end == text || end[strspn(end, " \t")])
    return ld_fail(err, LD_EUSAGE, "expected the number of a class, because the model takes no text");
  *out = (int32_t) class;
  return check_class(base, class, err);
}

static int add(const ld_base *base, const char *text, ld_picture_prompts *prompts, ld_error *err) {
  const ld_diffusion *d = base->model->diffusion;
  if (!d->n_texts && !d->n_classes)
    return ld_fail(err, LD_EUSAGE, "%s takes no prompts: it has neither a text encoder nor classes",
                   ld_model_folder_path(base->folder));
  prompts->list = ld_grow(prompts->list, prompts->n, &prompts->room, sizeof *prompts->list);
  ld_picture_prompt *prompt = &prompts->list[prompts->n++];
  *prompt = (ld_picture_prompt){.text = ld_strdup(text)};
  return d->n_texts ? encode(base, text, &prompt->ids, err) : read_class(base, text, &prompt->class, err);
}

static int add_json(const ld_base *base, const char *line, ld_picture_prompts *prompts, ld_error *err) {
  ld_value *record = ld_json_parse(line, strlen(line), "JSON", err);
  if (!record) return err->code;
  const ld_value *text = record->type == LD_MAP ? ld_value_get(record, "prompt") : NULL;
  const int rc = text && text->type == LD_STRING
                     ? add(base, text->string, prompts, err)
                     : ld_fail(err, LD_EFORMAT, "expected an object with \"prompt\", a string");
  ld_value_free(record);
  return rc;
}

int ld_picture_prompts_read(const ld_base *base, const char *path, const ld_text *file,
                            ld_picture_prompts *prompts, ld_error *err) {
  const char *ending = strrchr(path, '.');
  const bool json = ending && !strcmp(ending, ".jsonl");
  int rc = 0, number = 1;
  for (size_t at = 0; !rc && at < file->length; number++) {
    const char *begin = file->bytes + at, *end = memchr(begin, '\n', file->length - at);
    const size_t length = end ? (size_t)(end - begin) : file->length - at;
    char *line = ld_strndup(begin, length && begin[length - 1] == '\r' ? length - 1 : length);
    if (memchr(begin, 0, length))
      rc = ld_fail(err, LD_EFORMAT, "holds a NUL byte: not a text");
    else if (line[strspn(line, " \t")])
      rc = json ? add_json(base, line, prompts, err) : add(base, line, prompts, err);
    if (rc) ld_fail_prefix(err, rc, "%s: line %d", path, number);
    free(line);
    at += length + 1;
  }
  return rc || prompts->n ? rc : ld_fail(err, LD_EUSAGE, "%s: has no prompts", path);
}

/* For a model without texts. */
static int take_class(const ld_base *base, const ld_options *options, ld_picture_prompt *prompt,
                      ld_error *err) {
  const int n = base->model->diffusion->n_classes;
  if (!n && options->picture_class < 0) return 0;
  if (!n)
    return ld_fail(err, LD_EUSAGE, "--class does not apply to %s, which has no classes: leave it out",
                   options->model);
  if (options->picture_class < 0)
    return ld_fail(err, LD_EUSAGE, "--class N is missing: the model's classes are numbered from 0 to %d",
                   n - 1);
  prompt->class = (int32_t)options->picture_class;
  const int rc = check_class(base, options->picture_class, err);
  return rc ? ld_fail_prefix(err, rc, "--class") : 0;
}

int ld_picture_prompts_take(const ld_base *base, const ld_options *options, ld_picture_prompts *prompts,
                            ld_error *err) {
  if (base->model->diffusion->n_texts) {
    if (options->picture_class >= 0)
      return ld_fail(err, LD_EUSAGE, "--class does not apply to %s, which takes a text: give --prompt",
                     options->model);
    if (!options->prompt)
      return ld_fail(err, LD_EUSAGE,
                     "--prompt TEXT is missing: say what the picture is to show, or give --prompts");
    const int rc = add(base, options->prompt, prompts, err);
    return rc ? ld_fail_prefix(err, rc, "--prompt") : 0;
  }
  if (options->prompt)
    return ld_fail(err, LD_EUSAGE, "--prompt does not apply to %s, which takes no text: leave it out%s",
                   options->model, base->model->diffusion->n_classes ? ", and give --class" : "");
  prompts->list = ld_grow(prompts->list, prompts->n, &prompts->room, sizeof *prompts->list);
  ld_picture_prompt *prompt = &prompts->list[prompts->n++];
  *prompt = (ld_picture_prompt){0};
  return take_class(base, options, prompt, err);
}

int ld_picture_prompts_avoid(const ld_base *base, const ld_picture_settings *settings, const char *negative,
                             ld_picture_prompts *prompts, ld_error *err) {
  if (!negative) return 0;
  if (!base->model->diffusion->n_texts)
    return ld_fail(err, LD_EUSAGE,
                   "--negative-prompt does not apply to %s, which takes no text: leave it out",
                   ld_model_folder_path(base->folder));
  if (!ld_picture_is_guided(base, settings))
    return ld_fail(err, LD_EUSAGE, "--negative-prompt has no effect with --guidance %g: give more than 1",
                   settings->guidance);
  prompts->has_negative = true;
  const int rc = encode(base, negative, &prompts->negative, err);
  return rc ? ld_fail_prefix(err, rc, "--negative-prompt") : 0;
}
