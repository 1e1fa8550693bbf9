/* The first layout numbers the blocks of the UNet through, a step of the U at a time. A step holds a resnet
 * (0), then attentions (1); a downsampler is a step of its own, an upsampler is the last part of a step:
 *
 *   SDXL        down_blocks.0         .1             .2         mid_block   up_blocks.0    .1           .2
 *   resnets     2, down               2, down        2          2           3, up          3, up        3
 *   steps       input_blocks.1 2 3    4 5 6          7 8        0 1 2       0 1 2          3 4 5        6 7 8 */
#include "io/hub/kohya_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define UNET "unet."

enum { MOST_BLOCKS = 16 };

/* A block of the UNet: how many steps it has, and what. */
typedef struct block {
  int resnets;
  bool has_attentions, has_down;
} block;

typedef struct name {
  char *text;
  const char *module;
} name;

enum { DOWN, UP };

struct ld_kohya_names {
  block blocks[2][MOST_BLOCKS]; /* DOWN, UP */
  bool is_xl;
  name *list; /* all spellings, by text */
  size_t n, room;
};

static const char *after(const char *text, const char *front) {
  const size_t length = strlen(front);
  return strncmp(text, front, length) ? NULL : text + length;
}

/* A small number and the dot after it; NULL when there is none. */
static const char *read_number(const char *text, int *number) {
  const size_t digits = strspn(text, "0123456789");
  if (!digits || digits > 3 || text[digits] != '.') return NULL;
  *number = atoi(text);
  return text + digits + 1;
}

/* The block that a path within the UNet lies in ("down_blocks.1.resnets.0.conv1"): its way (DOWN, UP), its
 * number, and what follows. False for none. */
static bool find_block(const char *path, int *way, int *number, const char **rest) {
  const char *down = after(path, "down_blocks."), *up = after(path, "up_blocks.");
  *way = down ? DOWN : UP;
  *rest = down || up ? read_number(down ? down : up, number) : NULL;
  return *rest && *number < MOST_BLOCKS;
}

static void note_block(ld_kohya_names *names, const char *path) {
  const char *rest;
  int way, number, step;
  if (!find_block(path, &way, &number, &rest)) return;
  block *b = &names->blocks[way][number];
  const char *resnet = after(rest, "resnets.");
  if (resnet && read_number(resnet, &step) && step >= b->resnets) b->resnets = step + 1;
  if (after(rest, "attentions.")) b->has_attentions = true;
  if (after(rest, "downsamplers.")) b->has_down = true;
}

/* Puts another front on a path that begins with the first text of a row; NULL when none fits. */
static char *replace_front(const char *path, const char *const rows[][2], size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char *rest = after(path, rows[i][0]);
    if (rest && (!*rest || *rest == '.')) return ld_format("%s%s", rows[i][1], rest);
  }
  return NULL;
}

/* The parts of a step: a module's path in its block, without the block's and the step's number. */
static char *resnet_part(const char *path) {
  static const char *const rows[][2] = {{"conv1", "0.in_layers.2"},
                                        {"conv2", "0.out_layers.3"},
                                        {"time_emb_proj", "0.emb_layers.1"},
                                        {"conv_shortcut", "0.skip_connection"}};
  return replace_front(path, rows, sizeof rows / sizeof *rows);
}

static int first_step(const block *blocks, int number) {
  int step = 0;
  for (int i = 0; i < number; i++) step += blocks[i].resnets + blocks[i].has_down;
  return step;
}

/* A step's number and its part, joined; NULL for no part, which is freed. */
static char *join(const char *front, int step, char *part) {
  char *path = part ? ld_format("%s.%d.%s", front, step, part) : NULL;
  free(part);
  return path;
}

static char *first_middle(const char *path) {
  const char *resnet = after(path, "resnets."), *attention = after(path, "attentions."), *rest;
  int number = 0;
  if (attention)
    return (rest = read_number(attention, &number)) && !number ? ld_format("middle_block.1.%s", rest) : NULL;
  rest = resnet ? read_number(resnet, &number) : NULL;
  char *part = rest ? resnet_part(rest) : NULL, *full = NULL;
  if (part && number < 2) full = ld_format("middle_block.%d.%s", number * 2, part + 2);
  free(part);
  return full;
}

