/* Noise schedules and samplers, beside what diffusers makes of the same configs (tests/golden/make_samplers.py). */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/samplers.h"
#include "io/file.h"
#include "io/json.h"

enum { N = 8 };

static const char source[] = "scheduler_config.json";

/* The noise of a call of the model; of call -1 that from which a sample starts. */
static void fake_noise(int64_t call, float *out) {
  for (int k = 0; k < N; k++) out[k] = (float)(1.4 * sin(12.9898 * (double)(call + 2) + 78.233 * (k + 1)));
}

static void fake_model(const float *x, float t, size_t n, float *out) {
  for (size_t k = 0; k < n; k++)
    out[k] = (float)(0.7 * sin(1.3 * (double)x[k % N] + 0.002 * (double)t + 0.5 * (double)k) +
                     0.3 * sin(0.1 * (double)x[k % N]));
}

static double recorded(const ld_value *map, const char *key) {
  double out;
  ld_error err;
  cr_assert(ld_value_get(map, key), "%s was not recorded", key);
  cr_assert(!ld_value_real(map, key, 0, &out, &err), "%s", err.text);
  return out;
}

static float largest(const float *numbers, size_t n) {
  float most = 1;
  for (size_t i = 0; i < n; i++) most = fmaxf(most, fabsf(numbers[i]));
  return most;
}

/* Within `tolerance` of the largest of them, or of 1, and `rest`. */
static void check_close(const float *found, const ld_value *expected, double tolerance, double rest,
                        const char *what) {
  const double most = tolerance * largest(found, expected->n_items) + rest;
  for (size_t i = 0; i < expected->n_items; i++)
    cr_assert(fabs(found[i] - expected->items[i].real) <= most, "%s: number %zu is %.9g, not %.9g", what, i,
              found[i], expected->items[i].real);
}

static void check_near(double found, double expected, double tolerance, const char *what) {
  cr_assert(fabs(found - expected) <= tolerance * fabs(expected), "%s: %.9g, not %.9g", what, found,
            expected);
}

/* Calls `check` for each line of a file of tests/golden. */
static void each_line(const char *name, void (*check)(const ld_value *line, size_t number)) {
  ld_error err;
  ld_map map;
  size_t number = 0;
  char *path = ld_format("%s/golden/%s", LD_TESTS_DIR, name);
  cr_assert(!ld_map_open(path, &map, &err), "%s", err.text);
  for (size_t at = 0; at < map.length;) {
    const char *start = map.bytes + at, *end = memchr(start, '\n', map.length - at);
    ld_value *line = ld_json_parse(start, (size_t)(end - start), name, &err);
    cr_assert(line, "%s", err.text);
    check(line, ++number);
    ld_value_free(line);
    at += (size_t)(end - start) + 1;
  }
  cr_assert_gt(number, 0);
  ld_map_close(&map);
  free(path);
}

static void check_at(const ld_schedule *schedule, const ld_value *at, double gamma, const char *what) {
  const int64_t t = (int64_t)recorded(at, "t");
  float sample[N], noise[N], out[N];
  fake_noise(-1, sample);
  fake_noise(0, noise);
  check_near(ld_schedule_timestep(schedule, t), recorded(at, "timestep"), 1e-6, what);
  ld_schedule_noised(schedule, t, sample, noise, N, out);
  check_close(out, ld_value_get(at, "noised"), 1e-6, 0, what);
  ld_schedule_target(schedule, t, sample, noise, N, out);
  check_close(out, ld_value_get(at, "target"), 1e-6, 0, what);
  /* torch's square roots may be wrong in the last bit, which a rescaled schedule magnifies. */
  const double tolerance = schedule->zero_snr ? 4e-6 : 1e-6;
  if (ld_value_get(at, "alpha_bar")) {
    check_near(schedule->alpha_bar[t], recorded(at, "alpha_bar"), tolerance, what);
    check_near(ld_schedule_snr(schedule, t), recorded(at, "snr"), tolerance, what);
  }
  if (ld_value_get(at, "weight"))
    check_near(ld_schedule_min_snr(schedule, t, gamma), recorded(at, "weight"), tolerance, what);
}

