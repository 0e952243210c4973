import csv
import os
import pathlib
import re
import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = TOP / "hash_and_search.py"
sys.path.insert(0, str(TOP))

from hash_and_search import photograph_hash  # noqa: E402


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
    header = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(header) + 2).to_bytes(2, "big") + header + jpeg[2:]


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
    return photograph_hash(content)[0].hash


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


@pytest.fixture
def tree(tmp_path):
    """A haystack of eight pictures, a folder with nothing else, and a function that runs us."""

    def run(*options, haystack=("haystack",), needles="needles", **more):
        arguments = command("--haystack", *haystack, "--needles", needles, *options)
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, timeout=300, **more)
        out, err = os.fsdecode(done.stdout), os.fsdecode(done.stderr)
        assert "Traceback" not in err
        asked = out.partition("[INFO] check the following directories...\n")[2]
        printed = [line.removeprefix("[INFO] ") for line in asked.splitlines()]
        return SimpleNamespace(status=done.returncode, out=out, err=err, printed=printed)

    for seed in range(8):
        put(tmp_path / "haystack" / "2006" / f"{seed}.jpg", draw(seed))
    (tmp_path / "needles").mkdir()
    return SimpleNamespace(run=run, path=tmp_path, needles=tmp_path / "needles")


def untimed(out):
    return re.sub(r"in [\d.]+ seconds", "in SECONDS", out)
