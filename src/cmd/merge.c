/* lora_dist merge: a model folder with the adapter added in. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/command.h"
#include "data/distribute.h"
#include "io/file.h"
#include "io/hub/adapter_labels.h"
#include "io/hub/model_folder.h"
#include "io/hub/pipeline.h"
#include "io/hub/safetensors.h"
#include "io/json.h"
#include "job/check.h"
#include "linalg/codecs.h"

static ld_dtype wanted_type(const ld_options *options, ld_dtype stored) {
  if (!options->dtype || !ld_codec_of(stored)) return stored;
  return !strcmp(options->dtype, "f32") ? LD_F32 : !strcmp(options->dtype, "f16") ? LD_F16 : LD_BF16;
}

/* A tensor to write, and what it is made from when its turn comes. */
typedef struct source {
  char *name;
  const ld_stored *stored; /* NULL: not in the folder */
  const ld_choice *choice; /* how training changes its layer; NULL: it does not */
  const ld_change *change;
  const char *which; /* "weight" or "bias" of the layer */
} source;

/* What a value became in its type: infinite ones are those that the type does not reach. */
static int check_finite(const ld_named *named, const float *made, const void *stored, int64_t n,
                        ld_error *err) {
  enum { PIECE = 4096 };
  float back[PIECE];
  for (int64_t from = 0; from < n; from += PIECE) {
    const int64_t here = n - from < PIECE ? n - from : PIECE;
    ld_dtype_to_f32(back, stored, named->tensor.dtype, from, here);
    for (int64_t i = 0; i < here; i++)
      if (!isfinite(back[i]))
        return isfinite(made[from + i])
                   ? ld_fail(err, LD_ENUMERIC,
                             "%s: the merged value %g is too large for %s: give --dtype f32", named->name,
                             (double)made[from + i], ld_dtype_name(named->tensor.dtype))
                   : ld_fail(err, LD_ENUMERIC,
                             "%s: the merged values are not finite: the model or the adapter holds NaN or "
                             "infinite values",
                             named->name);
  }
  return 0;
}

static int make_tensor(const ld_named *named, void **out, ld_error *err) {
  const source *from = named->user;
  const int64_t n = ld_stored_count(&named->tensor);
  float *floats = ld_alloc((size_t)n, sizeof *floats);
  if (from->choice) {
    ld_choice_merge(from->choice, from->change, from->which, floats);
  } else {
    const ld_coded stored = ld_coded_of(from->stored);
    ld_coded_widen(floats, &stored, 0, n);
  }
  *out = ld_alloc((size_t)n, ld_dtype_size(named->tensor.dtype));
  ld_dtype_from_f32(*out, floats, named->tensor.dtype, n);
  const int rc = check_finite(named, floats, *out, n, err);
  free(floats);
  return rc;
}

/* Whether the folder is that of a body alone, below a head of its own: its names lack the body's. */
static bool is_bare(const ld_base *base) {
  const ld_model *model = base->model;
  char *body = ld_format("%s.", model->family->body ? model->family->body : "");
  const bool names_body = !strncmp(model->linears[0]->path, body, strlen(body));
  bool found = false;
  for (size_t i = 0; i < ld_model_folder_count(base->folder) && !found; i++)
    found = !strncmp(ld_model_folder_name(base->folder, i), body, strlen(body));
  free(body);
  return model->default_whole && names_body && !found;
}

static bool unties_head(const ld_model *model) {
  return model->head_tied && model->head->change;
}

/* Whether `name` is that of the layer's tensor; it may lack the body's. */
static bool is_named(const ld_model *model, const ld_linear *layer, const char *which, const char *name) {
  char *full = ld_format("%s.%s", layer->path, which);
  const size_t body = model->family->body ? strlen(model->family->body) : 0;
  const bool within = body && !strncmp(full, model->family->body, body) && full[body] == '.';
  const bool same = !strcmp(full, name) || (within && !strcmp(full + body + 1, name));
  free(full);
  return same;
}

static void set_change(source *from, const ld_params *params, size_t i, const char *which) {
  from->choice = &params->choices[i];
  from->change = &params->changes[i];
  from->which = which;
}

/* Finds what training changes in a stored tensor. A tied head shares its data with the embedding, which stays:
 * see untie. */
