"""Draw the sample photographs in haystack/ and needles/, and the README's picture of the hash.

    python tests/make_samples.py

Landscapes out of noise: a graded sky, ridges that fade with distance, and what each place has of
water, trees, sand, snow, lit windows and fog; film grain over all. The same numbers are drawn each
time. Screenshots and invoices are besides; they want the packages of tests/requirements.txt.
"""

import pathlib
import shutil
import sys

import cv2
import numpy as np

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP), str(TOP / "tests")]

from hash_and_search import RAMP, dhash, thumbnails  # noqa: E402
from pictures import calendar_app, edits, invoice, resized, screenshot  # noqa: E402

WIDTH, HEIGHT = 640, 480

# A scene's light: the sky at the zenith and at the horizon, the far haze, the near ground, the sun.
# Colours are red, green, blue.
LIGHTS = {
    "noon": ((62, 118, 190), (178, 208, 228), (160, 184, 204), (52, 74, 42), (255, 252, 240)),
    "dawn": ((78, 92, 142), (250, 196, 158), (206, 160, 150), (44, 40, 48), (255, 226, 180)),
    "sunset": ((52, 48, 96), (252, 146, 66), (186, 96, 84), (26, 20, 30), (255, 214, 130)),
    "dusk": ((24, 32, 76), (158, 112, 148), (92, 78, 120), (14, 14, 26), (250, 232, 224)),
    "night": ((6, 9, 24), (28, 40, 74), (24, 32, 56), (4, 6, 10), (246, 244, 230)),
    "grey": ((134, 144, 154), (206, 210, 210), (184, 190, 192), (60, 66, 62), (232, 232, 228)),
    "desert": ((70, 128, 196), (228, 212, 178), (214, 176, 130), (150, 92, 46), (255, 250, 230)),
    "winter": ((96, 136, 188), (214, 224, 236), (178, 194, 214), (70, 84, 104), (255, 250, 238)),
}


def noise1(rng, size, scale, octaves=6, roughness=0.5):
    """A fractal line of the given size, about -1 to 1; scale is the width of its largest waves."""
    line = np.zeros(size)
    for octave in range(octaves):
        count = max(4, int(size / scale * 2**octave) + 4)
        wave = cv2.resize(rng.uniform(-1, 1, (1, count)), (size, 1), interpolation=cv2.INTER_CUBIC)
        line += wave[0] * roughness**octave
    return line / 1.6


def noise2(rng, scale, octaves=5, stretch=1.0, roughness=0.55):
    """A fractal picture, about -1 to 1; stretch makes its features wider than they are high."""
    field = np.zeros((HEIGHT, WIDTH))
    for octave in range(octaves):
        high = max(2, int(HEIGHT / scale * 2**octave) + 2)
        wide = max(2, int(WIDTH / scale / stretch * 2**octave) + 2)
        wave = cv2.resize(
            rng.uniform(-1, 1, (high, wide)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
        )
        field += wave * roughness**octave
    return field / 1.6


def mix(first, second, share):
    """Blend two pictures or colours; share is a number or an array (height, width)."""
    share = np.asarray(share, float)[..., None]
    return np.asarray(first, float) * (1 - share) + np.asarray(second, float) * share


def rows():
    return np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))


def columns():
    return np.arange(WIDTH)[None, :] + np.zeros((HEIGHT, 1))


