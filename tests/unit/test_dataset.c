#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "data_digest.h"
#include "data_forms.h"
#include "data_records.h"
#include "io/dataset/dataset.h"
#include "io/dataset/format.h"
#include "io/file.h"
#include "io/json.h"

/* One data file in its own folder, read with one of the small tokenizers under golden/. */
typedef struct setting {
  char folder[40], path[64];
  ld_tokenizer *tokenizer;
  ld_dataset_options options;
  ld_dataset *dataset;
} setting;

static setting make_setting(const char *tokenizer) {
  setting s = {.folder = "/tmp/ld_dataset_XXXXXX",
               .options = {.forms = of_language, .eos = -1, .mask_prompt = true}};
  cr_assert(mkdtemp(s.folder));
  char *path = ld_format("%s/golden/chat.%s.json", LD_TESTS_DIR, tokenizer);
  ld_error err = {0};
  cr_assert_eq(ld_tokenizer_open(path, &s.tokenizer, &err), 0, "%s", err.text);
  s.options.tokenizer = s.tokenizer;
  free(path);
  return s;
}

static void put_file(setting *s, const char *name, const void *bytes, size_t length) {
  snprintf(s->path, sizeof s->path, "%s/%s", s->folder, name);
  FILE *file = fopen(s->path, "wb");
  cr_assert(file);
  cr_assert_eq(fwrite(bytes, 1, length, file), length);
  fclose(file);
}

static void close_data(setting *s) {
  ld_dataset_close(s->dataset);
  s->dataset = NULL;
  unlink(s->path);
}

static void open_data(setting *s, const char *name, const void *bytes, size_t length) {
  ld_error err = {0};
  put_file(s, name, bytes, length);
  cr_assert_eq(ld_dataset_open(s->path, &s->options, &s->dataset, &err), 0, "%s", err.text);
}

static void end_setting(setting *s) {
  ld_tokenizer_free(s->tokenizer);
  rmdir(s->folder);
}

static ld_record *index_part(const setting *s, int part, int n_parts, size_t *n) {
  ld_index index;
  ld_error err = {0};
  cr_assert_eq(ld_dataset_index(s->dataset, part, n_parts, &index, &err), 0, "%s", err.text);
  cr_assert(index.labels.kind == LD_LABEL_NONE && !index.labels.names && !index.n_skipped);
  *n = index.n;
  return index.records;
}

static void check_parts(const setting *s, int most) {
  size_t n_all;
  ld_record *all = index_part(s, 0, 1, &n_all);
  for (int n_parts = 2; n_parts <= most; n_parts++) {
    size_t at = 0;
    for (int part = 0; part < n_parts; part++) {
      size_t n;
      ld_record *records = index_part(s, part, n_parts, &n);
      cr_assert_leq(at + n, n_all, "%d parts", n_parts);
      cr_assert(!n || same_records(records, all + at, n), "part %d of %d", part, n_parts);
      at += n;
      free(records);
    }
    cr_assert_eq(at, n_all, "%d parts", n_parts);
  }
  free(all);
}

static ld_value *golden_line(const char **at, const char *end) {
  const char *stop = memchr(*at, '\n', (size_t)(end - *at));
  ld_error err = {0};
  cr_assert(stop);
  ld_value *golden = ld_json_parse(*at, (size_t)(stop - *at), "chat.records.jsonl", &err);
  cr_assert(golden, "%s", err.text);
  *at = stop + 1;
  return golden;
}

static const char *string(const ld_value *map, const char *key) {
  const char *out = NULL;
  ld_value_string(map, key, NULL, &out, NULL);
  return out;
}

static void check_sample(const ld_value *golden, const ld_record *record, const ld_sample *sample) {
  const ld_value *ids = ld_value_get(golden, "ids"), *target = ld_value_get(golden, "target");
  const char *line = string(golden, "line");
  int32_t n_targets = 0;
  cr_assert_eq(record->n_tokens, (int32_t)ids->n_items, "%s: %s: %d tokens, not %zu",
               string(golden, "tokenizer"), line, record->n_tokens, ids->n_items);
  cr_assert_eq(sample->tokens.n, ids->n_items);
  for (size_t i = 0; i < ids->n_items; i++) {
    cr_assert_eq(sample->tokens.ids[i], ids->items[i].integer, "%s: id %zu", line, i);
    cr_assert_eq(sample->target[i], target->items[i].integer, "%s %s: target %zu",
                 string(golden, "tokenizer"), line, i);
    n_targets += sample->target[i];
  }
  cr_assert_eq(record->n_targets, n_targets);
}

