"""What phones write: a picture and the rest of its file, videos and their metadata."""

import os
import struct

import cv2
import numpy as np
import pytest

from conftest import draw, encode, half, heic, put, taken_at, with_segment

rng = np.random.default_rng(29)
PREVIEW, STEREO, GAIN, UNDEFINED = 0x010002, 0x020002, 0x050000, 0  # types in an MP index
DEPTH = b"urn:mpeg:hevc:2015:auxid:2\0"
MPEGS = b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0"
APPLES = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"
DATED = b"\0\0\0\x17uuid" + bytes(8) + b"a date."  # a box that a program adds
BUT_NOT = "the library has its picture, but not its "


def box(kind, content, is_wide=False):
    """A box of MP4 or HEIC, perhaps with its size in 64 bits."""
    if is_wide:
        return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content
    return struct.pack(">I4s", len(content) + 8, kind) + content


CLIP = box(b"ftyp", b"mp42\0\0\0\0") + box(b"mdat", rng.bytes(20_000))  # as in a motion photo


def mpf(*types, order=">"):
    """The segment of an MP index (CIPA DC-007) of a first picture and of others of such types."""
    types = 0x030000, *types
    entries = b"".join(struct.pack(f"{order}IIIHH", each, 9, 9, 0, 0) for each in types)
    fields = struct.pack(f"{order}HHI4s", 0xB000, 7, 4, b"0100")
    fields += struct.pack(f"{order}HHII", 0xB001, 4, 1, len(types))
    fields += struct.pack(f"{order}HHII", 0xB002, 7, len(entries), 50)
    mark = b"MM\0*" if order == ">" else b"II*\0"
    head = mark + struct.pack(f"{order}IH", 8, 3)
    return b"MPF\0" + head + fields + b"\0" * 4 + entries


def with_mpf(jpeg, *types, order=">"):
    return with_segment(jpeg, mpf(*types, order=order), b"\xe2")


def xmp(*properties):
    return b"http://ns.adobe.com/xap/1.0/\0<x " + b" ".join(properties) + b"/>"


def with_extended_xmp(jpeg, text):
    """Put an XMP that is too long for one segment into a JPEG, in several."""
    for place in reversed(range(0, len(text), 65_000)):
        head = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32
        head += struct.pack(">II", len(text), place)
        jpeg = with_segment(jpeg, head + text[place : place + 65_000])
    return jpeg


def with_auxiliary(content, *kinds):
    """A HEIC whose meta box, now at its end, tells of auxiliary pictures, or of a tone map."""
    start = content.index(b"meta") - 4
    end = start + int.from_bytes(content[start : start + 4], "big")
    boxes = {kind: box(b"auxC", bytes(4) + kind) for kind in kinds}
    boxes[b"tmap"] = box(b"infe", b"\2\0\0\0\0\x09\0\0tmap\0")
    meta = content[start + 8 : end] + b"".join(boxes[kind] for kind in kinds)
    free = box(b"free", bytes(end - start - 8))
    return content[:start] + free + content[end:] + box(b"meta", meta)


def described(jpeg):
    """A JPEG into which a program has written a place and a keyword."""
    return with_segment(with_segment(jpeg, b"Photoshop 3.0\0keyword", b"\xed"), xmp(b"place"))


def searched(tree, pairs, ending=".jpg"):
    """Search the first file of each pair in a library of the second; return status and reason."""
    for name, (needle, library) in pairs.items():
        put(tree.path / "photos" / f"{name}{ending}", library)
        put(tree.needles / f"{name}{ending}", needle)
    found = {}
    for path, row in tree.findings(haystack=("photos",)).items():
        name = os.path.splitext(path)[0]
        shown = os.path.join("photos", path)
        assert shown in (row["match"], row["lookalike"]), path
        found[name] = row["status"], row["reason"]
    return found


def progressive(image):
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return cv2.imencode(".jpg", image, options)[1].tobytes()


# ------------------------------------------------------------------------------------------------
# Pictures with a rest
# ------------------------------------------------------------------------------------------------

SMALL, LARGE = encode(draw(90, 160, 120)), encode(draw(91))  # of a quarter of the pixels; of all
GAIN_MAP = with_segment(LARGE, xmp(b'hdrgm:Version="1.0"'))
DEPTH_XMP = b'GDepth:Data="' + b"iVBO" * 30_000 + b'"'


