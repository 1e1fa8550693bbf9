#include "io/image/rule.h"

#include <math.h>
#include <string.h>

typedef double colours[3];

static const colours imagenet_mean = {0.485, 0.456, 0.406}, imagenet_std = {0.229, 0.224, 0.225};

#define HALVES                                                                                               \
  { 0.5, 0.5, 0.5 }
#define CLIP_MEAN                                                                                            \
  { 0.48145466, 0.4578275, 0.40821073 }
#define CLIP_STD                                                                                             \
  { 0.26862954, 0.26130258, 0.27577711 }

/* What a processor of transformers does with keys that a file leaves out. */
typedef struct processor {
  const char *family; /* how its type begins */
  bool crop_pct;      /* ConvNext's way of cropping */
  bool square;        /* a size of one number means both sides, not the shorter one */
  bool square_size;   /* so does `size`, for a file without the key */
  int size, crop_size;
  bool crop;
  ld_resample resample;
  colours mean, std;
} processor;

static const processor processors[] = {
    {"ConvNext", true, false, false, 384, 0, false, LD_BICUBIC, HALVES, HALVES},
    {"ViT", false, true, true, 224, 0, false, LD_BILINEAR, HALVES, HALVES},
    {"DeiT", false, true, true, 256, 224, true, LD_BICUBIC, HALVES, HALVES},
    {"Siglip", false, false, true, 224, 0, false, LD_BICUBIC, HALVES, HALVES},
    {"Bit", false, false, false, 224, 224, true, LD_BICUBIC, CLIP_MEAN, CLIP_STD},
    {"CLIP", false, false, false, 224, 224, true, LD_BICUBIC, CLIP_MEAN, CLIP_STD},
};

/* For a file that does not name its processor. */
static const processor nameless = {.square = true, .resample = LD_BILINEAR};

enum { n_processors = sizeof processors / sizeof *processors };

static int find_processor(const ld_value *config, const char *fallback, const processor **out,
                          ld_error *err) {
  const char *key =
      ld_value_get(config, "image_processor_type") ? "image_processor_type" : "feature_extractor_type";
  const char *type;
  const int rc = ld_value_string(config, key, fallback, &type, err);
  *out = &nameless;
  if (rc || !type) return rc;
  for (int i = 0; i < n_processors; i++) {
    const size_t n = strlen(processors[i].family);
    if (strncmp(type, processors[i].family, n) != 0) continue;
    if (strncmp(type + n, "ImageProcessor", 14) != 0 && strncmp(type + n, "FeatureExtractor", 16) != 0)
      continue;
    *out = &processors[i];
    return 0;
  }
  return ld_fail(
      err, LD_EUNSUPPORTED,
      "%s: '%s' is not known (ConvNext, ViT, DeiT, Siglip, Bit and CLIP are); if it only resizes, crops "
      "and normalises, name one that does the same, and write all keys",
      key, type);
}

/* A null is not a missing key: transformers uses no default for it. It switches a step off. */
static bool is_null(const ld_value *config, const char *key) {
  for (size_t i = 0; i < config->n_items; i++)
    if (!strcmp(config->items[i].key, key)) return config->items[i].type == LD_NULL;
  return false;
}

static int read_flag(const ld_value *config, const char *key, bool fallback, bool *out, ld_error *err) {
  return ld_value_bool(config, key, fallback && !is_null(config, key), out, err);
}

static int fail_null(const char *key, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "%s: null: write a value or leave the key out", key);
}

/* Steps that are not supported must be off. */
static int check_steps(const ld_value *config, ld_error *err) {
  static const char *const known[] = {"do_resize",    "do_center_crop", "do_rescale",
                                      "do_normalize", "do_convert_rgb", "do_reduce_labels"};
  for (size_t i = 0; i < config->n_items; i++) {
    const ld_value *item = &config->items[i];
    bool fine = item->type != LD_BOOLEAN || !item->boolean;
    fine = fine || (strncmp(item->key, "do_", 3) != 0 && strcmp(item->key, "rescale_offset") != 0 &&
                    strcmp(item->key, "use_square_size") != 0);
    for (size_t k = 0; !fine && k < sizeof known / sizeof *known; k++) fine = !strcmp(item->key, known[k]);
    if (!fine)
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: this step is not supported: set it to false if the model can do without",
                     item->key);
  }
  return 0;
}

