#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = ["opencv-python>=4.10.0.84", "imutils>=0.5.4", "numpy>=2.0"]
# ///
"""Which needle folders still hold photographs that the haystack lacks?

The script of "Image hashing with OpenCV and Python" (Adrian Rosebrock, PyImageSearch, 2017):
every photograph becomes a 64-bit difference hash, the haystack's hashes become a dictionary,
and every needle is looked up in it.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import csv
import hashlib
import html
import io
import itertools
import os
import pathlib
import re
import shutil
import sqlite3
import stat
import string
import sys
import threading
import time

# Admit a panorama of 2**28 pixels; OpenCV's own 2**30 would let a small file take 6 GB of memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))  # read once, at the import
try:
    import cv2
    import numpy as np
    from imutils import paths
except ImportError as error:
    mend = "run: python -m pip install -r requirements.txt"
    if ".so" in str(error):  # OpenCV is there, and a library that its windows want is not
        mend = "run: apt-get install libgl1 libglib2.0-0 (or take opencv-python-headless instead)"
    print(f"[ERROR] {error}; {mend}", file=sys.stderr)
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(130)

# The endings that imutils lists, and the others that OpenCV decodes.
ENDINGS = (*paths.image_types, ".webp", ".avif", ".gif", ".jp2")
JPEG_SIZE = re.compile(rb"\xff[\xc0-\xc2\xc9\xca]\x00.\x08(..)(..)", re.DOTALL)  # height, width
OLD_OPENCV = tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 12)
BATCH = 8  # files a task; of small files, four cost a tenth more time
IN_FLIGHT = 256  # tasks handed out at once: enough for a cluster, and bounded


def dhash(image, hashSize=8):
    """Return the difference hash of an image, as the article computes it.

    1. Greyscale: colour says little about which picture this is.
    2. Shrink to (hashSize + 1) x hashSize pixels, whatever the shape: details go, structure stays.
    3. Compare each pixel with its left neighbour: brighter, or not?
    4. Pack the answers: bit i (value 2**i) is the i-th comparison in row order.

    image is a greyscale array (height, width) or a BGR one (height, width, 3), of uint8, uint16
    or float32. The result is an int, 0 <= result < 2**(hashSize * hashSize).

    Sources: the article, and Neal Krawetz, "Kind of Like That" (2013). The article's prose has a
    bit set where the left pixel is the brighter one, its code where the right one is. The code
    is what counts here.

    >>> dhash(np.array([[10, 20, 15], [30, 20, 40]], np.uint8), hashSize=2)  # 1, 0, 0, 1
    9
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    resized = cv2.resize(image, (hashSize + 1, hashSize))
    brighter = resized[:, 1:] > resized[:, :-1]
    return int.from_bytes(np.packbits(brighter, bitorder="little").tobytes(), "little")


def thumbnail(image):
    """Shrink a greyscale uint8 image (height, width) to uint16 (16, 18) by averaging areas.

    dhash halves that exactly. Given a whole photograph it reads a handful of the pixels instead,
    and then a copy at half the width hardly ever has the same hash. Sixteen bits, because eight
    make ties of close neighbours, which fall either way. A smaller image is returned as it is.
    """
    if image.shape[0] < 16 or image.shape[1] < 18:
        return image
    deep = np.multiply(image, 256, dtype=np.uint16)
    return cv2.resize(deep, (18, 16), interpolation=cv2.INTER_AREA)


def checksum(array):
    return int.from_bytes(hashlib.blake2b(array.tobytes(), digest_size=8).digest(), "big")


def photograph_hash(image):
    """Return the 64-bit hash of a greyscale uint8 image (height, width): its thumbnail's dhash.

    Blank pages, lens caps and clear skies get (nearly) the same dhash whatever they show. Where
    brightness turns at most once a row, 8 times in all, the hash is a checksum of the thumbnail
    instead, which exact copies share. Measured: smooth pictures turn 0 to 8 times, and each of
    105 photographs of things 13 times or more. Given a file's bytes (1-D), it is their checksum.
    """
    if image.ndim == 1:
        return checksum(image)
    small = thumbnail(image)
    value = dhash(small)
    turns = (value ^ value >> 1) & 0x7F7F7F7F7F7F7F7F  # a byte is a row
    if turns.bit_count() > 8:
        return value
    return checksum(small)


