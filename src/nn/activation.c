#include <string.h>

#include "base/vmath.h"
#include "nn/ops.h"

typedef struct activation_op {
  enum ld_activation kind;
  ld_tensor *x, *y;
  bool fresh; /* x's gradient is */
} activation_op;

/* Passes run over all numbers at once, or over each row where a view has others between them. */
typedef struct span {
  size_t n_runs, length;
} span;

static bool is_whole(const ld_tensor *tensor) {
  return tensor->stride == tensor->cols;
}

static span span_of(const ld_tensor *a, const ld_tensor *b) {
  const size_t rows = (size_t)a->rows, cols = (size_t)a->cols;
  return is_whole(a) && is_whole(b) ? (span){1, rows * cols} : (span){rows, cols};
}

/* Where a run begins, in the data of a tensor and in its gradient. */
static size_t run_at(const ld_tensor *tensor, size_t run) {
  return run * (size_t)tensor->stride;
}

#define GELU_C 0.7978845608028654f /* sqrt(2 / pi) */

LD_VECTOR static void gelu_tanh(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float u = x[i];
    y[i] = 0.5f * u * (1.0f + ld_tanhf(GELU_C * (u + 0.044715f * u * u * u)));
  }
}

LD_VECTOR static void gelu_tanh_backward(float *dx, const float *dy, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float u = x[i];
    const float t = ld_tanhf(GELU_C * (u + 0.044715f * u * u * u));
    const float slope = GELU_C * (1.0f + 3 * 0.044715f * u * u);
    dx[i] += dy[i] * (0.5f * (1.0f + t) + 0.5f * u * (1.0f - t * t) * slope);
  }
}

LD_VECTOR static void gelu_erf(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = x[i] * ld_normal_cdf(x[i], ld_expf(-0.5f * x[i] * x[i]));
}

LD_VECTOR static void gelu_erf_backward(float *dx, const float *dy, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float bell = ld_expf(-0.5f * x[i] * x[i]);
    dx[i] += dy[i] * (ld_normal_cdf(x[i], bell) + x[i] * 0.39894228f * bell);
  }
}

LD_VECTOR static void silu(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = x[i] * ld_sigmoidf(x[i]);
}

LD_VECTOR static void silu_backward(float *dx, const float *dy, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float s = ld_sigmoidf(x[i]);
    dx[i] += dy[i] * s * (1.0f + x[i] * (1.0f - s));
  }
}

#define QUICK_GELU_C 1.702f

LD_VECTOR static void quick_gelu(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = x[i] * ld_sigmoidf(QUICK_GELU_C * x[i]);
}

LD_VECTOR static void quick_gelu_backward(float *dx, const float *dy, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float u = QUICK_GELU_C * x[i], s = ld_sigmoidf(u);
    dx[i] += dy[i] * s * (1.0f + u * (1.0f - s));
  }
}

LD_VECTOR static void relu(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}

LD_VECTOR static void relu_backward(float *dx, const float *dy, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) dx[i] += x[i] > 0 ? dy[i] : 0;
}

/* y = tanh x; the backward pass reads it. */
LD_VECTOR static void hyperbolic(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = ld_tanhf(x[i]);
}

LD_VECTOR static void hyperbolic_backward(float *dx, const float *dy, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float t = ld_tanhf(x[i]);
    dx[i] += dy[i] * (1.0f - t * t);
  }
}

static const struct {
  void (*forward)(float *y, const float *x, size_t n);
  void (*backward)(float *dx, const float *dy, const float *x, size_t n);
} kinds[] = {
    [LD_GELU_TANH] = {gelu_tanh, gelu_tanh_backward},
    [LD_GELU_ERF] = {gelu_erf, gelu_erf_backward},
    [LD_RELU] = {relu, relu_backward},
    [LD_SILU] = {silu, silu_backward},
    [LD_TANH] = {hyperbolic, hyperbolic_backward},
    [LD_QUICK_GELU] = {quick_gelu, quick_gelu_backward},
};

static void activation_forward(ld_tape *tape, void *self) {
  (void)tape;
  activation_op *op = self;
  const ld_tensor *x = op->x, *y = op->y;
  const span s = span_of(x, x);
  for (size_t r = 0; r < s.n_runs; r++)
    kinds[op->kind].forward(y->data + run_at(y, r), x->data + run_at(x, r), s.length);
}