def wholes(seed):
    """{name: (a JPEG with a rest, what a search of it in the plain picture comes to)}"""
    plain = encode(draw(seed))
    pair = with_mpf(plain, STEREO)
    lacks = {
        "motion": (plain + CLIP, "video"),
        "motion behind a preview": (with_mpf(plain, PREVIEW) + SMALL + CLIP, "video"),
        "motion and gain map": (with_mpf(plain, UNDEFINED) + GAIN_MAP + CLIP, "video"),
        "stereo": (pair + LARGE, "second photograph"),
        "stereo, small": (pair + SMALL, "second photograph"),
        "no index": (plain + LARGE, "second photograph"),
    }
    without = {
        "gain map": (with_mpf(plain, UNDEFINED) + GAIN_MAP, "gain map"),
        "a newer gain map": (with_mpf(plain, GAIN, order="<") + GAIN_MAP, "gain map"),
        "second": (with_mpf(plain, UNDEFINED) + SMALL, "second picture"),
        "second, a preview": (with_mpf(plain, PREVIEW, UNDEFINED) + SMALL, "second picture"),
        "second behind noise": (plain + rng.bytes(999) + SMALL, "second picture"),
        "depth": (with_segment(plain, xmp(b'GDepth:Data="iVBO"')), "depth"),
        "depth in much XMP": (with_extended_xmp(plain, b"x" * 64_990 + DEPTH_XMP), "depth"),
        "another": (with_extended_xmp(plain, b"<GImage:Data>/9j/"), "second picture"),
        "sound": (with_segment(plain, xmp(b'GAudio:Data="AAAA"')), "sound"),
    }
    found = {name: (data, ("missing", BUT_NOT + what)) for name, (data, what) in lacks.items()}
    for name, (data, what) in without.items():
        found[name] = data, ("better", f"without its {what}")
    return found


NAMES = list(wholes(0))


# ------------------------------------------------------------------------------------------------
# JPEG
# ------------------------------------------------------------------------------------------------


def test_a_jpeg_with_a_rest_is_found_with_other_metadata(tree):
    for turn in (1, -1):
        pairs = {}
        for seed, name in enumerate(NAMES, 100):
            whole = wholes(seed)[name][0]
            pairs[name] = (described(whole), whole)[::turn]
        assert searched(tree, pairs) == dict.fromkeys(NAMES, ("found", ""))


def test_a_jpeg_whose_rest_the_library_lacks_is_lesser_or_missing(tree):
    wanted = {name: wholes(seed)[name] for seed, name in enumerate(NAMES, 100)}
    pairs = {
        name: (wanted[name][0], encode(draw(seed), quality=93))
        for seed, name in enumerate(NAMES, 100)
    }
    assert searched(tree, pairs) == {name: each[1] for name, each in wanted.items()}
    # the plain pictures are found in the library of those with a rest
    turned = {name: pair[::-1] for name, pair in pairs.items()}
    assert searched(tree, turned) == dict.fromkeys(NAMES, ("found", ""))


def test_another_rest_is_not_the_same(tree):
    pairs, wanted = {}, {}
    for seed, name in enumerate(NAMES, 100):
        whole, wanted[name] = wholes(seed)[name]
        pairs[name] = whole, described(whole)[:-9] + b"different"
    for name in ("depth", "depth in much XMP", "another", "sound"):  # are told by their names
        del pairs[name], wanted[name]
    assert searched(tree, pairs) == wanted


@pytest.mark.parametrize("order", ["<", ">"])
def test_previews_and_an_index_without_its_pictures_do_not_count(tree, order):
    def pairs_of(seed):
        plain = encode(draw(seed))
        return {
            "preview": with_mpf(plain, PREVIEW, order=order) + SMALL,
            "two previews": with_mpf(plain, PREVIEW, 0x010001, order=order) + LARGE + SMALL,
            "preview behind filling": with_mpf(plain, PREVIEW, order=order) + b"\xff" * 99 + SMALL,
            "cut preview": with_mpf(plain, PREVIEW, order=order) + SMALL[:-2],
            "index alone": with_mpf(plain, UNDEFINED, order=order),
            "index of a pair alone": with_mpf(plain, STEREO, PREVIEW, order=order),
            "broken index": with_segment(plain, mpf(UNDEFINED, order=order)[:60], b"\xe2"),
            "zeros": plain + bytes(5000),
            "preview in EXIF": with_segment(plain, b"Exif\0\0" + SMALL),
        }

    names = list(pairs_of(0))
    plain = {
        name: (pairs_of(seed)[name], encode(draw(seed), quality=93))
        for seed, name in enumerate(names, 100)
    }
    for pairs in (plain, {name: pair[::-1] for name, pair in plain.items()}):
        assert searched(tree, pairs) == dict.fromkeys(names, ("found", ""))


