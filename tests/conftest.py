import csv
import ctypes
import io
import os
import pathlib
import re
import sqlite3
import struct
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import forking
from hash_and_search import decode, prints, to_grey

SCRIPT, TOP = forking.SCRIPT, forking.TOP
rng = np.random.default_rng(11)
VIDEO, RAW = b"\0\0\0\x14ftypqt  " + rng.bytes(100_000), b"II*\0" + rng.bytes(50_000)
REPORTS = ("--report", "list.txt", "--report", "table.csv", "--report", "page.html")
HOSTILE = "<img src=x onerror=alert(1)> & 'co"


def command(*arguments):
    return [sys.executable, SCRIPT, *arguments]


def draw(seed, width=320, height=240):
    """A blurred patchwork, another for every seed, as a BGR uint8 image."""
    rng = np.random.default_rng(seed)
    patches = rng.uniform(0, 255, (7, 10, 3))
    image = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def encode(image, ending=".jpg", quality=90):
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if ending == ".jpg" else []
    return cv2.imencode(ending, image, options)[1].tobytes()


def half(image):
    size = image.shape[1] // 2, image.shape[0] // 2
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def stored(image, orientation):
    """The JPEG of a camera held so that a viewer must turn what it stored to show image."""
    turned = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image),
        7: np.rot90(image, 2).transpose(1, 0, 2),
        8: np.rot90(image, 3),
    }[orientation]
    return with_orientation(encode(np.ascontiguousarray(turned)), orientation)


def with_orientation(jpeg, orientation):
    """Put an EXIF header with nothing but the orientation behind a JPEG's first marker."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0" * 6
    return with_segment(jpeg, b"Exif\0\0" + tiff)


def taken_at(jpeg, time):
    """Put an EXIF header with nothing but DateTimeOriginal, such as 2014:12:24 18:00:00."""
    to_exif = b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a" + b"\0" * 4
    original = b"\0\x01\x90\x03\0\x02\0\0\0\x14\0\0\0\x2c" + b"\0" * 4
    return with_segment(jpeg, b"Exif\0\0" + to_exif + original + time.encode() + b"\0")


def with_segment(jpeg, content, kind=b"\xe1"):
    """Put a segment behind a JPEG's first marker."""
    return jpeg[:2] + b"\xff" + kind + (len(content) + 2).to_bytes(2, "big") + content + jpeg[2:]


def heic(image, orientation=1, quality=90):
    """A BGR image as HEIC, turned upright by irot where orientation says so."""
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    exif, file = Image.Exif(), io.BytesIO()
    exif[274] = orientation
    picture = Image.fromarray(image[:, :, ::-1])
    picture.save(file, "HEIF", quality=quality, exif=exif.tobytes())
    return file.getvalue()


def with_exif(image, ending, time="", fraction="", orientation=1, **options):
    """A BGR or BGRA image as Pillow writes it with EXIF: when it was taken, and how it was held."""
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x112] = orientation
    if time:
        taken = {0x9003: time, 0x9291: fraction} if fraction else {0x9003: time}
        exif.get_ifd(0x8769).update(taken)
    colours = cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    Image.fromarray(colours).save(file, FORMATS[ending], exif=exif.tobytes(), **options)
    return file.getvalue()


FORMATS = {
    ".png": "PNG",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".heic": "HEIF",
    ".avif": "AVIF",
    ".jpg": "JPEG",
}


def mutated(content, rng):
    """A file with bytes flipped, its end cut, a stretch moved, or another header."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if len(data) < 80:
            break
        kind, place = rng.integers(5), int(rng.integers(len(data)))
        if kind == 0:
            for spot in rng.integers(0, len(data), rng.integers(1, 20)):
                data[spot] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data = data[: max(place, 2)]
        elif kind == 2:
            data[:60] = rng.bytes(60)
        elif kind == 3:
            spot = int(rng.integers(min(len(data), 400)))
            data[spot] = int(rng.integers(256))
        else:
            data[place : place + 40] = data[-60:-20]
    return bytes(data)


def png_that_claims(width, height):
    """A small file of many pixels, all of them black."""

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (width // 8 + 1) * min(height, 20000))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def hash_of(content):
    """The 64 bits of a file's bytes."""
    return prints(to_grey(decode(content)[0]))[0].row


def put(path, content):
    """Write a file, and the directories that it wants; an image becomes what the ending says."""
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(content, np.ndarray):
        content = encode(content, os.path.splitext(path)[1])
    with open(path, "wb") as file:
        file.write(content)


def table(path):
    """The rows of a report in CSV."""
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def kept(cache, task="hash"):
    """The paths of the files of which a cache keeps the answer to a task."""
    with sqlite3.connect(cache) as database:
        query = "SELECT path FROM answers WHERE task LIKE ?"
        return [path for (path,) in database.execute(query, (f"{task}%",))]