def has_more_pages(data):
    """Whether a TIFF's first directory of a page links to a second (TIFF 6.0, section 2).

    OpenCV tells of a second page only if it can decode it, and a damaged one is one too.
    """
    order = "little" if data[0] == ord("I") else "big"

    def number(place, size):
        return int.from_bytes(data[place : place + size].tobytes(), order)

    if number(2, 2) == 43:  # a BigTIFF
        first = number(8, 8)
        return number(first + 8 + 20 * number(first, 8), 8) > 0
    first = number(4, 4)
    return number(first + 2 + 12 * number(first, 2), 4) > 0


def decode(data, article=False):
    """Decode a file's bytes, a uint8 array, into a greyscale image; with article into a BGR one.

    The image is uint8, upright by its EXIF orientation, or None where OpenCV can't decode. Of a
    TIFF of several pages, data itself is returned. Raises cv2.error where the picture has too
    many pixels, ValueError where too little of it can be seen.
    """
    is_jpeg = data[:3].tobytes() == b"\xff\xd8\xff"
    return decode_jpeg(data, article) if is_jpeg else decode_other(data, article)


def decode_jpeg(data, article):
    ended = data[-2:].tobytes() == b"\xff\xd9"
    if not ended:  # imdecode insists on the end marker, imread does not
        data = np.append(data, np.array([0xFF, 0xD9], np.uint8))
    if article:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    image = None
    if data.size >= 256 * 1024:  # below that, a full decoding costs less than a trial
        image = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)  # averages of 8 x 8 pixels
    if image is None or min(image.shape) < 128:
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    if image is not None and not ended:
        # libjpeg fills what is missing with grey 128; two stumps would look like copies.
        high, wide = (-(-side // 16) for side in image.shape)
        for edge in (image[-high:], image[:high], image[:, -wide:], image[:, :wide]):
            if (edge == 128).all():
                raise ValueError("the end of the file is missing, and with it part of the picture")
    return image


def decode_other(data, article):
    # libpng's own conversion to greyscale is biased, and reduced reading aliases: read colours.
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if article or image is None:
        return image
    if data[:2].tobytes() in (b"II", b"MM") and has_more_pages(data):
        return data  # no hash of the first page may stand for the others
    image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if image.min() == image.max():
        # Seemingly blank: it may be drawn in transparency, or in the depths of 16 bits.
        if image.size > 2**26:
            raise ValueError("it looks blank, and it is too large for a closer look")
        whole = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if whole is None:
            return None
        layer = max(np.moveaxis(np.atleast_3d(whole), 2, 0), key=np.ptp)
        if np.ptp(layer):
            image = cv2.normalize(layer, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return image


def is_large(data):
    """Whether decoding may take more than some 450 MB, as far as a look at the header tells."""
    header = data[:65536].tobytes()
    if header.startswith(b"\xff\xd8\xff"):
        sizes, most = JPEG_SIZE.findall(header), 2**26
    elif header.startswith(b"\x89PNG"):
        sizes, most = [(header[16:20], header[20:24])], 2**25  # of up to 8 bytes a pixel
    else:
        return True
    return any(int.from_bytes(h, "big") * int.from_bytes(w, "big") > most for h, w in sizes)


def refuse(data):
    """Raise ValueError for what must not be decoded, lest one bad file ends the run."""
    start = data[:12].tobytes()
    if OLD_OPENCV and start.startswith((b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")):
        raise ValueError("OpenCV before 4.12 crashes on some JPEG 2000; install a newer one")
    if start.startswith(b"\x89PNG"):
        # OpenCV 5 makes room for what a damaged chunk claims: 4 GB for a file of 54 bytes.
        place, kind = 8, b""
        while kind != b"IEND":
            chunk = data[place : place + 8].tobytes()
            length, kind = int.from_bytes(chunk[:4], "big"), chunk[4:]
            place += 12 + length
            if place > data.size:
                raise ValueError("the PNG is damaged, or its end is missing")


def read_image(path, article=False):
    """Read and decode the photograph at path; see decode. Raises OSError or ValueError."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("not a regular file")
    data = np.fromfile(path, np.uint8)  # opens any name, which imread does not
    if not data.size:
        raise ValueError("the file is empty")
    refuse(data)
    # Large pictures are decoded one at a time, lest every thread takes 2 GB at once. The lock is
    # made where it is used, because one can't be sent to a cluster's workers.
    turn = globals().setdefault("_turn", threading.Lock())
    try:
        with turn if is_large(data) else contextlib.nullcontext():
            image = decode(data, article)
    except cv2.error as error:
        if "IMAGE_PIXELS" not in str(error):
            raise ValueError(error.err or str(error)) from error
        limit = os.environ.get("OPENCV_IO_MAX_IMAGE_PIXELS", 2**30)  # a worker's may be its own
        mend = "raise OPENCV_IO_MAX_IMAGE_PIXELS to read it"
        raise ValueError(f"it has more than {limit} pixels; {mend}") from error
    if image is None:
        raise ValueError("not an image that OpenCV can decode, or a damaged one")
    return image


def hash_batch(batch, article=False):
    """Return a list with each path's hash, or the reason (a str) why it can't be read."""
    cv2.setNumThreads(1)  # the photographs are spread over threads, not the pixels of one
    results = []
    for path in batch:
        try:
            image = read_image(path, article)
            results.append(dhash(image) if article else photograph_hash(image))
        except OSError as error:
            results.append(error.strerror or str(error))
        except MemoryError:
            results.append("not enough memory")
        except (ValueError, cv2.error) as error:
            results.append(" ".join(str(error).split()))
    return results


def list_photographs(root, console, is_needles=False):
    """Return the sorted paths of the images below root, and the directories that can't be listed.

    What else is left out is told, but for hidden files: other files, links to directories.
    """
    listed = paths.list_files(root, ENDINGS)
    photographs = sorted(path for path in listed if not os.path.basename(path).startswith("."))
    others, only_others, unlisted = collections.Counter(), [], []
    for folder, subfolders, names in os.walk(root, onerror=unlisted.append):
        for link in (os.path.join(folder, name) for name in subfolders):
            if os.path.islink(link):
                console.warn(f"{link}: a link to a directory, not followed")
        names = [name.lower() for name in names if not name.startswith(".")]
        others_here = [name for name in names if not name.endswith(ENDINGS)]
        others.update(os.path.splitext(name)[1] or "without an ending" for name in others_here)
        if names and len(others_here) == len(names):
            only_others.append(folder)
    for error in unlisted:
        console.warn(f"cannot list {error.filename}: {error.strerror}")
    if others:
        counts = ", ".join(f"{ending} {count}" for ending, count in others.most_common())
        skipped = f"skipped {others.total()} files that are not images OpenCV reads"
        console.warn(f"{root}: {skipped}: {counts}")
    for folder in sorted(only_others) if is_needles else ():
        name = directory_of(os.path.join(folder, ""), root)
        console.warn(f"{name}: no image that OpenCV reads, only other files; look into it")
    if not photographs:
        console.warn(f"{root}: no images")
    return photographs, [error.filename for error in unlisted]


class Cache:
    """Hashes in an SQLite file, each for one path, size, time of change and way of hashing."""

    APPLICATION_ID = 0x64486173  # "dHas"

    def __init__(self, path, recipe, console):
        """Open or make the file. Raises OSError, ValueError or sqlite3.Error, changing nothing."""
        self.recipe, self.console, self.rows, self.saved = recipe, console, [], time.monotonic()
        if os.path.exists(path):  # look first: to open someone else's database can change it
            if not os.path.isfile(path):
                raise ValueError("not a regular file")
            with open(path, "rb") as file:
                header = file.read(72)
            ours = header[68:] == self.APPLICATION_ID.to_bytes(4, "big")
            if header and not (header.startswith(b"SQLite format 3\0") and ours):
                raise ValueError("it is there already, and it is not a cache of this script")
        self.database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self.database.executescript(
            f"BEGIN IMMEDIATE; PRAGMA application_id = {self.APPLICATION_ID};"
            "CREATE TABLE IF NOT EXISTS hashes (path BLOB, recipe TEXT, size INTEGER,"
            " mtime_ns INTEGER, hash BLOB, PRIMARY KEY (path, recipe)) WITHOUT ROWID; COMMIT;"
        )

    def find(self, path):
        """Return the key by which to put the hash of path, and the hash, None if not kept."""
        info = os.stat(path)
        place = os.fsencode(os.path.abspath(path))
        key = place, self.recipe, info.st_size, info.st_mtime_ns
        where = "path = ? AND recipe = ? AND size = ? AND mtime_ns = ?"
        row = self.database.execute(f"SELECT hash FROM hashes WHERE {where}", key).fetchone()
        return key, row and int.from_bytes(row[0], "big")

    def put(self, key, value):
        self.rows.append((*key, value.to_bytes(8, "big")))
        if time.monotonic() - self.saved > 0.5:
            self.save()

    def save(self):
        try:
            with self.database:  # committed at the end, or rolled back
                self.database.execute("BEGIN IMMEDIATE")
                insert = "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)"
                self.database.executemany(insert, self.rows)
        except sqlite3.Error as error:
            self.console.warn(f"cannot write to the cache: {error}")
        self.rows, self.saved = [], time.monotonic()


def hash_photographs(photographs, executor, article=False, cache=None):
    """Yield (path, hash) in order; where there is no hash, a str says why.

    executor is a concurrent.futures one, of threads here or of a cluster's workers.
    """
    source, pending = iter(photographs), collections.deque()
    while True:
        while len(pending) < IN_FLIGHT and (batch := list(itertools.islice(source, BATCH))):
            hashes, keys = dict.fromkeys(batch), {}
            for path in batch if cache else ():
                with contextlib.suppress(OSError):  # it is named when it is read
                    keys[path], hashes[path] = cache.find(path)
            missing = [path for path in batch if hashes[path] is None]
            places = [os.path.abspath(path) for path in missing]  # a worker runs elsewhere
            future = executor.submit(hash_batch, places, article) if places else None
            pending.append((hashes, keys, missing, future))
        if not pending:
            return
        hashes, keys, missing, future = pending.popleft()
        try:
            hashes.update(zip(missing, future.result() if future else (), strict=True))
        except Exception as error:  # a cluster gave up; a thread catches its own
            hashes.update(dict.fromkeys(missing, f"hashing failed: {type(error).__name__}"))
        for path in missing:
            if path in keys and isinstance(hashes[path], int):
                cache.put(keys[path], hashes[path])
        yield from hashes.items()


def lies_in(path, directory):
    return path == directory or path.startswith(os.path.join(directory, ""))


def make_counter(haystack_roots, needles_root):
    """Return a function that tells whether a match counts for a needle.

    It must be another file, and it must not go when the needles go: a haystack file that really
    lies among the needles counts only where a haystack directory lies there too.
    """
    needles_root = os.path.realpath(needles_root)
    roots = [os.path.realpath(root) for root in haystack_roots]
    kept = [root for root in roots if lies_in(root, needles_root)]

    def counts(match, needle):
        match = os.path.realpath(match)
        if lies_in(match, needles_root) and not any(lies_in(match, root) for root in kept):
            return False
        if match == os.path.realpath(needle):
            return False
        try:  # where case does not matter, or by two mounts, one file has two real paths
            file = os.stat(needle)
            return file.st_nlink > 1 or not os.path.samestat(file, os.stat(match))
        except OSError:  # one of them has vanished
            return False

    return counts


Finding = collections.namedtuple("Finding", "needle directory status distance match")


def search(needles, root, haystack, distance, counts):
    """Yield a Finding for each needle, a pair (path, hash) or (path, reason why there is none).

    haystack is {hash: [paths]}, distance the most bits in which two hashes may differ. The match
    is the nearest that counts, and the first by path of equally near ones.
    """
    hashes = np.fromiter(haystack, np.uint64, len(haystack))

    def first(close, needle):
        return next((match for match in sorted(close) if counts(match[1], needle)), None)

    for path, value in needles:
        directory = directory_of(path, root)
        if isinstance(value, str):
            yield Finding(path, directory, "unreadable", "", "")
            continue
        match = first([(0, other) for other in haystack.get(value, ())], path)
        if not match and distance:
            bits = np.bitwise_count(hashes ^ np.uint64(value))
            near = np.flatnonzero(bits <= distance)
            close = [(int(bits[i]), other) for i in near for other in haystack[int(hashes[i])]]
            match = first(close, path)
        yield Finding(path, directory, *(("found", *match) if match else ("missing", "", "")))


def directory_of(path, root):
    """Name the directory that path lies in, relative to root; root itself goes by its own name."""
    relative = os.path.relpath(os.path.dirname(path), root)
    return relative if relative != "." else os.path.basename(os.path.abspath(root)) or root


def by_directory(findings, unlisted, root):
    """Return [(directory's name, findings)], sorted; no findings where it can't be listed."""
    directories = {path: [] for path in unlisted}
    for finding in findings:  # by path: two directories may go by one name, root's and another's
        directories.setdefault(os.path.dirname(finding.needle), []).append(finding)
    named = [(directory_of(os.path.join(path, ""), root), f) for path, f in directories.items()]
    return sorted(named, key=lambda pair: pair[0])


def count_found(findings):
    return sum(finding.status == "found" for finding in findings)


def text_report(directories, root):
    """The needles that were not found or could not be read, one path a line."""
    findings = (finding for _, inside in directories for finding in inside)
    return os.fsencode("".join(f"{f.needle}\n" for f in findings if f.status != "found"))


def table_report(directories, root):
    """Every needle as a row of CSV, with the mark that Excel wants before anything but ASCII."""
    table = io.StringIO()
    findings = (finding for _, inside in directories for finding in inside)
    csv.writer(table).writerows([Finding._fields, *findings])
    text = table.getvalue()
    return os.fsencode(text if text.isascii() else "\ufeff" + text)


PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src file:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif }
  body { max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
  h2 { margin: 2.5rem 0 0 } h3, summary { font-size: 1.1rem; font-weight: 600 }
  summary h3 { display: inline } summary small { font-weight: 400; margin-left: .4rem }
  details { margin: .8rem 0 } p { margin: .3rem 0 }
  ul { list-style: none; padding: 0; display: grid; gap: 1rem;
       grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)) }
  li { display: flex; gap: .5rem; padding: .5rem; border: 1px solid #8886; border-radius: .5rem;
       border-left: .4rem solid #3a8a4d; content-visibility: auto;
       contain-intrinsic-size: auto 16rem; break-inside: avoid }
  @media (min-width: 48rem) { li.found { grid-column: span 2 } }
  li.missing, li.unreadable { border-left-color: #d1443c }
  figure { margin: 0; flex: 1 1 0; min-width: 0 } figcaption { font-size: .85rem }
  img, .none { display: block; width: 100%; height: 11rem; object-fit: contain;
               background: #8882; font-size: .8rem }
  .none { box-sizing: border-box; padding: 1rem; text-align: center } small { opacity: .8 }
</style>
<main>
<h1>$title</h1>
<p>$totals</p>
$sections
</main>
</html>
""")


def readable(name):
    """Escape a name for the page; bytes of it that are no text become question marks."""
    return html.escape(os.fsencode(name).decode("utf-8", "replace"))


def figure(path, caption, shown=True):
    """One picture of the page with its caption; a name where a browser shows no picture."""
    name = os.path.basename(path)
    address = html.escape(pathlib.Path(os.path.abspath(path)).as_uri())
    picture = f'<span class="none">{readable(name)}</span>'
    if shown and not path.lower().endswith((".tif", ".tiff", ".jp2")):
        picture = f'<img src="{address}" alt="{readable(name)}" loading="lazy">'
    return (
        f'<figure><a href="{address}">{picture}</a><figcaption>{readable(name)}<br>'
        f"<small>{caption}</small></figcaption></figure>"
    )


def page_section(directory, findings, folded=False):
    """One needle directory of the page, missing photographs first."""
    items = []
    for finding in sorted(findings, key=lambda finding: finding.status == "found"):
        shown = figure(finding.needle, f"<b>{finding.status}</b>", finding.status != "unreadable")
        if finding.status == "found":
            folder = readable(os.path.dirname(finding.match))
            bits = "1 bit" if finding.distance == 1 else f"{finding.distance} bits"
            shown += figure(finding.match, f"{bits} apart, in {folder}")
        items.append(f'<li class="{finding.status}">{shown}</li>\n')
    counts = f"{count_found(findings)} of {len(findings)} found" if findings else "cannot be listed"
    fold = "<details>" if folded else "<details open>"
    title = f"<summary><h3>{readable(directory)}</h3> <small>{counts}</small></summary>"
    return f"{fold}{title}\n<ul>\n{''.join(items)}</ul></details>\n"


def page_report(directories, root):
    """A page that shows every needle, each found one beside its match."""
    groups = {"Check these folders": [], "Partly found": [], "All found": []}
    for directory, findings in directories:
        found = count_found(findings)
        title = "Check these folders" if not found else "Partly found"
        if found and found == len(findings):
            title = "All found"
        groups[title].append(page_section(directory, findings, title == "All found"))
    statuses = collections.Counter(f.status for _, inside in directories for f in inside)
    totals = ", ".join(f"{statuses[key]} {key}" for key in ("found", "missing", "unreadable"))
    page = PAGE.substitute(
        title=f"What {readable(root)} holds that the library lacks",
        totals=f"{statuses.total()} photographs in {len(directories)} folders: {totals}.",
        sections="".join(
            f"<h2>{title} ({len(sections)})</h2>\n{''.join(sections)}"
            for title, sections in groups.items()
            if sections
        ),
    )
    return page.encode("utf-8")


REPORTS = {".txt": text_report, ".csv": table_report, ".html": page_report}


def write_whole(path, content):
    """Write bytes to path at once or not at all."""
    beside = f"{path}.{os.getpid()}.part"
    try:
        with open(beside, "xb") as file:
            file.write(content)
        os.replace(beside, path)
    finally:
        pathlib.Path(beside).unlink(missing_ok=True)


class Console:
    """What people read: the article's lines on stdout, warnings and progress on stderr."""

    def __init__(self):
        # The C libraries' own lines name no file: send them nowhere, and keep stderr for ours.
        names = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())  # byte for byte
        sys.stdout.reconfigure(encoding=names[0], errors=names[1])
        sys.stderr = os.fdopen(os.dup(2), "w", 1, *names)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        self.width = 0  # of the progress line on the screen

    def info(self, line):
        self.clear()
        print(f"[INFO] {line}", flush=True)

    def warn(self, line):
        self.clear()
        print(f"[WARN] {line}", file=sys.stderr)

    def clear(self):
        if self.width:
            print("\r" + " " * self.width, end="\r", file=sys.stderr, flush=True)
            self.width = 0

    def progress(self, results, total):
        """Pass the results on; on a terminal rewrite a line that tells how far they have come."""
        marks = collections.deque([(time.monotonic(), 0)], maxlen=50)  # of the last ten seconds
        for done, result in enumerate(results, 1):
            now = time.monotonic()
            if sys.stderr.isatty() and now - marks[-1][0] > 0.2:
                speed = (done - marks[0][1]) / (now - marks[0][0])
                marks.append((now, done))
                minutes, seconds = divmod(int((total - done) / speed), 60)
                left = f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left"
                line = f"[INFO] {done:,} of {total:,} images, {speed:.0f} a second, {left}"
                line = line[: shutil.get_terminal_size().columns - 1]
                self.clear()
                print(line, end="", file=sys.stderr, flush=True)
                self.width = len(line)
            yield result
        self.clear()


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"[ERROR] {message} (--help explains the options)\n")


def directory(text):
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a directory; name one that exists")
    return text


def whole_number(least, most):
    def number(text):
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return number


def report_file(text):
    folder = os.path.dirname(os.path.abspath(text))
    if os.path.splitext(text)[1].lower() not in REPORTS:
        raise argparse.ArgumentTypeError(f"{text!r} must end in {', '.join(REPORTS)}")
    if os.path.isdir(text) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot write {text!r}; name a file in a folder of yours")
    return text


def make_parser():
    parser = Parser(
        description="Print the directories of needles of whose photographs the haystack has none, "
        "be it resized, recompressed or brightened.",
        epilog="example: python hash_and_search.py --haystack Pictures --needles old-backup "
        "--report missing.html",
    )
    add = parser.add_argument
    # fmt: off
    add("-a", "--haystack", metavar="DIR", nargs="+", type=directory, required=True,
        help="the library: directories of photographs to search in")
    add("-n", "--needles", metavar="DIR", type=directory, required=True,
        help="the backup: a directory of photographs to search for")
    add("--distance", metavar="BITS", type=whole_number(0, 64), default=0,
        help="a match may differ in so many of the 64 bits (default 0: none); 2 finds nearly all "
        "copies, and from 6 on different photographs are taken for copies")
    add("--report", metavar="FILE", type=report_file, action="append", default=[],
        help="write a report as well: .txt lists what is missing, .csv is a table of every "
        "needle, .html a page to look at; may be given several times")
    add("--cache", metavar="FILE",
        help="keep the hashes in this SQLite file, for the next run and after an interruption")
    add("--jobs", metavar="N", type=whole_number(1, 1024), help="hash in so many threads")
    add("--dask", metavar="ADDRESS",
        help="hash on the workers of the Dask scheduler there, such as tcp://10.0.0.1:8786")
    add("--article", action="store_true",
        help="hash as the article's code does, without the anti-aliased thumbnail")
    # fmt: on
    return parser


def open_executor(args, parser):
    """Return an executor of threads, or of the workers of a Dask cluster."""
    if not args.dask:
        return concurrent.futures.ThreadPoolExecutor(args.jobs)
    try:
        import logging

        import distributed

        logging.disable()  # it tells of lost workers, whose work others do again
        return distributed.Client(args.dask, timeout=8).get_executor(retries=2)
    except ImportError:
        parser.error("--dask needs one more package; run: python -m pip install distributed")
    except (OSError, ValueError) as error:
        parser.error(f"no Dask scheduler answers at {args.dask}: {' '.join(str(error).split())}")


def open_cache(args, parser, console):
    try:
        return Cache(args.cache, "article-1" if args.article else "thumbnail-2", console)
    except (OSError, ValueError, sqlite3.Error) as error:
        parser.error(f"cannot use the cache {args.cache}: {error}; name a new file")


def main():
    parser = make_parser()
    args = parser.parse_args()
    console = Console()
    cache = open_cache(args, parser, console) if args.cache else None
    executor = open_executor(args, parser)

    def hash_all(photographs):
        hashes = hash_photographs(photographs, executor, args.article, cache)
        for path, value in console.progress(hashes, len(photographs)):
            if isinstance(value, str):
                console.warn(f"cannot read {path}: {value}")
            yield path, value
        if cache:
            cache.save()

    console.info("computing hashes for haystack...")
    start = time.time()
    haystack = collections.defaultdict(list)  # {hash: [paths]}
    listings = [list_photographs(root, console)[0] for root in args.haystack]
    for path, value in hash_all(sorted(set(itertools.chain(*listings)))):
        if not isinstance(value, str):
            haystack[value].append(path)
    count = sum(map(len, haystack.values()))
    console.info(f"processed {count} images in {time.time() - start:.2f} seconds")

    console.info("computing hashes for needles...")
    needles, unlisted = list_photographs(args.needles, console, is_needles=True)
    counts = make_counter(args.haystack, args.needles)
    findings = search(hash_all(needles), args.needles, haystack, args.distance, counts)
    directories = by_directory(findings, unlisted, args.needles)

    for name, inside in directories:
        if 0 < count_found(inside) < len(inside):
            console.warn(f"{name}: {count_found(inside)} of {len(inside)} images found")
    console.info("check the following directories...")
    for name, inside in directories:
        if not count_found(inside):
            console.info(name)
    for path in args.report:
        ending = os.path.splitext(path)[1].lower()
        write_whole(path, REPORTS[ending](directories, args.needles))


if __name__ == "__main__":
    status = 0
    try:
        main()
    except KeyboardInterrupt:
        print("\n" * sys.stderr.isatty() + "[ERROR] interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # whoever read our lines has had enough
        status = 141
    except OSError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        status = 2
    except sqlite3.Error as error:
        print(f"[ERROR] cannot read the cache: {error}; name a new file", file=sys.stderr)
        status = 2
    if status:
        os._exit(status)  # without waiting for the threads
