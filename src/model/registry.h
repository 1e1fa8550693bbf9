/* The registry of families: builds the model that a config.json names. */
#ifndef LD_REGISTRY_H
#define LD_REGISTRY_H

#include "base/error.h"
#include "base/value.h"
#include "model/model.h"

/* Lists the families that can serve a folder with this config.json in `out`, which has room for
 * LD_MOST_HEADS: the one whose class it names or, if it names a body's class, all with that body, each with
 * another kind of head. Returns their number; 0 with an error for none. */
enum { LD_MOST_HEADS = 4 };
int ld_model_families(const ld_value *config, const char *source, const ld_family **out, ld_error *err);

/* Builds the family that config.json names, with the requested head (NULL: the stored one, if any).
 * LD_EUNSUPPORTED when there is no such family (the text lists the known ones) or when the config asks for a
 * feature that the family lacks, naming the key; LD_EFORMAT for a wrong value or a missing or misshapen
 * tensor. The caller frees with ld_model_free. Weights stay in the store, except vectors, which are copied;
 * the store must outlive the model. */
int ld_model_build(const ld_value *config, const ld_weight_store *weights, const ld_head_request *head,
                   ld_model **out, ld_error *err);

#endif