static int check_side(int64_t side, const char *key, int *out, ld_error *err) {
  if (side < 1 || side > LD_IMAGE_RULE_SIDE)
    return ld_fail(err, LD_EFORMAT, "%s: %lld is out of range, expected 1 to %d", key, (long long)side,
                   (int)LD_IMAGE_RULE_SIDE);
  *out = (int)side;
  return 0;
}

/* A size as written: one side (the shorter one, or both) or two. */
typedef struct sides {
  int shortest, height, width; /* 0: not given */
} sides;

static int get_side(const ld_value *map, const char *member, const char *key, int *out, ld_error *err) {
  int64_t side;
  const int rc = ld_value_int(map, member, 0, &side, err);
  return rc ? ld_fail_prefix(err, rc, "%s", key) : check_side(side, key, out, err);
}

static int read_size_map(const ld_value *map, const char *key, sides *out, ld_error *err) {
  const bool shortest = ld_value_get(map, "shortest_edge");
  for (size_t i = 0; i < map->n_items; i++) {
    const char *member = map->items[i].key;
    if (map->items[i].type == LD_NULL) continue;
    if (shortest ? !strcmp(member, "shortest_edge") : !strcmp(member, "height") || !strcmp(member, "width"))
      continue;
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: '%s' is not known%s, expected shortest_edge, or height and width", key, member,
                   shortest ? " beside shortest_edge" : "");
  }
  if (shortest) return get_side(map, "shortest_edge", key, &out->shortest, err);
  if (!ld_value_get(map, "height") || !ld_value_get(map, "width"))
    return ld_fail(err, LD_EFORMAT, "%s: expected shortest_edge, or height and width", key);
  const int rc = get_side(map, "height", key, &out->height, err);
  return rc ? rc : get_side(map, "width", key, &out->width, err);
}

/* An integer, [height, width], or a map. With `fallback` 0, *out is all zeros when the key is missing; the
 * same when it is null. */
static int read_size(const ld_value *config, const char *key, bool square, int fallback, sides *out,
                     ld_error *err) {
  const ld_value *found = ld_value_get(config, key);
  *out = (sides){0};
  if (found && found->type == LD_MAP) return read_size_map(found, key, out, err);
  if (found && found->type == LD_LIST) {
    const bool pair =
        found->n_items == 2 && found->items[0].type == LD_INTEGER && found->items[1].type == LD_INTEGER;
    if (!pair) return ld_fail(err, LD_EFORMAT, "%s: expected two integers, height and width", key);
    const int rc = check_side(found->items[0].integer, key, &out->height, err);
    return rc ? rc : check_side(found->items[1].integer, key, &out->width, err);
  }
  if (!found && (!fallback || is_null(config, key))) return 0;
  int64_t side;
  int rc = ld_value_int(config, key, fallback, &side, err);
  if (!rc) rc = check_side(side, key, square ? &out->height : &out->shortest, err);
  if (square) out->width = out->height;
  return rc;
}

/* Below 384 the shorter side becomes size / crop_pct and the centre is cropped; from 384 on the whole image
 * is squeezed into the square. */
static int read_convnext(const ld_value *config, const processor *p, ld_image_rule *out, ld_error *err) {
  sides wanted;
  double share;
  bool square;
  int rc = read_flag(config, "default_to_square", p->square, &square, err);
  if (!ld_value_get(config, "size")) square = p->square_size;
  if (!rc) rc = read_size(config, "size", square, p->size, &wanted, err);
  if (!rc) rc = ld_value_real(config, "crop_pct", 224.0 / 256.0, &share, err);
  if (rc) return rc;
  if (!wanted.shortest)
    return ld_fail(
        err, LD_EFORMAT,
        "size: expected an integer or shortest_edge, as ConvNext's processor does, which transformers "
        "takes for a ResNet where image_processor_type is missing");
  if (!(share > 0 && share <= 1))
    return ld_fail(err, LD_EFORMAT, "crop_pct: %g is out of range, expected 0 to 1", share);
  out->height = out->width = wanted.shortest;
  if (wanted.shortest < 384) {
    if (is_null(config, "crop_pct")) return fail_null("crop_pct", err);
    const double edge = wanted.shortest / share;
    return check_side(edge < 2.0 * LD_IMAGE_RULE_SIDE ? (int64_t)edge : INT64_MAX,
                      "crop_pct (size divided by it)", &out->shortest_edge, err);
  }
  out->resize_height = out->resize_width = wanted.shortest;
  return 0;
}