def test_bytes_of_an_end_between_the_scans_of_a_picture_are_not_its_end(tree):
    comment = b"\xff\xfe\0\x20" + b"\xff\xd9" + SMALL[:28]
    contents = {}
    for seed, behind in ((100, b""), (101, CLIP)):
        whole = progressive(draw(seed))
        second = whole.index(b"\xff\xda", whole.index(b"\xff\xda") + 1)
        contents[seed] = whole[:second] + comment + whole[second:] + behind
    pairs = {str(seed): (data, progressive(draw(seed))) for seed, data in contents.items()}
    found = {"100": ("found", ""), "101": ("missing", BUT_NOT + "video")}
    assert searched(tree, pairs) == found


def test_a_damaged_end_of_the_picture_does_not_hide_the_video(tree):
    plain = encode(draw(100))
    damaged = plain[:-8] + b"\xff\xe5\x40\0" + plain[-4:]  # as if a segment went on into it
    pairs = {"1": (damaged + CLIP, plain), "2": (encode(draw(101))[:-2] + CLIP, encode(draw(101)))}
    assert searched(tree, pairs) == dict.fromkeys("12", ("missing", BUT_NOT + "video"))


def test_a_copy_with_the_rest_goes_before_one_without(tree):
    image = draw(100, 640, 480)
    motion = encode(image) + CLIP
    put(tree.path / "photos" / "a still.jpg", encode(image))
    put(tree.needles / "1.jpg", motion)
    row = tree.findings(haystack=("photos",))["1.jpg"]
    assert (row["status"], row["match"]) == ("missing", "")
    assert row["lookalike"] == os.path.join("photos", "a still.jpg")
    assert "compared by their bytes" not in tree.run(haystack=("photos",)).err
    put(tree.path / "photos" / "b small.jpg", encode(half(image)) + CLIP)
    row = tree.findings(haystack=("photos",))["1.jpg"]
    shown = row["status"], row["reason"], row["match"]
    assert shown == ("better", "smaller", os.path.join("photos", "b small.jpg"))
    put(tree.path / "photos" / "c.jpg", encode(image, quality=85) + CLIP)
    row = tree.findings(haystack=("photos",))["1.jpg"]
    assert (row["status"], row["match"]) == ("found", os.path.join("photos", "c.jpg"))


def test_a_copy_without_a_date_is_lesser(tree):
    def dated(seed, **options):
        return taken_at(encode(draw(seed), **options), "2014:12:24 18:00:00")

    pairs = {
        "1": (dated(100), encode(draw(100), quality=80)),
        "2": (encode(draw(101)), dated(101, quality=80)),
        "3": (dated(102), dated(102, quality=80)),
        "4": (dated(103), taken_at(encode(draw(103), quality=80), "2020:01:01 00:00:00")),
        "5": (taken_at(encode(draw(104)), "0000:00:00 00:00:00"), encode(draw(104), quality=80)),
    }
    found = dict.fromkeys("2345", ("found", ""))
    assert searched(tree, pairs) == {"1": ("better", "without its date"), **found}
    put(tree.path / "photos" / "later.jpg", dated(100, quality=70))
    rows = tree.findings(haystack=("photos",))
    shown = rows["1.jpg"]["status"], rows["1.jpg"]["match"]
    assert shown == ("found", os.path.join("photos", "later.jpg"))


# ------------------------------------------------------------------------------------------------
# HEIC
# ------------------------------------------------------------------------------------------------


def test_of_a_heic_its_video_and_its_auxiliary_pictures_count(tree):
    def pairs_of(seed):
        plain = heic(draw(seed))
        mattes = b"urn:com:apple:photo:2019:aux:semanticskinmatte\0"
        return {
            "motion": (plain + box(b"mpvd", CLIP), "video"),
            "motion, wide": (plain + box(b"mpvd", CLIP, is_wide=True), "video"),
            "motion in another box": (plain + box(b"sefd", CLIP), "video"),
            "motion of another kind": (plain + box(b"mpvd", rng.bytes(999)), "video"),
            "gain map": (with_auxiliary(plain, APPLES), "gain map"),
            "tone map": (with_auxiliary(plain, b"tmap"), "gain map"),
            "depth": (with_auxiliary(plain, DEPTH), "depth"),
            "MPEG's depth": (with_auxiliary(plain, MPEGS), "depth"),
            "both": (with_auxiliary(plain, DEPTH, APPLES), "depth and gain map"),
            "mattes": (with_auxiliary(plain, mattes), ""),
            "none": (with_auxiliary(plain), ""),
        }

    names = list(pairs_of(0))
    pairs, wanted, same = {}, {}, {}
    for seed, name in enumerate(names, 100):
        whole, what = pairs_of(seed)[name]
        pairs[name], same[name] = (whole, heic(draw(seed), quality=80)), (whole, whole + DATED)
        wanted[name] = ("better", f"without its {what}") if what else ("found", "")
        if what == "video":
            wanted[name] = "missing", BUT_NOT + what
    assert searched(tree, pairs, ".heic") == wanted
    turned = {name: pair[::-1] for name, pair in pairs.items()}
    for pairs in (turned, same, {name: pair[::-1] for name, pair in same.items()}):
        assert searched(tree, pairs, ".heic") == dict.fromkeys(names, ("found", ""))


