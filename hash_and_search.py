#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = ["opencv-python>=4.12.0.88", "imutils>=0.5.4", "numpy>=2.0"]
# ///
"""Which needle folders still hold photographs that the haystack lacks?

The script of "Image hashing with OpenCV and Python" (Adrian Rosebrock, PyImageSearch, 2017):
every photograph becomes a 64-bit difference hash, the haystack's hashes become a dictionary,
and every needle is looked up in it.

Words used below:

  data       the bytes of a file
  image      its pixels, a uint8 array: greyscale (height, width), or BGR (height, width, 3)
  thumbnail  an image shrunk to 18 x 16 pixels by averaging areas; 256 is one grey level
  hash       the 64 comparisons of neighbours in a thumbnail at half its size: an int, see dhash
  undecided  those of the 64 that were too close to call, and may fall either way in a copy
  detail     the 272 comparisons of neighbours in the thumbnail itself
  plain      said of pictures whose hash says little: skies, gradients, near-empty pages
  haystack   {hash: [(path, fingerprint)]} of the library's photographs
  needle     a photograph of the backup, to be looked up in the haystack
  finding    what became of a needle: found, missing or unreadable
  directory  the findings of one folder of needles, and the verdict on it
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
import shutil
import sqlite3
import stat
import string
import sys
import threading
import time
import typing

# Admit a panorama of 2**28 pixels; OpenCV's own 2**30 would let a small file take 6 GB of memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))  # read once, at the import
try:
    import cv2
    import numpy as np
    from imutils import paths
except ImportError as error:
    advice = "run: python -m pip install -r requirements.txt"
    if ".so" in str(error):  # OpenCV is there, and a library that its windows want is not
        advice = "run: apt-get install libgl1 libglib2.0-0 (or take opencv-python-headless instead)"
    print(f"[ERROR] {error}; {advice}", file=sys.stderr)
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(130)


# ------------------------------------------------------------------------------------------------
# The difference hash
# ------------------------------------------------------------------------------------------------


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
    is what stands here.

    >>> dhash(np.array([[10, 20, 15], [30, 20, 40]], np.uint8), hashSize=2)  # 1, 0, 0, 1
    9
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    resized = cv2.resize(image, (hashSize + 1, hashSize))
    brighter = resized[:, 1:] > resized[:, :-1]
    return int.from_bytes(np.packbits(brighter, bitorder="little").tobytes(), "little")


def thumbnail(image):
    """Shrink a greyscale image (height, width) to float32 (16, 18) by averaging areas.

    dhash halves that exactly. Given a whole photograph it reads a handful of the pixels instead,
    and then a copy at half the width hardly ever has the same hash. Averaged in sixteen bits, 256
    to a grey level of a uint8 image, because eight make ties of close neighbours, which fall
    either way.
    """
    if image.dtype == np.uint8:
        image = np.multiply(image, 256, dtype=np.uint16)
    return cv2.resize(image, (18, 16), interpolation=cv2.INTER_AREA).astype(np.float32)


# "Brighter" means by more than a quarter of a grey level from one of dhash's columns to the next:
# with less, the noise of JPEG decides on flat ground; half a level costs copies of less contrast.
RAMP = 256 / 4
CLOSE = 2 * 256  # two levels: what lies nearer may fall either way in a copy
MOST_UNDECIDED = 8  # bits: a needle is looked up at most 2**8 times
PLAIN = 12  # changes of direction along the rows, or fewer
BLANK = 16 * 256  # levels of a plain thumbnail, or fewer
# Comparisons of detail that may differ. Of 1,575 copies of photographs, 7 differ in more and 31 in
# more than 10; of 400 papers, 12 are taken for another of their layout, and with 20 it is 22.
DETAIL = 18


class Fingerprint(bytes):
    """What a photograph's thumbnail yields, packed, for a library has many.

    hash and undecided are ints of 64 bits, detail one of 272; levels are the uint8 grey levels of
    a plain picture at 9 x 8, and of others none.
    """

    __slots__ = ()
    hash = property(lambda self: int.from_bytes(self[:8], "little"))
    undecided = property(lambda self: int.from_bytes(self[8:16], "little"))
    detail = property(lambda self: int.from_bytes(self[16:50], "little"))
    levels = property(lambda self: np.frombuffer(self, np.uint8, offset=50))


def fingerprint(small):
    """Return the Fingerprint of a thumbnail.

    A blank picture, of which no dHash says anything, gets that of a checksum: it matches its
    exact copies only.
    """
    small_half = half(small)
    value = dhash(small_half)
    is_plain = count_changes(value) <= PLAIN
    if is_plain and np.ptp(small) < BLANK:
        return checksum(small.tobytes())
    gaps = np.abs(np.diff(small_half)).ravel()
    closest = np.argsort(gaps, kind="stable")[:MOST_UNDECIDED]
    undecided = sum(1 << i for i in closest[gaps[closest] <= CLOSE].tolist())
    detail = np.packbits(np.diff(small) > RAMP / 2).tobytes()
    levels = b""
    if is_plain:
        levels = np.round(cv2.resize(small, (9, 8)) / 256).astype(np.uint8).tobytes()
    head = value.to_bytes(8, "little") + undecided.to_bytes(8, "little")
    return Fingerprint(head + detail + levels)


def half(small):
    """Halve a thumbnail to float32 (8, 9), as dhash does, and darken it by RAMP a column."""
    return cv2.resize(small, (9, 8)) - RAMP * np.arange(9, dtype=np.float32)


def checksum(data):
    return Fingerprint(hashlib.blake2b(data, digest_size=8).digest() + bytes(42))


def count_changes(value):
    """Count how often brightness changes direction along the 8 rows of a 64-bit hash.

    Measured: smooth pictures have 0 to 8 changes, each of 105 photographs of things 13 or more.

    >>> count_changes(0), count_changes(0x5555555555555555)
    (0, 56)
    """
    return ((value ^ value >> 1) & 0x7F7F7F7F7F7F7F7F).bit_count()  # a byte is a row


# ------------------------------------------------------------------------------------------------
# From a file to its hash
# ------------------------------------------------------------------------------------------------


def article_hash(data):
    """Return the Fingerprint of a file's bytes with the article's hash, and nothing besides."""
    return [Fingerprint(dhash(decode(data, cv2.IMREAD_COLOR)).to_bytes(50, "little"))]


def photograph_hash(data):
    """Return the Fingerprint of a file's bytes, in a list: that of the picture's thumbnail.

    As no hash of the first page may stand for the others, a TIFF of several pages has that of a
    checksum of the file. Raises what decode raises.
    """
    if has_more_pages(data):
        decode(data, cv2.IMREAD_COLOR)  # a damaged one has no hash
        return [checksum(data)]
    return [fingerprint(thumbnail(decode_grey(data)))]


def rotated_hash(data):
    """Return a photograph's Fingerprint, and those of it turned by 90, 180 and 270 degrees."""
    if has_more_pages(data):
        return photograph_hash(data)
    image = decode_grey(data)
    upright, turned = thumbnail(image), thumbnail(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE))
    thumbnails = upright, turned, upright[::-1, ::-1], turned[::-1, ::-1]
    return [fingerprint(small) for small in thumbnails]