static void find_change(const ld_base *base, source *from) {
  const ld_model *model = base->model;
  for (size_t i = 0; i < base->params->n_changes; i++) {
    const ld_linear *layer = base->params->choices[i].layer;
    if (layer == model->head && model->head_tied) continue;
    if (layer->weight.numbers.data == from->stored->data ||
        ((layer->is_new || layer->by_column) && is_named(model, layer, "weight", from->name)))
      set_change(from, base->params, i, "weight");
    else if (layer->bias && !layer->bias_fixed && is_named(model, layer, "bias", from->name))
      set_change(from, base->params, i, "bias");
  }
}

static source *find_source(source *sources, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(sources[i].name, name)) return &sources[i];
  return NULL;
}

/* The embedding among the sources, whose name may lack the body's; NULL where the folder has the tied head in
 * its place. */
static source *find_embedding(const ld_base *base, source *sources, size_t n) {
  const char *name = base->model->embedding_name, *end = strchr(name, '.');
  source *found = find_source(sources, n, name);
  return found ? found : find_source(sources, n, end + 1);
}

/* A tied head that was changed becomes a tensor of its own, and the embedding keeps what they shared. */
static size_t untie(const ld_base *base, source *sources, size_t n) {
  const ld_params *params = base->params;
  if (!unties_head(base->model)) return n;
  source *embedding = find_embedding(base, sources, n), *head = find_source(sources, n, LD_HEAD_WEIGHT);
  const ld_stored *shared = embedding ? embedding->stored : head->stored;
  if (!embedding) sources[n++] = (source){.name = ld_strdup(base->model->embedding_name), .stored = shared};
  if (!head) {
    head = &sources[n++];
    *head = (source){.name = ld_strdup(LD_HEAD_WEIGHT), .stored = shared};
  }
  for (size_t i = 0; i < params->n_changes; i++)
    if (params->choices[i].layer == base->model->head) set_change(head, params, i, "weight");
  return n;
}

/* Tensors that the folder does not have. */
static size_t list_new(const ld_base *base, source *sources, size_t n) {
  static const char *const tensors[] = {"weight", "bias"};
  for (size_t i = 0; i < base->params->n_changes; i++) {
    const ld_linear *layer = base->params->choices[i].layer;
    for (int k = 0; layer->is_new && k < 2; k++) {
      if (!ld_params_find(base->params, layer->path, tensors[k])) continue;
      sources[n] = (source){.name = ld_format("%s.%s", layer->path, tensors[k])};
      if (find_source(sources, n, sources[n].name))
        free(sources[n].name);
      else
        set_change(&sources[n++], base->params, i, tensors[k]);
    }
  }
  return n;
}

/* What is stored, then what training added. A body that was saved alone gets its name put before it, since a head
 * joins it. */
static size_t list_sources(const ld_base *base, source *sources) {
  const size_t n_stored = ld_model_folder_count(base->folder);
  const bool bare = is_bare(base);
  size_t n = 0;
  for (; n < n_stored; n++) {
    const char *old = ld_model_folder_name(base->folder, n);
    char *name = bare ? ld_format("%s.%s", base->model->family->body, old) : ld_strdup(old);
    sources[n] = (source){.name = name, .stored = ld_model_folder_tensor(base->folder, n)};
    find_change(base, &sources[n]);
  }
  return untie(base, sources, list_new(base, sources, n));
}

static ld_stored shape_of(const ld_base *base, const source *from) {
  /* Of a layer that the folder does not have, or has in another size, the shape is the layer's. */
  if (!from->choice || !from->choice->layer->is_new) return *from->stored;
  const ld_param *param = ld_params_find(base->params, from->choice->layer->path, from->which);
  ld_stored shape = {.dtype = from->stored ? from->stored->dtype : LD_F32, .ndim = param->ndim};
  memcpy(shape.shape, param->shape, sizeof shape.shape);
  return shape;
}

/* The weights are not packed again. */
static int refuse_packed(const ld_named *named, ld_error *err) {
  return ld_fail(err, LD_EUNSUPPORTED,
                 "%s: is stored as %s, into which nothing can be merged: give --dtype bf16", named->name,
                 ld_dtype_name(named->tensor.dtype));
}

