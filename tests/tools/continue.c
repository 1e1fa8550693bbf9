/* Continues sequences of ids as the settings in the model's folder say, for comparison with transformers
 * (tests/golden/check_generation.py):
 *
 *   continue MODEL TOGETHER [THREADS] < ids
 *
 * One sequence per line, ids separated by spaces; TOGETHER of them are run at a time. Prints the ids of each
 * text, without the one that ends it. An encoder-decoder reads the sequences. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "generate/generate.h"
#include "linalg/gemm.h"

typedef struct results {
  ld_ids *texts;
} results;

static bool take_text(int i, const ld_ids *ids, bool ends, void *user) {
  ld_ids *out = &((results *)user)->texts[i];
  if (ends)
    for (size_t k = 0; k < ids->n; k++) ld_ids_push(out, ids->ids[k]);
  return true;
}

static void read_ids(char *line, ld_ids *ids) {
  for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
    ld_ids_push(ids, (int32_t)strtol(word, NULL, 10));
}

static int work(ld_generator *generator, int together, ld_error *err) {
  char *line = NULL;
  size_t room = 0;
  int rc = 0;
  bool more = true;
  const bool reads = generator->base->model->n_encoder_blocks > 0;
  ld_prompt *prompts = ld_alloc((size_t)together, sizeof *prompts);
  results r = {ld_alloc((size_t)together, sizeof(ld_ids))};
  for (uint64_t record = 0; more && !rc;) {
    int n = 0;
    for (; n < together && (more = getline(&line, &room, stdin) > 0); n++) {
      ld_prompt_free(&prompts[n]);
      r.texts[n].n = 0;
      read_ids(line, reads ? &prompts[n].source : &prompts[n].text);
      prompts[n].record = record++;
    }
    rc = n ? ld_generate(generator, prompts, n, take_text, &r, err) : 0;
    for (int i = 0; i < n && !rc; i++) {
      for (size_t k = 0; k < r.texts[i].n; k++) printf(k ? " %d" : "%d", (int)r.texts[i].ids[k]);
      printf("\n");
    }
  }
  for (int i = 0; i < together; i++) {
    ld_prompt_free(&prompts[i]);
    ld_ids_free(&r.texts[i]);
  }
  free(prompts);
  free(r.texts);
  free(line);
  return rc;
}

int main(int argc, char **argv) {
  if (argc < 3) return fputs("usage: continue MODEL TOGETHER [THREADS] < ids\n", stderr), 2;
  ld_base base;
  ld_error err;
  ld_generation_settings settings = {0};
  ld_generator generator = {.base = &base, .settings = &settings, .comm = ld_comm_alone()};
  const ld_options options = {.max_tokens = 20};
  int rc = ld_gemm_setup(argc > 3 ? atoi(argv[3]) : 1, LD_PRECISION_F32, &err);
  if (!rc) rc = ld_base_open(argv[1], &base, &err);
  if (!rc) rc = ld_generation_settings_find(&base, &options, &settings, &err);
  if (!rc) rc = work(&generator, atoi(argv[2]), &err);
  if (rc) fprintf(stderr, "%s\n", err.text);
  ld_generator_free(&generator);
  ld_generation_settings_free(&settings);
  ld_base_close(&base);
  ld_comm_finish(generator.comm);
  return rc != 0;
}
