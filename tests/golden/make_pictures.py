"""Makes tests/golden/pictures/: images for a model that makes images, and how training scripts prepare them.

    python3 tests/golden/make_pictures.py

Needs pillow (13 or later), numpy, torch, torchvision and safetensors.

NAME.png, .webp, .jpg    with and without transparency
cut.webp, animated.webp  which are refused
cases.json               which image is brought to which size; where its crop lies; whether it is mirrored
expected.safetensors     NAME: pixels, transparency on white by Pillow's alpha_composite, (H, W) or (H, W, 3); case.N: after resize, crop
                         and flip, as diffusers' train_text_to_image_lora.py does it with torchvision on a Pillow image, and for what
                         is not square with the size that kohya's scripts compute; values.N: the tensor (3, H, W) after Normalize
"""

import io
import json
import pathlib

import numpy
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from torchvision.transforms import functional
from torchvision.transforms.functional import InterpolationMode

OUT = pathlib.Path(__file__).resolve().parent / "pictures"
RNG = numpy.random.default_rng(5)


def photo(height, width, channels):
    """Smooth shapes with edges and a little noise."""
    y, x = numpy.mgrid[0:height, 0:width]
    planes = []
    for c in range(channels):
        wave = 127 + 90 * numpy.sin(x / (3 + c) + y / (5 - c)) + 60 * ((x // 7 + y // 5 + c) % 2)
        planes.append(wave + RNG.integers(-6, 7, (height, width)))
    return numpy.clip(numpy.stack(planes, -1), 0, 255).astype(numpy.uint8)


def veil(height, width):
    """Transparency of all degrees."""
    y, x = numpy.mgrid[0:height, 0:width]
    return numpy.clip((x * 300 // width) + (y * 80 // height) - 40, 0, 255).astype(numpy.uint8)


def with_veil(height, width, channels):
    return numpy.dstack([photo(height, width, channels), veil(height, width)])


def saved(image, kind, **settings):
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def files():
    rgb, rgba = Image.fromarray(photo(45, 61, 3)), Image.fromarray(with_veil(24, 40, 3))
    palette = Image.fromarray(photo(20, 30, 3)).quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "wide.png", saved(rgb, "PNG")
    yield "tall.png", saved(Image.fromarray(photo(90, 37, 3)), "PNG")
    yield "tiny.png", saved(Image.fromarray(photo(7, 9, 3)), "PNG")
    yield "narrow.png", saved(Image.fromarray(photo(4, 200, 3)), "PNG")
    yield "grey.png", saved(Image.fromarray(photo(33, 20, 1)[:, :, 0]), "PNG")
    yield "alpha.png", saved(rgba, "PNG")
    yield "grey_alpha.png", saved(Image.fromarray(with_veil(16, 24, 1), "LA"), "PNG")
    yield "palette_alpha.png", saved(palette, "PNG", transparency=bytes(range(0, 256, 16)))
    yield "one_color.png", saved(palette.convert("RGB"), "PNG", transparency=palette.convert("RGB").getpixel((3, 3)))
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossless_alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", saved(rgb, "WEBP", quality=70)
    yield "lossy_alpha.webp", saved(rgba, "WEBP", quality=60)
    yield "turned.webp", saved(rgb, "WEBP", lossless=True, exif=exif.tobytes())
    yield "photo.jpg", saved(rgb, "JPEG", quality=85)


def on_white(image):
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        grey = image.mode == "LA"
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        return image.getchannel("R") if grey else image
    return image if image.mode == "L" else image.convert("RGB")


def covering(image, width, height):
    """Resized so that it covers the size."""
    if width == height:
        return functional.resize(image, width, InterpolationMode.LANCZOS)
    scale = height / image.height if image.width / image.height > width / height else width / image.width
    return functional.resize(
        image, [int(image.height * scale + 0.5), int(image.width * scale + 0.5)], InterpolationMode.LANCZOS
    )


def prepared(image, width, height, share, flip):
    image = covering(image.convert("RGB"), width, height)
    if share is None:
        image = functional.center_crop(image, [height, width])
    else:
        down, right = (int(s * (m + 1)) for s, m in zip(share, (image.height - height, image.width - width)))
        image = functional.crop(image, down, right, height, width)
    return functional.hflip(image) if flip else image


CASES = [
    ("wide.png", 32, 32, None, False),
    ("wide.png", 32, 32, [0.0, 0.75], True),
    ("wide.png", 48, 24, None, False),
    ("wide.png", 61, 45, None, False),
    ("wide.png", 45, 61, [0.0, 0.999], False),
    ("tall.png", 24, 24, None, True),
    ("tall.png", 24, 24, [0.5, 0.25], False),
    ("tall.png", 16, 40, None, False),
    ("tall.png", 40, 16, [0.3, 0.0], False),
    ("tiny.png", 40, 40, None, False),
    ("tiny.png", 25, 60, None, True),
    ("narrow.png", 16, 16, None, False),
    ("narrow.png", 33, 8, [0.0, 0.1], False),
    ("grey.png", 17, 17, None, False),
    ("alpha.png", 20, 20, None, False),
    ("palette_alpha.png", 16, 16, None, False),
    ("lossless.webp", 32, 32, None, True),
    ("lossless_alpha.webp", 32, 16, None, False),
    ("turned.webp", 32, 32, None, False),
]


def main():
    OUT.mkdir(exist_ok=True)
    expected, images = {}, {}
    for name, data in files():
        (OUT / name).write_bytes(data)
        images[name] = on_white(Image.open(io.BytesIO(data)))
        expected[name] = numpy.asarray(images[name])
    (OUT / "cut.webp").write_bytes((OUT / "lossy.webp").read_bytes()[:-40])
    frames = [Image.fromarray(photo(6, 8, 3)) for _ in range(2)]
    (OUT / "animated.webp").write_bytes(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    cases = []
    for i, (name, width, height, share, flip) in enumerate(CASES):
        image = prepared(images[name], width, height, share, flip)
        expected[f"case.{i}"] = numpy.asarray(image)
        cases.append({"image": name, "width": width, "height": height, "share": share, "flip": flip})
        if i < 2:
            expected[f"values.{i}"] = functional.normalize(functional.to_tensor(image), [0.5] * 3, [0.5] * 3).numpy()
    (OUT / "cases.json").write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")
    path = OUT / "expected.safetensors"
    save_file({k: torch.from_numpy(numpy.array(v)) for k, v in expected.items()}, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
