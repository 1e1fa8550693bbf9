#include "adapt/choose.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/names.h"
#include "base/suggest.h"
#include "base/text.h"

ld_linear *ld_model_layer(const ld_model *model, const char *path) {
  for (size_t i = 0; i < model->n_linears; i++)
    if (!strcmp(model->linears[i]->path, path)) return model->linears[i];
  return NULL;
}

/* PEFT's rule for a list: the whole path, or its end after a dot. */
static bool fits(const char *path, const ld_name *target) {
  const size_t n = strlen(path);
  if (n < target->length || memcmp(path + n - target->length, target->at, target->length) != 0) return false;
  return n == target->length || path[n - target->length - 1] == '.';
}

bool ld_is_targeted(const ld_linear *linear, const char *targets) {
  for (ld_name name = {0}; ld_name_next(targets, &name);)
    if (fits(linear->path, &name)) return true;
  return false;
}

const char *ld_module_name(const char *path) {
  const char *name = path + strlen(path);
  bool number = true;
  while (name > path && (name[-1] != '.' || number)) {
    name--;
    number = number && ((*name >= '0' && *name <= '9') || *name == '.');
  }
  return name;
}

/* The last names in the paths of a model's modules, each once; the caller frees the array. */
static const char **list_names(const ld_model *model, size_t *n) {
  const char **names = ld_alloc(model->n_linears, sizeof *names);
  *n = 0;
  for (size_t i = 0; i < model->n_linears; i++) {
    const char *name = ld_module_name(model->linears[i]->path);
    size_t k = 0;
    while (k < *n && strcmp(names[k], name)) k++;
    if (k == *n) names[(*n)++] = name;
  }
  return names;
}

static int no_module(const ld_model *model, const char *option, const ld_name *name, ld_error *err) {
  size_t n;
  const char **names = list_names(model, &n);
  char *wrong = ld_format("%.*s", (int)name->length, name->at);
  const ld_hint hint = ld_suggest(ld_module_name(wrong), names, n, "");
  ld_text list = {0};
  for (size_t i = 0; i < n && list.length < 200; i++) ld_text_printf(&list, "%s%s", i ? ", " : "", names[i]);
  const int rc = ld_fail(err, LD_EUSAGE, "%s: no module of this %s model matches '%s'%s; there are %s",
                         option, model->family->model_type, wrong, hint.text, list.bytes);
  ld_text_free(&list);
  free(wrong);
  free(names);
  return rc;
}

/* PEFT's rule for modules_to_save: the path of the module or of one around it ends with the name. */
static bool is_under(const char *path, const ld_name *name) {
  for (size_t end = 1;; end++) {
    if (path[end] && path[end] != '.') continue;
    if (end >= name->length && !memcmp(path + end - name->length, name->at, name->length)) return true;
    if (!path[end]) return false;
  }
}

static int check_whole(const ld_model *model, const ld_linear *linear, ld_error *err) {
  if (!linear->kernel.height && !linear->transposed && !(linear == model->head && model->head_tied)) return 0;
  return ld_fail(err, LD_EUNSUPPORTED,
                 "--whole: '%s' cannot be trained in full: only linear layers with weights of their own can",
                 linear->path);
}

/* Flags the layers that are trained in full. New ones always are. */
static int choose_whole(const ld_model *model, const char *names, bool *whole, ld_error *err) {
  const bool given = names && strcmp(names, "none") != 0;
  const char *list = given ? names : names ? "" : model->default_whole ? model->default_whole : "";
  int rc = 0;
  for (ld_name name = {0}; !rc && ld_name_next(list, &name);) {
    bool any = false;
    for (size_t i = 0; i < model->n_linears; i++)
      if (is_under(model->linears[i]->path, &name)) whole[i] = any = true;
    if (!any && given) rc = no_module(model, "--whole", &name, err);
  }
  for (size_t i = 0; i < model->n_linears && !rc; i++) {
    if (model->linears[i]->is_new) whole[i] = true;
    if (whole[i]) rc = check_whole(model, model->linears[i], err);
  }
  return rc;
}

static int choose_target(const ld_model *model, const ld_name *target, const bool *whole, bool *chosen,
                         ld_error *err) {
  const bool all = ld_name_is(target, "all-linear");
  bool any = false, any_whole = false;
  for (size_t i = 0; i < model->n_linears; i++) {
    const ld_linear *linear = model->linears[i];
    if (linear->by_column ||
        (all ? linear == model->head || linear->kernel.height || linear->aside : !fits(linear->path, target)))
      continue;
    if (whole[i])
      any_whole = true;
    else
      chosen[i] = any = true;
  }
  if (any) return 0;
  if (any_whole)
    return ld_fail(
        err, LD_EUSAGE,
        "--target: '%.*s' is trained in full, so it takes no adapter: name it in --target or in --whole, not "
        "in both",
        (int)target->length, target->at);
  return no_module(model, "--target", target, err);
}

/* Flags the layers that the targets name. */
static int choose_targets(const ld_model *model, const char *targets, const bool *whole, bool *chosen,
                          ld_error *err) {
  const char *list = targets ? targets : model->default_targets;
  bool any = false;
  int rc = 0;
  if (!strcmp(list, "none")) return 0;
  for (ld_name name = {0}; !rc && ld_name_next(list, &name);) {
    rc = choose_target(model, &name, whole, chosen, err);
    any = true;
  }
  if (rc || any) return rc;
  return ld_fail(err, LD_EUSAGE, "--target: the list is empty: leave the option out, or write none");
}

int ld_choose(const ld_model *model, const ld_selection *selection, ld_choice **choices, size_t *n,
              ld_error *err) {
  bool *chosen = ld_alloc(model->n_linears, sizeof *chosen),
       *whole = ld_alloc(model->n_linears, sizeof *whole);
  int rc = choose_whole(model, selection->whole, whole, err);
  if (!rc) rc = choose_targets(model, selection->targets, whole, chosen, err);
  if (!rc && selection->texts && !model->text_targets)
    rc = ld_fail(err, LD_EUSAGE, "--text-encoder: this model has no text encoder");
  if (!rc && selection->texts) rc = choose_targets(model, model->text_targets, whole, chosen, err);
  *choices = rc ? NULL : ld_alloc(model->n_linears, sizeof **choices);
  *n = 0;
  for (size_t i = 0; i < model->n_linears && !rc; i++) {
    if (!chosen[i]) continue;
    (*choices)[*n] = selection->like;
    (*choices)[(*n)++].layer = model->linears[i];
  }
  for (size_t i = 0; i < model->n_linears && !rc; i++)
    if (whole[i]) (*choices)[(*n)++] = (ld_choice){.layer = model->linears[i], .kind = &ld_adapter_whole};
  free(chosen);
  free(whole);
  return rc;
}