static void check_schedule(const ld_value *line, size_t number) {
  ld_schedule schedule;
  ld_error err;
  const ld_value *at = ld_value_get(line, "at");
  cr_assert(!ld_schedule_read(ld_value_get(line, "config"), source, &schedule, &err), "%s", err.text);
  for (size_t i = 0; i < at->n_items; i++) {
    char *what = ld_format("schedule %zu, t %lld", number, (long long)recorded(&at->items[i], "t"));
    check_at(&schedule, &at->items[i], recorded(line, "gamma"), what);
    free(what);
  }
  ld_schedule_free(&schedule);
}

Test(samplers, schedules_are_those_of_diffusers) {
  each_line("schedules.jsonl", check_schedule);
}

static void run(ld_sampling *s, const ld_value *samples, const char *what) {
  float sample[N], input[N], noise[N], prediction[2 * N];
  fake_noise(-1, sample);
  for (size_t k = 0; k < N; k++) sample[k] *= s->init_noise_sigma;
  const double rest = FLT_EPSILON * largest(sample, N); /* one step from large noise rounds so much */
  while (s->at < s->n_calls) {
    const int64_t call = s->at;
    ld_sampling_scale(s, sample, input);
    fake_model(input, s->timesteps[call], s->settings.learned_variance ? 2 * N : N, prediction);
    fake_noise(call, noise);
    ld_sampling_step(s, prediction, s->needs_noise ? noise : NULL, sample);
    char *where = ld_format("%s, call %lld", what, (long long)call);
    check_close(sample, &samples->items[call], 1e-5, rest, where);
    free(where);
  }
}

static void check_sampler(const ld_value *line, size_t number) {
  ld_error err;
  ld_sampling s;
  const ld_sampler *sampler = ld_sampler_find(ld_value_get(line, "sampler")->string);
  const ld_value *timesteps = ld_value_get(line, "timesteps"), *samples = ld_value_get(line, "samples");
  const ld_sampling_settings settings = {.n_steps = (int64_t)recorded(line, "steps"),
                                         .n = N,
                                         .learned_variance = ld_value_get(line, "learned_variance")->boolean};
  cr_assert(!ld_sampling_begin(&s, sampler, ld_value_get(line, "config"), source, &settings, &err), "%s",
            err.text);
  char *what = ld_format("line %zu, %s, %lld steps", number, sampler->name, (long long)settings.n_steps);
  cr_assert_eq((size_t)s.n_calls, timesteps->n_items, "%s: %lld calls", what, (long long)s.n_calls);
  check_close(s.timesteps, timesteps, 1e-6, 0, what);
  check_near(s.init_noise_sigma, recorded(line, "init_noise_sigma"), 1e-6, what);
  run(&s, samples, what);
  ld_sampling_restart(&s);
  run(&s, samples, what);
  ld_sampling_end(&s);
  free(what);
}

Test(samplers, steps_are_those_of_diffusers) {
  each_line("samplers.jsonl", check_sampler);
}

/* A document with ' for ". */
static ld_value *parse(const char *text) {
  ld_error err;
  char *json = ld_strdup(text);
  for (char *at = json; *at; at++)
    if (*at == '\'') *at = '"';
  ld_value *value = ld_json_parse(json, strlen(json), source, &err);
  cr_assert(value, "%s", err.text);
  free(json);
  return value;
}

static void check_error(int rc, int code, const char *part, const ld_error *err, const char *text) {
  cr_assert(rc == code && strstr(err->text, part), "%s: %d, %s", text, rc, rc ? err->text : "accepted");
}

