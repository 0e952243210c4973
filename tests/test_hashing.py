"""3 Hashing one: copies have nearly the same Prints, whatever their size and whichever way up."""

import cv2
import numpy as np
import pytest

from conftest import draw, encode, half, hash_of
from hash_and_search import TURNS, decode, prints, thumbnails, to_grey, turned_by


def prints_of(image, count=1):
    return prints(to_grey(image), TURNS[:count])


def bits_apart(one, other):
    return (one.row ^ other.row).bit_count() + (one.column ^ other.column).bit_count()


def test_copies_have_nearly_the_same_hash():
    for seed in range(20):
        image = draw(seed, 640, 480)
        whole = hash_of(encode(image))
        (both,) = prints_of(image)
        for copy in (half(image), half(half(image)), cv2.convertScaleAbs(image, beta=10)):
            for content in (encode(copy), encode(copy, quality=60), encode(copy, ".png")):
                assert (whole ^ hash_of(content)).bit_count() <= 4
                (print_,) = prints(decode(content)[0])
                assert bits_apart(both, print_) <= 8
        assert (whole ^ hash_of(encode(draw(seed + 100)))).bit_count() > 8
        assert bits_apart(both, prints_of(draw(seed + 100))[0]) > 28


@pytest.mark.parametrize("shape", [(1, 1), (15, 400), (400, 17), (16, 18), (3, 3)])
def test_tiny_pictures_have_a_hash(shape):
    image = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    grey, size = decode(encode(image, ".png"))
    assert size == shape[::-1]
    found = prints(grey)
    assert len(found) == (0 if shape == (1, 1) else 1)  # one pixel is a blank picture
    for row, column, levels in found:
        assert 0 <= row < 2**64 and 0 <= column < 2**64 and len(levels) == 72


@pytest.mark.parametrize("shape", [(480, 640), (479, 641), (37, 53), (8, 9), (5, 7), (1, 300)])
def test_a_thumbnail_holds_the_means_of_its_boxes(shape):
    image = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    upright, transposed = thumbnails(image)
    # Each pixel as 72 x 72 equal ones: then each box ends where pixels do.
    large = image.repeat(72, 0).repeat(72, 1).astype(np.float64) if image.size < 2000 else None
    for (high, wide), found in (((8, 9), upright), ((9, 8), transposed.T)):
        assert found.shape == (high, wide)
        if large is not None:
            boxes = large.reshape(high, large.shape[0] // high, wide, large.shape[1] // wide)
            assert np.abs(boxes.mean((1, 3)) - found).max() < 0.01
        elif shape[0] % high == shape[1] % wide == 0:
            boxes = image.reshape(high, shape[0] // high, wide, shape[1] // wide)
            assert np.abs(boxes.mean((1, 3)) - found).max() < 0.01
        else:
            area = cv2.resize(image.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA)
            assert np.abs(area - found).max() < 0.5


def test_a_picture_of_many_pixels_has_the_prints_of_a_small_one():
    small = draw(8, 700, 500)
    large = cv2.resize(small, (7000, 5000), interpolation=cv2.INTER_NEAREST)
    (one,), (other,) = prints_of(small), prints_of(large)
    assert bits_apart(one, other) <= 1
    levels = (np.frombuffer(each.levels, np.uint8).astype(int) for each in (one, other))
    assert np.abs(np.subtract(*levels)).max() <= 1


def test_the_prints_of_a_picture_turned_are_those_of_the_turned_picture():
    image = draw(9, 504, 360)  # whose boxes end where pixels do, on its side too
    found = prints_of(image, len(TURNS))
    assert len(found) == 8 and len({(each.row, each.column) for each in found}) == 8
    for number, print_ in enumerate(found):
        assert bits_apart(print_, prints_of(turned_by(image, number))[0]) <= 1, number
    assert prints_of(image) == found[:1] and prints_of(image, 2) == found[:2]
    assert (turned_by(image, 0) == image).all() and (turned_by(image, 1) == image[:, ::-1]).all()
    turns = {turned_by(image, number).tobytes() for number in range(8)}
    upright = {np.rot90(image, number).tobytes() for number in range(4)}
    mirrored = {np.rot90(image[:, ::-1], number).tobytes() for number in range(4)}
    assert turns == upright | mirrored and len(turns) == 8


def test_a_blank_picture_has_none_and_a_dark_or_pale_one_has():
    rng = np.random.default_rng(4)
    for level in (0, 128, 255):
        page = np.full((480, 640), level, np.uint8)
        assert prints(page) == []
        noisy = np.clip(page + rng.normal(0, 4, page.shape), 0, 255).astype(np.uint8)
        assert prints(noisy) == []
    for low in (0, 200):  # few levels, but not blank
        assert len(prints((to_grey(draw(5)) // 5 + low).astype(np.uint8))) == 1
    sky = np.repeat(np.linspace(200, 240, 480)[:, None], 640, 1).astype(np.uint8)
    assert len(prints(sky)) == 1


def test_noise_on_even_ground_changes_little():
    rng = np.random.default_rng(5)
    page = np.full((480, 640), 120, np.uint8)
    page[100:380, 150:500] = to_grey(draw(6, 350, 280))
    (whole,) = prints(page)
    for _ in range(5):
        noisy = np.clip(page + rng.normal(0, 3, page.shape), 0, 255).astype(np.uint8)
        assert bits_apart(whole, prints(noisy)[0]) <= 4
