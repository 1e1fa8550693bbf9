#include "io/hub/model_folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/digest.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/hub/digests.h"
#include "io/hub/pipeline.h"
#include "io/hub/safetensors.h"
#include "io/json.h"

/* Where a part of the model is: the whole folder, or a component of a diffusers folder. */
typedef struct part {
  const char *name;    /* of the component; "" for the whole folder */
  const char *weights; /* the name of its files of weights up to the first dot */
} part;

static const part whole = {"", "model"};

typedef struct shard {
  char *name;   /* with its component's folder */
  char *prefix; /* of its tensors' names: "unet." */
  ld_safetensors *file;
  ld_stamp stamp; /* when it was opened */
} shard;

typedef struct tensor {
  char *name; /* with the component's */
  const ld_stored *stored;
  const shard *from;
} tensor;

struct ld_model_folder {
  char *path;
  bool pipeline;
  ld_value *config, *generation, *tokenizer, *special; /* the last three may be NULL */
  shard *shards;
  size_t n_shards, room_shards;
  tensor *tensors; /* sorted by name */
  size_t n_tensors;
  char digest[LD_DIGEST_TEXT + 1], old_digest[LD_DIGEST_DIGITS + 1]; /* empty: not computed yet */
};

static int read_json(const ld_model_folder *folder, const char *name, bool needed, ld_value **out,
                     ld_error *err) {
  char *path = ld_path_join(folder->path, name);
  int code = 0;
  if (needed || ld_file_is_named(path)) {
    ld_error why = {0};
    *out = ld_json_read(path, &why);
    if (*out && (*out)->type != LD_MAP) ld_fail(&why, LD_EFORMAT, "%s: expected a JSON object", path);
    if (why.code) code = ld_fail(err, why.code, "%s", why.text);
  }
  free(path);
  return code;
}

/* A name in a part, as one in the whole folder. The caller frees. */
static char *name_in(const part *p, const char *name) {
  return *p->name ? ld_path_join(p->name, name) : ld_strdup(name);
}

static int add_shard(ld_model_folder *folder, const part *p, const char *name, ld_error *err) {
  folder->shards = ld_grow(folder->shards, folder->n_shards, &folder->room_shards, sizeof *folder->shards);
  shard *s = &folder->shards[folder->n_shards];
  char *full = name_in(p, name), *path = ld_path_join(folder->path, full);
  s->stamp = ld_stamp_of(path);
  const int code = ld_safetensors_open(path, &s->file, err);
  free(path);
  if (code) {
    free(full);
    return code;
  }
  s->name = full;
  s->prefix = *p->name ? ld_format("%s.", p->name) : ld_strdup("");
  folder->n_shards++;
  return 0;
}

static int by_string(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_shard(const ld_value *item) {
  const char *name = item->type == LD_STRING ? item->string : "";
  const size_t length = strlen(name);
  return length > 12 && !strcmp(name + length - 12, ".safetensors") && !strchr(name, '/') &&
         !strstr(name, "..");
}

/* Opens each shard that the index names, once. */
static int open_shards(ld_model_folder *folder, const part *p, const ld_value *map, const char *index,
                       ld_error *err) {
  const char **names = ld_alloc(map->n_items, sizeof *names);
  int code = 0;
  for (size_t i = 0; i < map->n_items && !code; i++) {
    const ld_value *item = &map->items[i];
    if (!is_shard(item))
      code =
          ld_fail(err, LD_EFORMAT, "%s: weight_map: '%s': expected the name of a .safetensors file beside it",
                  index, item->key);
    names[i] = item->string;
  }
  if (!code) qsort(names, map->n_items, sizeof *names, by_string);
  for (size_t i = 0; i < map->n_items && !code; i++)
    if (i == 0 || strcmp(names[i], names[i - 1]) != 0) code = add_shard(folder, p, names[i], err);
  free(names);
  return code;
}

static int by_tensor(const void *a, const void *b) {
  return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name);
}

