"""Section 7: what the library lacks is copied, whole and once, and nothing is replaced."""

import errno
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata

import cv2
import numpy as np
import pytest

from conftest import RAW, TOP, VIDEO, command, draw, encode, half, put, without_root_powers

linux = sys.platform.startswith("linux")
COPY = ("--copy-missing", "to")
PART = ".hash_and_search-"


def names(folder):
    """The sorted paths of the files below a folder."""
    folder = pathlib.Path(folder)
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )


def contents(folder):
    """{path below a folder: bytes} of its files."""
    return {name: (pathlib.Path(folder) / name).read_bytes() for name in names(folder)}


def state(*folders):
    """All that a run might change of the files in some folders."""
    found = {}
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            info = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            found[path] = info.st_mode, info.st_ino, info.st_nlink, info.st_mtime_ns, data
    return found


COPIED = re.compile(
    r"^\[INFO\] copied ([\d,]+) photographs? and videos?(?: and ([\d,]+) sidecars?)? to \S+?"
    r"(?:; ([\d,]+) photographs? and videos?(?: and ([\d,]+) sidecars?)? w\w+ there already)?$",
    re.MULTILINE,
)


def told(err):
    """How many photographs and sidecars were copied, and how many there already, a run says."""
    (numbers,) = COPIED.findall(err)
    return [int(number.replace(",", "") or 0) for number in numbers]


def harmed(tree, harm, moment="check the following"):
    """An environment in which a harm, as Python, is done when a line with the moment is printed.

    Usually that is when the copying begins.
    """
    put(
        tree.path / "harm" / "sitecustomize.py",
        f"""
import builtins, errno, os, shutil

def harm():
    {harm.replace(chr(10), chr(10) + "    ")}

def printing(*texts, really=print, **options):
    really(*texts, **options)
    if {moment!r} in texts[0]:
        harm()

builtins.print = printing
""".encode(),
    )
    return {**os.environ, "PYTHONPATH": str(tree.path / "harm")}


def refusing(what, condition, code):
    """A harm: that a function of os raises an error where the name of its last path is refused."""
    return f"""
def refusing(*paths, really=os.{what}, **options):
    name = os.path.basename(os.fsdecode(paths[-1] if paths else ""))
    if {condition}:
        raise OSError(errno.{code}, os.strerror(errno.{code}))
    return really(*paths, **options)
os.{what} = refusing
"""


def raws(folder, count, size=200, seed=0):
    """Put so many raw files of random bytes into a folder; return {name: bytes}."""
    rng = np.random.default_rng(seed)
    found = {f"{number:04}.nef": rng.bytes(size) for number in range(count)}
    for name, content in found.items():
        put(folder / name, content)
    return found


# ------------------------------------------------------------------------------------------------
# What is copied, and how
# ------------------------------------------------------------------------------------------------


def test_what_the_library_lacks_is_copied_with_its_path_and_its_times(tree):
    put(tree.path / "haystack" / "small.jpg", half(draw(20, 640, 480)))
    put(tree.path / "haystack" / "grey.jpg", cv2.cvtColor(draw(21), cv2.COLOR_BGR2GRAY))
    put(tree.path / "haystack" / "a.mov", VIDEO)
    wanted = {
        "new.jpg": encode(draw(50)),
        "2014/Été à la mer/smaller.jpg": encode(draw(20, 640, 480)),
        "2014/only grey.jpg": encode(draw(21)),
        "2014/broken.jpg": b"no image",
        "2014/b.MOV": VIDEO[::-1],
        "2014/c.nef": RAW,
    }
    others = {
        "2014/found.jpg": encode(draw(1), quality=50),
        "2014/found.mov": VIDEO,
        "2014/empty.jpg": b"",
        "2014/empty.mov": b"",
        "2014/notes.txt": b"no photograph",
        "all found/2.jpg": encode(draw(2)),
    }
    for number, (name, content) in enumerate({**wanted, **others}.items()):
        put(tree.needles / name, content)
        os.utime(tree.needles / name, ns=(10**18, 1_234_567_890_123_456_700 + 10**9 * number))
    (tree.needles / "empty folder").mkdir()
    before = state(tree.needles, tree.path / "haystack")
    done = tree.run(*COPY)
    assert done.status == 0 and contents(tree.path / "to") == wanted
    for name in wanted:
        first, second = (os.stat(tree.path / root / name) for root in ("needles", "to"))
        assert first.st_mtime_ns == second.st_mtime_ns
        assert first.st_mode == second.st_mode or os.name != "nt"
    assert state(tree.needles, tree.path / "haystack") == before
    assert sorted(path.name for path in tree.path.iterdir()) == ["haystack", "needles", "to"]
    assert not (tree.path / "to" / "all found").exists()
    assert done.err.endswith("\n[INFO] copied 6 photographs and videos to to\n")


def test_a_second_run_goes_on_where_the_first_ended(tree):
    wanted = raws(tree.needles / "x", 12)
    tree.run(*COPY)
    before = state(tree.path / "to")
    done = tree.run(*COPY)
    assert state(tree.path / "to") == before
    line = (
        "[INFO] copied 0 photographs and videos to to; 12 photographs and videos were there already"
    )
    assert line in done.err.splitlines() and told(done.err) == [0, 0, 12, 0]
    for name in ("0003.nef", "0007.nef"):
        (tree.path / "to" / "x" / name).unlink()
    done = tree.run(*COPY)
    assert contents(tree.path / "to" / "x") == wanted
    assert told(done.err) == [2, 0, 10, 0]


def test_nothing_is_copied_without_the_option_or_without_anything_missing(tree):
    put(tree.needles / "x" / "a.jpg", draw(50))
    before = state(tree.path)
    assert tree.run().status == 0
    assert state(tree.path) == before
    put(tree.needles / "x" / "a.jpg", encode(draw(1)))
    done = tree.run(*COPY)
    assert done.status == 0 and names(tree.path / "to") == []


def test_a_file_of_the_same_name_and_other_bytes_stays(tree):
    there = {
        "DCIM/IMG_0001.JPG": b"another photograph",
        "DCIM/img_0002.jpg": b"another, in another case",
        "DCIM/IMG_0003.JPG": b"another",
        "DCIM/IMG_0003 (2).jpg": b"and one more",
        "DCIM/img_0004.jpg": encode(draw(54)),  # the same bytes in another case
        "DCIM/IMG_0005.JPG/a folder.txt": b"of that name",
    }
    for name, content in there.items():
        put(tree.path / "to" / name, content)
    before = state(tree.path / "to")
    new = {f"IMG_000{number}.JPG": encode(draw(50 + number)) for number in range(1, 7)}
    for name, content in new.items():
        put(tree.needles / "DCIM" / name, content)
    copied = {
        "DCIM/IMG_0001 (2).JPG": new["IMG_0001.JPG"],
        "DCIM/IMG_0002 (2).JPG": new["IMG_0002.JPG"],
        "DCIM/IMG_0003 (3).JPG": new["IMG_0003.JPG"],
        "DCIM/IMG_0005 (2).JPG": new["IMG_0005.JPG"],
        "DCIM/IMG_0006.JPG": new["IMG_0006.JPG"],
    }
    for expected in ([5, 0, 1, 0], [0, 0, 6, 0]):
        done = tree.run(*COPY)
        assert done.status == 0 and told(done.err) == expected
        assert contents(tree.path / "to") == {**there, **copied}
    after = state(tree.path / "to")
    assert {path: after[path] for path in before if path.is_file()} == {
        path: each for path, each in before.items() if path.is_file()
    }