static void check_golden(setting *s, const ld_value *golden) {
  int64_t eos;
  ld_value_int(golden, "eos", -1, &eos, NULL);
  s->options.eos = (int32_t)eos;
  ld_value_bool(golden, "mask", true, &s->options.mask_prompt, NULL);
  s->options.chat_template = string(golden, "layout");
  open_data(s, "data.jsonl", string(golden, "line"), strlen(string(golden, "line")));
  size_t n;
  ld_record *records = index_part(s, 0, 1, &n);
  ld_sample sample = {0};
  ld_error err = {0};
  cr_assert_eq(n, 1);
  cr_assert_eq(ld_dataset_read(s->dataset, records, &sample, &err), 0, "%s", err.text);
  check_sample(golden, records, &sample);
  ld_sample_free(&sample);
  free(records);
  close_data(s);
}

static void check_goldens(const char *tokenizer, size_t least) {
  setting s = make_setting(tokenizer);
  ld_map map;
  cr_assert_eq(ld_map_open(LD_TESTS_DIR "/golden/chat.records.jsonl", &map, NULL), 0);
  size_t cases = 0;
  for (const char *at = map.bytes, *end = at + map.length; at < end;) {
    ld_value *golden = golden_line(&at, end);
    if (!strcmp(string(golden, "tokenizer"), tokenizer)) check_golden(&s, golden), cases++;
    ld_value_free(golden);
  }
  cr_assert_geq(cases, least);
  ld_map_close(&map);
  end_setting(&s);
}

Test(dataset, tokens_and_targets_are_pythons_bytelevel) {
  check_goldens("bytelevel", 60);
}

Test(dataset, tokens_and_targets_are_pythons_rstrip) {
  check_goldens("rstrip", 12);
}

Test(dataset, tokens_and_targets_are_pythons_sentencepiece) {
  check_goldens("sentencepiece", 40);
}

Test(dataset, tokens_and_targets_are_pythons_appends_eos) {
  check_goldens("appends-eos", 20);
}

Test(dataset, jsonl_parts_join_without_a_seam) {
  setting s = make_setting("bytelevel");
  ld_text data = {0};
  ld_text_puts(&data, "\xEF\xBB\xBF\r\n");
  for (int i = 0; i < 40; i++)
    ld_text_printf(&data, "%s{\"n\": %d, \"text\": \"%.*s\"}%s", i % 5 ? "" : " \n", i, i * i % 37,
                   "a text of some length or other, is it",
                   i == 39 ? ""
                   : i % 3 ? "\n"
                           : "\r\n");
  open_data(&s, "data.jsonl", data.bytes, data.length);
  cr_assert_eq(ld_dataset_form(s.dataset), &ld_form_text);
  cr_assert_str_eq(ld_dataset_path(s.dataset), s.path);
  size_t n;
  free(index_part(&s, 0, 1, &n));
  cr_assert_eq(n, 38); /* two texts are empty, and eos is not appended */
  check_parts(&s, 9);
  check_parts(&s, 200);
  close_data(&s);
  open_data(&s, "short.jsonl", "{\"text\":\"a\"}", 12);
  check_parts(&s, 20);
  close_data(&s);
  ld_text_free(&data);
  end_setting(&s);
}

/* Blocks of every kind that the cutting rules distinguish, from a small generator of our own. */
static void put_raw(ld_text *text, unsigned seed, size_t length) {
  static const char *const words[] = {"a ", "\xC3\xBC", "\xE6\x97\xA5", "\xF0\x9F\x98\x80", "word ", "-"};
  while (text->length < length) {
    seed = seed * 1664525u + 1013904223u;
    const unsigned kind = seed >> 28;
    const size_t n = kind == 0 ? 70000 : kind < 4 ? 9000 : kind < 8 ? 300 : 20;
    const size_t stop = text->length + n + (seed >> 8) % 101;
    while (text->length < stop) {
      seed = seed * 1664525u + 1013904223u;
      ld_text_puts(text, words[(seed >> 24) % 6]);
    }
    const char *const ends[] = {"\n", "\n\n", "\r\n", "\r\n\r\n", "\n", "\n\n\n", "\n", "\n"};
    ld_text_puts(text, ends[(seed >> 20) % 8]);
  }
}