class Scene:
    """A picture in the making: red, green, blue as floats, far things first."""

    def __init__(self, seed, light, horizon=0.5):
        self.rng = np.random.default_rng(seed)
        self.zenith, self.low, self.haze, self.ground, self.glow = map(np.array, LIGHTS[light])
        self.light = light
        self.horizon = int(HEIGHT * horizon)
        self.picture = mix(self.zenith, self.low, np.clip(rows() / self.horizon, 0, 1) ** 1.3)

    def stars(self):
        for _ in range(260):
            x, y = self.rng.integers(WIDTH), self.rng.integers(max(1, self.horizon))
            self.picture[y, x] += self.rng.uniform(40, 200)

    def sun(self, x, y, radius, glow=160.0):
        """x and y are shares of the width and height, radius and glow pixels."""
        away = np.hypot(columns() - x * WIDTH, rows() - y * HEIGHT)
        self.picture = mix(self.picture, self.glow, 0.75 * np.exp(-away / glow))
        self.picture = mix(self.picture, self.glow, np.clip(radius - away + 0.5, 0, 1))

    def clouds(self, cover=0.0, scale=190, stretch=2.4):
        cloud = np.clip((noise2(self.rng, scale, 6, stretch) + cover) * 2.2, 0, 1)
        shade = noise2(self.rng, scale / 2, 4, stretch) * 18
        bright = mix(self.low, self.glow, 0.45)[None, None] + shade[..., None]
        fade = np.clip(1.25 - rows() / HEIGHT, 0, 1)
        self.picture = mix(self.picture, bright, cloud * 0.8 * fade)

    def aurora(self, hue):
        for _ in range(3):
            line = self.horizon * 0.55 + noise1(self.rng, WIDTH, 260, 4) * 90
            above = np.clip((line[None] - rows()) / 150, -1, 1)
            curtain = np.where(above > 0, np.exp(-above * 2.4), np.exp(above * 18))
            folds = 0.55 + 0.45 * noise1(self.rng, WIDTH, 50, 4)
            self.picture += (curtain * np.clip(folds, 0, 1))[..., None] * np.array(hue)

    def ridge(self, base, height, near, scale=220, roughness=0.5, snow=0.0, trees=0, smooth=False):
        """Lay a ridge across: base and height are shares, near is 0 in the haze and 1 up close."""
        line = noise1(self.rng, WIDTH, scale, 3 if smooth else 7, roughness)
        line = (base - height * line) * HEIGHT
        if trees:
            line -= self.tree_line(trees)
        inside = np.clip(rows() - line[None], 0, 1)
        depth = np.clip((rows() - line[None]) / (HEIGHT * 0.4), 0, 1)
        relief = noise2(self.rng, 70, 5, 1.2)
        across, down = np.gradient(cv2.GaussianBlur(relief, (0, 0), 1.2), axis=(1, 0))
        slope = np.clip((across - 0.6 * down) * 4.5, -0.6, 0.6) + relief * 0.2
        colour = mix(self.haze, self.ground, near)[None, None] * np.ones((HEIGHT, WIDTH, 1))
        colour = colour * (1 + (slope * 0.45 * (0.3 + near))[..., None])
        if snow:
            cover = np.clip((snow - depth + relief * 0.25) * 6, 0, 1)
            white = mix(self.glow, self.haze, 0.25) * (0.95 + 0.35 * slope[..., None])
            colour = mix(colour, white, cover * (0.4 + 0.6 * near))
        fog = np.clip(depth * 0.5 * (1 - near), 0, 1)  # mist lies in the valleys
        self.picture = mix(self.picture, mix(colour, self.haze, fog), inside)

    def tree_line(self, size):
        """Spruces side by side, as heights in pixels above the ground."""
        line = np.zeros(WIDTH)
        x = 0.0
        while x < WIDTH:
            high = size * self.rng.uniform(0.4, 1.0)
            half = high * self.rng.uniform(0.16, 0.24)
            away = np.abs(np.arange(WIDTH) - x) / half
            teeth = 1 - 0.16 * np.abs(np.sin(away * 9))
            line = np.maximum(line, high * np.clip(1 - away, 0, 1) * teeth)
            x += half * self.rng.uniform(0.6, 1.8)
        return line

    def trunks(self, count):
        """A few bare trees close by, dark against what is behind them."""
        for _ in range(count):
            x, foot = self.rng.uniform(0, WIDTH), HEIGHT + 10
            wide = self.rng.uniform(5, 17)
            top = self.rng.uniform(-60, 120)
            lean = self.rng.uniform(-30, 30)
            points = [(x - wide, foot), (x + wide, foot), (x + lean + 2, top), (x + lean - 2, top)]
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.fillPoly(mask, [np.array(points, np.int32)], 255, cv2.LINE_AA)
            for _ in range(7):
                share = self.rng.uniform(0.35, 0.95)
                start = np.array([x + lean * share, foot + (top - foot) * share])
                reach = self.rng.uniform(30, 120) * (1.1 - share) * self.rng.choice([-1, 1])
                end = np.add(start, (reach, -abs(reach) * self.rng.uniform(0.3, 0.9)))
                cv2.line(mask, start.astype(int), end.astype(int), 255, 2, cv2.LINE_AA)
            bark = self.ground * (0.75 + 0.25 * noise2(self.rng, 16, 3, 0.3)[..., None])
            self.picture = mix(self.picture, bark, mask / 255)

    def water(self, shore, ripple=1.0):
        """Mirror what stands above the shore (a share), broken by waves that grow nearer."""
        line = int(shore * HEIGHT)
        near = np.clip((rows() - line) / (HEIGHT - line), 0, 1)
        waves = noise2(self.rng, 46, 5, 6.0)
        source = 2 * line - rows() + waves * near * 34 * ripple
        mirrored = cv2.remap(
            self.picture.astype(np.float32),
            (columns() + waves * near * 10 * ripple).astype(np.float32),
            np.clip(source, 0, line - 1).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        tint = mix(self.zenith, self.ground, 0.45)
        lake = mix(mirrored, tint[None, None], 0.22 + 0.3 * near) * (1 + 0.10 * waves[..., None])
        self.picture = mix(self.picture, lake, np.clip(rows() - line, 0, 1))

    def dunes(self, base, height, scale):
        """One dune crest: a lit windward side, a shadow under the crest, ripples on the sand."""
        crest = (base - height * noise1(self.rng, WIDTH, scale, 2)) * HEIGHT
        below = rows() - crest[None]
        lean = np.gradient(crest)[None]
        sand = mix(self.haze, self.ground, 0.25 + 0.3 * base)
        light = 1.12 + np.clip(lean * 1.4, -0.42, 0.25) - 0.10 * np.clip(below / 160, 0, 1)
        phase = below * 0.55 + columns() * 0.08 + noise2(self.rng, 90, 3) * 7
        light = light + 0.035 * np.sin(phase) * np.clip(below / 60, 0, 1)
        light += 0.03 * noise2(self.rng, 12, 3)
        self.picture = mix(self.picture, sand * light[..., None], np.clip(below, 0, 1))

    def city(self, base, tall, lit=0.35):
        """A skyline with windows, in two rows; heights are shares."""
        for near in (0.35, 0.9):
            x = -20
            while x < WIDTH:
                wide = int(self.rng.uniform(24, 70))
                high = int(HEIGHT * tall * self.rng.uniform(0.3, 1.0) * (1.2 - 0.4 * near))
                top, foot = int(base * HEIGHT) - high, int(base * HEIGHT)
                wall = mix(self.haze, self.ground, near) * self.rng.uniform(0.8, 1.2)
                self.picture[max(top, 0) : foot, max(x, 0) : max(x + wide, 0)] = wall
                lamp = self.rng.choice([(255, 206, 120), (255, 232, 180), (200, 220, 255)])
                for y in range(max(top, 0) + 6, foot - 6, 9):
                    for window in range(max(x, 0) + 4, min(x + wide, WIDTH) - 5, 8):
                        if self.rng.random() < lit:
                            self.picture[y : y + 4, window : window + 4] = lamp * self.rng.uniform(
                                0.5, 1
                            )
                x += wide + int(self.rng.uniform(-6, 14))
        glow = cv2.GaussianBlur(np.clip(self.picture - 150, 0, None), (0, 0), 14)
        self.picture += glow * 1.2

    def fog(self, level, depth, strength):
        """A bank of fog about a level; both are shares of the height."""
        bank = np.exp(-(((rows() / HEIGHT - level) / depth) ** 2))
        bank = bank * (0.75 + 0.35 * noise2(self.rng, 150, 4, 3.0))
        mist = mix(self.low, self.haze, 0.4)
        self.picture = mix(self.picture, mist, np.clip(bank * strength, 0, 1))

    def meadow(self, base):
        """Grass and flowers from a level down, coarser as it comes nearer."""
        near = np.clip((rows() / HEIGHT - base) / (1 - base), 0, 1)
        blades = noise2(self.rng, 9, 3, 0.35) * near + noise2(self.rng, 120, 4, 3.0) * 0.5
        grass = np.array((92, 124, 52)) if self.light != "sunset" else np.array((96, 78, 36))
        field = mix(self.haze, grass, 0.45 + 0.55 * near) * (1 + 0.32 * blades[..., None])
        self.picture = mix(self.picture, field, np.clip(rows() - base * HEIGHT, 0, 1))
        for _ in range(420):
            share = self.rng.random() ** 0.6
            x, y = self.rng.integers(WIDTH), int((base + (1 - base) * share) * HEIGHT)
            petal = [(228, 196, 60), (210, 90, 80), (240, 236, 240)][self.rng.integers(3)]
            cv2.circle(self.picture, (int(x), y), int(1 + 2 * share), petal, -1, cv2.LINE_AA)

    def finish(self):
        """Vignette, softness of a lens, film grain; as a BGR uint8 image."""
        away = np.hypot((columns() - WIDTH / 2) / WIDTH, (rows() - HEIGHT / 2) / HEIGHT)
        picture = cv2.GaussianBlur(self.picture * (1.05 - 0.5 * away[..., None] ** 2), (0, 0), 0.6)
        grain = cv2.GaussianBlur(self.rng.normal(0, 5.0, (HEIGHT, WIDTH)), (0, 0), 0.7)
        return np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)[..., ::-1].copy()


