/* Folders of images with captions: what they give, what is refused, and the same on a rank without the files. */
#include "data_digest.h"
#include "scratch.h"

#include "base/text.h"
#include "io/dataset/dataset.h"
#include "io/dataset/forms.h"
#include "io/dataset/picture_list.h"
#include "io/dataset/source_received.h"

#define PICTURES LD_TESTS_DIR "/golden/pictures/"
#define BERT LD_TESTS_DIR "/golden/models/bert/tokenizer.json"

static const ld_data_form *const of_pictures[] = {&ld_form_picture, NULL};

static void put_picture(const char *folder, const char *name, const char *golden) {
  size_t length;
  char *from = ld_path_join(PICTURES, golden), *bytes = scratch_read(from, &length);
  free(scratch_file(folder, name, bytes, length));
  free(from);
  free(bytes);
}

static void make(const char *folder, const char *name) {
  ld_error err = {0};
  char *path = ld_path_join(folder, name);
  cr_assert_eq(ld_make_folders(path, &err), 0, "%s", err.text);
  free(path);
}

/* "a.png: a boat; ..." of all images. */
static void describe(const char *folder, const char *caption, const char *want) {
  ld_picture_list list;
  ld_error err = {0};
  ld_text text = {0};
  cr_assert_eq(ld_picture_list_read(folder, caption, &list, &err), 0, "%s", err.text);
  for (size_t i = 0; i < list.n; i++)
    ld_text_printf(&text, "%s%s: %s", i ? "; " : "", list.paths[i], list.captions[i]);
  cr_assert_str_eq(text.bytes, want);
  ld_text_free(&text);
  ld_picture_list_free(&list);
}

static void refuses(const char *folder, const char *caption, const char *why) {
  ld_picture_list list;
  ld_error err = {0};
  cr_assert_eq(ld_picture_list_read(folder, caption, &list, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, why), "%s, expected %s", err.text, why);
  cr_assert(!strchr(err.text, '\n'));
  ld_picture_list_free(&list);
}

/* A folder with a.png, b.png and sub/c.png, which may be empty files here. */
static char *three(void) {
  char *folder = scratch_new();
  make(folder, "sub");
  scratch_text(folder, "a.png", "");
  scratch_text(folder, "b.png", "");
  scratch_text(folder, "sub/c.png", "");
  return folder;
}

Test(picture_data, captions_of_metadata) {
  char *folder = three();
  scratch_text(
      folder, "metadata.jsonl",
      "{\"file_name\": \"b.png\", \"text\": \"a \\u00e9\"}\n\n{\"text\": \"\", \"file_name\": \"./a.png\", "
      "\"artist\": 1}\r\n{\"file_name\": \"sub//c.png\", \"text\": \"c\"}");
  describe(folder, NULL, "a.png: ; b.png: a \xC3\xA9; sub/c.png: c");
  scratch_text(folder, "metadata.jsonl",
               "\xEF\xBB\xBF{\"file_name\": \"b.png\", \"text\": \"b\"}\n{\"file_name\": \"a.png\", "
               "\"text\": \"a\"}\n");
  refuses(folder, NULL, "sub/c.png: an image without a caption");
  describe(folder, "all", "a.png: a; b.png: b; sub/c.png: all");
  scratch_text(folder, "sub/metadata.csv",
               "text,id,file_name\r\n\"one, \"\"two\"\"\nthree\",4,c.png\r\n\r\n");
  describe(folder, NULL, "a.png: a; b.png: b; sub/c.png: one, \"two\"\nthree");
  scratch_end(folder);
}

Test(picture_data, captions_in_text_files) {
  char *folder = three();
  scratch_text(folder, "a.txt", "  first \nsecond\n");
  scratch_text(folder, "b.caption",
               "\xEF\xBB\xBF"
               "bee");
  scratch_text(folder, "sub/c.txt", "sea\r\n");
  scratch_text(folder, "a.jpg", "");
  scratch_text(folder, "a.x.png", "");
  describe(folder, "all", "a.jpg: first; a.png: first; a.x.png: all; b.png: bee; sub/c.png: sea");
  refuses(folder, NULL, "a.x.png: an image without a caption");
  scratch_text(folder, "d.txt", "no image");
  refuses(folder, "all", "d.txt: a caption, but there is no image of that name");
  scratch_end(folder);
}

Test(picture_data, one_caption_for_all) {
  char *folder = three();
  describe(folder, "all", "a.png: all; b.png: all; sub/c.png: all");
  scratch_text(folder, "README.txt", "not a caption");
  scratch_text(folder, ".hidden.png", "");
  describe(folder, "", "a.png: ; b.png: ; sub/c.png: ");
  scratch_end(folder);
}

