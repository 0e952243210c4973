"""1 Listing: which files are searched, which are left out, and how that is told."""

import contextlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest

import hash_and_search
from conftest import RAW, VIDEO, command, draw, encode, half, heic, put, table, without_root_powers
from hash_and_search import Listing, is_online_only, kind_of

linux = sys.platform.startswith("linux")
only_linux = pytest.mark.skipif(not linux, reason="as Linux does it")


def powerless():
    return {"preexec_fn": without_root_powers if os.geteuid() == 0 else None}


# ------------------------------------------------------------------------------------------------
# What is searched
# ------------------------------------------------------------------------------------------------

PHOTOGRAPHS = """jpg jpeg jpe jfif jif mpo png bmp dib tif tiff webp avif gif jp2 j2k sr ras hdr pic
    pfm heic heif hif""".split()
BY_BYTES = """dng cr2 cr3 crw nef nrw arw srf sr2 srw orf ori raf rw2 raw rwl pef ptx x3f 3fr fff
    erf kdc dcr dcs k25 mrw mdc mef mos iiq cap gpr bay jxl jxr wdp hdp psd psb heics heifs avifs
    exr pbm pgm ppm pnm pxm pam mov mp4 m4v avi mpg mpeg mpe m1v m2v mts m2ts m2t tod mod 3gp 3gpp
    3g2 wmv asf mkv webm vob flv f4v dv ogv qt mxf divx rm rmvb insv lrv 360""".split()


def test_each_kind_of_file_is_in_the_table_once(tree):
    kinds = PHOTOGRAPHS + BY_BYTES
    pictures = {
        kind: encode(draw(40 + number), f".{kind}")
        for number, kind in enumerate("jpg jpeg jpe png bmp dib tif tiff webp jp2 ppm pnm".split())
    }
    for number, kind in enumerate(kinds):
        content = pictures.get(kind, RAW[number:])
        put(tree.needles / "lower" / f"a.{kind}", content)
        put(tree.needles / "upper" / "deep" / f"A.{kind.upper()}", content[::-1])
        put(tree.path / "haystack" / f"{number}.{kind}", content)
    put(tree.needles / "lower" / ".hidden.mov", VIDEO)
    put(tree.needles / "lower" / "notes.txt", b"no photograph")
    rows = tree.findings()
    assert len(rows) == 2 * len(kinds)
    for kind in kinds:
        assert rows[f"lower/a.{kind}"]["status"] == "found"
        status = rows[f"upper/deep/A.{kind.upper()}"]["status"]
        assert status == ("missing" if kind in BY_BYTES else "unreadable"), kind
    assert tree.run().printed == [os.path.join("upper", "deep")]


def test_every_ending_has_one_kind():
    assert {kind_of(f"x/A.{kind.upper()}") for kind in PHOTOGRAPHS} == {"decoded", "HEIC"}
    assert {kind_of(f"a.b.{kind}") for kind in BY_BYTES} == {"raw", "video"}
    assert [kind_of(name) for name in ("a", "jpg", ".jpg", "a.jpg.", "a.jpgx", "jpg/a")] == [
        None, None, None, None, None, None,
    ]  # fmt: skip


