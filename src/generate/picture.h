/* One picture at a time, by a model that makes them out of noise. */
#ifndef LD_PICTURE_H
#define LD_PICTURE_H

#include "diffusion/samplers.h"
#include "io/image/image.h"
#include "load/base.h"
#include "mpi/comm.h"

/* How pictures are made. */
typedef struct ld_picture_settings {
  const ld_sampler *sampler;
  int64_t n_steps;
  /* Each prediction is u + guidance (p - u), with p the one for the prompt and u the one for the negative prompt or for
   * no class. Not above 1: it is p alone, and so for a model that has neither. Ho and Salimans, "Classifier-Free Diffusion Guidance",
   * 2022, equation 6. */
  double guidance;
  int height, width; /* in pixels */
  uint64_t seed;
} ld_picture_settings;

/* The settings of --scheduler, --sampling-steps or --steps, --guidance, --size and --seed for a model that makes
 * pictures. LD_EUSAGE names the option. */
int ld_picture_settings_find(const ld_base *base, const ld_options *options, ld_picture_settings *out,
                             ld_error *err);

/* Whether predictions are mixed with those for the negative prompt. */
bool ld_picture_is_guided(const ld_base *base, const ld_picture_settings *settings);

typedef struct ld_picture_request {
  const ld_ids *prompt;   /* its tokens, with the first and the end token; NULL for a model without texts */
  const ld_ids *negative; /* the same of the negative prompt; NULL: none */
  int32_t class;          /* what it shows, for a model of classes */
  uint64_t number;        /* names its random numbers, with the seed */
  /* Where its noise is taken from: n numbers from N(0, 1) before the first call of the model (call 0), and for samplers
   * that add noise after each call (1, 2, ...). NULL: drawn by seed, number and call. */
  void (*draw)(void *user, int64_t call, float *x, size_t n);
  void *user;
  const char *name; /* for the progress line: "picture 2/8"; NULL: it has none */
} ld_picture_request;

typedef struct ld_picture_maker ld_picture_maker;

/* Takes all memory that pictures need. The base and the settings are borrowed; comm is polled meanwhile (NULL: none).
 * The caller frees, also after an error. LD_EMEMORY, and errors of the scheduler's config. Not collective. */
int ld_picture_maker_create(const ld_base *base, const ld_picture_settings *settings, ld_comm *comm,
                            ld_picture_maker **out, ld_error *err);
void ld_picture_maker_free(ld_picture_maker *maker); /* NULL is fine */

/* Makes a picture: (channels, height, width) numbers from 0 to 1, which stay until the next one. LD_ENUMERIC when they
 * are not finite. */
int ld_picture_make(ld_picture_maker *maker, const ld_picture_request *request, const float **pixels,
                    ld_error *err);

/* The same with pixels of 8 bits, rounded as diffusers rounds them. */
int ld_picture_make_image(ld_picture_maker *maker, const ld_picture_request *request, ld_image *image,
                          ld_error *err);

#endif
