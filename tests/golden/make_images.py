"""Makes tests/golden/images/: small images of every kind, what Pillow reads in them, and what it makes of their sizes.

    python3 tests/golden/make_images.py

Needs pillow (13 or later, which chooses the order of its two passes), transformers, h5py and safetensors.

NAME.png, NAME.jpg       PNG of all colour types and depths, interlaced too; JPEG with all usual samplings
fit.json                 which image is fitted by which preprocessor_config.json
expected.safetensors     NAME: pixels by Pillow, (H, W) grey or (H, W, 3); fit.CASE: pixels after resize and crop, by
                         transformers' Pillow processors, or for a config without a type as torchvision does it
*.h5                     images by h5py: good.h5, plain.h5 and chunks.h5; a reader has to refuse all others (virtual.h5 has other
                         unused bytes each time)
"""

import io
import json
import pathlib
import struct
import zlib

import h5py
import numpy
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

OUT = pathlib.Path(__file__).resolve().parent / "images"
RNG = numpy.random.default_rng(3)
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, depth):
    """Rows of samples (H, W, channels) as PNG stores them, each after a filter byte of 0."""
    if samples.shape[1] == 0:
        return b""
    rows = b""
    for row in samples:
        bits = "".join(format(int(v), "0%db" % depth) for v in row.ravel())
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return rows


def png(samples, depth, color, interlaced=False, more=b""):
    height, width = samples.shape[:2]
    if interlaced:
        data = b"".join(packed(samples[y::dy, x::dx], depth) for x, y, dx, dy in PASSES)
    else:
        data = packed(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    )


def photo(height, width, channels=3):
    """Something smooth with edges, so that every kind of filter shows."""
    small = RNG.integers(0, 256, (height // 5 + 2, width // 5 + 2, channels), dtype=numpy.uint8)
    return numpy.stack(
        [numpy.array(Image.fromarray(small[..., c]).resize((width, height), 3)) for c in range(channels)], axis=2
    )


def png_kinds():
    names = {0: "grey", 2: "rgb", 3: "palette", 4: "grey_alpha", 6: "rgb_alpha"}
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    for color, name in names.items():
        for depth in depths[color]:
            samples = RNG.integers(0, 1 << depth, (9, 11, channels[color]))
            if color == 0 and depth == 16:
                samples[::2] //= 256
            more = b""
            if color == 3:
                more = chunk(b"PLTE", RNG.bytes(3 << depth)) + chunk(b"tRNS", RNG.bytes(2))
            if color == 2 and depth == 8:
                more = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tRNS", struct.pack(">HHH", *samples[0, 0]))
            yield "%s%d" % (name, depth), png(samples, depth, color, False, more)
            yield "%s%d_interlaced" % (name, depth), png(samples, depth, color, True, more)


def jpeg_kinds():
    for name, mode, how in (
        ("jpeg_444", "RGB", dict(subsampling=0, quality=90)),
        ("jpeg_422", "RGB", dict(subsampling=1, quality=75)),
        ("jpeg_420", "RGB", dict(subsampling=2, quality=60)),
        ("jpeg_progressive", "RGB", dict(subsampling=2, quality=85, progressive=True)),
        ("jpeg_grey", "L", dict(quality=80)),
        ("jpeg_restart", "RGB", dict(quality=80, restart_marker_blocks=2)),
    ):
        file = io.BytesIO()
        Image.fromarray(photo(37, 45)).convert(mode).save(file, "JPEG", **how)
        yield name, file.getvalue()
    yield "jpeg_turned", turned(photo(8, 20), 6)
    file = io.BytesIO()
    Image.fromarray(photo(8, 8, 4), "CMYK").save(file, "JPEG")
    yield "cmyk", file.getvalue()


def exif_of(value, order=">", kind=3):
    """A TIFF header and one directory with some other tag, Orientation (none when `value` is None) and one more."""
    tags = [(0x010F, 2, 3, b"ld\0\0"), (0x0128, 3, 1, struct.pack(order + "HH", 2, 0))]
    if value is not None:
        tags.insert(1, (0x0112, kind, 1, struct.pack(order + ("HH" if kind == 3 else "I"), *([value, 0] if kind == 3 else [value]))))
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IH", 8, len(tags)) + b"".join(struct.pack(order + "HHI", *t[:3]) + t[3] for t in tags) + bytes(4)


def turned(image, value):
    exif = Image.Exif()
    exif[0x0112] = value
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", exif=exif)
    return file.getvalue()


def turned_kinds():
    """All orientations, and all places where one can be noted."""
    small = numpy.random.default_rng(8).integers(0, 256, (3, 4, 3), dtype=numpy.uint8)
    image = numpy.array(Image.fromarray(small).resize((20, 9), 3))
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60)
    plain = file.getvalue()
    segment = lambda body: b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    with_exif = lambda data: plain[:2] + segment(b"Exif\0\0" + data) + plain[2:]
    xmp = lambda text: b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description %s</x:xmpmeta>' % text
    with_xmp = lambda jpeg, text: jpeg[:2] + segment(b"http://ns.adobe.com/xap/1.0/\0" + xmp(text)) + jpeg[2:]
    for value in range(1, 10):
        yield "turned_%d.jpg" % value, with_exif(exif_of(value, "<>"[value % 2]))
    yield "turned_long.jpg", with_exif(exif_of(8, "<", 4))
    yield "turned_not.jpg", with_exif(exif_of(None))
    yield "turned_xmp.jpg", with_xmp(plain, b'tiff:Orientation="3"/>')
    yield "turned_xmp_element.jpg", with_xmp(plain, b"><tiff:Orientation>5</tiff:Orientation>")
    yield "turned_exif_first.jpg", with_xmp(with_exif(exif_of(1)), b'tiff:Orientation="3"/>')
    yield "turned_xmp_second.jpg", with_xmp(with_exif(exif_of(None)), b'tiff:Orientation="7"/>')
    exif = chunk(b"eXIf", exif_of(6, "<"))
    grey = image[..., :1]
    yield "turned_png_exif.png", png(image, 8, 2, False, exif)
    yield "turned_png_grey.png", png(grey, 8, 0, False, exif)
    yield "turned_png_last.png", png(image, 8, 2)[:-12] + exif + chunk(b"IEND", b"")
    yield "turned_png_xmp.png", png(image, 8, 2, False, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(b'tiff:Orientation="8"/>')))
    yield from turned_rarely(image, with_exif, with_xmp, xmp)


