#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "data_forms.h"
#include "data_records.h"
#include "io/dataset/dataset.h"

/* Every letter from a to h is a token from 5 on, anything else 0; [CLS] text [SEP] pair [SEP]. */
static const char tokenizer_json[] =
    "{\"version\":\"1.0\",\"added_tokens\":["
    "{\"id\":1,\"content\":\"[CLS]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":2,\"content\":\"[SEP]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true}],"
    "\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":{\"type\":\"TemplateProcessing\","
    "\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":"
    "0}},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],"
    "\"pair\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}"
    "},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}],"
    "\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[1],\"tokens\":[\"[CLS]\"]},"
    "\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[2],\"tokens\":[\"[SEP]\"]}}},"
    "\"decoder\":null,\"model\":{\"type\":\"BPE\",\"vocab\":{\"?\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":5,\"b\":6,"
    "\"c\":7,\"d\":8,\"e\":9,\"f\":10,\"g\":11,\"h\":12},\"merges\":[],\"unk_token\":\"?\",\"fuse_unk\":"
    "false,"
    "\"byte_fallback\":false}}";

typedef struct setting {
  char folder[40], path[64];
  ld_tokenizer *tokenizer;
  ld_dataset_options options;
  ld_dataset *dataset;
} setting;

static setting make_setting(void) {
  setting s = {.folder = "/tmp/ld_labelled_XXXXXX", .options = {.forms = of_texts, .eos = -1}};
  ld_error err = {0};
  cr_assert(mkdtemp(s.folder));
  cr_assert_eq(ld_tokenizer_parse(tokenizer_json, sizeof tokenizer_json - 1, "test", &s.tokenizer, &err), 0,
               "%s", err.text);
  s.options.tokenizer = s.tokenizer;
  return s;
}

static void end_setting(setting *s) {
  ld_tokenizer_free(s->tokenizer);
  rmdir(s->folder);
}

static void put_file(setting *s, const char *name, const char *bytes, size_t length) {
  snprintf(s->path, sizeof s->path, "%s/%s", s->folder, name);
  FILE *file = fopen(s->path, "wb");
  cr_assert(file);
  cr_assert_eq(fwrite(bytes, 1, length, file), length);
  fclose(file);
}

static void open_data(setting *s, const char *name, const char *bytes) {
  ld_error err = {0};
  put_file(s, name, bytes, strlen(bytes));
  cr_assert_eq(ld_dataset_open(s->path, &s->options, &s->dataset, &err), 0, "%s", err.text);
}

static void close_data(setting *s) {
  ld_dataset_close(s->dataset);
  s->dataset = NULL;
  unlink(s->path);
}

static ld_index index_part(const setting *s, int part, int n_parts) {
  ld_index index;
  ld_error err = {0};
  cr_assert_eq(ld_dataset_index(s->dataset, part, n_parts, &index, &err), 0, "%s", err.text);
  return index;
}

static void put_ids(ld_text *out, const ld_ids *ids, const ld_ids *types) {
  for (size_t i = 0; i < ids->n; i++) {
    const int32_t id = ids->ids[i];
    ld_text_printf(out, "%s%c", i && types->ids[i] != types->ids[i - 1] ? "/" : "",
                   id == 1   ? '<'
                   : id == 2 ? '>'
                   : id >= 5 ? "abcdefgh"[id - 5]
                             : '?');
  }
}

/* "<ab>/cd> name; ..." of all records: the ids as letters, with the labels of the index. */
static void describe(const setting *s, ld_text *out) {
  ld_index index = index_part(s, 0, 1);
  ld_sample sample = {0};
  ld_error err = {0};
  ld_text_puts(out, "");
  for (size_t i = 0; i < index.n; i++) {
    const ld_record *record = &index.records[i];
    cr_assert_eq(ld_dataset_read(s->dataset, record, &sample, &err), 0, "%s", err.text);
    cr_assert_eq(sample.tokens.n, sample.types.n);
    cr_assert_eq((size_t)record->n_tokens, sample.n_whole);
    cr_assert_eq(record->n_targets, sample.label_kind != LD_LABEL_NONE);
    for (size_t j = 0; j < sample.tokens.n; j++) cr_assert_eq(sample.target[j], 0);
    put_ids(out, &sample.tokens, &sample.types);
    if (sample.label_kind == LD_LABEL_NAME) {
      cr_assert_str_eq(sample.label_name.bytes, index.labels.names[record->label]);
      ld_text_printf(out, " %s", index.labels.names[record->label]);
    } else if (sample.label_kind != LD_LABEL_NONE) {
      cr_assert_eq(record->value, (float)sample.label_value);
      ld_text_printf(out, sample.label_kind == LD_LABEL_INTEGER ? " %.0f:%d" : " %g:%d", record->value,
                     record->label);
    } else {
      cr_assert(record->label == -1 && isnan(record->value));
    }
    ld_text_puts(out, i + 1 < index.n ? "; " : "");
  }
  ld_sample_free(&sample);
  ld_index_free(&index);
}

#define PAIR_JSON "{\"text\": \"abc\", \"text_pair\": \"def\", \"label\": \"yes\"}\n"

/* file name, its bytes, what is read of it, the kind of its labels */
static const struct {
  const char *name, *bytes, *read;
  ld_label_kind kind;
} readings[] = {
    {"a.jsonl", "{\"text\": \"ab\", \"label\": \"b\"}\n\n{\"label\": \"a\", \"text\": \"\", \"n\": 1}\n",
     "<ab> b; <> a", LD_LABEL_NAME},
    {"a.jsonl", PAIR_JSON "{\"text\": \"a\", \"text_pair\": null}\n", "<abc>/def> yes; <a>", LD_LABEL_NAME},
    {"a.jsonl", "{\"text\": \"a\", \"label\": \"1\"}", "<a> 1", LD_LABEL_NAME},
    {"a.jsonl",
     "{\"text\": \"a\", \"label\": 2}\n{\"text\": \"b\", \"label\": null}\n{\"text\": \"c\", \"label\": 0}",
     "<a> 2:2; <b>; <c> 0:0", LD_LABEL_INTEGER},
    {"a.jsonl",
     "{\"text\": \"a\", \"label\": 2}\n{\"text\": \"b\", \"label\": -0.5}\n{\"text\": \"b\", \"label\": 3.0}",
     "<a> 2:2; <b> -0.5:-1; <b> 3:3", LD_LABEL_REAL},
    {"a.jsonl", "{\"text\": \"a\"}", "<a>", LD_LABEL_NONE},
    {"a.tsv", "sentence\tlabel\na b\t1\nc\"d \t0\n", "<a?b> 1:1; <c?d?> 0:0", LD_LABEL_INTEGER},
    {"a.TSV",
     "\xEF\xBB\xBFindex\tsentence1\tsentence2\tscore\r\n0\ta\tb\t5.000\r\n1\tc\t\t+.5e1\r\n\r\n2\td\td\t7",
     "<a>/b> 5:5; <c>/> 5:5; <d>/d> 7:7", LD_LABEL_REAL},
    {"a.tsv", "Label\tPremise\tHypothesis\n pos \ta\tb\n\tc\td\nneg\te\tf", "<a>/b> pos; <c>/d>; <e>/f> neg",
     LD_LABEL_NAME},
    {"a.tsv", "text\n\na\n\n \nb", "<a>; <?>; <b>", LD_LABEL_NONE},
    {"a.tsv", "index\tquestion\tsentence\tlabel\n0\ta\tb\tno\n", "<a>/b> no", LD_LABEL_NAME}, /* QNLI */
    {"a.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta\tb\t1\n", "<a>/b> 1:1",
     LD_LABEL_INTEGER}, /* QQP */
    {"a.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n", "<a>/b> 1:1",
     LD_LABEL_INTEGER}, /* MRPC */
    {"a.tsv", "genre\tsentence1\tsentence2\tlabel1\tgold_label\nx\ta\tb\tc\td\n", "<a>/b> d",
     LD_LABEL_NAME}, /* MNLI */
    {"a.tsv", "gold_label\tsentence1\tsentence2\n-\ta\tb\nc\td\te\n", "<a>/b>; <d>/e> c", LD_LABEL_NAME},
    {"a.jsonl", "{\"gold_label\": \"-\", \"sentence1\": \"a\", \"sentence2\": \"b\"}", "<a>/b>",
     LD_LABEL_NONE},
    {"a.csv", "passage,question,label\na,b,0\n", "<b>/a> 0:0",
     LD_LABEL_INTEGER}, /* the question comes first */
    {"a.csv", "label,text_a,text_b\nx,a,b\n", "<a>/b> x", LD_LABEL_NAME},
    {"a.csv", "query,text,score,label\na,b,3,1\n", "<a>/b> 1:1", LD_LABEL_INTEGER},
    {"a.csv", "question,label\na,x\n", "<a> x", LD_LABEL_NAME},
    {"a.jsonl", "{\"premise\": \"a\", \"hypothesis\": \"b\", \"label\": 1, \"idx\": 0}", "<a>/b> 1:1",
     LD_LABEL_INTEGER},
    {"a.jsonl", "{\"gold_label\": \"x\", \"sentence2\": \"b\", \"sentence1\": \"a\"}", "<a>/b> x",
     LD_LABEL_NAME},
    {"a.jsonl", "{\"sentence\": \"a\"}\n{\"sentence\": \"b\", \"label\": \"x\"}", "<a>; <b> x",
     LD_LABEL_NAME},
    {"a.tsv", "text\tlabel\na\t-\nb\t1e\nc\t.\nd\t0x1\n", "<a> -; <b> 1e; <c> .; <d> 0x1", LD_LABEL_NAME},
    {"a.csv", "text,label\na,x\n\"b,c\",\"y\"\n\"d\n\ne\",x\r\n\"f\"\"\"\"g\",\"z\"\"\"\n",
     "<a> x; <b?c> y; <d??e> x; <f??g> z\"", LD_LABEL_NAME},
    {"a.csv", "\xEF\xBB\xBF\"label\";\"text\";\"id\"\r\n1;a,b;\"7\"\r\n\r\n02;\"\";\r\n;h\";\"\"",
     "<a?b> 1:1; <> 2:2; <h?>", LD_LABEL_INTEGER},
    {"a.csv", "text\n\"a\"\n\n\nb\n", "<a>; <b>", LD_LABEL_NONE},
    {"a.csv", "text,label\n\"a\",\"0\"", "<a> 0:0", LD_LABEL_INTEGER},
};

Test(labelled, records_are_read_with_their_labels) {
  setting s = make_setting();
  for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
    ld_text found = {0};
    open_data(&s, readings[i].name, readings[i].bytes);
    cr_assert_eq(ld_dataset_form(s.dataset), &ld_form_labelled);
    describe(&s, &found);
    cr_assert_str_eq(found.bytes, readings[i].read, "case %zu: %s", i, found.bytes);
    ld_index index = index_part(&s, 0, 1);
    cr_assert_eq(index.labels.kind, readings[i].kind, "case %zu", i);
    ld_index_free(&index);
    ld_text_free(&found);
    close_data(&s);
  }
  end_setting(&s);
}