@pytest.mark.skipif(not linux, reason="names that differ in case only, as Linux allows them")
def test_names_that_differ_in_case_only_count_as_the_same(tree):
    """A copy of theirs on a disk that knows no case would lose one."""
    put(tree.path / "to" / "dcim" / "100canon" / "old.jpg", b"from another run")
    sources = ["a.jpg", "A.JPG", "x/É.jpg", "x/é.jpg", "DCIM/100CANON/1.nef", "dcim/100Canon/1.nef",
               "New/1.nef", "new/1.nef", "NEW/2.nef", "Deep/B/1.nef", "deep/b/1.nef"]  # fmt: skip
    for number, name in enumerate(sources):
        put(tree.needles / name, RAW[number:] if name.endswith("nef") else draw(50 + number))
    for _ in range(2):
        assert tree.run(*COPY).status == 0
        copies = contents(tree.path / "to")
        every = [path.relative_to(tree.path).as_posix() for path in (tree.path / "to").rglob("*")]
        assert len({path.casefold() for path in every}) == len(every), sorted(every)
        assert sorted(copies.values()) == sorted(
            [b"from another run", *contents(tree.needles).values()]
        )
    assert "dcim/100canon/1.nef" in copies and "dcim/100canon/1 (2).nef" in copies
    assert len([path for path in every if path.casefold() == "to/new"]) == 1


@pytest.mark.parametrize("is_haystack", [True, False])
def test_two_disks_in_turn_at_one_place_lose_nothing(tree, is_haystack):
    disks = [{f"DCIM/IMG_000{number}.JPG": encode(draw(50 + 10 * disk + number))
              for number in range(1, 4)} for disk in (0, 1)]  # fmt: skip
    disks[1]["DCIM/IMG_0003.JPG"] = disks[0]["DCIM/IMG_0003.JPG"]
    haystack = ("haystack", "to") if is_haystack else ("haystack",)
    for disk in (*disks, *disks):
        shutil.rmtree(tree.path / "disk", ignore_errors=True)
        for name, content in disk.items():
            put(tree.path / "disk" / name, content)
        assert tree.run(*COPY, haystack=haystack, needles="disk").status == 0
    assert contents(tree.path / "to") == {
        **disks[0],
        "DCIM/IMG_0001 (2).JPG": disks[1]["DCIM/IMG_0001.JPG"],
        "DCIM/IMG_0002 (2).JPG": disks[1]["DCIM/IMG_0002.JPG"],
    }


def test_a_second_disk_with_the_same_photographs_copies_nothing_twice(tree):
    """As --haystack Pictures to-import --copy-missing to-import; it is not there before."""
    for seed in range(50, 54):
        put(tree.needles / "party" / f"{seed}.jpg", draw(seed, 640, 480))
        put(tree.path / "second" / "Feier" / f"same {seed}.jpg", draw(seed, 640, 480))
        put(tree.path / "second" / "web" / f"{seed}.jpg", encode(half(draw(seed, 640, 480))))
    put(tree.needles / "party" / "a.nef", RAW)
    put(tree.path / "second" / "Feier" / "b.nef", RAW)
    put(tree.path / "second" / "Feier" / "60.jpg", draw(60))
    options = {"haystack": ("haystack", "to-import")}
    copy = ("--copy-missing", "to-import")
    done = tree.run(*copy, **options)
    assert done.status == 0 and done.printed == ["party"]
    assert len(names(tree.path / "to-import")) == 5
    done = tree.run(*copy, needles="second", **options)
    assert done.status == 0 and done.printed == []
    assert told(done.err) == [1, 0, 0, 0]
    assert "1 of 6 lacking: Feier" in done.err
    assert names(tree.path / "to-import")[0] == "Feier/60.jpg"
    assert len(names(tree.path / "to-import")) == 6


@pytest.mark.parametrize("folder", ["haystack", "haystack/new/import", "./haystack/../haystack"])
def test_the_folder_may_be_or_lie_in_a_haystack(tree, folder):
    put(tree.needles / "2006" / "1.jpg", draw(50))
    put(tree.needles / "2006" / "2.jpg", encode(draw(2)))
    before = contents(tree.path / "haystack")
    assert tree.run("--copy-missing", folder).status == 0
    after = contents(tree.path / "haystack")
    added = {name: each for name, each in after.items() if name not in before}
    prefix = "new/import/" if "new" in folder else ""
    name = f"{prefix}2006/1.jpg" if prefix else "2006/1 (2).jpg"
    assert added == {name: encode(draw(50))}
    assert {name: after[name] for name in before} == before
    assert tree.run("--copy-missing", folder).printed == []


def test_equal_bytes_are_copied_once_and_that_is_told(tree):
    raw, picture = RAW, encode(draw(50))
    for name in ("a/1.nef", "a/2.nef", "b/1.nef", "c/other.nef"):
        put(tree.needles / name, raw)
    for name in ("a/1.jpg", "b/1.jpg"):
        put(tree.needles / name, picture)
    put(tree.needles / "b" / "2.jpg", draw(51))
    for number in (3, 0):
        done = tree.run(*COPY)
        assert contents(tree.path / "to") == {
            "a/1.nef": raw, "a/1.jpg": picture, "b/2.jpg": encode(draw(51))
        }  # fmt: skip
        assert told(done.err) == [number, 0, 3 - number, 0]
        assert "[INFO] 4 files are in the needles more than once, and were copied once" in done.err
    shutil.rmtree(tree.needles)
    put(tree.needles / "a" / "1.nef", raw)
    assert "more than once" not in tree.run(*COPY).err


def test_a_file_is_copied_though_another_with_its_bytes_is_not(tree):
    picture = encode(draw(1), quality=60)
    put(tree.needles / "a.jpg", picture)  # found by what it shows
    put(tree.needles / "b.dng", picture)
    put(tree.needles / "c.dng", picture)
    tree.run(*COPY)
    assert names(tree.path / "to") == ["b.dng"]


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_a_twin_that_can_be_read_is_copied(tree):
    for folder in ("1", "2"):
        put(tree.needles / folder / "a.jpg", encode(draw(50)))
    tree.run("--cache", "cache")
    os.chmod(tree.needles / "1" / "a.jpg", 0)
    os.chmod(tree.path, 0o777)
    done = tree.run("--cache", "cache", *COPY, preexec_fn=without_root_powers)
    assert done.status == 0 and names(tree.path / "to") == ["2/a.jpg"]
    assert told(done.err) == [1, 0, 0, 0]


# ------------------------------------------------------------------------------------------------
# Sidecars
# ------------------------------------------------------------------------------------------------


