"""5 Searching: the same bytes, candidates, the look, which copies last, what is told apart."""

import datetime
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

import hash_and_search
from conftest import (
    RAW,
    SCRIPT,
    VIDEO,
    command,
    counting,
    draw,
    encode,
    half,
    put,
    stored,
    taken_at,
    with_exif,
    with_orientation,
    with_segment,
    without_root_powers,
)
from hash_and_search import Haystack, Listing, Photo, Print, View, are_shots
from pictures import (
    APPS,
    FAMILIES,
    WORDS,
    cut_out,
    dimmed,
    drawn,
    drawn_copies,
    form,
    invoice,
    ledger,
    letter,
    long_chat,
    panorama,
    paper_copies,
    receipt,
    resized,
    screen_copies,
    screenshot,
    spreadsheet,
    statement,
)

linux = sys.platform.startswith("linux")
ACROSS, DOWN = np.meshgrid(np.linspace(0, 1, 640), np.linspace(0, 1, 480))


def things(seed, width=640, height=480):
    """A patchwork with 120 discs before it, as a photograph of many things: BGR."""
    image, rng = draw(seed, width, height), np.random.default_rng([400, seed])
    for _ in range(120):
        place = int(rng.integers(width)), int(rng.integers(height))
        colour, radius = rng.integers(0, 256, 3).tolist(), int(rng.integers(3, 12))
        cv2.circle(image, place, radius, colour, -1, cv2.LINE_AA)
    return image


def noisy(image, seed=0):
    """What a second shot of a burst has of the first: all but the noise."""
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    return clipped(image + noise)


def page(changed=None):
    """A page of 42 words, one of which may be another: BGR uint8 (960, 720)."""
    rng, image = np.random.default_rng(300), np.full((960, 720, 3), 250, np.uint8)
    cv2.rectangle(image, (0, 0), (720, 90), (160, 90, 40), -1)
    for number in range(42):
        word = str(rng.choice(WORDS))
        if number == changed:
            word = "silver" if word == "winter" else "winter"
        place = 40 + number % 3 * 220, 160 + number // 3 * 56
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, word, place, font, 1.0, (40, 36, 33), 2, cv2.LINE_AA)
    return image


def sky(slope, brighter=0):
    return clipped(240 - 480 * DOWN * slope + brighter)


def hued(pattern, amount=30):
    """A picture of things whose greys are always the same, whatever its colours: BGR."""
    grey = clipped(cv2.cvtColor(things(2), cv2.COLOR_BGR2GRAY) * 0.5 + 60).astype(float)
    return clipped(grey[..., None] + amount * pattern[..., None] * [1, 0, -0.114 / 0.299])


def clipped(levels):
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


def decoded(tree, *options, **more):
    """How many pictures OpenCV decodes in a run."""
    put(tree.path / "decoded", b"")
    done = tree.run(*options, env=counting(tree.path), **more)
    assert done.status == 0
    return (tree.path / "decoded").stat().st_size


# ------------------------------------------------------------------------------------------------
# The look: each rule alone
# ------------------------------------------------------------------------------------------------


def is_same_picture(image, other):
    coloured = (
        cv2.cvtColor(each, cv2.COLOR_GRAY2BGR) if each.ndim == 2 else each
        for each in (image, other)
    )
    return hash_and_search.is_same_picture(*map(View, coloured))


def is_refused_by(rule, image, other, monkeypatch):
    """Whether two pictures are not the same by one of the rules, and without it are."""
    if is_same_picture(image, other) or is_same_picture(other, image):
        return False
    with monkeypatch.context() as without:
        without.setattr(hash_and_search, rule, lambda *_: True)
        return is_same_picture(image, other) and is_same_picture(other, image)


def test_structure_one_word_that_is_another_is_another_page(monkeypatch):
    image = page()
    assert is_same_picture(image, page())
    assert is_same_picture(half(image), image) and is_same_picture(image, half(image))
    for quality in (90, 60, 30):
        assert is_same_picture(image, cv2.imdecode(
            np.frombuffer(encode(half(image), quality=quality), np.uint8), cv2.IMREAD_COLOR
        ))  # fmt: skip
    for changed in range(42):
        assert is_refused_by("structures_agree", image, page(changed), monkeypatch), changed
        assert not is_same_picture(half(image), page(changed)), changed


def test_levels_a_part_that_is_much_brighter_is_another_picture(monkeypatch):
    image = clipped(things(1) * 0.4 + 70.0)
    light = np.exp(-(((ACROSS - 0.3) / 0.25) ** 2 + ((DOWN - 0.4) / 0.3) ** 2))[..., None]
    assert is_same_picture(image, clipped(image + 4 * light))
    assert is_same_picture(image, clipped(image + 20.0))  # everywhere
    assert is_same_picture(image, clipped(image * 1.3 - 30))
    assert is_refused_by("levels_agree", image, clipped(image + 40 * light), monkeypatch)


def test_levels_of_plain_pictures_two_skies_are_two(monkeypatch):
    assert is_same_picture(sky(0.30), sky(0.30, 5))
    assert is_same_picture(sky(0.30), half(sky(0.30)))
    assert is_same_picture(sky(0.30), sky(0.302))
    for slope in (0.27, 0.33):
        assert is_refused_by("levels_agree", sky(0.30), sky(slope), monkeypatch)
    # with things in it, the same steps are an edit
    steeper = clipped(things(1) * 0.5 + 60 + 14 * DOWN[..., None])
    assert is_same_picture(clipped(things(1) * 0.5 + 60.0), steeper)


def test_colours_the_same_greys_in_other_hues_are_another_picture(monkeypatch):
    pattern = np.sin(6 * ACROSS) * np.cos(5 * DOWN)
    image = hued(pattern)
    greys = [cv2.cvtColor(hued(each), cv2.COLOR_BGR2GRAY) for each in (pattern, -pattern)]
    assert cv2.absdiff(*greys).max() <= 1
    assert is_same_picture(image, hued(pattern, 60))  # more saturated
    assert is_same_picture(image, hued(pattern + 0.5))  # warmer
    assert is_same_picture(image, greys[0]) and is_same_picture(greys[0], image)
    assert is_same_picture(image, hued(-pattern, 1))  # as good as grey
    for other in (-pattern, np.cos(9 * ACROSS + 2) * np.sin(7 * DOWN)):
        assert is_refused_by("colours_agree", image, hued(other), monkeypatch)


def test_colours_damaged_in_a_part_are_another_picture(monkeypatch):
    pattern = np.sin(6 * ACROSS) * np.cos(5 * DOWN)
    image, damaged = hued(pattern), hued(pattern + 1.5 * (DOWN > 0.75))
    assert is_refused_by("colours_agree", image, damaged, monkeypatch)
    for amount in (20, 60):  # as a filter changes them: by what they are, everywhere
        assert is_same_picture(image, hued(pattern + 0.5, amount))
    assert is_same_picture(image, hued(pattern * (DOWN < 0.98)))  # a cut file's end