static void check_raw(setting *s, const ld_text *text) {
  size_t n;
  uint64_t at = 0;
  open_data(s, "data.txt", text->bytes, text->length);
  ld_record *records = index_part(s, 0, 1, &n);
  for (size_t i = 0; i < n; i++) {
    cr_assert_eq(records[i].offset, at);
    cr_assert_leq(records[i].bytes, 128 << 10);
    cr_assert_neq(text->bytes[at] & 0xC0, 0x80);
    cr_assert_eq(records[i].n_targets, records[i].n_tokens);
    at += records[i].bytes;
  }
  cr_assert_eq(at, text->length);
  free(records);
  check_parts(s, 9);
  close_data(s);
}

Test(dataset, raw_parts_join_without_a_seam) {
  setting s = make_setting("bytelevel");
  for (unsigned seed = 1; seed <= 4; seed++) {
    ld_text text = {0};
    put_raw(&text, seed, seed * 130000);
    check_raw(&s, &text);
    ld_text_free(&text);
  }
  end_setting(&s);
}

/* A text; its records, separated by '|'. */
static const char *const cuts[] = {
    "one\nline\n\ntwo",
    "one\nline\n\n|two",
    "\n\none\n",
    "\n\n|one\n",
    "one\n\n\n\ntwo\n\n",
    "one\n\n\n\n|two\n\n",
    "a\r\nb\r\n\r\n\r\nc\r\n",
    "a\r\nb\r\n\r\n\r\n|c\r\n",
    "one\n \ntwo\n",
    "one\n \ntwo\n",
    "\r\none",
    "\r\n|one",
    "\xEF\xBB\xBF\nx\n\ny",
    "\n|x\n\n|y",
    "only",
    "only",
};

Test(dataset, raw_records_end_behind_blank_lines) {
  setting s = make_setting("bytelevel");
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i += 2) {
    ld_text found = {0};
    size_t n;
    open_data(&s, "data.txt", cuts[i], strlen(cuts[i]));
    ld_record *records = index_part(&s, 0, 1, &n);
    for (size_t j = 0; j < n; j++) {
      if (j) ld_text_puts(&found, "|");
      ld_text_append(&found, cuts[i] + records[j].offset, records[j].bytes);
    }
    cr_assert_str_eq(found.bytes, cuts[i + 1]);
    check_parts(&s, 30);
    free(records);
    ld_text_free(&found);
    close_data(&s);
  }
  end_setting(&s);
}

Test(dataset, raw_long_paragraphs_are_cut_at_lines_and_long_lines_at_characters) {
  setting s = make_setting("bytelevel");
  ld_text text = {0};
  for (int i = 0; i < 5000; i++) ld_text_puts(&text, "nine byte\n");
  open_data(&s, "data.txt", text.bytes, text.length);
  size_t n;
  ld_record *records = index_part(&s, 0, 1, &n);
  cr_assert_eq(n, 4); /* the first lines that begin in the second, third and fourth 16 KiB */
  cr_assert_eq(records[1].offset, 16390);
  cr_assert_eq(records[2].offset, 32770);
  cr_assert_eq(records[3].offset, 49160);
  free(records);
  close_data(&s);
  ld_text_clear(&text);
  for (int i = 0; i < 50000; i++) ld_text_puts(&text, "\xE6\x97\xA5");
  open_data(&s, "data.txt", text.bytes, text.length);
  records = index_part(&s, 0, 1, &n);
  cr_assert_eq(n, 3);
  cr_assert_eq(records[1].offset, 65535);
  cr_assert_eq(records[2].offset, 131070);
  free(records);
  close_data(&s);
  ld_text_free(&text);
  end_setting(&s);
}

Test(dataset, raw_ordinary_paragraphs_are_cut_nowhere_else) {
  setting s = make_setting("bytelevel");
  ld_text text = {0};
  for (int i = 0; i < 5000; i++) ld_text_puts(&text, "two\nlines\n\n");
  open_data(&s, "data.txt", text.bytes, text.length);
  size_t n;
  free(index_part(&s, 0, 1, &n));
  cr_assert_eq(n, 5000);
  close_data(&s);
  ld_text_free(&text);
  end_setting(&s);
}