def lake(seed, light):
    scene = Scene(seed, light, 0.5)
    rng = scene.rng
    scene.sun(rng.uniform(0.15, 0.85), rng.uniform(0.12, 0.38), rng.uniform(9, 22))
    scene.clouds(rng.uniform(-0.35, 0.05))
    for near, base in ((0.2, 0.38), (0.5, 0.46), (0.8, 0.52)):
        scene.ridge(base, rng.uniform(0.08, 0.2), near, rng.uniform(160, 420))
    scene.ridge(0.56, 0.03, 0.95, 300, trees=rng.uniform(16, 40))
    scene.water(rng.uniform(0.56, 0.64), rng.uniform(0.3, 1.0))
    return scene.finish()


def mountains(seed, light):
    scene = Scene(seed, light, 0.6)
    rng = scene.rng
    scene.sun(rng.uniform(0.05, 0.95), rng.uniform(0.06, 0.24), rng.uniform(8, 16))
    scene.clouds(rng.uniform(-0.3, 0.1))
    for near, base in ((0.25, 0.42), (0.5, 0.56), (0.72, 0.72)):
        height, scale = rng.uniform(0.14, 0.3), rng.uniform(180, 520)
        scene.ridge(base, height, near, scale, 0.55, snow=0.75 - near)
    scene.ridge(0.92, 0.08, 0.95, 260, trees=rng.uniform(30, 90))
    return scene.finish()


