/* A batch: the input of a pass and what is to be predicted, as named fields.
 *
 * A field holds rows, one after the other and without padding. Rows that belong together are a segment:
 * segment s is rows [segment[s], segment[s + 1]), and attention stays within it. A family asks for the fields
 * that it reads, an objective for those that it compares with; nothing else knows which fields there are. Two
 * texts of a language model, "the cat" and "a dog sat", are
 *
 *   "text"      ids 1  7 | 4 9  3    positions 0 1 | 0 1 2    segment 0 2 5
 *   "targets"   ids 7 -1 | 9 3 -1 */
#ifndef LD_BATCH_H
#define LD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of fields.
 *
 *   text      ids, positions and types by token, in segments; of two text encoders, types are the second one's ids
 *   source    the same of the text that an encoder-decoder reads; "text" is then the one that it writes, and
 *             segment s of one belongs to segment s of the other
 *   sentences ids: the row of the text at which each sentence begins that has a score of its own, in segments by
 *             text
 *   image     numbers (channels, B, height, width), normalised
 *   times     of noised pictures: ids are timesteps, numbers (1) the weights of the pictures' losses
 *   noise     of noised pictures: numbers from N(0, 1), (channels, height, width) of what is denoised and, for a
 *             model with an autoencoder, as many again to draw its latents with
 *   classes   ids: of pictures, what they show
 *   sizes     numbers (6): of a picture's file, of where it was cut, and of the cut (model/diffusion.h)
 *   targets   ids, -1 for none, or numbers, NaN for none: one for each token of the text, for each segment, for
 *             each output of the head for each segment, or for each sentence, in segments too
 */
#define LD_TEXT "text"
#define LD_SOURCE "source"
#define LD_SENTENCES "sentences"
#define LD_IMAGE "image"
#define LD_TIMES "times"
#define LD_NOISE "noise"
#define LD_CLASSES "classes"
#define LD_SIZES "sizes"
#define LD_TARGETS "targets"

/* Owns nothing. Members that a field does not have are NULL. */
typedef struct ld_field {
  const char *name;
  int n_rows;               /* T tokens, B images, B values */
  int n_segments;           /* B; 0 where each row is independent */
  const int32_t *segment;   /* (B + 1); empty ones only with a cache */
  const int32_t *ids;       /* (n_rows) */
  const int32_t *positions; /* (n_rows) position within the segment; of targets as the objective lays them */
  const int32_t *types;     /* (n_rows) first or second text of a pair; NULL: all 0 */
  const float *numbers;     /* (n_rows), or of images as above */
  bool is_input;            /* a model reads it */
  const uint64_t
      *keys; /* of an input, (n_segments, or n_rows without segments): equal where the contents are; NULL:
                           they are not known to come again */
  float smoothing; /* of target classes: the part of each that is spread over all classes */
  int channels, height, width;
  struct ld_cache *cache; /* generation: keys and values of each segment's previous rows; NULL otherwise */
  const int32_t *slot;    /* (B) where in the cache those of each segment are */
} ld_field;

enum { LD_MAX_FIELDS = 8, LD_MOST_SENTENCES = 100 /* of a text that have scores */ };

typedef struct ld_batch {
  ld_field fields[LD_MAX_FIELDS + 1]; /* the name is NULL after the last */
  uint64_t seed, number; /* identify its dropout: the run's seed and the microbatch's number in the run */
} ld_batch;

/* The field of that name. A missing field is a bug of the caller: the program ends. */
const ld_field *ld_batch_field(const ld_batch *batch, const char *name);

/* The memory of a field that is being filled; reused, grown when needed. Zero-initialise. */
typedef struct ld_lane {
  const char *name; /* the field's */
  int n_rows, n_segments;
  int32_t *ids, *positions, *types, *segment;
  float *numbers;
  uint64_t *keys;       /* of the field's samples */
  bool is_input, keyed; /* the field's; keyed: it has keys */
  size_t room, segment_room, number_room, key_room;
} ld_lane;

void ld_lane_clear(ld_lane *lane);
void ld_lane_free(ld_lane *lane);

/* Those of a batch, in the order in which they were asked for. Zero-initialise, free with ld_lanes_free. */
typedef struct ld_lanes {
  ld_lane list[LD_MAX_FIELDS];
  int n;
} ld_lanes;

void ld_lanes_free(ld_lanes *lanes);

/* Empties all of them; their memory stays. */
void ld_lanes_clear(ld_lanes *lanes);

/* The lane of that field, which is added where there is none. Lanes do not move. */
ld_lane *ld_lane_of(ld_lanes *lanes, const char *name);

/* Makes room for so many rows in all, of `width` numbers each. */
void ld_lane_reserve(ld_lane *lane, size_t rows, size_t width);

/* Adds n rows of `width` numbers each and returns the first one's index. The caller writes their contents. */
int ld_lane_add(ld_lane *lane, int n, size_t width);

/* Gives sample s a key, and the field with it: each of its samples must get one (ld_field.keys). */
void ld_lane_set_key(ld_lane *lane, int s, uint64_t key);

/* Makes the next row begin a segment. */
void ld_lane_begin_segment(ld_lane *lane);

/* Adds a token to the last segment. */
void ld_lane_add_token(ld_lane *lane, int32_t id, int32_t type);

/* The field of what is in the lane, which keeps owning it. */
ld_field ld_lane_field(ld_lane *lane);

/* Keys and values that generation keeps, by block of the model and by slot: a text in progress, or a source
 * that has been read. */
typedef struct ld_cache {
  int n_blocks, n_slots, capacity, width;
  int32_t *length; /* (n_slots) rows in it; whoever runs the model adds the batch's after the forward pass */
  float *keys, *values; /* (n_blocks, n_slots, capacity, width) */
} ld_cache;

#endif
