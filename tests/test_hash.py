import doctest

import cv2
import numpy as np
import pytest

import hash_and_search
from article import article_hash
from conftest import draw, encode, half, stored
from hash_and_search import decode_grey, dhash, photograph_hash


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
        whole = photograph_hash(encode(image))
        for copy in (half(image), half(half(image)), cv2.convertScaleAbs(image, beta=10)):
            for content in (encode(copy), encode(copy, quality=60), encode(copy, ".png")):
                assert (whole ^ photograph_hash(content)).bit_count() <= 4
        assert (whole ^ photograph_hash(encode(draw(seed + 100)))).bit_count() > 8


def test_a_large_jpeg_is_read_reduced_and_hashes_like_a_small_one(tmp_path):
    image = draw(5, 2400, 1800)
    image = cv2.add(image, np.random.default_rng(0).integers(0, 24, image.shape).astype(np.uint8))
    large = tmp_path / "large.jpg"
    large.write_bytes(encode(image, quality=95))
    assert large.stat().st_size > 256 * 1024
    assert decode_grey(large.read_bytes()).shape == (225, 300)
    small = photograph_hash(encode(half(half(half(image)))))
    assert (photograph_hash(large.read_bytes()) ^ small).bit_count() <= 1


def test_orientation_is_honoured():
    image = draw(7)
    upright = photograph_hash(encode(image))
    for orientation in range(1, 9):
        assert (photograph_hash(stored(image, orientation)) ^ upright).bit_count() <= 1, orientation


@pytest.mark.parametrize("shape", [(1, 1), (15, 400), (400, 17), (16, 18), (3, 3)])
def test_tiny_pictures_have_a_hash(shape):
    image = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    assert 0 <= photograph_hash(encode(image, ".png")) < 2**64


def test_smooth_pictures_match_their_exact_copies_only():
    across, down = np.meshgrid(np.arange(320), np.arange(240))
    pictures = [np.full((240, 320), level) for level in (0, 128, 254)]
    pictures += [down / 2 + shift for shift in (0, 20)]
    pictures += [across / 2 + shift for shift in (0, 20)]
    pictures += [120 - np.hypot(across - 160, down - 120) / scale for scale in (2, 3)]
    pictures = [encode(picture.astype(np.uint8), ".png") for picture in pictures]
    hashes = [photograph_hash(picture) for picture in pictures]
    assert hashes == [photograph_hash(picture) for picture in pictures]
    for i, first in enumerate(hashes):
        for second in hashes[:i]:
            assert (first ^ second).bit_count() > 8