static int collect(ld_model_folder *folder, ld_error *err) {
  size_t total = 0;
  for (size_t s = 0; s < folder->n_shards; s++) total += ld_safetensors_count(folder->shards[s].file);
  folder->tensors = ld_alloc(total, sizeof *folder->tensors);
  for (size_t s = 0; s < folder->n_shards; s++) {
    const shard *from = &folder->shards[s];
    for (size_t i = 0; i < ld_safetensors_count(from->file); i++)
      folder->tensors[folder->n_tensors++] =
          (tensor){ld_format("%s%s", from->prefix, ld_safetensors_name(from->file, i)),
                   ld_safetensors_tensor(from->file, i), from};
  }
  qsort(folder->tensors, total, sizeof *folder->tensors, by_tensor);
  for (size_t i = 1; i < total; i++) {
    const tensor *a = &folder->tensors[i - 1], *b = &folder->tensors[i];
    if (strcmp(a->name, b->name) == 0)
      return ld_fail(err, LD_EFORMAT, "%s: tensor '%s' is in both %s and %s", folder->path, a->name,
                     a->from->name, b->from->name);
  }
  return 0;
}

static const tensor *find(const ld_model_folder *folder, const char *name) {
  const tensor key = {.name = (char *)(uintptr_t)name}; /* only read */
  return bsearch(&key, folder->tensors, folder->n_tensors, sizeof key, by_tensor);
}

static const shard *find_shard(const ld_model_folder *folder, const part *p, const char *name) {
  char *full = name_in(p, name);
  const shard *found = NULL;
  for (size_t s = 0; s < folder->n_shards && !found; s++)
    if (!strcmp(folder->shards[s].name, full)) found = &folder->shards[s];
  free(full);
  return found;
}

static int check_index(const ld_model_folder *folder, const part *p, const ld_value *map, const char *index,
                       ld_error *err) {
  for (size_t i = 0; i < map->n_items; i++) {
    const shard *from = find_shard(folder, p, map->items[i].string);
    if (!ld_safetensors_find(from->file, map->items[i].key))
      return ld_fail(err, LD_EFORMAT, "%s: weight_map: tensor '%s' is not in %s", index, map->items[i].key,
                     map->items[i].string);
  }
  return 0;
}

static int open_by_index(ld_model_folder *folder, const part *p, const char *index, ld_error *err) {
  ld_value *root = ld_json_read(index, err);
  if (!root) return LD_EFORMAT;
  const ld_value *map = ld_value_get(root, "weight_map");
  int code;
  if (!map || map->type != LD_MAP || !map->n_items)
    code = ld_fail(err, LD_EFORMAT, "%s: weight_map: expected an object of tensor names and files", index);
  else {
    code = open_shards(folder, p, map, index, err);
    if (!code) code = check_index(folder, p, map, index, err);
  }
  ld_value_free(root);
  return code;
}

static bool ends_with(const char *text, const char *end) {
  const size_t t = strlen(text), e = strlen(end);
  return t >= e && !strcmp(text + t - e, end);
}

/* A pickle's name begins with this. */
static const char *pickle_stem(const part *p) {
  return *p->name && strcmp(p->weights, "model") != 0 ? p->weights : "pytorch_model";
}

/* One command for a single pickle and for several. */
static int refuse_pickle(const char *place, const part *p, const char *name, ld_error *err) {
  return ld_fail(
      err, LD_EFILE,
      "%s: no %s.safetensors; '%s' is a pickle, which is not read. This converts it: python3 -c \"import "
      "glob, torch; from safetensors.torch import save_file; w = {}; [w.update(torch.load(f, 'cpu', "
      "weights_only=True)) for f in sorted(glob.glob('%s/%s*.bin'))]; save_file({k: "
      "v.clone().contiguous() for k, v in w.items()}, '%s/%s.safetensors', {'format': 'pt'})\"",
      place, p->weights, name, place, pickle_stem(p), place, p->weights);
}

/* Says what was looked for, and what was found instead. */
static int no_weights(const char *place, const part *p, ld_error *err) {
  size_t n;
  char **names = ld_folder_names(place, &n, err);
  if (!names) return LD_EFILE;
  const char *instead = NULL, *pickle = NULL, *stem = pickle_stem(p);
  for (size_t i = 0; i < n; i++) {
    if (!pickle && !strncmp(names[i], stem, strlen(stem)) && ends_with(names[i], ".bin")) pickle = names[i];
    if (strstr(names[i], ".safetensors") || strstr(names[i], ".bin") || strstr(names[i], ".gguf"))
      instead = names[i];
  }
  const int code =
      pickle ? refuse_pickle(place, p, pickle, err)
             : ld_fail(err, LD_EFILE,
                       "%s: no weights: looked for %s.safetensors or %s.safetensors.index.json%s%s%s", place,
                       p->weights, p->weights, instead ? "; found '" : "", instead ? instead : "",
                       instead ? "', which is not one of them" : "");
  ld_names_free(names, n);
  return code;
}

