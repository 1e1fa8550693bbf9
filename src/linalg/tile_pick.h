/* The tiles of this program, and which of them a processor can use. */
#ifndef LD_TILE_PICK_H
#define LD_TILE_PICK_H

#include "linalg/tile.h"

/* The height of tiles that cut n rows about evenly; n > 0. */
int ld_tile_height(const ld_tile *tile, int n);

/* The best tile for this processor (name NULL), or the one of that name; NULL when the processor lacks it. */
const ld_tile *ld_tile_pick(const char *name);

/* The name of the i-th tile, from 0; NULL when there are no more. */
const char *ld_tile_name(int i);

/* The tile that every processor supports. */
const ld_tile *ld_tile_plainest(void);

/* The tile for products of bfloat16; NULL when this processor does not have it. */
const ld_tile *ld_tile_pick_bf16(void);

#endif