def desert(seed, light):
    scene = Scene(seed, light, 0.45)
    rng = scene.rng
    scene.sun(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.3), rng.uniform(10, 18))
    scene.clouds(-0.5, 240, 4)
    for base in (0.44, 0.54, 0.68, 0.86):
        scene.dunes(base, rng.uniform(0.05, 0.18), rng.uniform(200, 560))
    return scene.finish()


def forest(seed, light):
    scene = Scene(seed, light, 0.6)
    rng = scene.rng
    scene.sun(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.4), rng.uniform(6, 16), 220)
    rows_of_trees = ((0.15, 0.44, 36), (0.4, 0.58, 70), (0.65, 0.76, 110), (0.95, 1.0, 190))
    for near, base, trees in rows_of_trees:
        scene.ridge(base, rng.uniform(0.03, 0.12), near, rng.uniform(160, 420), trees=trees)
        scene.fog(base + 0.08, 0.09, 0.6 * (1 - near))
    if seed % 2:
        scene.trunks(int(rng.integers(2, 6)))
    return scene.finish()


def city(seed, light):
    scene = Scene(seed, light, 0.62)
    rng = scene.rng
    if light == "night":
        scene.stars()
    scene.sun(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.26), rng.uniform(9, 18), 90)
    scene.clouds(rng.uniform(-0.4, 0.0))
    scene.ridge(0.55, 0.06, 0.3, 260)
    scene.city(rng.uniform(0.6, 0.7), rng.uniform(0.3, 0.5), 0.12 if light == "dawn" else 0.4)
    scene.water(0.66, rng.uniform(0.6, 1.3))
    return scene.finish()


