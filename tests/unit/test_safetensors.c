#include "scratch.h"

#include "base/text.h"
#include "io/hub/safetensors.h"

#define MIXED LD_TESTS_DIR "/golden/files/mixed.safetensors"

/* A file of this header and `data_length` bytes of data 0, 1, 2, ...; the caller frees. */
static char *build(const char *header, size_t data_length, size_t *length) {
  const size_t n = strlen(header);
  *length = 8 + n + data_length;
  char *bytes = ld_alloc(*length + 1, 1);
  for (int i = 0; i < 8; i++) bytes[i] = (char)(n >> 8 * i);
  memcpy(bytes + 8, header, n);
  for (size_t i = 0; i < data_length; i++) bytes[8 + n + i] = (char)i;
  return bytes;
}

static int parse(const char *header, size_t data_length, ld_error *err) {
  size_t length;
  ld_safetensors *file;
  char *bytes = build(header, data_length, &length);
  const int code = ld_safetensors_parse(bytes, length, "t.safetensors", &file, err);
  ld_safetensors_close(file);
  free(bytes);
  return code;
}

static void refused(const char *header, size_t data_length, const char *why) {
  ld_error err = {0};
  const int code = parse(header, data_length, &err);
  cr_assert(code == LD_EFORMAT || code == LD_EUNSUPPORTED, "%s", header);
  cr_assert(strstr(err.text, "t.safetensors") && strstr(err.text, why), "%s: %s", header, err.text);
}

Test(safetensors, reads_what_torch_wrote) {
  ld_safetensors *file;
  ld_error err = {0};
  cr_assert_eq(ld_safetensors_open(MIXED, &file, &err), 0, "%s", err.text);
  cr_assert_eq(ld_safetensors_count(file), 11);
  for (size_t i = 1; i < 11; i++)
    cr_assert_lt(strcmp(ld_safetensors_name(file, i - 1), ld_safetensors_name(file, i)), 0);
  const ld_stored *f32 = ld_safetensors_find(file, "a.f32"), *bf16 = ld_safetensors_find(file, "a.bf16");
  cr_assert(f32 && f32->dtype == LD_F32 && f32->ndim == 2 && f32->shape[0] == 3 && f32->shape[1] == 5);
  float small[15];
  ld_dtype_to_f32(small, bf16->data, LD_BF16, 0, 15);
  for (int i = 0; i < 15; i++) cr_assert_float_eq(small[i], ((const float *)f32->data)[i], 0.02);
  const ld_stored *scalar = ld_safetensors_find(file, "scalar.i64"),
                  *empty = ld_safetensors_find(file, "empty.f32");
  cr_assert(scalar->ndim == 0 && *(const int64_t *)scalar->data == 7);
  cr_assert_eq(ld_stored_count(empty), 0);
  cr_assert_eq(ld_safetensors_find(file, "m.f8")->dtype, LD_F8_E4M3);
  cr_assert_null(ld_safetensors_find(file, "absent"));
  cr_assert_str_eq(ld_safetensors_metadata(file, "format"), "pt");
  cr_assert_null(ld_safetensors_metadata(file, "other"));
  ld_safetensors_close(file);
}

Test(safetensors, writes_the_bytes_that_torch_writes) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "out.safetensors");
  ld_safetensors *file;
  ld_error err = {0};
  ld_named tensors[11];
  size_t ours, theirs;
  cr_assert_eq(ld_safetensors_open(MIXED, &file, &err), 0);
  for (size_t i = 0; i < 11; i++)
    tensors[i] = (ld_named){.name = ld_safetensors_name(file, i), .tensor = *ld_safetensors_tensor(file, i)};
  cr_assert_eq(ld_safetensors_write(path, tensors, 11, &err), 0, "%s", err.text);
  char *a = scratch_read(path, &ours), *b = scratch_read(MIXED, &theirs);
  cr_assert(ours == theirs && memcmp(a, b, ours) == 0, "%s\n%s", a + 8, b + 8);
  ld_safetensors_close(file);
  free(a), free(b), free(path);
  scratch_end(folder);
}