def test_sidecars_travel(tree):
    mine = {
        "IMG_1.JPG": encode(draw(50)),
        **{f"IMG_1{end}": end.encode() for end in (
            ".xmp", ".aae", ".json", ".thm", ".wav", ".JPG.xmp", ".JPG.aae", ".JPG.json",
            ".JPG.thm", ".JPG.wav", ".JPG.supplemental-metadata.json", ".JPG.suppl.json",
        )},
        "IMG_2.heic": b"broken",
        "IMG_2.XMP": b"upper case",
        "IMG_2.HEIC.Json": b"mixed case",
        "long name of a photograph, 46 letters.jpg": encode(draw(51)),
        "long name of a photograph, 46 letters.jpg.supplemen.json": b"cut",
        "a.NEF": RAW,
        "a.NEF.supplemental-metad.json": b"cut",
        "a.supplemental-metadata.json": b"by the stem",
        "b.cr2": RAW[1:],
        "b.cr2.s.json": b"cut to one letter",
    }  # fmt: skip
    others = {
        "IMG_10.xmp": b"another's", "IMG_1.txt": b"no sidecar", "IMG_1 (2).xmp": b"another's",
        "IMG_1.JPG.bak": b"no sidecar", "IMG_1.JPG.supplement-of-mine.json": b"no sidecar",
        "IMG.xmp": b"another's", "found.xmp": b"of what is found", "found.jpg": encode(draw(1)),
        "found.jpg.supplemental-metadata.json": b"of what is found", "lone.json": b"of nothing",
        "IMG_1.JPG.xmp.json": b"of a sidecar", "metadata.json": b"an album's",
    }  # fmt: skip
    for number, (name, content) in enumerate({**mine, **others}.items()):
        put(tree.needles / "Google Photos" / name, content)
        os.utime(tree.needles / "Google Photos" / name, ns=(1, 10**18 + 10**9 * number))
    done = tree.run(*COPY)
    folder = tree.path / "to" / "Google Photos"
    assert contents(folder) == mine
    for name in mine:
        first, second = (os.stat(each / name) for each in (tree.needles / "Google Photos", folder))
        assert first.st_mtime_ns == second.st_mtime_ns
    counts = "5 photographs and videos and 18 sidecars"
    assert done.err.endswith(f"[INFO] copied {counts} to to\n")
    done = tree.run(*COPY)
    counts = f"copied 0 photographs and videos to to; {counts} were there already"
    assert done.err.endswith(f"[INFO] {counts}\n")
    (folder / "IMG_1.aae").unlink()
    (folder / "b.cr2").unlink()
    done = tree.run(*COPY)
    assert contents(folder) == mine
    assert told(done.err) == [1, 1, 4, 17]


def test_each_cut_form_of_googles_sidecars_travels(tree):
    whole = ".supplemental-metadata"
    for length in range(2, len(whole) + 1):
        put(tree.needles / f"{length}.jpg", f"broken {length}".encode())
        put(tree.needles / f"{length}.jpg{whole[:length]}.json", f"{length}".encode())
    tree.run(*COPY)
    assert contents(tree.path / "to") == contents(tree.needles)


@pytest.mark.parametrize(
    ("photo", "sidecar"),
    [
        (f"{'a' * 44}.jpg", f"{'a' * 44}.j.json"),  # cut to 46 letters
        (f"{'a' * 40}.jpg", f"{'a' * 40}.jpg.s.json"),
        (f"{'a' * 41}.jpg", f"{'a' * 41}.jpg..json"),
        ("IMG_1(1).jpg", "IMG_1.jpg(1).json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.supplemental-metadata(1).json"),
        (
            "Screenshot_2023-11-26_Some_Browser(12).jpg",
            "Screenshot_2023-11-26_Some_Browser.jpg.supplem(12).json",
        ),
        ("2013-12-23(1).jpg", "2013-12-23.supplemental-metadata(1).json"),
        ("IMG_1-edited.jpg", "IMG_1.jpg.json"),
        ("IMG_1-bearbeitet.jpg", "IMG_1.JPG.supplemental-metadata.json"),
        ("IMG_1-編集済み.jpg", "IMG_1.HEIC.supplemental-metadata.json"),
        ("IMG-1-à-part.jpg", "IMG-1.jpg.supplemental-metadata.json"),
        ("IMG_1-edited(1).jpg", "IMG_1.jpg(1).json"),
        ("dt.nef", "dt_01.nef.xmp"),
        ("dt.nef", "dt_12.NEF.xmp"),
        ("a.nef", "a.nef.pp3"),
        ("a.nef", "a.dop"),
        ("a.nef", "a.yml"),
        ("a.nef", "a.nef.yaml"),
        ("IMG_0007.HEIC", "IMG_O0007.AAE"),
        ("IMG_0007.HEIC", "IMG_0007_O.AAE"),
    ],
)
def test_each_usual_form_of_a_sidecars_name(tree, photo, sidecar):
    put(tree.needles / "x" / photo, b"broken")
    put(tree.needles / "x" / sidecar, b"sidecar")
    assert told(tree.run(*COPY).err) == [1, 1, 0, 0]
    assert contents(tree.path / "to") == contents(tree.needles)


@pytest.mark.parametrize(
    ("photo", "other"),
    [
        ("metadata.jpg", "metadata.json"),
        ("IMG_1.jpg", "IMG_1.jpg(1).json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.json"),
        ("IMG_1(1).jpg", "IMG_1.jpg(2).json"),
        (f"{'a' * 44}.jpg", f"{'a' * 43}.json"),
        ("IMG_1-edited.jpg", "IMG_12.jpg.json"),
        ("dt.nef", "dt_1.nef.xmp"),
        ("IMG_0007.HEIC", "IMG_00007.AAE"),
    ],
)
def test_what_is_like_a_sidecars_name_and_is_none(tree, photo, other):
    put(tree.needles / photo, b"broken")
    put(tree.needles / other, b"another's")
    tree.run(*COPY)
    assert names(tree.path / "to") == [photo]


def test_a_json_of_its_own_goes_before_that_of_the_original(tree):
    put(tree.needles / "IMG_1-edited.jpg", b"broken")
    put(tree.needles / "IMG_1-edited.jpg.json", b"its own")
    put(tree.needles / "IMG_1.jpg.json", b"the original's")
    tree.run(*COPY)
    assert names(tree.path / "to") == ["IMG_1-edited.jpg", "IMG_1-edited.jpg.json"]


def test_a_sidecar_of_two_goes_beside_both(tree):
    put(tree.path / "to" / "a.JPG", b"another")
    put(tree.needles / "a.JPG", draw(50))
    put(tree.needles / "a.NEF", RAW)
    put(tree.needles / "a.xmp", b"of both")
    for _ in range(2):
        tree.run(*COPY)
        assert names(tree.path / "to") == ["a (2).JPG", "a (2).xmp", "a.JPG", "a.NEF", "a.xmp"]


