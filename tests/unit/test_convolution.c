/* Operations on feature maps: convolution against its definition, and gradients against differences of the
 * loss, with dropout, which no recorded model has. */
#include "random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/memory.h"
#include "linalg/codecs.h"
#include "nn/ops.h"

enum { B = 3, H = 7, W = 6, C = 2, C2 = 5, CLASSES = 4, RANK = 2 };

/* An adapted convolution with everything that it owns. */
typedef struct layer {
  const ld_adapter_kind *kind;
  ld_linear linear;
  ld_change change;
  ld_param params[LD_ADAPTER_ROLES];
} layer;

static void fill_param(ld_param *param, uint64_t name) {
  param->data = ld_alloc(param->count, sizeof(float));
  param->grad = ld_alloc(param->count, sizeof(float));
  fill_random(param->data, param->count, name);
  for (size_t i = 0; i < param->count; i++) param->data[i] *= 0.3f;
}

static void make_layer(layer *l, const ld_adapter_kind *kind, int in, int out, ld_kernel kernel,
                       double dropout, uint32_t id) {
  const int K = in * kernel.height * kernel.width;
  float *weight = ld_alloc((size_t)K * (size_t)out, sizeof *weight);
  fill_random(weight, (size_t)K * (size_t)out, 10 * id);
  for (int i = 0; i < K * out; i++) weight[i] /= sqrtf((float)K);
  l->linear = (ld_linear){.in = K, .out = out, .weight = {ld_coded_floats(weight), out, K}, .kernel = kernel};
  l->linear.bias = ld_alloc((size_t)out, sizeof(float));
  fill_random(l->linear.bias, (size_t)out, 10 * id + 9);
  l->change = (ld_change){.functions = &kind->functions,
                          .layer = &l->linear,
                          .params = l->params,
                          .rank = RANK,
                          .scaling = 0.7f,
                          .dropout = (float)dropout,
                          .id = id};
  l->kind = kind;
  kind->lay_out(&l->change);
  for (int i = 0; i < l->change.n_params; i++) fill_param(&l->params[i], 10 * id + 1 + (uint64_t)i);
  l->linear.change = &l->change;
  if (kind->update) kind->update(&l->change);
}

static void free_layer(layer *l) {
  if (l->kind->release) l->kind->release(&l->change);
  for (int i = 0; i < l->change.n_params; i++) {
    free(l->params[i].data);
    free(l->params[i].grad);
  }
  free(l->linear.bias);
  free((void *)l->linear.weight.numbers.data);
}

/* Two convolutions with everything between them in a network, then a loss. */
typedef struct net {
  layer first, second;
  float pixels[C * B * H * W], scale[C2], shift[C2];
  int32_t targets[B];
  bool affine; /* the second one is followed by an affine function, and starts from nothing */
  ld_batch batch;
  ld_tape *tape;
} net;

static double run(net *n, bool backward) {
  double loss = 0;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(n->tape, LD_PASS_TRAIN, dry, false);
    ld_maps x =
        ld_op_convolution_affine(n->tape, ld_op_images(n->tape, &n->batch.fields[0]), &n->first.linear,
                                 &(ld_affine){n->scale, n->shift, {0}, true}, &n->batch);
    x = ld_op_max_pool(n->tape, x, 3, 2, 1);
    const ld_maps shortcut = ld_op_subsample(n->tape, x, CLASSES);
    if (n->affine)
      x = ld_op_convolution_affine(n->tape, x, &n->second.linear,
                                   &(ld_affine){n->shift, n->scale, shortcut, true}, &n->batch);
    else
      x = ld_op_convolution_accumulate(n->tape, shortcut, x, &n->second.linear, &n->batch);
    ld_op_class_loss(n->tape, ld_op_mean_pool(n->tape, x), &n->batch.fields[1], &loss);
    if (backward) ld_tape_backward(n->tape);
    if (dry) cr_assert(ld_tape_reserve(n->tape));
  }
  return loss;
}

static net *make_net(const ld_adapter_kind *kind, ld_kernel second, double dropout) {
  net *n = ld_alloc(1, sizeof *n);
  make_layer(&n->first, kind, C, 2, (ld_kernel){3, 3, 1, 1, 0}, dropout, 1);
  make_layer(&n->second, kind, 2, CLASSES, second, dropout, 2);
  fill_random(n->pixels, sizeof n->pixels / sizeof *n->pixels, 3);
  fill_random(n->scale, C2, 4);
  fill_random(n->shift, C2, 5);
  for (int i = 0; i < B; i++) n->targets[i] = i;
  const ld_field images = {
      .name = LD_IMAGE, .n_rows = B, .numbers = n->pixels, .channels = C, .height = H, .width = W};
  n->batch = (ld_batch){
      .fields = {images, {.name = LD_TARGETS, .n_rows = B, .ids = n->targets}}, .seed = 3, .number = 4};
  n->tape = ld_tape_create();
  return n;
}

static void free_net(net *n) {
  free_layer(&n->first);
  free_layer(&n->second);
  ld_tape_free(n->tape);
  free(n);
}

/* Updates what depends on a changed parameter, except DoRA's norms, which its gradients treat as constants. */
static void follow(layer *l, const ld_param *param) {
  if (l->kind->update && strcmp(param->role, "lora_A") != 0 && strcmp(param->role, "lora_B") != 0)
    l->kind->update(&l->change);
}

