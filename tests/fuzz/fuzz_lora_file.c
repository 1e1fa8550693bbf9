/* Any bytes as an image generator's adapter file: as diffusers', and as kohya's for a small UNet. What is
 * accepted must pass the writer's checks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/kinds.h"
#include "io/hub/diffusers_lora.h"
#include "io/hub/kohya.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int rc, ld_adapter *adapter, const ld_error *err) {
  ld_error later = {0};
  if (rc && (!err->text[0] || adapter)) abort();
  if (!rc && ld_adapter_check(adapter, "fuzz", &later)) abort();
  ld_adapter_free(adapter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *modules[] = {"unet.conv_in",
                                  "unet.time_embedding.linear_1",
                                  "unet.down_blocks.0.resnets.0.conv1",
                                  "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
                                  "unet.down_blocks.0.downsamplers.0.conv",
                                  "unet.up_blocks.0.upsamplers.0.conv",
                                  "text_encoder.text_model.encoder.layers.0.mlp.fc1"};
  ld_adapter *adapter;
  ld_error err = {0};
  int rc = ld_diffusers_lora_parse(data, size, "fuzz", ld_adapter_forms(), &adapter, &err);
  check(rc, adapter, &err);
  err = (ld_error){0};
  const ld_adapter_context context = {ld_adapter_forms(), modules, sizeof modules / sizeof *modules};
  rc = ld_kohya_parse(data, size, "fuzz", &context, &adapter, &err);
  check(rc, adapter, &err);
  return 0;
}
