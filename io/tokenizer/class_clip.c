/* CLIP's tokenizer: lower-case words, each with its end marked by "</w>", and single digits.
 *
 * transformers (5.24) takes only the vocabulary and the merges from a tokenizer.json and always builds the
 * rest; add_prefix_space, do_lower_case and errors are ignored. A pad_token such as SD 2's "!" is an added
 * token like any other, so that it is cut out of a text too. */
#include "io/tokenizer/class_clip.h"

#define WORD_END "</w>"

static const char pattern[] =
    "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

static json_t *normalizer(void) {
  return json_pack("{s:s, s:[{s:s}, {s:s, s:{s:s}, s:s}, {s:s}]}", "type", "Sequence", "normalizers", "type",
                   "NFC", "type", "Replace", "pattern", "Regex", "\\s+", "content", " ", "type", "Lowercase");
}

static json_t *pre_tokenizer(void) {
  return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b, s:b}]}", "type", "Sequence",
                   "pretokenizers", "type", "Split", "pattern", "Regex", pattern, "behavior", "Removed",
                   "invert", true, "type", "ByteLevel", "add_prefix_space", false, "trim_offsets", true,
                   "use_regex", true);
}

static json_t *post_processor(const ld_class_input *in) {
  return json_pack("{s:s, s:[s,O], s:[s,O], s:b, s:b}", "type", "RobertaProcessing", "sep",
                   ld_special_token(in->tokens, LD_EOS), ld_class_id(in, LD_EOS), "cls",
                   ld_special_token(in->tokens, LD_BOS), ld_class_id(in, LD_BOS), "trim_offsets", false,
                   "add_prefix_space", false);
}

static int build_clip(const ld_class_input *in, json_t *root) {
  const char *unknown = ld_special_token(in->tokens, LD_UNK);
  int rc = ld_class_need(in, LD_BOS);
  if (!rc) rc = ld_class_need(in, LD_EOS);
  if (rc) return rc;
  json_object_set_new(root, "normalizer", normalizer());
  json_object_set_new(root, "pre_tokenizer", pre_tokenizer());
  json_object_set_new(root, "post_processor", post_processor(in));
  json_object_set_new(root, "decoder", json_pack("{s:s}", "type", "ByteLevel"));
  /* transformers spells an unk_token of null so. */
  json_object_set_new(root, "model",
                      json_pack("{s:s, s:s, s:s, s:O, s:O}", "type", "BPE", "unk_token",
                                unknown ? unknown : "None", "end_of_word_suffix", WORD_END, "vocab",
                                in->vocab, "merges", in->merges));
  return 0;
}

#define END "<|endoftext|>"

const ld_token_class ld_clip_class = {.model = "BPE",
                                      .vocabulary = "vocab.json",
                                      .special.roles = {"<|startoftext|>", END, END, NULL, END},
                                      .no_types = true,
                                      .word_end = WORD_END,
                                      .build = build_clip};