def raw_profile(tiff):
    """EXIF as ImageMagick writes it into a text."""
    digits = (b"Exif\0\0" + tiff).hex()
    lines = "\n".join(digits[i:i + 72] for i in range(0, len(digits), 72))
    return b"\nexif\n%8d\n%s\n" % (len(digits) // 2, lines.encode())


def turned_rarely(image, with_exif, with_xmp, xmp):
    """What other programs write, and what is damaged."""
    six, text = exif_of(6), xmp(b'tiff:Orientation="8"/>')
    kinds = {"exif_mark": (b"eXIf", b"Exif\0\0" + six), "exif_two": (b"eXIf", exif_of(6, ">").replace(b"MM\0*", b"MM\0+")),
             "raw": (b"tEXt", b"Raw profile type exif\0" + raw_profile(six)),
             "raw_packed": (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(six))),
             "xmp_packed": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text)),
             "xmp_text": (b"tEXt", b"XML:com.adobe.xmp\0" + text),
             "xmp_broken": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text)[:-9])}
    for name, (kind, body) in kinds.items():
        yield "turned_png_%s.png" % name, png(image, 8, 2, False, chunk(kind, body))
    yield "turned_two_values.jpg", with_exif(six.replace(b"\x01\x12\0\3\0\0\0\1", b"\x01\x12\0\3\0\0\0\2"))
    yield "turned_marked_twice.jpg", with_exif(b"Exif\0\0" + six)
    yield "turned_cut.jpg", with_exif(six[:8 + 2 + 12 + 11])
    yield "turned_zero.jpg", with_xmp(with_exif(exif_of(0)), b'tiff:Orientation="3"/>')
    yield "turned_second.jpg", with_second(with_exif(exif_of(None)), six)


def with_second(jpeg, tiff):
    """A second EXIF segment after the first, which Pillow takes for its continuation."""
    end = 4 + struct.unpack(">H", jpeg[4:6])[0]
    body = b"Exif\0\0" + tiff
    return jpeg[:end] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[end:]