/* The first of the part's possible files of weights that is there, as a name in the part; NULL for none. A
 * component may have only a variant in another type. The caller frees. */
static char *find_weights(const char *root, const part *p, bool index) {
  static const char *const singles[] = {".safetensors", ".fp16.safetensors", ".bf16.safetensors"};
  static const char *const indices[] = {".safetensors.index.json", ".safetensors.index.fp16.json",
                                        ".safetensors.index.bf16.json"};
  for (int i = 0; i < (*p->name ? 3 : 1); i++) {
    char *name = ld_format("%s%s", p->weights, index ? indices[i] : singles[i]);
    char *full = name_in(p, name), *path = ld_path_join(root, full);
    const bool found = index ? ld_file_exists(path) : ld_file_is_named(path);
    free(full);
    free(path);
    if (found) return name;
    free(name);
  }
  return NULL;
}

static int open_part(ld_model_folder *folder, const part *p, ld_error *err) {
  char *single = find_weights(folder->path, p, false), *index = find_weights(folder->path, p, true);
  char *place = ld_path_join(folder->path, p->name), *path = index ? ld_path_join(place, index) : NULL;
  const int code = single  ? add_shard(folder, p, single, err)
                   : index ? open_by_index(folder, p, path, err)
                           : no_weights(place, p, err);
  free(single);
  free(index);
  free(place);
  free(path);
  return code;
}

/* The parts of a folder with weights, those of a diffusers folder as its index (`config`) has them; NULL in
 * the name ends them. */
enum { MOST_PARTS = 8 };
static void list_parts(bool pipeline, const ld_value *config, part parts[MOST_PARTS + 1]) {
  int n = 0;
  if (!pipeline) parts[n++] = whole;
  for (const ld_pipeline_part *c = ld_pipeline_parts; pipeline && c->name; c++)
    if (c->weights && ld_value_get(config, c->name)) parts[n++] = (part){c->name, c->weights};
  parts[n] = (part){0};
}

const char *ld_model_folder_part(const ld_model_folder *folder, size_t i, const char **weights) {
  part parts[MOST_PARTS + 1];
  list_parts(folder->pipeline, folder->config, parts);
  size_t n = 0;
  while (parts[n].name && n < i) n++;
  *weights = parts[n].weights;
  return parts[n].name;
}

static int open_weights(ld_model_folder *folder, ld_error *err) {
  part parts[MOST_PARTS + 1];
  list_parts(folder->pipeline, folder->config, parts);
  int code = 0;
  for (const part *p = parts; p->name && !code; p++) code = open_part(folder, p, err);
  return code ? code : collect(folder, err);
}

static int read_settings(ld_model_folder *folder, ld_error *err) {
  folder->pipeline = ld_pipeline_is(folder->path);
  if (folder->pipeline) return ld_pipeline_read(folder->path, &folder->config, err);
  int code = read_json(folder, "config.json", true, &folder->config, err);
  if (!code) code = read_json(folder, "generation_config.json", false, &folder->generation, err);
  if (!code) code = read_json(folder, "tokenizer_config.json", false, &folder->tokenizer, err);
  if (!code) code = read_json(folder, "special_tokens_map.json", false, &folder->special, err);
  return code;
}

int ld_model_folder_open(const char *path, ld_model_folder **out, ld_error *err) {
  *out = NULL;
  if (!ld_is_folder(path))
    return ld_fail(err, LD_EFILE, "%s: no such folder; expected a model folder with config.json", path);
  ld_model_folder *folder = ld_alloc(1, sizeof *folder);
  folder->path = ld_strdup(path);
  int code = read_settings(folder, err);
  if (!code) code = open_weights(folder, err);
  if (code)
    ld_model_folder_close(folder);
  else
    *out = folder;
  return code;
}

typedef struct name_list {
  char **names;
  size_t n, room;
} name_list;

static void add_present(const char *folder, const part *p, const char *name, name_list *list) {
  char *full = name_in(p, name), *path = ld_path_join(folder, full);
  if (ld_file_exists(path)) {
    list->names = ld_grow(list->names, list->n, &list->room, sizeof *list->names);
    list->names[list->n++] = ld_strdup(full);
  }
  free(full);
  free(path);
}

