/* Received records read the same as on the rank with the data. */
#include "data_digest.h"
#include "data_forms.h"
#include "scratch.h"

#include "base/text.h"
#include "io/dataset/dataset.h"
#include "io/dataset/source_received.h"

#define GOLDEN LD_TESTS_DIR "/golden/"

typedef struct setting {
  ld_dataset_options options;
  ld_tokenizer *tokenizer;
  ld_dataset *here, *there;
  ld_index index;
} setting;

static setting begin(const char *path, const ld_data_form *const *forms, const char *tokenizer) {
  setting s = {
      .options = {.forms = forms, .image_rule = &image_rule, .eos = 1, .seq_len = 40, .mask_prompt = true}};
  ld_error err = {0};
  if (tokenizer) cr_assert_eq(ld_tokenizer_open(tokenizer, &s.tokenizer, &err), 0, "%s", err.text);
  s.options.tokenizer = s.tokenizer;
  cr_assert_eq(ld_dataset_open(path, &s.options, &s.here, &err), 0, "%s", err.text);
  cr_assert_eq(ld_dataset_index(s.here, 0, 1, &s.index, &err), 0, "%s", err.text);
  ld_text text = {0};
  ld_dataset_put_opening(s.here, &text);
  for (size_t n = 0; n < text.length; n++) {
    cr_assert_neq(ld_dataset_open_received("far away", &s.options, text.bytes, n, &s.there, &err), 0);
    cr_assert_null(s.there);
  }
  cr_assert_leq(text.length, 400, "an opening is a line at most");
  cr_assert_eq(ld_dataset_open_received("far away", &s.options, text.bytes, text.length, &s.there, &err), 0,
               "%s", err.text);
  ld_text_free(&text);
  return s;
}

static void end(setting *s) {
  ld_index_free(&s->index);
  ld_dataset_close(s->here);
  ld_dataset_close(s->there);
  ld_tokenizer_free(s->tokenizer);
}

static void check_same(const ld_sample *a, const ld_sample *b, size_t i) {
  cr_assert_eq(a->tokens.n, b->tokens.n, "record %zu", i);
  cr_assert_eq(a->n_whole, b->n_whole);
  cr_assert_eq(memcmp(a->tokens.ids, b->tokens.ids, a->tokens.n * sizeof *a->tokens.ids), 0, "record %zu", i);
  cr_assert_eq(memcmp(a->target, b->target, a->tokens.n), 0, "record %zu", i);
  cr_assert_eq(a->types.n, b->types.n);
  if (a->types.n) cr_assert_eq(memcmp(a->types.ids, b->types.ids, a->types.n * sizeof *a->types.ids), 0);
}

static void check_same_image(const ld_image *a, const ld_image *b, size_t i) {
  cr_assert(a->height == b->height && a->width == b->width && a->channels == b->channels);
  cr_assert_eq(memcmp(a->pixels, b->pixels, (size_t)a->height * (size_t)a->width * (size_t)a->channels), 0,
               "image %zu", i);
}

static void put(const setting *s, size_t i, ld_text *out) {
  const ld_record *record = &s->index.records[i];
  ld_error err = {0};
  cr_assert_eq(ld_source_put(ld_dataset_source(s->here), record->offset, record->bytes, out, &err), 0, "%s",
               err.text);
}

/* From a copy, so that a sanitizer sees its end. */
static int receive(const setting *s, const void *bytes, size_t length, ld_error *err) {
  char *copy = length ? memcpy(malloc(length), bytes, length) : NULL;
  return ld_source_receive(ld_dataset_source(s->there), copy, length, err);
}

/* Sends every step-th record from `first` on, in reverse order, and reads them on both sides; the others
 * cannot be read there. */
