/* Every build has this fingerprint: with any compiler, level of optimisation and kernel of fused
 * multiply-adds. An intended change raises LD_NUMERICS (base/numerics.h) and is recorded here; a new part is
 * only recorded. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "linalg/gemm.h"
#include "train/fingerprint.h"

enum { OF_PRODUCTS = 4 }; /* the first parts depend on matrix products */

static const ld_fingerprint recorded = {{0xabb9fa5f3f158644, 0xc80e64c4afe313bd, 0xed47a600a7a53337,
                                         0x76fbdf5929d0397f, 0xbaa4bb5877dc12eb, 0x5e05b41b658c9bd5,
                                         0xe3de7b5266826248, 0x2ba6a28f007573c9}};

static void check(const char *kernel) {
  ld_fingerprint found;
  setenv("LORA_DIST_KERNEL", kernel, 1);
  if (ld_gemm_setup(2, LD_PRECISION_F32, NULL)) cr_skip_test("this processor lacks %s", kernel);
  cr_assert(ld_fingerprint_take(&found));
  for (int i = ld_gemm_fused() ? 0 : OF_PRODUCTS; i < LD_FINGERPRINT_PARTS; i++)
    cr_expect(found.part[i] == recorded.part[i], "%s: %s: 0x%016llx", kernel, ld_fingerprint_name(i),
              (unsigned long long)found.part[i]);
}

Test(fingerprint, avx512) {
  check("avx512");
}

Test(fingerprint, avx2) {
  check("avx2");
}

Test(fingerprint, neon) {
  check("neon");
}

Test(fingerprint, plain) {
  check("plain");
}

/* Each part covers something else, and gives the same result twice. */
Test(fingerprint, parts_differ) {
  ld_fingerprint first, second;
  cr_assert(ld_fingerprint_take(&first) && ld_fingerprint_take(&second));
  cr_assert_arr_eq(first.part, second.part, sizeof first.part);
  for (int i = 0; i < LD_FINGERPRINT_PARTS; i++)
    for (int k = 0; k < i; k++) cr_assert_neq(first.part[i], first.part[k]);
}