/* The maxima of max_pool and relu switch at single points, which a difference may hit: a few entries may be
 * off. */
static void check_param(net *n, layer *l, ld_param *param) {
  const float step = 2e-3f;
  int wrong = 0;
  for (size_t i = 0; i < param->count; i++) {
    const float was = param->data[i];
    param->data[i] = was + step;
    follow(l, param);
    const double up = run(n, false);
    param->data[i] = was - step;
    follow(l, param);
    const double down = run(n, false);
    param->data[i] = was;
    follow(l, param);
    const double slope = (up - down) / (2 * (double)step);
    wrong += fabs(slope - (double)param->grad[i]) > 2e-3 + 1e-2 * fabs(slope);
  }
  cr_assert(wrong <= 1, "%d of %zu slopes of %s differ", wrong, param->count, param->role);
}

static void check_net(ld_kernel second, double dropout) {
  static const ld_adapter_kind *const kinds[] = {&ld_adapter_lora, &ld_adapter_dora};
  for (int k = 0; k < 4; k++) {
    net *n = make_net(kinds[k / 2], second, dropout);
    n->affine = k % 2;
    run(n, true);
    for (int i = 0; i < n->first.change.n_params; i++) {
      check_param(n, &n->first, &n->first.params[i]);
      check_param(n, &n->second, &n->second.params[i]);
    }
    free_net(n);
  }
}

Test(convolution, gradients_are_slopes_of_the_loss) {
  check_net((ld_kernel){3, 3, 2, 1, 0}, 0);
  check_net((ld_kernel){1, 1, 2, 0, 0}, 0);
}

Test(convolution, gradients_with_dropout) {
  check_net((ld_kernel){3, 3, 2, 1, 0}, 0.4);
  check_net((ld_kernel){1, 1, 2, 0, 0}, 0.4);
}

/* The value under the kernel at (row, column) of image b, directly from the definition. */
static double at(const float *x, int c, int b, int row, int column) {
  return row < 0 || row >= H || column < 0 || column >= W ? 0
                                                          : (double)x[((c * B + b) * H + row) * W + column];
}

static double defined(const layer *l, const float *x, int o, int b, int row, int column) {
  const ld_kernel *k = &l->linear.kernel;
  const float *weight = (const float *)l->linear.weight.numbers.data + o * l->linear.in;
  double sum = (double)l->linear.bias[o];
  for (int c = 0; c < C; c++)
    for (int i = 0; i < k->height; i++)
      for (int j = 0; j < k->width; j++) {
        const int q = (c * k->height + i) * k->width + j;
        double w = (double)weight[q];
        for (int r = 0; r < RANK; r++)
          w += (double)(l->change.scaling * l->params[1].data[o * RANK + r] *
                        l->params[0].data[r * l->linear.in + q]);
        sum += w * at(x, c, b, row * k->stride - k->padding + i, column * k->stride - k->padding + j);
      }
  return sum;
}

static void check_definition(ld_kernel kernel) {
  net *n = make_net(&ld_adapter_lora, (ld_kernel){1, 1, 2, 0, 0}, 0);
  free_layer(&n->first);
  make_layer(&n->first, &ld_adapter_lora, C, C2, kernel, 0, 6);
  ld_maps y = {0};
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(n->tape, LD_PASS_INFER, dry, false);
    y = ld_op_convolution(n->tape, ld_op_images(n->tape, &n->batch.fields[0]), &n->first.linear, &n->batch);
    if (dry) cr_assert(ld_tape_reserve(n->tape));
  }
  const float *found = y.x->data;
  for (int o = 0; o < C2; o++)
    for (int b = 0; b < B; b++)
      for (int row = 0; row < y.height; row++)
        for (int column = 0; column < y.width; column++, found++) {
          const double want = defined(&n->first, n->pixels, o, b, row, column);
          cr_assert(fabs((double)*found - want) < 1e-4, "(%d, %d, %d, %d): %g, not %g", o, b, row, column,
                    (double)*found, want);
        }
  free_net(n);
}

Test(convolution, is_what_it_is_defined_to_be) {
  check_definition((ld_kernel){3, 3, 1, 1, 0});
  check_definition((ld_kernel){3, 3, 2, 1, 0});
  check_definition((ld_kernel){1, 1, 1, 0, 0});
  check_definition((ld_kernel){1, 1, 2, 0, 0});
  check_definition((ld_kernel){7, 7, 2, 3, 0});
  check_definition((ld_kernel){3, 3, 3, 0, 0});
  check_definition((ld_kernel){5, 1, 2, 2, 0});
  check_definition((ld_kernel){3, 3, 2, 0, 1});
  check_definition((ld_kernel){3, 2, 1, 1, 2});
}

#ifndef NDEBUG
/* A map without height has no largest pixel. */
Test(convolution, max_pool_of_nothing_is_caught, .signal = SIGABRT) {
  float pixel = 0;
  const ld_field images = {.name = LD_IMAGE, .n_rows = 1, .numbers = &pixel, .channels = 1, .width = 1};
  ld_tape *tape = ld_tape_create();
  ld_tape_begin(tape, LD_PASS_INFER, true, false);
  ld_op_max_pool(tape, ld_op_images(tape, &images), 3, 2, 2);
}
#endif