def pixels(name, image):
    grey = "grey" in name  # Pillow opens 16-bit grey with alpha as RGBA
    return numpy.array(image.convert("L" if grey else "RGB"))


FITS = {
    "square": ("jpeg_420", 3, "ViTImageProcessor", {"size": 24}),
    "square_bicubic": ("jpeg_420", 3, "ViTImageProcessor", {"size": {"height": 19, "width": 30}, "resample": 3}),
    "larger": ("rgb8", 3, "ViTImageProcessor", {"size": [23, 40], "resample": 3}),
    "tall": ("tall", 3, "ViTImageProcessor", {"size": {"height": 10, "width": 9}, "resample": 3}),
    "convnext": ("jpeg_444", 3, "ConvNextImageProcessor", {"size": {"shortest_edge": 28}, "crop_pct": 0.875}),
    "convnext_old": ("wide", 3, "ConvNextFeatureExtractor", {"size": 20, "resample": 2}),
    "bit": ("wide", 3, "BitImageProcessor", {"size": {"shortest_edge": 21}, "crop_size": {"height": 18, "width": 17}}),
    "padded_odd": ("rgb8", 3, "DeiTImageProcessor", {"do_resize": False, "crop_size": {"height": 14, "width": 16}}),
    "padded": ("rgb8", 3, "BitImageProcessor", {"do_resize": False, "crop_size": {"height": 13, "width": 8}}),
    "torchvision": ("wide", 3, None, {"size": {"shortest_edge": 21}, "crop_size": {"height": 18, "width": 17}}),
    "torchvision_tall": ("tall", 3, None, {"size": 17, "crop_size": 12, "resample": 3}),
    "as_it_is": ("rgb8", 3, None, {"size": {"height": 9, "width": 11}}),
    "to_grey": ("jpeg_444", 1, None, {"size": {"height": 20, "width": 21}}),
    "to_colour": ("jpeg_grey", 3, None, {"size": {"height": 20, "width": 21}}),
}
PROCESSORS = {"DeiT": DeiTImageProcessorPil, "ViT": ViTImageProcessorPil, "ConvNext": ConvNextImageProcessorPil, "Bit": BitImageProcessorPil}


def torchvision_way(image, config):
    """Resize and CenterCrop of torchvision.transforms on a Pillow image."""
    size, crop = config["size"], config.get("crop_size")
    if isinstance(size, dict) and "height" in size:
        target = (size["width"], size["height"])
    else:
        edge = size["shortest_edge"] if isinstance(size, dict) else size
        width, height = image.size
        short, long = min(width, height), max(width, height)
        cut = int(edge * long / short)
        target = (edge, cut) if width <= height else (cut, edge)
    image = image.resize(target, config.get("resample", 2))
    if crop:
        height, width = (crop["height"], crop["width"]) if isinstance(crop, dict) else (crop, crop)
        left, top = int(round((image.size[0] - width) / 2.0)), int(round((image.size[1] - height) / 2.0))
        image = image.crop((left, top, left + width, top + height))
    return numpy.array(image)