static void activation_backward(ld_tape *tape, void *self) {
  (void)tape;
  activation_op *op = self;
  const ld_tensor *x = op->x, *y = op->y;
  const span s = span_of(x, x);
  for (size_t r = 0; r < s.n_runs; r++) {
    const float *dy = y->grad + run_at(y, r), *from = x->data + run_at(x, r);
    float *dx = ld_grad(x) + run_at(x, r);
    for (size_t i = 0, n; i < s.length; i += n) {
      n = s.length - i < LD_GRAD_STRIP ? s.length - i : LD_GRAD_STRIP;
      if (op->fresh) memset(dx + i, 0, n * sizeof *dx);
      kinds[op->kind].backward(dx + i, dy + i, from + i, n);
    }
  }
}

ld_tensor *ld_op_activation(ld_tape *tape, ld_tensor *x, enum ld_activation kind) {
  if (kind == LD_IDENTITY) return x;
  activation_op *op = ld_tape_record(tape, sizeof *op);
  *op = (activation_op){.kind = kind, .x = x};
  op->y = ld_tape_tensor(tape, x->rows, x->cols);
  op->y->maps = x->maps;
  ld_tape_push(tape, (ld_op){.name = "activation",
                             .self = op,
                             .forward = activation_forward,
                             .backward = activation_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x),
                             .backward_reads = LD_TENSORS(x),
                             .fresh = &op->fresh,
                             .cheap = true});
  return op->y;
}

LD_VECTOR static void swiglu(float *y, const float *gate, const float *up, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = gate[i] * ld_sigmoidf(gate[i]) * up[i];
}

LD_VECTOR static void swiglu_gate(float *dgate, const float *dy, const float *gate, const float *up,
                                  size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float s = ld_sigmoidf(gate[i]);
    dgate[i] += dy[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
  }
}

LD_VECTOR static void swiglu_up(float *dup, const float *dy, const float *gate, size_t n) {
  for (size_t i = 0; i < n; i++) dup[i] += dy[i] * gate[i] * ld_sigmoidf(gate[i]);
}

/* Both at once: what they share is most of their work. */
LD_VECTOR static void swiglu_both(float *dgate, float *dup, const float *dy, const float *gate,
                                  const float *up, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float s = ld_sigmoidf(gate[i]);
    dgate[i] += dy[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
    dup[i] += dy[i] * gate[i] * s;
  }
}

/* hidden * gelu(gate), `x` is hidden. */
LD_VECTOR static void geglu(float *y, const float *gate, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    y[i] = x[i] * (gate[i] * ld_normal_cdf(gate[i], ld_expf(-0.5f * gate[i] * gate[i])));
}

LD_VECTOR static void geglu_gate(float *dgate, const float *dy, const float *gate, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float bell = ld_expf(-0.5f * gate[i] * gate[i]);
    dgate[i] += dy[i] * x[i] * (ld_normal_cdf(gate[i], bell) + gate[i] * 0.39894228f * bell);
  }
}

LD_VECTOR static void geglu_hidden(float *dx, const float *dy, const float *gate, size_t n) {
  for (size_t i = 0; i < n; i++)
    dx[i] += dy[i] * (gate[i] * ld_normal_cdf(gate[i], ld_expf(-0.5f * gate[i] * gate[i])));
}

LD_VECTOR static void geglu_both(float *dgate, float *dx, const float *dy, const float *gate, const float *x,
                                 size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float bell = ld_expf(-0.5f * gate[i] * gate[i]), cdf = ld_normal_cdf(gate[i], bell);
    dgate[i] += dy[i] * x[i] * (cdf + gate[i] * 0.39894228f * bell);
    dx[i] += dy[i] * (gate[i] * cdf);
  }
}

/* Products of x with an activation of the gate. */
static const struct gated_kind {
  const char *name;
  void (*forward)(float *y, const float *gate, const float *x, size_t n);
  void (*gate)(float *dgate, const float *dy, const float *gate, const float *x, size_t n);
  void (*hidden)(float *dx, const float *dy, const float *gate, size_t n);
  void (*both)(float *dgate, float *dx, const float *dy, const float *gate, const float *x, size_t n);
} swiglu_kind = {"swiglu", swiglu, swiglu_gate, swiglu_up, swiglu_both},
  geglu_kind = {"geglu", geglu, geglu_gate, geglu_hidden, geglu_both};

typedef struct gated_op {
  const struct gated_kind *kind;
  ld_tensor *x, *gate, *y;
  bool fresh[2]; /* the gradients of gate and x are */
} gated_op;

