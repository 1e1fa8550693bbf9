/* LoRA: y = x W^T + bias + scaling (x A^T) B^T, A (R, in), B (out, R), both trained; W is frozen. Hu et al.,
 * "LoRA: Low-Rank Adaptation of Large Language Models", 2021, section 4.1.
 *
 * Dropout applies to A's input. The layer and its addition are one product of two terms. */
#include <string.h>

#include "adapt/low_rank.h"

/* h (T, R), kept for the gradient of B. */
static void read(const ld_change *c, const ld_product *p) {
  ld_low_rank_read(c, p, p->kept);
}

static void forward(const ld_change *c, const ld_product *p) {
  const ld_part parts[] = {ld_frozen_part(c->layer, p->x), ld_low_rank_part(c, p->kept)};
  ld_product_sum(p, p->y, c->layer->out, parts, 2, p->start, c->layer->bias);
}

/* dh stays in the spare for `input`. */
static void gradients(const ld_change *c, const ld_product *p) {
  ld_low_rank_gradients(c, p, p->y, p->kept, p->spare);
}

/* dx = dy W + dh A. */
static void input(const ld_change *c, const ld_product *p, enum ld_through through) {
  ld_part parts[2];
  int n = 0;
  if (through & LD_THROUGH_BASE) parts[n++] = ld_frozen_back(c->layer, p->y);
  if (through & LD_THROUGH_CHANGE) parts[n++] = ld_low_rank_back(c, p->spare);
  ld_product_sum(p, p->x, c->layer->in, parts, n, p->start, NULL);
}

static bool merge(const ld_change *c, const char *which, float *values) {
  if (strcmp(which, "weight") != 0) return false;
  ld_low_rank_add(c, values);
  return true;
}

static const ld_adapter_form form = {
    .kind = "lora",
    .roles = {{"lora_A", "lora_A.weight"}, {"lora_B", "lora_B.weight"}},
    .check = ld_low_rank_check,
};

const ld_adapter_kind ld_adapter_lora = {
    .name = "lora",
    .form = &form,
    .takes = ld_low_rank_takes,
    .lay_out = ld_low_rank_lay_out,
    .start = ld_low_rank_start,
    .merge = merge,
    .functions = {.read = read, .forward = forward, .gradients = gradients, .input = input},
};