@pytest.mark.skipif(os.name == "nt", reason="a folder in use can't be moved there")
def test_a_folder_that_vanishes_while_it_is_copied_holds_no_other_up(tree):
    wanted = {f"{folder}/{name}": each for number, folder in enumerate("abc")
              for name, each in raws(tree.needles / folder, 3, seed=number).items()}  # fmt: skip
    put(tree.needles / "b" / "0001.xmp", b"sidecar")
    made = "def mkdir(folder, really=os.mkdir):\n"
    made += "    if str(folder).endswith('b'):\n        os.rename('needles/b', 'gone')\n"
    made += "    return really(folder)\nos.mkdir = mkdir"
    done = tree.run(*COPY, env=harmed(tree, made))
    assert done.status == 2 and told(done.err)[0] == 6
    del wanted["b/0000.nef"], wanted["b/0001.nef"], wanted["b/0002.nef"]
    assert contents(tree.path / "to") == wanted


def test_the_video_of_a_live_photo_travels(tree):
    """Even where the library has it: beside another photograph it is of no use."""
    put(tree.path / "haystack" / "2006" / "IMG_9.MOV", VIDEO)
    put(tree.needles / "IMG_1.HEIC", b"broken")
    put(tree.needles / "IMG_1.MOV", VIDEO)
    put(tree.needles / "IMG_2.JPG", draw(50))
    put(tree.needles / "IMG_2.mov", VIDEO[::-1])
    put(tree.needles / "1.jpg", encode(draw(1)))
    put(tree.needles / "1.mov", VIDEO)
    done = tree.run(*COPY)
    assert names(tree.path / "to") == ["IMG_1.HEIC", "IMG_1.MOV", "IMG_2.JPG", "IMG_2.mov"]
    assert told(done.err) == [4, 0, 0, 0]


def test_the_sidecars_of_what_is_copied_once_travel_too(tree):
    """Of two copies of a photograph, one may have been worked on."""
    for folder in ("a", "b", "c"):
        put(tree.needles / folder / "1.nef", RAW)
    put(tree.needles / "a" / "1.json", b"the first's")
    put(tree.needles / "b" / "1.xmp", b"edits of the second")
    put(tree.needles / "c" / "1.json", b"the third's")
    for _ in range(2):
        assert tree.run(*COPY).status == 0
        copies = sorted(contents(tree.path / "to").values())
        assert copies == sorted([RAW, b"the first's", b"edits of the second", b"the third's"])


def test_a_sidecar_that_two_share_is_copied_once(tree):
    put(tree.needles / "a.JPG", draw(50))
    put(tree.needles / "a.NEF", RAW)
    put(tree.needles / "a.xmp", b"of both")
    done = tree.run(*COPY)
    assert names(tree.path / "to") == ["a.JPG", "a.NEF", "a.xmp"]
    assert told(done.err) == [2, 1, 0, 0]


def test_a_renamed_photographs_sidecars_are_renamed_with_it(tree):
    put(tree.path / "to" / "DCIM" / "img_0001.jpg", b"another photograph")
    put(tree.path / "to" / "DCIM" / "IMG_0001.xmp", b"of that")
    put(tree.path / "to" / "DCIM" / "IMG_0002.xmp", b"another's")
    before = state(tree.path / "to")
    content = encode(draw(50))
    beside = (".xmp", ".AAE", ".JPG.xmp", ".JPG.supplemental-metadata.json")
    put(tree.needles / "DCIM" / "IMG_0001.JPG", content)
    for end in beside:
        put(tree.needles / "DCIM" / f"IMG_0001{end}", end.encode())
    put(tree.needles / "DCIM" / "IMG_0002.JPG", encode(draw(51)))
    put(tree.needles / "DCIM" / "IMG_0002.xmp", b"of the second")
    for _ in range(2):
        assert tree.run(*COPY).status == 0
        assert contents(tree.path / "to" / "DCIM") == {
            "img_0001.jpg": b"another photograph",
            "IMG_0001.xmp": b"of that",
            "IMG_0001 (2).JPG": content,
            **{f"IMG_0001 (2){end}": end.encode() for end in beside},
            "IMG_0002.JPG": encode(draw(51)),
            "IMG_0002.xmp": b"another's",
            "IMG_0002 (2).xmp": b"of the second",
        }
    after = state(tree.path / "to")
    assert all(after[path] == each for path, each in before.items() if path.is_file())


def run_at_most(tree, seconds):
    arguments = command("-a", "haystack", "-n", "needles", *COPY, "--report", "page.html")
    done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.skipif(not linux, reason="links and pipes as Linux has them")
def test_needles_that_are_no_files_hold_nothing_up(tree):
    put(tree.needles / "x" / "a.nef", RAW)
    for number, ending in enumerate((".jpg", ".nef", ".mov")):
        os.symlink("nowhere", tree.needles / "x" / f"dangling{ending}")
        os.mkfifo(tree.needles / "x" / f"pipe{ending}")
        put(tree.needles / "x" / f"folder{ending}" / "b.nef", RAW[number + 1 :])
    err = run_at_most(tree, 10)
    assert names(tree.path / "to") == [
        "x/a.nef", "x/folder.jpg/b.nef", "x/folder.mov/b.nef", "x/folder.nef/b.nef"
    ]  # fmt: skip
    assert told(err) == [4, 0, 0, 0]
    assert err.count("[WARN] cannot read ") == 3 and "and 3 more that can't be read" in err


@pytest.mark.skipif(not linux, reason="links and pipes as Linux has them")
@pytest.mark.parametrize("kind", ["a dangling link", "a pipe", "a folder"])
def test_sidecars_that_are_no_files_hold_nothing_up(tree, kind):
    put(tree.needles / "x" / "a.nef", RAW)
    put(tree.needles / "x" / "a.xmp", b"sidecar")
    put(tree.needles / "x" / "b.nef", RAW[1:])
    odd = tree.needles / "x" / "a.json"
    if kind == "a pipe":
        os.mkfifo(odd)
    elif kind == "a folder":
        odd.mkdir()
    else:
        os.symlink("nowhere", odd)
    err = run_at_most(tree, 10)
    assert names(tree.path / "to") == ["x/a.nef", "x/a.xmp", "x/b.nef"]
    assert told(err) == [2, 1, 0, 0]


# ------------------------------------------------------------------------------------------------
# Where it may not go, and what may go wrong
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["needles", "needles/", "needles/to", "needles/x/new", ".", "haystack/..", "", "link"]
)
def test_the_folder_and_the_needles_may_not_lie_in_each_other(tree, folder):
    put(tree.needles / "x" / "a.jpg", draw(50))
    if folder == "link":
        if os.name == "nt":
            return
        os.symlink("needles/x", tree.path / "link")
    before = state(tree.path)
    done = tree.run("--copy-missing", folder)
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
    assert done.err.startswith("[ERROR] ")
    assert state(tree.path) == before


def test_a_folder_that_cannot_be_made_ends_the_run_at_its_start(tree):
    put(tree.needles / "x" / "a.jpg", draw(50))
    put(tree.path / "to", b"a file")
    for folder in ("to", "to/below", "haystack/2006/1.jpg"):
        before = state(tree.path)
        done = tree.run("--copy-missing", folder)
        assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
        assert state(tree.path) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's size")