/* Describes the tensor to write; `named` is its name in its file. */
static int describe(const ld_options *options, const ld_base *base, const source *from, const char *named,
                    ld_named *out, ld_error *err) {
  *out = (ld_named){.name = named, .tensor = shape_of(base, from)};
  const ld_dtype stored = out->tensor.dtype;
  out->tensor.dtype = wanted_type(options, stored);
  if (!from->choice && out->tensor.dtype == stored) return 0;
  out->make = make_tensor;
  out->user = from;
  return ld_dtype_is_float(out->tensor.dtype) ? 0 : refuse_packed(out, err);
}

/* The name of a tensor within a part; NULL when it belongs to another. */
static const char *name_within(const char *name, const char *part) {
  const size_t length = strlen(part);
  if (!length) return name;
  return !strncmp(name, part, length) && name[length] == '.' ? name + length + 1 : NULL;
}

/* All that is to be written. */
typedef struct merged {
  const ld_options *options;
  const ld_base *base;
  source *sources;
  size_t n;
} merged;

/* Writes the weights of one part of the folder. */
static int write_part(const merged *m, const char *folder, const char *part, const char *weights,
                      ld_error *err) {
  ld_named *tensors = ld_alloc(m->n, sizeof *tensors);
  char *place = ld_path_join(folder, part), *file = ld_format("%s.safetensors", weights);
  char *path = ld_path_join(place, file);
  size_t n_here = 0;
  int rc = *part ? ld_make_folders(place, err) : 0;
  for (size_t i = 0; i < m->n && !rc; i++) {
    const char *name = name_within(m->sources[i].name, part);
    if (name) rc = describe(m->options, m->base, &m->sources[i], name, &tensors[n_here++], err);
  }
  if (!rc) rc = ld_safetensors_write(path, tensors, n_here, err);
  free(place);
  free(file);
  free(path);
  free(tensors);
  return rc;
}

static int write_weights(const ld_options *options, const ld_base *base, const char *folder, ld_error *err) {
  const size_t most = ld_model_folder_count(base->folder) + base->params->n + 2; /* by untie */
  merged m = {options, base, ld_alloc(most, sizeof *m.sources), 0};
  const char *part, *weights;
  int rc = 0;
  m.n = list_sources(base, m.sources);
  for (size_t i = 0; !rc && (part = ld_model_folder_part(base->folder, i, &weights)); i++)
    rc = write_part(&m, folder, part, weights, err);
  for (size_t i = 0; i < m.n; i++) free(m.sources[i].name);
  free(m.sources);
  return rc;
}

static int copy_file(const char *from, const char *to, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(from, &map, err);
  if (!rc) rc = ld_file_write(to, map.bytes, map.length, err);
  ld_map_close(&map);
  return rc;
}

/* {"negative": 0, ...} */
static void put_numbers(const ld_labels *labels, ld_text *out) {
  ld_text_puts(out, "{");
  for (size_t i = 0; i < labels->n_names; i++) {
    ld_text_puts(out, i ? ", " : "");
    ld_json_quote(out, labels->names[i]);
    ld_text_printf(out, ": %zu", i);
  }
  ld_text_puts(out, "}");
}

enum { MOST_MEMBERS = 9 };

/* transformers loads weights as the type that config.json names. */
static size_t type_members(const char *dtype, ld_json_member *members) {
  if (!dtype) return 0;
  const char *type = !strcmp(dtype, "f32")   ? "\"float32\""
                     : !strcmp(dtype, "f16") ? "\"float16\""
                                             : "\"bfloat16\"";
  members[0] = (ld_json_member){"dtype", type, true};
  members[1] = (ld_json_member){"torch_dtype", type, true};
  return 2;
}

/* Programs that go by the flag alone would tie the two again. */
static size_t tie_members(const ld_model *model, ld_json_member *members) {
  if (!model->config_ties || (model->head_tied && !unties_head(model))) return 0;
  members[0] = (ld_json_member){"tie_word_embeddings", "false", false};
  if (!model->untied_key) return 1;
  members[1] = (ld_json_member){model->untied_key, "true", false};
  return 2;
}

/* The class of a body with a head of its own and, of a classifier, what its outputs are. The texts are the caller's to
 * free. */
