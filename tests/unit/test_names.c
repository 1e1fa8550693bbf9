#include <criterion/criterion.h>

#include "base/names.h"

static void expect(const char *list, const char *const *names, size_t n) {
  size_t i = 0;
  for (ld_name name = {0}; ld_name_next(list, &name); i++)
    cr_assert(i < n && ld_name_is(&name, names[i]), "<%s>: name %zu", list, i);
  cr_assert_eq(i, n, "<%s>", list);
}

Test(names, of_a_list) {
  static const char *const names[] = {"q_proj", "v_proj", "x"};
  expect(NULL, NULL, 0);
  expect("", NULL, 0);
  expect(" , ", NULL, 0);
  expect("q_proj", names, 1);
  expect("q_proj,v_proj,x", names, 3);
  expect(" q_proj,, v_proj ,x, ", names, 3);
}

Test(names, are_whole) {
  const ld_name name = {"q_proj,v", 6};
  cr_assert(ld_name_is(&name, "q_proj"));
  cr_assert_not(ld_name_is(&name, "q_pro"));
  cr_assert_not(ld_name_is(&name, "q_proj,"));
}
