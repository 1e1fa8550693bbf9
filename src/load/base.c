#include "load/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/json.h"
#include "io/state/checkpoint_folder.h"
#include "load/weights.h"
#include "model/diffusion.h"
#include "model/registry.h"

void ld_base_stop_at(ld_base *base, int32_t id) {
  if (id < 0) return;
  for (int i = 0; i < base->n_stops; i++)
    if (base->stops[i] == id) return;
  base->stops[base->n_stops++] = id;
}

/* What ends a text: the tokenizer's eos_token, else the model's; generation stops at any of them. */
static int find_special_ids(ld_base *base, ld_error *err) {
  int32_t ids[LD_MAX_EOS];
  int n;
  int rc = ld_model_folder_eos(base->folder, base->model->vocab, ids, &n, err);
  if (rc) return rc;
  base->eos = ld_tokenizer_eos(base->tokenizer);
  if (base->eos < 0 && n > 0) base->eos = ids[0];
  ld_base_stop_at(base, base->eos);
  for (int i = 0; i < n; i++) ld_base_stop_at(base, ids[i]);
  ld_ids around = {0};
  rc = ld_tokenizer_encode(base->tokenizer, "", 0, true, &around, err);
  base->bos = !rc && around.n && around.ids[0] != base->eos ? around.ids[0] : -1;
  /* A tokenizer whose bos is also its eos (GPT-2 variants that add it first) still begins with it. */
  if (!rc && around.n && base->bos < 0) {
    ld_ids one = {0};
    if (!ld_tokenizer_encode(base->tokenizer, "a", 1, true, &one, NULL) && one.n &&
        one.ids[0] == around.ids[0])
      base->bos = around.ids[0];
    ld_ids_free(&one);
  }
  ld_ids_free(&around);
  return rc;
}

static bool is_listed(const ld_base *base, const ld_data_form *form) {
  const ld_data_form *const *at = base->forms;
  while (*at && *at != form) at++;
  return *at != NULL;
}

/* Adds the forms of the objectives that suit heads of this family's kind and its input. */
static void add_forms(ld_base *base, const ld_family *family) {
  const ld_objective *objective;
  size_t n = 0;
  while (base->forms[n]) n++;
  for (size_t i = 0; (objective = ld_objective_at(i)); i++)
    for (const ld_data_form *const *form = objective->forms; objective->head == family->head && *form; form++)
      if (!strcmp((*form)->input, family->input) && !is_listed(base, *form) && n < LD_MAX_FORMS)
        base->forms[n++] = *form;
}

static void name_stored_labels(ld_base *base);

/* Finds it by all that is known of the head; if that is contradictory, by the kind of head only. */
static void choose_objective(ld_base *base) {
  const ld_purpose purpose = {
      .head = base->model->family->head, .n_outputs = base->model->head->out, .problem = base->problem};
  base->objective = ld_objective_find(&purpose);
  if (!base->objective) base->objective = ld_objective_of(base->model);
}

static int build_model(ld_base *base, const ld_head_request *request, ld_error *err) {
  const ld_value *config = ld_model_folder_config(base->folder);
  const ld_family *families[LD_MOST_HEADS] = {0};
  ld_model *model;
  const int rc = ld_model_build(config, base->weights, request, &model, err);
  if (rc) return rc;
  ld_model_free(base->model);
  base->model = model;
  choose_objective(base);
  memset(base->forms, 0, sizeof base->forms);
  const int n = ld_model_families(config, base->weights->source, families, err);
  add_forms(base, model->family);
  for (int i = 0; i < n; i++) add_forms(base, families[i]);
  return 0;
}

/* Builds the model again with the family that `right` accepts, unless it has that family already. */
static int change_family(ld_base *base, bool (*right)(const ld_family *family, const void *what),
                         const void *what, ld_error *err) {
  const ld_family *families[LD_MOST_HEADS] = {0};
  if (right(base->model->family, what)) return 0;
  const int n = ld_model_families(ld_model_folder_config(base->folder), ld_model_folder_path(base->folder),
                                  families, err);
  for (int i = 0; i < n; i++) {
    if (!right(families[i], what)) continue;
    const int rc = build_model(base, &(ld_head_request){.family = families[i]}, err);
    if (!rc) name_stored_labels(base);
    return rc;
  }
  return 0;
}