static char *first_block(const ld_kohya_names *names, const char *path) {
  const char *rest, *inside;
  int way, number, step;
  if (!find_block(path, &way, &number, &rest)) return NULL;
  const block *b = &names->blocks[way][number];
  const char *front = way == DOWN ? "input_blocks" : "output_blocks";
  const int first = first_step(names->blocks[way], number) + (way == DOWN);
  if ((inside = after(rest, "resnets.")) && (inside = read_number(inside, &step)))
    return join(front, first + step, resnet_part(inside));
  if ((inside = after(rest, "attentions.")) && (inside = read_number(inside, &step)))
    return join(front, first + step, ld_format("1.%s", inside));
  if (!strcmp(rest, "downsamplers.0.conv")) return join(front, first + b->resnets, ld_strdup("0.op"));
  if (!strcmp(rest, "upsamplers.0.conv"))
    return join(front, first + b->resnets - 1, ld_format("%d.conv", b->has_attentions ? 2 : 1));
  return NULL;
}

/* A path within the UNet in the first layout; NULL for a module without a place there. The caller frees. */
static char *first_path(const ld_kohya_names *names, const char *path) {
  static const char *const rows[][2] = {{"conv_in", "input_blocks.0.0"},
                                        {"conv_out", "out.2"},
                                        {"time_embedding.linear_1", "time_embed.0"},
                                        {"time_embedding.linear_2", "time_embed.2"},
                                        {"add_embedding.linear_1", "label_emb.0.0"},
                                        {"add_embedding.linear_2", "label_emb.0.2"}};
  char *front = replace_front(path, rows, sizeof rows / sizeof *rows);
  if (front) return front;
  const char *middle = after(path, "mid_block.");
  return middle ? first_middle(middle) : first_block(names, path);
}

/* A prefix and a path whose dots become underscores. */
static char *flat(const char *prefix, const char *path) {
  char *text = ld_format("%s%s", prefix, path);
  for (char *at = text; *at; at++)
    if (*at == '.') *at = '_';
  return text;
}

static void add(ld_kohya_names *names, char *text, const char *module) {
  names->list = ld_grow(names->list, names->n, &names->room, sizeof *names->list);
  names->list[names->n++] = (name){text, module};
}

static void add_all(ld_kohya_names *names, const char *module) {
  const char *rest;
  if ((rest = after(module, UNET))) {
    char *first = first_path(names, rest);
    add(names, flat("lora_unet_", rest), module);
    if (first) add(names, flat("lora_unet_", first), module);
    free(first);
  } else if ((rest = after(module, "text_encoder."))) {
    add(names, flat("lora_te_", rest), module);
    add(names, flat("lora_te1_", rest), module);
  } else if ((rest = after(module, "text_encoder_2."))) {
    add(names, flat("lora_te2_", rest), module);
  }
}

static int by_text(const void *a, const void *b) {
  return strcmp(((const name *)a)->text, ((const name *)b)->text);
}

static int text_to_name(const void *text, const void *of) {
  return strcmp(text, ((const name *)of)->text);
}

ld_kohya_names *ld_kohya_names_new(const char *const *modules, size_t n_modules) {
  ld_kohya_names *names = ld_alloc(1, sizeof *names);
  for (size_t i = 0; i < n_modules; i++) {
    const char *rest = after(modules[i], UNET);
    if (rest) note_block(names, rest);
    if (after(modules[i], "text_encoder_2.") || (rest && after(rest, "add_embedding."))) names->is_xl = true;
  }
  for (size_t i = 0; i < n_modules; i++) add_all(names, modules[i]);
  if (names->n) qsort(names->list, names->n, sizeof *names->list, by_text);
  return names;
}

void ld_kohya_names_free(ld_kohya_names *names) {
  if (!names) return;
  for (size_t i = 0; i < names->n; i++) free(names->list[i].text);
  free(names->list);
  free(names);
}

bool ld_kohya_is_xl(const ld_kohya_names *names) {
  return names->is_xl;
}

const char *ld_kohya_module(const ld_kohya_names *names, const char *text, const char **several) {
  const name *found = names->n ? bsearch(text, names->list, names->n, sizeof *found, text_to_name) : NULL;
  *several = NULL;
  if (!found) return NULL;
  const name *begin = names->list, *end = begin + names->n;
  if (found > begin && !by_text(found, found - 1)) *several = found[-1].module;
  if (found + 1 < end && !by_text(found, found + 1)) *several = found[1].module;
  return *several ? NULL : found->module;
}

/* Files for SDXL have the first layout's names, others the modules'. */
char *ld_kohya_name(const ld_kohya_names *names, const char *module) {
  const char *rest;
  if ((rest = after(module, UNET))) {
    char *first = names->is_xl ? first_path(names, rest) : NULL;
    char *text = first || !names->is_xl ? flat("lora_unet_", first ? first : rest) : NULL;
    free(first);
    return text;
  }
  if ((rest = after(module, "text_encoder."))) return flat(names->is_xl ? "lora_te1_" : "lora_te_", rest);
  return (rest = after(module, "text_encoder_2.")) ? flat("lora_te2_", rest) : NULL;
}