def test_a_file_that_is_too_large_for_the_disk_holds_no_other_up(tree):
    wanted = raws(tree.needles / "x", 5, 3_000)
    wanted["0003.nef"] = RAW[:20_000]
    put(tree.needles / "x" / "0003.nef", wanted["0003.nef"])

    def small_files():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = tree.run(*COPY, preexec_fn=small_files)
    assert done.status == 2 and done.printed == ["x"]
    assert done.warned == [
        "[WARN] cannot copy needles/x/0003.nef: File too large",
        "[ERROR] 4 of 5 photographs and videos are copied; not copied: File too large (1)",
    ]
    others = {name: each for name, each in wanted.items() if name != "0003.nef"}
    assert contents(tree.path / "to" / "x") == others  # and no part of it
    assert tree.run(*COPY).status == 0
    assert contents(tree.path / "to" / "x") == wanted


def in_small_disk(tree, size, script):
    """Run a shell's script with us as its arguments, where to is a disk of its own."""
    (tree.path / "to").mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size={size} none to"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], cwd=tree.path).returncode:
        pytest.skip("may not mount a disk")
    arguments = command("-a", "haystack", "-n", "needles", *COPY)
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount}; {script}", "sh", *arguments],
        cwd=tree.path,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(not linux, reason="mounts as Linux does")
def test_a_small_disk_fills_up_and_a_larger_one_gets_the_rest(tree):
    """Files of 200 bytes take 4 KB each of this disk, so that the space seems to be enough."""
    wanted = raws(tree.needles / "x", 300)
    done = in_small_disk(
        tree,
        "512k",
        '"$@"; echo status $?; find to -type f ! -size 200c; ls -A to/x | wc -l;'
        'for copy in to/x/*; do cmp "$copy" "needles/x/${copy##*/}" || echo other; done;'
        'mount -o remount,size=4m to; "$@"; echo status $?; ls -A to/x | wc -l;'
        "diff -r needles/x to/x",
    )
    assert "Traceback" not in done.stderr
    first, second = done.stdout.split("directories...\n[INFO] x\n")[1:]
    status, count = first.splitlines()[:2]
    assert status == "status 2" and 20 < int(count) < 300
    assert first.splitlines()[2].startswith("[INFO] computing")  # no other line: all are whole
    assert second == "status 0\n300\n"
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("[ERROR]"))
    total = f"{count} of 300 photographs and videos are copied"
    assert line == f"[ERROR] to: No space left on device; {total}"
    assert told(done.stderr.partition(line)[2]) == [300 - int(count), 0, int(count), 0]
    assert len(wanted) == 300


@pytest.mark.skipif(not linux, reason="mounts as Linux does")
def test_the_space_is_checked_beforehand(tree):
    for number in range(3):
        put(tree.needles / "x" / f"{number}.nef", bytes([number]) * 1_000_000)
    done = in_small_disk(tree, "1m", '"$@"; echo status $?; find to -type f')
    assert done.stdout.endswith("directories...\n[INFO] x\nstatus 2\n")
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("[ERROR]"))
    assert line == "[ERROR] copied nothing to to: 3.0 MB needed, 1.0 MB free"


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_what_may_not_be_read_is_named_and_the_rest_is_copied(tree):
    wanted = raws(tree.needles / "x", 4)
    for name in ("0001.nef", "0002.nef"):
        os.chmod(tree.needles / "x" / name, 0)
    there = {"0002.nef": b"x" * 200}  # of that name and that size
    put(tree.path / "to" / "x" / "0002.nef", there["0002.nef"])
    done = tree.run(*COPY, preexec_fn=without_root_powers)
    assert done.status == 2
    for name in ("0001.nef", "0002.nef"):
        assert f"[WARN] cannot copy needles/x/{name}: Permission denied" in done.warned
    copied = {name: wanted[name] for name in ("0000.nef", "0003.nef")}
    assert contents(tree.path / "to" / "x") == {**copied, **there}
    assert told(done.err) == [2, 0, 0, 0]


@pytest.mark.skipif(not linux, reason="a disk in memory, where a file can have any date")
def test_a_file_dated_past_all_years_is_copied_too(tree):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        raws(pathlib.Path(disk) / "x", 2)
        os.utime(f"{disk}/x/0001.nef", (10**17, 10**17))
        if os.stat(f"{disk}/x/0001.nef").st_mtime != 10**17:
            pytest.skip("this disk does not keep such a date")
        done = tree.run(*COPY, needles=disk)
        assert done.status == 0 and names(tree.path / "to") == ["x/0000.nef", "x/0001.nef"]
        assert "2 missing (400 bytes, 20" in done.err


LINKLESS = """
import errno
import os

def link(*_, **__):
    raise PermissionError(1, "Operation not permitted")

os.link = link
"""


def test_a_disk_without_hard_links(tree):
    put(tree.path / "linkless" / "sitecustomize.py", LINKLESS.encode())
    env = {**os.environ, "PYTHONPATH": str(tree.path / "linkless")}
    wanted = raws(tree.needles / "x", 5)
    put(tree.path / "to" / "x" / "0001.nef", b"another")
    for _ in range(2):
        assert tree.run(*COPY, env=env).status == 0
        assert contents(tree.path / "to" / "x") == {
            "0000.nef": wanted["0000.nef"],
            "0001.nef": b"another",
            "0001 (2).nef": wanted["0001.nef"],
            **{name: wanted[name] for name in ("0002.nef", "0003.nef", "0004.nef")},
        }


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
@pytest.mark.parametrize("name", ["0001.nef", "twin.nef"])
def test_a_link_to_a_needle_in_the_folder_is_no_copy_of_it(tree, name):
    wanted = raws(tree.needles / "x", 3)
    raws(tree.needles / "y", 2, seed=1)
    put(tree.needles / "x" / "twin.nef", wanted["0001.nef"])
    (tree.path / "to" / "x").mkdir(parents=True)
    os.symlink(tree.needles / "x" / name, tree.path / "to" / "x" / "0001.nef")
    os.symlink(tree.needles / "y", tree.path / "to" / "y")
    before = state(tree.needles)
    done = tree.run(*COPY)
    assert done.status == 0 and told(done.err) == [5, 0, 0, 0] and state(tree.needles) == before
    copies = contents(tree.path / "to" / "x")
    assert copies.pop("0001 (2).nef") == wanted["0001.nef"] and copies == wanted
    assert not os.path.islink(tree.path / "to" / "x" / "0001 (2).nef")
    assert contents(tree.path / "to" / "y (2)") == contents(tree.needles / "y")


VANISHING = """
import errno
import os

listed = os.listdir

def listdir(folder):  # for sidecars, when it is known what is missing
    if os.path.basename(folder) == "x" and os.path.exists("needles/x/0001.nef"):
        os.unlink("needles/x/0001.nef")
    return listed(folder)

os.listdir = listdir
"""