Test(samplers, schedules_that_are_refused) {
  static const struct {
    const char *config;
    int code;
    const char *part;
  } cases[] = {
      {"{'_class_name': 'EDMEulerScheduler'}", LD_EUNSUPPORTED, "_class_name"},
      {"{'_class_name': ['a', 'b']}", LD_EFORMAT, "_class_name"},
      {"{'num_train_timesteps': 0}", LD_EFORMAT, "num_train_timesteps"},
      {"{'num_train_timesteps': 100000000000}", LD_EFORMAT, "num_train_timesteps"},
      {"{'num_train_timesteps': 1000.5}", LD_EFORMAT, "num_train_timesteps"},
      {"{'num_train_timesteps': 1, 'rescale_betas_zero_snr': true}", LD_EFORMAT, "no signal"},
      {"{'num_train_timesteps': 1000000}", LD_EFORMAT, "no signal"},
      {"{'beta_start': 0}", LD_EFORMAT, "beta_start"},
      {"{'beta_start': 1e-30}", LD_EFORMAT, "no noise"},
      {"{'beta_end': 1}", LD_EFORMAT, "beta_end"},
      {"{'beta_end': 'x'}", LD_EFORMAT, "beta_end"},
      {"{'beta_schedule': 'sigmoid'}", LD_EUNSUPPORTED, "beta_schedule"},
      {"{'trained_betas': [0.1, 0.2]}", LD_EFORMAT, "trained_betas"},
      {"{'trained_betas': [0.1, -0.2], 'num_train_timesteps': 2}", LD_EFORMAT, "trained_betas"},
      {"{'trained_betas': [0.1, 'a'], 'num_train_timesteps': 2}", LD_EFORMAT, "trained_betas"},
      {"{'prediction_type': 'flow_prediction'}", LD_EUNSUPPORTED, "prediction_type"},
      {"{'prediction_type': null}", LD_EFORMAT, "prediction_type"},
      {"{'predict_epsilon': false}", LD_EUNSUPPORTED, "predict_epsilon"},
      {"{'use_flow_sigmas': true}", LD_EUNSUPPORTED, "use_flow_sigmas"},
      {"{'_class_name': 'FlowMatchEulerDiscreteScheduler', 'shift': -1}", LD_EFORMAT, "shift"},
      {"{'_class_name': 'FlowMatchEulerDiscreteScheduler', 'use_dynamic_shifting': true}", LD_EUNSUPPORTED,
       "use_dynamic_shifting"},
      {"{'_class_name': 'FlowMatchEulerDiscreteScheduler', 'invert_sigmas': true}", LD_EUNSUPPORTED,
       "invert_sigmas"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_error err;
    ld_schedule schedule;
    ld_value *config = parse(cases[i].config);
    const int rc = ld_schedule_read(config, source, &schedule, &err);
    check_error(rc, cases[i].code, cases[i].part, &err, cases[i].config);
    cr_assert(strstr(err.text, source) == err.text, "%s", err.text);
    ld_schedule_free(&schedule);
    ld_value_free(config);
  }
}

static int begin(const char *name, const char *text, int64_t n_steps, ld_error *err) {
  ld_sampling s;
  ld_value *config = text ? parse(text) : NULL;
  const ld_sampling_settings settings = {.n_steps = n_steps, .n = N};
  const int rc = ld_sampling_begin(&s, ld_sampler_find(name), config, source, &settings, err);
  ld_sampling_end(&s);
  ld_value_free(config);
  return rc;
}

Test(samplers, configs_that_are_refused) {
  static const struct {
    const char *sampler, *config;
    int code;
    const char *part;
  } cases[] = {
      {"ddim", "{'thresholding': true}", LD_EUNSUPPORTED, "thresholding"},
      {"ddim", "{'timestep_spacing': 'even'}", LD_EUNSUPPORTED, "timestep_spacing"},
      {"ddim", "{'steps_offset': 500}", LD_EFORMAT, "steps_offset"},
      {"ddim", "{'steps_offset': -1}", LD_EFORMAT, "steps_offset"},
      {"ddim", "{'clip_sample': 1}", LD_EFORMAT, "clip_sample"},
      {"ddim", "{'clip_sample_range': 0}", LD_EFORMAT, "clip_sample_range"},
      {"ddim", "{'rescale_betas_zero_snr': true}", LD_EUNSUPPORTED, "rescale_betas_zero_snr"},
      {"ddim", "{'_class_name': 'FlowMatchEulerDiscreteScheduler'}", LD_EUNSUPPORTED, "prediction_type"},
      {"ddim", "{'num_train_timesteps': 9}", LD_EUSAGE, "num_train_timesteps"},
      {"ddpm", "{'variance_type': 'learned'}", LD_EUNSUPPORTED, "variance_type"},
      {"ddpm", "{'variance_type': 'fixed_large_log'}", LD_EUNSUPPORTED, "variance_type"},
      {"ddpm", "{'variance_type': 'learned_range'}", LD_EMISMATCH, "variance_type"},
      {"pndm", "{}", LD_EUNSUPPORTED, "skip_prk_steps"},
      {"pndm", "{'skip_prk_steps': true, 'prediction_type': 'sample'}", LD_EUNSUPPORTED, "prediction_type"},
      {"pndm", "{'skip_prk_steps': true, 'rescale_betas_zero_snr': true}", LD_EUNSUPPORTED,
       "rescale_betas_zero_snr"},
      {"euler", "{'use_beta_sigmas': true}", LD_EUNSUPPORTED, "use_beta_sigmas"},
      {"euler", "{'use_karras_sigmas': true, 'use_exponential_sigmas': true}", LD_EFORMAT,
       "use_karras_sigmas"},
      {"euler", "{'interpolation_type': 'log_linear'}", LD_EUNSUPPORTED, "interpolation_type"},
      {"euler", "{'timestep_type': 'continuous'}", LD_EUNSUPPORTED, "timestep_type"},
      {"euler", "{'final_sigmas_type': 'one'}", LD_EUNSUPPORTED, "final_sigmas_type"},
      {"euler", "{'sigma_min': -2, 'use_karras_sigmas': true}", LD_EFORMAT, "sigma_min"},
      {"euler_ancestral", "{'prediction_type': 'sample'}", LD_EUNSUPPORTED, "prediction_type"},
      {"dpmsolver++", "{'algorithm_type': 'dpmsolver'}", LD_EUNSUPPORTED, "algorithm_type"},
      {"dpmsolver++", "{'solver_order': 3}", LD_EUNSUPPORTED, "solver_order"},
      {"dpmsolver++", "{'solver_type': 'x'}", LD_EUNSUPPORTED, "solver_type"},
      {"dpmsolver++", "{'use_lu_lambdas': true}", LD_EUNSUPPORTED, "use_lu_lambdas"},
      {"dpmsolver++", "{'thresholding': true}", LD_EUNSUPPORTED, "thresholding"},
      {"dpmsolver++", "{'timestep_spacing': 'leading', 'num_train_timesteps': 10}", LD_EFORMAT,
       "fewer steps"},
      {"dpmsolver++", "{'use_karras_sigmas': true, 'sigma_min': 20, 'sigma_max': 2}", LD_EFORMAT,
       "sigma_min"},
      {"flow", "{'_class_name': 'DDPMScheduler'}", LD_EUNSUPPORTED, "prediction_type"},
      {"flow", "{'shift_terminal': 1}", LD_EFORMAT, "shift_terminal"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_error err;
    const int rc = begin(cases[i].sampler, cases[i].config, 10, &err);
    check_error(rc, cases[i].code, cases[i].part, &err, cases[i].config);
  }
}

Test(samplers, keys_of_other_classes_are_ignored) {
  ld_error err;
  cr_assert(!begin("ddim", "{'use_karras_sigmas': true, 'variance_type': 'learned'}", 10, &err), "%s",
            err.text);
  cr_assert(!begin("euler_ancestral", "{'thresholding': true}", 10, &err), "%s", err.text);
  cr_assert(!begin("flow", "{'timestep_spacing': 'even', 'nobody': 1}", 10, &err), "%s", err.text);
}

/* What a config means to ddim where StableDiffusionPipeline overrules it: the offset is the last timestep, and the last step
 * leads to what the prediction means, clipped or not. */
static void check_overruled(const char *text, int64_t offset, bool clips) {
  ld_error err;
  ld_sampling s;
  float sample[N], prediction[N] = {0};
  ld_value *config = parse(text);
  const ld_sampling_settings settings = {.n_steps = 10, .n = N, .overrule = true};
  cr_assert(!ld_sampling_begin(&s, ld_sampler_find("ddim"), config, source, &settings, &err), "%s", err.text);
  for (int i = 0; i < N; i++) sample[i] = 5;
  s.at = s.n_calls - 1;
  cr_assert_eq((int64_t)s.timesteps[s.at], offset, "%s: %g", text, (double)s.timesteps[s.at]);
  ld_sampling_step(&s, prediction, NULL, sample);
  cr_assert_eq(sample[0] < 1.5f, clips, "%s: %g", text, (double)sample[0]);
  ld_sampling_end(&s);
  ld_value_free(config);
}

/* As diffusers 0.42 does: its own scheduler is overruled in any case; one of another class is made from the file, and what
 * is missing there has that class's default. */
Test(samplers, stable_diffusion_overrules_its_file) {
  check_overruled("{'_class_name': 'DDIMScheduler'}", 1, false);
  check_overruled("{'_class_name': 'DDIMScheduler', 'clip_sample': true, 'steps_offset': 3}", 1, false);
  check_overruled("{'_class_name': 'PNDMScheduler'}", 0, true);
  check_overruled("{'_class_name': 'PNDMScheduler', 'clip_sample': true, 'steps_offset': 0}", 1, false);
  check_overruled("{'_class_name': 'PNDMScheduler', 'steps_offset': 0}", 1, true);
  check_overruled("{'_class_name': 'PNDMScheduler', 'clip_sample': false}", 0, false);
}

/* numpy makes a step too many of some: 61 of 1000. */
Test(samplers, any_numberof_steps) {
  static const char *const configs[] = {"{'timestep_spacing': 'linspace', 'skip_prk_steps': true}",
                                        "{'timestep_spacing': 'leading', 'skip_prk_steps': true}",
                                        "{'timestep_spacing': 'trailing', 'skip_prk_steps': true}",
                                        "{'use_karras_sigmas': true, 'skip_prk_steps': true}"};
  ld_error err;
  for (size_t i = 0; ld_sampler_at(i); i++)
    for (size_t c = 0; c < sizeof configs / sizeof *configs; c++)
      for (int64_t n_steps = 1; n_steps <= 1000; n_steps += 60 - n_steps % 7)
        cr_assert(!begin(ld_sampler_at(i)->name, configs[c], n_steps, &err), "%s", err.text);
  cr_assert(!begin("flow", NULL, 1000, &err), "%s", err.text);
  cr_assert_eq(begin("flow", NULL, 1001, &err), LD_EUSAGE);
  cr_assert_eq(begin("flow", NULL, 0, &err), LD_EUSAGE);
}

static void check_choice(const char *text, const char *name, const char *expected) {
  ld_error err;
  const ld_sampler *found;
  ld_value *config = text ? parse(text) : NULL;
  cr_assert(!ld_sampler_choose(config, name, source, &found, &err), "%s", err.text);
  cr_assert_str_eq(found->name, expected);
  ld_value_free(config);
}

Test(samplers, chosen_by_name_or_by_class) {
  check_choice("{'_class_name': 'PNDMScheduler'}", NULL, "pndm");
  check_choice("{'_class_name': 'PNDMScheduler'}", "euler", "euler");
  check_choice("{'_class_name': 'UniPCMultistepScheduler'}", "dpmsolver++", "dpmsolver++");
  check_choice(NULL, "DDIMScheduler", "ddim");
}

Test(samplers, choices_that_are_refused) {
  ld_error err;
  const ld_sampler *found;
  ld_value *config = parse("{'_class_name': 'UniPCMultistepScheduler'}");
  check_error(ld_sampler_choose(config, NULL, source, &found, &err), LD_EUNSUPPORTED, "UniPC", &err, "class");
  check_error(ld_sampler_choose(config, "eulr", source, &found, &err), LD_EUSAGE, "'euler'", &err, "name");
  check_error(ld_sampler_choose(NULL, NULL, source, &found, &err), LD_EFORMAT, "_class_name", &err, "none");
  ld_value_free(config);
}
