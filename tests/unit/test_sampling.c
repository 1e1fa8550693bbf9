/* Pictures against the pipelines of diffusers, recorded in tests/golden/diffusion: ten steps with each scheduler, with
 * guidance, a negative prompt and the tokenizers, from the same noise. */
#include "diffusion/samplers.h"
#include "generate/pictures.h"
#include "golden.h"
#include "io/image/decode.h"
#include "io/image/png_write.h"
#include "model/diffusion.h"

#define FOLDER LD_TESTS_DIR "/golden/diffusion"

typedef struct fixture {
  const char *name;
  ld_base base;
  ld_safetensors *samples;
  const ld_stored *noise;
} fixture;

static void open_fixture(fixture *f, const char *name) {
  ld_error err;
  char *path = ld_path_join(FOLDER, name), *samples = ld_path_join(path, "samples.safetensors");
  *f = (fixture){.name = name};
  must(ld_base_open(path, &f->base, &err), &err);
  must(ld_safetensors_open(samples, &f->samples, &err), &err);
  free(path);
  free(samples);
}

static void close_fixture(fixture *f) {
  ld_safetensors_close(f->samples);
  ld_base_close(&f->base);
}

static const ld_stored *stored(const fixture *f, const char *key, const char *what) {
  char *name = ld_format("%s.%s", key, what);
  const ld_stored *found = ld_safetensors_find(f->samples, name);
  free(name);
  return found;
}

/* The noise that diffusers drew, which draws none where it has no effect. */
static void draw(void *user, int64_t call, float *x, size_t n) {
  const fixture *f = user;
  cr_assert((size_t)ld_stored_count(f->noise) == n * (size_t)f->noise->shape[0], "%s", f->name);
  if (call < f->noise->shape[0])
    memcpy(x, (const float *)f->noise->data + (size_t)call * n, n * sizeof *x);
  else
    memset(x, 0, n * sizeof *x);
}

static void encode(const fixture *f, const char *text, ld_ids *out) {
  ld_error err;
  if (f->base.tokenizer)
    must(ld_tokenizer_encode(f->base.tokenizer, text, strlen(text), true, out, &err), &err);
}

/* Makes the picture `key` and returns the largest difference of a pixel; negative where none is recorded. */
static double difference(fixture *f, const char *key, const ld_picture_settings *wanted, bool negative) {
  const ld_stored *pixels = stored(f, key, "pixels");
  ld_picture_settings settings = *wanted;
  ld_ids prompt = {0}, not = {0};
  ld_picture_maker *maker;
  const float *made;
  ld_error err;
  if (!pixels) return -1;
  f->noise = stored(f, key, "noise");
  settings.height = (int)pixels->shape[1];
  settings.width = (int)pixels->shape[2];
  encode(f, "a red cat", &prompt);
  encode(f, "dog in the ink", &not );
  const ld_picture_request request = {
      .prompt = &prompt, .negative = negative ? &not : NULL, .class = 3, .draw = draw, .user = f};
  must(ld_picture_maker_create(&f->base, &settings, NULL, &maker, &err), &err);
  double most = 0;
  for (int again = 0; again < 2; again++) {
    must(ld_picture_make(maker, &request, &made, &err), &err);
    for (int64_t i = 0; i < ld_stored_count(pixels); i++)
      most = fmax(most, fabs((double)made[i] - (double)((const float *)pixels->data)[i]));
  }
  ld_picture_maker_free(maker);
  ld_ids_free(&prompt);
  ld_ids_free(&not );
  return most;
}

static void check(fixture *f, const char *key, const ld_picture_settings *settings, bool negative) {
  const double most = difference(f, key, settings, negative);
  cr_assert(most < 1e-3, "%s: %s: a pixel differs by %.2e", f->name, key, most);
  cr_log_info("%s: %s: %.1e\n", f->name, key, most);
}

static void check_case(const char *name, int n_schedulers) {
  fixture f;
  const ld_sampler *sampler, *own;
  int n = 0;
  open_fixture(&f, name);
  for (size_t i = 0; (sampler = ld_sampler_at(i)); i++)
    if (stored(&f, sampler->name, "pixels")) {
      check(&f, sampler->name, &(ld_picture_settings){.sampler = sampler, .n_steps = 10, .guidance = 5},
            true);
      n++;
    }
  cr_assert_eq(n, n_schedulers, "%s: %d schedulers", name, n);
  ld_error err;
  must(ld_sampler_choose(f.base.model->diffusion->scheduler, NULL, name, &own, &err), &err);
  if (f.base.tokenizer) {
    check(&f, "none", &(ld_picture_settings){.sampler = own, .n_steps = 10, .guidance = 5}, false);
    check(&f, "plain", &(ld_picture_settings){.sampler = own, .n_steps = 10, .guidance = 1}, false);
  }
  close_fixture(&f);
}

Test(sampling, stable_diffusion_1) {
  check_case("sd1", 6);
}

Test(sampling, stable_diffusion_2) {
  check_case("sd2", 6);
}

Test(sampling, sdxl) {
  check_case("sdxl", 6);
}

Test(sampling, pixels) {
  check_case("ddpm", 6);
}

Test(sampling, pixels_of_classes) {
  check_case("ddpm_classes", 4);
}

Test(sampling, transformer) {
  check_case("dit", 6);
}

Test(sampling, transformer_with_flow_matching) {
  check_case("dit_flow", 1);
}

/* A picture depends on its number and the seed alone. */
Test(sampling, noise_follows_seed_and_number) {
  fixture f;
  ld_error err;
  ld_picture_maker *maker;
  float first[3 * 8 * 8] = {0};
  const float *made;
  open_fixture(&f, "ddpm");
  ld_picture_settings settings = {ld_sampler_find("euler"), 3, 1, 8, 8, 7};
  must(ld_picture_maker_create(&f.base, &settings, NULL, &maker, &err), &err);
  for (int i = 0; i < 4; i++) {
    const int number = i == 3 ? 0 : i;
    must(ld_picture_make(maker, &(ld_picture_request){.number = (uint64_t)number}, &made, &err), &err);
    if (!i) memcpy(first, made, sizeof first);
    cr_assert_eq(!memcmp(first, made, sizeof first), number == 0, "picture %d", i);
  }
  settings.seed = 8;
  must(ld_picture_make(maker, &(ld_picture_request){.number = 0}, &made, &err), &err);
  cr_assert(memcmp(first, made, sizeof first) != 0, "the seed changes nothing");
  ld_picture_maker_free(maker);
  close_fixture(&f);
}

Test(sampling, png_is_read_back) {
  ld_error err;
  for (int channels = 1; channels <= 3; channels += 2) {
    ld_image image = {0}, again = {0};
    ld_text png = {0}, second = {0};
    must(ld_image_make(&image, 5, 7, channels, "image", &err), &err);
    for (int i = 0; i < 35 * channels; i++) image.pixels[i] = (uint8_t)(i * i * 31);
    must(ld_png_encode(&image, &png, &err), &err);
    must(ld_png_encode(&image, &second, &err), &err);
    cr_assert(png.length == second.length && !memcmp(png.bytes, second.bytes, png.length));
    must(ld_image_decode(png.bytes, png.length, "png", &again, &err), &err);
    cr_assert(again.height == 5 && again.width == 7 && again.channels == channels);
    cr_assert(!memcmp(image.pixels, again.pixels, (size_t)(35 * channels)));
    ld_image_free(&image);
    ld_image_free(&again);
    ld_text_free(&png);
    ld_text_free(&second);
  }
}