static void refuses_metadata(const char *text, const char *why) {
  char *folder = three();
  scratch_text(folder, "metadata.jsonl", text);
  refuses(folder, "all", why);
  scratch_end(folder);
}

static void refuses_csv(const char *text, const char *why) {
  char *folder = three();
  scratch_text(folder, "metadata.csv", text);
  refuses(folder, "all", why);
  scratch_end(folder);
}

Test(picture_data, refuses_broken_metadata) {
  refuses_metadata("{\"file_name\": \"a.png\", \"text\": \"a\"}\n{\"file_name\": \"b.png\", ",
                   "metadata.jsonl: line 2");
  refuses_metadata("[1]\n", "metadata.jsonl: line 1: expected an object");
  refuses_metadata("{\"text\": \"a\"}", "line 1: \"file_name\" is missing");
  refuses_metadata("{\"file_name\": \"a.png\"}", "line 1: \"text\" is missing");
  refuses_metadata("{\"file_name\": \"a.png\", \"text\": 3}", "line 1: \"text\" is an integer");
  refuses_metadata("\n{\"file_name\": \"no.png\", \"text\": \"a\"}",
                   "line 2: a caption for \"no.png\", but there is no such");
  refuses_metadata("{\"file_name\": \"../a.png\", \"text\": \"a\"}", "\"../a.png\" leads out of the folder");
  refuses_metadata("{\"file_name\": \"sub/../a.png\", \"text\": \"a\"}", "leads out of the folder");
  refuses_metadata("{\"file_name\": \"/etc/a.png\", \"text\": \"a\"}", "leads out of the folder");
  refuses_metadata("{\"file_name\": \"a.png\", \"text\": \"a\"}\n{\"file_name\": \"a.png\", \"text\": \"b\"}",
                   "line 2: a second caption for \"a.png\"");
  refuses_metadata("{\"file_name\": \"a.png\", \"text\": \"\xFF\"}", "not text in UTF-8");
  refuses_csv("file_name,caption\na.png,a\n", "line 1: has no column \"text\"");
  refuses_csv("file_name,text\na.png,a,b\n", "line 2: 3 cells");
  refuses_csv("file_name,text\n\"a\n.png,a\n", "never closed");
  refuses_csv("file_name,text\n\"x\ny.png\",a\nno.png,b\n", "line 2: a caption for");
}

Test(picture_data, refuses_what_contradicts) {
  char *folder = three();
  scratch_text(folder, "metadata.jsonl", "{\"file_name\": \"b.png\", \"text\": \"b\"}\n");
  scratch_text(folder, "a.txt", "a");
  refuses(folder, "all", "a.txt: a caption beside the image, but ");
  scratch_end(folder);
  folder = three();
  scratch_text(folder, "a.txt", "a");
  scratch_text(folder, "a.caption", "a");
  refuses(folder, "all", "a second caption for a.png");
  scratch_text(folder, "a.caption", " \n");
  refuses(folder, "all", "a.caption: an empty caption");
  scratch_end(folder);
  folder = scratch_new();
  refuses(folder, "all", "no PNG, JPEG or WebP files");
  scratch_text(folder, "x.caption", "x");
  refuses(folder, "all", "no PNG, JPEG or WebP files");
  scratch_end(folder);
}

typedef struct setting {
  char *folder;
  ld_tokenizer *tokenizer;
  ld_image_rule rule;
  ld_dataset_options options;
} setting;

static setting begin(void) {
  setting s = {.folder = scratch_new(), .rule = ld_image_rule_cover(3, 16, 24, 8)};
  ld_error err = {0};
  cr_assert_eq(ld_tokenizer_open(BERT, &s.tokenizer, &err), 0, "%s", err.text);
  s.options = (ld_dataset_options){.forms = of_pictures, .tokenizer = s.tokenizer, .eos = -1, .seq_len = 6};
  put_picture(s.folder, "a.png", "alpha.png");
  put_picture(s.folder, "b.webp", "turned.webp");
  put_picture(s.folder, "c.jpg", "photo.jpg");
  scratch_text(s.folder, "a.txt", "the river");
  scratch_text(s.folder, "b.txt", "the river the river the river the river");
  scratch_text(s.folder, "c.txt", "a");
  return s;
}

static void end(setting *s) {
  ld_tokenizer_free(s->tokenizer);
  scratch_end(s->folder);
}

static ld_index index_all(const ld_dataset *dataset) {
  ld_index index;
  ld_error err = {0};
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), 0, "%s", err.text);
  return index;
}

static ld_dataset *open_data(setting *s) {
  ld_dataset *dataset;
  ld_error err = {0};
  s->options.image_rule = &s->rule;
  cr_assert_eq(ld_dataset_open(s->folder, &s->options, &dataset, &err), 0, "%s", err.text);
  return dataset;
}

