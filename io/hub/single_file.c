#include "io/hub/single_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/hub/clip_files.h"
#include "io/hub/ldm.h"
#include "io/hub/pipeline.h"

static const char *const tokenizers[LD_LDM_TEXTS] = {"tokenizer", "tokenizer_2"};

/* What torch.save writes. */
static int refuse_pickle(const char *path, ld_error *err) {
  static const char *const ends[] = {".ckpt", ".pt", ".pth", ".bin"};
  const char *end = strrchr(ld_path_base(path), '.');
  for (size_t i = 0; end && i < sizeof ends / sizeof *ends; i++)
    if (!strcmp(end, ends[i]))
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: is a pickle, which is not read. This converts it: python3 -c \"import torch; from "
                     "safetensors.torch import save_file; w = torch.load('%s', 'cpu', weights_only=True); "
                     "save_file({k: v.clone().contiguous() for k, v in w.get('state_dict', w).items() if "
                     "torch.is_tensor(v)}, '%.*s.safetensors')\"",
                     path, path, (int)(end - path), path);
  return 0;
}

static int open_file(const char *path, ld_safetensors **out, ld_error *err) {
  *out = NULL;
  if (ld_is_folder(path))
    return ld_fail(err, LD_EUSAGE, "--model %s: is a folder; what is converted is a checkpoint in one file",
                   path);
  const int rc = refuse_pickle(path, err);
  return rc ? rc : ld_safetensors_open(path, out, err);
}

static int write_text(const char *folder, const char *name, const ld_text *text, ld_error *err) {
  char *path = ld_path_join(folder, name);
  const int rc = ld_file_write(path, text->bytes, text->length, err);
  free(path);
  return rc;
}

static const ld_pipeline_part *find_part(const char *name) {
  const ld_pipeline_part *part = ld_pipeline_parts;
  while (strcmp(part->name, name) != 0) part++;
  return part;
}

static int write_component(const ld_ldm_component *c, const char *folder, ld_error *err) {
  const ld_pipeline_part *part = find_part(c->name);
  char *place = ld_path_join(folder, c->name), *file = ld_format("%s/%s.safetensors", place, part->weights);
  int rc = ld_make_folders(place, err);
  if (!rc) rc = write_text(place, part->config, &c->config, err);
  if (!rc) rc = ld_safetensors_write(file, c->list.named, c->list.n, err);
  free(place);
  free(file);
  return rc;
}

static int write_scheduler(const ld_ldm *ldm, const char *folder, ld_error *err) {
  char *place = ld_path_join(folder, "scheduler");
  int rc = ld_make_folders(place, err);
  if (!rc) rc = write_text(place, find_part("scheduler")->config, &ldm->scheduler, err);
  free(place);
  return rc;
}

static int write_tokenizers(const ld_ldm *ldm, char *const sources[], const char *folder, ld_error *err) {
  int rc = 0;
  for (int i = 0; i < ldm->n_texts && !rc; i++) {
    char *place = ld_path_join(folder, tokenizers[i]);
    rc = ld_clip_files_write(sources[i], place, ldm->paddings[i], err);
    free(place);
  }
  return rc;
}

static int write_folder(const ld_ldm *ldm, char *const sources[], const char *out, ld_error *err) {
  char *part = ld_folder_begin(out, err);
  if (!part) return err->code;
  int rc = write_tokenizers(ldm, sources, part, err);
  for (int i = 0; i < ldm->n_components && !rc; i++) rc = write_component(&ldm->components[i], part, err);
  if (!rc) rc = write_scheduler(ldm, part, err);
  if (!rc) rc = write_text(part, LD_PIPELINE_INDEX, &ldm->index, err);
  return ld_folder_end(part, out, rc, err);
}

static void report(const ld_ldm *ldm, const char *out, bool complete) {
  const char *path = ldm->file.path;
  size_t n = 0;
  for (int i = 0; i < ldm->n_components; i++) n += ldm->components[i].list.n;
  ld_info("%s: %s, predicts %s (%s)", path, ldm->title, ldm->prediction, ldm->because);
  if (ldm->n_averages)
    ld_info("%s: %zu %s (model_ema) left out; the weights themselves are used", path, ldm->n_averages,
            ld_plural((long long)ldm->n_averages, "average of weights is", "averages of weights are"));
  if (ldm->n_others)
    ld_info("%s: %zu %s part of its networks, and left out: '%s'%s", path, ldm->n_others,
            ld_plural((long long)ldm->n_others, "tensor is no", "tensors are no"), ldm->other,
            ldm->n_others == 1 ? "" : ", ...");
  ld_info("%s: %zu tensors in %d components", out, n, ldm->n_components);
  for (int i = 0; i < ldm->n_texts && !complete; i++)
    ld_warn("%s/%s: is not complete: put CLIP's vocab.json and merges.txt there, which no checkpoint holds "
            "(or give "
            "--tokenizer)",
            out, tokenizers[i]);
}

int ld_single_file_convert(const char *path, const ld_single_request *request, const char *out,
                           ld_error *err) {
  char *sources[LD_LDM_TEXTS] = {0};
  ld_safetensors *file = NULL;
  ld_ldm *ldm = NULL;
  int rc = open_file(path, &file, err);
  if (!rc) rc = ld_ldm_read(file, path, request->prediction, &ldm, err);
  for (int i = 0; !rc && i < ldm->n_texts && request->tokenizer; i++)
    rc = ld_clip_files_find(request->tokenizer, tokenizers[i], &sources[i], err);
  if (!rc) rc = write_folder(ldm, sources, out, err);
  if (!rc) report(ldm, out, request->tokenizer != NULL);
  for (int i = 0; i < LD_LDM_TEXTS; i++) free(sources[i]);
  ld_ldm_free(ldm);
  ld_safetensors_close(file);
  return rc;
}