def sea(seed, light):
    scene = Scene(seed, light, 0.55)
    rng = scene.rng
    if light == "night":
        scene.stars()
    scene.sun(rng.uniform(0.12, 0.88), rng.uniform(0.16, 0.46), rng.uniform(14, 34))
    scene.clouds(rng.uniform(-0.15, 0.25), rng.uniform(120, 260), rng.uniform(2, 5))
    scene.water(rng.uniform(0.5, 0.6), rng.uniform(0.9, 1.6))
    if seed % 3:
        side = rng.choice([-1, 1])
        slope = side * (columns() - WIDTH * rng.uniform(0.4, 0.7)) / WIDTH
        edge = slope * 1.3 + noise2(rng, 110, 6) * 0.16 + rows() / HEIGHT - 0.72
        cliff = np.clip(edge * 60, 0, 1)
        rock = scene.ground * (1.3 + 0.9 * noise2(rng, 60, 8, 0.6, 0.75)[..., None])
        scene.picture = mix(scene.picture, rock, cliff)
    return scene.finish()


def snow(seed, light):
    scene = Scene(seed, light, 0.5)
    rng = scene.rng
    scene.sun(rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.3), rng.uniform(8, 16))
    scene.clouds(rng.uniform(-0.3, 0.1))
    scene.ridge(0.44, rng.uniform(0.12, 0.24), 0.5, rng.uniform(160, 380), 0.58, snow=0.9)
    scene.ridge(0.6, 0.06, 0.7, 300, trees=rng.uniform(30, 80))
    scene.ground = mix(scene.glow, scene.haze, 0.3)
    scene.ridge(0.74, rng.uniform(0.05, 0.16), 0.95, rng.uniform(200, 520), smooth=True)
    if seed % 2:
        scene.ground = np.array((34, 34, 40))
        scene.trunks(int(rng.integers(1, 4)))
    return scene.finish()


def aurora(seed, light):
    scene = Scene(seed, light, 0.75)
    rng = scene.rng
    scene.stars()
    scene.aurora([(30, 170, 90), (90, 60, 160), (20, 140, 140)][seed % 3])
    scene.ridge(0.72, rng.uniform(0.08, 0.22), 0.4, rng.uniform(160, 420), snow=0.5)
    scene.ridge(0.86, 0.05, 0.9, 240, trees=rng.uniform(20, 60))
    if seed % 2:
        scene.water(0.86, 0.5)
    return scene.finish()


def meadow(seed, light):
    scene = Scene(seed, light, 0.5)
    rng = scene.rng
    scene.sun(rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.3), rng.uniform(10, 20))
    scene.clouds(rng.uniform(-0.1, 0.25), rng.uniform(110, 220), 1.8)
    for near, base in ((0.3, 0.46), (0.6, 0.54)):
        scene.ridge(base, rng.uniform(0.05, 0.16), near, rng.uniform(160, 420), trees=8 * near)
    scene.meadow(rng.uniform(0.52, 0.66))
    if seed % 2:
        scene.trunks(1)
    return scene.finish()


