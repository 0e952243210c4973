"""Measure the script beside its peers, and print Markdown tables.

    python tests/benchmark.py [--photos DIR] [--files N] [--rounds N] [--quick] [--charts]

With --charts the tables are written to tests/BENCHMARK.md and the picture tests/chart.png is drawn.

Without photographs it draws some, large ones included. A table comes from one run, with the
contenders in turn; its times are whole processes, start-up included. What is not installed is
shown as such. To install the peers:

    python -m pip install ImageHash czkawka
    apt-get install findimagedupes libjpeg-turbo-progs
"""

import argparse
import collections
import importlib.util
import os
import pathlib
import platform
import re
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

import hash_and_search  # noqa: E402
from article import article_hash  # noqa: E402
from conftest import encode  # noqa: E402
from hash_and_search import Hashed, photograph_hash, rotated_hash, search  # noqa: E402
from pictures import (  # noqa: E402
    FAMILIES,
    copies,
    drawn,
    drawn_copies,
    edits,
    form,
    resized,
    statement,
)

LINES = []  # of tests/BENCHMARK.md
hash_and_search.is_same_file = lambda *paths: False  # many names here are of no file


def say(text, end="\n", flush=True):
    LINES.append(text + end)
    print(text, end=end, flush=flush)


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
from hash_and_search import Fingerprint, Hashed, search
count, distance = map(int, sys.argv[1:])
random = np.random.default_rng(0)
rows = random.integers(0, 256, (count + 1000, 58), np.uint8)
rows[:, 8:16] = 0  # undecided, of the needles up to eight of the 64 bits
for row in rows[:1000]:
    bits = np.zeros(64, np.uint8)
    bits[random.choice(64, random.integers(3, 9), replace=False)] = 1
    row[8:16] = np.packbits(bits)
fingerprints = [Fingerprint(row.tobytes()) for row in rows]
needles = [Hashed("b/c", [each], "") for each in fingerprints[:1000]]
haystack = {each.hash: [("a", each)] for each in fingerprints[1000:]}
start = time.perf_counter()
list(search(needles, "b", haystack, distance))
print((time.perf_counter() - start) / len(needles) * 1e6)
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
    say(f"\n### {count:,} {title} JPEGs, {rounds} rounds, ours {statistics.median(ours):.1f} s\n")
    say("| | times ours: median (least to most) | peak memory |\n| --- | --- | --- |")
    for name, command, _ in competitors:
        if not command:
            say(f"| {name} | not installed | |")
            continue
        ratios = [mine / other for mine, other in zip(times[name], ours, strict=True)]
        say(f"| {name} | {spread(ratios)} | {peaks[name]:.0f} MB |")
    shutil.rmtree(folder)


def library_of(entries, hash_function=photograph_hash):
    """Return the haystack of (name, file's bytes) pairs."""
    haystack = collections.defaultdict(list)
    for name, content in entries:
        for each in hash_function(content):
            haystack[each.hash].append((name, each))
    return haystack


def look_up_all(haystack, contents, distance=0, hash_function=photograph_hash):
    """Return what the script finds for each file's bytes: a name, or nothing."""
    needles = [Hashed("needles/x", hash_function(content), "") for content in contents]
    hashed = [needle for needle in needles if needle.fingerprints]
    found = iter(search(hashed, "needles", haystack, distance))
    return [next(found).match if needle.fingerprints else "" for needle in needles]


def others():
    """Return {name: function from a file's bytes to a hash} of the peers that hash as we do."""

    def article(content):
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        return article_hash(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))

    functions = {"the article's code": article}
    if importlib.util.find_spec("imagehash"):
        import io

        import imagehash
        from PIL import Image

        functions["ImageHash"] = lambda content: int(
            str(imagehash.dhash(Image.open(io.BytesIO(content)))), 16
        )
    return functions


def share(hits):
    return f"{np.mean(hits):.3f}"


