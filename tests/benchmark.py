"""Measure the script beside its peers, and print Markdown tables.

    python tests/benchmark.py [--photos DIR] [--files N] [--rounds N] [--quick]

Without photographs it draws some, large ones included. A table comes from one run, with the
contenders in turn; its times are whole processes, start-up included. What is not installed is
shown as such. To install the peers:

    python -m pip install ImageHash czkawka
    apt-get install findimagedupes libjpeg-turbo-progs
"""

import argparse
import importlib.util
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import cv2
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE.parent / "hash_and_search.py"
sys.path[:0] = [str(HERE.parent), str(HERE)]

from article import article_hash  # noqa: E402
from conftest import encode  # noqa: E402
from hash_and_search import decode_grey, dhash, photograph_hash, thumbnail  # noqa: E402

IMAGEHASH = """
import pathlib, sys
import imagehash
from PIL import Image
for path in pathlib.Path(sys.argv[1]).iterdir():
    with Image.open(path) as image:
        imagehash.dhash(image)
"""
CZKAWKA = """
import pathlib, sys
from czkawka import ImageSimilarity
finder = ImageSimilarity()
finder.set_directories([pathlib.Path(sys.argv[1])])
finder.find_similar()
"""
SEARCH = """
import sys, time
import numpy as np
from hash_and_search import Hashed, search
count = int(sys.argv[1])
hashes = np.random.default_rng(0).integers(0, 2**64, count + 100, np.uint64).tolist()
haystack = {value: ["a"] for value in hashes[:count]}
needles = [Hashed("b/c", value, "") for value in hashes[count:]]
start = time.perf_counter()
list(search(needles, "b", haystack, 2, lambda *pair: True))
print((time.perf_counter() - start) / len(needles) * 1000)
"""


# A process of its own: a child's peak memory is never less than that of whoever starts it.
WRAPPER = """
import resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(seconds, peak / (1024**2 if sys.platform == "darwin" else 1024), file=sys.stderr)
sys.exit(status)
"""


def measure(arguments):
    """Run a command; return its seconds, its peak memory in MB and its stdout."""
    with tempfile.TemporaryDirectory() as home:  # no contender finds an older run's cache
        env = {**os.environ, "XDG_CACHE_HOME": home, "HOME": home, "PYTHONPATH": str(HERE.parent)}
        wrapped = [sys.executable, "-c", WRAPPER, *map(str, arguments)]
        done = subprocess.run(wrapped, env=env, capture_output=True, check=True)
    seconds, peak = map(float, done.stderr.split())
    return seconds, peak, done.stdout


def draw_photographs(folder):
    """Six landscapes of 8 megapixels and others of 0.3, with the grain of photographs."""
    import make_samples

    grain = np.random.default_rng(0).normal(0, 6, (2448, 3264, 1))
    scenes = [scene for group in make_samples.HAYSTACK.values() for scene in group[:3]]
    for number, (_, scene, light, seed) in enumerate(scenes):
        image = scene(seed, light)
        if number < 6:
            large = cv2.resize(image, (3264, 2448), interpolation=cv2.INTER_CUBIC)
            image = np.clip(large + grain, 0, 255).astype(np.uint8)
        (folder / f"{number}.jpg").write_bytes(encode(image, quality=90))


def by_size(photos):
    """Return the JPEGs of 6 megapixels and more, and those of less than one."""
    large, small = [], []
    for path in sorted(photos.rglob("*")):
        if path.suffix.lower() in (".jpg", ".jpeg") and "broken" not in path.parts:
            image = cv2.imread(str(path))
            if image is not None and image.shape[0] * image.shape[1] >= 6e6:
                large.append(path)
            elif image is not None and image.shape[0] * image.shape[1] < 1e6:
                small.append(path)
    return large, small


