/* Where the time goes: seconds and multiply-adds by name, for the tape's operations and for other work of a
 * caller. */
#ifndef LD_PROFILE_H
#define LD_PROFILE_H

#include <stddef.h>
#include <stdint.h>

/* A part of a row's time: an operation's forward, its backward (including a forward that the backward pass
 * runs again), or work outside of the passes. */
enum ld_profile_part { LD_PROFILE_FORWARD, LD_PROFILE_BACKWARD, LD_PROFILE_OUTSIDE, LD_PROFILE_PARTS };

typedef struct ld_profile_row {
  const char *name, *role; /* role: "" for none */
  double seconds[LD_PROFILE_PARTS], work[LD_PROFILE_PARTS];
  int64_t calls[LD_PROFILE_PARTS];
} ld_profile_row;

typedef struct ld_profile {
  ld_profile_row *rows;
  size_t n, room;
} ld_profile; /* zero-initialise */

void ld_profile_free(ld_profile *profile);
void ld_profile_zero(ld_profile *profile); /* rows keep their positions */

/* Seconds on a monotonic clock; 0 without a profile. */
double ld_profile_clock(const ld_profile *profile);

/* Adds the time since `*since` and `work` multiply-adds to the row of that name and role, and moves `*since`
 * to now. Does nothing without a profile. The role comes from a module's path: what follows the number of its
 * block, "attn.c_proj" of "h.0.attn.c_proj"; NULL for none. Both strings are borrowed. */
void ld_profile_lap(ld_profile *profile, double *since, const char *name, const char *role,
                    enum ld_profile_part part, double work);

#endif
