/* A scheduler_config.json: its noise schedule, and a few steps of each sampler, or an error with its text. */
#include <stdint.h>
#include <stdlib.h>

#include "diffusion/samplers.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N = 4, STEPS = 3 };

static void check(int rc, const ld_error *err) {
  if (rc && (rc != err->code || !err->text[0])) abort();
}

static void run(const ld_sampler *sampler, const ld_value *config) {
  const ld_sampling_settings settings = {.n_steps = STEPS, .n = N, .learned_variance = true};
  const float prediction[2 * N] = {0.5f, -1, 2}, noise[N] = {1, -1};
  float sample[N] = {1, 2, 3, 4}, input[N];
  ld_sampling s;
  ld_error err = {0};
  const int rc = ld_sampling_begin(&s, sampler, config, "config", &settings, &err);
  check(rc, &err);
  for (; !rc && s.at < s.n_calls;) {
    ld_sampling_scale(&s, sample, input);
    ld_sampling_step(&s, prediction, noise, sample);
  }
  ld_sampling_end(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_schedule schedule;
  ld_error err = {0};
  ld_value *config = ld_json_parse((const char *)data, size, "config", &err);
  if (!config) return 0;
  const int rc = ld_schedule_read(config, "config", &schedule, &err);
  check(rc, &err);
  for (int64_t t = 0; !rc && t < schedule.n; t++)
    if (!(ld_schedule_snr(&schedule, t) >= 0 && ld_schedule_min_snr(&schedule, t, 5) >= 0)) abort();
  ld_schedule_free(&schedule);
  for (size_t i = 0; ld_sampler_at(i); i++) run(ld_sampler_at(i), config);
  ld_value_free(config);
  return 0;
}
