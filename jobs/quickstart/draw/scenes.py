"""Draws small scenes with captions, plain or as ink drawings, and writes style/ and held/: pictures that
teach the style, and others that tell how well it was learnt.

A scene is a thing in a colour, at a place, at a time of the day: "a red boat on the sea at sunset". Everything that
is not in its caption (where the thing stands, how large it is, hills, clouds, stars) is left to chance. Needs Pillow.
Same seed, same pictures.
"""
import argparse
import collections
import json
import math
import pathlib
import random

from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).parent
SIZE = 32  # pixels a side
SIDE, FINE = 48, 4  # a scene is drawn in SIDE units a side, each of FINE points, and then made smaller
STYLE = "ink drawing"

COLOURS = {
    "red": (214, 48, 42),
    "yellow": (248, 204, 40),
    "green": (24, 138, 74),
    "blue": (48, 106, 226),
    "purple": (142, 68, 184),
    "white": (250, 248, 242),
}
SKIES = {  # from the top to the horizon
    "day": [(104, 180, 232), (160, 210, 242), (218, 240, 250)],
    "sunset": [(110, 84, 156), (240, 132, 98), (255, 212, 140)],
    "night": [(12, 20, 54), (24, 36, 84), (50, 66, 122)],
}
LIGHT = {"day": (1, 1, 1), "sunset": (0.98, 0.82, 0.74), "night": (0.42, 0.48, 0.66)}
LIGHT_ON_THING = {"day": (1, 1, 1), "sunset": (1, 0.93, 0.9), "night": (0.78, 0.8, 0.9)}
PLACES = {"sea": "the sea", "meadow": "a meadow", "desert": "the desert", "snow": "the snow",
          "mountains": "the mountains"}
TIMES = {"day": "by day", "sunset": "at sunset", "night": "at night"}
INK, PAPER = (38, 34, 52), (248, 240, 222)
WOOD, DARK, GLASS = (112, 74, 48), (62, 56, 66), (206, 230, 240)

Scene = collections.namedtuple("Scene", "thing colour place time")


def mixed(a, b, share):
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b))


def lit(colour, light):
    return tuple(round(x * y) for x, y in zip(colour, light))