static void check_some(const setting *s, size_t first, size_t step) {
  ld_text text = {0};
  ld_error err = {0};
  ld_sample a = {0}, b = {0};
  for (size_t i = s->index.n; i-- > 0;)
    if (i % step == first) put(s, i, &text);
  cr_assert_eq(receive(s, text.bytes, text.length, &err), 0, "%s", err.text);
  for (size_t i = 0; i < s->index.n; i++) {
    const ld_record *record = &s->index.records[i];
    if (i % step != first) {
      cr_assert_eq(ld_dataset_read(s->there, record, &b, &err), LD_EFILE);
      cr_assert(strstr(err.text, "far away"), "%s", err.text);
      continue;
    }
    cr_assert_eq(ld_dataset_read(s->here, record, &a, &err), 0, "%s", err.text);
    cr_assert_eq(ld_dataset_read(s->there, record, &b, &err), 0, "%s", err.text);
    cr_assert_eq(a.label_kind, b.label_kind, "record %zu", i);
    if (a.label_kind == LD_LABEL_NAME) cr_assert_str_eq(a.label_name.bytes, b.label_name.bytes);
    if (s->options.forms == of_images)
      check_same_image(&a.image, &b.image, i);
    else
      check_same(&a, &b, i);
  }
  ld_sample_free(&a);
  ld_sample_free(&b);
  ld_text_free(&text);
}

static void check(const char *path, const ld_data_form *const *forms, const char *tokenizer, size_t least) {
  setting s = begin(path, forms, tokenizer);
  cr_assert_geq(s.index.n, least, "%s: %zu records", path, s.index.n);
  cr_assert_eq(ld_dataset_form(s.here), ld_dataset_form(s.there));
  check_some(&s, 0, 1);
  if (s.index.n > 1) check_some(&s, 1, 2);
  if (s.index.n > 2) check_some(&s, 2, 3);
  cr_assert_null(ld_source_name(ld_dataset_source(s.there), 0));
  end(&s);
}

#define GPT2 GOLDEN "models/gpt2/tokenizer.json"
#define BERT GOLDEN "models/bert/tokenizer.json"

static void check_text(const char *name, const char *text, const ld_data_form *const *forms,
                       const char *tokenizer, size_t least) {
  char *folder = scratch_new(), *path = ld_path_join(folder, name);
  scratch_text(folder, name, text);
  check(path, forms, tokenizer, least);
  free(path);
  scratch_end(folder);
}

Test(source, jsonl) {
  check(GOLDEN "models/gpt2/train.jsonl", of_language, GPT2, 80);
  check(GOLDEN "models/bert/train.jsonl", of_texts, BERT, 20);
  check_text("t.jsonl",
             "\xEF\xBB\xBF\n{\"text\": \"the river\"}\n\n{\"text\": \"the kettle, \\u00e9\", \"label\": 3}",
             of_language, GPT2, 2);
  check_text(
      "chat.jsonl",
      "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": "
      "\"river\"}]}\n{\"messages\": [{\"role\": \"assistant\", \"content\": \"b\"}]}\n",
      of_language, GOLDEN "chat.bytelevel.json", 2);
}

Test(source, json_arrays) {
  check_text("t.json",
             "\xEF\xBB\xBF\n[\n {\"text\": \"the river\"},\n {\"text\": \"the ], {\\\" kettle\"} "
             ",{\"text\":\"a\"}]\n",
             of_language, GPT2, 3);
  check_text("t.json", "[{\"text\": \"the river\", \"label\": \"a\"}, {\"text\": \"the kettle\"}]", of_texts,
             BERT, 2);
}

Test(source, tables) {
  check_text("t.tsv", "label\ttext\tid\na\tthe river\t1\r\n\nb\tthe \"kettle\"\t2\n", of_texts, BERT, 2);
  check_text("t.csv", "text;label;text_pair\n\"the; river\nholds\";a;x\n\"a \"\"kettle\"\"\";b;\"y\"\nc;b;z",
             of_texts, BERT, 3);
  check_text("t.csv", "text\nthe river\n\"the,\nkettle\"\n", of_language, GPT2, 2);
}

/* Long lines are cut, and the last record has the eos. */
Test(source, raw) {
  ld_text text = {0};
  for (int i = 0; i < 40000; i++) ld_text_puts(&text, i % 9000 == 8999 ? "\n\n" : "the river ");
  check_text("t.txt", text.bytes, of_language, GPT2, 4);
  ld_text_free(&text);
}

static void copy(const char *image, const char *folder, const char *name) {
  size_t length;
  char *from = ld_path_join(GOLDEN "images", image), *bytes = scratch_read(from, &length);
  free(scratch_file(folder, name, bytes, length));
  free(bytes);
  free(from);
}