static bool serves_form(const ld_family *family, const void *form) {
  const ld_objective *objective;
  for (size_t i = 0; (objective = ld_objective_at(i)); i++)
    if (objective->head == family->head && ld_objective_takes(objective, form)) return true;
  return false;
}

static void set_problem(ld_base *base, const char *problem) {
  char *copy = problem ? ld_strdup(problem) : NULL;
  free(base->problem);
  base->problem = copy;
}

/* The stored head does not suit the training, so a new one replaces it. */
static int replace_head(ld_base *base, char *why, ld_error *err) {
  const ld_head_request request = {.family = base->model->family, .fresh = true};
  free(base->unfit_head);
  base->unfit_head = why;
  const int rc = build_model(base, &request, err);
  if (!rc) name_stored_labels(base);
  return rc;
}

int ld_base_follow(ld_base *base, const ld_data_form *form, ld_error *err) {
  int rc = change_family(base, serves_form, form, err);
  if (rc || ld_objective_takes(base->objective, form)) return rc;
  const ld_purpose purpose = {
      .head = base->model->family->head, .n_outputs = base->model->head->out, .form = form};
  const ld_objective *found = ld_objective_find(&purpose);
  if (!found) return 0;
  char *why = base->problem ? ld_format("problem_type \"%.64s\" is not for records with \"%s\"",
                                        base->problem, form->keys[1] ? form->keys[1] : "label")
                            : NULL;
  set_problem(base, found->problem);
  if (why) return replace_head(base, why, err);
  base->objective = found;
  return 0;
}

int ld_base_follow_problem(ld_base *base, const char *problem, ld_error *err) {
  const ld_purpose purpose = {.head = base->model->family->head, .problem = problem};
  if (problem && !ld_objective_find(&purpose))
    return ld_fail(err, LD_EUNSUPPORTED, "problem_type \"%.64s\" is not supported", problem);
  set_problem(base, problem);
  choose_objective(base);
  return 0;
}

static bool serves_task(const ld_family *family, const void *task_type) {
  return family->task_type && !strcmp(family->task_type, task_type);
}

int ld_base_follow_task(ld_base *base, const char *task_type, ld_error *err) {
  return task_type ? change_family(base, serves_task, task_type, err) : 0;
}

void ld_base_set_labels(ld_base *base, const char *const *names, size_t n) {
  ld_labels_free(&base->labels);
  base->labels_named = names != NULL;
  base->labels.kind = LD_LABEL_NAME;
  base->labels.names = ld_alloc(n, sizeof *base->labels.names);
  for (size_t i = 0; i < n; i++)
    base->labels.names[base->labels.n_names++] = names ? ld_strdup(names[i]) : ld_format("%zu", i);
}

/* Replaces numbers by the names in id2label; whether there are any. Some configs give two classes one name (ImageNet's
 * cranes); the later one gets its number appended. */
static bool take_names(ld_labels *labels, const ld_value *config) {
  bool named = false;
  for (size_t i = 0; i < labels->n_names; i++) {
    const char *name = ld_model_label(config, (int)i);
    if (!name) continue;
    const ld_labels before = {.names = labels->names, .n_names = i};
    free(labels->names[i]);
    labels->names[i] = ld_labels_have(&before, name) ? ld_format("%s (%zu)", name, i) : ld_strdup(name);
    named = true;
  }
  return named;
}

/* The classes of a stored head. */
static void name_stored_labels(ld_base *base) {
  ld_labels_free(&base->labels);
  if (!base->objective->suit) return;
  ld_base_set_labels(base, NULL, (size_t)base->model->head->out);
  if (base->model->head->is_new) return;
  base->labels_named = take_names(&base->labels, ld_model_folder_config(base->folder));
}

ld_labels ld_base_picture_classes(const ld_base *base) {
  const ld_diffusion *d = base->model->diffusion;
  ld_labels classes = {.kind = LD_LABEL_NAME};
  if (!d || !d->n_classes) return classes;
  classes.names = ld_alloc((size_t)d->n_classes, sizeof *classes.names);
  for (int i = 0; i < d->n_classes; i++) classes.names[classes.n_names++] = ld_format("%d", i);
  take_names(&classes, ld_model_folder_config(base->folder));
  return classes;
}