def recall_tables(photos):
    """Print the share of copies and of edits that is found."""
    peers, contents = others(), {str(path): path.read_bytes() for path in photos}
    haystack, ways = library_of(contents.items()), ["ours", "ours, `--distance 1`", *peers]
    for title, kinds in (("copies", copies), ("edits", edits)):
        hits = {}
        for name, content in contents.items():
            made = dict(kinds(cv2.imread(name)))
            found = {
                "ours": look_up_all(haystack, made.values()),
                "ours, `--distance 1`": look_up_all(haystack, made.values(), 1),
            }
            for peer, function in peers.items():
                whole = function(content)
                found[peer] = [name if function(copy) == whole else "" for copy in made.values()]
            for way, names in found.items():
                for kind, match in zip(made, names, strict=True):
                    hits.setdefault((kind, way), []).append(match == name)
        say(f"\n### {title.capitalize()} of {len(photos)} photographs: the share that is found\n")
        say(f"| | {' | '.join(ways)} |\n| --- |{' --- |' * len(ways)}")
        names = list(dict.fromkeys(kind for kind, _ in hits))
        for kind in names:
            say(f"| {kind} | {' | '.join(share(hits[kind, way]) for way in ways)} |")
        means = [share([hits[kind, way] for kind in names]) for way in ways]
        say(f"| mean | {' | '.join(means)} |")
    pairs = len(photos) * (len(photos) - 1) // 2
    wrong = [0, 0]
    for distance in (0, 1):
        for name, content in contents.items():
            fingerprints = photograph_hash(content)
            for each in fingerprints:
                haystack[each.hash].remove((name, each))
            wrong[distance] += bool(look_up_all(haystack, [content], distance)[0])
            for each in fingerprints:
                haystack[each.hash].append((name, each))
    say(f"\nTaken for another of the {len(photos)}, in {pairs} pairs: {wrong[0]}; ", end="")
    say(f"with `--distance 1` {wrong[1]}.")


def more_recall(photos):
    """Print what is found of turned, mid-size and drawn pictures and of papers."""
    say("\n### Turned photographs, mid-size ones, drawn pictures, papers\n")
    say("| | found | taken for another |\n| --- | --- | --- |")
    haystack = library_of((str(path), path.read_bytes()) for path in photos)
    hits, wrong = [], 0
    for path in photos:
        image = cv2.imread(str(path))
        turned = [encode(np.ascontiguousarray(np.rot90(image, turns))) for turns in (1, 2, 3)]
        for match in look_up_all(haystack, turned, 0, rotated_hash):
            hits.append(match == str(path))
            wrong += match not in ("", str(path))
    say(f"| photographs turned by 90, 180, 270 degrees, `--rotated` | {share(hits)} | {wrong} |")
    large = [cv2.imread(str(path)) for path in photos]
    large = [image for image in large if image.size > 12e6]
    for title, images in (
        ("copies of photographs of 6 megapixels", large),
        ("the same, of them at 1600 x 1200", [resized(image, 1600, 1200) for image in large]),
    ):
        if images:
            haystack, hits = library_of((str(i), encode(each)) for i, each in enumerate(images)), []
            for number, image in enumerate(images):
                found = look_up_all(haystack, [content for _, content in copies(image)])
                hits += [match == str(number) for match in found]
            say(f"| {title} | {share(hits)} | |")
    for way, hash_function in (("ours", photograph_hash), ("the article's code", article_file)):
        names = [(family, seed) for family in FAMILIES for seed in range(4)]
        entries = ((f"{f.__name__} {s}", encode(drawn(f, s), ".png")) for f, s in names)
        haystack, hits = library_of(entries, hash_function), []
        for family, seed in names:
            contents = [content for _, content in drawn_copies(family, seed)]
            found = look_up_all(haystack, contents, 0, hash_function)
            hits += [match == f"{family.__name__} {seed}" for match in found]
        unseen = [encode(drawn(f, s + 100), ".png") for f, s in names]
        wrong = sum(map(bool, look_up_all(haystack, unseen, 0, hash_function)))
        say(f"| copies of {len(names)} drawn pictures, {way} | {share(hits)} | {wrong} of 64 |")
    for paper in (form, statement):
        pages = [encode(paper(seed), quality=85) for seed in range(120)]
        haystack = library_of((str(seed), page) for seed, page in enumerate(pages[:60]))
        for distance in (0, 1):
            wrong = sum(map(bool, look_up_all(haystack, pages[60:], distance)))
            name = f"{paper.__name__}s of one layout, `--distance {distance}`"
            say(f"| {name} | | {wrong} of 60 |", flush=True)


def article_file(content):
    return hash_and_search.article_hash(content)


TIMED = re.compile(r"### ([\d,]+ large JPEGs)")


