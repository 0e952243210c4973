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
  haystack   {hash: [(path, fingerprint's bytes)]} of the library's photographs
  library    the paths of all its photographs and films, with a hash or without
  needle     a photograph or film of the backup, to be looked up in the haystack by its hash, or
             in the library by its bytes
  finding    what became of a needle: found, smaller, missing or unreadable
  directory  the findings of one folder of needles, and the verdict on it
"""

import argparse
import collections
import concurrent.futures
import contextlib
import csv
import filecmp
import functools
import hashlib
import html
import io
import itertools
import math
import os
import pathlib
import re
import shlex
import shutil
import sqlite3
import stat
import string
import struct
import sys
import threading
import time
import typing

# Admit a panorama of 2**28 pixels; OpenCV's own 2**30 would let a small file take 6 GB of memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))  # read once, at the import
for name in ("PIXELS", "WIDTH", "HEIGHT"):
    limit = os.environ.get(f"OPENCV_IO_MAX_IMAGE_{name}", "1")
    if not (limit.isascii() and limit.isdecimal() and 0 < int(limit) < 2**63):
        print(
            f"[ERROR] OPENCV_IO_MAX_IMAGE_{name} must be a number, not {limit!r}", file=sys.stderr
        )
        sys.exit(2)  # OpenCV would abort
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
RAMPS = RAMP * np.arange(9, dtype=np.float32)
CLOSE = 2 * 256  # two levels: what lies nearer may fall either way in a copy
MOST_UNDECIDED = 8  # bits: a needle is looked up at most 2**8 times
PLAIN = 12  # changes of direction along the rows, or fewer
BLANK = 16 * 256  # levels of a plain thumbnail, or fewer
# Comparisons of detail that may differ. Of 1,575 copies of photographs, 7 differ in more and 31 in
# more than 10; of 400 papers, 12 are taken for another of their layout, and with 20 it is 22.
DETAIL = 18


class Fingerprint(bytes):
    """What a photograph's thumbnail yields, packed, for a library has many.

    hash and undecided are ints of 64 bits, detail one of 272; size is the picture's (width,
    height) in pixels; levels are the uint8 grey levels of a plain picture at 9 x 8, of others none.
    """

    __slots__ = ()
    hash = property(lambda self: int.from_bytes(self[:8], "little"))
    undecided = property(lambda self: int.from_bytes(self[8:16], "little"))
    detail = property(lambda self: int.from_bytes(self[16:50], "little"))
    size = property(lambda self: struct.unpack_from("<II", self, 50))
    levels = property(lambda self: np.frombuffer(self, np.uint8, offset=58))


def fingerprint(small, size):
    """Return the Fingerprint of a thumbnail of a picture of (width, height) pixels.

    Or None, if the picture is blank: no dHash says anything of it.
    """
    small_half = half(small)
    value = dhash(small_half)
    levels = b""
    if count_changes(value) <= PLAIN:
        if np.ptp(small) < BLANK:
            return None
        levels = np.round(cv2.resize(small, (9, 8)) / 256).astype(np.uint8).tobytes()
    gaps = np.abs(small_half[:, 1:] - small_half[:, :-1]).ravel()
    closest = np.argsort(gaps, kind="stable")[:MOST_UNDECIDED]
    undecided = sum(1 << i for i in closest[gaps[closest] <= CLOSE].tolist())
    detail = np.packbits(small[:, 1:] - small[:, :-1] > RAMP / 2).tobytes()
    return Fingerprint(struct.pack("<QQ34sII", value, undecided, detail, *size) + levels)


def half(small):
    """Halve a thumbnail to float32 (8, 9), as dhash does, and darken it by RAMP a column."""
    return cv2.resize(small, (9, 8)) - RAMPS


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
    """Return a list with the Fingerprint that has the article's hash, and nothing besides."""
    return [Fingerprint(dhash(decode(data, cv2.IMREAD_COLOR)).to_bytes(58, "little"))]


def photograph_hash(data, rotated=False):
    """Return a list with the Fingerprint of the photograph in data, upright.

    With rotated three more follow, of it turned by 90, 180 and 270 degrees. The list is empty
    where only bytes can tell: of a file with several pictures, as the first must not vouch for
    the others, and of a blank picture. Raises what decode raises, and ImportError.
    """
    image, size = decode_photograph(data)
    if image is None:
        return []
    thumbnails = [thumbnail(image)]
    if rotated:
        aside = thumbnail(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE))
        thumbnails += [aside, thumbnails[0][::-1, ::-1], aside[::-1, ::-1]]
    fingerprints = [fingerprint(small, size) for small in thumbnails]
    return [] if None in fingerprints else fingerprints


def rotated_hash(data):
    return photograph_hash(data, rotated=True)


def decode_photograph(data):
    """Return the greyscale image in data and its whole (width, height).

    A large JPEG's image is smaller than that; of several pictures in one file the image is None.
    """
    if is_heif(data):
        return decode_heif(data)
    if data.startswith(JPEG_START):
        return decode_jpeg(data)
    # libpng's own conversion to greyscale is biased, and reduced reading aliases: read colours.
    image = cv2.cvtColor(decode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    size = image.shape[::-1]
    if has_more_pages(data) or is_animation(data):
        return None, size
    if changes_in(image) <= PLAIN:
        if image.size > 2**26:
            raise ValueError("it looks plain, and it is too large for a closer look")
        image = look_closer(image, decode(data, cv2.IMREAD_UNCHANGED))
    return image, size


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


def is_animation(data):
    """Whether data has a second picture, where its header says that it may be an animation."""
    may_be = (
        data.startswith(b"GIF8")
        or (data[12:16] == b"VP8X" and len(data) > 20 and data[20] & 2)  # a WebP's own flag
        or (data.startswith(b"\x89PNG") and b"acTL" in data[: data.find(b"IDAT")])
        or (data[4:8] == b"ftyp" and b"avis" in brands(data))
    )
    if not may_be:
        return False
    _, animation = cv2.imdecodeanimation(np.frombuffer(data, np.uint8), 0, 2)
    return len(animation.frames) != 1  # none, where the second is damaged


def decode_jpeg(data):
    """Decode a JPEG, as small as its shorter side keeps 256 pixels; with 128 copies are lost."""
    height, width = jpeg_size(data)
    scales = (flag for scale, flag in JPEG_SCALES.items() if min(height, width) > 255 * scale)
    image = decode(data, next(scales, cv2.IMREAD_GRAYSCALE))
    if not data.endswith(JPEG_END):
        # libjpeg fills what is missing with grey 128; two stumps would look like copies.
        high, wide = (-(-side // 16) for side in image.shape)
        for edge in (image[-high:], image[:high], image[:, -wide:], image[:, :wide]):
            if (edge == 128).all():
                raise ValueError("the end of the file is missing, and with it part of the picture")
    if not width:
        height, width = image.shape
    if (width > height) != (image.shape[1] > image.shape[0]):  # it was stored on its side
        width, height = height, width
    return image, (width, height)


def look_closer(image, whole):
    """Return what shows most of a picture that looks plain as image: that, or a layer of whole.

    The layers are its transparency, and its 16 bits with as many pixels at each level, so that no
    hot one hides a dark scan (in uint16, 256 to a level). They count where they are not plain.
    """
    whole, layers = np.atleast_3d(whole), []
    if whole.shape[2] in (2, 4):
        layers.append(np.ascontiguousarray(whole[:, :, -1]))
    if whole.dtype != np.uint8:
        colours = whole.shape[2] > 2
        layers.append(
            cv2.cvtColor(whole[:, :, :3], cv2.COLOR_BGR2GRAY) if colours else whole[:, :, 0]
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


def is_heif(data):
    """Whether data is a HEIC or one of its kin, as its first box says (ISO/IEC 23008-12)."""
    return data[4:8] == b"ftyp" and bool(brands(data) & HEIF) and not brands(data) & AVIF


def brands(data):
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[8:12], *(data[place : place + 4] for place in range(16, end, 4))}


SEQUENCES = {b"hevc", b"hevx", b"msf1"}
HEIF, AVIF = {b"heic", b"heix", b"heim", b"heis", b"mif1"} | SEQUENCES, {b"avif", b"avis"}


def decode_heif(data):
    """Decode a HEIC as decode_photograph does, with pillow-heif. Raises ImportError without it."""
    heif = pillow_heif()
    # What is cut off decodes into flat green, without an error.
    if not boxes_fit(data):
        raise ValueError("the HEIC is damaged, or its end is missing")
    try:
        picture = heif.open_heif(data, bgr_mode=True)  # upright by irot and imir, not by EXIF
        width, height = picture.size
        if len(picture) > 1 or data[8:12] in SEQUENCES:
            return None, (width, height)
        if width * height > most_pixels():
            raise ValueError(TOO_LARGE.format(most_pixels()))
        whole = np.asarray(picture)
    except (EOFError, IndexError, OSError, RuntimeError, SyntaxError) as error:
        raise ValueError(f"a HEIC that can't be decoded: {error}") from error
    image = whole if whole.ndim == 2 else cv2.cvtColor(whole[:, :, :3], cv2.COLOR_BGR2GRAY)
    return look_closer(image, whole) if changes_in(image) <= PLAIN else image, (width, height)


def pillow_heif():
    """Import pillow-heif, which costs a moment, where it is there in a version that is safe."""
    try:
        import pillow_heif as module

        version = tuple(map(int, module.__version__.split(".")[:2]))
    except (ImportError, AttributeError, ValueError):  # or it failed in another thread
        version = 0, 0
    if version < (1, 8):  # older ones crash on damaged files
        raise ImportError(NO_HEIF)
    module.options.DECODE_THREADS = 1
    return module


NO_HEIF = "to decode HEIC, run: python -m pip install 'pillow-heif>=1.8'"


def boxes_fit(data):
    """Whether the boxes of an ISO base media file (ISO/IEC 14496-12) fit it."""
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if length == 1:
            length = int.from_bytes(data[place + 8 : place + 16], "big")
        if length == 0:  # up to the end
            return True
        place += length
        if length < 8 or place > len(data):
            return False
    return True


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
    # Having seen this, glibc keeps a picture's memory for the next instead of giving it back: of
    # 9,500 small JPEGs a twentieth of the page faults, and 3 % of the time.
    np.empty(2**20, np.uint8)
    return [hash_file(path, hash_function) for path in batch]


def hash_file(path, hash_function):
    try:
        data = read(path)
        with decoding_alone() if is_large(data) else contextlib.nullcontext():
            return hash_function(data), ""
    except (OSError, MemoryError, ValueError, ImportError, cv2.error) as error:
        return [], reason(error)


def read(path, most=-1):
    """Return the bytes of the file at path, or so many. Raises OSError or ValueError."""
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise ValueError("not a regular file")
    with open(path, "rb", buffering=0) as file:  # opens any name, which imread does not
        if not info.st_size:
            raise ValueError("the file is empty")
        return file.read(most)


def is_large(data):
    """Whether decoding may take more than some 450 MB, as far as a look at the header tells."""
    if data.startswith(JPEG_START):
        height, width = jpeg_size(data)
        return height * width > 2**26
    if data.startswith(b"\x89PNG"):  # of up to 8 bytes a pixel
        return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big") > 2**25
    if is_heif(data):  # a picture's size is in an ispe box, which may lie at the file's end
        sizes = ISPE.findall(data)
        return any(int.from_bytes(w, "big") * int.from_bytes(h, "big") > 2**25 for w, h in sizes)
    return True


ISPE = re.compile(rb"ispe\0{4}(.{4})(.{4})", re.DOTALL)


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
        text = TOO_LARGE.format(most_pixels())
    elif isinstance(error, cv2.error):
        text = error.err or text
    return " ".join(text.split())


TOO_LARGE = "it has more than {} pixels; raise OPENCV_IO_MAX_IMAGE_PIXELS to read it"


def most_pixels():
    return int(os.environ.get("OPENCV_IO_MAX_IMAGE_PIXELS", 2**30))  # a worker's may be its own


# ------------------------------------------------------------------------------------------------
# From many files to their hashes
# ------------------------------------------------------------------------------------------------

# What OpenCV decodes beyond what imutils lists, and what pillow-heif does.
DECODED = set(
    """.webp .avif .gif .jp2 .j2k .jpe .jfif .jif .mpo .dib .pbm .pgm .ppm .pnm .pxm .pam .pfm .sr
    .ras .hdr .pic .heic .heif .hif""".split()
).union(paths.image_types)
# Photographs that nothing here decodes, raw ones above all, and films: their bytes are compared.
# A raw file found through the small JPEG in it would invite people to delete the negative.
UNDECODED = set(
    """.dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .srw .orf .ori .raf .rw2 .raw .rwl .pef .ptx
    .x3f .3fr .fff .erf .kdc .dcr .dcs .k25 .mrw .mdc .mef .mos .iiq .cap .gpr .bay .jxl .jxr .wdp
    .hdp .psd .psb .heics .heifs .avifs .exr
    .mov .mp4 .m4v .avi .mpg .mpeg .mpe .m1v .m2v .mts .m2ts .m2t .tod .mod .3gp .3gpp .3g2 .wmv
    .asf .mkv .webm .vob .flv .f4v .dv .ogv .qt .mxf .divx .rm .rmvb .insv .lrv .360""".split()
)
BATCH = 8  # files a task; of small files, four cost a tenth more time
IN_FLIGHT = 256  # tasks handed out at once: enough for a cluster, and bounded
SHOWN = 20  # folders that are named one by one


class Listing(typing.NamedTuple):
    files: list  # the sorted paths of the photographs and films
    hidden: list  # those of which the name begins with a dot
    others: list  # the paths of other files
    folders: set  # all folders walked, each as folder_id gives it
    unlisted: list  # paths of the folders that can't be listed


def list_files(root, endings, ours=()):
    """Return the Listing of what lies below root and has one of the endings, and of what has not.

    Left out are our own reports and caches, by their absolute paths, and other hidden files.
    """
    listing = Listing([], [], [], set(), [])
    for folder, names in walk(root, listing.unlisted):
        listing.folders.add(folder_id(folder))
        for name in names:
            path = os.path.join(folder, name)
            is_known = ending_of(name) in endings
            if not name.startswith("."):
                if is_known:
                    listing.files.append(path)
                elif os.path.abspath(path) not in ours:
                    listing.others.append(path)
            elif is_known and not name.startswith("._"):  # macOS's own, beside each file
                listing.hidden.append(path)
    listing.files.sort()
    return listing


def walk(root, unlisted):
    """Yield each folder from root down, and the names of its files; follow no link.

    As os.walk, which before Python 3.12 recurses and ends at a depth of a thousand folders. What
    can't be listed is told, and put into unlisted.
    """
    folders = [root]
    while folders:
        folder, names = folders.pop(), []
        try:
            with os.scandir(folder) as entries:
                entries = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            warn(f"cannot list {folder}: {error.strerror}")
            unlisted.append(folder)
            continue
        for entry in entries:
            is_link = entry.is_symlink() or getattr(entry, "is_junction", bool)()
            if not (os.path.isdir(entry.path) if is_link else entry.is_dir()):
                names.append(entry.name)
            elif is_link:
                warn(f"{entry.path}: a link to a directory, not followed")
            else:
                folders.append(entry.path)
        yield folder, names


def tell_what_is_left_out(root, listing, is_needles=False):
    if listing.others:
        endings = collections.Counter(map(ending_of, listing.others))
        shown = [f"{end or 'without an ending'} {n}" for end, n in endings.most_common(10)]
        more = f" and {len(endings) - 10:,} more" if len(endings) > 10 else ""
        skipped = f"{len(listing.others):,} other files are not searched for"
        warn(f"{root}: {skipped}: {', '.join(shown)}{more}")
    if listing.hidden:
        skipped = f"{len(listing.hidden):,} hidden photographs and films are not searched for"
        warn(f"{root}: {skipped}, such as {min(listing.hidden)}")
    left_out = {os.path.dirname(path) for path in listing.others + listing.hidden}
    unsearched = sorted(left_out.difference(map(os.path.dirname, listing.files)))
    for folder in unsearched[:SHOWN] if is_needles else ():
        warn(f"{name_below(root, folder)}: only files that are not searched for; look into it")
    if is_needles and len(unsearched) > SHOWN:
        warn(f"and {len(unsearched) - SHOWN:,} more folders with only such files")
    if not listing.files:
        warn(f"{root}: no photographs and no films")


def ending_of(path):
    """Return what a path ends in, in lower case; nothing where that is too long for an ending."""
    ending = os.path.splitext(path)[1].lower()
    return ending if len(ending) <= 12 else ""


@functools.cache
def folder_id(folder):
    """Return what a folder is known by whatever its path: its device and inode."""
    info = os.stat(folder)
    return (info.st_dev, info.st_ino) if info.st_ino else os.path.realpath(folder)


class Hashed(typing.NamedTuple):
    path: str
    fingerprints: list  # the upright picture's, and perhaps those of it on its sides
    reason: str  # why there are none


class Batch(typing.NamedTuple):
    paths: list
    kept: dict  # {path: Fingerprints} of those that the cache knows
    keys: dict  # {path: key in the cache} of the others
    missing: list  # the others' paths
    wait: typing.Callable  # returns what hash_batch returns of them


def hash_files(files, submit, hash_function, cache=None):
    """Yield a Hashed for each path, in order; no one looks into what can't be decoded.

    submit hands a call out, to threads here or to a cluster's workers, and returns a function
    that waits for its result; hash_function takes a file's bytes and returns a list of
    Fingerprints.
    """
    source, in_flight = iter(files), collections.deque()
    while True:
        while len(in_flight) < IN_FLIGHT and (batch := list(itertools.islice(source, BATCH))):
            in_flight.append(start(batch, submit, hash_function, cache))
        if not in_flight:
            return
        yield from finish(in_flight.popleft(), cache)


def start(batch, submit, hash_function, cache):
    """Hand out those of the batch's paths whose Fingerprints the cache has not kept."""
    batch_decoded = [path for path in batch if ending_of(path) in DECODED]
    kept, keys = {}, {}
    for path in batch_decoded if cache else ():
        with contextlib.suppress(OSError):  # it is named when it is read
            keys[path], fingerprints = cache.find(path, hash_function.__name__)
            if fingerprints is not None:
                kept[path] = fingerprints
    missing = [path for path in batch_decoded if path not in kept]
    places = [os.path.abspath(path) for path in missing]  # a worker runs elsewhere
    wait = submit(hash_batch, places, hash_function) if places else list
    return Batch(batch, kept, keys, missing, wait)


def finish(batch, cache):
    """Yield a Hashed for each path of the batch; put what is new into the cache."""
    try:
        hashed = batch.wait()
    except ConnectionError:  # the cluster is gone
        raise
    except Exception as error:  # a cluster gave up a task; a thread catches its own
        hashed = [([], f"hashing failed: {type(error).__name__}")] * len(batch.missing)
    hashed = dict(zip(batch.missing, hashed, strict=True))
    for path in batch.paths:
        fingerprints, reason = hashed.get(path, (batch.kept.get(path, []), ""))
        if path in hashed and path in batch.keys and not reason:
            cache.put(batch.keys[path], fingerprints)
        # A cluster sends plain bytes.
        yield Hashed(path, [Fingerprint(each) for each in fingerprints], reason)


class Cache:
    """Fingerprints in an SQLite file, by path, size, time of change and way of hashing."""

    APPLICATION_ID = 0x64486173  # "dHas"
    RECIPE = f"3, OpenCV {cv2.__version__}"  # versions set some formats upright differently

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
        """Return the key by which to put what path yields, hashed in a way (a name), and that.

        It is a list of Fingerprints, or None if nothing is kept.
        """
        info = os.stat(path)
        place = os.fsencode(os.path.abspath(path))
        key = place, f"{way} {self.RECIPE}", info.st_size, info.st_mtime_ns
        where = "path = ? AND recipe = ? AND size = ? AND mtime_ns = ? ORDER BY turned"
        query = f"SELECT fingerprint FROM fingerprints WHERE {where}"
        rows = [row for (row,) in self.database.execute(query, key)]
        return key, [row for row in rows if row] if rows else None

    def put(self, key, fingerprints):
        rows = enumerate(fingerprints or [b""])  # an empty one: only its bytes can tell
        self.rows += [(*key, turned, each) for turned, each in rows]
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
    status: str  # found, smaller (found, but only with fewer pixels), missing or unreadable
    distance: int | str = ""  # decided bits in which the hashes differ; of equal bytes nothing
    match: str = ""
    pixels: str = ""  # such as 4000x3000, of the needle and of the match
    match_pixels: str = ""


class Directory(typing.NamedTuple):
    name: str
    findings: list  # none where the folder can't be listed

    def count(self, *statuses):
        return sum(finding.status in statuses for finding in self.findings)

    @property
    def found(self):
        return self.count("found", "smaller")

    @property
    def verdict(self):
        if not self.found:
            return VERDICTS[0]
        if self.found < len(self.findings):
            return VERDICTS[1]
        return VERDICTS[2] if self.count("smaller") else VERDICTS[3]

    @property
    def summary(self):
        if not self.findings:
            return "cannot be listed"
        smaller = self.count("smaller")
        more = f", {smaller} of them only smaller" if smaller else ""
        return f"{self.found} of {len(self.findings)} found{more}"


VERDICTS = "Check these folders", "Partly found", "Found, but some only smaller", "All found"


def search(needles, root, haystack, distance):
    """Yield a Finding for each needle, a Hashed with Fingerprints; root is the needles' own.

    haystack is {hash: [(path, bytes)]}, distance the most decided bits in which two hashes
    may differ. A match that is not smaller is the best, then the nearest, of equally near ones
    that of the nearest detail, then the first by path.
    """
    hashes = np.fromiter(haystack, np.uint64, len(haystack)) if distance else None

    def choose(needle, close):
        best = None
        for match in alike(close, haystack, DETAIL + 10 * distance):
            if (not best or match < best) and not is_same_file(match[3], needle.path):
                best = match
                if best[:3] == (False, 0, 0):  # no other is better
                    break
        return best

    for needle in needles:
        match = choose(needle, look_up(needle, haystack))
        if distance and (not match or match[0]):
            match = choose(needle, look_around(needle, hashes, distance))
        place = needle.path, name_below(root, os.path.dirname(needle.path))
        pixels = in_pixels(needle.fingerprints[0])
        if match:
            is_smaller, bits, _, path, other = match
            status = "smaller" if is_smaller else "found"
            yield Finding(*place, status, bits, path, pixels, in_pixels(other))
        else:
            yield Finding(*place, "missing", pixels=pixels)


def in_pixels(fingerprint):
    return "{}x{}".format(*fingerprint.size) if any(fingerprint.size) else ""


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
    """Yield (is smaller, distance, detail that differs, path, Fingerprint) of what is alike.

    close is what look_up or look_around yields, slack the most comparisons of detail that may
    differ. Two plain pictures must besides differ by about the same level everywhere. Smaller is
    what has less than nine tenths of the needle's pixels.
    """
    for fingerprint, distance, value in close:
        detail, levels, pixels = fingerprint.detail, fingerprint.levels, math.prod(fingerprint.size)
        for path, other in haystack[value]:
            other = Fingerprint(other)
            differ = (detail ^ other.detail).bit_count()
            if differ <= slack and levels_agree(levels, other.levels):
                yield 10 * math.prod(other.size) < 9 * pixels, distance, differ, path, other


def levels_agree(levels, others):
    if not (levels.size and others.size):
        return True
    return np.ptp(levels.astype(int) - others) <= max(2, np.ptp(levels) / 12)


def compare(needles, root, library):
    """Yield a Finding for each needle, a Hashed without Fingerprints: found by equal bytes only.

    library are paths of files; of those as large as a needle the first 64 KB are read, and the
    rest where these agree.
    """
    sizes = {needle.path: size_of(needle.path) for needle in needles}
    as_large = {size: [] for size in sizes.values() if size}
    for path in library:
        as_large.get(size_of(path), []).append(path)

    @functools.cache
    def start(path):
        try:
            return hashlib.blake2b(read(path, 2**16), digest_size=16).digest()
        except (OSError, ValueError):
            return path

    def is_same(path, other):
        try:
            return start(path) == start(other) and filecmp.cmp(path, other, shallow=False)
        except OSError:
            return False

    for needle in needles:
        others = as_large.get(sizes[needle.path], ())
        same = (o for o in others if not is_same_file(o, needle.path) and is_same(o, needle.path))
        match, why = next(same, None), needle.reason
        if not match and not why:  # no one has opened it yet
            try:
                read(needle.path, 0)
            except (OSError, ValueError) as error:
                why = reason(error)
                warn(f"cannot read {needle.path}: {why}")
        place = needle.path, name_below(root, os.path.dirname(needle.path))
        if match:
            yield Finding(*place, "found", match=match)
        else:
            yield Finding(*place, "unreadable" if why and why != NO_HEIF else "missing")


def size_of(path):
    """Return a file's size in bytes, 0 of what is no file."""
    with contextlib.suppress(OSError):
        info = os.stat(path)
        return info.st_size if stat.S_ISREG(info.st_mode) else 0
    return 0


def is_same_file(first, second):
    """Whether two paths lead to one file (or one of them nowhere), so that they are no copies.

    Two hard links are two, even if the file system tells a file's names in two ways.
    """
    try:
        info = os.stat(first)
        if not os.path.samestat(info, os.stat(second)):
            return False
    except OSError:
        return True
    return info.st_nlink == 1 or os.path.realpath(first) == os.path.realpath(second)


def lasting(library, roots, needles_root, needles):
    """Return a function: will the library's file at a path be there when the needles are gone?

    Yes if it lies outside the needles, or in a haystack directory inside them, or if the needles
    are the only haystack. Where a file lies tells its real folder, whatever its path. library are
    the Listings of the haystack's roots, needles is that of the needles.
    """
    inside = [folder_id(root) in needles.folders for root in roots]
    same = [folder_id(root) == folder_id(needles_root) for root in roots]
    going = set(needles.folders)
    if all(same):
        warn(f"{needles_root}: searched in itself, so both copies lie in the needles")
        going = set()
    for listing, is_inside, is_same in zip(library, inside, same, strict=True):
        if is_inside and not is_same:
            going -= listing.folders

    def lasts(path):
        try:
            real = os.path.realpath(path) if os.path.islink(path) else path
            return folder_id(os.path.dirname(real)) not in going
        except OSError:  # it has vanished
            return False

    return lasts


def by_directory(findings, unlisted, root):
    """Return the findings as sorted Directories, with those of the folders that can't be listed."""
    folders = {path: [] for path in unlisted}  # two may go by one name, root's and another's
    for finding in sorted(findings):
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
    lacking = (f.needle for f in findings if f.status in ("missing", "unreadable"))
    # To rsync a line that begins with # or ; is a comment, to many one with - an option.
    safe = (os.path.join(".", path) if path[0] in "#;-" else path for path in lacking)
    return os.fsencode("".join(f"{path}\n" for path in safe))


def table_report(directories, root):
    """Every needle as a row of CSV, with the mark that Excel wants before anything but ASCII."""
    table = io.StringIO()
    findings = (finding for directory in directories for finding in directory.findings)
    csv.writer(table).writerows([Finding._fields, *findings])
    text = table.getvalue()
    return os.fsencode(text if text.isascii() else "\ufeff" + text)


def page_report(directories, root):
    """A page that shows every needle, each found one beside its match."""
    sections = {verdict: [] for verdict in VERDICTS}
    for directory in directories:
        sections[directory.verdict].append(page_section(directory))
    statuses = collections.Counter(f.status for each in directories for f in each.findings)
    totals = ", ".join(f"{statuses[key]} {key}" for key in ("found", "missing", "unreadable"))
    if statuses["smaller"]:
        totals += f", {statuses['smaller']} found only smaller"
    page = PAGE.substitute(
        title=f"What {escaped(root)} holds that the library lacks",
        made=time.strftime("%Y-%m-%d %H:%M"),
        call=escaped(shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])),
        totals=f"{statuses.total()} photographs and films in {len(directories)} folders: {totals}.",
        sections="".join(
            f"<h2>{verdict} ({len(inside)})</h2>\n{''.join(inside)}"
            for verdict, inside in sections.items()
            if inside
        ),
    )
    return page.encode("utf-8")


def page_section(directory):
    """One needle directory of the page, missing files first; folded where all are found."""
    items = []
    order = ("missing", "unreadable", "smaller", "found")
    for finding in sorted(directory.findings, key=lambda finding: order.index(finding.status)):
        caption = f"<b>{finding.status}</b>"
        if finding.status == "smaller":
            sizes = (f"{pixels.replace('x', ' x ')}" for pixels in finding[-2:])
            caption += ": {}, the match {}".format(*sizes)
        shown = figure(finding.needle, caption, finding.status != "unreadable")
        if finding.match:
            folder = escaped(os.path.dirname(finding.match))
            apart = "1 bit apart" if finding.distance == 1 else f"{finding.distance} bits apart"
            apart = "the same bytes" if finding.distance == "" else apart
            shown += figure(finding.match, f"{apart}, in {folder}")
        items.append(f'<li class="{finding.status}">{shown}</li>\n')
    verdict = VERDICTS.index(directory.verdict)
    fold = "<details>" if verdict == 3 else "<details open>"
    name, mark = escaped(directory.name), ' class="smaller"' if verdict == 2 else ""
    title = f"<summary{mark}><h3>{name}</h3> <small>{directory.summary}</small></summary>"
    return f"{fold}{title}\n<ul>\n{''.join(items)}</ul></details>\n"


BROWSERS_SHOW = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".avif", ".gif")


def figure(path, caption, shown=True):
    """One picture of the page with its caption; a name where a browser shows no picture."""
    name = os.path.basename(path)
    address = html.escape(pathlib.Path(os.path.abspath(path)).as_uri())
    picture = f'<span class="none">{escaped(name)}</span>'
    if shown and ending_of(path) in BROWSERS_SHOW:
        picture = f'<img src="{address}" alt="{escaped(name)}" loading="lazy">'
    return (
        f'<figure><a href="{address}">{picture}</a><figcaption>{escaped(name)}<br>'
        f"<small>{caption}</small></figcaption></figure>"
    )


def escaped(name):
    """Escape a name for the page; bytes of it that are no text become question marks."""
    return html.escape(os.fsencode(name).decode("utf-8", "replace"))


REPORTS = {".txt": text_report, ".csv": table_report, ".html": page_report}


def write_reports(paths, directories, root):
    """Write each of the reports that can be written; return whether that was all."""
    failed = False
    for path in paths:
        try:
            write_whole(os.path.realpath(path), REPORTS[ending_of(path)](directories, root))
        except OSError as error:
            failed = True
            warn(f"cannot write {path}: {error.strerror or error}")
    return not failed


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
  @media (min-width: 48rem) { li.found, li.smaller { grid-column: span 2 } }
  li.missing, li.unreadable { border-left-color: #d1443c }
  li.smaller { border-left-color: #c98a00 }
  summary.smaller small, li.smaller b { color: light-dark(#7a5000, #f0b840); opacity: 1 }
  figure { margin: 0; flex: 1 1 0; min-width: 0 } figcaption { font-size: .85rem }
  img, .none { display: block; width: 100%; height: 11rem; object-fit: contain;
               background: #8882; font-size: .8rem }
  .none { box-sizing: border-box; padding: 1rem; text-align: center; height: 4rem }
  small { opacity: .8 }
</style>
<main>
<h1>$title</h1>
<p>$totals</p>
<p><small>Made on $made by <code>$call</code>. A folder that was found is still worth a look,
before you throw it away.</small></p>
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


def progress(results, total, things="images"):
    """Pass the results on; on a terminal rewrite a line that tells how far they have come."""
    marks = collections.deque([(time.monotonic(), 0)], maxlen=50)  # of the last ten seconds
    for done, result in enumerate(results, 1):
        now = time.monotonic()
        if sys.stderr.isatty() and now - marks[-1][0] > 0.2:
            speed = (done - marks[0][1]) / (now - marks[0][0])
            marks.append((now, done))
            minutes, seconds = divmod(int((total - done) / speed), 60)
            left = f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left"
            line = f"[INFO] {done:,} of {total:,} {things}, {speed:.0f} a second, {left}"
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

    stderr is ours by another descriptor, and theirs leads nowhere; so does what was closed. On
    Windows a console wants its own streams, and there they stay.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(nowhere, number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if os.name != "nt":
        sys.stderr = os.fdopen(os.dup(2), "w", 1)
        os.dup2(nowhere, 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(
            encoding=sys.getfilesystemencoding(), errors=sys.getfilesystemencodeerrors()
        )


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
    add("-a", "--haystack", metavar="DIR", nargs="+", action="extend", required=True,
        help="the library: directories of photographs to search in")
    add("-n", "--needles", metavar="DIR", action="append", required=True,
        help="the backup: a directory of photographs to search for")
    add("--distance", metavar="BITS", type=int, default=0,
        help="let a match differ in so many of the 64 bits besides those that were too close to "
        "call (default 0: none); from 1 on for looking at in a report, not for deleting")
    add("--report", metavar="FILE", action="append", default=[],
        help="write a report as well: .txt lists what is missing, .csv is a table of every "
        "needle, .html a page to look at; may be given several times")
    add("--cache", metavar="FILE",
        help="keep the hashes in this SQLite file, for the next run and after an interruption")
    add("--jobs", metavar="N", type=int, help="hash in so many threads")
    add("--dask", metavar="ADDRESS",
        help="hash on the workers of the Dask scheduler there, such as tcp://scheduler:8786")
    add("--rotated", action="store_true",
        help="find photographs of the needles also where the haystack has them turned by 90, 180 "
        "or 270 degrees")
    add("--article", action="store_true",
        help="list and hash files as the article's code does, and nothing besides")
    # fmt: on
    args = parser.parse_args()
    if len(args.needles) > 1:
        end("name one --needles directory a run, or one that holds them all")
    (args.needles,) = args.needles
    for root in (*args.haystack, args.needles):
        if not os.path.isdir(root):
            end(f"{root!r} is not a directory; name one that exists")
    if not 0 <= args.distance <= 64:
        end(f"--distance takes a number from 0 to 64, not {args.distance}")
    if args.jobs is not None and not 1 <= args.jobs <= 1024:
        end(f"--jobs takes a number from 1 to 1024, not {args.jobs}")
    if args.cache == "":
        end("--cache wants the name of a file")
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
    """Return a function that hands a call out, to threads or to the workers of a Dask cluster.

    It returns a function that waits for the call's result.
    """
    if not scheduler:
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        return lambda *call: pool.submit(*call).result
    try:
        import logging

        import distributed

        logging.disable()  # it tells of lost workers, whose work others do again
        client = distributed.Client(scheduler, timeout=8)
    except ImportError:
        end("--dask needs one more package; run: python -m pip install distributed")
    except Exception as error:  # whatever it is that answers there
        end(f"no Dask scheduler answers at {scheduler}: {' '.join(str(error).split())}")

    gone = ConnectionError(f"the Dask scheduler at {scheduler} is gone")

    def submit(*call):
        if client.status != "running":
            raise gone
        future = client.submit(*call, retries=2, pure=False)
        return lambda: wait(future)

    def wait(future):
        waited = 0
        while future.status == "pending" and client.status == "running":
            with contextlib.suppress(Exception):  # the time is up, or the future is cancelled
                distributed.wait([future], timeout=1)
            waited += 1
            if waited == 10 and not client.scheduler_info()["workers"]:
                warn(f"waiting for a worker of the Dask scheduler at {scheduler}")
        if future.status in ("pending", "cancelled"):
            raise gone
        try:
            return future.result()
        except OSError as error:  # of the cluster: a task catches its own
            raise gone from error

    return submit


def main():
    keep_streams_ours()
    args = parse_arguments()
    endings = set(paths.image_types) if args.article else DECODED | UNDECODED
    haystack_hash = article_hash if args.article else photograph_hash
    needle_hash = rotated_hash if args.rotated else haystack_hash
    cache = open_cache(args.cache) if args.cache else None
    submit = open_executor(args.jobs, args.dask)
    ours = {os.path.abspath(path) for path in (*args.report, args.cache or "")}

    def hash_all(files, hash_function):
        try:
            hashes = hash_files(files, submit, hash_function, cache)
            for hashed in progress(hashes, len(files)):
                if hashed.reason not in ("", NO_HEIF):
                    warn(f"cannot read {hashed.path}: {hashed.reason}")
                yield hashed
        finally:
            if cache:
                cache.save()

    info("computing hashes for haystack...")
    start = time.time()
    listings = [list_files(root, endings, ours) for root in args.haystack]
    needles = list_files(args.needles, endings, ours)
    for root, listing in zip(args.haystack, listings, strict=True):
        tell_what_is_left_out(root, listing)
    lasts = lasting(listings, args.haystack, args.needles, needles)
    library = sorted({path for listing in listings for path in listing.files})
    for listing in listings:
        listing.files.clear()  # of millions of paths one list is enough
    haystack, count, without_heif = collections.defaultdict(list), 0, 0
    for path, fingerprints, why in hash_all(library, haystack_hash):
        without_heif += why == NO_HEIF
        for fingerprint in fingerprints:
            count += 1
            if lasts(path):
                haystack[fingerprint.hash] += [(path, bytes(fingerprint))]  # the smallest form
    info(f"processed {count} images in {time.time() - start:.2f} seconds")

    info("computing hashes for needles...")
    tell_what_is_left_out(args.needles, needles, is_needles=True)
    hashed, unhashed = [], []
    for needle in hash_all(needles.files, needle_hash):
        (hashed if needle.fingerprints else unhashed).append(needle)
    without_heif += sum(needle.reason == NO_HEIF for needle in unhashed)
    if without_heif:
        warn(f"{without_heif:,} HEIC files are compared by their bytes only; {NO_HEIF}")
    same = [path for path in library if lasts(path)] if unhashed and not args.article else []
    findings = [
        *progress(search(hashed, args.needles, haystack, args.distance), len(hashed), "needles"),
        *progress(compare(unhashed, args.needles, same), len(unhashed), "files compared"),
    ]
    directories = by_directory(findings, needles.unlisted, args.needles)

    for directory in directories:
        if directory.verdict in VERDICTS[1:3]:
            warn(f"{directory.name}: {directory.summary}")
    info("check the following directories...")
    for directory in directories:
        if not directory.found:
            info(directory.name)
    if not write_reports(args.report, directories, args.needles):
        end("not every report was written")


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