def contenders(folder, empty):
    """Yield (name, command, what it is divided by), the command None if it isn't installed."""
    ours = [sys.executable, SCRIPT, "--haystack", folder, "--needles", empty]
    yield "this script", ours, 1
    yield "this script, `--article`", [*ours, "--article"], 1
    article = [sys.executable, HERE / "article.py", "-a", folder, "-n", empty]
    yield "the article's pipeline", article, 1
    for name, package, code in (
        ("ImageHash's dhash", "imagehash", IMAGEHASH),
        ("czkawka", "czkawka", CZKAWKA),
    ):
        there = importlib.util.find_spec(package)
        yield name, [sys.executable, "-c", code, folder] if there else None, 1
    there = shutil.which("findimagedupes")
    yield "findimagedupes", ["findimagedupes", "-q", folder] if there else None, 1
    floor = ["sh", "-c", 'for f in "$0"/*; do djpeg -scale 1/8 -grayscale "$f"; done', folder]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = f"`djpeg -scale 1/8 -grayscale` in turn, divided by {cores} cores"
    yield name, floor if shutil.which("djpeg") else None, cores


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def speed_table(title, photos, count, rounds, scratch):
    """Print how long each contender takes, as a multiple of ours in the same round."""
    folder, empty = scratch / title, scratch / "empty"
    folder.mkdir()
    empty.mkdir(exist_ok=True)
    for number in range(count):
        source = photos[number % len(photos)]
        shutil.copyfile(source, folder / f"{number:05}.jpg")
    competitors = list(contenders(folder, empty))
    times, peaks = {name: [] for name, _, _ in competitors}, {}
    for _ in range(rounds):
        for name, command, divisor in competitors:
            if command:
                seconds, peaks[name], _ = measure(command)
                times[name].append(seconds / divisor)
    ours = times["this script"]
    print(f"\n{count} {title} JPEGs, {rounds} rounds, ours {statistics.median(ours):.2f} s:\n")
    print("| | times ours: median (least to most) | peak memory |\n| --- | --- | --- |")
    for name, command, _ in competitors:
        if not command:
            print(f"| {name} | not installed | |")
            continue
        ratios = [mine / other for mine, other in zip(times[name], ours, strict=True)]
        print(f"| {name} | {spread(ratios)} | {peaks[name]:.0f} MB |", flush=True)
    shutil.rmtree(folder)