static size_t head_members(const ld_base *base, ld_text texts[4], ld_json_member *members) {
  const ld_model *model = base->model;
  if (!model->default_whole) return 0;
  ld_text_printf(&texts[0], "[\"%s\"]", model->family->architectures[0]);
  members[0] = (ld_json_member){"architectures", texts[0].bytes, false};
  if (!base->labels.n_names) return 1;
  ld_adapter_labels_put_map(&texts[1], base->labels.names, base->labels.n_names);
  put_numbers(&base->labels, &texts[2]);
  if (base->objective->problem) ld_text_printf(&texts[3], "\"%s\"", base->objective->problem);
  members[1] = (ld_json_member){"id2label", texts[1].bytes, false};
  members[2] = (ld_json_member){"label2id", texts[2].bytes, false};
  members[3] = (ld_json_member){"problem_type", texts[3].bytes, !texts[3].bytes};
  members[4] = (ld_json_member){"num_labels", NULL, true}; /* id2label says it */
  return 5;
}

static int write_config(const ld_base *base, const char *from, const char *to, const char *dtype,
                        ld_error *err) {
  ld_json_member members[MOST_MEMBERS];
  ld_text texts[4] = {0}, edited = {0};
  size_t n = type_members(dtype, members);
  n += tie_members(base->model, members + n);
  n += head_members(base, texts, members + n);
  if (!n) return copy_file(from, to, err);
  ld_map map;
  int rc = ld_map_open(from, &map, err);
  if (!rc) rc = ld_json_edit(map.bytes, map.length, from, members, n, &edited, err);
  if (!rc) rc = ld_file_write(to, edited.bytes, edited.length, err);
  ld_map_close(&map);
  for (int i = 0; i < 4; i++) ld_text_free(&texts[i]);
  ld_text_free(&edited);
  return rc;
}

/* Copies a file of the folder's part `place` ("": the folder itself), if it is there. */
static int copy_companion(const ld_options *options, const ld_base *base, const char *folder,
                          const char *place, const char *name, ld_error *err) {
  char *in = ld_path_join(options->model, place), *out = ld_path_join(folder, place);
  char *from = ld_path_join(in, name), *to = ld_path_join(out, name);
  int rc = 0;
  if (!*place && !strcmp(name, "config.json"))
    rc = write_config(base, from, to, options->dtype, err);
  else if (ld_file_exists(from)) {
    if (*place) rc = ld_make_folders(out, err);
    if (!rc) rc = copy_file(from, to, err);
  }
  free(in);
  free(out);
  free(from);
  free(to);
  return rc;
}

static int copy_companions(const ld_options *options, const ld_base *base, const char *folder,
                           const char *place, ld_error *err) {
  int rc = 0;
  for (const ld_model_file *file = ld_model_files; !rc && file->name; file++)
    if (file->is_copied) rc = copy_companion(options, base, folder, place, file->name, err);
  return rc;
}

/* What a diffusers folder has besides weights. */
static int copy_components(const ld_options *options, const ld_base *base, const char *folder,
                           ld_error *err) {
  char *from = ld_path_join(options->model, LD_PIPELINE_INDEX), *to = ld_path_join(folder, LD_PIPELINE_INDEX);
  int rc = copy_file(from, to, err);
  for (const ld_pipeline_part *p = ld_pipeline_parts; !rc && p->name; p++)
    rc = copy_companions(options, base, folder, p->name, err);
  free(from);
  free(to);
  return rc;
}

static int write_folder(const ld_options *options, const ld_base *base, ld_error *err) {
  char *part = ld_folder_begin(options->out, err);
  if (!part) return err->code;
  int rc = write_weights(options, base, part, err);
  if (!rc)
    rc = ld_pipeline_is(options->model) ? copy_components(options, base, part, err)
                                        : copy_companions(options, base, part, "", err);
  return ld_folder_end(part, options->out, rc, err);
}

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  ld_base base = {0};
  int rc = ld_check_new(options, err);
  if (!rc) rc = ld_check_model(options->model, options->adapter, comm, err);
  if (!rc) rc = ld_base_open_model(options->model, &base, err);
  if (!rc) rc = ld_distribute_adapt(comm, options, &base, err);
  if (!rc) rc = write_folder(options, &base, err);
  if (!rc) ld_info("%s: %zu modules merged", options->out, base.params->n_changes);
  ld_base_close(&base);
  return rc;
}

const ld_command ld_command_merge = {
    .name = "merge",
    .bit = LD_CMD_MERGE,
    .summary = "merge an adapter into its base model",
    .about = "Writes a Hugging Face model folder with the adapter merged into the weights.",
    .run = run,
};