class Canvas:
    """A picture under work. Lengths are units of the scene, y goes down.

    As ink, a shape is an outline on paper; what is `washed` keeps a thin layer of its colour.
    """

    def __init__(self, ink):
        self.ink = ink
        self.image = Image.new("RGB", (SIDE * FINE, SIDE * FINE), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def shape(self, points, fill, washed=False, outlined=True):
        points = [(x * FINE, y * FINE) for x, y in points]
        if not self.ink:
            self.draw.polygon(points, fill)
            return
        self.draw.polygon(points, mixed(PAPER, fill, 0.8) if washed else PAPER)
        if outlined:
            self.draw.line(points + points[:2], INK, round(1.5 * FINE), joint="curve")

    def line(self, points, fill, width):
        points = [(x * FINE, y * FINE) for x, y in points]
        self.draw.line(points, INK if self.ink else fill, round((1.2 if self.ink else width) * FINE), joint="curve")

    def ellipse(self, x, y, rx, ry, fill, washed=False, outlined=True):
        turn = [2 * math.pi * i / 40 for i in range(40)]
        self.shape([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in turn], fill, washed, outlined)

    def gradient(self, colours, bottom):
        for row in range(round(bottom * FINE)):
            at = row / (bottom * FINE) * (len(colours) - 1)
            part = min(int(at), len(colours) - 2)
            self.draw.line([(0, row), (SIDE * FINE, row)], mixed(colours[part], colours[part + 1], at - part))

    def finished(self):
        return self.image.resize((SIZE, SIZE), Image.Resampling.BOX)


def waves(rng, y, height):
    """The upper edge of hills from left to right."""
    a, b, c = rng.uniform(0, 6.28), rng.uniform(0.07, 0.12), rng.uniform(0, 6.28)
    return [(x, y + height * (0.7 * math.sin(a + b * x) + 0.3 * math.sin(c + 2.3 * b * x))) for x in range(-2, SIDE + 3, 2)]


def land(canvas, edge, fill, outlined=True):
    canvas.shape(edge + [(SIDE + 3, SIDE + 3), (-3, SIDE + 3)], fill, outlined=outlined)


def cloud(canvas, x, y, size, fill):
    for dx, dy, r in ((-4, 0.6, 2.2), (4, 0.6, 2.0), (0.6, -0.6, 3.2)):
        canvas.ellipse(x + dx * size, y + dy * size, r * 1.35 * size, r * size, fill)


def sky(canvas, rng, time, horizon):
    if canvas.ink:
        if time == "night":
            canvas.gradient([mixed(PAPER, INK, 0.62), mixed(PAPER, INK, 0.34)], horizon + 3)
    else:
        canvas.gradient(SKIES[time], horizon + 3)
    x = rng.choice([rng.uniform(6, 12), rng.uniform(36, 42)])
    if time == "day":
        canvas.ellipse(x, rng.uniform(6, 9), 3.6, 3.6, (255, 240, 150))
        for _ in range(rng.randint(1, 2)):
            cloud(canvas, rng.uniform(4, 44), rng.uniform(6, 16), rng.uniform(0.8, 1.1), (250, 253, 255))
    elif time == "sunset":
        canvas.ellipse(x, horizon - rng.uniform(0, 3), 6.5, 6.5, (255, 226, 120))
    else:
        for _ in range(rng.randint(7, 11)):
            canvas.ellipse(rng.uniform(1, 47), rng.uniform(1, horizon - 6), 0.75, 0.75, (250, 250, 230), outlined=False)
        y = rng.uniform(7, 10)
        canvas.ellipse(x, y, 4, 4, (246, 240, 206))
        if not canvas.ink:
            canvas.ellipse(x + 1.9, y - 0.8, 3.5, 3.5, mixed(SKIES[time][0], SKIES[time][1], 0.4))


def sea(canvas, rng, light, horizon):
    canvas.shape([(-3, horizon), (51, horizon), (51, 51), (-3, 51)], lit((48, 130, 188), light))
    for _ in range(7):
        x, y, n = rng.uniform(-2, 44), rng.uniform(horizon + 3, 46), rng.uniform(2, 4)
        canvas.line([(x, y), (x + n / 2, y - 0.8), (x + n, y), (x + 1.5 * n, y - 0.8), (x + 2 * n, y)],
                    lit((150, 206, 232), light), 0.8)


def meadow(canvas, rng, light, horizon):
    land(canvas, waves(rng, horizon, 2.5), lit((160, 206, 120), light))
    land(canvas, waves(rng, horizon + 6, 1.5), lit((116, 178, 78), light))
    for _ in range(9):
        x, y = rng.uniform(0, 48), rng.uniform(horizon + 9, 47)
        canvas.line([(x - 0.7, y - 1.6), (x, y), (x + 0.8, y - 1.5)], lit((74, 136, 54), light), 0.8)


def desert(canvas, rng, light, horizon):
    land(canvas, waves(rng, horizon, 2.5), lit((242, 210, 150), light))
    x, y = rng.choice([rng.uniform(4, 8), rng.uniform(40, 44)]), horizon + 7
    for points in ([(x, y), (x, y - 11)], [(x, y - 4), (x - 3, y - 4), (x - 3, y - 8)], [(x, y - 3), (x + 3, y - 3), (x + 3, y - 6)]):
        canvas.line(points, lit((70, 126, 72), light), 1.9)
    land(canvas, waves(rng, horizon + 6, 1.5), lit((226, 178, 104), light))


def fir(canvas, x, y, size, fill):
    for i in range(3):
        top, width = y - (5 + 3.2 * i) * size, (3.8 - 0.9 * i) * size
        canvas.shape([(x - width, top + 4.4 * size), (x, top), (x + width, top + 4.4 * size)], fill)


def snow(canvas, rng, light, horizon):
    land(canvas, waves(rng, horizon, 2.5), lit((206, 222, 236), light))
    for x in (rng.uniform(3, 7), rng.uniform(41, 45)):
        fir(canvas, x, horizon + 7, rng.uniform(0.8, 1.1), lit((46, 96, 84), light))
    land(canvas, waves(rng, horizon + 6, 1.5), lit((240, 246, 250), light))


def mountains(canvas, rng, light, horizon):
    for x in sorted((rng.uniform(2, 14), rng.uniform(18, 30), rng.uniform(34, 46)), key=lambda _: rng.random()):
        h, w = rng.uniform(14, 20), rng.uniform(13, 17)
        top = horizon + 4 - h
        canvas.shape([(x - w, horizon + 5), (x, top), (x + w, horizon + 5)], lit((112, 122, 150), light))
        s = 0.3
        canvas.shape([(x - w * s, top + h * s), (x, top), (x + w * s, top + h * s), (x + w * s * 0.3, top + h * s * 0.72),
                      (x - w * s * 0.2, top + h * s * 1.1)], lit((240, 244, 250), light))
    land(canvas, waves(rng, horizon + 5, 1.2), lit((126, 140, 96), light))


class Thing:
    """Draws parts of a thing at its place and size: x to the right of its middle, y up from its foot."""

    def __init__(self, canvas, x, y, size, light):
        self.canvas, self.x, self.y, self.size, self.light = canvas, x, y, size, light

    def at(self, points):
        return [(self.x + x * self.size, self.y - y * self.size) for x, y in points]

    def shape(self, points, fill, washed=False):
        self.canvas.shape(self.at(points), lit(fill, self.light), washed)

    def box(self, left, low, right, high, fill, washed=False):
        self.shape([(left, low), (right, low), (right, high), (left, high)], fill, washed)

    def line(self, points, fill, width):
        self.canvas.line(self.at(points), lit(fill, self.light), width * self.size)

    def ellipse(self, x, y, rx, ry, fill, washed=False, outlined=True):
        (x, y), = self.at([(x, y)])
        self.canvas.ellipse(x, y, rx * self.size, ry * self.size, lit(fill, self.light), washed, outlined)


def shade(colour):
    return mixed(colour, (40, 30, 60), 0.25)


def boat(t, colour):
    t.line([(0, 3), (0, 20)], WOOD, 1.1)
    t.shape([(0.8, 5), (0.8, 20), (9, 5)], colour, True)
    t.shape([(-0.8, 5), (-0.8, 16), (-7, 5)], shade(colour), True)
    t.shape([(-10, 3.6), (10, 3.6), (7, -1), (-7, -1)], WOOD)


def house(t, colour):
    t.box(4, 12, 6.5, 19, DARK)
    t.box(-8, 0, 8, 10, colour, True)
    t.shape([(-10, 10), (0, 18.5), (10, 10)], (122, 62, 52))
    t.box(-1.8, 0, 1.8, 6, WOOD)
    for x in (-6.4, 3.4):
        t.box(x, 4, x + 3, 7.5, (255, 240, 170))


def tree(t, colour):
    t.box(-1.5, 0, 1.5, 9, WOOD)
    for x, y, r in ((-4.6, 11, 4.8), (4.6, 11, 4.8), (0, 15.5, 6.2)):
        t.ellipse(x, y, r, r, colour, True)
    if not t.canvas.ink:
        t.ellipse(0, 11, 4.2, 4, colour)


def car(t, colour):
    t.shape([(-6, 6), (-4, 12), (4, 12), (7, 6)], colour, True)
    t.shape([(-4.2, 7), (-3, 10.6), (-0.5, 10.6), (-0.5, 7)], GLASS)
    t.shape([(0.7, 7), (0.7, 10.6), (3.3, 10.6), (5, 7)], GLASS)
    t.shape([(-11, 2), (-11, 6), (-9.5, 7), (9, 7), (11, 5.4), (11, 2)], colour, True)
    for x in (-6, 6):
        t.ellipse(x, 2, 2.9, 2.9, DARK)
        t.ellipse(x, 2, 1.2, 1.2, (220, 220, 220), outlined=False)


def balloon(t, colour):
    t.line([(-5, 8), (-1.5, 0)], WOOD, 0.7)
    t.line([(5, 8), (1.5, 0)], WOOD, 0.7)
    t.shape([(-7.5, 10), (-2, 3.5), (2, 3.5), (7.5, 10)], colour, True)
    t.ellipse(0, 14, 9, 9, colour, True)
    t.ellipse(0, 14, 3.6, 9, shade(colour), True)
    t.box(-2.2, -3.4, 2.2, 0, WOOD)


def tent(t, colour):
    t.shape([(-11, 0), (0, 15), (11, 0)], colour, True)
    t.shape([(-3.8, 0), (0, 10), (3.8, 0)], DARK)
    t.line([(0, 15), (0, 18.5)], WOOD, 0.9)


def mushroom(t, colour):
    t.shape([(-3.4, 0), (-2.4, 9), (2.4, 9), (3.4, 0)], (240, 226, 200))
    turn = [math.pi * i / 20 for i in range(21)]
    t.shape([(10 * math.cos(a), 8 + 9.5 * math.sin(a)) for a in turn], colour, True)
    for x, y, r in ((-5, 11, 1.5), (0.5, 14, 1.8), (5, 10.6, 1.3)):
        t.ellipse(x, y, r, r, (252, 240, 214))


def flower(t, colour):
    t.line([(0, 0), (0, 12)], (58, 132, 62), 1.4)
    t.shape([(0, 1), (5.5, 5.5), (0, 4)], (58, 132, 62))
    t.shape([(0, 2.5), (-5.5, 7), (0, 5.5)], (58, 132, 62))
    for i in range(6):
        a = 2 * math.pi * i / 6
        t.ellipse(5 * math.cos(a), 14 + 5 * math.sin(a), 3.3, 3.3, colour, True)
    t.ellipse(0, 14, 3, 3, (120, 78, 40))


GROUNDS = {"sea": sea, "meadow": meadow, "desert": desert, "snow": snow, "mountains": mountains}
THINGS = {"boat": boat, "house": house, "tree": tree, "car": car, "balloon": balloon, "tent": tent,
          "mushroom": mushroom, "flower": flower}


def places_of(thing):
    if thing == "boat":
        return ["sea"]
    return list(PLACES) if thing == "balloon" else [place for place in PLACES if place != "sea"]


def chosen(rng):
    """A scene by chance: every thing is as likely as the others."""
    thing = rng.choice(list(THINGS))
    return Scene(thing, rng.choice(list(COLOURS)), rng.choice(places_of(thing)), rng.choice(list(TIMES)))


def caption(scene, with_place=True, with_time=True):
    words = f"a {scene.colour} {scene.thing}"
    if with_place:
        where = "over" if scene.thing == "balloon" else "on" if scene.place == "sea" else "in"
        words += f" {where} {PLACES[scene.place]}"
    return words + (f" {TIMES[scene.time]}" if with_time else "")


def picture(scene, rng, ink=False):
    canvas = Canvas(ink)
    horizon = rng.uniform(27, 31)
    sky(canvas, rng, scene.time, horizon)
    GROUNDS[scene.place](canvas, rng, LIGHT[scene.time], horizon)
    x, y = rng.uniform(16, 32), rng.uniform(41, 45)
    if scene.thing == "balloon":
        y = rng.uniform(30, 34)
    light = LIGHT_ON_THING["day" if ink else scene.time]
    thing = Thing(canvas, x, y, rng.uniform(1.15, 1.4), light)
    THINGS[scene.thing](thing, COLOURS[scene.colour])
    return canvas.finished()


def write_style(folder, first, n, seed):
    """`n` ink drawings in which things, colours, places and times occur about equally often."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "metadata.jsonl", "w", encoding="utf-8") as out:
        for i in range(first, first + n):
            thing = list(THINGS)[i % len(THINGS)]
            places = places_of(thing)
            scene = Scene(thing, list(COLOURS)[(i + i // 6) % 6], places[(i // 8 + i) % len(places)], list(TIMES)[i % 3])
            name = f"{i + 1:02d}.png"
            drawing = picture(scene, rng, ink=True)
            drawing.quantize(64, dither=Image.Dither.NONE).save(folder / name, optimize=True)
            out.write(json.dumps({"file_name": name, "text": f"{caption(scene)}, {STYLE}"}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--pictures", type=int, default=20, help="in style/")
    parser.add_argument("--held", type=int, default=10, help="in held/, for the validation loss")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    write_style(options.out / "style", 0, options.pictures, options.seed)
    write_style(options.out / "held", options.pictures, options.held, options.seed + 1)


if __name__ == "__main__":
    main()