/* Unused keys are counted over all parts of a file; null counts as missing. */
Test(labelled, unused_keys_are_counted) {
  setting s = make_setting();
  open_data(&s, "a.jsonl",
            "{\"text\": \"a\", \"label\": 1, \"id\": 7, \"text_pair\": \"b\"}\n"
            "{\"text\": \"a\", \"labels\": 1, \"id\": null}\n{\"id\": 8, \"text\": \"b\", \"score\": 0.5}\n");
  for (int n_parts = 1; n_parts < 4; n_parts++) {
    ld_tally all = {0};
    ld_text list = {0};
    for (int i = 0; i < n_parts; i++) {
      ld_text bytes = {0};
      ld_index index = index_part(&s, i, n_parts);
      ld_tally_put(&index.unused, &bytes);
      const char *at = bytes.bytes;
      cr_assert(ld_tally_take(&at, at + bytes.length, &all));
      ld_text_free(&bytes);
      ld_index_free(&index);
    }
    ld_tally_list(&all, "", &list);
    cr_assert_str_eq(list.bytes, "id (2), labels (1), score (1)");
    ld_text_free(&list);
    ld_tally_free(&all);
  }
  close_data(&s);
  end_setting(&s);
}

Test(labelled, cutting_keeps_the_special_tokens_and_can_be_counted) {
  setting s = make_setting();
  s.options.seq_len = 7;
  open_data(&s, "a.jsonl",
            "{\"text\": \"abcdefgh\"}\n{\"text\": \"abcdefgh\", \"text_pair\": \"abcd\"}\n"
            "{\"text\": \"a\", \"text_pair\": \"bcdefgh\"}\n{\"text\": \"abcde\"}\n");
  ld_index index = index_part(&s, 0, 1);
  const uint32_t was_cut[] = {LD_CUT_INPUT, LD_CUT_INPUT, LD_CUT_INPUT, 0};
  const char *const cut[] = {"<abcde>", "<ab>/ab>", "<a>/bcd>", "<abcde>"};
  ld_sample sample = {0};
  cr_assert_eq(index.n, 4);
  for (size_t i = 0; i < 4; i++) {
    ld_text text = {0};
    cr_assert(index.records[i].n_tokens == 7 && index.records[i].cut == was_cut[i]);
    cr_assert_eq(ld_dataset_read(s.dataset, &index.records[i], &sample, NULL), 0);
    put_ids(&text, &sample.tokens, &sample.types);
    cr_assert_str_eq(text.bytes, cut[i]);
    ld_text_free(&text);
  }
  ld_sample_free(&sample);
  ld_index_free(&index);
  close_data(&s);
  s.options.seq_len = 2;
  open_data(&s, "a.jsonl", "\n" PAIR_JSON);
  ld_error err = {0};
  cr_assert_eq(ld_dataset_index(s.dataset, 0, 1, &index, &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "a.jsonl: line 2: "), "%s", err.text);
  close_data(&s);
  end_setting(&s);
}

