/* A store that enforces its contract: weights that are not taken cannot be read. A training step of every
 * family runs on it, with the bits of the mapped folder; reading a block's weights outside of take and
 * release ends in SIGSEGV. */
#include "golden.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapt/params.h"
#include "base/rng.h"
#include "nn/ops.h"

enum { MOST_WEIGHTS = 512, MOST_BLOCKS = 32 };

typedef struct guarded {
  ld_stored stored;
  const char *name;
  size_t bytes; /* whole pages */
  int block;
} guarded;

typedef struct vault {
  ld_model_folder *folder;
  guarded weights[MOST_WEIGHTS];
  int n;
  int taken[MOST_BLOCKS], times[MOST_BLOCKS]; /* how many hold it now, how often it was taken */
} vault;

static void protect(const guarded *w, bool readable) {
  cr_assert(!mprotect((void *)w->stored.data, w->bytes, readable ? PROT_READ : PROT_NONE));
}

static guarded *lock_up(vault *v, const char *name, const ld_stored *stored) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = ld_stored_bytes(stored);
  guarded *w = &v->weights[v->n++];
  cr_assert(v->n <= MOST_WEIGHTS);
  *w = (guarded){.stored = *stored, .name = name, .bytes = (bytes + page - 1) / page * page};
  void *memory = mmap(NULL, w->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  cr_assert(memory != MAP_FAILED);
  w->stored.data = memcpy(memory, stored->data, bytes);
  return w;
}

static const ld_stored *find(void *self, const char *name, int block) {
  vault *v = self;
  const ld_stored *stored = ld_model_folder_find(v->folder, name);
  if (!stored) return NULL;
  guarded *w = v->weights;
  while (w < v->weights + v->n && strcmp(w->name, name) != 0) w++;
  for (size_t i = 0; w == v->weights + v->n; i++) /* the folder's name lives as long as the store */
    if (!strcmp(ld_model_folder_name(v->folder, i), name)) {
      w = lock_up(v, ld_model_folder_name(v->folder, i), stored);
      break;
    }
  w->block = block;
  cr_assert(block < MOST_BLOCKS);
  protect(w, block == LD_NO_BLOCK || v->taken[block]);
  return &w->stored;
}

static void open_block(vault *v, int block, bool readable) {
  for (int i = 0; i < v->n; i++)
    if (v->weights[i].block == block) protect(&v->weights[i], readable);
}

static void take(void *self, int block) {
  vault *v = self;
  v->times[block]++;
  if (!v->taken[block]++) open_block(v, block, true);
}

static void release(void *self, int block) {
  vault *v = self;
  cr_assert(v->taken[block] > 0);
  if (!--v->taken[block]) open_block(v, block, false);
}

static ld_weight_store *make_vault(ld_model_folder *folder) {
  ld_weight_store *store = ld_alloc(1, sizeof *store);
  vault *v = ld_alloc(1, sizeof *v);
  v->folder = folder;
  *store = (ld_weight_store){.source = "vault", .self = v, .find = find, .take = take, .release = release};
  return store;
}

static void free_vault(vault *v) {
  for (int i = 0; i < v->n; i++) munmap((void *)v->weights[i].stored.data, v->weights[i].bytes);
  free(v);
}

static void open_model(const char *name, bool locked, ld_base *base) {
  ld_error err = {0};
  char *path = ld_path_join(MODELS, name);
  *base = (ld_base){0};
  must(ld_model_folder_open(path, &base->folder, &err), &err);
  base->weights = locked ? make_vault(base->folder) : ld_weights_mapped(base->folder);
  must(ld_model_build(ld_model_folder_config(base->folder), base->weights, NULL, &base->model, &err), &err);
  free(path);
}

static void close_model(ld_base *base) {
  vault *v = base->weights->take ? base->weights->self : NULL;
  ld_base_close(base);
  if (v) free_vault(v);
}

/* Two sequences, or two pictures. */
enum { T = 14, B = 2, SIDE = 16, MOST_CHANNELS = 3 };