def copies(image):
    """Yield (kind, file's bytes) for 15 kinds of copy of a BGR image."""
    high, wide = image.shape[:2]

    def shrunk(width, height, interpolation=cv2.INTER_AREA):
        return encode(cv2.resize(image, (width, height), interpolation=interpolation))

    for quality in (90, 75, 50, 20):
        yield f"JPEG quality {quality}", encode(image, quality=quality)
    yield "PNG", encode(image, ".png")
    yield "half width", shrunk(wide // 2, high // 2)
    yield "quarter width", shrunk(wide // 4, high // 4)
    yield "640 pixels wide", shrunk(640, round(high * 640 / wide))
    yield "160 pixels wide", shrunk(160, round(high * 160 / wide))
    yield "half width, bicubic", shrunk(wide // 2, high // 2, cv2.INTER_CUBIC)
    yield "20 levels brighter", encode(cv2.convertScaleAbs(image, beta=20))
    yield "contrast 1.2", encode(np.clip((image - 128.0) * 1.2 + 128, 0, 255).astype(np.uint8))
    curve = np.round(255 * (np.arange(256) / 255) ** (1 / 1.3)).astype(np.uint8)
    yield "gamma 1.3", encode(cv2.LUT(image, curve))
    yield "grey", encode(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    yield "another aspect ratio", shrunk(wide, round(high * 0.8))


def hashers():
    """Return {name: function from a file's bytes to a hash}."""

    def article(content):
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        return article_hash(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))

    functions = {"ours": photograph_hash, "article": article}
    if importlib.util.find_spec("imagehash"):
        import io

        import imagehash
        from PIL import Image

        functions["ImageHash"] = lambda content: int(
            str(imagehash.dhash(Image.open(io.BytesIO(content)))), 16
        )
    return functions


def recall_table(photos):
    """Print the share of copies, and of pairs of distinct photographs, within each distance."""
    functions, limits = hashers(), (0, 1, 2, 3, 5)
    bits = {name: {} for name in functions}
    hashes = {name: [] for name in functions}
    for path in photos:
        image = cv2.imread(str(path))
        for name, function in functions.items():
            hashes[name].append(function(path.read_bytes()))
        for kind, content in copies(image):
            for name, function in functions.items():
                distance = (hashes[name][-1] ^ function(content)).bit_count()
                bits[name].setdefault(kind, []).append(distance)
    print(f"\nShare of copies found within a distance, {len(photos)} photographs:\n")
    print("| kind of copy |", " | ".join(f"{n}, {d}" for n in functions for d in limits), "|")
    print("| --- |", " | ".join("---" for _ in functions for _ in limits), "|")

    def row(title, measured):
        cells = [
            f"{np.mean(np.array(measured[name]) <= limit):.3f}"
            for name in functions
            for limit in limits
        ]
        print(f"| {title} | {' | '.join(cells)} |")

    for kind in bits["ours"]:
        row(kind, {name: bits[name][kind] for name in functions})
    row("mean", {name: np.concatenate(list(bits[name].values())) for name in functions})
    pairs = {
        name: [(a ^ b).bit_count() for i, a in enumerate(values) for b in values[:i]]
        for name, values in hashes.items()
    }
    counts = [
        str(int(np.sum(np.array(pairs[name]) <= limit))) for name in functions for limit in limits
    ]
    total = len(photos) * (len(photos) - 1) // 2
    print(f"| false matches, of {total} pairs | {' | '.join(counts)} |", flush=True)
    print(f"\nThe nearest pair is {min(pairs['ours'])} bits apart.")
    values = [dhash(thumbnail(decode_grey(path.read_bytes()))) for path in photos]
    changes = [((value ^ value >> 1) & 0x7F7F7F7F7F7F7F7F).bit_count() for value in values]
    print(f"\nBrightness changes direction {min(changes)} times or more along the rows of a hash.")


def growth_tables(sizes, hash_counts, scratch):
    """Print what cached files and haystacks of many hashes cost."""
    folder, empty, cache = scratch / "many", scratch / "empty", scratch / "cache"
    folder.mkdir()
    empty.mkdir(exist_ok=True)
    command = [sys.executable, SCRIPT, "-a", empty, "-n", empty]
    base = [measure(command) for _ in range(3)]
    start_up, least = (statistics.median(run[i] for run in base) for i in (0, 1))
    rng = np.random.default_rng(0)
    print("\nA second run with `--cache`, beyond a start-up without files:\n")
    print(
        "| files | seconds | files a second | peak memory | a file |\n"
        "| --- | --- | --- | --- | --- |"
    )
    made = 0
    for size in sizes:
        for number in range(made, size):
            patches = rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)
            inside = folder / f"{number // 500:03}"
            inside.mkdir(exist_ok=True)
            image = cv2.resize(patches, (72, 64), interpolation=cv2.INTER_CUBIC)
            (inside / f"IMG_{number:06}.jpg").write_bytes(encode(image, quality=60))
        made = size
        command = [sys.executable, SCRIPT, "-a", folder, "-n", empty, "--cache", cache]
        measure(command)
        runs = [measure(command) for _ in range(3)]
        seconds = statistics.median(run[0] for run in runs) - start_up
        peak = max(run[1] for run in runs)
        each = (peak - least) * 1024 / size
        rate = f"{size / seconds:,.0f}"
        print(f"| {size:,} | {seconds:.2f} | {rate} | {peak:.0f} MB | {each:.2f} KB |", flush=True)
    print("\nSearch with `--distance 2`:\n")
    print("| hashes in the haystack | milliseconds a needle | peak memory |\n| --- | --- | --- |")
    for count in hash_counts:
        _, peak, out = measure([sys.executable, "-c", SEARCH, count])
        print(f"| {count:,} | {float(out):.2f} | {peak:.0f} MB |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=pathlib.Path, help="a directory of JPEG photographs")
    parser.add_argument(
        "--files", type=int, default=200, help="large JPEGs; ten times as many small"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few files, to see that it runs")
    args = parser.parse_args()
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    print(f"{machine}, Python {platform.python_version()}, OpenCV {cv2.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        if not args.photos:
            args.photos = scratch / "drawn"
            args.photos.mkdir()
            draw_photographs(args.photos)
        large, small = by_size(args.photos)
        files, rounds = (2, 1) if args.quick else (args.files, args.rounds)
        if large:
            speed_table("large", large, files, rounds, scratch)
        if small:
            speed_table("small", small, files * 10, rounds, scratch)
        recall_table([path for path in large + small if "orientation" not in path.parts])
        sizes, counts = (1000, 10_000, 100_000), (10**4, 10**5, 10**6)
        growth_tables(sizes[:1] if args.quick else sizes, counts[: 1 if args.quick else 3], scratch)


if __name__ == "__main__":
    main()
