"""Measure the script beside its peers, and print Markdown tables.

    python tests/benchmark.py [--photos DIR] [--files N] [--rounds N] [--quick] [--charts]

With --charts the tables are written to tests/BENCHMARK.md and the picture tests/chart.png is drawn.

Without photographs it draws some, large ones included. A folder `alike` among the photographs has
folders of pictures that are alike and not the same, and each is searched in itself. Whatever the
script finds it is asked on the command line. A table of times comes from one run, with the
contenders in turn; its times are whole processes, start-up included. What is not installed is
shown as such. To install the peers:

    python -m pip install ImageHash czkawka pdqhash
    apt-get install findimagedupes libjpeg-turbo-progs
"""

import argparse
import collections
import concurrent.futures
import functools
import importlib.util
import math
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings

import cv2
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE.parent / "hash_and_search.py"
sys.path[:0] = [str(HERE.parent), str(HERE)]

from article import article_file_hash  # noqa: E402
from conftest import encode, half, put, table  # noqa: E402
from pictures import (  # noqa: E402
    APPS,
    FAMILIES,
    LANGUAGES,
    copies,
    dimmed,
    drawn,
    drawn_copies,
    edits,
    form,
    invoice,
    ledger,
    letter,
    long_chat,
    panorama,
    receipt,
    screen_copies,
    screenshot,
    spreadsheet,
    statement,
)

LINES = []  # of tests/BENCHMARK.md
LEFT_OUT = {"alike", "broken", "orientation", "phone"}  # folders of photographs for other purposes


def say(text, end="\n", flush=True):
    LINES.append(text + end)
    print(text, end=end, flush=flush)


def say_row(*cells):
    say(f"| {' | '.join(map(str, cells))} |".replace("|  |", "| |").replace("|  |", "| |"))


def say_head(title, *heads):
    say(f"\n### {title}\n")
    say_row("", *heads)
    say(f"| --- |{' --- |' * len(heads)}")


# ------------------------------------------------------------------------------------------------
# Photographs
# ------------------------------------------------------------------------------------------------


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
        put(folder / f"{number}.jpg", encode(image, quality=90))


def by_size(photos):
    """Return the JPEGs of 6 megapixels and more, and those of less than one."""
    large, small = [], []
    for path in sorted(photos.rglob("*")):
        if LEFT_OUT.isdisjoint(path.relative_to(photos).parts) and is_jpeg(path):
            image = cv2.imread(str(path))
            if image is not None and image.shape[0] * image.shape[1] >= 6e6:
                large.append(path)
            elif image is not None and image.shape[0] * image.shape[1] < 1e6:
                small.append(path)
    return large, small


def is_jpeg(path):
    return path.suffix.lower() in (".jpg", ".jpeg")


def files_of(folder):
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())


def spread_over_cores(function, *arguments):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, *arguments))


# ------------------------------------------------------------------------------------------------
# Time
# ------------------------------------------------------------------------------------------------

IMAGEHASH = """
import pathlib, sys
import imagehash
from PIL import Image
for path in pathlib.Path(sys.argv[1]).iterdir():
    with Image.open(path) as image:
        imagehash.dhash(image)
"""
IMAGEDEDUP = """
import sys
from imagededup.methods import DHash
DHash(verbose=False).encode_images(image_dir=sys.argv[1])
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
from hash_and_search import Haystack, Listing, Photo, Print
random = np.random.default_rng(0)

def photos(count, each):
    hashes = random.integers(0, 2**64, (count, each, 2), np.uint64)
    for number in range(count):
        levels = random.integers(0, 256, (each, 72), np.uint8)
        prints = zip(hashes[number].tolist(), levels, strict=True)
        prints = (Print(row, column, level.tobytes()) for (row, column), level in prints)
        yield Photo(f"./{number}.jpg", (640, 480), tuple(prints))

count = int(sys.argv[1])
library = Listing(".", True, files=[f"./{number}.jpg" for number in range(count)])
haystack = Haystack([library], Listing("..", False))
for photo in photos(count, 1):
    haystack.add(photo)
needles = list(photos(200, 2))
for search in (lambda photo: haystack.candidates(photo, False), haystack.look_alike):
    start = time.perf_counter()
    for photo in needles:
        search(photo)
    print((time.perf_counter() - start) / len(needles) * 1e6)
"""
# A process of its own: a child's peak memory is never less than that of whoever starts it.
WRAPPER = """
import subprocess, sys, time
start = time.perf_counter()
status = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - start
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
except ImportError:  # on Windows
    peak = float("nan")
print(seconds, peak / (1024**2 if sys.platform == "darwin" else 1024), file=sys.stderr)
sys.exit(status)
"""