static double step(const ld_base *base, bool recompute) {
  static const int32_t ids[T] = {5, 9, 1, 7, 7, 3, 2, 11, 12, 4, 6, 8, 10, 5}, types[T];
  static const int32_t positions[T] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5}, segment[] = {0, 8, T};
  static const int32_t classes[B] = {0, 1};
  static const float values[B] = {0.5f, -1};
  static float pixels[MOST_CHANNELS * B * SIDE * SIDE];
  const ld_model *model = base->model;
  const bool images = !strcmp(model->family->input, LD_IMAGE);
  const ld_stream stream = ld_rng_stream(3, LD_RNG_INIT, 1, 0);
  ld_rng_fill(&stream, 0, 1, pixels, sizeof pixels / sizeof *pixels);
  const bool by_token = model->family->head != LD_HEAD_RECORD;
  const ld_field text = {.name = LD_TEXT,
                         .n_rows = T,
                         .n_segments = B,
                         .segment = segment,
                         .ids = ids,
                         .positions = positions,
                         .types = types};
  const ld_field pictures = {.name = LD_IMAGE,
                             .n_rows = B,
                             .numbers = pixels,
                             .channels = model->channels,
                             .height = SIDE,
                             .width = SIDE};
  const ld_field targets = {
      .name = LD_TARGETS, .n_rows = by_token ? T : B, .ids = by_token ? ids : classes, .numbers = values};
  const ld_batch batch = {.fields = {images ? pictures : text, targets}};
  ld_tape *tape = ld_tape_create();
  double loss = 0;
  memset(base->params->grad, 0, base->params->n_floats * sizeof(float));
  for (int dry = 1; dry >= 0; dry--) {
    loss = 0;
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, recompute);
    ld_objective_of(model)->loss(model, tape, &batch, &loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  ld_tape_free(tape);
  return loss;
}

/* An adapter of that kind on the last `most` layers before the head, of those that the kind takes. */
static void adapt(ld_base *base, const ld_adapter_kind *kind, size_t most) {
  const ld_model *model = base->model;
  ld_choice *choices = ld_alloc(model->n_linears, sizeof *choices);
  size_t n = 0;
  for (size_t i = model->n_linears; i-- > 0;) {
    ld_linear *layer = model->linears[i];
    if (layer == model->head || n == most || (kind->takes && !kind->takes(layer))) continue;
    choices[n++] = (ld_choice){layer, kind, 2, 4, 2};
  }
  base->params = ld_params_attach(choices, n, 0);
  ld_params_start(base->params, 1);
  for (size_t i = 0; i < base->params->n_floats; i++) base->params->data[i] += 0.01f;
  ld_params_update(base->params);
  free(choices);
}

static void check_step(const char *name, const ld_adapter_kind *kind, bool recompute) {
  ld_base mapped, locked;
  open_model(name, false, &mapped);
  open_model(name, true, &locked);
  adapt(&mapped, kind, SIZE_MAX);
  adapt(&locked, kind, SIZE_MAX);
  const double want = step(&mapped, recompute), found = step(&locked, recompute);
  const size_t n = mapped.params->n_floats;
  cr_assert(want > 0 && n && locked.params->n_floats == n, "%s", name);
  cr_assert(want == found && !memcmp(mapped.params->grad, locked.params->grad, n * sizeof(float)), "%s: %s",
            name, kind->name);
  const ld_choice *choice = &locked.params->choices[0];
  float *merged = ld_alloc((size_t)choice->layer->in * (size_t)choice->layer->out, sizeof *merged);
  ld_choice_merge(choice, &locked.params->changes[0], "weight", merged);
  free(merged);
  const vault *v = locked.weights->self;
  for (int i = 0; i < locked.model->n_blocks; i++)
    cr_assert(v->times[i] >= 2 && !v->taken[i], "%s: block %d was taken %d times", name, i, v->times[i]);
  close_model(&mapped);
  close_model(&locked);
}

static void check_family(const char *name) {
  check_step(name, &ld_adapter_lora, false);
  check_step(name, &ld_adapter_lora, true);
  check_step(name, &ld_adapter_dora, false);
}

Test(weight_store, gpt2_reads_what_it_took) {
  check_family("gpt2");
}

Test(weight_store, llama_reads_what_it_took) {
  check_family("llama3");
  check_step("llama3", &ld_adapter_whole, false);
}

Test(weight_store, bert_reads_what_it_took) {
  check_family("bert");
}

Test(weight_store, resnet_reads_what_it_took) {
  check_family("resnet_basic");
  check_family("resnet_cifar");
}

/* A block below everything that is trained has no backward pass, so it is not taken for one. */
Test(weight_store, the_way_back_takes_no_block_that_it_does_not_enter) {
  ld_base base;
  open_model("gpt2", true, &base);
  adapt(&base, &ld_adapter_lora, 1);
  const vault *v = base.weights->self;
  const int last = base.model->n_blocks - 1;
  int before[MOST_BLOCKS];
  memcpy(before, v->times, sizeof before);
  step(&base, false);
  cr_assert(last > 0 && v->times[0] == before[0] + 1 && v->times[last] == before[last] + 2);
  close_model(&base);
}

#ifndef __SANITIZE_ADDRESS__ /* which reports the signal and ends the test itself */
Test(weight_store, what_is_not_taken_cannot_be_read, .signal = SIGSEGV) {
  ld_base base;
  float one;
  open_model("gpt2", true, &base);
  ld_coded_widen(&one, &base.model->linears[0]->weight.numbers, 0, 1);
}
#endif