static int read_crop(const ld_value *config, const processor *p, ld_image_rule *out, ld_error *err) {
  sides crop;
  const int rc = read_size(config, "crop_size", true, p->crop_size, &crop, err);
  if (rc) return rc;
  if (!crop.height)
    return ld_fail(err, LD_EFORMAT, "crop_size: expected height and width, or one number for both");
  out->height = crop.height;
  out->width = crop.width;
  return 0;
}

static int read_plain(const ld_value *config, const processor *p, bool resize, bool crop, ld_image_rule *out,
                      ld_error *err) {
  sides wanted;
  bool square;
  int rc = read_flag(config, "default_to_square", p->square && (p->family || !crop), &square, err);
  if (!ld_value_get(config, "size")) square = p->square_size;
  if (!rc) rc = read_size(config, "size", square, p->size, &wanted, err);
  if (rc) return rc;
  if (wanted.shortest) out->height = out->width = wanted.shortest;
  if (wanted.height) out->height = wanted.height, out->width = wanted.width;
  if (resize) {
    out->shortest_edge = wanted.shortest;
    out->resize_height = wanted.height;
    out->resize_width = wanted.width;
  }
  if (!crop && (!resize || wanted.shortest))
    out->loose = resize ? "size with shortest_edge alone" : "do_resize false";
  return crop ? read_crop(config, p, out, err) : 0;
}

static int read_geometry(const ld_value *config, const processor *p, ld_image_rule *out, ld_error *err) {
  bool resize, crop;
  const bool can_resize = p->family || ld_value_get(config, "size");
  const bool can_crop = p->family ? p->crop : ld_value_get(config, "crop_size") != NULL;
  int rc = read_flag(config, "do_resize", can_resize, &resize, err);
  if (!rc) rc = read_flag(config, "do_center_crop", can_crop, &crop, err);
  if (rc) return rc;
  if (resize && !can_resize) return ld_fail(err, LD_EFORMAT, "size: missing, but do_resize is true");
  if (resize && is_null(config, "size")) return fail_null("size", err);
  if (resize && is_null(config, "resample")) return fail_null("resample", err);
  if (p->crop_pct && crop)
    return ld_fail(err, LD_EUNSUPPORTED, "do_center_crop: not supported beside crop_pct: set it to false");
  if (p->crop_pct && resize) return read_convnext(config, p, out, err);
  return read_plain(config, p, resize, crop, out, err);
}

static int read_resample(const ld_value *config, const processor *p, ld_resample *out, ld_error *err) {
  static const char *const names[] = {"nearest", "Lanczos", "bilinear", "bicubic", "box", "Hamming"};
  int64_t number;
  const int rc = ld_value_int(config, "resample", p->resample == LD_BICUBIC ? 3 : 2, &number, err);
  if (rc) return rc;
  if (number != 2 && number != 3)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "resample: %lld%s%s%s is not known, only 2 (bilinear) and 3 (bicubic)", (long long)number,
                   number >= 0 && number < 6 ? " (" : "", number >= 0 && number < 6 ? names[number] : "",
                   number >= 0 && number < 6 ? ")" : "");
  *out = number == 3 ? LD_BICUBIC : LD_BILINEAR;
  return 0;
}

/* One number for all channels, or one for each. */
static int read_channels(const ld_value *config, const char *key, const double *fallback, int channels,
                         float *out, ld_error *err) {
  const ld_value *found = ld_value_get(config, key);
  if (!found && (!fallback || is_null(config, key)))
    return ld_fail(err, LD_EFORMAT, "%s: missing: write it or set do_normalize to false", key);
  const bool list = found && found->type == LD_LIST;
  if (list && found->n_items != (size_t)channels)
    return ld_fail(err, LD_EFORMAT, "%s: has %zu numbers, but the model takes %d channels", key,
                   found->n_items, channels);
  for (int c = 0; c < channels; c++) {
    const ld_value *item = list ? &found->items[c] : found;
    if (found && item->type != LD_REAL && item->type != LD_INTEGER)
      return ld_fail(err, LD_EFORMAT, "%s: expected a number or %d of them, found %s", key, channels,
                     ld_value_type_name(item->type));
    out[c] = (float)(found ? item->real : fallback[c]);
    if (!isfinite(out[c])) return ld_fail(err, LD_EFORMAT, "%s: a number is too large", key);
  }
  return 0;
}