int ld_base_set_head(ld_base *base, int n_outputs, bool fresh, ld_error *err) {
  free(base->unfit_head);
  base->unfit_head = NULL;
  const int rc = build_model(
      base, &(ld_head_request){.family = base->model->family, .n_outputs = n_outputs, .fresh = fresh}, err);
  if (rc) return rc;
  name_stored_labels(base);
  return 0;
}

int ld_base_set_layers(ld_base *base, int n_layers, ld_error *err) {
  return build_model(base, &(ld_head_request){.family = base->model->family, .n_layers = n_layers}, err);
}

/* transformers' problem_type, which some heads do not have. */
static int read_problem(ld_base *base, ld_error *err) {
  const char *problem;
  const int rc = ld_value_string(ld_model_folder_config(base->folder), "problem_type", NULL, &problem, err);
  if (rc || !problem || !base->objective->problem) return rc;
  set_problem(base, problem);
  choose_objective(base);
  if (base->objective->problem && !strcmp(base->objective->problem, problem)) return 0;
  set_problem(base, NULL);
  return replace_head(
      base,
      ld_format("problem_type \"%.64s\" with %d outputs is not supported", problem, base->model->head->out),
      err);
}

int ld_base_open_model(const char *path, ld_base *base, ld_error *err) {
  *base = (ld_base){.bos = -1, .eos = -1};
  int rc = ld_model_folder_open(path, &base->folder, err);
  if (!rc) base->weights = ld_weights_mapped(base->folder);
  if (!rc) rc = build_model(base, NULL, err);
  if (!rc) rc = read_problem(base, err);
  for (size_t i = 0; !rc && i < base->model->n_warnings; i++)
    ld_warn("%s/config.json: %s", path, base->model->warnings[i]);
  if (!rc) name_stored_labels(base);
  return rc;
}

/* Reads the object `member` of a JSON file in the folder, or the whole file for NULL. *out is NULL where the
 * file or the member is missing. The caller frees. */
static int read_part(const ld_base *base, const char *file, const char *member, ld_value **out,
                     ld_error *err) {
  char *path = ld_path_join(ld_model_folder_path(base->folder), file);
  *out = NULL;
  int rc = 0;
  if (ld_file_is_named(path)) {
    *out = ld_json_read(path, err);
    rc = *out ? 0 : err->code;
  }
  free(path);
  if (rc || !member || ld_value_get(*out, member)) return rc;
  ld_value_free(*out);
  *out = NULL;
  return 0;
}

/* Looks in the same order as transformers: processor_config.json may hold it and comes first; the type may be
 * in config.json. */
static int read_image_rule(ld_base *base, ld_error *err) {
  static const char nested[] = "image_processor";
  const ld_model *model = base->model;
  const char *type, *name = "processor_config.json: image_processor";
  ld_value *whole, *plain = NULL;
  int rc = ld_value_string(ld_model_folder_config(base->folder), "image_processor_type",
                           model->family->image_processor, &type, err);
  if (rc) return ld_fail_prefix(err, rc, "%s/config.json", ld_model_folder_path(base->folder));
  rc = read_part(base, "processor_config.json", nested, &whole, err);
  if (!rc && !whole) {
    name = "preprocessor_config.json";
    rc = read_part(base, name, NULL, &plain, err);
  }
  char *path = ld_path_join(ld_model_folder_path(base->folder), name);
  if (!rc)
    rc = ld_image_rule_read(whole ? ld_value_get(whole, nested) : plain, path, type, model->channels,
                            model->image_size, &base->image_rule, err);
  ld_value_free(whole);
  ld_value_free(plain);
  free(path);
  return rc;
}

static int open_text(const char *path, ld_base *base, ld_error *err) {
  int rc = ld_tokenizer_open(path, &base->tokenizer, err);
  if (rc || !base->model->kv_width) return rc;
  rc = find_special_ids(base, err);
  return rc ? rc
            : ld_chat_template_read(path, ld_model_folder_token(base->folder, "bos_token"),
                                    ld_model_folder_token(base->folder, "eos_token"), &base->chat_template,
                                    err);
}

_Static_assert((int)LD_SECOND_TEXT == (int)LD_NEXT_TOKENIZER, "what tokenizers give is what models take");