Test(labelled, a_language_model_takes_the_same_files_as_plain_text) {
  setting s = make_setting();
  const char *const names[] = {"a.jsonl", "a.tsv", "a.csv"};
  const char *const bytes[] = {PAIR_JSON, "sentence1\tsentence2\tlabel\tscore\nabc\tdef\tyes\t\xC3\xA9\n",
                               "label,text\nyes,\"abc\"\n"};
  s.options.forms = of_language;
  s.options.eos = 12;
  for (int i = 0; i < 3; i++) {
    ld_sample sample = {0};
    open_data(&s, names[i], bytes[i]);
    cr_assert_eq(ld_dataset_form(s.dataset), &ld_form_text);
    ld_index index = index_part(&s, 0, 1);
    cr_assert_eq(index.n, 1);
    cr_assert_eq(index.labels.kind, LD_LABEL_NONE);
    cr_assert_eq(index.records[0].n_tokens, 6); /* <abc> and eos */
    cr_assert_eq(index.records[0].n_targets, 5);
    cr_assert_eq(index.records[0].label, -1);
    cr_assert_eq(ld_dataset_read(s.dataset, index.records, &sample, NULL), 0);
    cr_assert_eq(sample.tokens.ids[5], 12);
    cr_assert_eq(sample.label_kind, LD_LABEL_NONE);
    ld_sample_free(&sample);
    ld_index_free(&index);
    close_data(&s);
  }
  end_setting(&s);
}