def counting(folder):
    """An environment in which each decoding by OpenCV adds a byte to the file decoded in folder."""
    put(folder / "counting" / "sitecustomize.py", COUNTING.encode())
    return {
        **os.environ,
        "PYTHONPATH": str(folder / "counting"),
        "DECODED": str(folder / "decoded"),
    }


COUNTING = """
import os
import cv2

def counted(function):
    def call(*arguments, **options):
        with open(os.environ["DECODED"], "ab") as file:
            file.write(b"1")
        return function(*arguments, **options)
    return call

for name in ("imdecode", "imdecodemulti", "imdecodeanimation", "imread"):
    setattr(cv2, name, counted(getattr(cv2, name)))
"""


@pytest.fixture
def tree(tmp_path):
    """A haystack of eight pictures, a folder with nothing else, and functions that run us.

    findings returns the rows of a run's table by the needles' paths below their folder, but for
    what is left out, and for what can't be read of the library.
    """

    def run(*options, haystack=("haystack",), needles="needles", timeout=300, **more):
        arguments = command("--haystack", *haystack, "--needles", needles, *options)
        done = forking.run(arguments, cwd=tmp_path, capture_output=True, timeout=timeout, **more)
        streams = done.stdout, done.stderr
        out, err = (os.fsdecode(each).replace(os.linesep, "\n") for each in streams)
        assert "Traceback" not in err
        asked = out.partition("[INFO] check the following directories...\n")[2]
        printed = [line.removeprefix("[INFO] ") for line in asked.splitlines()]
        lacking = r"^\[INFO\]   ([\d,]+ of [\d,]+ lacking: .*|cannot be listed: .*)$"
        return SimpleNamespace(
            status=done.returncode,
            out=out,
            err=err,
            printed=printed,
            warned=re.findall(r"^\[(?:WARN|ERROR)\] .*$", err, re.MULTILINE),
            # folders that lack something, and those of them that stdout does not name
            lacking=re.findall(lacking, err, re.MULTILINE),
            partly=[
                line
                for line in re.findall(lacking, err, re.MULTILINE)
                if line.partition(": ")[2] not in printed
            ],
            warnings=re.findall(r"^\[WARN\] (.*)$", err, re.MULTILINE),
        )

    def findings(*options, needles="needles", **more):
        done = run("--report", "table.csv", *options, needles=needles, **more)
        assert done.status == 0, done.err
        rows = table(tmp_path / "table.csv")
        paths = [pathlib.Path(os.path.relpath(row["needle"], needles)).as_posix() for row in rows]
        return {
            path: row
            for path, row in zip(paths, rows, strict=True)
            if row["status"] != "left out" and not path.startswith("../")
        }

    for seed in range(8):
        put(tmp_path / "haystack" / "2006" / f"{seed}.jpg", draw(seed))
    (tmp_path / "needles").mkdir()
    return SimpleNamespace(run=run, findings=findings, path=tmp_path, needles=tmp_path / "needles")


@pytest.fixture
def mixed(tree):
    """Needles of every kind; a run's three reports."""
    for seed in range(4):
        put(tree.needles / "all found" / f"{seed}.jpg", encode(draw(seed)))
    for seed in range(6, 10):
        put(tree.needles / "Été à la mer" / f"photo {seed}.jpg", encode(draw(seed), quality=35))
    put(tree.needles / "PIX" / "a b.jpg", draw(50))
    put(tree.needles / "PIX" / "a&copy.jpg", draw(53))
    put(tree.needles / "PIX" / "scan.tif", draw(51))
    put(tree.needles / "PIX" / "unreadable.jpg", b"no image")
    put(tree.needles / "As others" / "half.png", half(draw(5)))
    put(tree.needles / "As others" / "picture.webp", encode(draw(4), ".webp"))
    if os.name != "nt":
        put(tree.needles / HOSTILE / '"><script>.jpg', draw(52))
        put(tree.needles / HOSTILE / "found'&.jpg", encode(draw(3)))
    tree.done = tree.run(*REPORTS)
    assert tree.done.status == 0
    return tree


def count_unreadable(done):
    """How many files a run says it can't read, by name or in a number of those that follow."""
    more = re.findall(r"and ([\d,]+) more that can't be read", done.err)
    return done.err.count("[WARN] cannot read ") + sum(int(each.replace(",", "")) for each in more)


def without_root_powers():
    """Take from this process, before it becomes another, root's right to open everything."""
    for power in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP


def untimed(out):
    return re.sub(r"in [\d.]+ seconds", "in SECONDS", out)
