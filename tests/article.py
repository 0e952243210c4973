"""The article's pipeline, plainly: the oracle of the tests, and a contender of the benchmark.

    python tests/article.py --haystack DIR --needles DIR

It hashes a bit at a time, and names directories as hash_and_search.py does.
"""

import argparse
import os
import time

import cv2
from imutils import paths


def article_hash(image, size=8):
    """The article's hash of a greyscale image, a comparison at a time."""
    resized = cv2.resize(image, (size + 1, size))
    value = 0
    for row in range(size):
        for column in range(size):
            if resized[row, column + 1] > resized[row, column]:
                value += 2 ** (row * size + column)
    return value


def article_file_hash(path):
    """The article's hash of a file, or None where imread gives nothing."""
    try:
        image = cv2.imread(path)
    except cv2.error:  # more pixels than OpenCV admits
        return None
    return None if image is None else article_hash(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def article_search(haystack, needles):
    """Return the number of haystack images and the directories that the article would print."""
    hashes = [article_file_hash(path) for path in paths.list_images(haystack)]
    hashes = [value for value in hashes if value is not None]
    known, directories, found = set(hashes), set(), set()
    for path in paths.list_images(needles):
        directory = os.path.relpath(os.path.dirname(path), needles)
        directories.add(directory)
        if article_file_hash(path) in known:
            found.add(directory)
    return len(hashes), sorted(directories - found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-a", "--haystack", required=True)
    parser.add_argument("-n", "--needles", required=True)
    args = parser.parse_args()
    start = time.time()
    count, directories = article_search(args.haystack, args.needles)
    print(f"[INFO] processed {count} images in {time.time() - start:.2f} seconds")
    for directory in directories:
        print(f"[INFO] {directory}")


if __name__ == "__main__":
    main()