/* The records of all parts joined are those of the whole, with the same labels when they are merged. */
static void check_parts(const setting *s, int n_parts) {
  ld_index whole = index_part(s, 0, 1), *parts = ld_alloc((size_t)n_parts, sizeof *parts);
  ld_labels *sets = ld_alloc((size_t)n_parts, sizeof *sets), all, all_of_one;
  ld_error err = {0};
  size_t at = 0;
  for (int i = 0; i < n_parts; i++) {
    parts[i] = index_part(s, i, n_parts);
    sets[i] = parts[i].labels;
  }
  cr_assert_eq(ld_labels_merge(sets, (size_t)n_parts, &all, &err), 0, "%s", err.text);
  cr_assert_eq(ld_labels_merge(&whole.labels, 1, &all_of_one, &err), 0, "%s", err.text);
  cr_assert_eq(ld_index_renumber(&whole, &all_of_one, &err), 0, "%s", err.text);
  for (int i = 0; i < n_parts; i++) {
    cr_assert_eq(ld_index_renumber(&parts[i], &all, &err), 0, "%s", err.text);
    cr_assert_leq(at + parts[i].n, whole.n);
    cr_assert(!parts[i].n || same_records(parts[i].records, whole.records + at, parts[i].n));
    at += parts[i].n;
    ld_index_free(&parts[i]);
  }
  cr_assert_eq(at, whole.n);
  cr_assert_eq(all.n_names, whole.labels.n_names);
  for (size_t i = 0; i < all.n_names; i++) {
    cr_assert_str_eq(all.names[i], whole.labels.names[i]);
    cr_assert(!i || strcmp(all.names[i - 1], all.names[i]) < 0);
  }
  ld_labels_free(&all);
  ld_labels_free(&all_of_one);
  ld_index_free(&whole);
  free(parts);
  free(sets);
}