def test_what_vanishes_before_it_is_copied_is_named_and_the_rest_is_copied(tree):
    put(tree.path / "vanishing" / "sitecustomize.py", VANISHING.encode())
    wanted = raws(tree.needles / "x", 3)
    env = {**os.environ, "PYTHONPATH": str(tree.path / "vanishing")}
    done = tree.run(*COPY, env=env)
    gone = os.path.join("needles", "x", "0001.nef")
    assert done.status == 2 and not os.path.exists(tree.path / gone)
    assert f"[WARN] cannot copy {gone}: No such file or directory" in done.warned
    assert contents(tree.path / "to" / "x") == {
        name: wanted[name] for name in ("0000.nef", "0002.nef")
    }


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
def test_odd_names_are_copied_byte_for_byte(tree):
    odd = [b"new\nline/a\n.nef", b"\xe9t\xe9/\xff.nef", b"-n/-r.nef", b"~/$HOME.nef", b" / .nef",
           b"\x1b[31m/\x1b.nef", b"x/dots/a..nef", b"back\\slash/a.nef"]  # fmt: skip
    if not linux:
        odd.remove(b"\xe9t\xe9/\xff.nef")
    for number, name in enumerate(odd):
        put(os.path.join(os.fsencode(tree.needles), name), RAW[number:])
    assert tree.run(*COPY).status == 0
    assert contents(tree.path / "to") == contents(tree.needles)
    assert len(names(tree.path / "to")) == len(odd)


def test_2000_files(tree):
    wanted = raws(tree.needles / "x", 2000)
    for count, there in ((2000, 0), (0, 2000)):
        done = tree.run(*COPY)
        assert told(done.err) == [count, 0, there, 0]
    assert contents(tree.path / "to" / "x") == wanted
    assert "[INFO] 2,000 photographs and videos: 0 found, 2,000 missing (400 KB, 20" in done.err


def test_the_time_grows_with_the_files_not_with_their_square(tree):
    """Measured in calls of functions, as the interpreter counts them, not in seconds."""
    profile = (
        "import collections, sys; from hash_and_search import main; calls = collections.Counter();"
        "sys.setprofile(lambda frame, event, _: calls.update([event])); main();"
        "sys.setprofile(None); print(calls.total())"
    )
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    calls = []
    for count in (200, 800):
        raws(tree.needles / "x", count)
        arguments = [sys.executable, "-c", profile, "-a", "haystack", "-n", "needles", *COPY]
        pipes = {"capture_output": True, "text": True, "check": True}
        done = subprocess.run(arguments, cwd=tree.path, env=env, **pipes)
        assert told(done.stderr) == [count, 0, 0, 0]
        calls.append(int(done.stdout.split()[-1]))
        shutil.rmtree(tree.path / "to")
    assert calls[1] < 6 * calls[0]


# ------------------------------------------------------------------------------------------------
# Several runs at once
# ------------------------------------------------------------------------------------------------


def numberless(name):
    return re.sub(r" \(\d+\)(?=\.)", "", name)


@pytest.mark.parametrize("is_linkless", [False, True])
def test_runs_at_once_give_every_file_whole(tree, is_linkless):
    """Two of one card, one of another with the same names."""
    put(tree.path / "linkless" / "sitecustomize.py", LINKLESS.encode())
    path = str(tree.path / "linkless") if is_linkless else ""
    cards = [raws(tree.path / card / "x", 12, 1_500_000, seed) for seed, card in enumerate("ab")]
    runs = [
        subprocess.Popen(
            command("-a", "haystack", "-n", card, *COPY),
            cwd=tree.path,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for card in "aba"
    ]
    errors = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], errors
    copies = contents(tree.path / "to" / "x")
    assert all(each in (card[numberless(name)] for card in cards) for name, each in copies.items())
    for number, card in enumerate(cards):
        for each in card.values():
            assert 1 <= list(copies.values()).count(each) <= 2 - number


TAKING = """
def {what}(source, target, *, really=os.{what}):
    if target.endswith("1.nef") and not os.path.exists(target):
        with open(target, "xb") as file:
            file.write(b"another run's")
    return really(source, target)
os.{what} = {what}
"""


def test_a_name_that_is_taken_meanwhile_gets_the_next_number(tree):
    wanted = raws(tree.needles, 3)
    assert tree.run(*COPY, env=harmed(tree, TAKING.format(what="link"))).status == 0
    assert contents(tree.path / "to") == {
        "0000.nef": wanted["0000.nef"],
        "0001.nef": b"another run's",
        "0001 (2).nef": wanted["0001.nef"],
        "0002.nef": wanted["0002.nef"],
    }


@pytest.mark.skipif(os.name == "nt", reason="the rights of files as others have them")
def test_a_copy_may_be_read_by_whom_the_user_lets(tree):
    raws(tree.needles, 1)
    tree.run(*COPY, preexec_fn=lambda: os.umask(0o027))
    assert (tree.path / "to" / "0000.nef").stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_not_read_to_its_end_is_no_copy(tree):
    wanted = raws(tree.needles, 3)
    put(tree.needles / "short.nef", RAW)
    short = """
class Short:
    def __init__(self, *arguments, really=open, **options):
        self.file, self.left = really(*arguments, **options), 3000
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
    def read(self, count):
        self.left -= min(count, self.left)
        return self.file.read(count if self.left else 2000)[:2000] if self.left else b""
def opened(path, *arguments, really=open, **options):
    is_short = str(path).endswith("short.nef") and options.get("buffering") == 0
    return (Short if is_short else really)(path, *arguments, **options)
builtins.open = opened"""
    done = tree.run(*COPY, env=harmed(tree, short))
    assert done.status == 2 and contents(tree.path / "to") == wanted
    why = "it changed, or could not be read to its end"
    assert done.warned == [
        f"[WARN] cannot copy {os.path.join('needles', 'short.nef')}: {why}",
        f"[ERROR] 3 of 4 photographs and videos are copied; not copied: {why} (1)",
    ]


# ------------------------------------------------------------------------------------------------
# One file's trouble, and a disk's
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["EFBIG", "EIO", "EACCES"])
def test_what_the_disk_refuses_holds_no_other_up(tree, code):
    wanted = raws(tree.needles / "x", 30)
    harm = refusing("link", "name > '0004.x'", code) + refusing("rename", "name > '0004.x'", code)
    done = tree.run(*COPY, env=harmed(tree, harm))
    why = os.strerror(getattr(errno, code))
    assert done.status == 2 and len(names(tree.path / "to")) == 5
    assert done.warned[-2:] == [
        "[WARN] and 5 more that can't be copied",
        f"[ERROR] 5 of 30 photographs and videos are copied; not copied: {why} (25)",
    ]
    lines = [line for line in done.warned if line.startswith("[WARN] cannot copy ")]
    assert len(lines) == 20 and all(line.endswith(f".nef: {why}") for line in lines)
    assert told(done.err) == [5, 0, 0, 0]
    assert tree.run(*COPY).status == 0 and contents(tree.path / "to" / "x") == wanted


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EROFS"])
def test_a_disk_that_takes_nothing_any_more_ends_the_run_at_once(tree, code):
    raws(tree.needles / "x", 30)
    harm = refusing("link", "name > '0004.x'", code) + refusing("rename", "name > '0004.x'", code)
    done = tree.run(*COPY, "--report", "list.txt", env=harmed(tree, harm))
    assert done.status == 2 and len(names(tree.path / "to")) == 5
    why = os.strerror(getattr(errno, code))
    assert done.warned == [
        f"[WARN] cannot copy {os.path.join('needles', 'x', '0005.nef')}: {why}",
        f"[ERROR] to: {why}; 5 of 30 photographs and videos are copied",
    ]
    assert (tree.path / "list.txt").read_bytes().count(b"\n") == 30