# {folder: [(file, scene, light, seed)]}, the haystack and what it lacks.
HAYSTACK = {
    "2006/Summer at the lake": [
        *(
            (f"IMG_{120 + i}.jpg", lake, light, 10 + i)
            for i, light in enumerate(
                ("noon", "dawn", "sunset", "grey", "dusk", "noon", "dawn", "sunset")
            )
        ),
    ],
    "2006/Autumn walks": [
        *(
            (f"IMG_{310 + i}.jpg", forest, light, 30 + i)
            for i, light in enumerate(("grey", "dawn", "noon", "sunset", "grey", "dusk"))
        ),
        *(
            (f"IMG_{330 + i}.jpg", meadow, light, 40 + i)
            for i, light in enumerate(("noon", "sunset", "dawn", "grey"))
        ),
    ],
    "2007/Norway": [
        *(
            (f"DSC_{1040 + i}.jpg", mountains, light, 50 + i)
            for i, light in enumerate(("noon", "winter", "dawn", "dusk", "grey", "sunset"))
        ),
        *((f"DSC_{1060 + i}.jpg", aurora, "night", 60 + i) for i in range(3)),
    ],
    "2009/Sahara, with grandpa": [
        *(
            (f"P{10110 + i}.jpg", desert, light, 70 + i)
            for i, light in enumerate(("desert", "desert", "sunset", "dawn", "desert", "dusk"))
        ),
    ],
    "2011/City weekend": [
        *(
            (f"P{20310 + i}.jpg", city, light, 80 + i)
            for i, light in enumerate(("night", "dusk", "sunset", "dawn", "night"))
        ),
    ],
    "2011/By the sea": [
        *(
            (f"P{20510 + i}.jpg", sea, light, 90 + i)
            for i, light in enumerate(("sunset", "noon", "night", "dawn", "grey"))
        ),
    ],
    "Winter": [
        *(
            (f"snow{i + 1}.jpg", snow, light, 100 + i)
            for i, light in enumerate(("winter", "dawn", "noon", "dusk", "winter"))
        ),
    ],
}
UNSEEN = {
    "PIX": [
        ("PIX0001.jpg", lake, "dusk", 200),
        ("PIX0002.jpg", sea, "sunset", 201),
        ("PIX0003.jpg", meadow, "noon", 202),
        ("PIX0004.jpg", desert, "desert", 203),
    ],
    "December2014": [
        ("snowed in.jpg", snow, "winter", 211),
        ("the way up.jpg", mountains, "winter", 212),
        ("new year's eve.jpg", city, "night", 213),
        ("woods.jpg", forest, "grey", 214),
    ],
    "WhatsApp Images": [("IMG-20141228-WA0004.jpg", sea, "dawn", 215)],
    "Rescued from the card": [("f0001058", mountains, "sunset", 216)],
}


def save(path, image, *options):
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = path.suffix or ".jpg"
    if ending == ".jpg":
        options = options or JPEG_80
    path.write_bytes(cv2.imencode(ending, image, options)[1].tobytes())


JPEG_80 = (cv2.IMWRITE_JPEG_QUALITY, 80)


def draw_folders(top, folders):
    for folder, scenes in folders.items():
        for name, scene, light, seed in scenes:
            save(top / folder / name, scene(seed, light))