static void put_rows(ld_text *text, const char *format, int n) {
  for (int i = 0; i < n; i++) {
    char label[24];
    snprintf(label, sizeof label, "l%d", i * i % 31);
    if (i % 7 == 0) label[0] = 0;
    ld_text_printf(text, format, i * i % 13, "abcdefghabcdefgh", label);
    ld_text_puts(text, i % 5 ? "\n" : i % 10 ? "\r\n" : "\n\r\n\n");
  }
}

Test(labelled, parts_join_without_a_seam) {
  setting s = make_setting();
  const char *const names[] = {"a.tsv", "a.csv", "a.jsonl"};
  const char *const heads[] = {"text\tlabel\n", "text;label\n\n", ""};
  const char *const formats[] = {"%.*s\t%s", "\"%.*s\n\n\"\"\n,;\";%s",
                                 "{\"text\": \"%.*s\", \"label\": \"x%s\"}"};
  for (int i = 0; i < 3; i++) {
    ld_text text = {0};
    ld_text_puts(&text, heads[i]);
    put_rows(&text, formats[i], 60);
    open_data(&s, names[i], text.bytes);
    ld_index index = index_part(&s, 0, 1);
    cr_assert_eq(index.n, 60);
    ld_index_free(&index);
    for (int n_parts = 1; n_parts < 10; n_parts++) check_parts(&s, n_parts);
    check_parts(&s, 500);
    close_data(&s);
    ld_text_free(&text);
  }
  end_setting(&s);
}

#define GOOD "{\"text\": \"a\", \"label\": 1}\n"
#define NAMED "{\"text\": \"a\", \"label\": \"x\"}\n"
#define LONG_NAME "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefx"

