#include "base/vmath.h"
#include "nn/ops.h"

typedef struct activation_op {
  enum ld_activation kind;
  ld_tensor *x, *gate, *y; /* gate: only for SwiGLU */
} activation_op;

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
};

static size_t count(const ld_tensor *tensor) {
  return (size_t)tensor->rows * (size_t)tensor->cols;
}

static void activation_forward(ld_tape *tape, void *self) {
  (void)tape;
  activation_op *op = self;
  kinds[op->kind].forward(op->y->data, op->x->data, count(op->x));
}

static void activation_backward(ld_tape *tape, void *self) {
  (void)tape;
  activation_op *op = self;
  kinds[op->kind].backward(ld_grad(op->x), op->y->grad, op->x->data, count(op->x));
}

ld_tensor *ld_op_activation(ld_tape *tape, ld_tensor *x, enum ld_activation kind) {
  if (kind == LD_IDENTITY) return x;
  activation_op *op = ld_tape_record(tape, sizeof *op);
  *op = (activation_op){.kind = kind, .x = x};
  op->y = ld_tape_tensor(tape, x->rows, x->cols);
  ld_tape_push(tape, (ld_op){.name = "activation",
                             .self = op,
                             .forward = activation_forward,
                             .backward = activation_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x),
                             .backward_reads = LD_TENSORS(x),
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

static void swiglu_forward(ld_tape *tape, void *self) {
  (void)tape;
  activation_op *op = self;
  swiglu(op->y->data, op->gate->data, op->x->data, count(op->y));
}

static void swiglu_backward(ld_tape *tape, void *self) {
  (void)tape;
  activation_op *op = self;
  float *dgate = ld_grad(op->gate), *dup = ld_grad(op->x);
  if (dgate) swiglu_gate(dgate, op->y->grad, op->gate->data, op->x->data, count(op->y));
  if (dup) swiglu_up(dup, op->y->grad, op->gate->data, count(op->y));
}

ld_tensor *ld_op_swiglu(ld_tape *tape, ld_tensor *gate, ld_tensor *up) {
  activation_op *op = ld_tape_record(tape, sizeof *op);
  *op = (activation_op){.x = up, .gate = gate};
  op->y = ld_tape_tensor(tape, up->rows, up->cols);
  ld_tape_push(tape, (ld_op){.name = "swiglu",
                             .self = op,
                             .forward = swiglu_forward,
                             .backward = swiglu_backward,
                             .out = op->y,
                             .in = LD_TENSORS(gate, up),
                             .backward_reads = LD_TENSORS(gate, up),
                             .cheap = true});
  return op->y;
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
  multiply(op->y->data, op->a->data, op->b->data, count(op->y));
}

static void product_backward(ld_tape *tape, void *self) {
  (void)tape;
  product_op *op = self;
  float *da = ld_grad(op->a), *db = ld_grad(op->b);
  if (da) multiply_backward(da, op->y->grad, op->b->data, count(op->y));
  if (db) multiply_backward(db, op->y->grad, op->a->data, count(op->y));
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