def has_more_pages(data):
    """Whether data is a TIFF whose first directory of a page links to a second.

    OpenCV tells of a second page only if it can decode it, and a damaged one is one too.
    Source: TIFF 6.0, section 2; of BigTIFF, Adobe's and libtiff's notes.
    """
    if data[:2] not in (b"II", b"MM"):
        return False
    order = "little" if data[:2] == b"II" else "big"

    def number(place, size):
        return int.from_bytes(data[place : place + size], order)

    if number(2, 2) == 43:  # a BigTIFF
        first = number(8, 8)
        return number(first + 8 + 20 * number(first, 8), 8) > 0
    first = number(4, 4)
    return number(first + 2 + 12 * number(first, 2), 4) > 0


def decode_grey(data):
    """Decode data into a greyscale image, a large JPEG at a part of its size."""
    if data.startswith(JPEG_START):
        return decode_grey_jpeg(data)
    # libpng's own conversion to greyscale is biased, and reduced reading aliases: read colours.
    image = cv2.cvtColor(decode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    return look_closer(data, image) if changes_in(image) <= PLAIN else image


def decode_grey_jpeg(data):
    """Decode a JPEG, as small as its shorter side keeps 256 pixels; with 128 copies are lost."""
    shorter = min(jpeg_size(data))
    scales = (flag for scale, flag in JPEG_SCALES.items() if -(-shorter // scale) >= 256)
    image = decode(data, next(scales, cv2.IMREAD_GRAYSCALE))
    if not data.endswith(JPEG_END):
        # libjpeg fills what is missing with grey 128; two stumps would look like copies.
        high, wide = (-(-side // 16) for side in image.shape)
        for edge in (image[-high:], image[:high], image[:, -wide:], image[:, :wide]):
            if (edge == 128).all():
                raise ValueError("the end of the file is missing, and with it part of the picture")
    return image


def look_closer(data, image):
    """Decode what looks plain as image once more: for its transparency, or the depths of 16 bits.

    Return what shows most, the picture as it is, or where that is no longer plain its alpha
    channel, or its 16 bits with as many pixels at each level (so that no hot one hides a dark
    scan), in uint16 with 256 to a level.
    """
    if image.size > 2**26:
        raise ValueError("it looks plain, and it is too large for a closer look")
    whole = np.atleast_3d(decode(data, cv2.IMREAD_UNCHANGED))
    layers, channels = [], whole.shape[2]
    if channels in (2, 4):
        layers.append(np.ascontiguousarray(whole[:, :, -1]))
    if whole.dtype != np.uint8:
        layers.append(
            whole[:, :, 0] if channels < 3 else cv2.cvtColor(whole[:, :, :3], cv2.COLOR_BGR2GRAY)
        )
    layers = [layer if layer.dtype == np.uint8 else equalized(layer) for layer in layers]
    richest = max(layers, key=changes_in, default=image)
    return richest if changes_in(richest) > PLAIN else image


def changes_in(image):
    return count_changes(dhash(half(thumbnail(image))))


def equalized(layer):
    if layer.dtype != np.uint16:
        layer = cv2.normalize(layer, None, 0, 65535, cv2.NORM_MINMAX, cv2.CV_16U)
    histogram = cv2.calcHist([layer], [0], None, [65536], [0, 65536])
    return np.take((histogram.cumsum() * (65280 / layer.size)).astype(np.uint16), layer)


JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
JPEG_SCALES = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}


def jpeg_size(data):
    """Return a JPEG's (height, width) as its frame header has it, or (0, 0).

    Walks the segments: a preview in the EXIF segment has a frame header of its own, and comes
    first. Source: ITU-T T.81, annex B.
    """
    place = 2
    while 0 <= (place := data.find(b"\xff", place)) < len(data) - 9:
        kind = data[place + 1]
        if kind in JPEG_FRAMES:
            height, width = data[place + 5 : place + 7], data[place + 7 : place + 9]
            return int.from_bytes(height, "big"), int.from_bytes(width, "big")
        if kind == 0xDA:  # the scan begins
            break
        if kind == 0xFF or kind == 0x01 or 0xD0 <= kind <= 0xD8:  # a fill byte; markers alone
            place += 1 if kind == 0xFF else 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0, 0


JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def decode(data, flags):
    """Decode data into an image with cv2.imdecode and its flags, upright by its EXIF orientation.

    Raises ValueError where OpenCV can't decode, cv2.error where there are too many pixels.
    """
    refuse_damaged_png(data)
    if data.startswith(JPEG_START) and not data.endswith(JPEG_END):
        data += JPEG_END  # imdecode insists on the end marker, imread does not
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("not an image that OpenCV can decode, or a damaged one")
    return image


def refuse_damaged_png(data):
    """Raise ValueError for a PNG whose chunks do not fit the file.

    OpenCV 5 makes room for what a damaged chunk claims: 4 GB for a file of 54 bytes.
    """
    place, kind = 8, b"" if data.startswith(b"\x89PNG") else b"IEND"
    while kind != b"IEND":
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        place += 12 + length
        if place > len(data):
            raise ValueError("the PNG is damaged, or its end is missing")


def hash_batch(batch, hash_function):
    """Return a list with a pair for each path: its Fingerprints, and why there are none (str).

    hash_function takes a file's bytes and returns a list of Fingerprints, of which the first is
    the upright picture's. A task of a cluster's worker, which
    need not have this script.
    """
    cv2.setNumThreads(1)  # the photographs are spread over threads, not the pixels of one
    return [hash_file(path, hash_function) for path in batch]


def hash_file(path, hash_function):
    try:
        data = read(path)
        with decoding_alone() if is_large(data) else contextlib.nullcontext():
            return hash_function(data), ""
    except (OSError, MemoryError, ValueError, cv2.error) as error:
        return [], reason(error)


def read(path):
    """Return the bytes of the file at path. Raises OSError, or ValueError where there are none."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("not a regular file")
    with open(path, "rb", buffering=0) as file:  # opens any name, which imread does not
        data = file.read()
    if not data:
        raise ValueError("the file is empty")
    return data


def is_large(data):
    """Whether decoding may take more than some 450 MB, as far as a look at the header tells."""
    if data.startswith(JPEG_START):
        height, width = jpeg_size(data)
        return height * width > 2**26
    if data.startswith(b"\x89PNG"):  # of up to 8 bytes a pixel
        return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big") > 2**25
    return True


def decoding_alone():
    """Return the lock with which a process decodes one large picture at a time.

    Without it every thread may take 2 GB at once. It lies in the module cv2, which a process has
    once; a cluster's worker gets this script's functions and globals anew with each task.
    """
    return vars(cv2).setdefault("one_large_picture", threading.Lock())


def reason(error):
    """Say in one line why a file has no hash."""
    text = str(error)
    if isinstance(error, OSError):
        text = error.strerror or text
    elif isinstance(error, MemoryError):
        text = "not enough memory"
    elif isinstance(error, cv2.error) and "IMAGE_PIXELS" in text:
        limit = os.environ.get("OPENCV_IO_MAX_IMAGE_PIXELS", 2**30)  # a worker's may be its own
        text = f"it has more than {limit} pixels; raise OPENCV_IO_MAX_IMAGE_PIXELS to read it"
    elif isinstance(error, cv2.error):
        text = error.err or text
    return " ".join(text.split())


# ------------------------------------------------------------------------------------------------
# From many files to their hashes
# ------------------------------------------------------------------------------------------------

# The endings that imutils lists, and the others that OpenCV decodes.
ENDINGS = (*paths.image_types, ".webp", ".avif", ".gif", ".jp2")
BATCH = 8  # files a task; of small files, four cost a tenth more time
IN_FLIGHT = 256  # tasks handed out at once: enough for a cluster, and bounded


def list_photographs(root, is_needles=False):
    """Return the sorted paths of the images below root, and the folders that can't be listed.

    What else is left out is told, but for hidden files: other files, links to directories.
    """
    listed = paths.list_files(root, ENDINGS)
    photographs = sorted(path for path in listed if not os.path.basename(path).startswith("."))
    others, only_others, unlisted = collections.Counter(), [], []
    for folder, subfolders, names in os.walk(root, onerror=unlisted.append):
        for link in (os.path.join(folder, name) for name in subfolders):
            if os.path.islink(link):
                warn(f"{link}: a link to a directory, not followed")
        names = [name.lower() for name in names if not name.startswith(".")]
        others_here = [name for name in names if not name.endswith(ENDINGS)]
        others.update(os.path.splitext(name)[1] or "without an ending" for name in others_here)
        if names and len(others_here) == len(names):
            only_others.append(folder)
    for error in unlisted:
        warn(f"cannot list {error.filename}: {error.strerror}")
    if others:
        endings = ", ".join(f"{ending} {count}" for ending, count in others.most_common())
        skipped = f"skipped {others.total()} files that are not images OpenCV reads"
        warn(f"{root}: {skipped}: {endings}")
    for folder in sorted(only_others) if is_needles else ():
        name = name_below(root, folder)
        warn(f"{name}: no image that OpenCV reads, only other files; look into it")
    if not photographs:
        warn(f"{root}: no images")
    return photographs, [error.filename for error in unlisted]


class Hashed(typing.NamedTuple):
    path: str
    fingerprints: list  # the upright picture's, and perhaps those of it on its sides
    reason: str  # why there are none


class Batch(typing.NamedTuple):
    paths: list
    kept: dict  # {path: Fingerprints} of those that the cache knows
    keys: dict  # {path: key in the cache} of the others
    missing: list  # the others' paths
    future: concurrent.futures.Future | None  # of what hash_batch returns


def hash_photographs(photographs, executor, hash_function, cache=None):
    """Yield a Hashed for each path, in order.

    executor is a concurrent.futures one, of threads here or of a cluster's workers; hash_function
    takes a file's bytes and returns a list of Fingerprints.
    """
    source, in_flight = iter(photographs), collections.deque()
    while True:
        while len(in_flight) < IN_FLIGHT and (batch := list(itertools.islice(source, BATCH))):
            in_flight.append(start(batch, executor, hash_function, cache))
        if not in_flight:
            return
        yield from finish(in_flight.popleft(), cache)


def start(batch, executor, hash_function, cache):
    """Hand out those of the batch's paths whose hash the cache has not kept."""
    kept, keys = {}, {}
    for path in batch if cache else ():
        with contextlib.suppress(OSError):  # it is named when it is read
            keys[path], fingerprints = cache.find(path, hash_function.__name__)
            if fingerprints:
                kept[path] = fingerprints
    missing = [path for path in batch if path not in kept]
    places = [os.path.abspath(path) for path in missing]  # a worker runs elsewhere
    future = executor.submit(hash_batch, places, hash_function) if places else None
    return Batch(batch, kept, keys, missing, future)


def finish(batch, cache):
    """Yield a Hashed for each path of the batch; put what is new into the cache."""
    try:
        hashed = batch.future.result() if batch.future else []
    except Exception as error:  # a cluster gave up; a thread catches its own
        hashed = [([], f"hashing failed: {type(error).__name__}")] * len(batch.missing)
    hashed = dict(zip(batch.missing, hashed, strict=True))
    for path in batch.paths:
        fingerprints, reason = hashed.get(path, (batch.kept.get(path), ""))
        if path in hashed and path in batch.keys:
            cache.put(batch.keys[path], fingerprints)
        # A cluster sends plain bytes.
        yield Hashed(path, [Fingerprint(each) for each in fingerprints], reason)


class Cache:
    """Fingerprints in an SQLite file, by path, size, time of change and way of hashing."""

    APPLICATION_ID = 0x64486173  # "dHas"
    RECIPE = f"3, OpenCV {cv2.__version__}"  # versions turn, and decode, some formats differently

    def __init__(self, path):
        """Open or make the file. Raises OSError, ValueError or sqlite3.Error, changing nothing."""
        self.rows, self.saved = [], time.monotonic()
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
            "DROP TABLE IF EXISTS hashes;"  # of the recipes before the third
            "CREATE TABLE IF NOT EXISTS fingerprints (path BLOB, recipe TEXT, size INTEGER,"
            " mtime_ns INTEGER, turned INTEGER, fingerprint BLOB,"
            " PRIMARY KEY (path, recipe, turned)) WITHOUT ROWID; COMMIT;"
        )

    def find(self, path, way):
        """Return the key by which to put the Fingerprints of path, hashed in a way (a name).

        And those Fingerprints, if they are kept.
        """
        info = os.stat(path)
        place = os.fsencode(os.path.abspath(path))
        key = place, f"{way} {self.RECIPE}", info.st_size, info.st_mtime_ns
        where = "path = ? AND recipe = ? AND size = ? AND mtime_ns = ? ORDER BY turned"
        rows = self.database.execute(f"SELECT fingerprint FROM fingerprints WHERE {where}", key)
        return key, [row[0] for row in rows]

    def put(self, key, fingerprints):
        self.rows += [(*key, turned, each) for turned, each in enumerate(fingerprints)]
        if time.monotonic() - self.saved > 0.5:
            self.save()

    def save(self):
        try:
            with self.database:  # committed at the end, or rolled back
                self.database.execute("BEGIN IMMEDIATE")
                insert = "INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?, ?, ?, ?)"
                self.database.executemany(insert, self.rows)
        except sqlite3.Error as error:
            warn(f"cannot write to the cache: {error}")
        self.rows, self.saved = [], time.monotonic()


# ------------------------------------------------------------------------------------------------
# The search
# ------------------------------------------------------------------------------------------------


class Finding(typing.NamedTuple):
    needle: str
    directory: str
    status: str  # found, missing or unreadable
    distance: int | str  # decided bits in which the hashes differ
    match: str


class Directory(typing.NamedTuple):
    name: str
    findings: list  # none where the folder can't be listed

    @property
    def found(self):
        return sum(finding.status == "found" for finding in self.findings)

    @property
    def verdict(self):
        if not self.found:
            return "Check these folders"
        return "All found" if self.found == len(self.findings) else "Partly found"


def search(needles, root, haystack, distance, is_copy):
    """Yield a Finding for each needle, a Hashed; root is the needles' own.

    haystack is {hash: [(path, Fingerprint)]}, distance the most decided bits in which two hashes
    may differ, and is_copy(match, needle) tells whether that match will do. It is the nearest
    that does, of equally near ones that of the nearest detail, then the first by path.
    """
    hashes = np.fromiter(haystack, np.uint64, len(haystack)) if distance else None

    def nearest(needle, close):
        best = None
        for match in alike(close, haystack, DETAIL + 10 * distance):
            if (not best or match < best) and is_copy(match[2], needle.path):
                best = match
                if best[:2] == (0, 0):  # no other is nearer
                    break
        return best

    for needle in needles:
        match = nearest(needle, look_up(needle, haystack))
        if not match and distance:
            match = nearest(needle, look_around(needle, hashes, distance))
        status = "missing" if needle.fingerprints else "unreadable"
        directory = name_below(root, os.path.dirname(needle.path))
        if match:
            yield Finding(needle.path, directory, "found", match[0], match[2])
        else:
            yield Finding(needle.path, directory, status, "", "")


def look_up(needle, haystack):
    """Yield (fingerprint, 0, hash) for each hash of the haystack that may be the needle's.

    Each undecided bit may have fallen either way: at most 256 look-ups in the dictionary. Source:
    Lv et al., "Multi-Probe LSH" (2007); here the needle itself tells which probes are worth it.
    """
    for fingerprint in needle.fingerprints:
        probes, undecided = [fingerprint.hash], fingerprint.undecided
        while undecided:
            bit = undecided & -undecided
            probes += [probe ^ bit for probe in probes]
            undecided ^= bit
        for probe in probes:
            if probe in haystack:
                yield fingerprint, 0, probe


def look_around(needle, hashes, distance):
    """Yield (fingerprint, bits, hash) for each hash of which so few decided bits differ."""
    for fingerprint in needle.fingerprints:
        decided = np.uint64(~fingerprint.undecided & 2**64 - 1)
        bits = np.bitwise_count((hashes ^ np.uint64(fingerprint.hash)) & decided)
        for place in np.flatnonzero(bits <= distance):
            yield fingerprint, int(bits[place]), int(hashes[place])


def alike(close, haystack, slack):
    """Yield (distance, detail that differs, path) of the photographs that are alike.

    close is what look_up or look_around yields, slack the most comparisons of detail that may
    differ. Two plain pictures must besides differ by about the same level everywhere.
    """
    for fingerprint, distance, value in close:
        levels = fingerprint.levels
        for path, other in haystack[value]:
            detail = (fingerprint.detail ^ other.detail).bit_count()
            if detail <= slack and levels_agree(levels, other.levels):
                yield distance, detail, path


def levels_agree(levels, others):
    if not (levels.size and others.size):
        return True
    return np.ptp(levels.astype(int) - others) <= max(2, np.ptp(levels) / 12)


def copy_rule(haystack_roots, needles_root):
    """Return a function that tells whether a match is a copy that will outlive the needle.

    It must be another file, and it must not go when the needles go: a haystack file that really
    lies among the needles will do only where a haystack directory lies there too.
    """
    needles_root = os.path.realpath(needles_root)
    roots = [os.path.realpath(root) for root in haystack_roots]
    kept = [root for root in roots if lies_in(root, needles_root)]

    def is_copy(match, needle):
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

    return is_copy


def lies_in(path, folder):
    return path == folder or path.startswith(os.path.join(folder, ""))


def by_directory(findings, unlisted, root):
    """Return the findings as sorted Directories, with those of the folders that can't be listed."""
    folders = {path: [] for path in unlisted}
    for finding in findings:  # by path: two folders may go by one name, root's and another's
        folders.setdefault(os.path.dirname(finding.needle), []).append(finding)
    directories = [Directory(name_below(root, path), inside) for path, inside in folders.items()]
    return sorted(directories, key=lambda directory: directory.name)


def name_below(root, folder):
    """Name a folder by its path relative to root, and root itself by its own name."""
    relative = os.path.relpath(folder, root)
    return relative if relative != "." else os.path.basename(os.path.abspath(root)) or root


# ------------------------------------------------------------------------------------------------
# The reports
# ------------------------------------------------------------------------------------------------


def text_report(directories, root):
    """The needles that were not found or could not be read, one path a line."""
    findings = (finding for directory in directories for finding in directory.findings)
    return os.fsencode("".join(f"{f.needle}\n" for f in findings if f.status != "found"))


def table_report(directories, root):
    """Every needle as a row of CSV, with the mark that Excel wants before anything but ASCII."""
    table = io.StringIO()
    findings = (finding for directory in directories for finding in directory.findings)
    csv.writer(table).writerows([Finding._fields, *findings])
    text = table.getvalue()
    return os.fsencode(text if text.isascii() else "\ufeff" + text)


def page_report(directories, root):
    """A page that shows every needle, each found one beside its match."""
    sections = {"Check these folders": [], "Partly found": [], "All found": []}
    for directory in directories:
        sections[directory.verdict].append(page_section(directory))
    statuses = collections.Counter(f.status for each in directories for f in each.findings)
    totals = ", ".join(f"{statuses[key]} {key}" for key in ("found", "missing", "unreadable"))
    page = PAGE.substitute(
        title=f"What {escaped(root)} holds that the library lacks",
        totals=f"{statuses.total()} photographs in {len(directories)} folders: {totals}.",
        sections="".join(
            f"<h2>{verdict} ({len(inside)})</h2>\n{''.join(inside)}"
            for verdict, inside in sections.items()
            if inside
        ),
    )
    return page.encode("utf-8")


def page_section(directory):
    """One needle directory of the page, missing photographs first; folded where all are found."""
    items = []
    for finding in sorted(directory.findings, key=lambda finding: finding.status == "found"):
        shown = figure(finding.needle, f"<b>{finding.status}</b>", finding.status != "unreadable")
        if finding.status == "found":
            folder = escaped(os.path.dirname(finding.match))
            bits = "1 bit" if finding.distance == 1 else f"{finding.distance} bits"
            shown += figure(finding.match, f"{bits} apart, in {folder}")
        items.append(f'<li class="{finding.status}">{shown}</li>\n')
    total = len(directory.findings)
    summary = f"{directory.found} of {total} found" if total else "cannot be listed"
    fold = "<details>" if directory.verdict == "All found" else "<details open>"
    title = f"<summary><h3>{escaped(directory.name)}</h3> <small>{summary}</small></summary>"
    return f"{fold}{title}\n<ul>\n{''.join(items)}</ul></details>\n"


def figure(path, caption, shown=True):
    """One picture of the page with its caption; a name where a browser shows no picture."""
    name = os.path.basename(path)
    address = html.escape(pathlib.Path(os.path.abspath(path)).as_uri())
    picture = f'<span class="none">{escaped(name)}</span>'
    if shown and not path.lower().endswith((".tif", ".tiff", ".jp2")):
        picture = f'<img src="{address}" alt="{escaped(name)}" loading="lazy">'
    return (
        f'<figure><a href="{address}">{picture}</a><figcaption>{escaped(name)}<br>'
        f"<small>{caption}</small></figcaption></figure>"
    )


def escaped(name):
    """Escape a name for the page; bytes of it that are no text become question marks."""
    return html.escape(os.fsencode(name).decode("utf-8", "replace"))


REPORTS = {".txt": text_report, ".csv": table_report, ".html": page_report}


def ending_of(path):
    return os.path.splitext(path)[1].lower()


def write_whole(path, content):
    """Write bytes to path at once or not at all."""
    beside = f"{path}.{os.getpid()}.part"
    try:
        with open(beside, "xb") as file:
            file.write(content)
        os.replace(beside, path)
    finally:
        pathlib.Path(beside).unlink(missing_ok=True)


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


# ------------------------------------------------------------------------------------------------
# The screen: the article's lines on stdout; on stderr warnings, errors and progress
# ------------------------------------------------------------------------------------------------


def info(line):
    wipe()
    print(f"[INFO] {line}", flush=True)


def warn(line):
    wipe()
    print(f"[WARN] {line}", file=sys.stderr)


def end(line, status=2):
    """Print why the run ends, and end it without waiting for the threads."""
    wipe()
    print(f"[ERROR] {line}", file=sys.stderr)
    os._exit(status)


def progress(results, total):
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
            wipe()
            print(line[: line_width()], end="", file=sys.stderr, flush=True)
        yield result
    wipe()


def wipe():
    """Take the progress line from the terminal, if there is one."""
    if sys.stderr.isatty():
        print("\r" + " " * line_width(), end="\r", file=sys.stderr, flush=True)


def line_width():
    return shutil.get_terminal_size().columns - 1


def keep_streams_ours():
    """Write names byte for byte, and send the lines of the C libraries, which name no file, away.

    stderr is ours by another descriptor, and theirs leads nowhere.
    """
    names = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
    sys.stdout.reconfigure(encoding=names[0], errors=names[1])
    sys.stderr = os.fdopen(os.dup(2), "w", 1, *names)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


# ------------------------------------------------------------------------------------------------
# The command
# ------------------------------------------------------------------------------------------------


def parse_arguments():
    """Return the options; end with one line where they will not do."""
    parser = argparse.ArgumentParser(
        description="Print the directories of needles of whose photographs the haystack has none, "
        "be it resized, recompressed or brightened.",
        epilog="example: python hash_and_search.py --haystack Pictures --needles old-backup "
        "--report missing.html",
    )
    parser.error = lambda message: end(f"{message} (--help explains the options)")
    add = parser.add_argument
    # fmt: off
    add("-a", "--haystack", metavar="DIR", nargs="+", required=True,
        help="the library: directories of photographs to search in")
    add("-n", "--needles", metavar="DIR", required=True,
        help="the backup: a directory of photographs to search for")
    add("--distance", metavar="BITS", type=int, default=0,
        help="a match may differ in so many of the 64 bits (default 0: none); 2 finds nearly all "
        "copies, and from 6 on different photographs are taken for copies")
    add("--report", metavar="FILE", action="append", default=[],
        help="write a report as well: .txt lists what is missing, .csv is a table of every "
        "needle, .html a page to look at; may be given several times")
    add("--cache", metavar="FILE",
        help="keep the hashes in this SQLite file, for the next run and after an interruption")
    add("--jobs", metavar="N", type=int, help="hash in so many threads")
    add("--dask", metavar="ADDRESS",
        help="hash on the workers of the Dask scheduler there, such as tcp://10.0.0.1:8786")
    add("--rotated", action="store_true",
        help="find photographs of the needles also where the haystack has them turned by 90, 180 "
        "or 270 degrees")
    add("--article", action="store_true",
        help="hash as the article's code does, without the anti-aliased thumbnail")
    # fmt: on
    args = parser.parse_args()
    for root in (*args.haystack, args.needles):
        if not os.path.isdir(root):
            end(f"{root!r} is not a directory; name one that exists")
    if not 0 <= args.distance <= 64:
        end(f"--distance takes a number from 0 to 64, not {args.distance}")
    if args.jobs is not None and not 1 <= args.jobs <= 1024:
        end(f"--jobs takes a number from 1 to 1024, not {args.jobs}")
    if args.rotated and args.article:
        end("--rotated and --article don't go together")
    for path in args.report:
        folder = os.path.dirname(os.path.abspath(path))
        if ending_of(path) not in REPORTS:
            end(f"--report {path!r} must end in {', '.join(REPORTS)}")
        if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            end(f"cannot write --report {path!r}; name a file in a folder of yours")
    return args


def open_cache(path):
    try:
        return Cache(path)
    except (OSError, ValueError, sqlite3.Error) as error:
        end(f"cannot use the cache {path}: {error}; name a new file")


def open_executor(jobs, scheduler):
    """Return an executor of threads, or of the workers of a Dask cluster."""
    if not scheduler:
        return concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        import logging

        import distributed

        logging.disable()  # it tells of lost workers, whose work others do again
        return distributed.Client(scheduler, timeout=8).get_executor(retries=2)
    except ImportError:
        end("--dask needs one more package; run: python -m pip install distributed")
    except (OSError, ValueError) as error:
        end(f"no Dask scheduler answers at {scheduler}: {' '.join(str(error).split())}")


def main():
    keep_streams_ours()
    args = parse_arguments()
    haystack_hash = article_hash if args.article else photograph_hash
    needle_hash = rotated_hash if args.rotated else haystack_hash
    cache = open_cache(args.cache) if args.cache else None
    executor = open_executor(args.jobs, args.dask)

    def hash_all(photographs, hash_function):
        hashes = hash_photographs(photographs, executor, hash_function, cache)
        for hashed in progress(hashes, len(photographs)):
            if hashed.reason:
                warn(f"cannot read {hashed.path}: {hashed.reason}")
            yield hashed
        if cache:
            cache.save()

    info("computing hashes for haystack...")
    start = time.time()
    haystack = collections.defaultdict(list)
    photographs = sorted({path for root in args.haystack for path in list_photographs(root)[0]})
    for path, fingerprints, _ in hash_all(photographs, haystack_hash):
        for fingerprint in fingerprints:
            haystack[fingerprint.hash] += [(path, fingerprint)]
    count = sum(map(len, haystack.values()))
    info(f"processed {count} images in {time.time() - start:.2f} seconds")

    info("computing hashes for needles...")
    needles, unlisted = list_photographs(args.needles, is_needles=True)
    is_copy = copy_rule(args.haystack, args.needles)
    findings = search(
        hash_all(needles, needle_hash), args.needles, haystack, args.distance, is_copy
    )
    directories = by_directory(findings, unlisted, args.needles)

    for directory in directories:
        if directory.verdict == "Partly found":
            total = len(directory.findings)
            warn(f"{directory.name}: {directory.found} of {total} images found")
    info("check the following directories...")
    for directory in directories:
        if directory.verdict == "Check these folders":
            info(directory.name)
    for path in args.report:
        write_whole(path, REPORTS[ending_of(path)](directories, args.needles))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        end("interrupted", 130)
    except BrokenPipeError:  # whoever read our lines has had enough
        os._exit(141)
    except OSError as error:
        end(error)
    except sqlite3.Error as error:
        end(f"cannot read the cache: {error}; name a new file")