/* file name, its bytes, what the error says */
static const struct {
  const char *name, *bytes, *error;
} refused[] = {
    {"a.txt", "x",
     "a.txt: a .txt file; a classifier of texts takes labelled records in files that end in "
     ".jsonl, .json, "
     ".tsv, .csv"},
    {"a.png", "x", "a.png: a .png file; a classifier of texts takes"},
    {"a.conll", "x", "a.conll: a .conll file; a classifier of texts takes"},
    {"a.parquet", "x", "a.parquet: is a Parquet file, which is not read: convert it: python3"},
    {"a.docx", "x", "a.docx: unsupported file type; a classifier of texts"},
    {"a.jsonl", "{\"messages\": []}",
     "a.jsonl: line 1: the keys are \"messages\", and none has a known name for a text: name the text "
     "\"text\""},
    {"a.jsonl", "{\"prompt\": \"\", \"completion\": \"\"}",
     "the keys are \"prompt\", \"completion\", and none has a known name for a text"},
    {"a.jsonl", GOOD "{\"label\": 1}",
     "line 2: the record's keys are \"label\", expected \"text\", as in the first"},
    {"a.jsonl", GOOD "{\"text\": 1}", "line 2: text: expected a string"},
    {"a.jsonl", "{\"text\": \"\", \"text_pair\": []}", "line 1: text_pair: expected a string"},
    {"a.jsonl", GOOD "{\"text\": \"\", \"label\": true}",
     "line 2: label: expected a string or a number, found "},
    {"a.jsonl", "{\"text\": \"\", \"label\": [1]}",
     "line 1: label: expected a string or a number, found a list"},
    {"a.jsonl", GOOD "{\"text\": \"\", \"label\": -1}", "line 2: label: -1, but classes count from 0: "},
    {"a.jsonl", "{\"text\": \"\", \"label\": 1000001}", "label: 1000001, but classes count up to 1000000"},
    {"a.jsonl", "{\"text\": \"\", \"label\": 1e39}", "line 1: label: not a finite number"},
    {"a.jsonl", GOOD "\n" NAMED, "a.jsonl: line 3: label: the name \"x\", but those before it are numbers"},
    {"a.jsonl", NAMED GOOD, "a.jsonl: line 2: label: the number 1, but those before it are names (\"x\")"},
    {"a.jsonl", "{\"text\": \"\", \"label\": \"\"}", "label: an empty name"},
    {"a.jsonl", "{\"text\": \"\", \"label\": \"a\\nb\"}", "label: a name with the control character 0x0a"},
    {"a.jsonl", "{\"text\": \"\", \"label\": \"\\u0085\"}", "label: a name with the control character 0x85"},
    {"a.jsonl", "{\"text\": \"\", \"label\": \"" LONG_NAME LONG_NAME LONG_NAME LONG_NAME "\"}",
     "label: a name of 260 bytes, at most 256"},
    {"a.tsv", "0 a b c\n1 d e f\n",
     "a.tsv: line 1: the columns are \"0 a b c\", and none has a known name for a text: name the text "
     "\"text\" (or "
     "\"sentence\"), the texts of pairs \"text\" and \"text_pair\" (or as in GLUE), and the label "
     "\"label\""},
    {"a.tsv", "text\tlabel\n\n", "a.tsv: holds a line with the columns' names and no records"},
    {"a.csv", "text,label", "a.csv: holds a line with the columns' names and no records"},
    {"a.csv", "", "a.csv: holds no records"},
    {"a.tsv", "text\tlabel\na\t1\nb\n", "a.tsv: line 3: 1 cell, but the first line names 2 columns (tabs"},
    {"a.tsv", "text\nb\t\n", "a.tsv: line 2: 2 cells, but the first line names 1 column"},
    {"a.csv", "text,label\n\"a\n\",1\nb,c,2\n",
     "a.csv: line 4: 3 cells, but the first line names 2 columns (a cell"},
    {"a.csv", "text,label\na,1\n\n\"b,2\n", "a.csv: line 4: the quote that opens a cell is never closed"},
    {"a.csv", "text,label\n\"a\"b,1\n", "a.csv: line 2: a cell in quotes continues after its closing quote"},
    {"a.csv", "a,b;c;d\n", "the columns are \"a,b\", \"c\", \"d\", and none has a known name for a text"},
    {"a.csv", "a,b,c\n", "the columns are \"a\", \"b\", \"c\", and none has a known name for a text"},
    {"a.csv", "text,sentence,label\n",
     "a.csv: line 1: two columns could be the text (\"text\", \"sentence\"): leave only one named so, or"},
    {"a.csv", "text,hypothesis,label\n", "two columns could be the text (\"text\", \"hypothesis\")"},
    {"a.csv", "question,passage,answer\n",
     "several columns could be the text (\"question\", \"passage\", \""},
    {"a.csv", "hypothesis,label\n",
     "the columns are \"hypothesis\", \"label\", and none has a known name for a text"},
    {"a.csv", "text;label;Label\n1;2;3\n", "line 1: two columns are named \"label\""},
    {"a.csv", "text,label\na,nan\n", "a.csv: line 2: label: \"nan\" is not a finite number"},
    {"a.csv", "text,label\na,-Inf\n", "line 2: label: \"-Inf\" is not a finite number"},
    {"a.tsv", "text\tlabel\na\t1\nb\t1.x\n",
     "line 3: label: the name \"1.x\", but those before it are numbers"},
    {"a.tsv", "text\tlabel\na\t-3\n", "line 2: label: -3, but classes count from 0"},
    {"a.tsv", "text\tlabel\na\t99999999999999999999\n",
     "line 2: label: 100000000000000000000, but classes count up"},
    {"a.tsv", "text\tlabel\na\t1\n\xFF\t1\n", "a.tsv: line 3: the byte 0xff is not UTF-8"},
    {"a.tsv", "\xFFtext\tlabel\n", "a.tsv: line 1: the byte 0xff is not UTF-8"},
};