static void add_shards(const char *folder, const part *p, const char *index, name_list *list) {
  char *full = name_in(p, index), *path = ld_path_join(folder, full);
  ld_value *root = ld_json_read(path, NULL);
  const ld_value *map = ld_value_get(root, "weight_map");
  const size_t n = map && map->type == LD_MAP ? map->n_items : 0;
  const char **names = ld_alloc(n, sizeof *names);
  for (size_t i = 0; i < n; i++) names[i] = is_shard(&map->items[i]) ? map->items[i].string : "";
  qsort(names, n, sizeof *names, by_string);
  add_present(folder, p, index, list);
  for (size_t i = 0; i < n; i++)
    if (*names[i] && (!i || strcmp(names[i], names[i - 1]))) add_present(folder, p, names[i], list);
  free(names);
  ld_value_free(root);
  free(full);
  free(path);
}

static void add_weights(const char *folder, const part *p, name_list *list) {
  char *single = find_weights(folder, p, false), *index = find_weights(folder, p, true);
  if (single)
    add_present(folder, p, single, list);
  else if (index)
    add_shards(folder, p, index, list);
  free(single);
  free(index);
}

/* In the order in which ld_model_folder_settings reads them. */
const ld_model_file ld_model_files[] = {
    {"config.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"generation_config.json", .is_read = true, .is_copied = true},
    {"tokenizer_config.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"special_tokens_map.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"added_tokens.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"tokenizer.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"vocab.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"vocab.txt", .is_read = true, .is_setting = true, .is_copied = true},
    {"merges.txt", .is_read = true, .is_setting = true, .is_copied = true},
    {"chat_template.jinja", .is_read = true, .is_setting = true, .is_copied = true},
    {"chat_template.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"preprocessor_config.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"processor_config.json", .is_read = true, .is_setting = true, .is_copied = true},
    {"tokenizer.model", .is_copied = true},
    {"scheduler_config.json", .is_read = true, .is_setting = true, .is_copied = true},
    {0},
};

static void add_settings(const char *folder, const part *p, name_list *list) {
  for (const ld_model_file *file = ld_model_files; file->name; file++)
    if (file->is_read) add_present(folder, p, file->name, list);
}

/* A component's files need not be in the index of components to be distributed. */
static void add_components(const char *folder, name_list *list) {
  add_present(folder, &whole, LD_PIPELINE_INDEX, list);
  for (const ld_pipeline_part *c = ld_pipeline_parts; c->name; c++) {
    const part p = {c->name, c->weights};
    add_settings(folder, &p, list);
    if (c->weights) add_weights(folder, &p, list);
  }
}

char **ld_model_folder_files(const char *path, size_t *n) {
  name_list list = {0};
  if (ld_pipeline_is(path)) {
    add_components(path, &list);
  } else {
    add_settings(path, &whole, &list);
    add_weights(path, &whole, &list);
  }
  *n = list.n;
  return list.names;
}

void ld_model_folder_close(ld_model_folder *folder) {
  if (!folder) return;
  for (size_t i = 0; i < folder->n_shards; i++) {
    ld_safetensors_close(folder->shards[i].file);
    free(folder->shards[i].name);
    free(folder->shards[i].prefix);
  }
  for (size_t i = 0; i < folder->n_tensors; i++) free(folder->tensors[i].name);
  free(folder->shards);
  free(folder->tensors);
  ld_value_free(folder->config);
  ld_value_free(folder->generation);
  ld_value_free(folder->tokenizer);
  ld_value_free(folder->special);
  free(folder->path);
  free(folder);
}

const char *ld_model_folder_path(const ld_model_folder *folder) {
  return folder->path;
}

const ld_value *ld_model_folder_config(const ld_model_folder *folder) {
  return folder->config;
}

const ld_stored *ld_model_folder_find(const ld_model_folder *folder, const char *name) {
  const tensor *found = find(folder, name);
  return found ? found->stored : NULL;
}

size_t ld_model_folder_count(const ld_model_folder *folder) {
  return folder->n_tensors;
}

const char *ld_model_folder_name(const ld_model_folder *folder, size_t index) {
  return folder->tensors[index].name;
}

const ld_stored *ld_model_folder_tensor(const ld_model_folder *folder, size_t index) {
  return folder->tensors[index].stored;
}

/* A tensor's name in its file. */
static const char *own_name(const tensor *t) {
  return t->name + strlen(t->from->prefix);
}

/* The sum of the tensors' hashes, so that neither their order nor their files matter. */
static uint64_t hash_mapped(const ld_model_folder *folder, int n_threads) {
  ld_region *regions = ld_alloc(folder->n_tensors, sizeof *regions);
  uint64_t sum = 0;
  for (size_t i = 0; i < folder->n_tensors; i++) {
    const ld_stored *t = folder->tensors[i].stored;
    regions[i] = (ld_region){t->data, ld_stored_bytes(t), 0};
  }
  ld_hash_regions(regions, folder->n_tensors, n_threads);
  for (size_t i = 0; i < folder->n_tensors; i++)
    sum += ld_tensor_hash(own_name(&folder->tensors[i]), folder->tensors[i].stored, regions[i].hash);
  free(regions);
  return sum;
}

static int n_cores(void) {
  uint64_t cores[LD_CORE_WORDS];
  ld_machine_cores(cores);
  return ld_machine_count_cores(cores);
}

const char *ld_model_folder_digest(ld_model_folder *folder) {
  if (!folder->digest[0]) ld_digest_show(hash_mapped(folder, n_cores()), folder->digest);
  return folder->digest;
}

void ld_model_folder_set_digest(ld_model_folder *folder, const char *digest) {
  snprintf(folder->digest, sizeof folder->digest, "%s", digest);
}

static char *shard_path(const ld_model_folder *folder, size_t i) {
  return ld_path_join(folder->path, folder->shards[i].name);
}

int ld_model_folder_find_digest(const ld_model_folder *folder, ld_digests *digests,
                                char digest[LD_DIGEST_TEXT + 1], ld_error *err) {
  uint64_t sum = 0;
  for (size_t i = 0; i < folder->n_shards; i++) {
    ld_contents contents;
    char *path = shard_path(folder, i);
    int rc = ld_digests_of_file(digests, path, &contents, err);
    if (!rc && ld_stamp_of(path).id != folder->shards[i].stamp.id)
      rc = ld_fail(err, LD_EFILE, "%s: changed while it was opened: run the same command again", path);
    free(path);
    if (rc) return rc;
    sum += contents.tensors;
  }
  ld_digest_show(sum, digest);
  return 0;
}

const ld_value *ld_model_folder_generation(const ld_model_folder *folder) {
  return folder->generation;
}

static bool is_setting(const char *name) {
  const char *slash = strrchr(name, '/');
  if (slash) name = slash + 1;
  if (!strcmp(name, LD_PIPELINE_INDEX)) return true;
  for (const ld_model_file *file = ld_model_files; file->name; file++)
    if (!strcmp(file->name, name)) return file->is_setting;
  return false;
}

void ld_model_folder_settings(const char *path, char digest[LD_DIGEST_TEXT + 1]) {
  size_t n;
  uint64_t hash = 0;
  char **names = ld_model_folder_files(path, &n);
  for (size_t i = 0; i < n; i++) {
    if (!is_setting(names[i])) continue;
    ld_map map = {0};
    char *file = ld_path_join(path, names[i]);
    ld_map_open(file, &map, NULL); /* unreadable files were reported when the folder was opened */
    hash = ld_hash(ld_hash_string(hash, names[i]), map.bytes, map.length);
    ld_map_close(&map);
    free(file);
  }
  ld_names_free(names, n);
  ld_digest_show(hash, digest);
}

void ld_model_folder_put_vocabularies(const char *path, ld_text *out) {
  size_t n;
  char **names = ld_folder_names(path, &n, NULL);
  for (size_t i = 0; names && i < n; i++) {
    const size_t length = strlen(names[i]);
    ld_map map = {0};
    char *file = ld_path_join(path, names[i]);
    const bool is = length > 6 && !strcmp(names[i] + length - 6, ".model");
    if (is && !ld_map_open(file, &map, NULL)) {
      ld_text_puts(out, "vocabulary ");
      ld_text_put_visible(out, names[i]);
      ld_text_printf(out, " %016" PRIx64 "\n", ld_hash(0, map.bytes, map.length));
    }
    ld_map_close(&map);
    free(file);
  }
  if (names) ld_names_free(names, n);
}

uint64_t ld_model_folder_stamp(const ld_model_folder *folder) {
  uint64_t all = 0;
  for (size_t i = 0; i < folder->n_shards; i++) all = ld_hash_u64(all, folder->shards[i].stamp.id);
  return all;
}

/* Version 1 read 64 blocks of 1 KiB of each tensor above 64 KiB. */
static void add_old(ld_digest *digest, const tensor *t) {
  const size_t bytes = ld_stored_bytes(t->stored);
  ld_digest_string(digest, t->name);
  ld_digest_string(digest, ld_dtype_name(t->stored->dtype));
  ld_digest_bytes(digest, t->stored->shape, (size_t)t->stored->ndim * sizeof *t->stored->shape);
  ld_digest_spread(digest, t->stored->data, bytes);
}

static const char *old_digest(ld_model_folder *folder) {
  if (folder->old_digest[0]) return folder->old_digest;
  ld_digest digest;
  ld_digest_init(&digest);
  for (size_t i = 0; i < folder->n_tensors; i++) add_old(&digest, &folder->tensors[i]);
  ld_digest_text(&digest, folder->old_digest);
  return folder->old_digest;
}

bool ld_model_folder_has_digest(ld_model_folder *folder, const char *digest) {
  return !strcmp(digest, ld_digest_is_old(digest) ? old_digest(folder) : ld_model_folder_digest(folder));
}

static bool has_changed(void *self) {
  ld_model_folder *folder = self;
  char found[LD_DIGEST_TEXT + 1];
  ld_digest_show(hash_mapped(folder, n_cores()), found);
  return strcmp(found, folder->digest) != 0;
}

static int check_shard(ld_model_folder *folder, size_t i, const char *path, ld_error *err) {
  const ld_stamp was = folder->shards[i].stamp, now = ld_stamp_of(path);
  if (now.id == was.id) return 0;
  folder->shards[i].stamp = now;
  return ld_digests_settle(path, &was, &now, has_changed, folder, err);
}

int ld_model_folder_check(ld_model_folder *folder, ld_error *err) {
  int rc = 0;
  for (size_t i = 0; i < folder->n_shards && !rc; i++) {
    char *path = shard_path(folder, i);
    rc = check_shard(folder, i, path, err);
    free(path);
  }
  return rc;
}

static const char *token_of(const ld_value *map, const char *role) {
  const ld_value *token = ld_value_get(map, role);
  if (token && token->type == LD_MAP) token = ld_value_get(token, "content");
  return token && token->type == LD_STRING ? token->string : NULL;
}

const char *ld_model_folder_token(const ld_model_folder *folder, const char *role) {
  const char *token = token_of(folder->tokenizer, role);
  return token ? token : token_of(folder->special, role);
}

/* Adds a valid id; the others are ignored with a warning, as in transformers. */
static void put_id(const char *file, int64_t id, int vocab, int32_t *ids, int *n) {
  if (id < 0 || id >= vocab)
    ld_warn("%s: eos_token_id %lld is not in the vocabulary, which has %d tokens, and is ignored", file,
            (long long)id, vocab);
  else if (*n < LD_MAX_EOS)
    ids[(*n)++] = (int32_t)id;
}

static int read_eos(const ld_value *eos, const char *file, int vocab, int32_t *ids, int *n, ld_error *err) {
  if (eos->type == LD_INTEGER) put_id(file, eos->integer, vocab, ids, n);
  if (eos->type != LD_LIST) return 0;
  if (eos->n_items > LD_MAX_EOS)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: eos_token_id lists %zu ids; at most %d are supported", file,
                   eos->n_items, LD_MAX_EOS);
  if (!eos->n_items) ld_warn("%s: eos_token_id is an empty list: it ends no generation", file);
  for (size_t i = 0; i < eos->n_items; i++) put_id(file, eos->items[i].integer, vocab, ids, n);
  return 0;
}

int ld_model_folder_eos(const ld_model_folder *folder, int vocab, int32_t ids[LD_MAX_EOS], int *n,
                        ld_error *err) {
  static const ld_key fields[] = {{"eos_token_id", LD_TAKES_IDS, NULL}, {NULL, 0, NULL}};
  const bool here = ld_value_get(folder->generation, "eos_token_id") != NULL;
  const ld_value *from = here ? folder->generation : folder->config;
  const ld_value *eos = ld_value_get(from, "eos_token_id");
  char *file = ld_path_join(folder->path, here ? "generation_config.json" : "config.json");
  *n = 0;
  int rc = eos ? ld_keys_check(from, fields, err) : 0;
  if (rc) ld_fail_prefix(err, rc, "%s", file);
  if (!rc && eos) rc = read_eos(eos, file, vocab, ids, n, err);
  free(file);
  return rc;
}
