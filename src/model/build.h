/* For the build function of a family: reading the config and asking for tensors.
 *
 * The first error sticks and later calls do nothing, so a build function reads straight down and is checked
 * once at its end.
 */
#ifndef LD_BUILD_H
#define LD_BUILD_H

#include "model/model.h"

struct ld_builder {
  ld_model *model;
  const ld_value *config;
  const ld_weights *weights;
  ld_error *err;
  int failed; /* 0, or the first error's code */
};

/* Zeroed memory that the model owns. */
void *ld_build_alloc(ld_builder *builder, size_t count, size_t size);

/* Config values. A size is an integer of at least 1; without a fallback (0) it must be there. */
int ld_build_size(ld_builder *builder, const char *key, int fallback);
double ld_build_real(ld_builder *builder, const char *key, double fallback);
bool ld_build_flag(ld_builder *builder, const char *key, bool fallback);
const char *ld_build_string(ld_builder *builder, const char *key, const char *fallback);

/* Whether the config has the key at all, be it null: a class's default stands in only for keys left out. */
bool ld_build_has(const ld_builder *builder, const char *key);

/* Refuses the config: "<source>/config.json: <key> ...", LD_EUNSUPPORTED. */
void ld_build_refuse(ld_builder *builder, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tensors; the name is a format. A leading "transformer." or "model." may be missing in the file (bare base
 * models). */
float *ld_build_vector(ld_builder *builder, int n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
ld_weight ld_build_matrix(ld_builder *builder, int rows, int cols, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Fills a linear module from "<path>.weight" and, with `bias`, "<path>.bias", and puts it on the model's
 * list. */
void ld_build_linear(ld_builder *builder, ld_linear *linear, int in, int out, bool bias,
                     const char *path_format, ...) __attribute__((format(printf, 6, 7)));

/* The language head: tied to the embedding, or "lm_head.weight" (V, C). */
void ld_build_head(ld_builder *builder, bool tied, const ld_weight *embedding);

/* Whether any of the n linear modules at `linears` has an adapter. */
bool ld_any_adapted(const ld_linear *linears, int n);

#endif
