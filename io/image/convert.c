#include "io/image/convert.h"

#include <stddef.h>

/* The first one that fits. CIFAR's accepts any file, and says what is wrong with it. */
static const ld_convert_form *const forms[] = {&ld_convert_idx, &ld_convert_cifar, &ld_convert_folder};

int ld_image_convert(const char *data, const char *labels, const char *out, ld_converted *converted,
                     ld_error *err) {
  *converted = (ld_converted){0};
  size_t i = 0;
  while (i + 1 < sizeof forms / sizeof *forms && !forms[i]->fits(data)) i++;
  if (labels && !forms[i]->takes_labels)
    return ld_fail(err, LD_EUSAGE,
                   "%s: only IDX images have their labels in another file: leave the labels' file out", data);
  return forms[i]->convert(data, labels, out, converted, err);
}