GONE = """
def link(source, target, really=os.link):
    if target.endswith("0005.nef"):
        {harm}
    return really(source, target)
os.link = link
"""


@pytest.mark.skipif(os.name == "nt", reason="a folder in use can't be moved there")
@pytest.mark.parametrize(
    ("root", "line"),
    [("needles", "is the backup's disk still connected?"), ("to", "is its disk still connected?")],
)
def test_a_disk_that_is_gone_ends_the_run_at_once_and_is_named(tree, root, line):
    raws(tree.needles / "x", 30)
    harm = GONE.format(harm=f"os.rename({root!r}, 'gone')")
    done = tree.run(*COPY, env=harmed(tree, harm))
    assert done.status == 2
    assert len(done.warned) == 2 and done.warned[1].startswith(f"[ERROR] {root}: No such file")
    assert re.search(rf"{re.escape(line)}; [56] of 30 photographs and videos are", done.warned[1])


@pytest.mark.skipif(os.name == "nt", reason="a folder in use can't be moved there")
def test_a_backup_that_is_gone_before_the_copying_is_no_success(tree):
    raws(tree.needles / "x", 30)
    harm = "os.rename('needles', 'gone')"
    done = tree.run(*COPY, env=harmed(tree, harm, "hashes for needles"))
    assert done.status == 2 and names(tree.path / "to") == []
    assert done.warned[-1] == "[ERROR] needles is gone; is the disk still connected?"


@pytest.mark.skipif(not linux, reason="mounts as Linux does")
def test_a_disk_that_is_unmounted_leaves_no_copies_below_its_place(tree):
    raws(tree.needles, 30)
    harm = GONE.format(harm="os.link = really; os.system('umount -l to')")
    env = harmed(tree, harm)
    (tree.path / "to").mkdir()
    mount = 'mount -t tmpfs none to && exec "$@"'
    arguments = command("-a", "haystack", "-n", "needles", *COPY)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, "sh", *arguments],
        cwd=tree.path, env=env, capture_output=True, text=True,
    )  # fmt: skip
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("may not mount a disk")
    assert done.returncode == 2 and names(tree.path / "to") == []
    assert "[ERROR] to: No such " in done.stderr and "is its disk still connected?" in done.stderr


def test_a_twin_of_what_cannot_be_read_is_copied(tree):
    for folder in "abc":
        put(tree.needles / folder / "1.nef", RAW)
    unread = """
def opened(path, *arguments, really=open, **options):
    if os.path.join("a", "1.nef") in str(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return really(path, *arguments, **options)
builtins.open = opened"""
    done = tree.run(*COPY, env=harmed(tree, unread))
    assert done.status == 0 and contents(tree.path / "to") == {"b/1.nef": RAW}
    assert done.warned == [
        f"[WARN] cannot copy {os.path.join('needles', 'a', '1.nef')}: Input/output error"
    ]
    assert told(done.err) == [1, 0, 0, 0]


def test_a_report_that_cannot_be_written_and_the_copies_cancel_each_other_not(tree):
    wanted = raws(tree.needles, 3)
    harm = "os.mkdir('list.txt')"
    done = tree.run(*COPY, "--report", "list.txt", env=harmed(tree, harm))
    assert done.status == 2 and contents(tree.path / "to") == wanted
    assert any("cannot write list.txt" in line for line in done.warned)


# ------------------------------------------------------------------------------------------------
# Names, times and room
# ------------------------------------------------------------------------------------------------


def picky(code):
    """A harm: the disk of the copies takes no names that Windows refuses, nor any links."""
    refused = "set(name) & set('<>:\\\"|?*\\\\\\1') or name.endswith(('.', ' '))"
    harm = refusing("link", "True", "EPERM")
    for what in ("mkdir", "rename"):
        harm += refusing(what, refused, code)
    return (
        harm
        + f"""
def opened(path, *arguments, really=open, **options):
    name = os.path.basename(str(path))
    if "x" in "".join(map(str, arguments)) and ({refused}):
        raise OSError(errno.{code}, os.strerror(errno.{code}))
    return really(path, *arguments, **options)
builtins.open = opened"""
    )


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
@pytest.mark.parametrize("code", ["EINVAL", "ENOENT", "EILSEQ"])
def test_names_that_the_disk_refuses_are_changed(tree, code):
    changed = {
        "Screenshot 12:30.nef": "Screenshot 12_30.nef",
        "Who? Me/a.nef": "Who_ Me/a.nef",
        "Who? Me/b.nef": "Who_ Me/b.nef",
        'dots.. ./b<>|*"\\c\1.nef': "dots_____/b______c_.nef".replace("dots_____", "dots____"),
        f"{'long' * 20}:{'name' * 20}.nef": f"{'long' * 20}_{'name' * 20}.nef",
        "plain/.a/b . c.nef": "plain/_a/b . c.nef",
    }
    for number, name in enumerate(changed):
        put(tree.needles / name, RAW[number:])
    put(tree.needles / "Screenshot 12:30.nef.xmp", b"sidecar")
    for is_new in (6, 0):
        done = tree.run(*COPY, env=harmed(tree, picky(code)))
        assert done.status == 0, done.err
        assert contents(tree.path / "to") == {
            "Screenshot 12_30.nef.xmp": b"sidecar",
            **{name: RAW[number:] for number, name in enumerate(changed.values())},
        }
        assert told(done.err)[0] == is_new
        assert [line for line in done.warned if "names had to change" in line] == [
            "[WARN] 6 names had to change: they hide files, or the disk refuses them"
        ]


@pytest.mark.skipif(not linux, reason="names of 255 bytes")
def test_a_name_that_is_too_long_is_cut_before_its_number(tree):
    long, accents = f"{'a' * 251}.nef", f"{'é' * 125}.nef"
    for name in (long, accents):
        put(tree.needles / "x" / name, RAW)
        put(tree.path / "to" / "x" / name, b"another")
    put(tree.needles / "x" / accents, RAW[1:])
    for _ in range(2):
        assert tree.run(*COPY).status == 0
        assert contents(tree.path / "to" / "x") == {
            long: b"another",
            accents: b"another",
            f"{'a' * 247} (2).nef": RAW,
            f"{'é' * 123} (2).nef": RAW[1:],
        }


@pytest.mark.skipif(not linux, reason="names in two forms of Unicode, as Linux allows them")
def test_names_that_differ_in_the_form_of_unicode_only_are_one(tree):
    for name in ("Été/é.nef", "Été/à.nef"):
        put(tree.needles / unicodedata.normalize("NFC", name), RAW[ord(name[-5]) % 7 :])
    there = {unicodedata.normalize("NFD", f"Été/{name}.nef"): name for name in "éà"}
    put(tree.path / "to" / next(iter(there)), RAW[ord("é") % 7 :])
    put(tree.path / "to" / list(there)[1], b"another")
    before = contents(tree.path / "to")
    for _ in range(2):
        assert tree.run(*COPY).status == 0
        new = unicodedata.normalize("NFD", "Été") + "/" + unicodedata.normalize("NFC", "à (2).nef")
        assert contents(tree.path / "to") == {**before, new: RAW[ord("à") % 7 :]}


