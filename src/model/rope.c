/* Rotary positions (Su et al., "RoFormer", 2021): the frequency of each pair of a head's channels, from
 * config.json. transformers 5 has one map, rope_parameters; before that, rope_theta was at the top level and
 * the rest in rope_scaling. If a config has both maps, rope_scaling replaces rope_parameters, and a member of
 * the map takes precedence over the top-level key of the same name. */
#include "model/rope.h"

#include <math.h>
#include <string.h>

typedef struct rope {
  ld_builder *b;
  const char *key;     /* of the map, for errors */
  const ld_value *map; /* may be NULL */
  double theta, factor, low, high, length;
  int half;
  float *frequency; /* (half) */
} rope;

static void scale_linear(rope *r) {
  for (int i = 0; i < r->half; i++) r->frequency[i] /= (float)r->factor;
}

/* Llama 3.1's scaling: long wavelengths by `factor`, short ones not at all, a blend in between (Dubey et al.,
 * 2024; the formula is that of the released code). */
static void scale_llama3(rope *r) {
  if (!(r->low > 0 && r->high > r->low && r->length > 0)) {
    ld_build_refuse(r->b, r->key,
                    "needs a positive low_freq_factor below high_freq_factor, and a positive "
                    "original_max_position_embeddings");
    return;
  }
  for (int i = 0; i < r->half; i++) {
    const double f = (double)r->frequency[i], wavelength = 2 * M_PI / f;
    const double blend = (r->length / wavelength - r->low) / (r->high - r->low);
    if (wavelength > r->length / r->low)
      r->frequency[i] = (float)(f / r->factor);
    else if (wavelength >= r->length / r->high)
      r->frequency[i] = (float)((1 - blend) * f / r->factor + blend * f);
  }
}

enum { MOST_MEMBERS = 4 };

static const struct kind {
  const char *name;
  void (*scale)(rope *r);
  const char *members[MOST_MEMBERS]; /* besides the common ones */
} kinds[] = {
    {"default", NULL, {NULL}},
    {"linear", scale_linear, {"factor"}},
    {"llama3",
     scale_llama3,
     {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
};

/* A number of the map; a missing one is `fallback`, or refused when that is NAN. */
static double number(const rope *r, const char *name, double fallback) {
  const ld_value *value = ld_value_member(r->map, name);
  if (!value && isnan(fallback)) ld_build_refuse(r->b, r->key, "needs a member '%s'", name);
  if (!value) return fallback;
  if (value->type != LD_INTEGER && value->type != LD_REAL)
    ld_build_refuse(r->b, r->key, "has a '%s' that is %s, not a number", name,
                    ld_value_type_name(value->type));
  return value->real;
}

/* A top-level number of config.json; null counts as `null`. */
static double top_number(const rope *r, const char *name, double fallback, double null) {
  const ld_value *value = ld_value_member(r->b->config, name);
  if (!value) return fallback;
  if (value->type == LD_NULL) return null;
  if (value->type != LD_INTEGER && value->type != LD_REAL)
    ld_build_refuse(r->b, name, "must be a number, not %s", ld_value_type_name(value->type));
  return value->real;
}

static bool is_empty(const ld_value *map) {
  return !map || !map->n_items;
}

static void choose_map(rope *r) {
  const ld_value *scaling = ld_value_get(r->b->config, "rope_scaling");
  const ld_value *parameters = ld_value_get(r->b->config, "rope_parameters");
  const bool by_scaling = !is_empty(scaling);
  r->key = by_scaling ? "rope_scaling" : "rope_parameters";
  r->map = by_scaling ? scaling : parameters;
  if (by_scaling && !is_empty(parameters))
    ld_build_warn(r->b, "rope_parameters is ignored, as in transformers, since rope_scaling is there too");
}

static const struct kind *find_kind(const rope *r) {
  const ld_value *type = ld_value_member(r->map, "rope_type");
  if (!type) type = ld_value_member(r->map, "type");
  if (type && type->type != LD_STRING) {
    ld_build_refuse(r->b, r->key, "must name its rope_type in a string, not %s",
                    ld_value_type_name(type->type));
    return &kinds[0];
  }
  const char *name = type ? type->string : "default";
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i].name, name)) return &kinds[i];
  ld_build_refuse(r->b, r->key,
                  "has the type \"%.64s\", which is not supported (known: default, linear, llama3)", name);
  return &kinds[0];
}

static bool is_known(const struct kind *kind, const char *name) {
  static const char *const all[] = {"rope_type", "type", "rope_theta", "partial_rotary_factor"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!strcmp(all[i], name)) return true;
  for (size_t i = 0; i < MOST_MEMBERS && kind->members[i]; i++)
    if (!strcmp(kind->members[i], name)) return true;
  return false;
}

/* As in transformers, unknown members give a warning; a member that is a map is for one type of layers. */
static void check_members(const rope *r, const struct kind *kind) {
  for (size_t i = 0; r->map && i < r->map->n_items; i++) {
    const ld_value *member = &r->map->items[i];
    if (is_known(kind, member->key)) continue;
    if (member->type == LD_MAP || !strcmp(member->key, "full_attention") ||
        !strcmp(member->key, "sliding_attention"))
      ld_build_refuse(r->b, r->key,
                      "has a member '%.64s': positions for each type of layer are not supported",
                      member->key);
    ld_build_warn(r->b, "%s: '%.64s' does not apply to the type %s and is ignored", r->key, member->key,
                  kind->name);
  }
}

/* transformers prefers the top-level length to the map's. */
static void read_numbers(rope *r, const struct kind *kind) {
  r->theta = ld_value_member(r->map, "rope_theta") ? number(r, "rope_theta", NAN)
                                                   : top_number(r, "rope_theta", 10000, NAN);
  const double part = number(r, "partial_rotary_factor", top_number(r, "partial_rotary_factor", 1, 1));
  if (part != 1) ld_build_refuse(r->b, "partial_rotary_factor", "other than 1 is not supported");
  if (!(r->theta > 0)) ld_build_refuse(r->b, "rope_theta", "must be a positive number");
  if (!kind->scale) return;
  r->factor = number(r, "factor", NAN);
  if (!(r->factor > 0)) ld_build_refuse(r->b, r->key, "needs a positive factor");
  if (kind->scale != scale_llama3) return;
  r->low = number(r, "low_freq_factor", NAN);
  r->high = number(r, "high_freq_factor", NAN);
  const double most = r->b->model->max_positions;
  r->length = top_number(r, "original_max_position_embeddings",
                         number(r, "original_max_position_embeddings", most), NAN);
}

float *ld_build_rotary(ld_builder *b, int head_dim) {
  rope r = {.b = b, .half = head_dim / 2};
  choose_map(&r);
  const struct kind *kind = find_kind(&r);
  check_members(&r, kind);
  read_numbers(&r, kind);
  r.frequency = ld_build_alloc(b, (size_t)r.half, sizeof(float));
  for (int i = 0; i < r.half; i++) r.frequency[i] = (float)(1 / pow(r.theta, 2.0 * i / head_dim));
  if (!b->failed && kind->scale) kind->scale(&r);
  return r.frequency;
}
