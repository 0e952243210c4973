import doctest

import cv2
import numpy as np
import pytest

import hash_and_search
from article import article_hash
from conftest import draw, encode, half, hash_of, stored
from hash_and_search import decode_photograph, dhash, fingerprint, jpeg_size, photograph_hash


def test_dhash_is_the_articles_to_the_bit():
    rng = np.random.default_rng(1)
    for count in range(1000):
        shape = tuple(rng.integers(1, 120, 2))
        if count % 3 == 0:
            image = rng.integers(0, 256, shape).astype(np.uint8)
        elif count % 3 == 1:
            image = rng.integers(0, 65536, shape).astype(np.uint16)
        else:
            image = rng.normal(size=shape).astype(np.float32)
        size = int(rng.integers(2, 17))
        value = dhash(image, size)
        assert type(value) is int
        assert value == article_hash(image, size)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dhash_converts_colours_first(dtype):
    image = draw(3).astype(dtype)
    assert dhash(image) == article_hash(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    assert dhash(image, hashSize=16) > 2**64


def test_the_docstrings_examples():
    result = doctest.testmod(hash_and_search)
    assert result.attempted > 0 and result.failed == 0


def test_copies_have_nearly_the_same_hash():
    for seed in range(20):
        image = draw(seed, 640, 480)
        whole = hash_of(encode(image))
        for copy in (half(image), half(half(image)), cv2.convertScaleAbs(image, beta=10)):
            for content in (encode(copy), encode(copy, quality=60), encode(copy, ".png")):
                assert (whole ^ hash_of(content)).bit_count() <= 4
        assert (whole ^ hash_of(encode(draw(seed + 100)))).bit_count() > 8


def test_a_large_jpeg_is_read_reduced_and_hashes_like_a_small_one(tmp_path):
    image = draw(5, 2400, 1800)
    image = cv2.add(image, np.random.default_rng(0).integers(0, 24, image.shape).astype(np.uint8))
    large = tmp_path / "large.jpg"
    large.write_bytes(encode(image, quality=95))
    assert large.stat().st_size > 256 * 1024
    assert decode_photograph(large.read_bytes())[0].shape == (450, 600)
    small = hash_of(encode(half(half(half(image)))))
    assert (hash_of(large.read_bytes()) ^ small).bit_count() <= 1


def test_orientation_is_honoured():
    image = draw(7)
    upright = hash_of(encode(image))
    for orientation in range(1, 9):
        assert (hash_of(stored(image, orientation)) ^ upright).bit_count() <= 1, orientation


@pytest.mark.parametrize("shape", [(1, 1), (15, 400), (400, 17), (16, 18), (3, 3)])
def test_tiny_pictures_have_a_hash(shape):
    image = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    fingerprints = photograph_hash(encode(image, ".png"))
    assert len(fingerprints) == (0 if shape == (1, 1) else 1)  # one pixel is a blank picture
    assert all(each.size == shape[::-1] for each in fingerprints)


def test_the_size_is_that_of_the_picture_not_of_its_preview():
    preview = encode(draw(1, 64, 48))
    picture = encode(draw(1, 2400, 1800), quality=95)
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    for head in (segment, b"\xff\xff" + segment[1:], b"\xff\x01" + segment):
        content = picture[:2] + head + picture[2:]
        assert jpeg_size(content) == (1800, 2400)
        image, size = decode_photograph(content)
        assert image.shape == (450, 600) and size == (2400, 1800)
    assert jpeg_size(picture[:150]) == jpeg_size(b"\xff\xd8\xff") == (0, 0)


@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (500, 400), (511, 511), (2100, 2047)])
def test_a_jpeg_is_read_no_smaller_than_256_pixels(size):
    image, whole = decode_photograph(encode(draw(1, *size)))
    assert whole == size
    assert min(image.shape) >= min(256, *size)
    assert min(image.shape) < 512


def test_undecided_are_the_closest_comparisons():
    level = np.array([0, 1, 3, 6, 10, 15, 21, 28, 36], np.float32) * 256  # steps of 1 to 8 levels
    upright = fingerprint(np.repeat(np.repeat(level[None] + 9000, 16, 0), 2, 1), (40, 30))
    assert upright.size == (40, 30)
    assert upright.hash == 2**64 - 1
    assert upright.undecided.bit_count() == 8  # of 16 steps within two levels, those of one
    assert upright.undecided == int.from_bytes(b"\x01" * 8, "little")
    steep = np.repeat(np.repeat(level[None] * 3, 16, 0), 2, 1)
    assert fingerprint(steep, (40, 30)).undecided == 0
