/* lora_dist generate: makes what the model is for, texts or pictures; one file for each kind. */
#include "cmd/generate_kind.h"

#include "cmd/command.h"
#include "data/distribute.h"
#include "data/once.h"
#include "job/check.h"
#include "options/resolve.h"

static const ld_generate_kind *const kinds[] = {&ld_generate_texts, &ld_generate_pictures};

static const ld_generate_kind *find_kind(const ld_base *base) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (kinds[i]->suits(base)) return kinds[i];
  return NULL;
}

/* Everything that the options and the base decide. */
static int check(const ld_options *options, const ld_base *base, const ld_generate_kind *kind,
                 ld_error *err) {
  if (!kind)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: a %s model classifies: use lora_dist predict", options->model,
                   base->model->family->model_type);
  const int rc = ld_options_suit(LD_CMD_GENERATE, options, base->objective, base->model, err);
  return rc ? rc : kind->check(options, err);
}

static int open_base(const ld_options *options, ld_comm *comm, ld_digests *digests, ld_base *base,
                     ld_error *err) {
  const int rc = ld_check_model(options->model, options->adapter, comm, err);
  return rc ? rc
            : ld_distribute_open_ready(comm, options->model, options->adapter, options->other_base, digests,
                                       base, err);
}

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  ld_base base = {0};
  ld_digests *digests = ld_once_open(comm, options, ld_once_folder(options, NULL));
  int rc = open_base(options, comm, digests, &base, err);
  if (!rc) ld_once_keep(comm, digests, ld_once_folder(options, NULL));
  const ld_generate_kind *kind = rc ? NULL : find_kind(&base);
  if (!rc) rc = ld_comm_agree(comm, check(options, &base, kind, err), err);
  if (!rc) rc = kind->run(options, &base, comm, err);
  ld_base_close(&base);
  ld_digests_free(digests);
  return rc;
}

const ld_command ld_command_generate = {
    .name = "generate",
    .bit = LD_CMD_GENERATE,
    .summary = "generate text from a prompt, or pictures",
    .about = "Generates text from a prompt or, with an image generator, pictures.",
    .uses_ranks = true,
    .run = run,
};