def fitted(image, channels, kind, config):
    image = image.convert("L" if channels == 1 else "RGB")
    if not kind:
        return torchvision_way(image, config)
    family = next(f for f in PROCESSORS if kind.startswith(f))
    processor = PROCESSORS[family](**config, do_rescale=False, do_normalize=False)
    return numpy.array(processor(image, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0).astype(numpy.uint8)


def write_h5(name, images, labels=None, **how):
    with h5py.File(OUT / (name + ".h5"), "w", libver=("v108", "v108")) as file:
        if images is not None:
            file.create_dataset("images", data=images, **how)
        if labels is not None:
            file.create_dataset("labels", data=labels)
    return OUT / (name + ".h5")


def make_h5(expected):
    images = RNG.integers(0, 256, (5, 6, 7, 3), dtype=numpy.uint8)
    labels = numpy.array([2, 0, 1, 1, 3])
    expected["h5.images"] = images
    write_h5("good", images, labels.astype(numpy.uint16), chunks=(2, 6, 4, 3), compression="gzip", shuffle=True, fletcher32=True)
    write_h5("plain", images[..., 0])
    write_h5("chunks", images, chunks=(1, 6, 7, 3))
    with h5py.File(OUT / "newer.h5", "w", libver="latest") as file:
        file.create_dataset("images", data=images, chunks=(1, 6, 7, 3), compression="gzip")
    write_h5("no_images", None, labels)
    write_h5("float_images", images.astype(numpy.float32), labels)
    write_h5("channels_first", images.transpose(0, 3, 1, 2), labels)
    write_h5("flat", images.reshape(5, -1), labels)
    write_h5("few_labels", images, labels[:4])
    write_h5("float_labels", images, labels.astype(numpy.float32))
    write_h5("negative_label", images, labels - 1)
    write_h5("large_label", images, labels + (1 << 40))
    write_h5("lzf", images, labels, compression="lzf")
    path = write_h5("same_names", images, labels)
    with h5py.File(path, "r+") as file:
        file["labels"].attrs["names"] = numpy.array([b"rose", b"iris", b"rose", b"fern"])
    for name, names in {
        "names_list": list("abcd"),  # texts of variable length
        "names_objects": numpy.array(list("abcd"), dtype=object),
        "names_ascii": numpy.array([b"a", b"b", b"c", b"d"], dtype=h5py.string_dtype("ascii")),
        "names_json": json.dumps(list("abcd")),
        "names_json_fixed": numpy.bytes_(json.dumps(list("abcd"))),
        "names_more": list("abcde"),
        "names_few": list("abc"),
        "names_one": "rose",
        "names_object": json.dumps({"0": "a", "1": "b", "2": "c", "3": "d"}),
        "names_numbers": numpy.arange(4),
        "names_square": numpy.array([["a", "b"], ["c", "d"]], dtype=object),
        "names_empty": list("ab") + ["", "d"],
    }.items():
        path = write_h5(name, images, labels)
        with h5py.File(path, "r+") as file:
            file["labels"].attrs["names"] = names
            if name == "names_more":  # and what else has no use
                file["masks"] = labels
                file["labels"].attrs["classes"] = file["images"].attrs["layout"] = file.attrs["names"] = "x"
    path = write_h5("broken_image", images, labels, chunks=(1, 6, 7, 3), fletcher32=True)
    with h5py.File(path) as file:
        place = file["images"].id.get_chunk_info(2).byte_offset
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with h5py.File(OUT / "sparse.h5", "w", libver=("v108", "v108")) as file:
        file.create_dataset("images", (1 << 40, 32, 32, 3), numpy.uint8, chunks=(1, 32, 32, 3), compression="gzip")
    with h5py.File(OUT / "linked.h5", "w", libver=("v108", "v108")) as file:
        file["images"] = h5py.ExternalLink("good.h5", "/images")
    with h5py.File(OUT / "virtual.h5", "w", libver=("v110", "v110")) as file:
        layout = h5py.VirtualLayout(shape=(5, 6, 7, 3), dtype=numpy.uint8)
        layout[:] = h5py.VirtualSource("good.h5", "images", shape=(5, 6, 7, 3))
        file.create_virtual_dataset("images", layout)
    with h5py.File(OUT / "external.h5", "w", libver=("v108", "v108")) as file:
        file.create_dataset("images", (5, 6, 7), numpy.uint8, external=[("good.h5", 0, 210)])


def main():
    OUT.mkdir(exist_ok=True)
    expected = {}
    files = [(name + ".png", data) for name, data in png_kinds()]
    files += [("tall.png", png(photo(61, 13), 8, 2)), ("wide.png", png(photo(23, 40), 8, 2))]
    files += [(name + ".jpg", data) for name, data in jpeg_kinds()]
    files += turned_kinds()
    images = {}
    for name, data in files:
        (OUT / name).write_bytes(data)
        if name != "cmyk.jpg":
            stem = name.split(".")[0]
            images[stem] = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            expected[stem] = pixels(stem, images[stem])
    cases = []
    for name, (image, channels, kind, config) in FITS.items():
        expected["fit." + name] = fitted(images[image], channels, kind, config)
        file = next(f for f, _ in files if f.split(".")[0] == image)
        config = {"image_processor_type": kind, **config} if kind else config
        cases.append({"name": name, "image": file, "channels": channels, "config": config})
    (OUT / "fit.json").write_text(json.dumps(cases, indent=1) + "\n")
    make_h5(expected)
    path = OUT / "expected.safetensors"
    save_file({k: torch.from_numpy(numpy.ascontiguousarray(v)) for k, v in expected.items()}, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