def test_pictures_of_every_shape_can_be_looked_at():
    rng = np.random.default_rng(8)
    shapes = [(1, 1), (1, 900), (900, 1), (2, 3), (7, 9), (512, 5), (33, 512)]
    for shape in shapes:
        image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
        assert is_same_picture(image, image.copy())
        for other in shapes:
            for channels in ((), (3,)):
                second = rng.integers(0, 256, (*other, *channels)).astype(np.uint8)
                assert is_same_picture(image, second) in (True, False)


def test_times_two_shots_of_a_burst_are_two():
    noon = datetime.datetime(2014, 12, 24, 12)

    def after(*seconds):
        return frozenset(noon + datetime.timedelta(seconds=each) for each in seconds)

    assert are_shots(after(0), after(3)) and are_shots(after(3), after(0))
    assert are_shots(after(0), after(59)) and not are_shots(after(0), after(60))
    assert not are_shots(after(0), after(0)) and not are_shots(after(0), after(3600))
    assert not are_shots(after(0, 5), after(5, 9))  # a copy that was changed later
    assert not are_shots(after(0), after()) and not are_shots(after(), after(0))


def test_times_in_the_files_tell_shots_of_a_burst_apart(tree):
    first, second = things(1), noisy(things(1))
    put(tree.path / "photos" / "1.jpg", taken_at(encode(first), "2014:12:24 18:00:00"))
    for name, time in {
        "same": "2014:12:24 18:00:00",
        "one second": "2014:12:24 18:00:01",
        "before": "2014:12:24 17:59:20",
        "an hour": "2014:12:24 19:00:00",
        "no time": "0000:00:00 00:00:00",
    }.items():
        put(tree.needles / name / "a.jpg", taken_at(encode(second, quality=85), time))
    put(tree.needles / "no EXIF" / "a.jpg", encode(second, quality=85))
    put(tree.needles / "no EXIF" / "a.png", second)
    done = tree.run(haystack=("photos",))
    assert done.printed == ["before", "one second"]
    rows = tree.findings(haystack=("photos",))
    for name in ("before", "one second"):  # and the other shot is shown
        assert rows[f"{name}/a.jpg"]["lookalike"] == os.path.join("photos", "1.jpg")
    # the shot itself is found beside the others
    put(tree.path / "photos" / "2.jpg", taken_at(encode(second), "2014:12:24 18:00:01"))
    rows = tree.findings(haystack=("photos",))
    assert rows["one second/a.jpg"]["match"] == os.path.join("photos", "2.jpg")
    assert rows["same/a.jpg"]["match"] == os.path.join("photos", "1.jpg")


def test_by_the_command_what_each_rule_refuses_is_missing(tree):
    bright = np.exp(-(((ACROSS - 0.3) / 0.25) ** 2 + ((DOWN - 0.4) / 0.3) ** 2))[..., None]
    pattern = np.sin(6 * ACROSS) * np.cos(5 * DOWN)
    calm = clipped(things(1) * 0.4 + 70.0)
    pairs = {
        "structure": (page(), page(7)),
        "levels": (calm, clipped(calm + 40 * bright)),
        "skies": (sky(0.30), sky(0.33)),
        "colours": (hued(pattern), hued(-pattern)),
    }
    for name, (image, other) in pairs.items():
        put(tree.path / "photos" / f"{name}.png", image)
        put(tree.needles / f"copy of {name}" / "a.jpg", encode(half(image), quality=80))
        put(tree.needles / f"other {name}" / "a.jpg", encode(other))
    rows = tree.findings(haystack=("photos",))
    for name in pairs:
        original = os.path.join("photos", f"{name}.png")
        copy, other = rows[f"copy of {name}/a.jpg"], rows[f"other {name}/a.jpg"]
        assert (copy["status"], copy["match"], copy["lookalike"]) == ("found", original, "")
        assert (other["status"], other["match"], other["lookalike"]) == ("missing", "", original)
        assert other["distance"] == "" and 0 <= int(copy["distance"]) <= 24
    assert tree.run(haystack=("photos",)).printed == [f"other {name}" for name in sorted(pairs)]


# ------------------------------------------------------------------------------------------------
# The second look, and what it need not see
# ------------------------------------------------------------------------------------------------

LITTLE = {  # pictures of which another seed differs in what the first look does not see
    "invoices": lambda seed: invoice(3, 0, month=seed + 1),
    "spreadsheets": spreadsheet,
    "ledgers": lambda seed: ledger(seed, rows=60),
    "receipts": lambda seed: receipt(seed, lines=150),
    "chats": lambda seed: long_chat(seed, count=60),
    "panoramas": lambda seed: panorama(seed, width=12000, height=300),
    "letters": letter,
    "dim": lambda seed: dimmed(dotted(seed), 8),
}


