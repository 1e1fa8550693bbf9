#include "nn/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

const ld_field *ld_batch_field(const ld_batch *batch, const char *name) {
  for (const ld_field *field = batch->fields; field->name; field++)
    if (!strcmp(field->name, name)) return field;
  fprintf(stderr, "lora_dist: a batch without the field '%s'\n", name);
  abort();
}

void ld_lane_clear(ld_lane *lane) {
  lane->n_rows = lane->n_segments = 0;
  lane->keyed = false;
}

void ld_lane_free(ld_lane *lane) {
  free(lane->ids);
  free(lane->positions);
  free(lane->types);
  free(lane->segment);
  free(lane->numbers);
  free(lane->keys);
  *lane = (ld_lane){0};
}

void ld_lanes_clear(ld_lanes *lanes) {
  for (int i = 0; i < lanes->n; i++) ld_lane_clear(&lanes->list[i]);
}

void ld_lanes_free(ld_lanes *lanes) {
  for (int i = 0; i < lanes->n; i++) ld_lane_free(&lanes->list[i]);
  *lanes = (ld_lanes){0};
}

ld_lane *ld_lane_of(ld_lanes *lanes, const char *name) {
  for (int i = 0; i < lanes->n; i++)
    if (!strcmp(lanes->list[i].name, name)) return &lanes->list[i];
  if (lanes->n == LD_MAX_FIELDS) {
    fprintf(stderr, "lora_dist: a batch with more than %d fields\n", LD_MAX_FIELDS);
    abort();
  }
  lanes->list[lanes->n].name = name;
  return &lanes->list[lanes->n++];
}

void ld_lane_reserve(ld_lane *lane, size_t rows, size_t width) {
  if (rows > lane->room) {
    lane->room = rows;
    lane->ids = ld_realloc(lane->ids, rows, sizeof *lane->ids);
    lane->positions = ld_realloc(lane->positions, rows, sizeof *lane->positions);
    lane->types = ld_realloc(lane->types, rows, sizeof *lane->types);
  }
  if (rows * width > lane->number_room) {
    lane->number_room = rows * width;
    lane->numbers = ld_realloc(lane->numbers, rows * width, sizeof *lane->numbers);
  }
}

int ld_lane_add(ld_lane *lane, int n, size_t width) {
  const int first = lane->n_rows;
  const size_t rows = (size_t)first + (size_t)n;
  if (rows > lane->room || rows * width > lane->number_room) ld_lane_reserve(lane, rows + rows / 2, width);
  lane->n_rows += n;
  return first;
}

void ld_lane_set_key(ld_lane *lane, int s, uint64_t key) {
  if ((size_t)s >= lane->key_room) {
    lane->key_room = (size_t)s + (size_t)s / 2 + 8;
    lane->keys = ld_realloc(lane->keys, lane->key_room, sizeof *lane->keys);
  }
  lane->keys[s] = key;
  lane->keyed = true;
}

/* One more, for the end of the last segment. */
void ld_lane_begin_segment(ld_lane *lane) {
  const size_t places = (size_t)lane->n_segments + 2;
  if (places > lane->segment_room) {
    lane->segment_room = places + places / 2;
    lane->segment = ld_realloc(lane->segment, lane->segment_room, sizeof *lane->segment);
  }
  lane->segment[lane->n_segments++] = lane->n_rows;
}

void ld_lane_add_token(ld_lane *lane, int32_t id, int32_t type) {
  const int at = ld_lane_add(lane, 1, 0);
  lane->ids[at] = id;
  lane->types[at] = type;
  lane->positions[at] = at - lane->segment[lane->n_segments - 1];
}

ld_field ld_lane_field(ld_lane *lane) {
  if (lane->n_segments) lane->segment[lane->n_segments] = lane->n_rows;
  return (ld_field){.name = lane->name,
                    .n_rows = lane->n_rows,
                    .n_segments = lane->n_segments,
                    .segment = lane->segment,
                    .ids = lane->ids,
                    .positions = lane->positions,
                    .types = lane->types,
                    .is_input = lane->is_input,
                    .keys = lane->keyed ? lane->keys : NULL,
                    .numbers = lane->numbers};
}