# ------------------------------------------------------------------------------------------------
# Videos
# ------------------------------------------------------------------------------------------------


def film(seed=0, **changed):
    """An MP4 of a few boxes, of which some are changed: pictures, then what tells of them.

    A box's content is a function of where the pictures stand; nothing stands for no such box.
    """
    parts = {
        "brand": box(b"ftyp", b"mp42\0\0\0\0mp42isom"),
        "media": box(b"mdat", np.random.default_rng(seed).bytes(50_000)),
        "dates": (1, 2),
        "timescale": 600,
        "matrix": b"\0\1" + bytes(34),
        "is_on": 1,
        "volume": 256,
        "version": 0,
        "cut": 0,
        "places": (0, 20_000, 40_000),
        "place_kind": b"stco",
        "times": 33,
        "udta": box(b"udta", b"a place"),
        "before": b"",
        "behind": b"",
        "sound": box(b"trak", box(b"mdia", box(b"hdlr", b"soun"))),
        "is_first": False,
        "wrong": 0,
        "is_wide": False,
        **changed,
    }
    if parts["is_wide"]:
        parts["media"] = box(b"mdat", parts["media"][8:], True)
    head = parts["brand"] + parts["before"]
    length = len(moov(parts, 0)) if parts["is_first"] else 0
    start = len(head) + length + (16 if parts["is_wide"] else 8) + parts["wrong"]
    tells = moov(parts, start)
    both = (tells, parts["media"]) if parts["is_first"] else (parts["media"], tells)
    return head + b"".join(both) + parts["behind"]


def moov(parts, start):
    """What tells of a film's pictures, which begin at start."""

    version = parts["version"]
    length = "Q" if version else "I"

    def dated(kind, after):
        times = struct.pack(f">2{length}", *parts["dates"])
        return box(kind, struct.pack(">BBH", version, 0, parts["is_on"]) + times + after)

    scale = struct.pack(f">I{length}", parts["timescale"], 5000)
    track = struct.pack(f">II{length}", 1, 0, 5000) + bytes(12)
    track += struct.pack(">HH", parts["volume"], 0)
    wide = {b"stco": "I", b"co64": "Q"}[parts["place_kind"]]
    places = [start + each for each in parts["places"]]
    table = box(
        parts["place_kind"],
        struct.pack(f">II{len(places)}{wide}", 0, len(places), *places),
    )
    samples = box(b"stsd", b"avc1") + box(b"stts", struct.pack(">III", 0, 1, parts["times"]))
    media = box(b"minf", box(b"stbl", samples + table))
    return box(
        b"moov",
        dated(b"mvhd", scale + bytes(16) + parts["matrix"] + bytes(28))
        + box(
            b"trak",
            dated(b"tkhd", track + parts["matrix"] + bytes(8))
            + box(b"edts", box(b"elst", struct.pack(">II", 0, parts["cut"])))
            + box(b"mdia", dated(b"mdhd", scale + bytes(4)) + box(b"hdlr", b"vide") + media),
        )
        + parts["sound"]
        + parts["udta"],
    )


XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
DESCRIBED = {
    "dates": {"dates": (7, 8)},
    "dates of 64 bits": {"dates": (2**40, 2**40), "version": 1, "matrix": bytes(36)},
    "place": {"udta": box(b"udta", b"a place far away"), "is_first": True},
    "turned": {"matrix": bytes(36)},
    "nothing": {"udta": b"", "before": box(b"free", bytes(99))},
    "brand": {"brand": box(b"ftyp", b"isom\0\0\0\0")},
    "XMP behind": {"behind": box(b"uuid", XMP + b"<x/>")},
    "XMP before": {"before": box(b"uuid", XMP + b"<x/>") + box(b"skip", b"") + box(b"wide", b"")},
    "meta": {"behind": box(b"meta", b"keys")},
    "fast start": {"is_first": True},
    "fast start, wide": {"is_first": True, "is_wide": True},
}
CHANGED = {
    "trimmed": {"cut": 300},
    "muted": {"sound": b""},
    "switched off": {"is_on": 0},
    "quieter": {"volume": 16},
    "slower": {"times": 66},
    "slower, of 64 bits": {"version": 1, "timescale": 300},
    "slower clock": {"timescale": 300},
    "another order": {"places": (20_000, 0, 40_000)},
    "fewer": {"places": (0, 20_000)},
    "offsets wrong": {"wrong": 8},
    "offsets left": {"before": box(b"free", b"12345678"), "wrong": -16},
    "other box": {"behind": box(b"uuid", bytes(16) + b"<x/>")},
    "fragment": {"behind": box(b"moof", b"")},
}


def test_a_video_with_other_metadata_is_found(tree):
    endings = (".mp4", ".MOV", ".m4v", ".3gp")
    for seed, (name, changed) in enumerate(DESCRIBED.items()):
        ending = endings[seed % 4]
        version = changed.get("version", 0)
        put(tree.path / "films" / f"{name}{ending}", film(seed, version=version))
        put(tree.needles / f"{name}{ending}", film(seed, **changed))
    for roots in (("films", "needles"), ("needles", "films")):
        rows = tree.findings("--report", "page.html", haystack=roots[:1], needles=roots[1])
        for path, row in rows.items():
            match = os.path.join(roots[0], path)
            shown = row["status"], row["reason"], row["distance"], row["match"]
            assert shown == ("found", "the same video, other metadata", "", match)
    put(tree.needles / "same" / "a.mp4", film(0))
    rows = tree.findings("--report", "page.html", haystack=("films",))
    assert (rows["same/a.mp4"]["status"], rows["same/a.mp4"]["reason"]) == ("found", "")
    page = (tree.path / "page.html").read_text()
    assert page.count("<small>the same video, other metadata, in ") == len(DESCRIBED)
    assert page.count("<b>found</b>: the same video, other metadata<br>") == len(DESCRIBED)
    assert page.count("<small>the same bytes, in ") == 1


def test_a_video_that_plays_otherwise_or_was_damaged_is_missing(tree):
    for seed, (name, changed) in enumerate(CHANGED.items()):
        version = changed.get("version", 0)
        put(tree.path / "films" / f"{name}.mp4", film(seed, version=version))
        put(tree.needles / f"{name}.mp4", film(seed, **changed))
    whole = film(99)
    put(tree.path / "films" / "whole.mp4", whole)
    put(tree.needles / "cut.mp4", whole[:-1])
    put(tree.needles / "cut earlier.mp4", whole[:9_000])
    put(tree.needles / "one bit.mp4", whole[:9_000] + bytes([whole[9_000] ^ 1]) + whole[9_001:])
    put(tree.needles / "other kind.mp4", whole.replace(b"stco", b"stcx"))
    put(tree.needles / "no pictures.mp4", whole.replace(b"mdat", b"mdax"))
    for roots in (("films", "needles"), ("needles", "films")):
        rows = tree.findings(haystack=roots[:1], needles=roots[1])
        assert {row["status"] for row in rows.values()} == {"missing"}, rows


def test_two_videos_in_the_needles_do_not_vouch_for_each_other(tree):
    for name, changed in DESCRIBED.items():
        put(tree.needles / f"{name}.mp4", film(0, **changed))
    rows = tree.findings(haystack=("haystack", "needles"))
    assert {row["status"] for row in rows.values()} == {"missing"}


def test_odd_boxes_end_no_run(tree):
    deep = b""
    for _ in range(3000):
        deep = box(b"moov", deep)
    pictures = box(b"mdat", rng.bytes(99))
    odd = {
        "deep": pictures + deep,
        "no end": pictures + b"\0\0\0\0moov" + b"\0\0\0\x01stco",
        "uneven": pictures + box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(
            b"stbl", box(b"co64", bytes(13))))))),
        "short": pictures + box(b"moov", box(b"mvhd", b"\1") + box(b"stco", b"")),
        "small": pictures + struct.pack(">I4sQ", 1, b"moov", 9),
        "pictures to the end": b"\0\0\0\0mdat" + bytes(99),
    }  # fmt: skip
    for name, content in odd.items():
        put(tree.path / "films" / f"{name}.mp4", content)
        put(tree.needles / f"{name}.mp4", content[:-1] + b"\7")
    done = tree.run(haystack=("films",))
    assert done.status == 0 and done.printed == ["needles"]