def dotted(seed):
    """Things at night, each seed with other stars: BGR."""
    image, rng = clipped(things(1) * 0.6 + 40), np.random.default_rng([500, seed])
    for left, top in rng.integers(10, 470, (30, 2)).tolist():
        cv2.circle(image, (left, top), 2, (250, 250, 250), -1, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("kind", LITTLE)
def test_what_differs_in_little_is_missing_and_its_copies_are_found(tree, kind):
    original = LITTLE[kind](0)
    ending = ".png" if kind in ("spreadsheets", "chats") else ".jpg"
    put(tree.path / "papers" / f"0{ending}", original)
    for seed in (1, 2):
        put(tree.needles / f"other {seed}" / f"a{ending}", LITTLE[kind](seed))
    for name, content in paper_copies(original):
        put(tree.needles / "copies" / f"{name}.jpg", content)
    rows = tree.findings(haystack=("papers",))
    missing = [path for path, row in rows.items() if row["status"] == "missing"]
    assert missing == [f"other 1/a{ending}", f"other 2/a{ending}"]


def test_the_first_look_sees_a_light_of_two_pixels():
    night = clipped(things(1)[:288, :384] * 0.2)
    lit = night.copy()
    lit[100, 200:202] = 255
    assert not is_same_picture(night, lit)
    assert is_same_picture(lit, clipped(lit * 0.7 + 5))


def test_details_decide_what_the_first_look_passes(monkeypatch):
    month, other = (cv2.cvtColor(invoice(3, 0, each), cv2.COLOR_GRAY2BGR) for each in (1, 2))
    views = [View(each, each.shape[1::-1]) for each in (month, other)]
    assert hash_and_search.is_same_picture(*views)
    assert not hash_and_search.details_agree(*views)
    small, other_small = (View(half(each), half(each).shape[1::-1]) for each in (month, other))
    assert hash_and_search.details_agree(views[0], small)
    assert not hash_and_search.details_agree(views[0], other_small)
    for shape in ((1, 1), (1, 900), (2, 3)):
        image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
        assert hash_and_search.details_agree(View(image, shape[::-1]), View(image, shape[::-1]))


def test_of_a_year_of_one_paper_each_month_is_found(tree):
    for month in range(12):
        paper = invoice(1, 0, month=month + 1)
        put(tree.path / "papers" / f"{month}.jpg", encode(paper, quality=85))
        put(tree.needles / "copies" / f"{month}.jpg", encode(paper, quality=70))
    put(tree.needles / "next" / "12.jpg", encode(invoice(1, 0, month=13), quality=85))
    done = tree.run(haystack=("papers",))
    assert (done.printed, done.partly) == (["next"], [])


def test_a_blurred_copy_is_found_and_a_blurred_paper_of_another_month_is_not(tree):
    for month in (1, 2):
        blurred = cv2.GaussianBlur(invoice(3, 0, month), (0, 0), 1.75)
        put(tree.needles / f"month {month}" / "blurred.jpg", encode(blurred))
    put(tree.path / "papers" / "1.jpg", invoice(3, 0, 1))
    assert tree.run(haystack=("papers",)).printed == ["month 2"]


def test_a_needle_is_not_given_up_for_what_the_library_has_only_blurred(tree):
    put(tree.path / "papers" / "1.jpg", encode(cv2.GaussianBlur(invoice(3, 0, 1), (0, 0), 1.75)))
    put(tree.needles / "sharp" / "1.jpg", invoice(3, 0, 1))
    assert tree.run(haystack=("papers",)).printed == ["sharp"]


def test_plain_by_its_hash_is_not_plain_where_something_stands_out():
    """A chat's 9 x 8 boxes are as smooth as a sky's."""
    image = long_chat(0, count=60)
    assert is_same_picture(image, clipped(image * 0.85 + 19))
    assert not is_same_picture(sky(0.30), clipped(sky(0.30) * 0.85 + 19))


def test_the_same_compressed_picture_is_found_whatever_its_segments_say(tree):
    content = encode(things(1))
    content = content[:2] + content[20:]  # without JFIF, which would tell the colours' meaning
    taken = {second: taken_at(content, f"2014:12:24 18:00:{second}") for second in ("00", "23")}
    put(tree.path / "photos" / "1.jpg", taken["00"])
    adobe = b"Adobe\0\x64\0\0\0\0\0"  # its colours are no YCbCr
    for name, data in {
        "clock set": taken["23"],
        "with a comment": with_segment(taken["23"], b"by us", b"\xfe"),
        "on its side": with_orientation(taken["23"], 3),
        "other colours": with_segment(taken["23"], adobe, b"\xee"),
        "coded again": taken_at(encode(things(1), quality=91), "2014:12:24 18:00:23"),
    }.items():
        put(tree.needles / name / "a.jpg", data)
    printed = tree.run(haystack=("photos",)).printed
    assert printed == ["coded again", "on its side", "other colours"]


BURST = (".png", ".tiff", ".webp", ".heic", ".jpg")


@pytest.mark.parametrize("ending", BURST)
def test_times_are_read_wherever_they_stand(tree, ending):
    first, second = things(1), noisy(things(1))
    times = {"0": "18:00:00", "1": "18:00:02"}
    put(tree.path / "photos" / f"1{ending}", with_exif(first, ending, f"2014:12:24 {times['0']}"))
    for name, time in times.items():
        content = with_exif(second, ending, f"2014:12:24 {time}")
        put(tree.needles / f"after {name}" / f"a{ending}", content)
    assert tree.run(haystack=("photos",)).printed == ["after 1"]


def test_fractions_of_a_second_tell_shots_apart(tree):
    first, second, time = things(1), noisy(things(1)), "2014:12:24 18:00:00"
    put(tree.path / "photos" / "1.jpg", with_exif(first, ".jpg", time, "250", quality=90))
    for name, fraction in {"same": "25", "other": "75", "not known": ""}.items():
        content = with_exif(second, ".jpg", time, fraction, quality=85)
        put(tree.needles / name / "a.jpg", content)
    assert tree.run(haystack=("photos",)).printed == ["other"]


def test_equal_pixels_are_one_picture_whatever_the_times(tree):
    image = things(1)
    put(tree.path / "photos" / "1.png", with_exif(image, ".png", "2014:12:24 18:00:00"))
    changed = image.copy()
    changed[100, 100] ^= 1
    for name, content in {"equal": image, "not equal": changed}.items():
        content = with_exif(content, ".tiff", "2014:12:24 18:00:23")
        put(tree.needles / name / "a.tiff", content)
    assert tree.run(haystack=("photos",)).printed == ["not equal"]


@pytest.mark.parametrize("ending", [".png", ".webp", ".tiff", ".heic"])
def test_another_outline_is_another_picture(tree, ending):
    outlined = [cut_out(things(1), seed) for seed in (0, 1, 2)]
    put(tree.path / "photos" / f"1{ending}", with_exif(outlined[0], ending))
    put(tree.needles / "copy" / "a.png", half(outlined[0]))
    put(tree.needles / "colours" / "a.png", things(1))
    for seed in (1, 2):
        put(tree.needles / f"outline {seed}" / f"a{ending}", with_exif(outlined[seed], ending))
    printed = tree.run(haystack=("photos",)).printed
    assert printed == ["colours", "outline 1", "outline 2"]


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_a_candidate_that_cannot_be_opened_is_told_and_no_answer(tree):
    photo = tree.path / "photos" / "1.jpg"
    put(photo, things(1))
    assert tree.run("--cache", "cache", haystack=("photos",)).printed == []
    put(tree.needles / "x" / "a.jpg", encode(things(1), quality=70))
    photo.chmod(0)
    options = {"haystack": ("photos",), "preexec_fn": without_root_powers}
    done = tree.run("--cache", "cache", **options)
    assert done.printed == ["x"]
    assert done.warnings == [f"cannot read {os.path.join('photos', '1.jpg')}: Permission denied"]
    photo.chmod(0o644)
    assert tree.run("--cache", "cache", **options).printed == []


# ------------------------------------------------------------------------------------------------
# Lesser copies
# ------------------------------------------------------------------------------------------------


def test_what_the_library_has_only_smaller(tree):
    for seed in range(20, 26):
        put(tree.path / "haystack" / "small" / f"{seed}.jpg", half(draw(seed, 640, 480)))
    for seed in (20, 21):
        put(tree.path / "haystack" / "whole" / f"{seed}.png", draw(seed, 640, 480))
    put(tree.path / "haystack" / "nearly" / "22.jpg", cv2.resize(draw(22, 640, 480), (630, 470)))
    for seed in range(20, 26):
        put(tree.needles / "party" / f"{seed}.jpg", encode(draw(seed, 640, 480)))
    put(tree.needles / "party" / "new.jpg", draw(70))
    put(tree.needles / "again" / "25.jpg", encode(draw(25, 640, 480), quality=80))
    put(tree.needles / "whole" / "2.jpg", encode(draw(2), quality=80))
    turned = np.ascontiguousarray(np.rot90(draw(21, 640, 480)))
    put(tree.needles / "on its side" / "a.jpg", turned)
    put(tree.needles / "by EXIF" / "a.jpg", stored(draw(20, 640, 480), 6))
    done = tree.run("--rotated")
    assert (done.status, done.printed) == (0, [])
    assert "4 of 7 lacking: party" in done.partly
    assert "[INFO] 11 photographs and videos: 6 found, 1 missing" in done.err
    assert ", 4 better here\n" in done.err
    rows = tree.findings("--rotated")
    better = ["again/25.jpg", *(f"party/{seed}.jpg" for seed in (23, 24, 25))]
    assert sorted(path for path, row in rows.items() if row["status"] == "better") == better
    for path in better:
        assert (rows[path]["pixels"], rows[path]["match_pixels"]) == ("640x480", "320x240")
        assert rows[path]["reason"] == "smaller"
    side = rows["on its side/a.jpg"]
    assert (side["status"], side["pixels"], side["match_pixels"]) == ("found", "480x640", "640x480")
    assert rows["by EXIF/a.jpg"]["pixels"] == "640x480"
    assert [path for path, row in rows.items() if row["status"] == "missing"] == ["party/new.jpg"]


def test_smaller_means_less_than_nine_tenths_of_the_pixels(tree):
    for seed, width in ((1, 575), (2, 576), (3, 700)):
        put(tree.path / "photos" / f"{seed}.png", cv2.resize(things(seed), (width, 480)))
        put(tree.needles / "x" / f"{seed}.png", things(seed))
    rows = tree.findings(haystack=("photos",))
    assert [rows[f"x/{seed}.png"]["status"] for seed in (1, 2, 3)] == ["better", "found", "found"]
    assert rows["x/1.png"]["match_pixels"] == "575x480"


def test_what_the_library_has_only_in_grey(tree):
    pictures = {
        "colour": things(1),
        "pale": clipped(things(2) * 0.1 + cv2.cvtColor(things(2), cv2.COLOR_BGR2GRAY)[..., None]),
        "faint": clipped(things(6) * 0.04 + cv2.cvtColor(things(6), cv2.COLOR_BGR2GRAY)[..., None]),
        "grey": cv2.cvtColor(things(3), cv2.COLOR_BGR2GRAY),
        "grey in three": np.dstack([cv2.cvtColor(things(4), cv2.COLOR_BGR2GRAY)] * 3),
        "yellowed": clipped(np.dstack([cv2.cvtColor(things(5), cv2.COLOR_BGR2GRAY)] * 3)
                            * np.array([0.98, 1.0, 1.0])),
    }  # fmt: skip
    for name, image in pictures.items():
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        put(tree.path / "photos" / f"{name}.jpg", grey)
        put(tree.needles / "x" / f"{name}.jpg", encode(image, quality=80))
        put(tree.path / "colours" / f"{name}.jpg", image)
        put(tree.path / "greys" / f"{name}.jpg", encode(grey, quality=80))
    rows = tree.findings(haystack=("photos",))
    found = {path: (row["status"], row["reason"]) for path, row in rows.items()}
    assert found == {
        "x/colour.jpg": ("better", "only in grey"),
        "x/pale.jpg": ("better", "only in grey"),
        "x/faint.jpg": ("better", "only in grey"),
        "x/grey.jpg": ("found", ""),
        "x/grey in three.jpg": ("found", ""),
        "x/yellowed.jpg": ("found", ""),
    }
    rows = tree.findings(haystack=("photos", "colours"))
    assert {row["status"] for row in rows.values()} == {"found"}
    # and the other way round, what is only grey is found in colour
    rows = tree.findings(haystack=("colours",), needles="greys")
    assert {row["status"] for row in rows.values()} == {"found"}


def test_a_smaller_match_is_passed_over_for_one_that_is_not(tree):
    image = things(30)
    put(tree.path / "haystack" / "a" / "small.png", half(image))
    put(tree.path / "haystack" / "a" / "grey.png", cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    put(tree.needles / "x" / "a.png", image)
    row = tree.findings()["x/a.png"]
    assert row["status"] == "better" and row["match"].startswith(os.path.join("haystack", "a"))
    poor = cv2.convertScaleAbs(image, alpha=0.8, beta=40)
    put(tree.path / "haystack" / "b" / "poor.jpg", encode(poor, quality=30))
    row = tree.findings()["x/a.png"]
    poor = os.path.join("haystack", "b", "poor.jpg")
    assert (row["status"], row["reason"], row["match"]) == ("found", "", poor)
    assert row["match_pixels"] == "640x480" and int(row["distance"]) >= 0


# ------------------------------------------------------------------------------------------------
# Candidates and look-alikes
# ------------------------------------------------------------------------------------------------


def test_at_most_five_candidates_are_opened(tree):
    put(tree.needles / "x" / "a.jpg", page(41))
    for number in range(9):
        put(tree.path / "pages" / f"{number}.jpg", page(number))
        there = number + 1
        opened = decoded(tree, haystack=("pages",)) - there - 1
        assert opened == min(there, 5)
    rows = tree.findings(haystack=("pages",))
    assert rows["x/a.jpg"]["status"] == "missing" and rows["x/a.jpg"]["lookalike"]


def test_a_copy_is_among_the_five_of_many_pages_that_are_alike(tree):
    for number in range(12):
        put(tree.path / "pages" / f"{number:02}.jpg", page(number))
        put(tree.needles / "x" / f"{number:02}.jpg", encode(half(page(number)), quality=85))
    for path, row in tree.findings(haystack=("pages",)).items():
        assert (row["status"], os.path.basename(row["match"])) == ("found", os.path.basename(path))


def test_what_is_cropped_or_mirrored_only_looks_alike(tree):
    for seed in range(1, 7):
        image = things(seed)
        put(tree.path / "photos" / f"{seed}.jpg", image)
        cropped = image[10:-10, 13:-13]  # 2 % on each side
        put(tree.needles / "cropped" / f"{seed}.jpg", np.ascontiguousarray(cropped))
        put(tree.needles / "mirrored" / f"{seed}.jpg", np.ascontiguousarray(image[:, ::-1]))
        put(tree.needles / "unseen" / f"{seed}.jpg", things(seed + 20))
    done = tree.run(haystack=("photos",))
    assert done.printed == ["cropped", "mirrored", "unseen"]
    rows = tree.findings(haystack=("photos",))
    for path, row in rows.items():
        original = os.path.join("photos", os.path.basename(path))
        expected = "" if path.startswith("unseen") else original
        assert (row["status"], row["match"], row["distance"]) == ("missing", "", "")
        assert row["lookalike"] == expected, path
    rows = tree.findings("--rotated", haystack=("photos",))
    for path, row in rows.items():
        if path.startswith("mirrored"):
            original = os.path.join("photos", os.path.basename(path))
            assert (row["status"], row["match"], row["lookalike"]) == ("found", original, "")
        else:
            assert row["status"] == "missing"


def test_a_look_alike_ends_no_alarm_and_is_not_the_needle_itself(tree):
    put(tree.path / "haystack" / "import" / "a.jpg", things(60))
    row = tree.findings(haystack=("haystack",), needles="haystack/import")["a.jpg"]
    assert (row["status"], row["lookalike"]) == ("missing", "")
    done = tree.run("--exit-code", haystack=("haystack",), needles="haystack/import")
    assert (done.status, done.printed) == (1, ["import"])


def test_the_match_is_the_nearest_and_the_first_by_path(tree):
    for folder in ("b", "a", "c"):
        put(tree.path / "haystack" / folder / "copy.jpg", encode(things(20)))
    put(tree.path / "haystack" / "0" / "worse.jpg", encode(things(20), quality=10))
    put(tree.needles / "x" / "same.jpg", encode(things(20)))
    put(tree.needles / "x" / "picture.png", things(20))
    rows = tree.findings()
    first = os.path.join("haystack", "a", "copy.jpg")
    same, picture = rows["x/same.jpg"], rows["x/picture.png"]
    assert (same["status"], same["distance"], same["match"]) == ("found", "", first)
    assert (picture["status"], picture["match"]) == ("found", first)
    assert picture["distance"].isdecimal()


def test_candidates_are_those_of_a_plain_search(tmp_path):
    """More than the search takes in at once, with some that are near at odd places."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    library, needles = Listing(str(tmp_path / "a"), True), Listing(str(tmp_path / "b"), False)
    needles.folders = hash_and_search.folder_ids(str(tmp_path / "b"))
    count, levels = 2**17 + 1000, bytes(range(72))
    library.files = [str(tmp_path / "a" / f"{place}.jpg") for place in range(count)]
    haystack = Haystack([library], needles)
    rng = np.random.default_rng(9)
    rows, columns = (rng.integers(0, 2**64, count, np.uint64, False).tolist() for _ in range(2))
    near = {0: 0, 5: 3, 2**17 - 1: 24, 2**17: 24, 2**17 + 1: 25, count - 2: 29, count - 1: 12}
    for place, bits in near.items():  # of the needle, which has none
        flipped = sum(1 << int(bit) for bit in rng.permutation(128)[:bits])
        rows[place], columns[place] = flipped & (2**64 - 1), flipped >> 64
    rows[7] = 0  # an equal hash, as the article looks it up
    for place in range(count):
        path = str(tmp_path / "a" / f"{place}.jpg")
        haystack.add(Photo(path, (9, 8), (Print(rows[place], columns[place], levels),)))
    assert len(haystack.paths) == count
    sought = Print(0, 0, levels)
    far = Print(rows[9], columns[9], levels)
    bits = [rows[place].bit_count() + columns[place].bit_count() for place in range(count)]
    for most in (0, 3, 23, 24, 28):
        expected = [[0, p, bits[p]] for p in range(count) if rows[p] == 0 or bits[p] <= most]
        assert haystack.places_near([sought], [most]).T.tolist() == expected
        both = [[0, 9, 0], *([1, place, apart] for _, place, apart in expected)]
        assert sorted(haystack.places_near([far, sought], [0, most]).T.tolist()) == both
    needle = Photo(str(tmp_path / "b" / "x.jpg"), (9, 8), (sought,))
    for place in near:
        put(tmp_path / "a" / f"{place}.jpg", b"there")
    put(tmp_path / "a" / "7.jpg", b"there")
    put(needle.path, b"needle")
    found = [os.path.basename(each.path)[:-4] for each in haystack.candidates(needle, False)]
    assert len(found) == len(set(found)) == 6 and set(found) <= {str(each) for each in (*near, 7)}
    assert str(2**17 + 1) not in found and str(count - 2) not in found


# ------------------------------------------------------------------------------------------------
# The same bytes
# ------------------------------------------------------------------------------------------------


def test_a_needle_with_the_same_bytes_is_not_decoded(tree):
    for seed in range(3):
        put(tree.needles / "same" / f"{seed}.jpg", encode(draw(seed)))
    assert decoded(tree) == 8
    assert tree.run().printed == []
    put(tree.needles / "other" / "3.jpg", encode(draw(3), quality=70))
    assert decoded(tree) == 8 + 1 + 1  # the needle, and the one that its hash proposes
    put(tree.needles / "new" / "a.jpg", draw(50))
    put(tree.needles / "new" / "twin.jpg", draw(50))  # which does not vouch
    assert decoded(tree) == 8 + 1 + 1 + 2
    rows = tree.findings()
    for seed in range(3):
        row = rows[f"same/{seed}.jpg"]
        original = os.path.join("haystack", "2006", f"{seed}.jpg")
        assert (row["status"], row["distance"], row["match"]) == ("found", "", original)
        assert int(row["bytes"]) == len(encode(draw(seed)))


def test_bytes_decide_where_pixels_do_not(tree):
    broken = encode(draw(1))[:5000]
    pages = [np.full((60, 80, 3), level, np.uint8) for level in (255, 254)]
    contents = {
        "video.MOV": VIDEO,
        "raw.DNG": RAW,
        "raw.cr2": RAW[::-1],
        "broken.jpg": broken,
        "blank.png": encode(pages[0], ".png"),
    }
    for name, content in contents.items():
        put(tree.path / "haystack" / "a" / name, content)
        put(tree.needles / "same" / f"of another name {name}", content)
        put(tree.needles / "other" / name, content[:-1] + bytes([content[-1] ^ 1]))
        put(tree.needles / "longer" / name, content + b"\0")
    put(tree.needles / "other" / "blank.png", encode(pages[1], ".png"))
    put(tree.needles / "other" / "empty.mov", b"")
    put(tree.path / "haystack" / "empty.mov", b"")
    done = tree.run()
    assert done.printed == ["longer", "other"]
    for path, row in tree.findings().items():
        if row["directory"] == "same":
            assert (row["status"], row["distance"]) == ("found", "")
        else:
            damaged = "broken" in path or "empty" in path
            assert row["status"] == ("unreadable" if damaged else "missing"), row
    empty = os.path.join("needles", "other", "empty.mov")
    assert f"[WARN] cannot read {empty}: the file is empty" in done.warned


@pytest.mark.parametrize("ending", [".pgm", ".ppm", ".pbm"])
def test_of_what_may_hold_several_pictures_only_the_bytes_count(tree, ending):
    image = draw(50)[:, :, 0] if ending != ".ppm" else draw(50)
    content = encode(image, ending)
    put(tree.path / "haystack" / f"a{ending}", content)
    put(tree.path / "haystack" / "b.png", draw(51))
    put(tree.needles / "same" / f"a{ending}", content)
    put(tree.needles / "as PNG" / "a.png", image)
    other = draw(51) if ending == ".ppm" else draw(51)[:, :, 0]
    put(tree.needles / "of a PNG" / f"b{ending}", other)
    assert tree.run().printed == ["as PNG", "of a PNG"]


def test_a_raw_file_is_not_found_through_the_picture_in_it(tree):
    preview = encode(draw(1), ".tiff")
    put(tree.needles / "negatives" / "1.dng", preview)
    put(tree.path / "haystack" / "1.tif", preview[:-1] + b"x")
    assert tree.run().printed == ["negatives"]


def test_many_files_of_one_size_are_told_apart(tree):
    for number in range(600):
        content = number.to_bytes(4, "big") * 5000
        put(tree.path / "haystack" / f"{number}.arw", content)
        if number % 2:
            put(tree.needles / "raw" / f"{number}.arw", content)
        put(tree.needles / "raw" / f"new {number}.arw", (number + 600).to_bytes(4, "big") * 5000)
    rows = tree.findings()
    assert len(rows) == 900
    for path, row in rows.items():
        name = os.path.basename(path)
        expected = "" if "new" in name else os.path.join("haystack", name)
        assert (row["match"], row["status"]) == (expected, "found" if expected else "missing")
    done = tree.run()
    assert done.warned == [] and done.partly == ["600 of 900 lacking: raw"]


def test_files_of_one_size_are_told_apart_behind_the_first_64_kilobytes(tree):
    start = np.random.default_rng(3).bytes(2**16)
    for number in range(40):
        end = number.to_bytes(4, "big") * 250
        put(tree.path / "haystack" / f"{number}.cr2", start + end)
        put(tree.needles / "same" / f"{number}.nef", start + end)
        put(
            tree.needles / "other" / f"{number}.cr2", start + (number + 40).to_bytes(4, "big") * 250
        )
    put(tree.path / "haystack" / "64.cr2", start)
    put(tree.needles / "exactly" / "64.cr2", start)
    put(tree.needles / "exactly not" / "64.cr2", start[:-1] + bytes([start[-1] ^ 1]))
    rows = tree.findings()
    for path, row in rows.items():
        folder, name = path.split("/")
        stem = os.path.splitext(name)[0]
        expected = os.path.join("haystack", f"{stem}.cr2") if folder in ("same", "exactly") else ""
        assert row["match"] == expected, path
    assert tree.run().printed == ["exactly not", "other"]


def calls(tree, *options, **roots):
    """Return how many functions a run calls, how often it asks for or opens a file, or opens one.

    As the interpreter counts them, on all threads, and not in seconds.
    """
    profile = (
        "import collections, os, sys, threading\n"
        "calls, asking = collections.Counter(), {'stat', 'lstat', 'open', 'islink', 'isdir'}\n"
        "def count(frame, event, arg):\n"
        "    calls['all'] += 1\n"
        "    if event == 'c_call' and arg.__name__ in asking: calls['files'] += 1\n"
        "    if event == 'c_call' and arg.__name__ == 'open': calls['opened'] += 1\n"
        "sys.argv = sys.argv[1:]\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "import hash_and_search\n"
        "threading.setprofile(count); sys.setprofile(count)\n"
        "hash_and_search.main()\n"
        "sys.setprofile(None)\n"
        "print(calls['all'], calls['files'], calls['opened'])\n"
    )
    needles = roots.get("needles", "needles")
    arguments = [sys.executable, "-c", profile, SCRIPT, "-a", "haystack", "-n", needles]
    done = subprocess.run(
        [*arguments, "--jobs", "1", *options],
        cwd=tree.path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return tuple(map(int, done.stdout.splitlines()[-1].split()))


@pytest.mark.parametrize("kind", ["equal", "other", "other at the end"])
def test_of_one_size_four_times_as_many_files_take_no_more_than_four_times_the_work(tree, kind):
    counts = []
    for number in (50, 200):
        for count in range(number):
            mine, theirs = (
                (b"equal", b"equal")
                if kind == "equal"
                else (count.to_bytes(5, "big"), (count + 10_000).to_bytes(5, "big"))
            )
            fill = bytes(2**16) if kind == "other at the end" else b""
            put(tree.path / "haystack" / f"{count}.arw", fill + mine * 200)
            put(tree.needles / "x" / f"{count}.arw", fill + theirs * 200)
        counts.append(calls(tree))
    (all_of_few, files_of_few, _), (all_of_many, files_of_many, _) = counts
    assert files_of_few > 100  # so they are counted
    assert files_of_many <= 5 * files_of_few
    assert all_of_many <= 5 * all_of_few


def test_what_has_a_size_of_its_own_is_not_compared(tree):
    opened = []
    for number in (50, 200):
        for count in range(number):
            put(tree.path / "haystack" / f"{count}.arw", b"x" * (count + 1))
            put(tree.needles / "x" / f"{count}.arw", b"x" * (count + 1001))
        opened.append(calls(tree)[2])
    assert opened[1] - opened[0] <= 150  # each needle once, to see whether it can be read
    for count in range(200):
        put(tree.path / "haystack" / f"{count}.arw", b"y" * (count + 1001))
    assert calls(tree)[2] >= opened[1] + 400


def test_only_what_agrees_with_a_needle_so_far_is_read_whole(tree):
    twin = RAW + bytes(2**16)
    put(tree.needles / "x" / "other.arw", b"x" * len(twin))
    put(tree.path / "haystack" / "a.arw", twin)
    few = calls(tree)[2]
    put(tree.path / "haystack" / "b.arw", twin)  # as many bytes, and no needle has such a start
    assert calls(tree)[2] == few + 1


@pytest.mark.parametrize("where", ["haystack", "haystack/import"])
def test_many_identical_files_take_linear_time(tree, where):
    looks = []
    for number in (150, 600):
        content = encode(draw(55, 64, 48))
        for count in range(number):
            put(tree.path / "haystack" / "import" / f"{count}.jpg", content)
            put(tree.path / "haystack" / "import" / f"{count}.mov", b"video" * 100)
        tree.run("--cache", "cache", needles=where)  # from now on nothing is decoded
        looks.append(calls(tree, "--cache", "cache", needles=where)[0])
    assert looks[1] < 6 * looks[0]


def test_of_many_copies_of_one_picture_a_few_are_asked_for(tree):
    """None of them has another's bytes, so that each is looked up by its hash."""
    looks = []
    for number in (80, 320):
        content = encode(things(55, 96, 64))
        for count in range(number):
            for folder in ("haystack", "needles"):
                differs = with_segment(content, f"{folder}{count}".encode(), b"\xfe")
                put(tree.path / folder / "copies" / f"{count}.jpg", differs)
        tree.run("--cache", "cache")
        looks.append(calls(tree, "--cache", "cache")[1])
    assert looks[1] < 6 * looks[0]


# ------------------------------------------------------------------------------------------------
# Which copies last
# ------------------------------------------------------------------------------------------------


def test_a_file_is_no_copy_of_itself(tree):
    put(tree.path / "haystack" / "import" / "new.jpg", draw(42))
    put(tree.path / "haystack" / "import2" / "1.jpg", half(draw(1)))
    assert tree.run(needles="haystack/import").printed == ["import"]
    assert tree.run(needles="haystack/import2").printed == []
    # the same directory twice: 2006 is found in part through its copy in import2
    same = tree.run(needles="haystack")
    assert same.printed == ["import"]
    assert "8 of 8 lacking: 2006" in same.partly and ", 1 better here" in same.err
    assert all(row["needle"] != row["match"] for row in tree.findings(needles="haystack").values())
    # the haystack inside the needles
    inside = tree.run(haystack=("haystack/2006",), needles="haystack")
    assert inside.printed == ["2006", "import"]


def test_copies_that_go_with_the_needles_do_not_count(tree):
    for folder in ("one", "two"):
        put(tree.path / "haystack" / "import" / folder / "a.jpg", encode(draw(43)))
    assert tree.run(needles="haystack/import").printed == ["one", "two"]


def test_two_copies_in_the_needles_do_not_vouch_for_each_other(tree):
    for name in ("x", "y"):
        put(tree.path / "old" / name / "a.jpg", encode(draw(51)))
        put(tree.path / "old" / name / "b.mov", b"video" * 1000)
    put(tree.path / "old" / "z" / "1.jpg", encode(draw(1)))
    for haystack in (("haystack", "old"), ("old", "haystack"), ("haystack", "old/.")):
        done = tree.run(haystack=haystack, needles="old")
        assert done.printed == ["x", "y"]
        assert "processed 11 images" in done.out and done.warned == []


def test_a_library_searched_in_itself_says_so(tree):
    put(tree.path / "haystack" / "copies" / "1.jpg", half(draw(1)))
    for needles in ("haystack", "haystack/", "haystack/../haystack"):
        done = tree.run(needles=needles)
        assert done.printed == []
        same = "haystack and needles are the same folder; keep one of each two copies"
        assert done.warned == [f"[WARN] {needles}: {same}"]
        assert "8 of 8 lacking: 2006" in done.partly


def test_a_haystack_directory_inside_the_needles_is_kept(tree):
    put(tree.path / "disk" / "library" / "a.jpg", draw(52))
    put(tree.path / "disk" / "inbox" / "a.jpg", encode(draw(52), quality=60))
    put(tree.path / "disk" / "inbox2" / "b.jpg", draw(53))
    put(tree.path / "disk" / "inbox3" / "b.jpg", draw(53))
    expected = ["inbox2", "inbox3", "library"]
    assert tree.run(haystack=("haystack", "disk/library"), needles="disk").printed == expected
    both = ("haystack", "disk", "disk/library")
    assert tree.run(haystack=both, needles="disk").printed == expected


@pytest.mark.skipif(not linux, reason="mounts as Linux does")
def test_one_disk_mounted_twice_is_one_disk(tree):
    put(tree.path / "old" / "x" / "a.jpg", draw(54))
    put(tree.path / "old" / "y" / "a.jpg", draw(54))
    put(tree.path / "old" / "y" / "a.mov", b"video" * 1000)
    (tree.path / "again").mkdir()
    arguments = ["-a", "haystack", "again", "-n", "old"]
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        os.rmdir(tree.path / "again")  # no mounts here: the same folder by a link
        os.symlink("old", tree.path / "again")
        done = subprocess.run(command(*arguments), cwd=tree.path, capture_output=True, text=True)
    else:
        script = 'mount --bind old again && exec "$@"'
        mounted = ["unshare", "-m", "sh", "-c", script, "sh", *command(*arguments)]
        done = subprocess.run(mounted, cwd=tree.path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("directories...\n[INFO] x\n[INFO] y\n")
    assert "[WARN]" not in done.stderr


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_a_link_below_a_needles_folder_that_cannot_be_listed_is_no_copy(tree):
    put(tree.needles / "locked" / "sub" / "1.jpg", draw(50))
    put(tree.needles / "x" / "1.jpg", draw(50))
    os.symlink(tree.needles / "locked" / "sub" / "1.jpg", tree.path / "haystack" / "link.jpg")
    os.chmod(tree.needles / "locked", 0o311)
    done = tree.run(preexec_fn=without_root_powers)
    os.chmod(tree.needles / "locked", 0o755)
    assert "x" in done.printed and "needles/locked: cannot be listed" in done.err


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_links_between_haystack_and_needles_are_no_copies(tree):
    put(tree.needles / "x" / "a.jpg", encode(draw(44)))
    put(tree.needles / "y" / "b.jpg", encode(draw(44)))
    put(tree.needles / "y" / "c.mov", VIDEO)
    os.symlink(tree.needles / "x" / "a.jpg", tree.path / "haystack" / "link.jpg")
    os.symlink(tree.needles / "y" / "c.mov", tree.path / "haystack" / "link.mov")
    (tree.needles / "z").mkdir()
    os.symlink(tree.path / "haystack" / "2006" / "1.jpg", tree.needles / "z" / "link.jpg")
    os.symlink(tree.path / "haystack", tree.needles / "z" / "folder")
    done = tree.run()
    assert done.printed == ["x", "y", "z"]
    assert done.warned == ["[WARN] needles/z/folder: link to a folder, not followed"]


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_hard_link_elsewhere_is_a_copy(tree, is_changed):
    (tree.needles / "x").mkdir()
    os.link(tree.path / "haystack" / "2006" / "1.jpg", tree.needles / "x" / "1.jpg")
    if is_changed:  # a name in the needles alone is none
        os.unlink(tree.path / "haystack" / "2006" / "1.jpg")
        os.link(tree.needles / "x" / "1.jpg", tree.needles / "x" / "2.jpg")
    assert tree.run().printed == (["x"] if is_changed else [])


# ------------------------------------------------------------------------------------------------
# What is found, and what is told apart
# ------------------------------------------------------------------------------------------------


def test_copies_are_found_and_unseen_pictures_are_not(tree):
    kinds = {
        "exact": encode,
        "half": lambda image: encode(half(image)),
        "recompressed": lambda image: encode(image, quality=50),
        "brightened": lambda image: encode(cv2.convertScaleAbs(image, beta=15)),
        "png": lambda image: encode(image, ".png"),
        "tiff": lambda image: encode(image, ".tiff"),
        "webp": lambda image: encode(image, ".webp"),
    }
    for kind, copy in kinds.items():
        for seed in range(8):
            ending = f".{kind}" if kind in ("png", "tiff", "webp") else ".JPG"
            put(tree.needles / kind / f"{seed}{ending}", copy(draw(seed)))
    for orientation in range(1, 9):
        content = stored(draw(0), orientation)
        put(tree.needles / f"orientation {orientation}" / "0.jpg", content)
    put(tree.needles / "unseen" / "0.jpg", draw(60))
    rows = tree.findings()
    assert len(rows) == 7 * 8 + 8 + 1
    for path, row in rows.items():
        name = "" if "unseen" in path else os.path.splitext(os.path.basename(path))[0] + ".jpg"
        assert row["match"] == (name and os.path.join("haystack", "2006", name)), path
    assert tree.run().printed == ["unseen"]


def test_copies_of_drawn_pictures_are_found_and_unseen_ones_are_not(tree):
    total = 0
    for family in FAMILIES:
        name = family.__name__
        put(tree.path / "drawn" / f"{name}.png", drawn(family, 0))
        for kind, content in drawn_copies(family, 0):
            ending = ".jpg" if "JPEG" in kind else ".png"
            put(tree.needles / f"copy {name} {kind}" / f"a{ending}", content)
            total += 1
        put(tree.needles / f"unseen {name}" / "a.png", drawn(family, 1))
    missed = {}
    for options in ((), ("--article",)):
        printed = tree.run(*options, haystack=("drawn",)).printed
        missed[options] = sum(name.startswith("copy") for name in printed)
        if not options:
            assert len(printed) - missed[options] == len(FAMILIES)  # the unseen, each of them
    assert total == 128 and missed[()] <= 0.05 * total
    assert missed[()] <= missed["--article",]


def test_papers_of_one_layout_are_told_apart_and_their_copies_found(tree):
    for paper in (form, statement):
        name = paper.__name__
        for seed in range(30):
            sheet = paper(seed)
            put(tree.path / "papers" / name / f"{seed}.jpg", encode(sheet, quality=80))
            put(tree.needles / "copies" / f"{name} {seed}.jpg", encode(half(sheet), quality=70))
            content = encode(paper(seed + 30), quality=80)
            put(tree.needles / f"other {name} {seed}" / "a.jpg", content)
    rows = tree.findings(haystack=("papers",))
    missing = [path for path, row in rows.items() if row["status"] == "missing"]
    assert len(missing) == 60 and not any(path.startswith("copies") for path in missing)
    for path, row in rows.items():
        if path.startswith("copies"):  # and each is found through its own
            name, number = os.path.basename(path).split()
            assert row["match"] == os.path.join("papers", name, number)


def test_screenshots_in_another_language_are_others_and_their_copies_found(tree):
    for number, app in enumerate(APPS):
        image = screenshot(app, "English")
        put(tree.path / "phone" / f"{number}.png", image)
        for count, (_, content) in enumerate(screen_copies(image)):
            put(tree.needles / "copies" / f"{number} {count}.jpg", content)
        for language in ("German", "Dutch", "Finnish"):
            put(tree.needles / f"{language} {number}" / "a.png", screenshot(app, language))
        put(tree.needles / f"other {number}" / "a.png", screenshot(app, "English", 1))
    rows = tree.findings(haystack=("phone",))
    assert len(rows) == len(APPS) * 8
    for path, row in rows.items():
        if path.startswith("copies"):
            original = os.path.join("phone", f"{os.path.basename(path).split()[0]}.png")
            assert (row["match"], row["status"] in ("found", "better")) == (original, True)
        else:
            assert row["status"] == "missing", path


def test_flat_pictures_hide_no_folder_and_have_copies(tree):
    def flat(level):
        return np.full((240, 320, 3), level, np.uint8)

    rng = np.random.default_rng(5)
    for level in (0, 40, 128):
        put(tree.path / "haystack" / f"{level}.jpg", flat(level))
    put(tree.needles / "white page" / "a.jpg", flat(255))
    put(tree.needles / "grey page" / "a.png", flat(200))
    cap = np.clip(rng.normal(3, 3, (240, 320, 3)), 0, 255).astype(np.uint8)
    put(tree.needles / "lens cap" / "a.jpg", cap)
    for level in (0, 40, 128):
        put(tree.needles / f"copy of {level}" / "a.jpg", flat(level))
        put(tree.needles / f"half of {level}" / "a.png", half(flat(level)))
    # of a blank page only the same bytes are a copy
    halves = ["half of 0", "half of 128", "half of 40"]
    assert tree.run().printed == ["grey page", *halves, "lens cap", "white page"]
    rows = tree.findings()
    assert rows["white page/a.jpg"]["reason"] == "it is blank or nearly so"
    assert "white page" not in tree.run("--article").printed


def test_skies_and_blank_pages_are_told_apart(tree):
    wide = 640 * ACROSS
    rng = np.random.default_rng(5)
    cap = np.clip(rng.normal(3, 3, (480, 640)), 0, 255).astype(np.uint8)
    pages = {"white": 255, "grey": 190, "black": 0}
    put(tree.path / "plain" / "sky.png", sky(0.30))
    put(tree.path / "plain" / "wide.png", clipped(wide / 3))
    put(tree.path / "plain" / "page.png", np.full((480, 640), 250, np.uint8))
    put(tree.path / "plain" / "cap.png", cap)
    for name, content in {
        "another cap": encode(cap[::-1]),
        "another sky": encode(sky(0.33)),
        "a flatter sky": encode(sky(0.27)),
        "wider": encode(clipped(wide / 3.3)),
        **{name: encode(np.full((480, 640), level, np.uint8)) for name, level in pages.items()},
    }.items():
        put(tree.needles / name / "a.jpg", content)
    put(tree.needles / "found" / "same cap.png", cap)
    put(tree.needles / "found" / "sky.jpg", encode(sky(0.30), quality=60))
    put(tree.needles / "found" / "half a sky.jpg", encode(half(sky(0.30))))
    put(tree.needles / "found" / "brighter.jpg", encode(sky(0.30, 5)))
    done = tree.run(haystack=("plain",))
    unseen = ["a flatter sky", "another cap", "another sky", "black", "grey", "white", "wider"]
    assert done.printed == unseen and "found: " not in done.err


def test_pictures_on_their_side_or_mirrored_are_found_with_rotated(tree):
    turns = {
        "1": lambda image: np.rot90(image),
        "2": lambda image: np.rot90(image, 2),
        "3": lambda image: np.rot90(image, 3),
        "4 mirrored": lambda image: image[:, ::-1],
        "5 upside down": lambda image: image[::-1],
        "6 transposed": lambda image: image.swapaxes(0, 1),
        "7 the other way": lambda image: np.rot90(image, 2).swapaxes(0, 1),
    }
    for name, turn in turns.items():
        for seed in range(8):
            turned = np.ascontiguousarray(turn(draw(seed)))
            put(tree.needles / name / f"{seed}.jpg", encode(turned, quality=70))
            unseen = np.ascontiguousarray(turn(draw(seed + 200)))
            put(tree.needles / f"unseen {name}" / f"{seed}.jpg", encode(unseen))
    put(tree.needles / "upright" / "1.jpg", resized(draw(1), 200, 150))
    unseen = [f"unseen {name}" for name in turns]
    assert tree.run().printed == [*turns, *unseen]
    for _ in range(2):  # from the files, then from the cache
        done = tree.run("--rotated", "--cache", "cache")
        assert done.printed == unseen and done.warned == []
    rows = tree.findings("--rotated")
    for path, row in rows.items():
        if not path.startswith("unseen"):
            assert os.path.basename(row["match"]) == os.path.basename(path), path
    assert tree.run("--cache", "cache").printed == [*turns, *unseen]