def rows_below(text, title):
    """Return the cells of the table below the first heading that begins with title."""
    lines = text[text.index(f"\n### {title}") :].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def draw_charts(text):
    """Draw tests/chart.png from the tables: copies found by kind, and the time of each contender.

    Told apart by lightness and shape, not by red and green.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    pyplot.rcParams["font.size"] = 15
    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(10, 12), height_ratios=(3, 1), layout="constrained"
    )
    ways, _, *rows = rows_below(text, "Copies of")
    kinds = [row[0] for row in rows]
    looks = {
        "ours": ("#0b4f8a", "o", "this script, without options"),
        "ImageHash": ("#e08a00", "s", "ImageHash's dhash"),
        "the article's code": ("#8c8c8c", "^", "the article's code"),
    }
    for way, (colour, marker, label) in looks.items():
        if way in ways:
            shares = [100 * float(row[ways.index(way)]) for row in rows]
            above.plot(shares, kinds, marker, color=colour, markersize=12, label=label)
    above.set(xlim=(-3, 103), xlabel="copies found, of 100")
    above.grid(color="#dddddd")
    above.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=3, frameon=False)
    times = {
        row[0].replace("`", ""): row[1]
        for row in rows_below(text, next(TIMED.finditer(text))[1])[2:]
    }
    names = [name for name in times if "djpeg" not in name and times[name] != "not installed"]
    values = [float(times[name].split()[0]) for name in names]
    bars = below.barh(names, values, color=["#0b4f8a", *["#b8b8b8"] * (len(names) - 1)])
    below.bar_label(bars, [f" {value:.1f}" for value in values])
    below.set(
        xlabel="time taken on large JPEGs, as a multiple of ours", xlim=(0, max(values) * 1.1)
    )
    for axes in (above, below):
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "chart.png", dpi=100)


def growth_tables(sizes, hash_counts, scratch):
    """Print what cached files and haystacks of many hashes cost."""
    folder, empty, cache = scratch / "many", scratch / "empty", scratch / "cache"
    folder.mkdir()
    empty.mkdir(exist_ok=True)
    command = [sys.executable, SCRIPT, "-a", empty, "-n", empty]
    base = [measure(command) for _ in range(3)]
    start_up, least = (statistics.median(run[i] for run in base) for i in (0, 1))
    rng = np.random.default_rng(0)
    say("\n### A second run with `--cache`, beyond a start-up without files\n")
    say(
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
        say(f"| {size:,} | {seconds:.2f} | {rate} | {peak:.0f} MB | {each:.2f} KB |")
    say("\n### The search, in microseconds a needle\n")
    say("| hashes in the haystack | without options | `--distance 1` |\n| --- | --- | --- |")
    for count in hash_counts:
        outs = [measure([sys.executable, "-c", SEARCH, count, bits])[2] for bits in (0, 1)]
        say(f"| {count:,} | {float(outs[0]):.0f} | {float(outs[1]):,.0f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=pathlib.Path, help="a directory of JPEG photographs")
    parser.add_argument(
        "--files", type=int, default=200, help="large JPEGs; ten times as many small"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few files, to see that it runs")
    parser.add_argument("--charts", action="store_true", help="write BENCHMARK.md and chart.png")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    say("# What was measured\n")
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    say(f"{machine}, Python {platform.python_version()}, OpenCV {cv2.__version__}", end=", ")
    say(f"NumPy {np.__version__}. All from one run of\n\n```")
    named = ("--photos", "PHOTOS", "--files", str(args.files), "--rounds", str(args.rounds))
    say(f"python tests/benchmark.py {' '.join(named)} --charts\n```")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        if not args.photos:
            args.photos = scratch / "drawn"
            args.photos.mkdir()
            draw_photographs(args.photos)
        large, small = by_size(args.photos)
        files, rounds = (2, 1) if args.quick else (args.files, args.rounds)
        say(f"\nPHOTOS held {len(large)} photographs of 6 megapixels and more and {len(small)} of ")
        say("less than one; the tables of large and of small JPEGs repeat them.")
        if large:
            speed_table("large", large, files, rounds, scratch)
        if small:
            speed_table("small", small, files * 10, rounds, scratch)
        photos = [path for path in large + small if "orientation" not in path.parts]
        recall_tables(photos)
        more_recall(photos)
        sizes, counts = (1000, 10_000, 100_000), (10**4, 10**5, 10**6)
        growth_tables(sizes[:1] if args.quick else sizes, counts[: 1 if args.quick else 3], scratch)
    if args.charts:
        (HERE / "BENCHMARK.md").write_text("".join(LINES), encoding="utf-8")
        draw_charts("".join(LINES))


if __name__ == "__main__":
    main()
