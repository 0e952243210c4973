#!/usr/bin/env python3
"""Which needle folders still hold photographs that the haystack lacks?

The script of "Image hashing with OpenCV and Python" (Adrian Rosebrock, PyImageSearch, 2017), with
one thing added: the hashes propose, and a look at both pictures decides. From top to bottom stand
the article's dhash and main, then what they need: 1 Listing paths, 2 Decoding a file into an image,
3 Hashing one into its Prints, 4 Hashing many into Photos, 5 Searching their Findings, 6 Reports of
those, 7 Copying what is lacking, 8 The command: options, screen, status.

Too rare to earn their lines, and therefore refused: what only transparency or the lowest of 16
bits show, JPEG 2000, Sun raster, Radiance, and PFM, PBM to PAM (their bytes are compared); BigTIFF
and pictures of 32 bits a colour (unreadable); videos by what they show, and other metadata of raw
files, MKV, AVI and MTS; the C libraries' own lines on a console of Windows; a word of ours on
Ctrl-C while Python still imports, or on an OPENCV_IO_MAX_IMAGE_PIXELS that is no number, or on
files that lie in a cloud only (they are downloaded as they are read); our own reports among the
needles; progress on less than 80 columns; a --report that is a new --cache too; JPEGs of thousands
of scans (each takes a minute); workers of a cluster with another OpenCV (with its decoders).
"""

import argparse
import base64
import collections
import concurrent.futures
import contextlib
import csv
import dataclasses
import datetime
import difflib
import errno
import filecmp
import fnmatch
import functools
import hashlib
import html
import importlib
import io
import itertools
import json
import logging
import math
import os
import pathlib
import re
import shutil
import sqlite3
import stat
import string
import struct
import subprocess
import sys
import threading
import time
import typing
import unicodedata

PIP = f"{subprocess.list2cmdline([sys.executable or 'python'])} -m pip install"
# Admit a panorama of 2**28 pixels; OpenCV's own 2**30 would let a small file take 6 GB of memory.
MOST_PIXELS = "OPENCV_IO_MAX_IMAGE_PIXELS"
os.environ.setdefault(MOST_PIXELS, str(2**28))  # read once, at the import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's own threads would only wait here
try:
    import cv2
    import numpy as np
    from imutils import paths
except ImportError as error:
    if __name__ != "__main__":
        raise
    if not {"-h", "--help"} & set(sys.argv):
        remedy = f"{PIP} -r requirements.txt (or opencv-python-headless, which wants no screen)"
        print(f"[ERROR] {error}; run: {remedy}", file=sys.stderr)
        sys.exit(2)
    from unittest import mock

    cv2 = np = paths = mock.MagicMock(__version__="")  # --help wants no more


# ---- The article -------------------------------------------------------------------------------


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


def main(arguments=None):
    """Run the command with some arguments, or the program's; return its status, or raise Ended."""
    args = parse_arguments(arguments)
    team = Team(args)

    info("computing hashes for haystack...")
    start = time.time()
    library, needles = list_all(args)
    haystack = Haystack(library, needles, team)
    photos = team.map_and_tell(team.hash_one, haystack.files)
    for photo in progress(photos, len(haystack.files), "images"):
        haystack.add(photo)
    count = len(haystack.files) - len(haystack.unreadable)
    info(f"processed {count} images in {time.time() - start:.2f} seconds")

    info("computing hashes for needles...")
    findings = search(needles.files, haystack)
    results = Results(haystack, findings, [*library, needles])

    info("check the following directories...")
    for directory in results.directories:
        if not directory.found:
            info(directory.name)

    results.tell_the_end()
    failed = results.write_reports()
    if args.copy_missing:
        failed |= Copies(results).copy_all()
    is_lacking = not needles.files or any(each.lacking for each in results.directories)
    return 2 if failed else int(args.exit_code and is_lacking)


# ---- 1 Listing: a directory -> the paths of its photographs and videos -------------------------

# What an ending means; the first bytes of what is decoded go into BEGINNINGS besides. A raw file is
# compared by its bytes: found by the small JPEG in it, its negative might be deleted.
KINDS = {
    "decoded": ".jpg .jpeg .jpe .jfif .jif .mpo .png .bmp .dib .tif .tiff .webp .gif .icloud",
    "HEIC": ".heic .heif .hif .avif",
    "raw": """.dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .srw .orf .ori .raf .rw2 .raw .rwl .pef
        .ptx .x3f .3fr .fff .erf .kdc .dcr .dcs .k25 .mrw .mdc .mef .mos .iiq .cap .gpr .bay .jxl
        .jxr .wdp .hdp .psd .psb .heics .heifs .avifs .exr .pbm .pgm .ppm .pnm .pxm .pam .jp2
        .j2k .sr .ras .hdr .pic .pfm""",
    "video": """.mov .mp4 .m4v .avi .mpg .mpeg .mpe .m1v .m2v .mts .m2ts .m2t .tod .mod .3gp .3gpp
        .3g2 .wmv .asf .mkv .webm .vob .flv .f4v .dv .ogv .qt .mxf .divx .rm .rmvb .insv .lrv
        .360""",
    None: """.ini .db .ctg .html .htm .json .mp3 .m4a .aac .flac .ogg .wma .wav .txt .log .xml .css
        .js .url .lnk .exe .dll .mrk .lrprev .lrcat .lrdata .xmp .aae .thm .pp3 .dop""",
}
HARMLESS = set(KINDS[None].split())  # no alarm where nothing else lies in a folder
KIND_OF = {ending: kind for kind, endings in KINDS.items() for ending in endings.split()}
PHOTOGRAPHS = {"decoded", "HEIC"}  # in which of KINDS pictures are looked at
ARCHIVES = set(".zip .7z .rar .tar .tgz .gz .iso .dmg".split())
# How a needle begins that no ending tells: a phone's backup, a rescued file, an editor's original.
BEGINNINGS = re.compile(
    rb"(?P<decoded>\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|BM....\0{4})"
    rb"|(?P<HEIC>....ftyp(?:hei[cmsx]|mif1|msf1|hev[cx]|avi[fs]))|(?P<video>....ftyp)",
    re.DOTALL,
)
# What empties itself, or holds previews only; the last three by the folder above, too.
TRASH = re.compile(
    r"(.*/)?(\$recycle\.bin|recycle(r|d|bin)|[.#@]recycle(\.bin)?|trash|\.trash.*|\.dtrash"
    r"|files_trashbin|@eadir|\.thumbnails|\.stversions|[.#@~]snapshots?|\.zfs|\.dropbox\.cache"
    r"|\.globaltrash|\.sync(trash|archive)|deleted items|recently deleted|papierkorb|corbeille"
    r"|\.photoprism|\.sync/archive|_gsdata_/_saved_|\.cache/thumbnails)",
    re.IGNORECASE | re.DOTALL,
)
OTHER, EXCLUDED, UNLISTED = "other file", "excluded", "cannot be listed"  # why not searched
TRIFLE = "trifle"  # what nobody would look for, and nobody is told of
PREVIEWS = "thumbs", "encoded-video"  # of immich, beside its upload or library
PART = ".hash_and_search-"  # begins the name of a copy that is not whole yet
SHOWN, FEW = 20, 3  # lines on stderr of folders that lack something; names or lines of others


def kind_of(path):
    """Return one of KINDS, or None for a file that is not searched for."""
    return KIND_OF.get(ending_of(path))


def kind_of_needle(path):
    """Return what a needle's ending tells, or its first bytes; unread, it may be a photograph."""
    if ending_of(path) in KIND_OF and not os.path.basename(path).startswith("._"):
        return kind_of(path)
    try:
        with open(path if size_of(path) else os.devnull, "rb") as file:  # a pipe would wait
            found = BEGINNINGS.match(file.read(16))
    except OSError:
        return "decoded"
    return found and found.lastgroup


def ending_of(path):
    return os.path.splitext(path)[1].lower()


@dataclasses.dataclass
class Listing:
    """What lies below root."""

    root: str
    is_library: bool
    exclude: list = dataclasses.field(default_factory=list)  # patterns of what is left out
    files: list = dataclasses.field(default_factory=list)  # paths of photographs and videos
    left_out: list = dataclasses.field(default_factory=list)  # (path, why) of what isn't searched
    folders: set = dataclasses.field(default_factory=set)  # what folder_ids says of each folder

    def name_of(self, folder):
        """Name a folder by its path below root, and root itself by its own name."""
        relative = os.path.relpath(folder, self.root)
        return relative if relative != "." else os.path.basename(os.path.abspath(folder)) or folder

    def fill(self, kind):
        """Sort what lies below root into files and left_out; kind is the function that tells."""
        for path, why in self.walk():
            below = f"/{path.removeprefix(self.root)}/"  # so a pattern fits its folders, too
            if any(fnmatch.fnmatch(below, f"*/{each.rstrip('/')}/*") for each in self.exclude):
                why = EXCLUDED
            if why := why or self.why_not_searched(path, kind(path)):
                self.left_out.append((path, why))
            else:
                self.files.append(path)
        self.files.sort()
        self.left_out = sorted(each for each in self.left_out if each[1] != TRIFLE)

    def walk(self):
        """Yield (path, why) of each file, and of each folder that is left out; note the others."""
        folders = [self.root]
        while folders:
            folder = folders.pop()
            try:
                ids = folder_ids(folder)
                if ids & self.folders:
                    yield folder, "listed already, by another name"
                    continue
                self.folders |= ids  # those of one that can't be listed, too
                with os.scandir(folder) as entries:  # on a damaged disk is_dir may raise
                    is_folder = {entry: entry.is_dir(follow_symlinks=False) for entry in entries}
            except OSError as error:
                yield folder, f"{UNLISTED}: {error.strerror}"
                continue
            for entry in sorted(is_folder, key=lambda entry: entry.name, reverse=True):
                is_link = entry.is_symlink()
                if os.name == "nt":  # where junctions are links, too
                    tag = entry.stat(follow_symlinks=False).st_reparse_tag
                    is_link |= tag == stat.IO_REPARSE_TAG_MOUNT_POINT
                if is_link and os.path.isdir(entry.path):
                    yield entry.path, "link to a folder, not followed"
                elif not is_folder[entry]:
                    yield entry.path, ""
                elif self.is_library and is_trash(entry.path):
                    yield entry.path, "trash or previews, which do not count"
                else:
                    folders.append(entry.path)

    def why_not_searched(self, path, kind):
        """Return why a file of a kind, or of none, is not searched; nothing if it is."""
        name = os.path.basename(path)
        if name.startswith(PART) or (name.startswith("._") and not kind_of_needle(path)):
            return TRIFLE  # the latter macOS puts beside each file on other disks
        if name.startswith(".") and not name.endswith(".icloud"):
            return "hidden" if kind else TRIFLE
        if kind:
            return ""
        if ending_of(path) in ARCHIVES and not self.is_library:
            return "archive, in which nothing is searched; unpack it"
        return OTHER

    def lone(self):
        """Yield a line for each topmost folder of other files, with none below that is searched."""
        above = functools.cache(lambda folder: [*map(str, pathlib.PurePath(folder, "_").parents)])
        folders = {self.root, *map(os.path.dirname, self.files)}
        searched, endings = {each for folder in folders for each in above(folder)}, {}
        for path in (path for path, why in self.left_out if why == OTHER):
            lone = [each for each in above(os.path.dirname(path)) if each not in searched]
            ending = ending_of(path) or "files without an ending"
            if lone and ending not in HARMLESS:
                endings.setdefault(lone[-1], set()).add(ending)
        for folder, kinds in endings.items():
            yield f"{self.name_of(folder)}, only {some(sorted(kinds))}, which are not searched"


def list_all(args):
    """Return a Listing for each haystack and one of the needles; tell what is left out."""
    by_article = lambda path: path.lower().endswith(paths.image_types)  # noqa: E731
    kinds = (by_article, by_article) if args.article else (kind_of_needle, kind_of)
    library = [Listing(root, True) for root in args.haystack]
    needles = Listing(args.needles, False, args.exclude)
    for listing in (*library, needles):
        listing.fill(kinds[listing.is_library])
        reasons = collections.defaultdict(list)
        for path, why in listing.left_out:
            reasons[why].append(path)
        for why in sorted(reasons.keys() - {OTHER, EXCLUDED}):
            warn(f"{some(reasons[why])}: {why}")
        if not listing.files and listing.root != args.copy_missing:
            warn(f"{listing.root}: no photographs and no videos")
    tell_some(warn, [*needles.lone()], FEW, " such folders; --report lists them")
    files = itertools.chain.from_iterable(listing.files for listing in (*library, needles))
    heic = sum(kind_of(path) == "HEIC" for path in files)
    if heic and not args.dask and not pillow_heif():
        advice = f'to decode them, run: {PIP} "pillow-heif>=1.8"'
        warn(f"{heic:,} HEIC files are compared by their bytes only; {advice}")
    return library, needles


def is_trash(path):
    """Whether a folder is one that empties itself, or has previews, as immich's beside its own."""
    above, name = os.path.split(path)
    if name in PREVIEWS:
        return any(os.path.isdir(os.path.join(above, each)) for each in ("upload", "library"))
    return bool(TRASH.fullmatch(f"{os.path.basename(above)}/{name}"))


def folder_ids(folder):
    """Return the set of what a folder is known by: its real path, and its device and inode."""
    stats = os.stat(folder)
    inode = {(stats.st_dev, stats.st_ino)} if stats.st_ino else set()  # some drives have none
    return inode | {os.path.normcase(os.path.realpath(folder))}


# ---- 2 Decoding: a file's bytes -> an upright image, and the whole picture's size --------------