Test(picture_data, a_sample_has_the_image_and_the_tokens) {
  setting s = begin();
  ld_dataset *dataset = open_data(&s);
  ld_index index = index_all(dataset);
  ld_sample sample = {0};
  ld_error err = {0};
  cr_assert(index.n == 3 && index.n_blended == 1 && index.n_turned == 1 && index.n_skipped == 0);
  for (size_t i = 0; i < index.n; i++) {
    const ld_record *record = &index.records[i];
    cr_assert_eq(ld_dataset_read(dataset, record, &sample, &err), 0, "%s", err.text);
    cr_assert(sample.image.height == 16 && sample.image.width == 24 && sample.image.channels == 3);
    cr_assert(record->n_tokens == (int32_t)sample.tokens.n && record->n_targets == 1 && record->size == 0);
    cr_assert_eq(record->cut, i == 1 ? LD_CUT_INPUT : 0);
    ld_ids whole = {0};
    cr_assert_eq(ld_tokenizer_encode(s.tokenizer, "the", 3, true, &whole, &err), 0);
    cr_assert_eq(sample.tokens.ids[0], whole.ids[0], "[CLS]");
    cr_assert_eq(sample.tokens.ids[sample.tokens.n - 1], whole.ids[whole.n - 1], "[SEP]");
    ld_ids_free(&whole);
  }
  cr_assert_eq(index.records[1].n_tokens, 6);
  ld_sample_free(&sample);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  end(&s);
}

Test(picture_data, a_size_by_aspect_ratio) {
  setting s = begin();
  const ld_image_size sizes[] = {{24, 16}, {16, 24}};
  s.options.sizes = sizes;
  s.options.n_sizes = 2;
  ld_dataset *dataset = open_data(&s);
  ld_index index = index_all(dataset);
  ld_sample centre = {0}, drawn = {.crop = {true, 0.0f, 0.0f}};
  ld_error err = {0};
  for (size_t i = 0; i < index.n; i++) {
    const ld_image_size want = sizes[i != 1];
    cr_assert_eq(index.records[i].size, i != 1);
    cr_assert_eq(ld_dataset_read(dataset, &index.records[i], &centre, &err), 0, "%s", err.text);
    cr_assert_eq(ld_dataset_read(dataset, &index.records[i], &drawn, &err), 0, "%s", err.text);
    cr_assert(centre.image.height == want.height && centre.image.width == want.width);
    cr_assert(drawn.image.height == want.height && drawn.image.width == want.width);
  }
  /* The last file has 61 x 45 pixels, and covers 24 x 16 with 24 x 18: the cut lies one below the edge, or at it. */
  const ld_image_origin *c = &centre.origin, *d = &drawn.origin;
  cr_assert(c->height == 45 && c->width == 61 && c->down == 1 && c->right == 0 && c->rest == 0);
  cr_assert(d->height == 45 && d->width == 61 && d->down == 0 && d->right == 0);
  cr_assert_neq(memcmp(centre.image.pixels, drawn.image.pixels, 16 * 24 * 3), 0);
  ld_sample_free(&centre);
  ld_sample_free(&drawn);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  end(&s);
}

Test(picture_data, class_data_comes_after) {
  setting s = begin();
  char *class_data = scratch_new();
  put_picture(class_data, "a.png", "photo.jpg");
  s.options.class_data = class_data;
  s.options.class_caption = "the";
  ld_dataset *dataset = open_data(&s), *other;
  ld_index index = index_all(dataset);
  ld_sample sample = {0};
  ld_error err = {0};
  char with[LD_DIGEST_TEXT + 1], without[LD_DIGEST_TEXT + 1];
  cr_assert_eq(index.n, 4);
  for (size_t i = 0; i < 4; i++) cr_assert_eq(index.records[i].prior, i == 3);
  cr_assert_eq(ld_dataset_read(dataset, &index.records[3], &sample, &err), 0, "%s", err.text);
  cr_assert(sample.origin.width == 61 && sample.tokens.n == 3);
  cr_assert_eq(ld_dataset_fail_at(dataset, &index.records[3], ld_fail(&err, LD_EFORMAT, "wrong"), &err),
               LD_EFORMAT);
  cr_assert(!strncmp(err.text, class_data, strlen(class_data)), "%s", err.text);
  s.options.class_data = NULL;
  other = open_data(&s);
  data_digest(dataset, with);
  data_digest(other, without);
  cr_assert_str_neq(with, without);
  ld_sample_free(&sample);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  ld_dataset_close(other);
  scratch_end(class_data);
  end(&s);
}