def measure(arguments):
    """Run a command; return its seconds, its peak memory in MB (or NaN) and its stdout."""
    with tempfile.TemporaryDirectory() as home:  # no contender finds an older run's cache
        env = {**os.environ, "XDG_CACHE_HOME": home, "HOME": home, "PYTHONPATH": str(HERE.parent)}
        wrapped = [sys.executable, "-c", WRAPPER, *map(str, arguments)]
        done = subprocess.run(wrapped, env=env, capture_output=True, check=True)
    seconds, peak = map(float, done.stderr.split())
    return seconds, peak, done.stdout


def ours_and_the_articles(haystack, needles):
    folders = "--haystack", haystack, "--needles", needles
    yield "this script", [sys.executable, SCRIPT, *folders], 1
    yield "this script, `--article`", [sys.executable, SCRIPT, *folders, "--article"], 1
    yield "the article's pipeline", [sys.executable, HERE / "article.py", *folders], 1


def contenders(folder, empty):
    """Yield (name, command, what it is divided by), the command None if it isn't installed."""
    yield from ours_and_the_articles(folder, empty)
    for name, package, code in (
        ("ImageHash's dhash", "imagehash", IMAGEHASH),
        ("imagededup's dhash", "imagededup", IMAGEDEDUP),
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


def or_dash(amount):
    return "-" if amount.startswith("nan") else amount


def say_times(title, competitors, rounds, count):
    """Print how long each competitor takes, as a multiple of ours in the same round."""
    times, peaks = {name: [] for name, _, _ in competitors}, {}
    for _ in range(rounds):
        for name, command, divisor in competitors:
            if command:
                seconds, peaks[name], _ = measure(command)
                times[name].append(seconds / divisor)
    ours = times["this script"]
    seconds = statistics.median(ours)
    say_head(
        f"{title}, {rounds} rounds, ours {seconds:.1f} s",
        "times ours: median (least to most)",
        "peak memory",
    )
    for name, command, _ in competitors:
        if command:
            ratios = [mine / other for mine, other in zip(times[name], ours, strict=True)]
            say_row(name, spread(ratios), or_dash(f"{peaks[name]:.0f} MB"))
        else:
            say_row(name, "not installed", "")
    say(f"\nOurs: {count / seconds:,.0f} photographs of the library a second; ", end="")
    say(f"{12_000 * seconds / count / 60:.1f} minutes for 12,000.")


def speed_table(size, photos, count, rounds, scratch):
    """Print how long it takes to hash a library."""
    folder, empty = scratch / size, scratch / "empty"
    folder.mkdir()
    empty.mkdir(exist_ok=True)
    for number in range(count):
        shutil.copyfile(photos[number % len(photos)], folder / f"{number:05}.jpg")
    competitors = list(contenders(folder, empty))
    say_times(f"{count:,} {size} JPEGs", competitors, rounds, count)
    shutil.rmtree(folder)


def whole_run_table(size, photos, count, rounds, scratch):
    """Print how long a run takes with as many needles as the library has photographs."""
    library, needles = scratch / "library", scratch / "needles"
    write = functools.partial(write_piece, photos, library, needles, count)
    spread_over_cores(write, range(count * 4 // 3))
    title = f"A whole run: {count:,} {size} JPEGs and as many needles"
    say_times(title, list(ours_and_the_articles(library, needles)), rounds, count)
    counts = score(ask_ours(library, needles), needles, library)
    parts = [f"{counts[kind]['found']:,} of {counts[kind]['n']:,} {kind}" for kind in KINDS]
    say(
        f"Found: {', '.join(parts)}; taken for another: {count_wrong(counts):,} of these and of ",
        end="",
    )
    say(f"{counts[NEW]['n']:,} {NEW}.")
    shutil.rmtree(library)
    shutil.rmtree(needles)


NEW = "new photographs"
KINDS = {"with the same bytes": 0, "messengers' copies": 1}  # the remainder of a third


def write_piece(photos, library, needles, count, number):
    """Cut a piece out of a photograph: number < count is of the library, the others are new."""
    rng = np.random.default_rng(number)
    image = cv2.imread(str(photos[number % len(photos)]))
    high, wide = image.shape[:2]
    size = 0.45 + 0.2 * rng.random()
    down, across = int(high * size), int(wide * size)
    top, left = rng.integers(0, high - down), rng.integers(0, wide - across)
    piece = image[top : top + down, left : left + across]
    piece = cv2.resize(piece, (wide, high), interpolation=cv2.INTER_CUBIC)
    flips = rng.integers(0, 2, 2) * -2 + 1
    piece = np.ascontiguousarray(piece[:: flips[0], :: flips[1]])
    content, name = encode(piece), f"{number:05}.jpg"
    if number >= count:
        put(needles / NEW / name, content)
        return
    put(library / name, content)
    for kind, remainder in KINDS.items():
        if number % 3 == remainder:
            content = next(edits(piece))[1] if remainder else content
            put(needles / kind / name, content)


# ------------------------------------------------------------------------------------------------
# What is found
# ------------------------------------------------------------------------------------------------


def ask_ours(haystack, needles, *options):
    """Return {needle: (its match in a list, what looks like it)}, as the script's table has it."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "table.csv")
        command = [sys.executable, SCRIPT, "--haystack", haystack, "--needles", needles]
        command += ["--report", report, *options]
        subprocess.run(command, capture_output=True, check=True)
        rows = table(report)
    matched = ("found", "better")
    return {
        row["needle"]: ([row["match"]] if row["status"] in matched else [], row["lookalike"])
        for row in rows
    }


def asked_by(hash_of):
    """Return a function that finds what has an equal hash, whichever is right coming first."""

    def ask(haystack, needles):
        library = collections.defaultdict(list)
        for path in map(str, files_of(haystack)):
            library[hash_of(path)].append(path)
        library.pop(None, "")  # of what can't be read
        found = {}
        for path in map(str, files_of(needles)):
            equal = [each for each in library.get(hash_of(path), ()) if each != path]
            found[path] = sorted(equal, key=lambda each: stem_of(each) != stem_of(path)), ""
        return found

    return ask


def contestants():
    """Return {name: function (haystack, needles) -> what it finds} of ours and of the peers."""
    found = {"ours": ask_ours}
    if importlib.util.find_spec("imagehash"):
        found["ImageHash"] = asked_by(imagehash_of)
    if importlib.util.find_spec("pdqhash"):
        found["PDQ"] = ask_pdq
    return {**found, "the article's code": asked_by(article_file_hash)}


def ask_pdq(haystack, needles):
    """Find what differs in no more than 31 of PDQ's 256 bits, as its authors advise."""
    names = list(map(str, files_of(haystack)))
    hashes, found = np.array([pdq_of(name) for name in names]), {}
    for path in map(str, files_of(needles)):
        near = np.flatnonzero((hashes != pdq_of(path)).sum(1) <= 31)
        near = [names[place] for place in near if names[place] != path]
        found[path] = sorted(near, key=lambda each: stem_of(each) != stem_of(path)), ""
    return found


@functools.cache
def pdq_of(path):
    import pdqhash

    return pdqhash.compute(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB))[0]


def imagehash_of(path):
    import imagehash
    from PIL import Image

    warnings.simplefilter("ignore")  # of palettes with transparency
    with Image.open(path) as image:
        return str(imagehash.dhash(image))


def stem_of(path):
    return pathlib.Path(path).stem


@functools.lru_cache(64)
def pixels(path):
    return cv2.imread(str(path))


@functools.cache
def are_identical(first, second):
    return np.array_equal(pixels(first), pixels(second))


def score(found, needles, library):
    """Return {folder right below needles: Counter}; a needle has its original's name.

    n: all; known: the library has the original; found: with it, or with what is the same pixel
    for pixel; shown: found, or the original looks like it; wrong: taken for another.
    """
    originals = {path.stem: str(path) for path in files_of(library)}
    counts = collections.defaultdict(collections.Counter)
    for needle, (matches, lookalike) in found.items():
        count = counts[pathlib.Path(needle).relative_to(needles).parts[0]]
        original = originals.get(stem_of(needle), "")
        is_found = original in matches or bool(
            original and matches and are_identical(matches[0], original)
        )
        count["n"] += 1
        count["known"] += bool(original)
        count["found"] += is_found
        count["shown"] += is_found or (bool(original) and lookalike == original)
        count["wrong"] += bool(matches) and not is_found
    return counts


def count_confused(found):
    """Count what is found, of pictures searched in themselves, though no other has its pixels."""
    return sum(
        bool(matches) and not any(are_identical(needle, match) for match in matches)
        for needle, (matches, _) in found.items()
    )


def put_copies(folder, sources, kinds):
    """Write folder/kind/name of each kind of copy of each source, and return folder."""

    def write(path):
        for kind, content in kinds(cv2.imread(str(path))):
            put(folder / kind / f"{path.stem}{ending_for(content)}", content)

    spread_over_cores(write, sources)
    return folder


def ending_for(content):
    return ".png" if content.startswith(b"\x89PNG") else ".jpg"


def kinds_of(kinds):
    return [kind for kind, _ in kinds(np.zeros((48, 64, 3), np.uint8))]


def share(counts, kinds, what="found"):
    return f"{np.mean([counts[kind][what] / counts[kind]['n'] for kind in kinds]):.3f}"


def count_wrong(counts):
    return sum(count["wrong"] for count in counts.values())


HEAVY = re.compile("date stamp|.* cropped .*|framed|straightened|mirrored|vignette|lens profile")


def recall_tables(photos, ways, scratch):
    """Print the share of copies and of edits that is found; return a folder of the photographs."""
    library, scores, told = scratch / "photographs", {}, []
    for number, path in enumerate(photos):
        put(library / f"{number:04}.jpg", path.read_bytes())
    for title, kinds in (("copies", copies), ("edits", edits)):
        needles = put_copies(scratch / title, files_of(library), kinds)
        for way, ask in ways.items():
            scores[way] = score(ask(library, needles), needles, library)
        told.append((f"{len(files_of(needles)):,} {title}", map(count_wrong, scores.values())))
        names = [kind for kind in kinds_of(kinds) if not HEAVY.fullmatch(kind)]
        say_head(
            f"{title.capitalize()} of {len(photos)} photographs: the share that is found", *ways
        )
        for name, group in with_mean(names):
            say_row(name, *(share(scores[way], group) for way in ways))
        shutil.rmtree(needles)
    shown = "found or shown beside the original"
    peers = [way for way in ways if way != "ours"]
    title = f"Heavy edits of {len(photos)} photographs, of which none is promised to be found"
    say_head(title, "ours", f"ours, {shown}", *peers)
    for name, group in with_mean(filter(HEAVY.fullmatch, kinds_of(edits))):
        ours = share(scores["ours"], group), share(scores["ours"], group, "shown")
        say_row(name, *ours, *(share(scores[peer], group) for peer in peers))
    pairs = f"the {len(photos)} photographs among each other, {math.comb(len(photos), 2):,} pairs"
    told.append((pairs, (count_confused(ask(library, library)) for ask in ways.values())))
    for what, wrong in told:
        counts = ", ".join(f"{way} {count:,}" for way, count in zip(ways, wrong, strict=True))
        say(f"\nTaken for another, of {what}: {counts}.")
    return library


def with_mean(names):
    """Return (name, [name]) for each, and the mean of them all."""
    names = list(names)
    return [*((name, [name]) for name in names), ("mean", names)]


def more_recall(photographs, ways, scratch, is_quick):
    """Print what is found of turned photographs, screenshots, drawn pictures and papers."""
    title = "Screenshots, turned photographs, drawn pictures, papers: the share that is found"
    say_head(title, "needles", *(head for way in ways for head in (way, "taken for another")))
    screens = put_screens(scratch / "screens", is_quick)
    copied = put_copies(scratch / "screen copies", files_of(screens), screen_copies)
    say_rows("screenshots, ", ways, screens, copied)
    wrong = [("", count_confused(ask(screens, screens))) for ask in ways.values()]
    many = len(files_of(screens))
    say_row(f"{many} screenshots among each other", many, *sum(wrong, ()))
    needles = put_copies(scratch / "turned", files_of(photographs), turned)
    say_rows("photographs ", ways, photographs, needles, "--rotated")
    say_rows("", ways, *put_drawn(scratch / "drawn pictures", is_quick))
    for name, paper in list(PAPERS.items())[: 1 if is_quick else None]:
        count = 2 if is_quick else 60 if paper in (form, statement) else 12
        say_rows(f"{name}, ", ways, *put_papers(scratch, name, paper, count))


def dim_screenshot(seed):
    app, language = divmod(seed, len(LANGUAGES))
    return dimmed(screenshot(APPS[app % len(APPS)], list(LANGUAGES)[language]), 4)


PAPERS = {  # functions of a number, of pictures of one layout
    "forms": form,
    "statements": statement,
    "invoices of one template": functools.partial(invoice, 0),
    "invoices of other months": lambda seed: invoice(1, 0, month=seed + 1),
    "spreadsheets": spreadsheet,
    "tables of 60 rows": functools.partial(ledger, rows=60),
    "pale writing": letter,
    "receipts of 180 lines": receipt,
    "chats of 60 messages": long_chat,
    "panoramas of 20,000 pixels": panorama,
    "dim screenshots": dim_screenshot,
}


def say_rows(title, ways, library, needles, *options):
    """Print a row for each folder right below needles; of peers none where there are options."""
    scores = {
        way: score(ask(library, needles, *options), needles, library)
        for way, ask in ways.items()
        if way == "ours" or not options
    }
    for kind, ours in scores["ours"].items():
        cells = []
        for way in ways:
            found = share(scores[way], [kind]) if way in scores and ours["known"] else ""
            cells += [found, scores[way][kind]["wrong"] if way in scores else ""]
        say_row(title + kind, ours["n"], *cells)


def put_screens(folder, is_quick):
    apps, languages, seeds = APPS, list(LANGUAGES), range(2)
    if is_quick:
        apps, languages, seeds = apps[:2], languages[:2], [0]
    names = [(app, language, seed) for app in apps for language in languages for seed in seeds]
    for app, language, seed in names:
        path = folder / f"{app.__name__} {language} {seed}.png"
        put(path, screenshot(app, language, seed))
    return folder


def turned(image):
    for number in range(1, 8):
        start = image[:, ::-1] if number > 3 else image
        kind = "mirrored, and turned" if number > 3 else "turned by 90, 180, 270 degrees"
        content = encode(np.ascontiguousarray(np.rot90(start, number)))
        yield f"{kind}, `--rotated`/{number}", content


def put_drawn(folder, is_quick):
    """Return a library of drawn pictures, and copies of them besides others."""
    library, needles = folder / "library", folder / "needles"

    def write(family, seed):
        name = f"{family.__name__} {seed}"
        put(library / f"{name}.png", drawn(family, seed))
        for kind, content in drawn_copies(family, seed):
            path = needles / "copies of drawn pictures" / kind / f"{name}{ending_for(content)}"
            put(path, content)
        name = f"{family.__name__} {seed + 100}.png"
        put(needles / "other drawn pictures" / name, drawn(family, seed + 100))

    families, seeds = (FAMILIES[:3], 1) if is_quick else (FAMILIES, 4)
    names = [(family, seed) for family in families for seed in range(seeds)]
    spread_over_cores(write, *zip(*names, strict=True))
    return library, needles


def put_papers(scratch, name, paper, count):
    """Return a library of papers of one layout, and copies of them besides others."""
    library, needles = scratch / name, scratch / f"{name}, copies"

    def write(seed):
        page, name = paper(seed), f"{seed:03}.jpg"
        if seed >= count:
            put(needles / "others of the layout" / name, encode(page, quality=85))
        else:
            put(library / name, encode(page, quality=85))
            put(needles / "half size" / name, encode(half(page)))
            put(needles / "JPEG quality 70" / name, encode(page, quality=70))

    spread_over_cores(write, range(2 * count))
    return library, needles


def alike_table(folder, ways):
    """Print how many pictures are found in folders of what is alike and not the same."""
    title = "Pictures that are alike and not the same: found in their own folder"
    say_head(title, "pictures", *ways)
    sums = np.zeros(1 + len(ways), int)
    for inside in sorted(path for path in folder.iterdir() if path.is_dir()):
        wrong = [count_confused(ask(inside, inside)) for ask in ways.values()]
        counts = [len(files_of(inside)), *wrong]
        say_row(inside.name, *counts)
        sums += counts
    say_row("sum", *sums)


# ------------------------------------------------------------------------------------------------
# What many files cost
# ------------------------------------------------------------------------------------------------


def growth_tables(sizes, hash_counts, scratch):
    """Print what cached files and libraries of many hashes cost."""
    folder, empty, cache = scratch / "many", scratch / "empty", scratch / "cache"
    folder.mkdir()
    empty.mkdir(exist_ok=True)
    command = [sys.executable, SCRIPT, "-a", empty, "-n", empty]
    base = [measure(command) for _ in range(3)]
    start_up, least = (statistics.median(run[i] for run in base) for i in (0, 1))
    rng = np.random.default_rng(0)
    say("\n### A second run with `--cache`, beyond a start-up without files\n")
    say_row("files", "seconds", "files a second", "peak memory", "a file")
    say_row(*["---"] * 5)
    made = 0
    for size in sizes:
        for number in range(made, size):
            patches = rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)
            image = cv2.resize(patches, (72, 64), interpolation=cv2.INTER_CUBIC)
            path = folder / f"{number // 500:03}" / f"IMG_{number:06}.jpg"
            put(path, encode(image, quality=60))
        made = size
        command = [sys.executable, SCRIPT, "-a", folder, "-n", empty, "--cache", cache]
        measure(command)
        runs = [measure(command) for _ in range(3)]
        seconds = statistics.median(run[0] for run in runs) - start_up
        peak = max(run[1] for run in runs)
        each = (peak - least) * 1024 / size
        rate = f"{size / seconds:,.0f}"
        memory = or_dash(f"{peak:.0f} MB"), or_dash(f"{each:.2f} KB")
        say_row(f"{size:,}", f"{seconds:.2f}", rate, *memory)
    say("\n### The search among random hashes, in microseconds a needle\n")
    say_row("hashes in the library", "candidates", "what looks alike, of a missing one besides")
    say_row(*["---"] * 3)
    for count in hash_counts:
        out = measure([sys.executable, "-c", SEARCH, count])[2]
        say_row(f"{count:,}", *(f"{float(line):,.0f}" for line in out.split()))


# ------------------------------------------------------------------------------------------------
# The chart
# ------------------------------------------------------------------------------------------------

TIMED = re.compile(r"### ([\d,]+ (large|small) JPEGs)")


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
    timed = TIMED.search(text)
    times = {row[0].replace("`", ""): row[1] for row in rows_below(text, timed[1])[2:]}
    names = [name for name in times if "djpeg" not in name and times[name] != "not installed"]
    values = [float(times[name].split()[0]) for name in names]
    bars = below.barh(names, values, color=["#0b4f8a", *["#b8b8b8"] * (len(names) - 1)])
    below.bar_label(bars, [f" {value:.1f}" for value in values])
    below.set(
        xlabel=f"time taken on {timed[2]} JPEGs, as a multiple of ours", xlim=(0, max(values) * 1.1)
    )
    for axes in (above, below):
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "chart.png", dpi=100)


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
            draw_photographs(args.photos)
        measure_all(args, scratch)
    if args.charts:
        (HERE / "BENCHMARK.md").write_text("".join(LINES), encoding="utf-8")
        draw_charts("".join(LINES))


def measure_all(args, scratch):
    large, small = by_size(args.photos)
    files, rounds = (3, 1) if args.quick else (args.files, args.rounds)
    say(f"\nPHOTOS held {len(large)} photographs of 6 megapixels and more and {len(small)} of less")
    say("than one; the tables of large and of small JPEGs repeat them, and whole runs have pieces")
    say("cut out of them. Times are of whole processes, as multiples of ours in the same round.")
    say("ImageHash and the article's code take equal hashes for copies.")
    ways = contestants()
    photos = large[:1] + small[:2] if args.quick else large + small
    library = recall_tables(photos, ways, scratch)
    more_recall(library, ways, scratch, args.quick)
    if (args.photos / "alike").is_dir():
        alike_table(args.photos / "alike", ways)
    groups = [("large", large, files), ("small", small, files * 10)]
    for table_of in (speed_table, whole_run_table):
        for size, photos, count in groups:
            if photos:
                table_of(size, photos, count, rounds, scratch)
    sizes, counts = (1000, 10_000, 100_000), (10**4, 10**5, 10**6)
    if args.quick:
        sizes, counts = (100,), (1000,)
    growth_tables(sizes, counts, scratch)


if __name__ == "__main__":
    main()
