#include "io/tokenizer/stage.h"

void ld_stage_feed(ld_stage *stage, const char *bytes, size_t length) {
  if (length) stage->kind->decode.feed(stage, bytes, length);
}

void ld_stage_end(ld_stage *stage) {
  stage->kind->decode.end(stage);
  stage->index++;
}

void ld_stage_finish(ld_stage *stage) {
  stage->kind->decode.finish(stage);
}

void ld_stage_hold(ld_stage *stage, const char *bytes, size_t length) {
  ld_text_append(&stage->hold, bytes, length);
}

void ld_stage_pass_finish(ld_stage *stage) {
  ld_stage_finish(stage->next);
}
