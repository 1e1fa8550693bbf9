/* The registry of families: building the model that a config.json names.
 */
#ifndef LD_REGISTRY_H
#define LD_REGISTRY_H

#include "base/error.h"
#include "base/value.h"
#include "model/model.h"

/* The families that can serve a folder with this config.json, into `out`, which has room for LD_MOST_HEADS: the one whose
 * class it names or, where it names that of a body, all that have the body, each with a head of another kind. Returns how
 * many; 0, with an error, for none. */
enum { LD_MOST_HEADS = 4 };
int ld_model_families(const ld_value *config, const char *source, const ld_family **out, ld_error *err);

/* Builds the family that config.json names, with the requested head (NULL: the stored one, if any).
 * LD_EUNSUPPORTED when there is none (the text lists those there are) or when the config asks for what the
 * family lacks, naming the key; LD_EFORMAT for a wrong value or a missing or misshapen tensor. The caller
 * frees with ld_model_free. Weights stay where the store has them, but for vectors, which are copied; the store
 * must outlive the model. */
int ld_model_build(const ld_value *config, const ld_weight_store *weights, const ld_head_request *head,
                   ld_model **out, ld_error *err);

#endif