Test(labelled, errors_name_file_line_and_field) {
  setting s = make_setting();
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    ld_error err = {0};
    ld_index index;
    put_file(&s, refused[i].name, refused[i].bytes, strlen(refused[i].bytes));
    int rc = ld_dataset_open(s.path, &s.options, &s.dataset, &err);
    if (!rc) {
      rc = ld_dataset_index(s.dataset, 0, 1, &index, &err);
      cr_assert(rc && !index.records && !index.labels.names, "case %zu", i);
    }
    cr_assert_eq(rc, err.code);
    cr_assert(!strncmp(err.text, s.folder, strlen(s.folder)), "case %zu: %s", i, err.text);
    cr_assert(strstr(err.text, refused[i].error), "case %zu: %s", i, err.text);
    close_data(&s);
  }
  end_setting(&s);
}

Test(labelled, a_use_for_images_refuses_texts_and_a_use_for_texts_folders) {
  setting s = make_setting();
  ld_error err = {0};
  cr_assert_eq(ld_dataset_open(s.folder, &s.options, &s.dataset, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, ": a folder; a classifier of texts takes"), "%s", err.text);
  s.options.forms = of_images;
  put_file(&s, "a.jsonl", GOOD, sizeof GOOD - 1);
  cr_assert_eq(ld_dataset_open(s.path, &s.options, &s.dataset, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "a.jsonl: a .jsonl file; a classifier of images takes a folder of class "
                             "folders, or files that end in .png, "),
            "%s", err.text);
  close_data(&s);
  end_setting(&s);
}

static ld_labels labels_of(const char *const *names, size_t n) {
  ld_labels labels = {.kind = n ? LD_LABEL_NAME : LD_LABEL_NONE};
  for (size_t i = 0; i < n; i++) {
    labels.names = ld_grow(labels.names, labels.n_names, &labels.room, sizeof *labels.names);
    labels.names[labels.n_names++] = ld_strdup(names[i]);
  }
  return labels;
}

Test(labels, of_parts_are_sent_merged_and_sorted) {
  ld_labels parts[3] = {labels_of((const char *const[]){"pear", "apple", "\xC3\xA9"}, 3),
                        {0},
                        labels_of((const char *const[]){"fig", "pear", "Zoo"}, 3)};
  ld_text bytes = {0};
  for (int i = 0; i < 3; i++) {
    ld_labels_put(&parts[i], &bytes);
    ld_labels_free(&parts[i]);
  }
  const char *at = bytes.bytes;
  ld_error err = {0};
  for (int i = 0; i < 3; i++)
    cr_assert_eq(ld_labels_take(&at, bytes.bytes + bytes.length, &parts[i], &err), 0, "%s", err.text);
  cr_assert_eq(at, bytes.bytes + bytes.length);
  ld_labels all;
  cr_assert_eq(ld_labels_merge(parts, 3, &all, &err), 0, "%s", err.text);
  const char *const sorted[] = {"Zoo", "apple", "fig", "pear", "\xC3\xA9"};
  cr_assert_eq(all.kind, LD_LABEL_NAME);
  cr_assert_eq(all.n_names, 5);
  for (int i = 0; i < 5; i++) cr_assert_str_eq(all.names[i], sorted[i]);
  for (size_t cut = 0; cut < bytes.length; cut++) { /* every truncation is refused */
    ld_labels out[3] = {{0}};
    int rc = 0, i = 0;
    for (at = bytes.bytes; !rc && i < 3; i++) rc = ld_labels_take(&at, bytes.bytes + cut, &out[i], &err);
    cr_assert_eq(rc, LD_EFORMAT, "cut to %zu", cut);
    for (i = 0; i < 3; i++) ld_labels_free(&out[i]);
  }
  for (int i = 0; i < 3; i++) ld_labels_free(&parts[i]);
  ld_labels_free(&all);
  ld_text_free(&bytes);
}

