/* What most objectives lay into a batch. */
#include "objective/objective.h"

void ld_lay_text(const ld_laid *laid, ld_lanes *lanes) {
  const ld_sample *sample = laid->sample;
  if (!sample->tokens.n) return;
  ld_lane *text = ld_lane_of(lanes, LD_TEXT);
  if (!laid->continues) ld_lane_begin_segment(text);
  for (int i = laid->first; i < laid->first + laid->count; i++)
    ld_lane_add_token(text, sample->tokens.ids[i], sample->types.n ? sample->types.ids[i] : 0);
}