Test(source, images) {
  char *folder = scratch_new(), *class = ld_path_join(folder, "class");
  ld_error err = {0};
  cr_assert_eq(ld_make_folders(class, &err), 0);
  copy("rgb8.png", class, "a.png");
  copy("jpeg_420.jpg", class, "b.jpg");
  copy("grey8.png", class, "c.png");
  copy("palette8.png", class, "d.png");
  scratch_text(class, "broken.png", "no image");
  check(folder, of_images, NULL, 4);
  check(GOLDEN "images/jpeg_420.jpg", of_images, NULL, 1);
  check(GOLDEN "models/resnet_cifar/train.h5", of_images, NULL, 64);
  check(GOLDEN "images/good.h5", of_images, NULL, 1);
  free(class);
  scratch_end(folder);
}

static uint64_t digest(const char *path, const ld_data_form *const *forms, const char *tokenizer) {
  setting s = begin(path, forms, tokenizer);
  char text[LD_DIGEST_TEXT + 1];
  data_digest(s.here, text);
  end(&s);
  return strtoull(text + 2, NULL, 16);
}

/* A changed byte, more bytes, or another name make other data; another path does not. */
Test(source, digest) {
  char *folder = scratch_new();
  const char *const texts[] = {"the river\n\nholds", "the rivet\n\nholds", "the river\n\nholds\n",
                               "the river\n\nholds"};
  uint64_t seen[4];
  for (int i = 0; i < 4; i++) {
    char *name = ld_format("%d.txt", i), *path = ld_path_join(folder, name);
    scratch_text(folder, name, texts[i]);
    seen[i] = digest(path, of_language, GPT2);
    free(path);
    free(name);
  }
  cr_assert(seen[0] == seen[3] && seen[0] != seen[1] && seen[0] != seen[2]);
  char *images = ld_path_join(folder, "images");
  ld_error err = {0};
  cr_assert_eq(ld_make_folders(images, &err), 0);
  copy("rgb8.png", images, "a.png");
  const uint64_t one = digest(images, of_images, NULL);
  copy("grey8.png", images, "a.png");
  cr_assert_neq(digest(images, of_images, NULL), one);
  copy("rgb8.png", images, "a.png");
  cr_assert_eq(digest(images, of_images, NULL), one);
  copy("rgb8.png", images, "b.png");
  cr_assert_neq(digest(images, of_images, NULL), one);
  free(images);
  scratch_end(folder);
}

/* Truncated messages give an error on the other side, never a read beyond them. */
Test(source, cut_off) {
  const char *const paths[] = {GOLDEN "models/gpt2/train.jsonl", GOLDEN "images/good.h5"};
  for (int k = 0; k < 2; k++) {
    setting s = begin(paths[k], k ? of_images : of_language, k ? NULL : GPT2);
    ld_text text = {0};
    ld_error err = {0};
    ld_sample sample = {0};
    put(&s, 0, &text);
    for (size_t n = 1; n < text.length; n++)
      cr_assert_eq(receive(&s, text.bytes, n, &err), LD_EFORMAT, "%zu bytes", n);
    cr_assert_eq(receive(&s, NULL, 0, &err), 0);
    cr_assert_eq(ld_dataset_read(s.there, s.index.records, &sample, &err), LD_EFILE);
    const ld_record *record = s.index.records;
    const uint64_t beyond[4] = {record->offset, record->bytes, UINT64_MAX - 3, 4};
    cr_assert_eq(receive(&s, beyond, sizeof beyond, &err), LD_EFORMAT);
    const uint64_t nameless[5] = {record->offset, record->bytes, 8, 0, UINT64_MAX}; /* a name without a NUL */
    cr_assert_eq(receive(&s, nameless, sizeof nameless, &err), LD_EFORMAT);
    const uint64_t empty[4] = {record->offset, 0, 0, 0};
    cr_assert_eq(receive(&s, empty, sizeof empty, &err), 0);
    cr_assert_eq(ld_dataset_read(s.there, record, &sample, &err), LD_EMISMATCH);
    ld_sample_free(&sample);
    ld_text_free(&text);
    end(&s);
  }
}