static void gated_forward(ld_tape *tape, void *self) {
  (void)tape;
  const gated_op *op = self;
  const ld_tensor *x = op->x, *gate = op->gate, *y = op->y;
  const span s = span_of(x, gate);
  for (size_t r = 0; r < s.n_runs; r++)
    op->kind->forward(y->data + run_at(y, r), gate->data + run_at(gate, r), x->data + run_at(x, r), s.length);
}

static void gated_backward(ld_tape *tape, void *self) {
  (void)tape;
  const gated_op *op = self;
  const ld_tensor *x = op->x, *gate = op->gate;
  const span s = span_of(x, gate);
  for (size_t r = 0; r < s.n_runs; r++)
    for (size_t i = 0, n; i < s.length; i += n) {
      n = s.length - i < LD_GRAD_STRIP ? s.length - i : LD_GRAD_STRIP;
      const float *dy = op->y->grad + run_at(op->y, r) + i;
      const float *from_gate = gate->data + run_at(gate, r) + i, *from = x->data + run_at(x, r) + i;
      float *dgate = ld_grad(gate) ? ld_grad(gate) + run_at(gate, r) + i : NULL;
      float *dx = ld_grad(x) ? ld_grad(x) + run_at(x, r) + i : NULL;
      if (dgate && op->fresh[0]) memset(dgate, 0, n * sizeof *dgate);
      if (dx && op->fresh[1]) memset(dx, 0, n * sizeof *dx);
      if (dgate && dx)
        op->kind->both(dgate, dx, dy, from_gate, from, n);
      else if (dgate)
        op->kind->gate(dgate, dy, from_gate, from, n);
      else if (dx)
        op->kind->hidden(dx, dy, from_gate, n);
    }
}

static ld_tensor *push_gated(ld_tape *tape, const struct gated_kind *kind, ld_tensor *gate, ld_tensor *x) {
  gated_op *op = ld_tape_record(tape, sizeof *op);
  *op = (gated_op){.kind = kind, .x = x, .gate = gate, .y = ld_tape_tensor(tape, x->rows, x->cols)};
  ld_tape_push(tape, (ld_op){.name = kind->name,
                             .self = op,
                             .forward = gated_forward,
                             .backward = gated_backward,
                             .out = op->y,
                             .in = LD_TENSORS(gate, x),
                             .backward_reads = LD_TENSORS(gate, x),
                             .fresh = op->fresh,
                             .cheap = true});
  return op->y;
}

ld_tensor *ld_op_swiglu(ld_tape *tape, ld_tensor *gate, ld_tensor *up) {
  return push_gated(tape, &swiglu_kind, gate, up);
}

ld_tensor *ld_op_geglu(ld_tape *tape, ld_tensor *hidden, ld_tensor *gate) {
  return push_gated(tape, &geglu_kind, gate, hidden);
}

typedef struct product_op {
  ld_tensor *a, *b, *y;
} product_op;

LD_VECTOR static void multiply(float *y, const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

LD_VECTOR static void multiply_backward(float *dx, const float *dy, const float *other, size_t n) {
  for (size_t i = 0; i < n; i++) dx[i] += dy[i] * other[i];
}

static void product_forward(ld_tape *tape, void *self) {
  (void)tape;
  product_op *op = self;
  const ld_tensor *a = op->a, *b = op->b, *y = op->y;
  const span s = span_of(a, b);
  for (size_t r = 0; r < s.n_runs; r++)
    multiply(y->data + run_at(y, r), a->data + run_at(a, r), b->data + run_at(b, r), s.length);
}

static void product_backward(ld_tape *tape, void *self) {
  (void)tape;
  product_op *op = self;
  const ld_tensor *a = op->a, *b = op->b;
  const span s = span_of(a, b);
  float *da = ld_grad(a), *db = ld_grad(b);
  for (size_t r = 0; r < s.n_runs; r++) {
    const float *dy = op->y->grad + run_at(op->y, r);
    if (da) multiply_backward(da + run_at(a, r), dy, b->data + run_at(b, r), s.length);
    if (db) multiply_backward(db + run_at(b, r), dy, a->data + run_at(a, r), s.length);
  }
}

ld_tensor *ld_op_multiply(ld_tape *tape, ld_tensor *a, ld_tensor *b) {
  product_op *op = ld_tape_record(tape, sizeof *op);
  *op = (product_op){a, b, ld_tape_tensor(tape, a->rows, a->cols)};
  ld_tape_push(tape, (ld_op){.name = "multiply",
                             .self = op,
                             .forward = product_forward,
                             .backward = product_backward,
                             .out = op->y,
                             .in = LD_TENSORS(a, b),
                             .backward_reads = LD_TENSORS(a, b),
                             .cheap = true});
  return op->y;
}