Test(dataset, raw_is_one_stream_with_eos_at_its_end) {
  setting s = make_setting("bytelevel");
  const char *text = "One two.\n\nThree\nfour.\n";
  s.options.eos = ld_tokenizer_id(s.tokenizer, "<|endoftext|>");
  s.options.seq_len = 2;
  open_data(&s, "data.TXT", text, strlen(text));
  cr_assert_eq(ld_dataset_form(s.dataset), &ld_form_raw);
  size_t n;
  ld_record *records = index_part(&s, 0, 1, &n);
  cr_assert_eq(n, 2);
  ld_ids stream = {0};
  ld_sample sample = {0};
  for (size_t i = 0; i < n; i++) {
    cr_assert_eq(ld_dataset_read(s.dataset, &records[i], &sample, NULL), 0);
    cr_assert_eq(sample.tokens.n, (size_t)records[i].n_tokens); /* not truncated */
    for (size_t j = 0; j < sample.tokens.n; j++) {
      cr_assert(sample.target[j]);
      ld_ids_push(&stream, sample.tokens.ids[j]);
    }
  }
  ld_text back = {0};
  ld_tokenizer_decode(s.tokenizer, stream.ids, stream.n, false, &back);
  cr_assert_str_eq(back.bytes, "One two.\n\nThree\nfour.\n<|endoftext|>");
  ld_text_free(&back);
  ld_ids_free(&stream);
  ld_sample_free(&sample);
  free(records);
  close_data(&s);
  end_setting(&s);
}

Test(dataset, records_are_cut_to_seq_len_and_kept_without_targets) {
  setting s = make_setting("bytelevel");
  const char *line =
      "{\"prompt\": \"xyz xyz xyz\", \"completion\": \"!\"}\n{\"completion\": \"!!\", \"prompt\": \"\"}";
  s.options.eos = ld_tokenizer_id(s.tokenizer, "<|endoftext|>");
  s.options.seq_len = 2;
  open_data(&s, "data.jsonl", line, strlen(line));
  size_t n;
  ld_record *records = index_part(&s, 0, 1, &n);
  ld_sample sample = {0};
  cr_assert_eq(n, 2);
  cr_assert(records[0].n_tokens == 2 && records[0].cut == LD_CUT_INPUT);
  cr_assert_eq(records[0].n_targets, 0);
  cr_assert(records[1].n_tokens == 2 && records[1].cut == LD_CUT_INPUT);
  cr_assert_eq(records[1].n_targets, 1);
  cr_assert_eq(ld_dataset_read(s.dataset, &records[0], &sample, NULL), 0);
  cr_assert_eq(sample.tokens.n, 2);
  records[1].bytes += 1;
  ld_error err = {0};
  cr_assert_eq(ld_dataset_read(s.dataset, &records[1], &sample, &err), LD_EMISMATCH);
  ld_sample_free(&sample);
  free(records);
  close_data(&s);
  end_setting(&s);
}

#define GOOD "{\"text\": \"a\"}\n"

/* The same records, wherever the borders of the parts lie, as in JSONL. */
Test(dataset, an_array_is_the_same_in_parts) {
  setting s = make_setting("bytelevel");
  const char *text = " [ {\"text\": \"[{\\\\\"}, {\"text\": \"}, {\\\"\", \"more\": [[{\"text\": "
                     "1}]]}\n\n,{\"text\":\"c\"} ]\n\n";
  open_data(&s, "data.json", text, strlen(text));
  size_t n;
  free(index_part(&s, 0, 1, &n));
  cr_assert_eq(n, 3);
  check_parts(&s, 120);
  close_data(&s);
  end_setting(&s);
}

