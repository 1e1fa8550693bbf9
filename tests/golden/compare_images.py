"""Compares what a model gets of an image with transformers, over every key of preprocessor_config.json.

    python3 tests/golden/compare_images.py BUILD/tests/pixels

Needs transformers, pillow (13) and numpy. Each configuration is read by AutoImageProcessor beside a ResNet's
config.json, as the class of its Pillow backend, and by the tool. The values must agree to 1e-5, or the tool must end
with an error; where transformers has an error, or makes an image of another size for each image, so must it. Prints
a line for each configuration.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from PIL import Image, ImageOps
from transformers import AutoImageProcessor

ROOT = pathlib.Path(__file__).resolve().parent
TOOL = sys.argv[1]
TYPES = ["ConvNextImageProcessor", "ViTImageProcessor", "DeiTImageProcessor", "SiglipImageProcessor", "BitImageProcessor", "CLIPImageProcessor",
         "EfficientNetImageProcessor", "MobileNetV1ImageProcessor", None]
IMAGES = ["jpeg_444.jpg", "turned_6.jpg"]
CHANGES = [
    {},
    *[{"size": s} for s in (20, [18, 22], {"shortest_edge": 20}, {"height": 18, "width": 22}, {"longest_edge": 20},
                            {"shortest_edge": 20, "longest_edge": 30}, {"max_height": 20, "max_width": 30},
                            {"height": 18}, {"height": 18, "width": 22, "shortest_edge": 9}, "20", 0, None)],
    *[{"size": 20, "crop_size": c, "do_center_crop": d} for c in (16, [15, 17], {"height": 30, "width": 12}, {"shortest_edge": 16}, None)
      for d in (True, False, None)],
    *[{"size": 20, "default_to_square": s} for s in (True, False, None)],
    *[{"size": 400, "crop_pct": p} for p in (0.5, None)],
    *[{"size": 20, "crop_pct": p} for p in (0.5, 1.0, 1.5, 0, None)],
    *[{"size": 20, "resample": r} for r in (0, 1, 2, 3, 4, 5, 7, None, "bicubic")],
    *[{"size": 20, k: v} for k in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb", "do_pad", "do_flip_channel_order",
                                   "rescale_offset", "include_top", "use_square_size", "do_reduce_labels") for v in (True, False, None)],
    *[{"size": 20, "rescale_factor": f} for f in (1 / 127.5, 1, 0, -0.5, None, "x")],
    *[{"size": 20, "image_mean": m} for m in (0.4, [0.1, 0.2, 0.3], [0.1], None, [0.1, 0.2], 0)],
    *[{"size": 20, "image_std": m} for m in (0.4, [0.1, 0.2, 0.3], [0.1], None, [0.1, 0.2], 0, -1)],
    {"size": 20, "do_rescale": False, "do_normalize": False},
    {"size": 20, "do_pad": True, "pad_size": {"height": 50, "width": 50}},
    {"size": 20, "do_pad": False, "pad_size": {"height": 50, "width": 50}},
    {"size": 20, "image_processor_type": "ViTImageProcessor", "feature_extractor_type": "ConvNextFeatureExtractor"},
    {"size": 20, "image_processor_type": None, "feature_extractor_type": "ConvNextFeatureExtractor"},
    {"size": 20, "unknown": 3},
    {"size": {"height": 45, "width": 37}, "do_resize": False},
    {"size": {"height": 37, "width": 45}, "do_resize": False},
]


def by_transformers(folder, image):
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    return numpy.asarray(processor(image, return_tensors="np")["pixel_values"][0], dtype=numpy.float32)


def by_us(config, image):
    run = subprocess.run([TOOL, config, image, "ConvNextImageProcessor", "3", "224"], capture_output=True, check=False)
    if run.returncode:
        return run.stderr.decode().strip().split(": ", 1)[-1]
    height, width = numpy.frombuffer(run.stdout[:8], numpy.int32)
    return numpy.frombuffer(run.stdout[8:], numpy.float32).reshape(3, height, width)


def main():
    bad = n = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps({"model_type": "resnet"}))
        path = folder / "preprocessor_config.json"
        for kind in TYPES:
            for change in CHANGES:
                config = {"image_processor_type": kind, **change}
                config = {k: v for k, v in config.items() if v is not None or k != "image_processor_type"}
                path.write_text(json.dumps(config))
                for name in IMAGES:
                    image = ImageOps.exif_transpose(Image.open(ROOT / "images" / name)).convert("RGB")
                    ours = by_us(path, ROOT / "images" / name)
                    try:
                        theirs = by_transformers(folder, image)
                    except Exception as error:  # whatever it is
                        theirs = type(error).__name__
                    if isinstance(ours, str):
                        verdict = "refused: " + ours
                    elif isinstance(theirs, str):
                        verdict = "DIFFERS: transformers fails with " + theirs
                    elif ours.shape != theirs.shape:
                        verdict = "DIFFERS: %s, transformers %s" % (ours.shape, theirs.shape)
                    else:
                        worst = float(numpy.abs(ours - theirs).max() / max(1, numpy.abs(theirs).max()))
                        verdict = "%s %.1e" % ("same" if worst < 1e-5 else "DIFFERS", worst)
                    bad += verdict.startswith("DIFFERS")
                    n += 1
                    print(json.dumps(config), name, verdict)
    print("%d of %d differ" % (bad, n))
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