static int read_values(const ld_value *config, const processor *p, ld_image_rule *out, ld_error *err) {
  bool rescale, normalize;
  double factor;
  int rc = read_flag(config, "do_rescale", true, &rescale, err);
  if (!rc) rc = ld_value_real(config, "rescale_factor", 1.0 / 255.0, &factor, err);
  if (!rc)
    rc = read_flag(config, "do_normalize", p->family || ld_value_get(config, "image_mean"), &normalize, err);
  if (rc) return rc;
  if (rescale && is_null(config, "rescale_factor")) return fail_null("rescale_factor", err);
  if (rescale) out->scale = (float)factor;
  if (!(out->scale > 0 && isfinite(out->scale)))
    return ld_fail(err, LD_EFORMAT, "rescale_factor: expected a number above 0");
  if (!normalize) return 0;
  rc = read_channels(config, "image_mean", p->family ? p->mean : NULL, out->channels, out->mean, err);
  if (!rc) rc = read_channels(config, "image_std", p->family ? p->std : NULL, out->channels, out->std, err);
  for (int c = 0; !rc && c < out->channels; c++)
    if (!(out->std[c] > 0)) rc = ld_fail(err, LD_EFORMAT, "image_std: expected numbers above 0");
  return rc;
}

static int read_config(const ld_value *config, const char *fallback, ld_image_rule *out, ld_error *err) {
  const processor *p;
  if (config->type != LD_MAP) return ld_fail(err, LD_EFORMAT, "expected an object");
  int rc = find_processor(config, fallback, &p, err);
  out->crop_down = p->family != NULL;
  if (!rc) rc = check_steps(config, err);
  if (!rc) rc = read_geometry(config, p, out, err);
  if (!rc) rc = read_resample(config, p, &out->resample, err);
  return rc ? rc : read_values(config, p, out, err);
}

static void set_imagenet(ld_image_rule *rule) {
  rule->resize_height = rule->height;
  rule->resize_width = rule->width;
  for (int c = 0; c < rule->channels; c++) {
    /* Grey has no ImageNet values of its own: use the means of the three. */
    const int wide = rule->channels == 3;
    rule->mean[c] =
        (float)(wide ? imagenet_mean[c] : (imagenet_mean[0] + imagenet_mean[1] + imagenet_mean[2]) / 3);
    rule->std[c] =
        (float)(wide ? imagenet_std[c] : (imagenet_std[0] + imagenet_std[1] + imagenet_std[2]) / 3);
  }
}

ld_image_rule ld_image_rule_cover(int channels, int height, int width, int step) {
  ld_image_rule rule = {.cover = true,
                        .step = step,
                        .resample = LD_LANCZOS,
                        .height = height,
                        .width = width,
                        .channels = channels,
                        .scale = 1.0f / 255.0f};
  for (int c = 0; c < LD_MAX_CHANNELS; c++) rule.mean[c] = rule.std[c] = 0.5f;
  return rule;
}

int ld_image_rule_read(const ld_value *config, const char *name, const char *fallback, int channels, int size,
                       ld_image_rule *out, ld_error *err) {
  *out = (ld_image_rule){.channels = channels, .scale = 1, .std = {1, 1, 1, 1}};
  if (channels != 1 && channels != 3)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: the model takes images of %d channels, only 1 and 3 are known",
                   name, channels);
  int rc = check_side(size, "image size", &out->height, err);
  out->width = out->height;
  if (!rc && config)
    rc = read_config(config, fallback, out, err);
  else if (!rc) {
    out->scale = 1.0f / 255.0f;
    set_imagenet(out);
  }
  return rc ? ld_fail_prefix(err, rc, "%s", name) : 0;
}