/* file name, its bytes, what the error says */
static const struct {
  const char *name, *bytes, *error;
} refused[] = {
    {"a.jsonl", "", "a.jsonl: holds no records"},
    {"a.txt", "", "a.txt: holds no records"},
    {"a.txt", "\xEF\xBB\xBF", "a.txt: holds no records"},
    {"a.jsonl", "\n \r\n\t", "a.jsonl: holds no records"},
    {"a.dat", "x",
     "a.dat: unsupported file type; a language model takes files that end in .jsonl, .json, .tsv, "
     ".csv, "
     ".txt"},
    {"a.png", "x", "a.png: a .png file; a language model takes files that end in .jsonl, "},
    {"a.conll", "x", "a.conll: a .conll file; a language model takes files that end in .jsonl, "},
    {"a.csv", "x\n",
     "a.csv: line 1: the columns are \"x\", and none has a known name for a text: name the text \"text\" "
     "(or "},
    {"a.jsonl", "\n[1]\n", "a.jsonl: line 2: expected an object"},
    {"a.jsonl", "{\"q\": 1, \"text\": null}",
     "line 1: the record's keys are \"q\", \"text\" (null), expected "
     "\"messages\", or \"prompt\" and \"completion\", or \"text\""},
    {"a.jsonl", "{}", "line 1: the record's keys are none"},
    {"a.jsonl", GOOD "{\"prompt\": \"\"}",
     "line 2: the record's keys are \"prompt\", expected \"text\", as in the first"},
    {"a.jsonl", GOOD "\n\r\n{\"messages\": []}",
     "line 4: the record's keys are \"messages\", expected \"text\", as in"},
    {"a.jsonl", "{\"prompt\": \"\", \"completion\": \"\"}\n" GOOD,
     "line 2: the record's keys are \"text\", expected \"prompt\" and \"completion\", as in the first"},
    {"a.jsonl", GOOD "{\"text\": 3}", "a.jsonl: line 2: text: expected a string"},
    {"a.jsonl", GOOD "{\"text\": \"a\" 3}", "a.jsonl: line 2, column 14: "},
    {"a.jsonl", GOOD "{\"text\": \"a\"", "a.jsonl: line 2, column 12: '}' expected near the end of the line"},
    {"a.jsonl", GOOD "{\"text\": \r\n" GOOD,
     "a.jsonl: line 2, column 9: unexpected token near the end of the line"},
    {"a.jsonl", GOOD GOOD "nonsense\n" GOOD, "a.jsonl: line 3"},
    {"a.jsonl", GOOD "{\"text\": \"\xFF\"}", "a.jsonl: line 2: the byte 0xff is not UTF-8"},
    {"a.jsonl", "{\"text\": \"\xC3\"}", "a.jsonl: line 1: the byte 0xc3 is not UTF-8"},
    {"a.txt", "a\n\nb\nc\xED\xA0\x80\n", "a.txt: line 4: the byte 0xed is not UTF-8"},
    {"a.txt", "a\n\nb\nc\xE6\x97", "a.txt: line 4: the byte 0xe6 is not UTF-8"},
    {"a.json", " \n", "a.json: holds no records"},
    {"a.json", "\n[ ]", "a.json: line 2: the array is empty"},
    {"a.json", "\n{\"text\": \"a\"}",
     "a.json: line 2: expected an array of objects, [{...}, ...]: of one object a line"},
    {"a.json", "[\n3]", "a.json: line 2: expected an object {...}"},
    {"a.json", "[{\"text\": \"a\"},\n]", "a.json: line 2: expected an object {...}"},
    {"a.json", "[{\"text\": \"a\"}\n{\"text\": \"b\"}]",
     "a.json: line 2: expected a comma, or the bracket ] that ends"},
    {"a.json", "[{\"text\": \"a\"},\n{\"text\": \"b]}",
     "a.json: line 2: the object that begins here does not end"},
    {"a.json", "[{\"text\": \"a\"}",
     "a.json: line 1: expected a comma, or the bracket ] that ends the array"},
    {"a.json", "[{\"text\": \"a\"}]\n\n[]", "a.json: line 3: something follows the array"},
    {"a.json", "[{\"text\": \"a\"},\n{\"text\":\n 3}]", "a.json: line 2: text: expected a string"},
    {"a.json", "[{\"text\": \"a\"},\n{\"text\":\n \"a\" 3}]", "a.json: line 3, column 6: "},
    {"a.json", "[{\"text\": \"a\"},\n{\"prompt\": \"\"}]",
     "line 2: the record's keys are \"prompt\", expected \"text\""},
    {"a.json", "[{\"text\": \"a\"},\n{\"text\": \"\xFF\"}]", "a.json: line 2: the byte 0xff is not UTF-8"},
    {"a.jsonl", "{\"messages\": \"\"}", "line 1: messages: expected a list"},
    {"a.jsonl", "{\"messages\": []}", "line 1: messages: expected at least one message"},
    {"a.jsonl", "{\"messages\": [3]}",
     "line 1: messages[0]: expected an object with \"role\" and \"content\""},
    {"a.jsonl", "{\"messages\": [{\"role\": \"user\"}]}",
     "line 1: messages[0]: content: missing, expected a string"},
    {"a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": []}]}",
     "messages[0]: content: expected a string"},
    {"a.jsonl", "{\"messages\": [{\"role\": \"cook\", \"content\": \"\"}]}",
     "line 1: messages[0].role is \"cook\""},
};