Test(picture_data, broken_images_are_counted_or_refused) {
  setting s = begin();
  put_picture(s.folder, "d.webp", "cut.webp");
  scratch_text(s.folder, "d.txt", "cut");
  ld_dataset *dataset = open_data(&s);
  ld_index index = index_all(dataset);
  cr_assert(index.n == 3 && index.n_skipped == 1);
  cr_assert(strstr(index.first_skipped.text, "d.webp: broken WebP (the file is cut off)"), "%s",
            index.first_skipped.text);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  s.options.strict = true;
  dataset = open_data(&s);
  ld_error err = {0};
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "d.webp: broken WebP"), "%s", err.text);
  ld_dataset_close(dataset);
  end(&s);
}

Test(picture_data, a_received_record_is_the_same) {
  setting s = begin();
  ld_dataset *here = open_data(&s), *there;
  ld_index index = index_all(here);
  ld_text text = {0};
  ld_error err = {0};
  ld_sample a = {0}, b = {0};
  ld_dataset_put_opening(here, &text);
  cr_assert_eq(ld_dataset_open_received("far away", &s.options, text.bytes, text.length, &there, &err), 0,
               "%s", err.text);
  ld_text_clear(&text);
  for (size_t i = 0; i < index.n; i++)
    cr_assert_eq(ld_source_put(ld_dataset_source(here), index.records[i].offset, 1, &text, &err), 0);
  char *bytes = memcpy(ld_alloc(text.length, 1), text.bytes, text.length);
  cr_assert_eq(ld_source_receive(ld_dataset_source(there), bytes, text.length, &err), 0, "%s", err.text);
  for (size_t i = 0; i < index.n; i++) {
    cr_assert_eq(ld_dataset_read(here, &index.records[i], &a, &err), 0, "%s", err.text);
    cr_assert_eq(ld_dataset_read(there, &index.records[i], &b, &err), 0, "%s", err.text);
    cr_assert_eq(memcmp(a.image.pixels, b.image.pixels, 16 * 24 * 3), 0);
    cr_assert(a.tokens.n == b.tokens.n &&
              !memcmp(a.tokens.ids, b.tokens.ids, a.tokens.n * sizeof *a.tokens.ids));
  }
  ld_sample_free(&a);
  ld_sample_free(&b);
  ld_text_free(&text);
  ld_index_free(&index);
  ld_dataset_close(here);
  ld_dataset_close(there);
  end(&s);
}

Test(picture_data, the_digest_covers_captions_and_images) {
  setting s = begin();
  char first[LD_DIGEST_TEXT + 1], other[LD_DIGEST_TEXT + 1];
  ld_dataset *dataset = open_data(&s);
  data_digest(dataset, first);
  ld_dataset_close(dataset);
  scratch_text(s.folder, "a.txt", "the lake");
  dataset = open_data(&s);
  data_digest(dataset, other);
  ld_dataset_close(dataset);
  cr_assert_str_neq(first, other);
  scratch_text(s.folder, "a.txt", "the river");
  dataset = open_data(&s);
  data_digest(dataset, other);
  ld_dataset_close(dataset);
  cr_assert_str_eq(first, other);
  end(&s);
}

/* A model without a tokenizer takes images alone, with the labels of class folders. */
Test(picture_data, images_alone) {
  setting s = begin();
  s.options.tokenizer = NULL;
  ld_dataset *dataset = open_data(&s);
  ld_index index = index_all(dataset);
  cr_assert(index.n == 3 && index.n_blended == 1 && index.labels.kind == LD_LABEL_NONE);
  cr_assert(index.records[0].n_tokens == 1 && index.records[0].n_targets == 1 &&
            index.records[0].label == -1);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  make(s.folder, "boat");
  make(s.folder, "tree");
  put_picture(s.folder, "boat/1.png", "wide.png");
  put_picture(s.folder, "tree/1.png", "tall.png");
  dataset = open_data(&s);
  index = index_all(dataset);
  cr_assert(index.n == 2 && index.labels.n_names == 2 && index.records[1].label == 1);
  cr_assert_eq(index.records[1].n_targets, 1);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  end(&s);
}

Test(picture_data, other_files_are_refused) {
  setting s = begin();
  ld_dataset *dataset;
  ld_error err = {0};
  char *path = ld_path_join(s.folder, "a.png");
  cr_assert_eq(ld_dataset_open(path, &s.options, &dataset, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "takes a folder of images with captions"), "%s", err.text);
  free(path);
  scratch_text(s.folder, "t.jsonl", "{\"text\": \"a\"}");
  path = ld_path_join(s.folder, "t.jsonl");
  cr_assert_eq(ld_dataset_open(path, &s.options, &dataset, &err), LD_EUNSUPPORTED);
  free(path);
  end(&s);
}
