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
import os
import sys
import time

try:
    import cv2
    import numpy as np
    from imutils import paths
except ImportError as error:
    mend = "run: python -m pip install -r requirements.txt"
    if ".so" in str(error):  # OpenCV is there, and a library that its windows want is not
        mend = "run: apt-get install libgl1 libglib2.0-0 (or use opencv-python-headless instead)"
    print(f"[ERROR] {error}; {mend}", file=sys.stderr)
    sys.exit(2)

# The endings that imutils lists, and the others that OpenCV decodes.
ENDINGS = (*paths.image_types, ".webp", ".avif", ".gif", ".jp2")


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


def decode(data, article=False):
    """Decode a file's bytes, a uint8 array, into a greyscale image; with article into a BGR one.

    The image is uint8, upright by its EXIF orientation; None if OpenCV can't decode the bytes.
    """
    if data[:3].tobytes() != b"\xff\xd8\xff":
        # Not a JPEG. libpng's own conversion to greyscale is biased, so read colours.
        colour = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return colour if article or colour is None else cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    if data[-2:].tobytes() != b"\xff\xd9":  # imdecode insists on the end marker, imread does not
        data = np.append(data, np.array([0xFF, 0xD9], np.uint8))
    if article:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    if data.size >= 256 * 1024:  # below that, a full decoding costs less than a trial
        reduced = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)  # averages of 8 x 8 pixels
        if reduced is not None and min(reduced.shape) >= 128:
            return reduced
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def hash_photograph(path, article=False):
    """Return the 64-bit hash of the photograph at path, or None if it can't be read.

    It is the dhash of the photograph's thumbnail, or with article of the photograph itself.
    """
    # imread can't open every name, np.fromfile can
    image = decode(np.fromfile(path, np.uint8), article)
    if image is None:
        return None
    return dhash(image if article else thumbnail(image))


def list_photographs(root):
    """Return the paths of the images below root, sorted."""
    return sorted(path for path in paths.list_files(root) if path.lower().endswith(ENDINGS))


def hash_photographs(photographs, article=False):
    """Yield (path, hash) for each of the photographs that can be read, in order."""
    for path in photographs:
        value = hash_photograph(path, article)
        if value is not None:
            yield path, value


def directory_of(path, root):
    """Name the directory that path lies in, relative to root; root itself goes by its own name."""
    relative = os.path.relpath(os.path.dirname(path), root)
    return os.path.basename(os.path.abspath(root)) if relative == "." else relative


def to_check(needles, found, root):
    """Return the sorted names of the directories right inside which no needle was found."""
    directories = {directory_of(path, root) for path in needles}
    return sorted(directories - {directory_of(path, root) for path in found})


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Print the directories of needles in which no photograph is also in the "
        "haystack, be it resized, recompressed or brightened.",
        epilog="example: python hash_and_search.py --haystack Pictures --needles old-backup",
    )
    parser.add_argument(
        "-a",
        "--haystack",
        metavar="DIR",
        nargs="+",
        required=True,
        help="the library: directories of photographs to search in",
    )
    parser.add_argument(
        "-n",
        "--needles",
        metavar="DIR",
        required=True,
        help="the backup: a directory of photographs to search for",
    )
    parser.add_argument(
        "--article",
        action="store_true",
        help="hash as the article's code does, without the anti-aliased thumbnail",
    )
    return parser.parse_args()


def say(line):
    print(f"[INFO] {line}", flush=True)


def main():
    args = parse_arguments()
    say("computing hashes for haystack...")
    start = time.time()
    haystack = collections.defaultdict(list)  # {hash: [paths]}
    photographs = [path for root in args.haystack for path in list_photographs(root)]
    for path, value in hash_photographs(photographs, args.article):
        haystack[value].append(path)
    count = sum(map(len, haystack.values()))
    say(f"processed {count} images in {time.time() - start:.2f} seconds")
    say("computing hashes for needles...")
    needles = list_photographs(args.needles)
    hashes = hash_photographs(needles, args.article)
    found = [path for path, value in hashes if value in haystack]
    say("check the following directories...")
    for directory in to_check(needles, found, args.needles):
        say(directory)


if __name__ == "__main__":
    main()
