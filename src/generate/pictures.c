#include "generate/pictures.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"

typedef struct making {
  const ld_pictures *pictures;
  ld_comm *comm;
  ld_picture_maker *maker;
  ld_image image; /* the one that this rank has made or received */
  int64_t n;      /* in all */
} making;

static int make_one(making *r, int64_t i, ld_error *err) {
  const ld_pictures *p = r->pictures;
  const ld_picture_prompt *prompt = &p->prompts->list[i / p->each];
  char name[64];
  snprintf(name, sizeof name, "picture %lld/%lld", (long long)i + 1, (long long)r->n);
  const ld_picture_request request = {.prompt = &prompt->ids,
                                      .negative = p->prompts->has_negative ? &p->prompts->negative : NULL,
                                      .class = prompt->class,
                                      .number = (uint64_t)i,
                                      .name = ld_log_terminal() ? name : NULL};
  return ld_picture_make_image(r->maker, &request, &r->image, err);
}

static size_t bytes_of(const ld_image *image) {
  return (size_t)image->height * (size_t)image->width * (size_t)image->channels;
}

/* Rank 0 takes the pictures from `first` on, one of each rank. Returns only rank 0's errors. */
static int collect(making *r, int64_t first, ld_error *err) {
  const int rank = ld_comm_rank(r->comm), n_ranks = ld_comm_size(r->comm);
  if (rank && first + rank < r->n) ld_comm_send(r->comm, r->image.pixels, bytes_of(&r->image), 0);
  int rc = 0;
  for (int from = 0; !rank && from < n_ranks && first + from < r->n; from++) {
    if (from) ld_comm_receive(r->comm, r->image.pixels, bytes_of(&r->image), from);
    if (!rc) rc = r->pictures->take(r->pictures->user, first + from, &r->image, err);
  }
  return rc;
}

int ld_pictures_make(const ld_pictures *pictures, ld_comm *comm, ld_error *err) {
  making r = {.pictures = pictures, .comm = comm, .n = (int64_t)pictures->prompts->n * pictures->each};
  const int rank = ld_comm_rank(comm), n_ranks = ld_comm_size(comm);
  int rc = ld_picture_maker_create(pictures->base, pictures->settings, comm, &r.maker, err);
  rc = ld_comm_agree(comm, rc, err);
  for (int64_t first = 0; !rc && first < r.n; first += n_ranks) {
    if (first + rank < r.n) rc = make_one(&r, first + rank, err);
    rc = ld_comm_agree(comm, rc, err);
    if (!rc) rc = ld_comm_agree(comm, collect(&r, first, err), err);
  }
  ld_picture_maker_free(r.maker);
  ld_image_free(&r.image);
  return rc;
}