def copy_needles(haystack, needles):
    """Folders of copies, each made from its own part of the haystack's pictures."""
    pictures = sorted(haystack.rglob("*.jpg"))
    (needles / "USB stick").mkdir(parents=True, exist_ok=True)
    for picture in pictures[0:20:5]:
        shutil.copy(picture, needles / "USB stick" / picture.name)
    for picture in pictures[1:26:6]:
        image = cv2.imread(str(picture))
        half = cv2.resize(image, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        save(needles / "Half size for e-mail" / picture.name, half)
    for picture in pictures[20:40:5]:
        path = needles / "From the old phone" / picture.name
        save(path, cv2.imread(str(picture)), cv2.IMWRITE_JPEG_QUALITY, 45)
    for picture in pictures[22:42:5]:
        bright = cv2.convertScaleAbs(cv2.imread(str(picture)), alpha=1, beta=20)
        save(needles / "Brightened for printing" / picture.name, bright)
    for picture in pictures[4:48:24]:
        save(needles / "As PNG" / (picture.stem + ".png"), cv2.imread(str(picture)))
    for number, picture in enumerate(pictures[3:39:12], 1):
        content = next(edits(cv2.imread(str(picture))))[1]
        (needles / "WhatsApp Images" / f"IMG-20141224-WA000{number}.jpg").write_bytes(content)
    shutil.copy(pictures[7], needles / "Rescued from the card" / "f0001042")


def draw_what_is_special(haystack, needles):
    """What the script tells apart: a cropped photograph, a smaller copy, two screens of one app.

    And two invoices of one template, of which the library has the first.
    """
    image = cv2.imread(str(haystack / "2007" / "Norway" / "DSC_1043.jpg"))
    down, across = HEIGHT // 50, WIDTH // 50
    cropped = image[down : HEIGHT - down, across : WIDTH - across]
    save(needles / "December2014" / "cropped.jpg", cropped)

    whole = lake(220, "dawn")
    half = cv2.resize(whole, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    save(haystack / "2013" / "By e-mail" / "IMG_0412.jpg", half)
    save(needles / "From the old phone" / "IMG_0412.jpg", whole)

    for path, seed in (
        (haystack / "2013" / "Screenshots" / "Screenshot_0611.png", 3),
        (needles / "December2014" / "Screenshot_1224.png", 1),
    ):
        screen = resized(screenshot(calendar_app, "English", seed), 396, 836)
        save(path, screen, cv2.IMWRITE_PNG_COMPRESSION, 9)

    january, february = (invoice(4, month, month) for month in (1, 2))
    smaller = resized(january, 868, 1228)
    for path, page in (
        (haystack / "2014" / "Invoices" / "January.png", january),
        (needles / "Scanned papers" / "January.png", smaller),
        (needles / "Scanned papers" / "February.png", february),
    ):
        save(path, page, cv2.IMWRITE_PNG_COMPRESSION, 9)


def explain(path):
    """The README's picture: the four steps of the hash, from a sample picture to its bits."""
    wide, high, gap, top = 400, 300, 70, 66
    colour = meadow(41, "sunset")
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    shrunk = thumbnails(grey)[0]
    bits = (np.diff(shrunk - RAMP) > 0) * np.uint8(255)
    small = cv2.resize(shrunk.astype(np.uint8), (wide, high), interpolation=cv2.INTER_NEAREST)
    panels = [
        ("a photograph", cv2.resize(colour, (wide, high), interpolation=cv2.INTER_AREA)),
        ("1. greyscale", cv2.resize(grey, (wide, high), interpolation=cv2.INTER_AREA)),
        ("2. shrink to 9 x 8", small),
        ("3. brighter than the left one?", np.zeros((high, wide), np.uint8)),
    ]
    board = np.full((high + 2 * top, 4 * (wide + gap) - gap + 40, 3), 255, np.uint8)
    ink = (60, 50, 40)
    for number, (title, picture) in enumerate(panels):
        left = 20 + number * (wide + gap)
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        board[top : top + high, left : left + wide] = picture
        place = (left, top - 22)
        cv2.putText(board, title, place, cv2.FONT_HERSHEY_DUPLEX, 0.85, ink, 1, cv2.LINE_AA)
        if number < 3:
            start = (left + wide + 14, top + high // 2)
            cv2.arrowedLine(board, start, (start[0] + 42, start[1]), ink, 3, cv2.LINE_AA, 0, 0.35)
    for (row, column), bit in np.ndenumerate(bits):
        x, y = left + column * wide // 8, top + row * high // 8
        cell = (242, 214, 150) if bit else (84, 62, 40)
        cv2.rectangle(board, (x, y), (x + wide // 8 - 2, y + high // 8 - 2), cell, -1)
        pen = ink if bit else (235, 225, 215)
        place = (x + 17, y + 27)
        cv2.putText(
            board, str(bit // 255), place, cv2.FONT_HERSHEY_DUPLEX, 0.7, pen, 1, cv2.LINE_AA
        )
    line = f"4. pack the 64 answers: {dhash(shrunk - RAMP)}"
    width = cv2.getTextSize(line, cv2.FONT_HERSHEY_DUPLEX, 0.85, 1)[0][0]
    place = (left + wide - width, top + high + 44)
    cv2.putText(board, line, place, cv2.FONT_HERSHEY_DUPLEX, 0.85, ink, 1, cv2.LINE_AA)
    save(path, board)


def main():
    explain(TOP / "tests" / "four_steps.png")
    for folder in ("haystack", "needles"):
        shutil.rmtree(TOP / folder, ignore_errors=True)
    draw_folders(TOP / "haystack", HAYSTACK)
    draw_folders(TOP / "needles", UNSEEN)
    copy_needles(TOP / "haystack", TOP / "needles")
    draw_what_is_special(TOP / "haystack", TOP / "needles")


if __name__ == "__main__":
    main()
