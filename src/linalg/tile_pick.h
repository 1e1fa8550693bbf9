/* The tiles of this program, and which of them a processor can use. */
#ifndef LD_TILE_PICK_H
#define LD_TILE_PICK_H

#include "linalg/tile.h"

/* The height of tiles that cut n rows about evenly; n > 0. */
int ld_tile_height(const ld_tile *tile, int n);

/* The best tile of a precision for this processor (name NULL), or the one of that name; NULL when the processor lacks
 * it. Those of a precision that have fused multiply-adds give the same bits. */
const ld_tile *ld_tile_pick(enum ld_precision precision, const char *name);

/* The name of a tile of that precision, by its number from 0; NULL when there are no more. */
const char *ld_tile_name(enum ld_precision precision, int number);

/* The tile that every processor supports. */
const ld_tile *ld_tile_plainest(void);

#endif