Test(labels, kinds_join) {
  const ld_labels none = {0}, integers = {.kind = LD_LABEL_INTEGER, .largest = 7},
                  more = {.kind = LD_LABEL_INTEGER, .largest = 9}, reals = {.kind = LD_LABEL_REAL};
  ld_labels names = labels_of((const char *const[]){"x"}, 1), all;
  ld_error err = {0};
  cr_assert_eq(ld_labels_merge((const ld_labels[]){none, integers, more}, 3, &all, &err), 0);
  cr_assert(all.kind == LD_LABEL_INTEGER && all.largest == 9);
  cr_assert_eq(ld_labels_merge((const ld_labels[]){integers, reals, none}, 3, &all, &err), 0);
  cr_assert_eq(all.kind, LD_LABEL_REAL);
  cr_assert_eq(ld_labels_merge(&none, 1, &all, &err), 0);
  cr_assert_eq(all.kind, LD_LABEL_NONE);
  cr_assert_eq(ld_labels_merge((const ld_labels[]){names, reals}, 2, &all, &err), LD_EFORMAT);
  cr_assert_eq(ld_labels_merge((const ld_labels[]){none, integers, names}, 3, &all, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "names (\"x\")") && strstr(err.text, "numbers") && !all.n_names, "%s", err.text);
  ld_labels_free(&names);
}

Test(labels, are_renumbered_by_a_models_order_and_an_unknown_one_is_refused) {
  setting s = make_setting();
  ld_error err = {0};
  ld_labels model = labels_of((const char *const[]){"neg", "pos"}, 2),
            lacking = labels_of((const char *const[]){"neg"}, 1);
  open_data(&s, "a.tsv", "text\tlabel\na\tpos\nb\tneg\nc\t\nd\tpos\n");
  ld_index index = index_part(&s, 0, 1);
  cr_assert_eq(ld_index_renumber(&index, &lacking, &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "label: \"pos\" is not among the 1 known one (\"neg\")"), "%s", err.text);
  cr_assert_eq(index.records[0].label, 0);
  cr_assert_eq(ld_index_renumber(&index, &model, &err), 0);
  const int32_t wanted[] = {1, 0, -1, 1};
  for (int i = 0; i < 4; i++) cr_assert_eq(index.records[i].label, wanted[i]);
  cr_assert_str_eq(index.labels.names[0], "neg");
  cr_assert_eq(ld_index_renumber(&index, &model, &err), 0);
  for (int i = 0; i < 4; i++) cr_assert_eq(index.records[i].label, wanted[i]);
  ld_index_free(&index);
  ld_labels_free(&model);
  ld_labels_free(&lacking);
  close_data(&s);
  end_setting(&s);
}

Test(labels, many_names_take_no_long_time) {
  setting s = make_setting();
  ld_text text = {0};
  const int n_names = 30000;
  ld_text_puts(&text, "text\tlabel\n");
  for (int i = 0; i < 2 * n_names; i++) ld_text_printf(&text, "a\tname %d\n", i % n_names);
  open_data(&s, "a.tsv", text.bytes);
  ld_index index = index_part(&s, 0, 1);
  cr_assert_eq(index.labels.n_names, (size_t)n_names);
  for (int i = 0; i < 2 * n_names; i++) cr_assert_eq(index.records[i].label, i % n_names);
  cr_assert_str_eq(index.labels.names[12345], "name 12345");
  ld_index_free(&index);
  ld_text_free(&text);
  close_data(&s);
  end_setting(&s);
}