@only_linux
def test_every_name_is_found_and_printed_byte_for_byte(tree):
    names = [
        "with space ", "q'u\"o`te", "$HOME", "back\\slash", "\U0001f3d4", "e\u0301te\u0301",
        os.fsdecode(b"latin-\xe9t\xe9"), "-n.jpg", "[WARN]", "*?", "{}", "%s",
    ]  # fmt: skip
    deep = "/".join(["a rather long name for one folder"] * 12)
    for count, name in enumerate([*names, deep]):
        put(tree.needles / "seen" / name / f"{name[:9]}.jpg", encode(draw(count % 8)))
        put(tree.needles / name / f"{name[:9]}.jpg", draw(100 + count))
    done = tree.run()
    assert done.warned == [] and sorted(done.printed) == sorted([*names, deep])
    put(tree.needles / "seen" / "-n.jpg" / os.fsdecode(b"\xff.jpg"), b"not an image")
    assert os.fsdecode(b"seen/-n.jpg/\xff.jpg: not an image") in tree.run().err
    for setting in ({"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}):
        again = tree.run(env={**os.environ, **setting})
        assert again.printed == done.printed


@pytest.mark.skipif(os.name == "nt", reason="Windows has shorter paths")
def test_a_tree_of_more_levels_than_calls_may_nest_is_walked(tree):
    """Calls may nest 1,000 deep, and here 600: asking for a path takes time with each level."""
    put(tree.path / "nesting" / "sitecustomize.py", b"import sys\nsys.setrecursionlimit(600)\n")
    env, levels = {**os.environ, "PYTHONPATH": str(tree.path / "nesting")}, 650
    here = os.getcwd()
    try:
        os.chdir(tree.needles)
        for _ in range(levels):
            os.mkdir("d")
            os.chdir("d")
        pathlib.Path("a.jpg").write_bytes(encode(draw(1)))
        pathlib.Path("b.jpg").write_bytes(encode(draw(70)))
    finally:
        os.chdir(here)
    try:
        done = tree.run("--report", "table.csv", env=env)
    finally:  # for Python's own rmtree it may be too deep
        subprocess.run(["rm", "-rf", tree.needles / "d"], check=True)
    name = os.path.join(*["d"] * levels)
    assert done.status == 0 and done.warned == []
    assert f"[INFO] {name}: 1 of 2 found\n" in done.err
    assert [row["status"] for row in table(tree.path / "table.csv")] == ["found", "missing"]


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_a_link_to_a_directory_is_not_followed(tree):
    put(tree.path / "elsewhere" / "a.jpg", draw(50))
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    os.symlink(tree.path / "elsewhere", tree.needles / "x" / "link")
    os.symlink(tree.needles, tree.needles / "x" / "loop")
    done = tree.run()
    assert done.printed == [] and "1 photographs and videos: 1 found" in done.err
    assert sorted(done.warned) == [
        f"[WARN] {os.path.join('needles', 'x', name)}: a link to a directory, not followed"
        for name in ("link", "loop")
    ]


@only_linux
def test_a_folder_that_is_seen_twice_is_walked_once(tree, monkeypatch):
    put(tree.needles / "a" / "new.jpg", draw(50))
    put(tree.needles / "a" / "deep" / "new.jpg", draw(51))
    (tree.needles / "b").mkdir()
    told = "needles/b: listed already, by another name"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        # no mounts here: as if b were a
        ids, root = hash_and_search.folder_ids, str(tree.needles)
        put(tree.needles / "b" / "new.jpg", draw(50))
        monkeypatch.setattr(
            hash_and_search,
            "folder_ids",
            lambda folder: ids(os.path.join(root, "a") if folder == f"{root}/b" else folder),
        )
        listing, warned = Listing(root, False), []
        monkeypatch.setattr(hash_and_search, "warn", warned.append)
        listing.fill(kind_of, set())
        assert [os.path.relpath(path, root) for path in listing.files] == [
            "a/deep/new.jpg", "a/new.jpg",
        ]  # fmt: skip
        assert len(warned) == 1 and warned[0].endswith(told)
    else:
        script = 'mount --bind needles/a needles/b && exec "$@"'
        arguments = command("-a", "haystack", "-n", "needles")
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", *arguments],
            cwd=tree.path,
            capture_output=True,
            text=True,
        )
        assert done.stdout.endswith("directories...\n[INFO] a\n[INFO] a/deep\n")
        assert "2 photographs and videos: 0 found, 2 missing" in done.stderr
        assert f"[WARN] {told}\n" in done.stderr


# ------------------------------------------------------------------------------------------------
# What can't be listed or read
# ------------------------------------------------------------------------------------------------


@only_linux
def test_what_may_not_be_opened_is_named(tree):
    put(tree.needles / "closed" / "1.jpg", encode(draw(1)))
    put(tree.needles / "file" / "2.jpg", encode(draw(2), quality=80))
    put(tree.path / "haystack" / "closed" / "3.jpg", encode(draw(3)))
    os.chmod(tree.needles / "file" / "2.jpg", 0)
    closed = (tree.needles / "closed", tree.path / "haystack" / "closed")
    for path in closed:
        os.chmod(path, 0)
    done = tree.run(**powerless())
    for path in closed:
        os.chmod(path, 0o700)
    assert done.printed == ["closed", "file"]
    assert done.warned == [
        "[WARN] cannot list haystack/closed: Permission denied",
        "[WARN] cannot list needles/closed: Permission denied",
        "[WARN] cannot read needles/file/2.jpg: Permission denied",
    ]
    assert tree.run(**powerless()).printed == ["file"]


@only_linux
def test_a_folder_that_cannot_be_listed_is_going_too(tree):
    for name in ("closed", "x"):
        put(tree.needles / name / "a.jpg", encode(draw(60)))
        put(tree.needles / name / "a.mov", VIDEO)
    for name in ("a.jpg", "a.mov"):
        os.symlink(tree.needles / "closed" / name, tree.path / "haystack" / name)
    os.chmod(tree.needles / "closed", 0o300)  # what is in it can be opened by its name
    try:
        done = tree.run(**powerless())
        assert done.printed == ["closed", "x"]
        assert "[WARN] cannot list needles/closed: Permission denied" in done.warned
        assert "0 found, 2 missing" in done.err
        os.chmod(tree.needles / "closed", 0o700)
        assert tree.run(**powerless()).printed == ["closed", "x"]
        os.rename(tree.needles / "closed", tree.path / "kept")
        (tree.needles / "closed").mkdir()
        for name in ("a.jpg", "a.mov"):  # and if they were elsewhere, they would vouch
            os.unlink(tree.path / "haystack" / name)
            os.symlink(tree.path / "kept" / name, tree.path / "haystack" / name)
        assert tree.run(**powerless()).printed == []
    finally:
        os.chmod(tree.needles / "closed", 0o700)


def test_an_entry_of_a_damaged_disk_ends_nothing(tree, monkeypatch):
    put(tree.needles / "x" / "1.jpg", draw(1))
    put(tree.needles / "x" / "2.jpg", draw(2))
    scandir, root = os.scandir, str(tree.needles)

    class Damaged:
        def __init__(self, entry):
            self.name, self.path = entry.name, entry.path
            self.is_symlink, self.stat, self.entry = entry.is_symlink, entry.stat, entry

        def is_dir(self):
            if self.name == "1.jpg":
                raise OSError(5, "Input/output error")
            return self.entry.is_dir()

    class Entries(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    warned = []
    monkeypatch.setattr(os, "scandir", lambda path: Entries(map(Damaged, scandir(path))))
    monkeypatch.setattr(hash_and_search, "warn", warned.append)
    listing = Listing(root, False)
    listing.fill(kind_of, set())
    assert [os.path.basename(path) for path in listing.files] == ["1.jpg", "2.jpg"]
    assert warned == [f"cannot look at {os.path.join(root, 'x', '1.jpg')}: Input/output error"]


def test_a_folder_that_vanishes_while_others_are_listed_is_named(tree, monkeypatch):
    put(tree.needles / "a.jpg", draw(1))
    put(tree.needles / "x" / "b.jpg", draw(2))
    put(tree.needles / "y" / "c.jpg", draw(3))
    warned, listing = [], Listing(str(tree.needles), False)
    monkeypatch.setattr(hash_and_search, "warn", warned.append)
    walk = listing.walk()
    assert os.path.basename(next(walk)) == "a.jpg"
    shutil.rmtree(tree.needles / "x")
    assert [os.path.basename(path) for path in walk] == ["c.jpg"]
    gone = os.path.join(tree.needles, "x")
    assert listing.unlisted == [gone]
    (line,) = warned
    assert line.startswith(f"cannot list {gone}: ")


def test_a_junction_is_not_followed(tree, monkeypatch):
    put(tree.path / "elsewhere" / "a.jpg", draw(50))
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    warned, listing = [], Listing(str(tree.needles), False)
    monkeypatch.setattr(hash_and_search, "warn", warned.append)
    if os.name == "nt":
        import _winapi

        try:
            junction = str(tree.needles / "x" / "junction")
            _winapi.CreateJunction(str(tree.path / "elsewhere"), junction)
        except OSError:
            pytest.skip("this file system has no junctions, as wine's")
        listing.fill(kind_of, set())
    else:  # a folder that looks like one
        put(tree.needles / "x" / "junction" / "a.jpg", draw(50))
        scandir = os.scandir

        def as_on_windows(entry):
            tag = 0xA0000003 if entry.name == "junction" else 0
            return SimpleNamespace(
                name=entry.name,
                path=entry.path,
                is_symlink=entry.is_symlink,
                is_dir=entry.is_dir,
                stat=lambda follow_symlinks: SimpleNamespace(st_reparse_tag=tag),
            )

        @contextlib.contextmanager
        def entries(path):
            with scandir(path) as found:
                yield map(as_on_windows, found)

        with monkeypatch.context() as windows:
            windows.setattr(os, "scandir", entries)
            windows.setattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", 0xA0000003, raising=False)
            windows.setattr(os, "name", "nt")
            listing.fill(kind_of, set())
    assert [os.path.basename(path) for path in listing.files] == ["1.jpg"]
    path = os.path.join(tree.needles, "x", "junction")
    assert warned == [f"{path}: a link to a directory, not followed"]


WITHOUT_INODES = """
import os

whole = os.stat

def stat(*arguments, **options):
    info = whole(*arguments, **options)
    names = {name for name in dir(info) if name.startswith("st_")}
    names -= set("st_mode st_ino st_dev st_nlink st_uid st_gid st_size".split())
    more = {name: getattr(info, name) for name in names}
    return os.stat_result((info[0], 0, *info[2:10]), more)

os.stat = stat
"""


def test_a_drive_that_numbers_no_files_is_searched_as_others_are(tree):
    for name in ("a", "b"):
        put(tree.needles / name / "1.jpg", encode(draw(1), quality=60))
        put(tree.needles / name / "same.raw", RAW)
        put(tree.needles / name / f"{name}.raw", RAW + name.encode())
        put(tree.path / "haystack" / "import" / name / "new.jpg", draw(60))
    put(tree.path / "haystack" / "same.raw", RAW)
    put(tree.needles / "c" / "new.jpg", encode(draw(60), quality=60))
    put(tree.path / "without" / "sitecustomize.py", WITHOUT_INODES.encode())
    env = {**os.environ, "PYTHONPATH": str(tree.path / "without")}
    for options in ({}, {"needles": "haystack"}, {"needles": "haystack/import"}):
        expected = tree.run("--report", "table.csv", **options)
        rows = table(tree.path / "table.csv")
        done = tree.run("--report", "table.csv", env=env, **options)
        assert done.printed == expected.printed and done.err == expected.err
        assert table(tree.path / "table.csv") == rows
    assert expected.printed == ["a", "b"]


def test_what_lies_in_icloud_is_a_photograph_that_cannot_be_read(tree):
    put(tree.needles / "phone" / ".IMG_1.HEIC.icloud", b"bplist00 of a place")
    put(tree.needles / "phone" / ".IMG_2.MOV.icloud", b"bplist00 of another place")
    put(tree.needles / "phone" / ".hidden.jpg", draw(1))
    rows = tree.findings()
    assert {path: row["status"] for path, row in rows.items()} == {
        "phone/.IMG_1.HEIC.icloud": "unreadable",
        "phone/.IMG_2.MOV.icloud": "unreadable",
    }
    done = tree.run()
    assert done.printed == ["phone"]
    path = os.path.join("needles", "phone", ".IMG_1.HEIC.icloud")
    assert f"[WARN] cannot read {path}: it lies in iCloud; download it first" in done.warned
    # in the library it is no copy of anything else, and ends nothing
    put(tree.path / "haystack" / ".IMG_3.HEIC.icloud", b"bplist00 of a third place")
    done = tree.run()
    assert done.printed == ["phone"] and "processed 8 images" in done.out


@pytest.mark.parametrize(("flag", "value"), [("st_file_attributes", 0x400000),
                                             ("st_flags", 0x40000000)])  # fmt: skip
def test_files_that_are_online_only_are_known_by_their_flags(monkeypatch, flag, value):
    monkeypatch.setattr(os, "stat", lambda path: SimpleNamespace(**{flag: value | 0x20}))
    assert is_online_only("a.jpg")
    monkeypatch.setattr(os, "stat", lambda path: SimpleNamespace(**{flag: 0x20}))
    assert not is_online_only("a.jpg")


@pytest.mark.parametrize("system", ["darwin", "linux"])
def test_files_that_are_online_only_are_counted_where_there_are_such(tree, monkeypatch, system):
    if os.name == "nt" and system == "linux":
        pytest.skip("Windows has such files")
    warned, listing = [], Listing("needles", False, files=["a.jpg", "b.jpg", "c.jpg"])
    monkeypatch.setattr(hash_and_search, "warn", warned.append)
    monkeypatch.setattr(hash_and_search, "is_online_only", lambda path: path != "b.jpg")
    with monkeypatch.context() as there:
        there.setattr(sys, "platform", system)
        listing.tell_what_is_left_out()
    assert len(warned) == (system == "darwin")
    assert all(line.startswith("needles: 2 files are online only") for line in warned)


# ------------------------------------------------------------------------------------------------
# What is left out is told
# ------------------------------------------------------------------------------------------------


def test_empty_directories_are_told(tree):
    (tree.path / "nothing").mkdir()
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    told = ["[WARN] nothing: no photographs and no videos"]
    done = tree.run(haystack=("nothing",))
    assert (done.status, done.printed, done.warned) == (0, ["x"], told)
    done = tree.run(needles="nothing")
    assert (done.status, done.printed, done.warned) == (0, [], told)
    assert "0 photographs and videos: 0 found, 0 missing" in done.err


TAIL = ": only files that are not searched for; look into it"


def test_what_is_not_searched_for_is_counted_and_its_folders_named(tree):
    for number in range(30):
        put(tree.needles / f"docs {number:02}" / "letter.doc", b"dear")
        put(tree.needles / "docs 00" / f"odd.{'x' * (number % 12)}{number}", b"odd")
    put(tree.needles / "docs 00" / f"long.{'y' * 200}", b"odd")
    put(tree.needles / "USB stick" / "1.jpg", encode(draw(1)))
    put(tree.needles / "USB stick" / "1.xmp", b"sidecar")
    put(tree.needles / "bin" / ".trashed-169-IMG_7.jpg", encode(draw(50)))
    put(tree.needles / "mac" / ".DS_Store", b"hidden")
    put(tree.needles / "mac" / "._1.jpg", b"\0\5\x16\7 what macOS keeps beside a photograph")
    put(tree.needles / "mac" / "._2.jpg", b"")
    put(tree.needles / "mac" / "._holiday.jpg", encode(draw(51)))
    done = tree.run()
    first, second, *named = done.warned
    assert first.startswith("[WARN] needles: 62 other files are not searched for: .doc 30, ")
    assert first.endswith(" more") and len(first) < 300
    assert second == (
        "[WARN] needles: 3 hidden photographs and videos are not searched for, such as "
        + os.path.join("needles", "bin", ".trashed-169-IMG_7.jpg")
    )
    folders = ["bin", *(f"docs {number:02}" for number in range(30)), "mac"]
    assert named[:20] == [f"[WARN] {name}{TAIL}" for name in folders[:20]]
    assert len(named) == 21
    assert named[20].startswith("[WARN] and 12 more folders with only such files")
    assert done.printed == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_hidden_pipe_is_not_waited_for(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    os.mkfifo(tree.needles / "x" / "._1.jpg")
    done = tree.run(timeout=20)
    assert "needles: 1 hidden photographs and videos are not searched for" in done.err


def test_folders_with_nothing_but_what_programs_leave_are_no_alarm(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    names = ["Thumbs.db", "desktop.ini", ".DS_Store", "1.jpg.json", "Picasa.ini", "album.html"]
    for name in names:
        put(tree.needles / "left behind" / name, b"nothing that matters")
        put(tree.needles / name.replace(".", " ") / name, b"nothing that matters")
    assert [line for line in tree.run().warned if "look into it" in line] == []
    put(tree.needles / "left behind" / "letter.doc", b"dear")
    assert [line for line in tree.run().warned if "look into it" in line] == [
        f"[WARN] left behind{TAIL}"
    ]


@pytest.mark.parametrize("spelling", ["needles", "needles/", "./needles", "needles/."])
def test_a_folder_whose_photographs_are_all_in_folders_below_is_no_alarm(tree, spelling):
    put(tree.needles / "1.jpg", encode(draw(1)))
    put(tree.needles / "list.doc", b"dear")
    put(tree.needles / "tour" / "about.doc", b"dear")
    put(tree.needles / "tour" / "rome" / "about.doc", b"dear")
    put(tree.needles / "tour" / "rome" / "day 1" / "2.jpg", encode(draw(2)))
    put(tree.needles / "tour" / "rome" / "notes" / "about.doc", b"dear")
    lines = [line for line in tree.run(needles=spelling).warned if "look into it" in line]
    assert lines == [f"[WARN] {os.path.join('tour', 'rome', 'notes')}{TAIL}"]


def test_a_root_without_photographs_of_its_own_is_no_alarm(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    put(tree.needles / "list.doc", b"dear")
    for spelling in ("needles", "needles/", str(tree.needles)):
        assert not any("look into it" in line for line in tree.run(needles=spelling).warned)


def test_archives_in_the_needles_are_named_by_their_paths(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    names = ["a.zip", "b.7z", "c.RAR", "d.tar", "e.tar.gz", "f.tgz", "g.iso", "h.dmg"]
    for name in names:
        put(tree.needles / "x" / "old" / name, b"a backup")
        put(tree.path / "haystack" / name, b"a backup")
    tail = ": a backup inside an archive is not searched"
    assert [line for line in tree.run().warned if line.endswith(tail)] == [
        f"[WARN] {os.path.join('needles', 'x', 'old', name)}{tail}" for name in names
    ]


LISTS = {
    "archives": ("needles/archives/", ": a backup inside an archive is not searched", " archives"),
    "folders": ("docs ", TAIL, " folders with only such files"),
    "photographs": ("cannot read needles/bad/", "or a damaged one", " more that can't be read"),
    "videos": ("cannot read needles/bad/", ": the file is empty", " more"),
    "in part": ("part ", ": 1 of 2 found", " folders that are found in part"),
}


@pytest.mark.parametrize("sort", LISTS)
def test_lists_of_more_than_20_lines_are_cut(tree, sort):
    beginning, end, what = LISTS[sort]
    beginning = beginning.replace("/", os.sep)
    for count in (20, 32):
        for number in range(count):
            if sort == "archives":
                put(tree.needles / "archives" / f"{number:02}.zip", b"a backup")
            elif sort == "folders":
                put(tree.needles / f"docs {number:02}" / "a.doc", b"dear")
            elif sort == "photographs":
                put(tree.needles / "bad" / f"{number:02}.jpg", b"no picture")
            elif sort == "videos":
                put(tree.needles / "bad" / f"{number:02}.mov", b"")
            else:
                put(tree.needles / f"part {number:02}" / "1.jpg", encode(draw(1), quality=80))
                put(tree.needles / f"part {number:02}" / "2.jpg", encode(draw(50)))
        lines = [line.partition(" ")[2] for line in tree.run().err.splitlines()]
        full = [line for line in lines if line.startswith(beginning) and line.endswith(end)]
        assert len(full) == 20 and full == sorted(full)
        more = [line for line in lines if line.startswith("and ")]
        if count == 20:
            assert more == []
        else:
            assert len(more) == 1 and more[0].startswith("and 12 more") and what in more[0]


def test_trash_in_a_haystack_counts_for_nothing_and_is_told(tree):
    names = ["$RECYCLE.BIN", ".Trash-1000", "#recycle", "@eaDir", ".trashes", ".thumbnails"]
    for number, name in enumerate(names):
        for folder in (name, f"deep/{name}/deeper"):
            put(tree.path / "haystack" / folder / "a.jpg", draw(50 + number))
            put(tree.path / "haystack" / folder / "a.mov", VIDEO)
        put(tree.needles / f"{number}" / "a.jpg", encode(draw(50 + number)))
    put(tree.needles / "video" / "a.mov", VIDEO)
    done = tree.run()
    assert done.printed == [*map(str, range(6)), "video"] and "processed 8 images" in done.out
    (line,) = done.warned
    assert line.startswith("[WARN] haystack: trash and previews do not count: ")
    for name in names:
        assert os.path.join("haystack", name) in line
        assert os.path.join("haystack", "deep", name) in line
    # what only has a name like those does count, and so does trash that was named itself
    put(tree.path / "haystack" / "recycle" / "a.jpg", encode(draw(50), quality=80))
    put(tree.path / "haystack" / "Trash bins" / "a.jpg", encode(draw(51), quality=80))
    assert tree.run().printed == [*map(str, range(2, 6)), "video"]
    done = tree.run("-a", "haystack/#recycle")
    assert done.printed == ["3", "4", "5"]


def test_the_trash_of_other_systems_counts_for_nothing(tree):
    names = ["RECYCLER", "Recycled", ".recycle", "@Recycle", ".Recycle.Bin", ".dtrash", "Trash"]
    for name in (*names, "files_trashbin"):
        put(tree.path / "haystack" / name / "files" / "a.jpg", draw(50))
        put(tree.needles / name / "a.jpg", encode(draw(50)))
    assert tree.run().printed == sorted([*names, "files_trashbin"])


def test_trash_in_the_needles_is_searched(tree):
    put(tree.needles / "$RECYCLE.BIN" / "a.jpg", draw(50))
    put(tree.needles / ".Trash-1000" / "files" / "1.jpg", encode(draw(1)))
    done = tree.run()
    assert done.printed == ["$RECYCLE.BIN"] and done.warned == []
    assert "2 photographs and videos: 1 found, 1 missing" in done.err


def test_reports_and_caches_among_the_needles_are_not_other_files(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    options = ("--report", "needles/list.txt", "--report", "needles/t.csv", "--cache", "needles/c")
    for _ in range(2):
        assert tree.run(*options).warned == []


def test_a_reports_name_in_other_letter_case_is_the_same_where_disks_say_so(tree):
    """As Windows has it, where os.path.normcase tells."""
    put(tree.path / "as windows" / "sitecustomize.py", b"import os\nos.path.normcase = str.lower\n")
    env = {**os.environ, "PYTHONPATH": str(tree.path / "as windows")}
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    put(tree.needles / "List.txt", b"an older report")
    assert tree.run("--report", "needles/LIST.txt", env=env).warned == []
    done = tree.run("--report", "CACHE.txt", "--cache", "cache.txt", env=env)
    assert done.status == 2 and done.warned == ["[ERROR] --report CACHE.txt is the cache"]


def test_heic_without_the_package_is_told_before_the_hashing(tree):
    put(tree.path / "without" / "pillow_heif.py", b"raise ImportError('no pillow_heif')")
    put(tree.path / "haystack" / "0.jpg", b"no picture")
    put(tree.path / "haystack" / "a.heic", heic(draw(50)))
    put(tree.needles / "x" / "b.HEIC", heic(draw(51)))
    env = {**os.environ, "PYTHONPATH": str(tree.path / "without")}
    first, second, *more = tree.run(env=env).warned
    assert first.startswith("[WARN] 2 HEIC files are compared by their bytes only; to decode them")
    assert first.endswith('python -m pip install "pillow-heif>=1.8"')
    assert second.startswith("[WARN] cannot read ") and more == []
    assert [line for line in tree.run().warned if "HEIC" in line] == []


def test_several_haystacks_add_up(tree):
    put(tree.path / "more" / "a.jpg", draw(80))
    put(tree.needles / "x" / "a.jpg", draw(80))
    put(tree.needles / "y" / "a.jpg", half(draw(1)))
    assert tree.run().printed == ["x"]
    done = tree.run(haystack=("haystack", "more", "more"))
    assert done.printed == [] and "processed 9 images" in done.out
    done = tree.run("-a", "more", haystack=("haystack",))
    assert done.printed == [] and "processed 9 images" in done.out