/* Two text encoders have one vocabulary: their tokenizers may differ in padding, and so in added tokens. */
static int check_second(const ld_base *base, const ld_tokenizer *second, const char *path, ld_error *err) {
  for (int32_t id = 0; id < base->model->vocab; id++) {
    const char *a = ld_tokenizer_token(base->tokenizer, id), *b = ld_tokenizer_token(second, id);
    if ((!a && !b) || (a && b && !strcmp(a, b))) continue;
    return ld_fail(err, LD_EUNSUPPORTED, "%s: token %d is '%s', but '%s' in the first tokenizer", path,
                   (int)id, b ? b : "", a ? a : "");
  }
  return 0;
}

static int open_prompt_tokenizer(const ld_base *base, const char *name, ld_tokenizer **out, int32_t *padding,
                                 ld_error *err) {
  char *path = ld_path_join(ld_model_folder_path(base->folder), name);
  int rc = ld_tokenizer_open(path, out, err);
  if (!rc && base->tokenizer) rc = check_second(base, *out, path, err);
  if (!rc) *padding = ld_tokenizer_pad(*out);
  if (!rc && *padding < 0)
    rc = ld_fail(err, LD_EFORMAT, "%s: has no padding token: give \"pad_token\" in tokenizer_config.json",
                 path);
  free(path);
  return rc;
}

/* The tokens around a prompt. */
static int find_ends(ld_base *base, ld_error *err) {
  ld_diffusion *d = base->model->diffusion;
  ld_ids around = {0};
  int rc = ld_tokenizer_encode(base->tokenizer, "", 0, true, &around, err);
  if (!rc && around.n != 2)
    rc = ld_fail(err, LD_EFORMAT, "%s/tokenizer: must put one token before a text and one after it",
                 ld_model_folder_path(base->folder));
  if (!rc) {
    d->bos = around.ids[0];
    d->eos = around.ids[1];
  }
  ld_ids_free(&around);
  return rc;
}

static int open_pictures(ld_base *base, ld_error *err) {
  ld_diffusion *d = base->model->diffusion;
  ld_tokenizer *first = NULL, *second = NULL;
  base->image_rule = ld_image_rule_cover(base->model->channels, d->size, d->size, d->multiple);
  if (!d->n_texts) return 0;
  int rc = open_prompt_tokenizer(base, "tokenizer", &first, &d->padding[0], err);
  base->tokenizer = first;
  if (!rc) rc = find_ends(base, err);
  if (rc || d->n_texts < 2) return rc;
  rc = open_prompt_tokenizer(base, "tokenizer_2", &second, &d->padding[1], err);
  ld_tokenizer_follow(first, second);
  return rc;
}

int ld_base_open(const char *path, ld_base *base, ld_error *err) {
  int rc = ld_base_open_model(path, base, err);
  if (rc) return rc;
  if (base->model->diffusion) return open_pictures(base, err);
  return base->model->channels ? read_image_rule(base, err) : open_text(path, base, err);
}

int ld_base_check_ids(const ld_base *base, const int32_t *ids, const int32_t *types, size_t n,
                      ld_error *err) {
  const ld_model *model = base->model;
  for (size_t i = 0; i < n; i++) {
    if (ids[i] < model->vocab) continue;
    const char *token = base->tokenizer ? ld_tokenizer_token(base->tokenizer, ids[i]) : NULL;
    return ld_fail(err, LD_EMISMATCH,
                   "%s: the tokenizer gives id %d ('%s'), but config.json's vocab_size is %d",
                   ld_model_folder_path(base->folder), ids[i], token ? token : "no token", model->vocab);
  }
  for (size_t i = 0; types && model->n_types && i < n; i++)
    if (types[i] >= model->n_types)
      return ld_fail(err, LD_EMISMATCH,
                     "%s: the tokenizer gives token type %d, but config.json's type_vocab_size is %d",
                     ld_model_folder_path(base->folder), types[i], model->n_types);
  return 0;
}

void ld_base_close(ld_base *base) {
  ld_params_free(base->params);
  ld_model_free(base->model);
  ld_labels_free(&base->labels);
  ld_tokenizer_free(base->tokenizer);
  ld_chat_template_free(base->chat_template);
  free(base->problem);
  free(base->unfit_head);
  free(base->weights);
  ld_model_folder_close(base->folder);
  *base = (ld_base){0};
}
