/* CLIP's text models. Files have the first with the names of transformers, and those of open_clip with its own,
 * in which queries, keys and values are one matrix:
 *
 *   transformer.resblocks.0.attn.in_proj_weight (3 C, C)   text_model.encoder.layers.0.self_attn.{q,k,v}_proj.weight */
#include <stdlib.h>

#include "base/memory.h"
#include "io/hub/ldm_parts.h"

enum { HEAD = 64 };

static void check_heads(ld_ldm_list *list, const ld_ldm_text *text) {
  if (!list->failed && text->width % HEAD)
    ld_ldm_fail(list, LD_EUNSUPPORTED, "'%s' is %d numbers wide, which are no heads of a known model",
                list->prefix, text->width);
}

/* Both names of the table of words. */
static void read_words(ld_ldm_list *list, ld_ldm_text *text, const char *words, const char *positions) {
  text->vocab = ld_ldm_size(list, 0, "%s", words);
  text->width = ld_ldm_size(list, 1, "%s", words);
  text->length = ld_ldm_size(list, 0, "%s", positions);
  check_heads(list, text);
  ld_ldm_take(list, LD_LDM_SHAPE(text->vocab, text->width), "text_model.embeddings.token_embedding.weight",
              words);
  ld_ldm_take(list, LD_LDM_SHAPE(text->length, text->width),
              "text_model.embeddings.position_embedding.weight", positions);
  if (list->n) text->dtype = list->named[0].tensor.dtype;
}

/* A layer of transformers; the lists of names are those of both layouts. */
static void take_layer(ld_ldm_list *list, const ld_ldm_text *text, int i) {
  static const char *const attention[] = {"self_attn.k_proj", "self_attn.out_proj", "self_attn.q_proj",
                                          "self_attn.v_proj"};
  char *to = ld_format("text_model.encoder.layers.%d", i), *from = ld_format("encoder.layers.%d", i);
  const ld_ldm_at at = {to, from};
  const int C = text->width;
  ld_ldm_norm(list, C, at, "layer_norm1", "layer_norm1");
  ld_ldm_norm(list, C, at, "layer_norm2", "layer_norm2");
  ld_ldm_linear(list, C, text->inner, true, at, "mlp.fc1", "mlp.fc1");
  ld_ldm_linear(list, text->inner, C, true, at, "mlp.fc2", "mlp.fc2");
  for (int k = 0; k < 4; k++) ld_ldm_linear(list, C, C, true, at, attention[k], attention[k]);
  free(to);
  free(from);
}

void ld_ldm_clip_read(ld_ldm_list *list, ld_ldm_text *text) {
  read_words(list, text, "embeddings.token_embedding.weight", "embeddings.position_embedding.weight");
  text->n_layers = ld_ldm_count(list, 0, "encoder.layers.%d.");
  text->inner = ld_ldm_size(list, 0, "encoder.layers.0.mlp.fc1.weight");
  for (int i = 0; i < text->n_layers && !list->failed; i++) take_layer(list, text, i);
  ld_ldm_norm(list, text->width, (ld_ldm_at){"text_model", ""}, "final_layer_norm", "final_layer_norm");
}

static void take_fused(ld_ldm_list *list, int C, ld_ldm_at at) {
  static const char *const names[] = {"q", "k", "v"};
  char *weight = ld_format("%s.attn.in_proj_weight", at.from),
       *bias = ld_format("%s.attn.in_proj_bias", at.from);
  for (int i = 0; i < 3; i++) {
    char *to = ld_format("%s.self_attn.%s_proj.weight", at.to, names[i]),
         *to_bias = ld_format("%s.self_attn.%s_proj.bias", at.to, names[i]);
    ld_ldm_take_part(list, LD_LDM_SHAPE(C, C), i, 3, to, weight);
    ld_ldm_take_part(list, LD_LDM_SHAPE(C), i, 3, to_bias, bias);
    free(to);
    free(to_bias);
  }
  free(weight);
  free(bias);
}

static void take_open_layer(ld_ldm_list *list, const ld_ldm_text *text, int i) {
  char *to = ld_format("text_model.encoder.layers.%d", i), *from = ld_format("transformer.resblocks.%d", i);
  const ld_ldm_at at = {to, from};
  const int C = text->width;
  ld_ldm_norm(list, C, at, "layer_norm1", "ln_1");
  ld_ldm_norm(list, C, at, "layer_norm2", "ln_2");
  ld_ldm_linear(list, C, text->inner, true, at, "mlp.fc1", "mlp.c_fc");
  ld_ldm_linear(list, text->inner, C, true, at, "mlp.fc2", "mlp.c_proj");
  take_fused(list, C, at);
  ld_ldm_linear(list, C, C, true, at, "self_attn.out_proj", "attn.out_proj");
  free(to);
  free(from);
}

void ld_ldm_open_clip_read(ld_ldm_list *list, ld_ldm_text *text, int most, bool projects) {
  text->open = true;
  read_words(list, text, "token_embedding.weight", "positional_embedding");
  text->n_layers = ld_ldm_count(list, 0, "transformer.resblocks.%d.");
  if (text->n_layers > most) text->n_layers = most;
  text->inner = ld_ldm_size(list, 0, "transformer.resblocks.0.mlp.c_fc.weight");
  for (int i = 0; i < text->n_layers && !list->failed; i++) take_open_layer(list, text, i);
  ld_ldm_norm(list, text->width, (ld_ldm_at){"text_model", ""}, "final_layer_norm", "ln_final");
  if (!projects) return;
  text->projected = ld_ldm_size(list, 1, "text_projection");
  ld_ldm_take_transposed(list, LD_LDM_SHAPE(text->width, text->projected), "text_projection.weight",
                         "text_projection");
}

static const char *type_name(ld_dtype dtype) {
  return dtype == LD_F16 ? "float16" : dtype == LD_BF16 ? "bfloat16" : "float32";
}

/* projection_dim counts only in a class with a projection; the others say what their originals say. */
void ld_ldm_text_config(const ld_ldm_text *text, ld_text *out) {
  const int projected = text->projected ? text->projected : text->open ? 512 : text->width;
  ld_text_printf(out, "{\n  \"architectures\": [\"CLIPTextModel%s\"],\n",
                 text->projected ? "WithProjection" : "");
  ld_text_puts(out, "  \"attention_dropout\": 0.0,\n  \"bos_token_id\": 0,\n  \"dropout\": 0.0,\n");
  ld_text_printf(out, "  \"eos_token_id\": 2,\n  \"hidden_act\": \"%s\",\n",
                 text->open ? "gelu" : "quick_gelu");
  ld_text_printf(out, "  \"hidden_size\": %d,\n  \"initializer_factor\": 1.0,\n", text->width);
  ld_text_printf(out, "  \"initializer_range\": 0.02,\n  \"intermediate_size\": %d,\n", text->inner);
  ld_text_printf(out, "  \"layer_norm_eps\": 1e-05,\n  \"max_position_embeddings\": %d,\n", text->length);
  ld_text_printf(out, "  \"model_type\": \"clip_text_model\",\n  \"num_attention_heads\": %d,\n",
                 text->width / HEAD);
  ld_text_printf(out, "  \"num_hidden_layers\": %d,\n  \"pad_token_id\": 1,\n", text->n_layers);
  ld_text_printf(out, "  \"projection_dim\": %d,\n  \"torch_dtype\": \"%s\",\n", projected,
                 type_name(text->dtype));
  ld_text_printf(out, "  \"vocab_size\": %d\n}\n", text->vocab);
}