LARGE = threading.RLock()  # held by the one thread that decodes a large picture: up to 3 GB
NOT_DECODED = "not an image that OpenCV can decode, or a damaged one"
NOT_INSTALLED = "is not installed"
CUT = "the end of the file is missing, or it is damaged"
SEVERAL = "it holds several pictures"
TOO_LARGE = f"it has more than {{}} pixels; raise {MOST_PIXELS} to read it"
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
JPEG_MARKER = re.compile(rb"\xff[\xc4\xd9-\xdd\xe0-\xef\xfe]")  # in or behind a scan
# Begins all but the first segment of a long XMP (XMP specification, part 3).
EXTENDED_XMP = re.compile(rb"\xff\xe1..http://ns.adobe.com/xmp/extension/\0.{40}", re.DOTALL)
VIDEO = re.compile(rb"ftyp(mp4|iso|qt |avc|3gp)")  # begins one, such as a motion photo's
# By what a JPEG's XMP, or a HEIC's header, tells that the file holds more than its picture.
BESIDE = {
    "depth": (b"GDepth:Data", b"hevc:2015:auxid:2\0", b"cicp:systems:auxiliary:depth\0"),
    "gain map": (b"photo:2020:aux:hdrgainmap\0", b"\0\0tmap"),
    "second picture": (b"GImage:Data",),
    "sound": (b"GAudio:Data",),
}
GAIN_MAP = re.compile(rb"hdrgm:|HDRGainMap|urn:iso:std:iso:ts:21496")  # in a JPEG
SECOND = "second photograph"
METADATA = {*range(0xE0, 0xF0), 0xFE} - {0xEE}  # segments of a JPEG; Adobe's tells of colours
TIFF = {b"II*\0", b"MM\0*"}
NESTED = set(b"moov trak mdia minf stbl edts".split())  # boxes of a video
SOFT = np.float32([27, 202, 27]) / 256  # a Gaussian of half a pixel
# With IMREAD_COLOR each reads colours.
REDUCED = {scale: getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{scale}") for scale in (2, 4, 8)}
JpegHeader = collections.namedtuple("JpegHeader", "width height is_progressive scan")


class BytesOnlyError(Exception):
    """Says why only its bytes can tell whether a file has a copy."""


def open_picture(path, colours=False, least=0):
    """Return decode's (image, whole size) of a file, and its bytes. Raises what read and it do."""
    with LARGE if checked_size(path) > 2**26 else contextlib.nullcontext():
        data = read(path)
        with LARGE if is_large(data) else contextlib.nullcontext():
            return *decode(data, colours, least), data


def read(path):
    """Return a file's bytes. Raises OSError or ValueError."""
    size = checked_size(path)
    if path.endswith(".icloud"):
        raise ValueError("it lies in iCloud; download it first")
    if size > 2**31 - 2**12:  # what one read returns at most
        raise ValueError("the file has 2 GiB or more")
    with open(path, "rb", buffering=0) as file:  # opens any name, which imread does not
        data = file.read(size)
        return data if len(data) == size else data + file.read()


def checked_size(path):
    """Return the size of a file that is no pipe and not empty. Raises OSError or ValueError."""
    stats = os.stat(path)
    if not stat.S_ISREG(stats.st_mode):
        raise ValueError("not a regular file")
    if not stats.st_size:
        raise ValueError("the file is empty")
    return stats.st_size


def is_large(data):
    """Whether a file may take more memory than each thread may: it is not known to be small."""
    if data.startswith(b"\x89PNG"):
        return math.prod(struct.unpack_from(">II", data.ljust(24), 16)) > 2**25
    # A JPEG is decoded reduced; of the others ordinary pictures have a few megabytes.
    is_other = not (data.startswith(JPEG_START) or data[4:8] == b"ftyp" or data[8:12] == b"WEBP")
    return is_other or (len(data) > 2**23 and not data.startswith(JPEG_START))


def decode(data, colours=False, least=0):
    """Decode a photograph's bytes into an upright image and its whole (width, height) in pixels.

    The image is uint8, grey (height, width), or with colours BGR (height, width, 3). A large JPEG
    is reduced, to at least so many pixels. Raises ValueError, cv2.error or BytesOnlyError.
    """
    if not data.startswith(JPEG_START):
        image, size = decode_heif(data) if data[4:8] == b"ftyp" else decode_any(data)
        return image if colours else to_grey(image), size
    wide, high, is_progressive, scan = jpeg_header(data)
    # As small as its shorter side keeps 256 pixels; with 128 copies are lost.
    most = min((min(wide, high) - 1) // 255, math.sqrt(wide * high / max(least, 1)))
    scale = max((scale for scale in REDUCED if scale <= most), default=1)
    is_whole = data.rfind(JPEG_END) > scan
    if is_progressive and not is_whole:  # it decodes, but blurred
        raise ValueError(CUT)
    flags = cv2.IMREAD_COLOR if colours else cv2.IMREAD_GRAYSCALE
    image = imdecode(data, flags | REDUCED.get(scale, 0) | cv2.IMREAD_IGNORE_ORIENTATION)
    # libjpeg fills what is missing with grey 128; two stumps would look like copies.
    if not is_whole and (image[-8 // scale :] == 128).all():  # the last row of blocks
        raise ValueError(CUT)
    high, wide = (high, wide) if high * wide else image.shape[:2]  # between segments is damage
    image = image[: round(high / scale), : round(wide / scale)]  # what is beyond is padding
    return set_upright(image, (wide, high), exif_of(data[:scan]))


def decode_any(data):
    """Decode what OpenCV decodes. Raises BytesOnlyError for more than one picture."""
    exif, is_tiff = exif_of(data), data[:4] in TIFF
    # OpenCV passes over a damaged page or frame; a WebP of one whole frame has two of these.
    frames = re.findall(rb"ANMF|VP8[ L]", data) if data[8:16] == b"WEBPVP8X" else ()
    # Not reduced, which aliases, nor to grey, as libpng's own conversion is biased.
    _, pages = cv2.imdecodemulti(checked_array(data), cv2.IMREAD_UNCHANGED, range=(0, 2))
    if not pages or pages[0].dtype not in (np.uint8, np.uint16):
        raise ValueError(NOT_DECODED)
    page, *others = pages
    if others or len(frames) > 2 or (is_tiff and exif[NEXT_PAGE]):
        raise BytesOnlyError(SEVERAL)
    image = laid_on_grey(shrunk(page, 2**26))
    if page.dtype == np.uint16 and is_plain_hash(dhash(thumbnails(to_grey(image))[0] - RAMP)):
        raise BytesOnlyError("it looks plain, and has 16 bits")
    return set_upright(image, page.shape[1::-1], {} if is_tiff else exif)  # which OpenCV turns


def imdecode(data, flags=cv2.IMREAD_COLOR):
    """Decode data with OpenCV, as cv2.imread would from a file, or raise ValueError."""
    image = cv2.imdecode(checked_array(data), flags)
    if image is None:
        raise ValueError(NOT_DECODED)
    return image


def checked_array(data):
    """Return data as OpenCV takes it; raise ValueError for what would take all memory there."""
    if not BEGINNINGS.match(data) or data[4:8] == b"ftyp":  # 36 KB of JPEG 2000 can claim 5 GB
        raise ValueError(NOT_DECODED)
    place = 8  # OpenCV 5 makes room for what a damaged chunk claims: 4 GB for 54 bytes
    while data.startswith(b"\x89PNG") and data[place + 4 : place + 8] != b"IEND":
        place += 12 + int.from_bytes(data[place : place + 4], "big")
        if place > len(data):
            raise ValueError(CUT)
    if data.startswith(JPEG_START) and not data.endswith(JPEG_END):
        data += JPEG_END  # imdecode insists on the end marker, imread does not
    return np.frombuffer(data, np.uint8)


def laid_on_grey(image):
    """Return an image as uint8 BGR; BGRA on middle grey: another outline is another picture."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    colours, alpha = image[:, :, :3], image[:, :, 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(colours)
    return np.rint(128 + (colours - np.float32(128)) * (alpha / np.float32(255))).astype(np.uint8)


def shrunk(image, most):
    """Shrink an image to so many pixels, if it has more."""
    scale = math.sqrt(most / math.prod(image.shape[:2]))
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    return resize(image, size) if scale < 1 else image


def resize(image, size, whole=None, is_hasty=True):
    """Bring an image to a size (width, height) without aliasing; hastily in a quarter of the time.

    whole is the picture's own size, for the last row of a reduced JPEG may be part of a pixel:
    stretched by half a pixel it would have another structure.
    """
    sides = image.shape[1::-1]
    if whole:
        factor = round(whole[0] / sides[0]) or 1
        exact = [side / factor for side in whole]
        sides = exact if np.abs(np.subtract(exact, sides)).max() < 1 else sides
    across, down = (side / length for side, length in zip(size, sides, strict=True))
    method = cv2.INTER_AREA
    if is_hasty and min(across, down) >= 0.5 and max(across, down) < 1:
        image, method = cv2.sepFilter2D(image, -1, SOFT, SOFT), cv2.INTER_LINEAR
    result = cv2.resize(image, None, fx=across, fy=down, interpolation=method)
    if result.shape[1::-1] == tuple(size):
        return result
    return cv2.resize(image, size, interpolation=method)


def to_grey(image):
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def set_upright(image, size, exif):
    """Turn an image, and the whole picture's (width, height), as the EXIF says."""
    turn = UPRIGHT.get(exif.get(ORIENTATION), 0)
    return turned_by(image, turn), size[::-1] if TURNS[turn][0] else size


def jpeg_header(data):
    """Return what a JPEG's own frame says, not a preview's, and where its scan begins, or zeros."""
    frame = 0, 0, False
    for kind, place, _ in segments(data):
        if kind == 0xDA:
            return JpegHeader(*frame, place)
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            high, wide = struct.unpack_from(">HH", data, place + 5)
            frame = wide, high, kind in (0xC2, 0xC6, 0xCA, 0xCE)
    return JpegHeader(*frame, 0)


def segments(data):
    """Yield (kind, start, end) of a JPEG's segments up to its first scan (ITU-T T.81, annex B)."""
    place = 2
    while place < len(data) - 9 and data[place] == 0xFF:
        kind, end = data[place + 1], place + 1  # of a fill byte
        if kind != 0xFF:
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
            yield kind, place, end
        place = len(data) if kind == 0xDA else end


TEXT, SHORT = 2, 3  # kinds of values in EXIF
ORIENTATION, MP_COUNT, MP_ENTRIES = (0x112, SHORT), (0xB001, 4), (0xB002, 7)  # tag and kind
EXIF, NEXT_PAGE = 0x8769, "next page"  # the tag of EXIF's own directory
UPRIGHT = {2: 1, 3: 3, 4: 2, 5: 4, 6: 5, 7: 7, 8: 6}  # {orientation: place in TURNS}


def exif_of(data):
    """Return {(tag, kind): value} of the numbers and texts of a file's EXIF, or of a TIFF.

    It may stand behind the picture. At NEXT_PAGE is where a second page lies, or 0. Sources:
    EXIF 2.32 (CIPA DC-008), section 4.6; TIFF 6.0, section 2.
    """
    if data[:4] not in TIFF:
        starts = (data.find(start) for start in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"))
        data = data[min((start for start in starts if start >= 0), default=len(data)) :][: 2**16]
    order, found, links = "big" if data.startswith(b"MM") else "little", {}, [4]

    def number(place, size):
        return int.from_bytes(data[place : place + size], order)

    for link in links:
        place = number(link, 4) + 2
        behind = place + 12 * number(place - 2, 2)
        for entry in range(place, min(behind, len(data)), 12):
            tag, kind, length = number(entry, 2), number(entry + 2, 2), number(entry + 4, 4)
            value = number(entry + 8, 2 if kind == SHORT else 4)
            if tag == EXIF and len(links) == 1:
                links.append(entry + 8)
            if kind == TEXT:
                start = value if length > 4 else entry + 8
                value = data[start : start + min(length, 99)]
            found.setdefault((tag, kind), value)
        found.setdefault(NEXT_PAGE, number(behind, 4))
    return found


def rest_of(data, scan, end):
    """Return a frozenset of what a JPEG or a HEIC holds beside its picture: (what, a digest)."""
    header, parts = b"", []
    if data.startswith(JPEG_START):
        header = EXTENDED_XMP.sub(b"", data[:scan])
        parts = [(what_is_behind(data, scan, end), data[end:])]
    elif data[4:8] == b"ftyp":
        for kind, start, end in boxes(io.BytesIO(data), len(data)):
            if kind == b"meta":
                header = data[start:end]
            elif kind == b"mpvd" or VIDEO.search(data, start, end):
                parts.append(("video", data[start:end]))
    rest = {(what, digest_of([part])) for what, part in parts if what}
    # What the header alone tells of has no digest, as programs write that anew.
    rest |= {(what, "") for what, names in BESIDE.items() if any(name in header for name in names)}
    return frozenset(rest)


def what_is_behind(data, scan, end):
    """Say what the bytes behind a JPEG's picture are; nothing where they are a preview or none."""
    if end == len(data):
        return ""
    if VIDEO.search(data, scan):  # damage can hide where the picture ends
        return "video"
    header, behind = EXTENDED_XMP.sub(b"", data[:scan]), data[end:]
    start, second = header.find(b"MPF\0") + 4, behind.find(JPEG_START)
    index = exif_of(header[start:])  # of several pictures, with their types (CIPA DC-007)
    place = start + index.get(MP_ENTRIES, 0)
    entries = header[place : place + 16 * index.get(MP_COUNT, 0)]  # the first is the JPEG's own
    types = set(entries[18::16] if header[start : start + 1] == b"I" else entries[17::16])
    if second < 0 or types == {1}:  # a preview; 2 is another view
        return ""
    if GAIN_MAP.search(behind, 0, START) or GAIN_MAP.search(header):
        return "gain map"
    own, other = jpeg_header(data), jpeg_header(behind[second:])
    is_view = 2 in types or 2 * other.width * other.height >= own.width * own.height
    return SECOND if is_view else "second picture"


def coded_part(data):
    """Return where a JPEG's scans begin, and where they end if they do; the end of any other."""
    if not data.startswith(JPEG_START):
        return len(data), len(data)
    scan = place = jpeg_header(data).scan
    while marker := JPEG_MARKER.search(data, place):  # a segment may hold the bytes of an end
        place = marker.end()
        if marker[0] == JPEG_END:
            return scan, place
        place += int.from_bytes(data[place : place + 2], "big")
    return scan, scan


def decode_heif(data):
    """Decode a HEIC with pillow-heif, an AVIF with Pillow: it reads more of them than OpenCV."""
    if not (heif := pillow_heif()):
        raise BytesOnlyError(f"a HEIC or an AVIF, and pillow-heif {NOT_INSTALLED}")
    is_avif = data[8:11] == b"avi"
    most = int(os.environ[MOST_PIXELS]) // (4 if is_avif else 1)  # one of 36 KB can claim 5 GB
    collections.deque(boxes(io.BytesIO(data), len(data)), 0)  # what is cut off decodes into green
    try:
        if is_avif:
            from PIL import Image, ImageOps

            Image.MAX_IMAGE_PIXELS = None  # ours is below, and told in our words
            picture = Image.open(io.BytesIO(data), formats=["AVIF"])
            count = picture.n_frames
        else:
            picture = heif.open_heif(data, bgr_mode=True)  # upright by irot and imir, not by EXIF
            count = len(picture)
        if math.prod(picture.size) > most:
            raise ValueError(TOO_LARGE.format(most))
        if is_avif:
            picture = ImageOps.exif_transpose(picture).convert("RGBA")
        image = np.asarray(picture)
    except (EOFError, LookupError, OSError, RuntimeError, SyntaxError) as error:
        raise ValueError(f"a HEIC or an AVIF that can't be decoded: {error}") from error
    if count > 1 or data[8:12] in (b"hevc", b"hevx", b"msf1"):
        raise BytesOnlyError(SEVERAL)
    image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA) if is_avif else image
    return laid_on_grey(image), image.shape[1::-1]


@functools.cache
def pillow_heif():
    """Import pillow-heif, which costs a moment; None where it is not there, or not safe."""
    with LARGE, contextlib.suppress(ImportError, AttributeError, ValueError):  # in one thread
        module = importlib.import_module("pillow_heif")
        module.options.DECODE_THREADS = 1
        version = tuple(map(int, module.__version__.split(".")[:2]))
        return module if version >= (1, 8) else None  # older ones crash on damaged files


def boxes(file, end, place=0, depth=0):
    """Yield (kind, start, end) of each box (ISO/IEC 14496-12), or raise ValueError if it is cut."""
    while place < end:
        file.seek(place)
        length, kind, wide = struct.unpack(">I4sQ", file.read(16).ljust(16))
        start = place + (16 if length == 1 else 8)
        place += wide if length == 1 else length or end - place
        if not start <= place <= end:
            raise ValueError(CUT)
        if depth and kind in NESTED:  # so many levels deep
            yield from boxes(file, place, start, depth - 1)
        else:
            yield kind, start, place


def reason(error):
    """Say in one line why a file could not be read."""
    text = getattr(error, "strerror", "") or getattr(error, "err", "") or str(error)
    if isinstance(error, MemoryError):
        text = "not enough memory"
    elif isinstance(error, cv2.error) and "IMAGE_PIXELS" in text:
        text = TOO_LARGE.format(os.environ[MOST_PIXELS])
    return " ".join(text.split())


# ---- 3 Hashing one: an image -> its Prints -----------------------------------------------------

# Changes with any of these, and with how a file is decoded, so that a cache starts anew.
RECIPE = f"12, OpenCV {cv2.__version__}"
# "Brighter" means by more than a quarter of a grey level from one column to the next: with less,
# the noise of JPEG decides on flat ground; half a level costs copies of less contrast.
RAMP = 0.25 * np.arange(9, dtype=np.float32)
# Changes of direction along the rows, or fewer, of a plain picture such as a sky or an empty page.
# Measured: smooth pictures have 0 to 8, each of 105 photographs of things 13 or more.
PLAIN = 12
BLANK = 16  # grey levels between a plain picture's darkest and brightest box, or fewer
IS_BLANK = "it is blank or nearly so"
# (transposed, then step down, then step across): upright, mirrored, and the six ways on a side.
TURNS = list(itertools.product((0, 1), (1, -1), (1, -1)))


class Print(typing.NamedTuple):
    """What a picture is looked up by, upright or turned; 128 bits and 72 grey levels."""

    row: int  # 64 bits: the dhash of its thumbnail
    column: int  # 64 bits: the dhash of its thumbnail transposed, as in Ben Hoyt's dhash_row_col
    levels: bytes  # the thumbnail's 9 x 8 grey levels, row by row


def thumbnails(grey):
    """Shrink a uint8 image (height, width) to two of float32 (8, 9): of it, and of it transposed.

    Each pixel is its box's exact mean; of a whole photograph dhash would read a handful of pixels.
    """
    table = cv2.integral(shrunk(grey, 6 * 10**6))  # of 8.4 the sum is beyond 32 bits
    return box_means(table, (9, 8)), np.ascontiguousarray(box_means(table, (8, 9)).T)


def box_means(table, size):
    """Return float32: the means of an image in (across, down) boxes, from its table of sums."""
    rows, down = edges(table.shape[0] - 1, size[1])
    columns, across = edges(table.shape[1] - 1, size[0])
    return down.dot(table.take(rows, 0).take(columns, 1)).dot(across.T).astype(np.float32)


@functools.lru_cache(4096)
def edges(side, count):
    """Return the lines of a table of sums beside the ends of so many boxes, and their weights.

    These, float64 (count, lines), make of the sums there the boxes' means, to parts of a pixel.
    """
    ends = np.linspace(0, side, count + 1)
    before = np.minimum(ends.astype(int), side - 1)
    share = np.diag(ends - before)  # of the way from the line before to the one behind
    sums = np.hstack([np.eye(count + 1) - share, share])
    return np.hstack([before, before + 1]), np.diff(sums, axis=0) * count / side


def prints(grey, turns=TURNS[:1]):
    """Return a Print of a uint8 image (height, width) for each turn; none if it is blank."""
    thumbs = thumbnails(grey)
    levels = np.rint(thumbs).astype(np.uint8)
    hash_of = functools.cache(lambda turn: dhash(thumbs[turn[0]][:: turn[1], :: turn[2]] - RAMP))
    if is_plain_hash(hash_of(TURNS[0])) and np.ptp(thumbs[0]) < BLANK:
        return []
    found = []
    for side, down, across in turns:
        columns = hash_of((1 - side, across, down))  # which are the rows of another turn
        shown = levels[side, ::down, ::across].tobytes()
        found.append(Print(hash_of((side, down, across)), columns, shown))
    return found


def turned_by(image, turn):
    """Turn an image by the number of one of TURNS."""
    is_transposed, down, across = TURNS[turn]
    image = cv2.transpose(image) if is_transposed else image
    return np.ascontiguousarray(image[::down, ::across])


def is_plain_hash(value):
    """Whether brightness changes direction at most PLAIN times along the 8 rows of a dhash."""
    return ((value ^ value >> 1) & 0x7F7F7F7F7F7F7F7F).bit_count() <= PLAIN  # a byte is a row


# ---- 4 Hashing many: paths -> Photos, by a Team of threads, a cache, and a cluster's workers ---

BATCH = 16  # files a task; of small files, eight cost 4 % more time, four a tenth
START = 2**16  # bytes
CLOSE = 2**19  # pixels: of a photograph no second look wants more
DEFAULT_JOBS = os.cpu_count() or 1  # one more makes runs on small pictures a tenth slower
TIME = re.compile(rb"((?:19|20)\d\d):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
TIMES = {0x132: 0x9290, 0x9003: 0x9291, 0x9004: 0x9292}  # tags, and of what is below a second
SRGB = np.arange(256) / 255  # IEC 61966-2-1, for Lab; OpenCV's own makes tables for 0.1 s
LIGHT = np.where(np.greater(SRGB, 0.04045), ((SRGB + 0.055) / 1.055) ** 2.4, SRGB / 12.92)
LIGHT, WHITE = np.float32(LIGHT), np.float32([0.950456, 1, 1.088754])
PRINT = struct.Struct(">QQ72s")  # a Print in the cache, where it stands as hexadecimal digits


@dataclasses.dataclass(eq=False)
class View:
    """What a look wants of a picture."""

    image: np.ndarray  # uint8 BGR (height, width, 3), but greyscale where only hashes are wanted
    size: tuple = (0, 0)  # the whole picture's (width, height)
    path: str = ""
    times: frozenset = frozenset()  # when it was taken, by its EXIF: datetimes, of any of its tags
    rest: frozenset = frozenset()  # what else its file holds, as rest_of tells
    coded: int = 0  # how many bytes a JPEG's own scans have
    turn: int = 0  # the number of one of TURNS by which it is turned
    kept: dict = dataclasses.field(default_factory=dict, init=False)  # {how: grey at a size}

    @functools.cached_property
    def grey(self):
        return to_grey(self.image)

    @functools.cached_property
    def colours(self):
        """Float32 (3, 256): b, a and L of Lab in 16 x 16 boxes; 0 is neutral, and middle grey."""
        # A sample of the pixels takes a tenth of the time of all.
        sample = cv2.resize(self.image, (128, 128), interpolation=cv2.INTER_NEAREST)
        means = cv2.resize(sample, (16, 16), interpolation=cv2.INTER_AREA)
        light = cv2.cvtColor(LIGHT[means], cv2.COLOR_BGR2XYZ).reshape(256, 3) / WHITE
        x, y, z = np.where(light > 0.008856, np.cbrt(light), 7.787 * light + 4 / 29).T
        return np.float32([200 * (y - z), 500 * (x - y), 295.8 * y - 168.8])

    def grey_at(self, size, least=0, is_hasty=True):
        """Return the grey at a size; a JPEG that was read with fewer pixels than least is anew."""
        if self.coded and self.grey.size < min(least, math.prod(self.size)):
            grey = turned_by(open_picture(self.path, least=least)[0], self.turn)
            return resize(grey, size, self.size, is_hasty)
        if (size, is_hasty) not in self.kept:  # the second look often wants the first one's
            self.kept[size, is_hasty] = resize(self.grey, size, self.size, is_hasty)
        return self.kept[size, is_hasty]

    def turned(self, turn):
        if not turn:
            return self
        size = self.size[::-1] if TURNS[turn][0] else self.size
        return dataclasses.replace(self, image=turned_by(self.image, turn), size=size, turn=turn)

    def __reduce__(self):
        """Be None where a worker's answer is sent: it is larger than the file is read again."""
        return type(None), ()


class Photo(typing.NamedTuple):
    """A photograph as it was read. Without Prints, only its bytes can tell of a copy."""

    path: str
    size: tuple = (0, 0)  # (width, height) in pixels
    prints: tuple = ()  # the first is of it upright, a needle's others are of it turned
    only_bytes: str = ""  # why there are no Prints
    problem: str = ""  # why it can't be read

    def row(self):
        """Return what a cache keeps of it."""
        return [*self.size, [PRINT.pack(*each).hex() for each in self.prints], self.only_bytes]

    @classmethod
    def from_row(cls, path, row):
        """Return the Photo that a row of the cache holds, or raise an exception."""
        width, height, found, only_bytes = row
        found = tuple(Print(*PRINT.unpack(bytes.fromhex(each))) for each in found)
        assert bool(found) != bool(only_bytes)
        return cls(path, (int(width), int(height)), found, str(only_bytes))


def hash_by_article(path):
    """Return the Photo of a file as the article hashes it, and no View."""
    image = imdecode(read(path))
    return Photo(path, image.shape[1::-1], (Print(dhash(image), 0, bytes(72)),)), None


def hash_photo(path, see=lambda path: View(*open_picture(path)[:2]), turns=TURNS[:1]):
    """Return the Photo of a library's file, and what is seen of it: a View, or None."""
    try:
        view = see(path)
    except BytesOnlyError as why:
        return Photo(path, only_bytes=str(why)), None
    found = tuple(prints(view.grey, turns))
    return Photo(path, view.size, found, "" if found else IS_BLANK), view


def hash_needle(path):
    """Return the Photo of a needle, upright and turned, and its View for the look."""
    return hash_photo(path, view_of, TURNS)


def times_in(data):
    """Return when a picture was taken: datetimes, with their fraction of a second if known."""
    exif, times = exif_of(data), set()
    for tag, fraction in TIMES.items():
        part = exif.get((fraction, TEXT), b"").rstrip(b"\0 ")
        part = float(b"0." + part) if part.isdigit() else 0
        for found in TIME.findall(exif.get((tag, TEXT), b"")):
            with contextlib.suppress(ValueError):
                taken = datetime.datetime(*map(int, found))
                times.add(taken + datetime.timedelta(seconds=part))
    return frozenset(times - {each.replace(microsecond=0) for each in times if each.microsecond})


class Team:
    """Who works for a run: threads, which ask the cache first, and a cluster's workers if told."""

    def __init__(self, args):
        self.args = args
        self.hash_of_library = hash_by_article if args.article else hash_photo
        self.cache, self.warn_once = Cache(args.cache), functools.cache(warn)
        self.run = lambda function, *paths, **details: function(*paths, **details)
        self.batch, jobs = BATCH, args.jobs or DEFAULT_JOBS
        if args.dask:  # then a thread only waits for a worker
            self.run, self.batch, jobs = Cluster(args.dask).run, 1, 256
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.most = 2 * jobs  # batches handed out at once: few, as each may hold views
        self.disks = [*filter(holds_something, [*args.haystack, args.needles])]

    def map(self, work, items):
        """Yield what work returns for each item, in order; threads do it, a little ahead."""
        items, waiting = iter(items), collections.deque()
        try:
            for batch in iter(lambda: [*itertools.islice(items, self.batch)], []):
                waiting.append(self.pool.submit(lambda batch: [*map(work, batch)], batch))
                if len(waiting) == self.most:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            self.cache.save()

    def map_and_tell(self, work, files):
        """Yield a Photo or a Finding of each file; tell what can't be read. Ends if a disk goes."""
        troubles = []
        for result in self.map(work, files):
            if result.problem:
                troubles.append(f"cannot read {result.path}: {result.problem}")
            yield result
        if gone := [root for root in self.disks if not holds_something(root)]:
            raise Ended(f"{gone[0]} is gone; is the disk still connected?")
        tell_some(warn, troubles, FEW, " that can't be read; --report lists them")

    def hash_one(self, path):
        """Return the Photo of a file of the library. A problem is this file's own."""
        try:
            return self.hash(path, self.hash_of_library)[0]
        except Exception as error:
            return Photo(path, problem=reason(error))

    def hash(self, path, function):
        """Return the Photo of a file by one of the hash_ functions, and its View if it has one."""
        key = self.cache.key_of(function, [path])  # before it is read, as it may change meanwhile
        with contextlib.suppress(Exception):  # nothing is kept of it, or no Photo
            return Photo.from_row(path, self.cache.find(key)), None
        photo, view = self.run(function, path)
        if key and not photo.only_bytes.endswith(NOT_INSTALLED):  # it may be, by the next run
            self.cache.put(photo.row(), key)
        return photo._replace(path=path), view

    def digest(self, path, function):
        """Return a file's digest by digest_start or digest_whole; nothing if it can't be read."""
        with contextlib.suppress(OSError, ValueError):
            key = self.cache.key_of(function, [path])
            digest = str(self.cache.find(key))
            if not re.fullmatch("[0-9a-f]{64}", digest):
                digest = self.run(function, path)
                self.cache.put(digest, key)
            return digest
        return ""

    def picture(self, path):
        """Return a small picture for the page, or nothing where a file or a worker has none."""
        with contextlib.suppress(Exception):
            return self.run(picture_of, path)
        return ""

    def confirm(self, finding, view, candidates):
        """Return the Finding of what a look confirms among Candidates for a needle, or None."""
        files = [finding.path, *(each.path for each in candidates)]
        turns, key = [each.turn for each in candidates], None
        with contextlib.suppress(Exception):  # one has vanished; nothing is kept, or no row of look
            stats = os.stat(finding.path)
            if (stats.st_size, stats.st_mtime) == (finding.bytes, finding.time):  # as it was read
                key = self.cache.key_of(look, files, turns)
                return finding.seen(candidates, self.cache.find(key))
        row, trouble = self.run(look, *files, turns=turns, view=view)
        if trouble:  # an error is no answer
            self.warn_once(trouble)
        elif key:
            self.cache.put(row, key)
        return finding.seen(candidates, row)


def attempt(function, *paths, **details):
    """Return (what a function returns, why it failed), on a worker: errors don't travel well."""
    try:
        return function(*paths, **details), ""
    except Exception as error:
        return None, reason(error)


def holds_something(folder):
    """Whether a folder can be listed, and is not empty as a mount's place is."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return any(True for _ in entries)
    return False


class Cluster:
    """The workers of a Dask cluster. All that is odd about Dask is here."""

    def __init__(self, scheduler):
        try:
            import distributed
        except ImportError:
            raise Ended(f"--dask needs one more package; run: {PIP} distributed") from None
        logging.disable()  # it tells of lost workers, whose work others do again
        self.wait_for, self.name = distributed.wait, f"the Dask scheduler at {scheduler}"
        trouble = f"no Dask scheduler answers at {scheduler}"
        thread = concurrent.futures.ThreadPoolExecutor(1)  # left where it hangs for 12 seconds
        try:
            self.client = thread.submit(distributed.Client, scheduler, timeout=8).result(12)
            trouble = f"a worker of {self.name} failed"
            # As a module: of what stands in __main__ each task would get a copy, locks and all.
            thread.submit(self.client.upload_file, __file__).result(12)
            self.module = importlib.import_module(pathlib.Path(__file__).stem)
            thread.submit(self.client.run, self.module.settle).result(12)
        except Exception as error:  # whatever it is that answers there
            raise Ended(f"{trouble}: {type(error).__name__} {error}") from error
        self.heard, self.warning = time.monotonic(), threading.Lock()

    def run(self, function, *paths, **details):
        """Return what a function returns on a worker. Raises ValueError with why not, or Ended."""
        files, function = map(os.path.abspath, paths), getattr(self.module, function.__name__)
        options = {"retries": 2, "pure": False, **details}
        future = self.client.submit(self.module.attempt, function, *files, **options)
        while future.status == "pending" and self.client.status == "running":
            with contextlib.suppress(Exception):  # the second is up, or the future is cancelled
                self.wait_for([future], timeout=1)
            is_late = future.status == "pending" and time.monotonic() - self.heard > 12
            if is_late and self.warning.acquire(blocking=False):  # one thread, once
                warn(f"waiting for the workers of {self.name}")
        self.heard = time.monotonic()
        if future.status in ("pending", "cancelled"):
            raise Ended(f"{self.name} is gone")
        try:
            answer, problem = future.result()
        except OSError:  # of the cluster: an attempt catches its own
            raise Ended(f"{self.name} is gone") from None
        except Exception as error:
            problem = f"a worker failed: {type(error).__name__}"
        if problem:
            raise ValueError(problem)
        return answer


def settle():
    """Make a process of ours quick at many small pictures."""
    cv2.setNumThreads(1)  # photographs are spread over threads, not the pixels of one
    np.empty(2**22, np.uint8)  # once freed, glibc keeps blocks up to this: a fifth less time


class Cache:
    """Answers in an SQLite file, by the paths, sizes and times of the files that they depend on."""

    def __init__(self, path):
        """Open or make the file, if one is named. Raises Ended where it is something else."""
        self.rows, self.saved, self.lock = [], time.monotonic(), threading.Lock()
        if not path:
            self.key_of = self.find = self.put = self.save = lambda *_: None
            return
        try:
            if os.path.exists(path) and not os.path.isfile(path):
                raise ValueError("not a regular file")
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                header = file.read(72)  # before SQLite can change what is no cache
                if header and header[68:] != b"dHas":
                    raise ValueError("it is there already, and it is not a cache of this script")
            options = {"timeout": 60, "isolation_level": "IMMEDIATE", "check_same_thread": False}
            self.database = sqlite3.connect(path, **options)
            self.database.executescript(
                "PRAGMA cache_size = -256; BEGIN IMMEDIATE;"
                "PRAGMA application_id = 0x64486173;"  # "dHas"
                "CREATE TABLE IF NOT EXISTS answers (task TEXT, path BLOB, stamp TEXT, answer TEXT,"
                " PRIMARY KEY (task, path)) WITHOUT ROWID; COMMIT;"
            )
        except (OSError, ValueError, sqlite3.Error) as error:
            raise Ended(f"cannot use the cache {path}: {error}; name a new file") from error

    def key_of(self, function, files, details=""):
        """Return a question's columns: task, path and stamp. Raises OSError."""
        stats = [f"{each.st_size} {each.st_mtime_ns}" for each in map(os.stat, files)]
        path, *others = map(os.path.abspath, files)
        stamp = "\n".join([RECIPE, str(details), *others, *stats])
        return function.__name__, os.fsencode(path), digest_of([os.fsencode(stamp)])

    def find(self, key):
        query = "SELECT answer FROM answers WHERE task = ? AND path = ? AND stamp = ?"
        try:
            with self.lock:
                row = self.database.execute(query, key).fetchone()
            return json.loads(row[0])
        except sqlite3.Error as error:
            raise Ended(f"cannot read the cache: {error}; name a new file") from error
        except Exception:  # nothing is kept, or somebody has changed it
            return None

    def put(self, answer, key):
        with self.lock:
            self.rows.append((*key, json.dumps(answer)))
        if time.monotonic() - self.saved > 0.5:
            self.save()

    def save(self):
        """Write the answers to the file; warn where that fails, as a run needs no cache."""
        insert = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)"
        with self.lock:
            rows, self.rows, self.saved = self.rows, [], time.monotonic()
            try:
                with self.database:  # committed at the end, or rolled back
                    self.database.executemany(insert, rows)
            except sqlite3.Error as error:
                warn(f"cannot write to the cache: {error}")


# ---- 5 Searching: Photos -> Findings -----------------------------------------------------------

# In how many of 128 bits a candidate may differ, and how well its 9 x 8 levels must correlate
# (ordinary edits have 0.94 and more); and the same of what is shown beside what is missing.
CANDIDATE = 24, 0.9
LOOK_ALIKE = 28, 0.6
RANKED = 64  # of what is near: hundreds of copies of one picture take no longer
OPENED = 5  # candidates that may be refused, before those behind them are left alone
STATUSES = ("missing", "better", "unreadable", "found")  # as the page shows them
LACKED = STATUSES[:3]  # of the needles that the library lacks, or has only in part


class Candidate(typing.NamedTuple):
    """A photograph that a needle may be a copy of; the likeliest sorts first."""

    apart: float  # spreads by which the 9 x 8 levels differ, in the mean
    path: str
    turn: int  # how the needle must be turned, as a place in TURNS
    bits: int  # of 128 in which the hashes differ


class Haystack:
    """The library: what will be there when the needles are gone, by hash and by path."""

    def __init__(self, listings, needles, team=None):
        self.team, self.going = team, going_folders(listings, needles)
        self.ids_of = functools.cache(folder_ids)
        files = sorted(itertools.chain.from_iterable(listing.files for listing in listings))
        others = [path for each in listings for path, why in each.left_out if why == OTHER]
        for listing in listings:
            listing.files.clear()  # of millions of paths one list is enough
        self.all = [path for path, _ in itertools.groupby(files)]
        self.files = [path for path in self.all if kind_of(path) in PHOTOGRAPHS]  # to be hashed
        self.unreadable = []  # Photos without what they show
        self.photographs = {}  # {hash: paths}, the article's dictionary
        self.paths = []  # and for each its Print, of which an equal hash alone tells too little
        self.hashes = np.empty((2, len(self.files)), np.uint64)  # of rows, of columns
        self.levels = np.empty((len(self.files), 72), np.uint8)
        self.alike = {}  # {a way to measure files: Alike of those as large as a needle, that last}
        for measure in SAME:
            sizes = set(map(measure, needles.files)) - {0}
            files = itertools.chain(self.all, others) if sizes else ()
            files = (path for path in files if measure(path) in sizes and self.lasts(path))
            self.alike[measure] = Alike(files, measure, team)

    def add(self, photo):
        if photo.problem:
            self.unreadable.append(photo)
        if photo.prints and self.lasts(photo.path):
            (row, column, levels), *_ = photo.prints
            place = len(self.paths)
            self.hashes[:, place] = row, column
            self.levels[place] = np.frombuffer(levels, np.uint8)
            self.photographs.setdefault(row, []).append(photo.path)
            self.paths.append(photo.path)

    def lasts(self, path):
        """Whether the file at path will be there when the needles are gone."""
        if not self.going:
            return True
        try:
            folders = [os.path.dirname(path)]
            if os.path.islink(path):  # perhaps below a needles' folder that can't be listed
                folders = map(str, pathlib.Path(os.path.realpath(path)).parents)
            return not any(self.ids_of(folder) & self.going for folder in folders)
        except OSError:  # it has vanished
            return False

    def candidates(self, photo, is_rotated):
        """Return the RANKED likeliest Candidates for a Photo."""
        near = sorted(self.near(photo.prints if is_rotated else photo.prints[:1]))
        return [each for each in near if not is_same_file(each.path, photo.path)]

    def look_alike(self, photo):
        """Return the Candidate that is nearest to a Photo, as it is or turned, or None."""
        near = sorted(self.near(photo.prints, LOOK_ALIKE), key=lambda each: (each.bits, *each))
        return next((each for each in near if not is_same_file(each.path, photo.path)), None)

    def near(self, prints_sought, upright=CANDIDATE):
        """Return the RANKED likeliest Candidates for Prints; upright limits the first of them."""
        limits = [upright, *[CANDIDATE] * len(TURNS)][: len(prints_sought)]
        turns, places, _ = found = self.places_near(prints_sought, [most for most, _ in limits])
        if not found.size:
            return []
        sought = np.array([np.frombuffer(each.levels, np.uint8) for each in prints_sought])
        levels = np.stack([sought[turns], self.levels[places]])
        levels = levels - levels.mean(2, dtype=np.float32, keepdims=True)
        levels /= np.sqrt(np.maximum((levels**2).mean(2, keepdims=True), 1e-9))
        apart, least = np.abs(levels[1] - levels[0]).mean(1), np.array(limits)[turns, 1]
        alike = np.flatnonzero(levels.prod(0).mean(1) >= least)
        ranked = alike[np.argsort(apart[alike], kind="stable")[:RANKED]]
        best = zip(apart[ranked].tolist(), *found[:, ranked].tolist(), strict=True)
        return [Candidate(far, self.paths[place], turn, bits) for far, turn, place, bits in best]

    def places_near(self, prints_sought, most):
        """Return turns, places and bits (3, n) of what differs from each Print in its most bits."""
        sought = np.array([each[:2] for each in prints_sought], np.uint64)
        found, step = [np.empty((3, 0), int)], 2**16 // max(len(sought), 1)  # for a CPU's cache
        for start in range(0, len(self.paths) if prints_sought else 0, step):
            hashes = self.hashes[:, None, start : min(start + step, len(self.paths))]
            rows, columns = np.bitwise_count(hashes ^ sought.T[:, :, None])
            bits = rows + columns
            is_near = bits <= np.uint8(most)[:, None]
            if any(each.row in self.photographs for each in prints_sought):
                is_near |= rows == 0  # by the dictionary, however many columns differ
            if is_near.any():
                turns, places = np.nonzero(is_near)
                found.append([turns, start + places, bits[turns, places]])
        return np.concatenate(found, axis=1)


class Alike:
    """Files that may have the same bytes: told apart by size, by their start, and as a whole."""

    def __init__(self, files, measure, team):
        self.measure, self.team, self.lock = measure, team, threading.Lock()
        self.groups = collections.defaultdict(list)  # {(size, digests): paths}
        for path in files:
            self.groups[measure(path),].append(path)

    def to(self, path):
        """Return the paths that agree with one in all; none if it can't be read."""
        size = self.measure(path)
        key, digests = (size,), SAME[self.measure][: 1 if size <= START else 2]
        for digest in digests:
            if not key[-1] or self.groups.get(key, [path]) == [path]:  # nothing else agrees
                return []
            with self.lock:  # only what agrees so far is told apart further, each file once
                agreeing, self.groups[key] = self.groups[key], []
                for other in agreeing:
                    self.groups[(*key, self.team.digest(other, digest))].append(other)
            key = (*key, self.team.digest(path, digest))
        return self.groups.get(key, []) if key[-1] else []


def going_folders(library, needles):
    """Return folder_ids of what goes with the needles; none, if they are the only haystack."""
    root, roots = folder_ids(needles.root), [folder_ids(listing.root) for listing in library]
    if all(each & root for each in roots):
        same = "haystack and needles are the same folder"
        warn(f"{needles.root}: {same}; keep one of each two copies")
        return set()
    going = set(needles.folders)
    for listing, ids in zip(library, roots, strict=True):
        if ids & needles.folders and not ids & root:
            warn(f"{listing.root}: lies inside the needles, and counts as library")
            going -= listing.folders
    return going


def is_same_file(first, second):
    """Whether two paths lead to one file, or one of them nowhere; but two hard links are two."""
    if first == second:
        return True
    try:
        stats, others = os.stat(first), os.stat(second)
    except OSError:
        return True
    if stats.st_ino and not os.path.samestat(stats, others):
        # mergerfs, bindfs and their kin show one file on two devices, with the moment of its last
        # change, which no program can set; some disks know whole seconds, and Windows another time.
        times = [(each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in (stats, others)]
        is_shown_twice = times[0] == times[1] and stats.st_ctime_ns % 10**9 > 0
        return is_shown_twice and stats.st_dev != others.st_dev and os.name != "nt"
    is_one = stats.st_ino and stats.st_nlink == 1
    return bool(is_one) or os.path.realpath(first) == os.path.realpath(second)


class Finding(typing.NamedTuple):
    """What became of a needle: the facts, of which its status follows."""

    path: str
    match: str = ""  # the library's file that has its bytes or shows the same
    bits: int | None = None  # of 128 in which the hashes differ; of equal bytes none
    is_same_video: bool = False  # but for what describes it, such as its date
    size: tuple = (0, 0)  # (width, height) in pixels
    match_size: tuple = (0, 0)
    lacks: str = ""  # what the match lacks, one of LACKING
    lookalike: str = ""  # what looks like a missing needle; it counts for nothing
    turn: int = 0  # how the needle looks like it, as a place in TURNS
    only_bytes: str = ""  # why nothing but its bytes can tell
    problem: str = ""  # why it can't be read
    bytes: int = 0
    time: float = 0.0  # of its last change, in seconds since 1970
    twin: str = ""  # another needle that the library lacks, with the same bytes
    left_out: str = ""  # why it is not searched

    @property
    def status(self):
        """One of STATUSES, or "left out"."""
        if self.left_out:
            return "left out"
        if self.match:
            return "better" if self.lacks else "found"
        return "unreadable" if self.problem else "missing"

    def seen(self, candidates, row):
        """Return it with what a row of look says of Candidates, or None if that is nothing."""
        if row == []:
            return None
        place, width, height, lacks = row
        match = candidates[place]
        if lacks in VITAL:
            return self._replace(lookalike=match.path, lacks=lacks)
        size = int(width), int(height)
        return self._replace(match=match.path, bits=match.bits, match_size=size, lacks=lacks)


def search(files, haystack):
    """Return a Finding for each needle, in order; tell which of them can't be read."""
    team = haystack.team
    found = team.map_and_tell(functools.partial(compare, haystack=haystack), files)
    findings = list(progress(found, len(files), "needles compared"))
    # Of what the library lacks each learns of another that has the same bytes.
    lacked = [finding.path for finding in findings if finding.status != "found"]
    twins = {}
    for path, alike in zip(lacked, team.map(Alike(lacked, size_of, team).to, lacked), strict=True):
        twins[path] = next((other for other in alike if other != path), "")
    return [finding._replace(twin=twins.get(finding.path, "")) for finding in findings]


def compare(path, haystack):
    """Return the Finding of a needle: the same bytes, what a look confirms, or a look-alike."""
    finding, team = Finding(path), haystack.team
    try:
        stats = os.stat(path)
        finding = Finding(path, bytes=stats.st_size, time=stats.st_mtime)
        if team.args.article:  # to which an equal hash is enough
            photo, _ = team.hash(path, hash_by_article)
            for other in haystack.photographs.get(photo.prints[0].row, ()):
                if not is_same_file(other, path):
                    return finding._replace(match=other, bits=0)
            return finding._replace(size=photo.size)
        for measure, alike in haystack.alike.items():
            for other in alike.to(path):
                if not is_same_file(other, path):
                    return finding._replace(match=other, is_same_video=measure is media_size)
        if (kind := kind_of_needle(path)) not in PHOTOGRAPHS:
            checked_size(path)
            open(path, "rb").close()
            kind = f"a {ending_of(path)} file" if kind == "raw" else "a video"
            return finding._replace(only_bytes=f"{kind}: only its bytes are compared")
        photo, view = team.hash(path, hash_needle)
        finding = finding._replace(size=photo.size, only_bytes=photo.only_bytes)
        candidates = haystack.candidates(photo, team.args.rotated)
        if candidates and (confirmed := team.confirm(finding, view, candidates)):
            return confirmed
        if likely := haystack.look_alike(photo):
            return finding._replace(lookalike=likely.path, turn=likely.turn)
        return finding
    except Exception as error:  # whatever goes wrong is this file's own
        return finding._replace(problem=reason(error))


def digest_start(path):
    """Return the digest of the first bytes of a file, START of them, as hexadecimal digits."""
    with open(path, "rb", buffering=0) as file:
        return digest_of([file.read(START)])


def digest_whole(path):
    with open(path, "rb", buffering=0) as file:
        return digest_of(iter(lambda: file.read(2**20), b""))


def digest_media(path):
    return digest_of(media_of(path))


def digest_of(blocks):
    digest = hashlib.sha256()  # which many processors know: 2.5 times as fast as BLAKE2 there
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def size_of(path):
    """Return a file's size in bytes, 0 of what is no file."""
    with contextlib.suppress(OSError, ValueError):
        return checked_size(path)
    return 0


# Boxes that describe a video: wholly; up to the matrix by which it is turned, but for two dates.
DESCRIBING = set(b"ftyp free skip wide udta meta".split())
DATED = {b"mvhd": 36, b"tkhd": 40, b"mdhd": 24}
PLACES = {b"stco": ">u4", b"co64": ">u8"}  # of its pictures and sound in the file
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def media_size(path):
    """Return the bytes of the pictures and sound in an MP4 or its kin; 0 of any other file."""
    if kind_of(path) == "video" and (size := size_of(path)):  # a pipe would be waited for
        with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
            return sum(end - start for kind, start, end in boxes(file, size) if kind == b"mdat")
    return 0


def media_of(path):
    """Yield the bytes of an MP4 or its kin that make its pictures and sound, and how they play."""
    with open(path, "rb") as file:
        found = sorted(boxes(file, checked_size(path), 0, 5), key=lambda box: box[0] != b"mdat")
        first = found[0][1]
        for kind, start, end in found:
            file.seek(start)
            head = file.read(min(64, end - start))
            if kind in DESCRIBING or (kind == b"uuid" and head.startswith(XMP)):
                continue
            yield kind + (end - start).to_bytes(8, "big")
            if kind in DATED:  # two dates and a duration, of 32 bits each, or of 64
                dates, longer = (16, 12) if head[:1] == b"\1" else (8, 0)
                yield head[:4] + head[4 + dates : DATED[kind] + longer]
                continue
            file.seek(start)
            for place in range(start, end, 2**20):
                block = file.read(min(2**20, end - place))
                if kind in PLACES:  # from the first, as metadata shift them all
                    places = np.frombuffer(block[8:], PLACES[kind]).astype(np.int64) - first
                    block = block[:8] + places.tobytes()
                yield block


# {how to measure a file: by what those of one size are told apart}
SAME = {size_of: [digest_start, digest_whole], media_size: [digest_media]}


# ---- The look ----------------------------------------------------------------------------------

# Measured on 4,000 pairs of copies and edits, and 3,300 of different pictures that are alike.
LONGER_SIDE = 384  # pixels, to which both pictures are brought, if that is 5 % less or more
WINDOW = 6  # pairs of pixels a side
NOISE = 16  # squared grey levels: what structure is below this counts little
LEAST_STRUCTURE = 0.7  # of 1, in the window that is least alike
MOST_APART = 0.75  # spreads by which levels of 9 x 8 boxes may differ, once fitted
COLOURED = 4  # units of Lab, or more: the spread of colours that must go together
COLOURS = 0.5  # their correlation
STRAYED = 13  # units of Lab by which a box may stray; copies and edits have 10, damage from 16 on
GREY, HAS_COLOUR = 4, 5  # units of Lab: no box of 16 x 16 has more; one box has as much
FLAT = 0.35  # of the pixels, within 4 levels of one
FINER = 1.2  # times the pixels that are compared, or more, has a library's JPEG read reduced
DIFFERENT = 50  # grey levels, in a window of the second look; copies have 6, in the median
BLURRED = 0.7  # of the library's sharpness, or less, has a needle for which that is blurred alike
VITAL = {"video", SECOND}  # a needle is missing if the library has its picture without these
SHOT = 60  # seconds: pictures that are nearer, and not of one time, are two shots of a burst


def look(path, *others, turns, view=None):
    """Return [place, width, height, what it lacks] of the other that shows the same, or []; and a
    word on one that can't be read, or none. For each of them the needle is turned by one of turns.
    One that lacks nothing goes before the rest; what lacks anything VITAL comes last.
    """
    needle, seen, refused, trouble = view or view_of(path), [], 0, ""
    for place, (other_path, turn) in enumerate(zip(others, turns, strict=True)):
        try:
            other = view_of(other_path, FINER * min(CLOSE, math.prod(needle.size) // 4))
            shown = needle.turned(turn)
            likeness = how_alike(shown, other)
        except Exception as error:  # it could be read when it was hashed
            trouble = f"cannot read {other_path}: {reason(error)}"
            continue
        # Of papers of one template the first look refuses none. Of smaller ones 1 in 200 is taken
        # for another, so few are asked.
        refused += likeness < (1 if other.size == shown.size else 2)
        if likeness == 2:
            seen.append([place, *other.size, what_lacks(shown, other)])
        if refused == OPENED or (seen and not seen[-1][-1]):
            break
    seen.sort(key=lambda each: (each[-1] in VITAL, each[-1] > ""))
    return next(iter(seen), []), trouble


def view_of(path, least=0):
    """Return the View of a photograph. Raises what open_picture does."""
    image, size, data = open_picture(path, True, least)
    scan, end = coded_part(data)
    facts = path, times_in(data[:scan]), rest_of(data, scan, end), end - scan
    return View(shrunk(image, 8 * CLOSE), size, *facts)


def how_alike(one, two):
    """Return 2 if two Views are of one picture, 1 if it takes more than the first look, else 0."""
    if one.coded and one.coded == two.coded and coded_of(one.path) == coded_of(two.path):
        return 2
    if not is_same_picture(one, two):
        return 0
    if not details_agree(one, two):
        return 1
    if not are_shots(one.times, two.times):
        return 2
    image, other = (open_picture(each.path, True, math.inf)[0] for each in (one, two))
    return 1 + np.array_equal(turned_by(image, one.turn), other)


def coded_of(path):
    """Return what of a JPEG tells what it shows: its orientation, and the coded picture."""
    data = read(path)
    scan, behind = coded_part(data)
    kept = [data[start:end] for kind, start, end in segments(data) if kind not in METADATA]
    return exif_of(data[:scan]).get(ORIENTATION), kept, data[scan:behind]


def is_same_picture(one, two):
    """Whether two Views show the same, whatever their size, brightness, contrast and quality."""
    smaller = min(one.grey.shape, two.grey.shape, key=math.prod)
    scale = LONGER_SIDE / max(smaller)
    size = tuple(max(1, round(side * scale)) if scale < 0.95 else side for side in smaller[::-1])
    greys = [each.grey_at(size) for each in (one, two)]
    return levels_agree(*greys) and structures_agree(*greys) and colours_agree(one, two)


def details_agree(one, two):
    """Whether a needle's View differs nowhere strongly from a library's: the second look.

    At half the smaller picture's sides, so that windows have 8 x 8 of its pixels, or at those of
    the first look. On papers and screens, which are flat, 6 x 6: with 8 a third of invoices pass.
    """
    smaller = min(one.size, two.size, key=math.prod)
    levels = cv2.calcHist([one.grey[::2]], [0], None, [256], [0, 256])
    is_flat = 9 * cv2.blur(levels, (1, 9)).max() > FLAT * levels.sum()
    scale = min(0.5, math.sqrt((4 if is_flat else 1) * CLOSE / math.prod(smaller)))
    side = 6 if is_flat and scale == 0.5 else 8
    if not is_flat:  # as fast as the first look
        scale = min(1, max(scale, LONGER_SIDE / max(smaller)))
    window = round(side * max(scale, 0.5))
    size = tuple(max(1, round(side * scale)) if scale < 0.95 else side for side in smaller)
    least = (2 if is_flat else 1) * math.prod(size)  # a JPEG read reduced has sharper writing
    image, other = (each.grey_at(size, least, not is_flat) for each in (one, two))
    if windows_agree(image, other, window):
        return True
    kept = sharpness(image) / max(sharpness(other), 1e-6)
    if kept > BLURRED:  # or the needle is the sharper one, and not to be given up for the other
        return False
    for sigma in np.geomspace(0.5, 8, 9):
        matched = cv2.GaussianBlur(other, (0, 0), sigma)
        if sharpness(matched) <= sharpness(image):
            break
    # A blur takes from the difference of two writings as well.
    return windows_agree(image, matched, window, math.sqrt(kept))


def windows_agree(image, other, window, share=1):
    """Whether two greys of one size differ in no window by more than a share of what may be."""
    gain, shift, spread = fit(image, other)
    limit = share * min(DIFFERENT, spread)
    apart = cv2.addWeighted(image, gain, other, -1, shift, dtype=cv2.CV_32F)
    if cv2.norm(apart, cv2.NORM_INF) > limit - 1:  # else no window does what no pixel does
        apart = cv2.blur(apart, (window, window))
    return round(cv2.norm(apart, cv2.NORM_INF) + 0.06) <= limit  # in doubt upwards


def sharpness(grey):
    return cv2.meanStdDev(standing_out(grey))[1].item()


def levels_agree(image, other):
    """Whether no part of the picture, in 9 x 8 boxes, is much brighter in one of two greys."""
    levels, others = (box_means(cv2.integral(each), (9, 8)) for each in (image, other))
    gain, shift, spread = fit(levels, others)
    if np.abs(gain * levels + shift - others).max() > MOST_APART * spread:
        return False
    are_plain = any(is_plain_hash(dhash(each - RAMP)) for each in (levels, others))
    are_plain = are_plain and min(np.abs(standing_out(each)).max() for each in (image, other)) < 12
    # Of skies nothing else tells: one may be brighter than the other, and not steeper.
    return not are_plain or np.ptp(levels - others) <= max(2, np.ptp(levels) / 12)


def structures_agree(image, other):
    """Whether two greys of one size have the same structure in each window.

    By the structure term of SSIM (Wang et al., "Image Quality Assessment", 2004), of what stands
    out from its surroundings. A mean over the windows would pass over a word that is another.
    """
    gain, shift, _ = fit(image, other)
    # A mean of (one - two)² up to 2 NOISE (1 - LEAST_STRUCTURE) is enough, as 2 sqrt(ab) <= a + b.
    apart = cv2.addWeighted(image, 2 * gain, other, -2, 2 * shift + 128)  # in half levels
    if apart.min() > 0 and apart.max() < 255:  # or some would be cut off
        apart = standing_out(apart)
        if window_means(cv2.multiply(apart, apart)).max() <= 8 * NOISE * (1 - LEAST_STRUCTURE):
            return True
    one, two = standing_out(image), standing_out(other)
    pairs = (one, one, gain**2), (two, two, 1), (one, two, gain)
    parts = (cv2.multiply(*pair, scale=scale, dtype=cv2.CV_32F) for *pair, scale in pairs)
    ones, twos, both = map(window_means, parts)
    return bool((both + NOISE >= LEAST_STRUCTURE * cv2.sqrt((ones + NOISE) * (twos + NOISE))).all())


def standing_out(grey):
    """Return int16: how much a uint8 grey, smoothed, stands out from the mean around."""
    smooth = cv2.GaussianBlur(grey, (5, 5), 1)  # rounded to levels, in a third of floats' time
    high, wide = (max(1, side // 2 * 2) for side in grey.shape)  # odd ones are halved slower
    around = cv2.blur(smooth, (5, 5))
    return np.subtract(smooth[:high, :wide], around[:high, :wide], dtype=np.int16)


def window_means(image):
    """Return the means of windows of twice WINDOW pixels a side, at every second pixel."""
    half = [max(1, side // 2) for side in image.shape[::-1]]
    halved = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
    return cv2.blur(halved, (WINDOW, WINDOW))


def fit(levels, others):
    """Return (gain, shift, spread): what brings levels to the mean and the spread of others."""
    (mean, spread), (other_mean, other_spread) = map(cv2.meanStdDev, (levels, others))
    gain = min(max(other_spread.item() / max(spread.item(), 1e-6), 0.25), 4)
    return gain, (other_mean - gain * mean).item(), other_spread.item()


def colours_agree(*views):
    """Whether the colours of two Views go together, where both have some."""
    if min(np.abs(each.colours[:2]).max() for each in views) <= GREY:
        return True
    one, two = (each.colours - each.colours.mean(1, keepdims=True) for each in views)
    if cv2.norm(one[:2], two[:2], cv2.NORM_L2SQR) < 4 * STRAYED**2 - 2:  # then the rest holds
        return True
    fainter, stronger = sorted((one, two), key=lambda each: np.vdot(each[:2], each[:2]))
    spreads = [math.sqrt(np.vdot(each[:2], each[:2]) / 512) for each in (fainter, stronger)]
    product = np.vdot(fainter[:2], stronger[:2]) / 512
    if min(spreads) >= COLOURED and product < COLOURS * spreads[0] * spreads[1]:
        return False
    # A filter changes all colours alike, by what they and the light are; damage, those of a part.
    # So the fainter colours must explain the stronger ones, by (ridged) least squares.
    weights = np.linalg.solve(fainter @ fainter.T + np.eye(3), fainter @ stronger[:2].T)
    strayed = np.abs(stronger[:2] - weights.T @ fainter).max(0)
    return bool(np.sort(strayed)[-4] <= STRAYED)  # three boxes may: a cut file's end


def are_shots(times, others):
    """Whether two pictures were taken at different times within a minute: shots of one burst."""
    apart = [datetime.timedelta(days=1)]
    for one, other in itertools.product(times, others):
        if not (one.microsecond and other.microsecond):  # of one the fraction is not known
            one, other = one.replace(microsecond=0), other.replace(microsecond=0)
        apart.append(abs(one - other))
    return datetime.timedelta(0) < min(apart) < datetime.timedelta(seconds=SHOT)


def what_lacks(needle, other):
    """Return what the View of a copy lacks of the needle's: one word or more, or nothing."""
    lost = {what for what, _ in needle.rest - other.rest}
    if vital := lost & VITAL:
        return max(vital)
    if 10 * math.prod(other.size) < 9 * math.prod(needle.size):
        return "pixels"
    if lost:
        return " and ".join(sorted(lost))
    most, others = (np.abs(each.colours[:2]).max() for each in (needle, other))
    if most >= HAS_COLOUR and others <= GREY:
        return "colours"
    return "date" if needle.times and not other.times else ""


# ---- 6 Reports: Findings -> Directories, and the files of --report -----------------------------

BROWSERS_SHOW = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".avif", ".gif")
LEFT_OUT_SHOWN, FOUND_SHOWN = 500, 2000  # on the page: a browser opens it within three seconds
LACKING = {"pixels": "smaller", "colours": "only in grey"}  # {what a match lacks: what is said}


class Directory:
    """One folder of the needles, with its own findings; none where it can't be listed."""

    def __init__(self, name, path, findings):
        self.name, self.path, self.findings = name, path, findings
        counts = collections.Counter(finding.status for finding in findings)
        self.found = counts["found"] + counts["better"]
        self.lacking = len(findings) - counts["found"] if findings else math.inf  # unknown
        self.summary = f"{self.lacking:,} of {len(findings):,} lacking" if findings else UNLISTED


class Results:
    """What a run came to, and how it is told and reported."""

    def __init__(self, haystack, findings, listings):
        self.haystack, self.args, self.needles = haystack, haystack.team.args, listings[-1]
        folders = {path: [] for path, why in self.needles.left_out if why.startswith(UNLISTED)}
        for finding in findings:
            folders.setdefault(os.path.dirname(finding.path), []).append(finding)
        names = sorted((self.needles.name_of(path), path) for path in folders)  # may be equal
        self.directories = [Directory(name, path, folders[path]) for name, path in names]
        self.worst_first = sorted(self.directories, key=lambda each: -each.lacking)
        self.findings = [each for directory in self.directories for each in directory.findings]
        self.lacked = [each for each in self.findings if each.status in LACKED]
        self.left_out = [
            Finding(path, left_out=why, bytes=size_of(path))
            for listing in listings
            for path, why in sorted(listing.left_out)
            if not (listing.is_library and why == OTHER)
        ]
        for path, *_, problem in haystack.unreadable:
            why = f"in the library: {problem}"
            self.left_out.append(Finding(path, problem=why, bytes=size_of(path)))

    def in_numbers(self):
        """Say how many needles have each status, and how large and old the missing ones are."""
        counts = collections.Counter(finding.status for finding in self.findings)
        text = f"{counts.total():,} photographs and videos: {counts['found']:,} found"
        text += f", {counts['missing']:,} missing"
        if missing := [each for each in self.lacked if each.status == "missing"]:
            years = sorted(dated(finding.time)[:4] or "?" for finding in missing)
            span = " to ".join(sorted({years[0], years[-1]}))
            text += f" ({in_bytes(sum(finding.bytes for finding in missing))}, {span})"
        text += f", {counts['better']:,} better here" if counts["better"] else ""
        return text + (f", {counts['unreadable']:,} unreadable" if counts["unreadable"] else "")

    def left_out_in_numbers(self):
        whys = (each.left_out or "unreadable in the library" for each in self.left_out)
        counts = collections.Counter(re.split("[,:]", why)[0] for why in whys).most_common()
        return "left out: " + ", ".join(f"{why} ({count:,})" for why, count in counts)

    def tell_the_end(self):
        """Say on stderr what became of the needles, and what to do next."""
        args, damaged = self.args, len(self.haystack.unreadable)
        searched = f"{len(self.haystack.all):,} photographs and videos"
        searched += f", {damaged:,} of them unreadable" if damaged else ""
        tell(f"{args.needles} against the library {', '.join(args.haystack)} ({searched}):")
        tell(self.in_numbers())
        if compared := sum(bool(finding.only_bytes) for finding in self.findings):
            tell(f"{compared:,} not found could only be compared by their bytes, such as videos")
        if self.left_out:
            tell(self.left_out_in_numbers())
        lacking = [each for each in self.worst_first if each.lacking]
        if not lacking:
            return tell("the library lacks nothing of what was searched") if self.findings else None
        besides = sum(each.found > 0 for each in lacking)
        which = f"{besides:,} of them besides those above"
        if besides == len(lacking):
            which = "no folder is lacking as a whole"
        hold = "folder holds" if len(lacking) == 1 else "folders hold"
        tell(f"{len(lacking):,} {hold} what the library lacks, {which}:")
        lines = [f"  {each.summary}: {each.name}" for each in lacking]
        tell_some(tell, lines, SHOWN, f"; {[*args.report, '--report page.html'][0]} shows all")
        hints = [] if args.report else ["--report page.html shows them"]
        hints += [] if args.copy_missing else ["--copy-missing FOLDER copies what is lacking"]
        if hints:
            tell(", ".join(hints))

    def text(self):
        """The needles that the library lacks, one path a line; a line break in it as \\n or \\r."""
        lines = (each.path.translate({10: r"\n", 13: r"\r"}) + "\n" for each in self.lacked)
        # To rsync a line that begins with # or ; is a comment, to many one with - an option.
        return os.fsencode("".join(re.sub("^(?=[#;-])", "./", line) for line in lines))

    def table(self):
        """Each needle as a row of CSV, with the mark that Excel wants before anything but ASCII."""
        table = io.StringIO()
        rows = csv.writer(table)
        columns = "status distance match pixels match_pixels lookalike reason bytes modified"
        rows.writerow(["needle", "directory", *columns.split()])
        every = [(each.name, finding) for each in self.directories for finding in each.findings]
        every += [(os.path.dirname(finding.path), finding) for finding in self.left_out]
        for name, each in every:
            both = ("x".join(map(str, filter(None, size))) for size in (each.size, each.match_size))
            bits = "" if each.bits is None else each.bits
            found = each.path, name, each.status, bits, each.match, *both, each.lookalike
            cells = map(str, (*found, words_for(each), each.bytes, dated(each.time)))
            # A spreadsheet would take a text that begins so for a formula.
            rows.writerow(re.sub("^(?=[=+@\t-])", "'", cell) for cell in cells)
        text = table.getvalue()
        return (b"" if text.isascii() else b"\xef\xbb\xbf") + os.fsencode(text)

    def write_reports(self):
        """Write each report, as a new file and whole or not at all; return whether one can't be."""
        failed = False
        for path in self.args.report:
            target = os.path.realpath(path)
            part = f"{target}.{os.getpid()}.part"
            try:
                content = REPORTS[ending_of(path)](self)
                with open(part, "xb") as file:
                    file.write(content)
                os.replace(part, target)
            except OSError as error:
                failed = True
                tell(f"cannot write {path}: {error.strerror or error}", "ERROR")
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(part)
        return failed


def dated(seconds):
    """Return a file's time; nothing where it has none, or is past what the system knows."""
    with contextlib.suppress(OSError, OverflowError, ValueError):
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
    return ""


def in_bytes(count):
    """Return a number of bytes as people write it, such as 1.2 GB."""
    unit, *larger = "bytes", "KB", "MB", "GB", "TB"
    while count >= 999.5 and larger:
        count, unit = count / 1000, larger.pop(0)
    return f"{count:.{int(unit != 'bytes' and count < 10)}f} {unit}"


def words_for(finding):
    """Say why a needle is lacking, and what else is to be said of it; or nothing."""
    if finding.lacks and finding.status == "missing":
        return f"the library has its picture, but not its {finding.lacks}"
    if finding.lacks:
        return LACKING.get(finding.lacks, f"without its {finding.lacks}")
    if finding.is_same_video:
        return "the same video, other metadata"
    return finding.problem or finding.only_bytes or finding.left_out


class Page:
    """A page to look at, which stands alone: small pictures of all but what is found are in it."""

    def __init__(self, results):
        self.results, self.room = results, FOUND_SHOWN  # for so many of what is found
        lacked, team = results.lacked, results.haystack.team
        files = {path for each in lacked for path in (each.path, each.match, each.lookalike)}
        files = sorted(files - {""})
        pictures = progress(team.map(team.picture, files), len(files), "pictures for the page")
        self.pictures = dict(zip(files, pictures, strict=True))  # "" where there is none to see

    def content(self):
        results, args = self.results, self.results.args
        folders = [self.folder(*each) for each in enumerate(results.worst_first)]
        totals = f"{results.in_numbers()}."
        if (hidden := len(results.findings) - len(results.lacked) - FOUND_SHOWN) > 0:
            totals += f" {hidden:,} more that are found stand in a table only (--report table.csv)."
        sideways = sum(finding.turn > 0 for finding in results.lacked)
        if sideways and not args.rotated:
            totals += f" {sideways:,} look like turned or mirrored copies; "
            totals += "<kbd>--rotated</kbd> finds those."
        return PAGE.substitute(
            title=escaped(f"What {args.needles} holds that {', '.join(args.haystack)} lacks"),
            made=dated(time.time()),
            call=escaped(subprocess.list2cmdline([os.path.basename(sys.argv[0]), *sys.argv[1:]])),
            totals=totals,
            left_out=self.left_out_box() if results.left_out else "",
            index="".join(row for row, _ in folders),
            sections="".join(section for _, section in folders),
        ).encode()

    def left_out_box(self):
        """A box that says what is not searched, and where; other files come last."""
        places, lines = collections.Counter(), []
        for each in self.results.left_out:
            place = f"{os.path.dirname(each.path)}: {each.left_out or each.problem}"
            places[each.left_out == OTHER, place] += 1
        every = [f"<li>{escaped(key[1])} ({places[key]:,})" for key in sorted(places)]
        tell_some(lines.append, every, LEFT_OUT_SHOWN, "; --report table.csv shows all")
        return f"<div class=box>{self.results.left_out_in_numbers()}<ol>{''.join(lines)}</ol></div>"

    def folder(self, number, directory):
        """One folder's row, and its section: what is missing first, what is found folded."""
        findings = sorted(directory.findings, key=lambda each: STATUSES.index(each.status))
        lacking = [self.item(each) for each in findings if each.status != "found"]
        found = findings[len(lacking) :]
        shown = [self.item(each) for each in found[: self.room]]
        self.room -= len(shown)
        lists, name = f"<ul>{''.join(lacking)}</ul>", escaped(directory.name)
        if found:
            lists += f"<details><summary>{len(found):,} found</summary>"
            lists += f"<ul>{''.join(shown)}</ul></details>"
        path = pathlib.Path(os.path.abspath(directory.path))
        link = f'<a href="{path.as_uri()}"><code>{escaped(str(path))}</code></a>'
        head = f"<h2>{name}</h2>\n<p>{directory.summary}: {link}</p>"
        row = f'<tr><td><a href="#f{number}">{name}</a><td>{directory.summary}'
        return row, f'<section id="f{number}">{head}\n{lists}</section>\n'

    def item(self, finding):
        """A needle, with what is said of it, and beside it its match, or what looks like it."""
        said, words = f"<b>{finding.status}</b>", words_for(finding)
        what = "the same picture" if finding.bits is not None else words or "the same bytes"
        if finding.lookalike:
            what = "not counted: looks like this"
        if finding.status == "better":
            said, words = f"{said} here than in the library", f"its copy is {words}"
        if finding.lacks == "pixels":
            sizes = *finding.match_size, *finding.size
            words = "its copy has {} x {}, this one {} x {}".format(*sizes)
        said += f": {escaped(words)}" if words else ""
        if finding.twin:
            said += f"; the same file also in {escaped(os.path.dirname(finding.twin))}"
        when = f"{dated(finding.time)}, {in_bytes(finding.bytes)}"
        figures = self.figure(finding.path, f"{said}<br>{when}")
        if other := finding.match or finding.lookalike:
            figures += self.figure(other, escaped(f"{what}, in {os.path.dirname(other)}"))
        return f'<li class="{finding.status}">{figures}</li>\n'

    def figure(self, path, caption):
        """One picture of the page with its caption; a box with its name where there is none."""
        name = escaped(os.path.basename(path))
        address = pathlib.Path(os.path.abspath(path)).as_uri()
        picture = f'<span class="none">{name}</span>'
        if source := self.pictures.get(path, address if ending_of(path) in BROWSERS_SHOW else ""):
            picture = f'<img src="{source}" alt="{name}" loading="lazy">'
        caption = f"<figcaption>{name}<br><small>{caption}</small></figcaption>"
        return f'<figure><a href="{address}">{picture}</a>{caption}</figure>'


def escaped(name):
    """Escape a name for the page; bytes of it that are no text become question marks."""
    return html.escape(os.fsencode(name.translate(CONTROLS)).decode("utf-8", "replace"))


def picture_of(path):
    """Return a small JPEG as a data: address. Raises an Exception where there is none to see."""
    try:
        is_video = checked_size(path) and kind_of_needle(path) == "video"
        image = cv2.VideoCapture(path).read()[1] if is_video else open_picture(path, True)[0]
    except (BytesOnlyError, ValueError):  # its first page; what is left of a cut one
        with LARGE:
            image = imdecode(read(path))
    data = base64.b64encode(cv2.imencode(".jpg", shrunk(image, 240 * 180))[1])
    return f"data:image/jpeg;base64,{data.decode()}"


PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src file: data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif }
  body { max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
  h2 { margin: 2rem 0 0; font-size: 1.2rem } p { margin: .3rem 0 } a { color: inherit }
  table { border-collapse: collapse; margin: 1rem 0 } td + td { min-width: 5rem }
  td { padding: .1rem .5rem .1rem 0; border-bottom: 1px solid #8884 }
  section, li { content-visibility: auto; contain-intrinsic-size: auto 16rem }
  ul, ol { list-style: none; margin: .5rem 0; padding: 0 } ol { max-height: 16rem; overflow: auto }
  ul { display: flex; flex-wrap: wrap; gap: 1rem }
  ul > li { display: flex; gap: .5rem; padding: .5rem; border: 1px solid #8886; max-width: 100%;
            box-sizing: border-box; border-radius: .5rem; border-left: .4rem solid #d1443c }
  li.better { border-left-color: #c98a00 } li.found { border-left-color: #3a8a4d }
  figure { margin: 0; width: 11rem; min-width: 0; font-size: .85rem } small { opacity: .8 }
  img, .none { display: block; width: 100%; height: 11rem; object-fit: contain; background: #8882 }
  .box { padding: .5rem .8rem; border: 1px solid #c98a00; border-radius: .5rem }
</style>
<main><h1>$title</h1><p>$totals</p>$left_out<table>$index</table>
$sections
<p><small>Made on $made by <code>$call</code>. A folder that was found is still worth a look,
before you throw it away.</small></p></main></html>
""")
REPORTS = {".txt": Results.text, ".csv": Results.table, ".html": lambda each: Page(each).content()}


# ---- 7 Copying: Findings -> what the library lacks, copied to a folder -------------------------

SIDECARS = ".xmp .aae .thm .wav .pp3 .dop .yml .yaml .mov".split()  # the last of a Live Photo
GOOGLES = ".supplemental-metadata"  # and its first letters, then .json
REFUSED = re.compile(r'[<>:"|?*\\\0-\x1f\x7f\udc80-\udcff]|[. ](?=[. ]*$)')  # of a name
USELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # is a disk that raises these


class Copies:
    """The folder of --copy-missing, in which nothing is replaced, and what is copied to it."""

    def __init__(self, results):
        self.root, self.needles = results.args.copy_missing, results.args.needles
        self.device, self.real_needles = os.stat(self.root).st_dev, os.path.realpath(self.needles)
        self.copied, self.troubles = {}, {}  # {source: path of its copy}, {source: why not}
        self.new, self.changed = set(), set()  # paths of copies; names for which others stand
        cached = map(functools.cache, (warn, self.shown, self.place, self.names_in))
        self.warn_once, self.shown, self.place, self.names_in = cached
        twins = collections.defaultdict(list)
        for path, twin in sorted((each.path, each.twin) for each in results.lacked):
            # What is empty, or no file, is not wanted; what has vanished is, and fails.
            if size_of(path) or not os.path.lexists(path):
                twins[min(path, twin or path)].append(path)
        self.wanted = list(twins.values())  # lists of photographs that have the same bytes
        # {folder: {name in lower case: paths}} of what may be a sidecar
        self.beside = collections.defaultdict(lambda: collections.defaultdict(list))
        left_out = (path for path, _ in results.needles.left_out)
        for path in itertools.chain(results.needles.files, left_out):
            if ending_of(path) in (*SIDECARS, ".json"):
                folder, name = os.path.split(path)
                self.beside[folder][name.lower()].append(path)

    def copy_all(self):
        """Copy what is wanted, if the disk has room; return whether any could not be copied."""
        need = 0
        for first, *_ in self.wanted:
            names = pathlib.PurePath(first).relative_to(self.needles).parts
            if not os.path.lexists(functools.reduce(self.shown, names, self.root)):
                need += size_of(first)
        disk = shutil.disk_usage(self.root)
        if need > disk.free and disk.total:  # some disks say that all is 0
            room = f"{in_bytes(need)} needed, {in_bytes(disk.free)} free"
            raise Ended(f"copied nothing to {self.root}: {room}")
        for twins in progress(self.wanted, len(self.wanted), "files copied"):
            for source in twins:  # one of them, but the sidecars of each
                if source in self.copied or self.copy(source, source):  # perhaps as a sidecar
                    break
            for source in twins:
                stem, _ = os.path.splitext(source)
                name, _ = os.path.splitext(os.path.basename(self.copied.get(source, source)))
                renamed = os.path.join(os.path.dirname(source), name)
                for path in self.sidecars_of(source):
                    self.copy(path, path.replace(stem, renamed, 1))
        return self.tell_all()

    def sidecars_of(self, path):
        """Return the paths of what belongs to a photograph, of what is beside it."""
        folder, name = os.path.split(path)
        there, (stem, ending) = self.beside[folder], os.path.splitext(name.lower())
        names = {base + each for base in (stem, stem + ending) for each in SIDECARS}
        names |= {re.sub(r"(\d+)$", r"o\1", stem) + ".aae", f"{stem}_o.aae"}  # Apple's
        names |= {f"{stem}_{number:02}{ending}.xmp" for number in range(100)}  # darktable's
        jsons = googles(stem, ending) & there.keys()
        while not jsons and "-" in stem:  # such as IMG_1-edited(1).jpg
            stem = re.sub(r"-[^-]*?(\(\d+\))?$", r"\1", stem)
            jsons = googles(stem, ending, ".heic", ".jpg") & there.keys()
        found = itertools.chain.from_iterable(there[each] for each in names & there.keys() | jsons)
        return sorted(each for each in found if each != path and os.path.isfile(each))

    def copy(self, source, path):
        """Copy a file as if that were its path, or find its copy; return whether there is one."""
        try:
            open(source, "rb").close()  # before a folder is made for it
            if os.stat(self.root).st_dev != self.device:  # what an unmounted disk leaves there
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            *folders, name = pathlib.PurePath(path).relative_to(self.needles).parts
            folder = functools.reduce(self.place, folders, self.root)
            self.copied[source] = self.place(folder, name, source)
        except OSError as error:
            self.troubles[source] = why = reason(error)
            if not holds_something(self.needles):
                self.tell_all(f"{self.needles}: {why}; is the backup's disk still connected?")
            if error.errno == errno.ENODEV or not os.path.isdir(self.root):
                self.tell_all(f"{self.root}: {why}; is its disk still connected?")
            if error.errno in USELESS:
                self.tell_all(f"{self.root}: {why}")
        return source in self.copied

    def place(self, folder, name, source=""):
        """Return the path of a file's copy in a folder, or of a folder; make it if need be."""
        names = self.names_in(folder)
        stem, ending = os.path.splitext(os.path.basename(self.shown(folder, name)))
        for count in itertools.count(1):  # a name that is another's gets a number
            rest = f" ({count}){ending}" if count > 1 else ending
            while stem and len(os.fsencode(stem + rest)) > 255:  # what disks take
                stem = stem[:-1]
            path = os.path.join(folder, stem + rest)
            if one_form(path) not in names:
                with contextlib.suppress(FileExistsError):  # another run was faster
                    self.make(path, source)
                    return names.setdefault(one_form(path), path)
            if self.is_it(there := names.setdefault(one_form(path), path), source):
                return there

    def names_in(self, folder):
        """Return {one_form of a name: path} of a folder, and rid it of what killed runs left."""
        there = [os.path.join(folder, name) for name in os.listdir(folder)]
        for path in there:
            made = re.match(rf"\{PART}(\d*)", os.path.basename(path))
            with contextlib.suppress(OSError):
                # Its time of change may be its photograph's. One that is written to is somebody's.
                if made and max(int(made[1] or 0), os.stat(path).st_mtime) < time.time() - 3600:
                    os.unlink(path)
        return {one_form(path): path for path in there}

    def shown(self, folder, name):
        """Return the path of a name, with _ for what hides it, calls it trash, or is refused."""
        shown = name
        if name.startswith(".") or name in PREVIEWS or is_trash(os.path.join(folder, name)):
            shown = re.sub(r"^[.$@#]?", "_", name)  # else it would not count as library
        if odd := "".join(REFUSED.findall(shown)):
            part = os.path.join(self.root, f"{PART}{os.urandom(4).hex()}{odd}")
            try:
                open(part, "xb").close()
                os.unlink(part)
            except OSError:  # the disk refuses it
                shown = REFUSED.sub("_", shown)
        if shown != name:
            self.changed.add((folder, name))
        return os.path.join(folder, shown)

    def is_it(self, path, source):
        """Whether a path has a file's bytes, or is a folder, and is no link into the needles."""
        if pathlib.PurePath(os.path.realpath(path)).is_relative_to(self.real_needles):
            return False
        with contextlib.suppress(OSError):  # it gets a number
            return filecmp.cmp(path, source, shallow=False) if source else os.path.isdir(path)
        return False

    def make(self, path, source):
        """Make a folder, or copy a file so that it appears whole or not at all. Raises OSError."""
        if not source:
            return os.mkdir(path)
        folder, now = os.path.dirname(path), round(time.time())
        part = os.path.join(folder, f"{PART}{now}-{os.urandom(4).hex()}")
        try:
            with open(source, "rb", buffering=0) as file, open(part, "xb") as copy:
                shutil.copyfileobj(file, copy)
            stats = os.stat(source)
            if os.stat(part).st_size != stats.st_size:
                raise OSError("it changed, or could not be read to its end")
            try:
                os.utime(part, ns=(stats.st_atime_ns, stats.st_mtime_ns))
            except (OSError, OverflowError):
                self.warn_once(f"{self.root}: its disk takes no times; copies have today's")
            give_name(part, path)
            self.new.add(path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(part)

    def tell_all(self, fault=""):
        """Say what is copied, and why the rest is not; return whether there is a rest."""
        lines = [f"cannot copy {source}: {why}" for source, why in self.troubles.items()]
        tell_some(warn, lines, SHOWN, " that can't be copied")
        if changed := len(self.changed):
            warn(f"{changed:,} names had to change: they hide files, or the disk refuses them")
        new = {source for source, path in self.copied.items() if path in self.new}
        there = self.copied.keys() - new
        already = f"; {in_kinds(there)} were there already" if there else ""
        tell(f"copied {in_kinds(new)} to {self.root}{already}")
        safe = [twins for twins in self.wanted if not self.copied.keys().isdisjoint(twins)]
        if twice := sum(map(len, safe)) - len(safe):
            tell(f"{twice:,} files are in the needles more than once, and were copied once")
        total = f"{len(safe):,} of {len(self.wanted):,} photographs and videos are copied"
        if fault:
            raise Ended(f"{fault}; {total}")
        if lost := sorted(self.troubles.keys() - set().union(*safe)):
            whys = collections.Counter(self.troubles[source] for source in lost).most_common()
            whys = ", ".join(f"{why} ({count:,})" for why, count in whys)
            tell(f"{total}; not copied: {whys}", "ERROR")
        return bool(lost)


def give_name(part, path):
    """Give a part file its name. Raises FileExistsError where that is taken, or OSError."""
    with contextlib.suppress(OSError):  # it is taken, or the disk has no hard links
        return os.link(part, path)
    # Renaming replaces. So whoever makes the claim may rename; one that a kill leaves is removed
    # as part files are, and until then the name counts as taken.
    claim = f"{PART}claim-{digest_of([os.fsencode(one_form(path))])}"
    claim = os.path.join(os.path.dirname(path), claim)
    open(claim, "xb").close()
    try:
        if os.path.lexists(path):
            raise FileExistsError(path)
        os.rename(part, path)
    finally:
        os.unlink(claim)


def one_form(path):
    """Return a path's name as disks compare it that know no case, or one way to write é."""
    return unicodedata.normalize("NFC", os.path.basename(path)).casefold()


def in_kinds(files):
    """Return how many photographs and videos, and how many sidecars, some paths are."""
    known = sum(kind_of_needle(path) is not None for path in files)
    sidecars = f" and {len(files) - known:,} sidecars" if len(files) > known else ""
    return f"{known:,} photographs and videos{sidecars}"


def googles(stem, *endings):
    """Return what Google may call a photograph's JSON: cut to 46 letters, its number behind."""
    bare, number = re.fullmatch(r"(?s)(.*?)(\(\d+\))?", stem).groups("")
    return {
        f"{(base + ending + GOOGLES)[:cut]}{behind}.json"
        for base, behind in ((stem, ""), (bare, number))
        for ending in ("", *endings)
        for cut in (46, *range(len(base + ending), len(base + ending + GOOGLES) + 1))
    } - {"metadata.json"}  # an album's


# ---- 8 The command: the options, the screen, the exit status -----------------------------------

VERSION = "hash_and_search 2026-11-27, Python {}, OpenCV {}, NumPy {}"
EXAMPLE = "for example: python hash_and_search.py --haystack Pictures --needles backup"
# {what ends a line or steers a terminal: how it is shown, such as \n or \x1b}
CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 8232, 8233)}


def parse_arguments(arguments=None):
    """Return the checked options. Raises Ended or OSError, and SystemExit after --help."""
    what = "Print each folder of a backup (the needles) of which a library (the haystack) has no "
    what += "photograph, not even resized, recompressed or brightened."
    epilog = f"{EXAMPLE} --report missing.html"
    parser = argparse.ArgumentParser(description=what, epilog=epilog, allow_abbrev=False)

    def refuse(message):
        wrong = message.removeprefix("unrecognized arguments: ").partition(" ")[0]
        close = difflib.get_close_matches(wrong, re.findall("--[a-z-]+", parser.format_usage()), 1)
        advice = f"--needles takes one folder; put a path that has spaces in quotes; {EXAMPLE}"
        raise Ended(f"{message} ({f'did you mean {close[0]}?' if close else advice})")

    parser.error = refuse
    versions_here = VERSION.format(sys.version.split()[0], cv2.__version__, np.__version__)
    # fmt: off
    add = parser.add_argument_group("what to compare").add_argument
    add("-a", "--haystack", metavar="DIR", nargs="+", action="extend", required=True,
        help="the library: one directory of photographs or several")
    add("-n", "--needles", metavar="DIR", action="append", required=True, help="the backup")
    add("--rotated", action="store_true",
        help="find photographs that the library has on their side, upside down or mirrored, too")
    add("--exclude", metavar="PATTERN", action="append", default=[],
        help="leave out needles whose path or folder this fits, such as '*.thumb'; may be repeated")
    add = parser.add_argument_group("results").add_argument
    add("--report", metavar="FILE", action="append", default=[],
        help="write a page (.html), a table (.csv) or a list of what is lacking (.txt); repeatable")
    add("--copy-missing", metavar="FOLDER",
        help="copy what the library lacks to this folder, which may be a haystack too")
    add("--exit-code", action="store_true",
        help="end with status 1 if the library lacks anything (default: 0)")
    add = parser.add_argument_group("speed").add_argument
    add("--cache", metavar="FILE", help="keep the results here, for the next run (default: none)")
    add("--jobs", metavar="N", type=int,
        help=f"use N threads (default: as many as cores, {DEFAULT_JOBS})")
    add("--dask", metavar="ADDRESS", help="use this Dask scheduler's workers, tcp://HOST:8786")
    add = parser.add_argument_group("rarely needed").add_argument
    add("--article", action="store_true", help="list, hash and search as the article's code does")
    add("--version", action="version", version=versions_here, help="print the versions")
    # fmt: on
    return checked_arguments(parser.parse_args(arguments))


def checked_arguments(args):
    """Return the options if they will do. Raises Ended, or OSError where no report can be made."""
    if len(args.needles) > 1:
        raise Ended("name one --needles directory per run, or one that holds them all")
    (args.needles,) = args.needles
    if "" in (args.copy_missing, args.cache):
        raise Ended("--copy-missing and --cache want a name")
    if args.jobs is not None and not 1 <= args.jobs <= 1024:
        raise Ended(f"--jobs takes a number from 1 to 1024, not {args.jobs}")
    if args.rotated and args.article:
        raise Ended("--rotated and --article don't go together")
    if args.copy_missing:
        real = map(os.path.realpath, (args.copy_missing, args.needles))
        folder, needles = map(pathlib.Path, real)
        if folder.is_relative_to(needles) or needles.is_relative_to(folder):
            asked = f"--copy-missing {args.copy_missing}"
            raise Ended(f"{asked} must neither lie in the needles nor hold them")
        folder.mkdir(parents=True, exist_ok=True)
    for root in (*args.haystack, args.needles):
        if not os.path.isdir(root):
            advice = "put a path that has spaces in quotes, no backslash before a quotation mark"
            raise Ended(f"{root} is not a directory; {advice}")
    for path in args.report:
        if ending_of(path) not in REPORTS:
            raise Ended(f"--report {path} must end in {', '.join(REPORTS)}")
        if os.path.exists(path) and not (os.path.isfile(path) and is_report(path)):
            raise Ended(f"--report {path} is there already, and is no such report")
        part = f"{os.path.realpath(path)}.{os.getpid()}.part"
        open(part, "xb").close()  # whether one can be made
        os.unlink(part)
    return args


def is_report(path):
    """Whether a file is empty, or begins as a report with its ending does. Raises OSError."""
    with open(path, "rb") as file:
        start = file.read(2**16).removeprefix(b"\xef\xbb\xbf")
    if start and ending_of(path) == ".txt":
        line = start.partition(b"\n")[0].decode(errors="surrogateescape")  # fsdecode may raise
        return kind_of_needle(line) is not None
    begins = "needle,directory," if ending_of(path) == ".csv" else PAGE.template.partition("$")[0]
    return not start or start.startswith(begins.encode())


def info(line):
    """Print one of the article's lines, on stdout."""
    wipe()
    print(f"[INFO] {line.translate(CONTROLS)}", flush=True)


def tell(line, kind="INFO"):
    """Print a result on stderr, or nothing if it is full."""
    wipe()
    with contextlib.suppress(OSError):
        print(f"[{kind}] {line.translate(CONTROLS)}", file=sys.stderr)


warn = functools.partial(tell, kind="WARN")  # of what is in doubt or left out


def tell_some(say, lines, most, what):
    """Say the first of some lines, and how many more there are of what."""
    for line in lines[:most]:
        say(line)
    if len(lines) > most:
        say(f"and {len(lines) - most:,} more{what}")


def some(names):
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


class Ended(SystemExit):
    """Ends the run, and says in one line why."""

    code = 2  # the status, where nobody catches it


def progress(results, total, things):
    """Pass the results on; on a terminal rewrite a line that tells how far they have come."""
    began = shown = time.monotonic()
    for done, result in enumerate(results, 1):
        now = time.monotonic()
        if now - shown > 0.2 and sys.stderr.isatty():
            shown, speed = now, done / (now - began)
            left = datetime.timedelta(seconds=round((total - done) / speed))
            line = f"[INFO] {done:,} of {total:,} {things}, {speed:.0f} a second, {left} left"
            print(f"\r{line:79.79}", end="", file=sys.stderr, flush=True)
        yield result
    wipe()


def wipe():
    """Take the progress line from the terminal, if there is one."""
    if sys.stderr.isatty():
        print(f"\r{'':79}", end="\r", file=sys.stderr, flush=True)


def keep_streams_ours():
    """Write names byte for byte; send the lines of the C libraries, which name no file, away."""
    streams = sys.stdout, sys.stderr  # None where they are closed
    sys.stdout, sys.stderr = (each or open(os.devnull, "w") for each in streams)  # noqa: SIM115
    if os.name != "nt":  # where a console wants its own
        sys.stderr = os.fdopen(os.dup(sys.stderr.fileno()), "w", 1)
        os.dup2(os.open(os.devnull, os.O_RDWR), 2)
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding, errors=errors)


if __name__ == "__main__":
    keep_streams_ours()
    settle()
    status = 2
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
        tell("interrupted; with --cache the next run goes on", "ERROR")
    except BrokenPipeError:  # whoever read our lines has closed the pipe
        status = 141
    except (Ended, OSError) as why:  # the latter if stdout is full, or no report can be made
        tell(str(why), "ERROR")
    os._exit(status)  # waiting neither for the threads nor for what a full stderr has left