Test(safetensors, misaligned_data_is_copied) {
  size_t length;
  ld_safetensors *file;
  ld_error err = {0};
  char *bytes = build("{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                      "\"f\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}",
                      9, &length);
  cr_assert_eq(ld_safetensors_parse(bytes, length, "t", &file, &err), 0, "%s", err.text);
  const ld_stored *f = ld_safetensors_find(file, "f");
  cr_assert_eq((uintptr_t)f->data % 4, 0);
  cr_assert_eq(memcmp(f->data, "\1\2\3\4\5\6\7\10", 8), 0);
  ld_safetensors_close(file);
  free(bytes);
}

#define T(name, dtype, shape, from, to)                                                                      \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

Test(safetensors, accepts_the_small_ones) {
  ld_error err = {0};
  cr_assert_eq(parse("{}", 0, &err), 0, "%s", err.text);
  cr_assert_eq(parse("{" T("a", "F32", "[2]", "0", "8") "}   ", 8, &err), 0, "%s", err.text);
  cr_assert_eq(parse("{" T("a", "F32", "[0]", "0", "0") "," T("b", "F32", "[]", "0", "4") "}", 4, &err), 0,
               "%s", err.text);
  cr_assert_eq(parse("{" T("q", "F8_E5M2", "[4]", "0", "4") "}", 4, &err), 0, "%s", err.text);
}

Test(safetensors, refuses_what_is_wrong) {
  refused("{" T("a", "F32", "[2]", "0", "8") "}", 7, "cut short");
  refused("{" T("a", "F32", "[2]", "0", "8") "}", 9, "belong to none");
  refused("{" T("a", "F32", "[3]", "0", "8") "}", 8, "needs 12 bytes");
  refused("{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "2", "6") "}", 6, "overlaps");
  refused("{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "5", "9") "}", 9, "gap");
  refused("{" T("a", "F32", "[1]", "4", "8") "}", 8, "gap");
  refused("{" T("a", "F32", "[1]", "8", "4") "}", 8, "ends before it begins");
  refused("{" T("a", "F32", "[1]", "-4", "0") "}", 8, "data_offsets");
  refused("{" T("a", "F32", "[-1]", "0", "4") "}", 4, "shape");
  refused("{" T("a", "F32", "[1.0]", "0", "4") "}", 4, "shape");
  refused("{" T("a", "F32", "[4294967296,4294967296]", "0", "0") "}", 0, "too large");
  refused("{" T("a", "F64", "[2305843009213693952]", "0", "0") "}", 0, "too large");
  refused("{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "more than 8");
  refused("{" T("a", "F4", "[2]", "0", "1") "}", 1, "dtype 'F4' is not supported");
  refused("{" T("a", "F32", "[1]", "0", "4") "," T("a", "F32", "[1]", "4", "8") "}", 8, "duplicate");
  refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is missing");
  refused("{\"a\":7}", 0, "dtype is missing");
  refused("{\"__metadata__\":{\"format\":1}}", 0, "__metadata__");
  refused("[]", 0, "no JSON header");
  refused("", 0, "no JSON header");
  refused("{", 0, "line 1");
}

Test(safetensors, refuses_a_header_beyond_the_file) {
  ld_safetensors *file;
  ld_error err = {0};
  static const unsigned char cases[][10] = {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'},
                                            {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'},
                                            {0, 0, 0, 128, 0, 0, 0, 0, '{', '}'}};
  for (size_t i = 0; i < 3; i++)
    cr_assert_eq(ld_safetensors_parse(cases[i], 10, "t", &file, &err), LD_EFORMAT);
  for (size_t n = 0; n < 8; n++)
    cr_assert_eq(ld_safetensors_parse(cases[0], n, "t", &file, &err), LD_EFORMAT);
}

Test(safetensors, every_truncation_is_an_error) {
  size_t length;
  char *bytes = scratch_read(MIXED, &length);
  for (size_t n = 0; n < length; n++) {
    ld_safetensors *file;
    cr_assert_neq(ld_safetensors_parse(bytes, n, "t", &file, NULL), 0, "%zu bytes", n);
    cr_assert_null(file);
  }
  free(bytes);
}