def test_times_that_the_disk_takes_not_are_told_once(tree):
    wanted = raws(tree.needles, 5)
    done = tree.run(*COPY, env=harmed(tree, refusing("utime", "True", "EPERM")))
    assert done.status == 0 and contents(tree.path / "to") == wanted
    assert done.warned == ["[WARN] to: its disk takes no times; copies have today's"]


def test_room_of_0_of_0_bytes_is_unknown(tree):
    wanted = raws(tree.needles, 3)
    usage = "shutil.disk_usage = lambda _, really=shutil._ntuple_diskusage: really(0, 0, 0)"
    assert tree.run(*COPY, env=harmed(tree, usage)).status == 0
    assert contents(tree.path / "to") == wanted


# ------------------------------------------------------------------------------------------------
# The whole job
# ------------------------------------------------------------------------------------------------


def test_what_was_trash_or_hidden_is_neither_in_the_copy(tree):
    folders = (".Trash-1000/files", "$RECYCLE.BIN", "a/.thumbnails", ".picasaoriginals", ".a/.b",
               "@eaDir", "#recycle", "Trash", "RECYCLED", "_gsdata_/_saved_", ".sync/Archive",
               "immich/upload", "immich/thumbs")  # fmt: skip
    for number, folder in enumerate(folders):
        put(tree.needles / folder / "a.nef", RAW[number:])
    assert tree.run(*COPY).status == 0
    assert names(tree.path / "to") == sorted(f"{folder}/a.nef" for folder in (
        "_Trash-1000/files", "_RECYCLE.BIN", "a/_thumbnails", "_picasaoriginals", "_a/_b",
        "_eaDir", "_recycle", "_Trash", "_RECYCLED", "_gsdata_/__saved_", "_sync/Archive",
        "immich/upload", "immich/_thumbs"))  # fmt: skip
    done = tree.run(*COPY, haystack=("haystack", "to"))
    assert done.printed == [] and "13 found, 0 missing" in done.err
    assert told(done.err) == [0, 0, 0, 0]


def test_the_second_run_on_a_lifelike_backup_finds_nothing_missing(tree):
    put(tree.path / "to" / "DCIM" / "img_1.jpg", b"another photograph")
    album = "Takeout/Photos from 2019"
    pictures = ["DCIM/IMG_1.JPG", "dcim/img_3.jpg", ".Trash-1/files/a.jpg", "Été/é.png",
                f"{album}/IMG_2(1).jpg", f"{album}/IMG_2-edited.jpg", "$RECYCLE.BIN/$R1.jpg",
                "old/.picasaoriginals/c.jpg"]  # fmt: skip
    for number, name in enumerate(pictures):
        put(tree.needles / name, draw(50 + number))
    for name in ("a/1.nef", "b/1.nef", "b/.thumbnails/1.nef"):
        put(tree.needles / name, RAW)
    for name in ("IMG_2.jpg(1).json", "IMG_2.jpg.supplemental-metadata.json", "metadata.json"):
        put(tree.needles / album / name, name.encode())
    options = {"haystack": ("haystack", "to")}
    done = tree.run(*COPY, **options)
    assert done.status == 0 and told(done.err)[:2] == [9, 2] and done.printed
    before = state(tree.path / "to")
    done = tree.run(*COPY, **options)
    assert done.status == 0 and done.printed == [] and ", 0 missing" in done.err
    assert told(done.err) == [0, 0, 0, 0] and state(tree.path / "to") == before


# ------------------------------------------------------------------------------------------------
# Interruptions
# ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="hard links as others have them")
def test_what_an_ended_run_left_behind_harms_no_copy(tree):
    """Killed between giving a copy its name and taking its other name away."""
    wanted = raws(tree.needles / "x", 3)
    put(tree.path / "to" / "x" / "0000.nef", wanted["0000.nef"])
    os.link(tree.path / "to" / "x" / "0000.nef", tree.path / "to" / "x" / f"{PART}1-a")
    put(tree.path / "to" / "x" / f"{PART}2-b-0001.nef", b"half")
    put(tree.path / "to" / "x" / f"{PART}{time.time():.0f}-c-0001.nef", b"another run's")
    put(tree.path / "to" / "x" / f"{PART}claim-d", b"")
    for each in (tree.path / "to" / "x").glob(f"{PART}*"):
        os.utime(each, (10**9, 10**9))
    put(tree.path / "to" / "x" / f"{PART}3-e", b"another's that is being written")
    done = tree.run(*COPY, haystack=("haystack", "to"))
    assert done.status == 0 and "hidden" not in done.err
    left = [name for name in names(tree.path / "to" / "x") if name.startswith(PART)]
    assert [name.rpartition("-")[2] for name in left] == ["0001.nef", "e"]
    for name in left:
        (tree.path / "to" / "x" / name).unlink()
    assert contents(tree.path / "to" / "x") == wanted


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_interruption_at_any_moment_leaves_whole_files(tree):
    chance, rng = random.Random(7), np.random.default_rng(7)
    wanted = {}
    for number in range(240):  # of a size of their own, so that nothing must be read beforehand
        name, content = f"{number % 4}/{number:03}.nef", rng.bytes(100_000 + number)
        put(tree.needles / name, content)
        wanted[name] = content
    to = tree.path / "to"

    def copies():
        found = contents(to)
        return {name: each for name, each in found.items() if PART not in name}

    put(tree.path / "linkless" / "sitecustomize.py", LINKLESS.encode())
    ended = []
    for count in range(20):
        kind = (signal.SIGINT, signal.SIGKILL)[count % 2]
        if count % 2 == 0:
            shutil.rmtree(to, ignore_errors=True)
        run = subprocess.Popen(
            command("-a", "haystack", "-n", "needles", *COPY),
            cwd=tree.path,
            env={**os.environ, "PYTHONPATH": str(tree.path / "linkless") if count > 9 else ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # whoever started the tests may have it ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert any("check the following" in line for line in run.stdout)  # then it copies
        time.sleep(chance.uniform(0, 0.05))
        run.send_signal(kind)
        _, err = run.communicate()
        assert run.returncode in (0, 130 if kind == signal.SIGINT else -kind)
        assert "Traceback" not in err
        if run.returncode:
            ended.append(kind)
            assert kind == signal.SIGKILL or err.endswith(
                "[ERROR] interrupted; with --cache the next run goes on\n"
            )
        found = copies()
        # Without links a kill may leave a claim to a name, which then gets a number.
        assert all(each == wanted[name.replace(" (2)", "")] for name, each in found.items())
        if count % 4 == 3:
            assert tree.run(*COPY).status == 0
            assert sorted(set(copies().values())) == sorted(wanted.values())
    assert ended.count(signal.SIGINT) > 3 and ended.count(signal.SIGKILL) > 3