/* The error of opening or else of indexing. */
static ld_error error_of(setting *s, const char *name, const char *bytes, size_t length) {
  ld_error err = {0};
  ld_index index;
  put_file(s, name, bytes, length);
  int rc = ld_dataset_open(s->path, &s->options, &s->dataset, &err);
  if (!rc) {
    rc = ld_dataset_index(s->dataset, 0, 1, &index, &err);
    cr_assert(rc, "%s: nothing is wrong", bytes);
    cr_assert(!index.records && !index.n);
  }
  cr_assert_eq(rc, err.code);
  close_data(s);
  return err;
}

Test(dataset, errors_name_file_line_and_key) {
  setting s = make_setting("bytelevel");
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    const ld_error err = error_of(&s, refused[i].name, refused[i].bytes, strlen(refused[i].bytes));
    cr_assert(!strncmp(err.text, s.folder, strlen(s.folder)), "case %zu: %s", i, err.text);
    cr_assert(strstr(err.text, refused[i].error), "case %zu: %s", i, err.text);
  }
  ld_error err = error_of(&s, "a.txt", "a\nb\0c", 5);
  cr_assert(strstr(err.text, "a.txt: line 2: holds a NUL byte"), "%s", err.text);
  err = error_of(&s, "a.jsonl", GOOD "{\"text\": \"\0\"}", sizeof GOOD - 1 + 12);
  cr_assert(strstr(err.text, "a.jsonl: line 2: holds a NUL byte"), "%s", err.text);
  cr_assert_eq(ld_dataset_open("/nowhere/a.jsonl", &s.options, &s.dataset, &err), LD_EFILE);
  end_setting(&s);
}

Test(dataset, chat_needs_a_layout) {
  setting s = make_setting("sentencepiece");
  const char *line = "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}]}";
  ld_error err = error_of(&s, "a.jsonl", line, strlen(line));
  cr_assert_eq(err.code, LD_EUSAGE);
  cr_assert(strstr(err.text, "--chat-template"), "%s", err.text);
  s.options.chat_template = "llama2";
  open_data(&s, "a.jsonl", line, strlen(line));
  cr_assert_eq(ld_dataset_form(s.dataset), &ld_form_chat);
  close_data(&s);
  end_setting(&s);
}

static uint64_t stay(const ld_dataset *dataset, uint64_t offset) {
  (void)dataset;
  return offset;
}

Test(dataset, a_format_that_does_not_advance_is_caught, .signal = SIGABRT) {
  setting s = make_setting("bytelevel");
  open_data(&s, "a.jsonl", GOOD, sizeof GOOD - 1);
  unlink(s.path);
  rmdir(s.folder);
  ld_data_format format = *s.dataset->format;
  format.next = stay;
  s.dataset->format = &format;
  ld_index index;
  ld_dataset_index(s.dataset, 0, 1, &index, NULL);
}

Test(dataset, digest_is_of_length_and_bytes) {
  setting s = make_setting("bytelevel");
  const char *texts[] = {"abcdefghijk", "abcdefghijl", "abcdefghijk\n",
                         "bbcdefghijk", "abcdefgh",    "Abcdefghijk"};
  char digests[6][LD_DIGEST_TEXT + 1], old[17];
  for (int i = 0; i < 6; i++) {
    open_data(&s, "data.txt", texts[i], strlen(texts[i]));
    data_digest(s.dataset, digests[i]);
    close_data(&s);
    for (int j = 0; j < i; j++) cr_assert_str_neq(digests[i], digests[j]);
  }
  open_data(&s, "other.jsonl", "{\"text\": \"a\"}", 13);
  ld_source_old_digest(ld_dataset_source(s.dataset), old);
  cr_assert_str_eq(old, "71d986661d42359b");
  close_data(&s);
  end_setting(&s);
}
