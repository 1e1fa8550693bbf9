#include "nn/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/memory.h"

void ld_profile_free(ld_profile *profile) {
  free(profile->rows);
  *profile = (ld_profile){0};
}

void ld_profile_zero(ld_profile *profile) {
  for (size_t i = 0; i < profile->n; i++) {
    const ld_profile_row *row = &profile->rows[i];
    profile->rows[i] = (ld_profile_row){.name = row->name, .role = row->role};
  }
}

/* What follows the last component that is a number and is not the end. */
static const char *role_of(const char *path) {
  const char *role = path;
  for (const char *at = path; *at;) {
    const size_t digits = strspn(at, "0123456789"), length = strcspn(at, ".");
    if (digits && digits == length && at[length]) role = at + length + 1;
    at += length + (at[length] != 0);
  }
  return role;
}

static ld_profile_row *find(ld_profile *profile, const char *name, const char *role) {
  for (size_t i = 0; i < profile->n; i++)
    if (!strcmp(profile->rows[i].name, name) && !strcmp(profile->rows[i].role, role))
      return &profile->rows[i];
  profile->rows = ld_grow(profile->rows, profile->n, &profile->room, sizeof *profile->rows);
  profile->rows[profile->n] = (ld_profile_row){.name = name, .role = role};
  return &profile->rows[profile->n++];
}

double ld_profile_clock(const ld_profile *profile) {
  return profile ? ld_clock() : 0;
}

void ld_profile_lap(ld_profile *profile, double *since, const char *name, const char *role,
                    enum ld_profile_part part, double work) {
  if (!profile) return;
  const double now = ld_profile_clock(profile);
  ld_profile_row *row = find(profile, name, role ? role_of(role) : "");
  row->seconds[part] += now - *since;
  row->work[part] += work;
  row->calls[part]++;
  *since = now;
}
