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
from hash_and_search import Listing, kind_of

linux = sys.platform.startswith("linux")
only_linux = pytest.mark.skipif(not linux, reason="as Linux does it")


def powerless():
    return {"preexec_fn": without_root_powers if os.geteuid() == 0 else None}


# ------------------------------------------------------------------------------------------------
# What is searched
# ------------------------------------------------------------------------------------------------

PHOTOGRAPHS = """jpg jpeg jpe jfif jif mpo png bmp dib tif tiff webp avif gif heic heif
    hif""".split()
BY_BYTES = """dng cr2 cr3 crw nef nrw arw srf sr2 srw orf ori raf rw2 raw rwl pef ptx x3f 3fr fff
    erf kdc dcr dcs k25 mrw mdc mef mos iiq cap gpr bay jxl jxr wdp hdp psd psb heics heifs avifs
    exr pbm pgm ppm pnm pxm pam jp2 j2k sr ras hdr pic pfm mov mp4 m4v avi mpg mpeg mpe m1v m2v mts
    m2ts m2t tod mod 3gp 3gpp 3g2 wmv asf mkv webm vob flv f4v dv ogv qt mxf divx rm rmvb insv lrv
    360""".split()


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
    assert done.partly == [f"1 of 2 lacking: {name}"]
    assert [row["status"] for row in table(tree.path / "table.csv")] == ["found", "missing"]


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_a_link_to_a_directory_is_not_followed(tree):
    put(tree.path / "elsewhere" / "a.jpg", draw(50))
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    os.symlink(tree.path / "elsewhere", tree.needles / "x" / "link")
    os.symlink(tree.needles, tree.needles / "x" / "loop")
    done = tree.run()
    assert done.printed == [] and "1 photographs and videos: 1 found" in done.err
    names = ", ".join(os.path.join("needles", "x", name) for name in ("link", "loop"))
    assert done.warned == [f"[WARN] {names}: link to a folder, not followed"]


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
        listing = Listing(root, False)
        listing.fill(kind_of)
        assert [os.path.relpath(path, root) for path in listing.files] == [
            "a/deep/new.jpg", "a/new.jpg",
        ]  # fmt: skip
        ((path, why),) = listing.left_out
        assert f"{path}: {why}".endswith(told)
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
        "[WARN] haystack/closed: cannot be listed: Permission denied",
        "[WARN] needles/closed: cannot be listed: Permission denied",
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
        assert "[WARN] needles/closed: cannot be listed: Permission denied" in done.warned
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


def test_a_folder_of_a_damaged_disk_is_told_as_a_whole(tree, monkeypatch):
    put(tree.needles / "x" / "1.jpg", draw(1))
    put(tree.needles / "x" / "2.jpg", draw(2))
    put(tree.needles / "y" / "3.jpg", draw(3))
    scandir, root = os.scandir, str(tree.needles)

    class Damaged:
        def __init__(self, entry):
            self.name, self.path = entry.name, entry.path
            self.is_symlink, self.stat, self.entry = entry.is_symlink, entry.stat, entry

        def is_dir(self, **options):
            if self.name == "2.jpg":
                raise OSError(5, "Input/output error")
            return self.entry.is_dir(**options)

    @contextlib.contextmanager
    def entries(path):
        with scandir(path) as found:
            yield map(Damaged, found)

    monkeypatch.setattr(os, "scandir", entries)
    listing = Listing(root, False)
    listing.fill(kind_of)
    assert listing.files == [os.path.join(root, "y", "3.jpg")]
    damaged = os.path.join(root, "x")
    assert listing.left_out == [(damaged, "cannot be listed: Input/output error")]


def test_a_folder_that_vanishes_while_others_are_listed_is_named(tree):
    put(tree.needles / "a.jpg", draw(1))
    put(tree.needles / "x" / "b.jpg", draw(2))
    put(tree.needles / "y" / "c.jpg", draw(3))
    listing = Listing(str(tree.needles), False)

    def kind(path):
        if path.endswith("a.jpg"):
            shutil.rmtree(tree.needles / "x")
        return kind_of(path)

    listing.fill(kind)
    assert [os.path.basename(path) for path in listing.files] == ["a.jpg", "c.jpg"]
    gone = os.path.join(tree.needles, "x")
    ((path, why),) = listing.left_out
    assert path == gone and why.startswith("cannot be listed: ")


def test_a_junction_is_not_followed(tree, monkeypatch):
    put(tree.path / "elsewhere" / "a.jpg", draw(50))
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    listing = Listing(str(tree.needles), False)
    if os.name == "nt":
        import _winapi

        try:
            junction = str(tree.needles / "x" / "junction")
            _winapi.CreateJunction(str(tree.path / "elsewhere"), junction)
        except OSError:
            pytest.skip("this file system has no junctions, as wine's")
        listing.fill(kind_of)
    else:  # a folder that looks like one, as Windows tells it to any Python
        put(tree.needles / "x" / "junction" / "a.jpg", draw(50))
        scandir, mark = os.scandir, 0xA0000003

        class AsOnWindows:
            def __init__(self, entry):
                self.name, self.path = entry.name, entry.path
                self.is_symlink, self.is_dir = entry.is_symlink, entry.is_dir

            def stat(self, follow_symlinks):
                assert not follow_symlinks  # which would open it
                return SimpleNamespace(st_reparse_tag=mark * (self.name == "junction"))

        @contextlib.contextmanager
        def entries(path):
            with scandir(path) as found:
                yield map(AsOnWindows, found)

        with monkeypatch.context() as windows:
            windows.setattr(os, "scandir", entries)
            windows.setattr(os, "name", "nt")
            windows.setattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", mark, raising=False)
            listing.fill(kind_of)
    assert [os.path.basename(path) for path in listing.files] == ["1.jpg"]
    path = os.path.join(tree.needles, "x", "junction")
    assert listing.left_out == [(path, "link to a folder, not followed")]


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


def test_what_is_not_searched_for_is_told_by_folder(tree):
    for number in range(30):
        put(tree.needles / "docs" / f"{number:02}" / "letter.doc", b"dear")
        put(tree.needles / "USB stick" / "notes" / f"odd.{'x' * (number % 12)}{number}", b"odd")
    put(tree.needles / "docs" / "00" / "plan.xls", b"dear")
    put(tree.needles / "USB stick" / "1.jpg", encode(draw(1)))
    put(tree.needles / "USB stick" / "1.doc", b"dear")
    put(tree.needles / "mail" / "2006" / "long.odd", b"odd")
    put(tree.needles / "bin" / ".trashed-169-IMG_7.jpg", encode(draw(50)))
    put(tree.needles / "mac" / ".DS_Store", b"hidden")
    put(tree.needles / "mac" / "._1.jpg", b"\0\5\x16\7 what macOS keeps beside a photograph")
    put(tree.needles / "mac" / ".2.jpg", b"")
    put(tree.needles / "mac" / "._holiday.jpg", encode(draw(51)))
    for number in range(4):
        put(tree.needles / "projects" / f"{number}" / "code" / "a.py", b"print()")
    done = tree.run()
    hidden = ("bin/.trashed-169-IMG_7.jpg", "mac/.2.jpg", "mac/._holiday.jpg")
    hidden = ", ".join(os.path.join("needles", *each.split("/")) for each in hidden)
    assert done.warned[:3] == [
        f"[WARN] {hidden}: hidden",  # what may be photographs comes first
        f"[WARN] {os.path.join('USB stick', 'notes')}, only .0, .12, .24 and 27 more, "
        "which are not searched",
        "[WARN] docs, only .doc, .xls, which are not searched",
    ]
    assert done.warned[3:] == [
        "[WARN] mail, only .odd, which are not searched",
        "[WARN] and 1 more such folders; --report lists them",
    ]
    assert "left out: other file (67), hidden (3)\n" in done.err
    assert done.printed == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_hidden_pipe_is_not_waited_for(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    os.mkfifo(tree.needles / "x" / "._1.jpg")
    os.mkfifo(tree.needles / "x" / ".1.jpg")
    assert tree.run(timeout=20).warned == [f"[WARN] {tree.needles.name}/x/.1.jpg: hidden"]


def test_folders_with_nothing_but_what_programs_leave_are_no_alarm(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    names = ["Thumbs.db", "desktop.ini", ".DS_Store", "1.jpg.json", "Picasa.ini", "album.html"]
    for name in names:
        put(tree.needles / "left behind" / name, b"nothing that matters")
        put(tree.needles / name.replace(".", " ") / name, b"nothing that matters")
    assert tree.run().warned == []
    put(tree.needles / "left behind" / "letter.doc", b"dear")
    assert tree.run().warned == ["[WARN] left behind, only .doc, which are not searched"]


@pytest.mark.parametrize("spelling", ["needles", "needles/", "./needles", "needles/."])
def test_a_folder_whose_photographs_are_all_in_folders_below_is_no_alarm(tree, spelling):
    put(tree.needles / "1.jpg", encode(draw(1)))
    put(tree.needles / "list.doc", b"dear")
    put(tree.needles / "tour" / "about.doc", b"dear")
    put(tree.needles / "tour" / "rome" / "about.doc", b"dear")
    put(tree.needles / "tour" / "rome" / "day 1" / "2.jpg", encode(draw(2)))
    put(tree.needles / "tour" / "rome" / "notes" / "about.doc", b"dear")
    notes = os.path.join("tour", "rome", "notes")
    assert tree.run(needles=spelling).warned == [
        f"[WARN] {notes}, only .doc, which are not searched"
    ]


def test_a_root_without_photographs_of_its_own_is_no_alarm(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    put(tree.needles / "list.doc", b"dear")
    for spelling in ("needles", "needles/", str(tree.needles)):
        assert tree.run(needles=spelling).warned == []


def test_archives_in_the_needles_are_named_by_their_paths(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    names = ["a.zip", "b.7z", "c.RAR", "d.tar", "e.tar.gz", "f.tgz", "g.iso", "h.dmg"]
    for name in names:
        put(tree.needles / "x" / "old" / name, b"a backup")
        put(tree.path / "haystack" / name, b"a backup")
    paths = [os.path.join("needles", "x", "old", name) for name in names]
    done, rows = tree.run("--report", "table.csv"), table(tree.path / "table.csv")
    assert done.warned == [
        f"[WARN] {', '.join(paths[:3])} and 5 more: "
        "archive, in which nothing is searched; unpack it"
    ]
    assert [row["needle"] for row in rows if row["status"] == "left out"] == paths
    for name in names[2:]:
        (tree.needles / "x" / "old" / name).unlink()
    assert tree.run().warned[0].startswith(f"[WARN] {', '.join(paths[:2])}: archive, ")


LISTS = {
    "photographs": ("bad", "jpg", "cannot read needles/bad/", " more that can't be read"),
    "videos": ("bad", "mov", "cannot read needles/bad/", " more that can't be read"),
    "in part": ("part", "jpg", "  1 of 2 lacking: part ", " more; --report page.html shows all"),
}


@pytest.mark.parametrize("sort", LISTS)
def test_long_lists_are_cut(tree, sort):
    name, ending, beginning, what = LISTS[sort]
    most = 20 if sort == "in part" else 3
    for count in (most, most + 12):
        for number in range(count):
            if sort == "in part":
                put(tree.needles / f"part {number:02}" / "1.jpg", encode(draw(1), quality=80))
                put(tree.needles / f"part {number:02}" / "2.jpg", encode(draw(50)))
            else:
                put(tree.needles / name / f"{number:02}.{ending}", b"")
        lines = [line[7:] for line in tree.run().err.splitlines()]
        full = [line for line in lines if line.startswith(beginning.replace("/", os.sep))]
        assert len(full) == most and full == sorted(full)
        more = [line for line in lines if line.startswith("and ")]
        assert [line.partition(what)[0] for line in more] == ["and 12"] * (count > most)


def test_a_run_writes_about_forty_lines_whatever_lies_in_the_backup(tree):
    put(tree.path / "haystack" / "a.jpg", draw(60))
    for number in range(300):
        put(tree.needles / "archives" / f"{number}" / "a.zip", b"a backup")
        put(tree.needles / f"docs {number}" / "a" / f"a.{number}", b"dear")
        put(tree.needles / f"bad {number}" / "a.jpg", f"no picture {number}".encode())
        put(tree.needles / f"new {number}" / "a.nef", RAW[number:])
        put(tree.needles / "hidden" / f".{number}.jpg", b"hidden")
        put(tree.path / "haystack" / "bad" / f"{number}.jpg", b"no picture")
        put(tree.path / "haystack" / f"{number}" / "trash" / "a.jpg", b"no picture")
        if os.name != "nt":
            (tree.needles / "links").mkdir(exist_ok=True)
            os.symlink("..", tree.needles / "links" / f"{number}")
            os.symlink("..", tree.path / "haystack" / f"{number}" / "link")
    done = tree.run("--report", "list.txt")
    assert done.err.count("\n") <= 45
    assert "and 580 more; list.txt shows all" in done.err


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
    first = os.path.join("haystack", "#recycle")
    (line,) = done.warned
    assert line.startswith(f"[WARN] {first}, ")
    assert line.endswith(" and 9 more: trash or previews, which do not count")
    tree.run("--report", "table.csv")
    rows = [row["needle"] for row in table(tree.path / "table.csv") if row["status"] == "left out"]
    assert sorted(rows) == sorted(
        os.path.join("haystack", *above, name) for name in names for above in ((), ("deep",))
    )
    # what only has a name like those does count, and so does trash that was named itself
    put(tree.path / "haystack" / "recycle" / "a.jpg", encode(draw(50), quality=80))
    put(tree.path / "haystack" / "Trash bins" / "a.jpg", encode(draw(51), quality=80))
    assert tree.run().printed == [*map(str, range(2, 6)), "video"]
    done = tree.run("-a", "haystack/#recycle")
    assert done.printed == ["3", "4", "5"]


def test_what_empties_itself_counts_for_nothing(tree):
    names = """RECYCLER Recycled .recycle @Recycle .Recycle.Bin .dtrash Trash files_trashbin
        RecycleBin .snapshots .snapshot .zfs #snapshot @snapshot ~snapshot .dropbox.cache
        .sync/Archive .globalTrash .SyncTrash .SyncArchive _gsdata_/_saved_ Papierkorb Corbeille
        .photoprism .cache/thumbnails""".split()
    names += ["Deleted Items", "Recently Deleted"]
    if os.name != "nt":  # which allows no such name
        names.append("line\nbreak/.sync/Archive")
    for name in names:
        put(tree.path / "haystack" / "deep" / name / "files" / "a.jpg", draw(50))
        put(tree.path / "haystack" / "deep" / name / "files" / "a.mov", VIDEO)
    put(tree.needles / "picture" / "a.jpg", encode(draw(50), quality=80))
    put(tree.needles / "video" / "a.mov", VIDEO)
    assert tree.run().printed == ["picture", "video"]


def test_immichs_previews_count_for_nothing_where_its_originals_stand_beside_them(tree):
    put(tree.path / "haystack" / "immich" / "thumbs" / "a" / "a.webp", draw(50))
    put(tree.path / "haystack" / "immich" / "encoded-video" / "a.mp4", VIDEO)
    put(tree.needles / "picture" / "a.jpg", encode(draw(50)))
    put(tree.needles / "video" / "a.mp4", VIDEO)
    assert tree.run().printed == []
    for name in ("upload", "library"):
        (tree.path / "haystack" / "immich" / name).mkdir()
        assert tree.run().printed == ["picture", "video"]
        (tree.path / "haystack" / "immich" / name).rmdir()


ELSEWHERE = """
import os

whole = os.stat

def stat(path, *arguments, **options):
    info = whole(path, *arguments, **options)
    if not isinstance(path, int) and "door" in os.fspath(path):
        names = {name for name in dir(info) if name.startswith("st_")}
        names -= set("st_mode st_ino st_dev st_nlink st_uid st_gid st_size".split())
        more = {name: getattr(info, name) for name in names}
        return os.stat_result((info[0], info[1] + 7, info[2] + 1, *info[3:10]), more)
    return info

os.stat = stat
"""


@pytest.mark.skipif(os.name == "nt", reason="st_ctime is another time there")
def test_the_same_file_by_another_door_is_no_copy(tree):
    """As mergerfs, bindfs, an overlay or FUSE shows it: another device, the same times."""
    put(tree.path / "without" / "sitecustomize.py", ELSEWHERE.encode())
    put(tree.needles / "x" / "a.jpg", draw(50))
    put(tree.needles / "x" / "a.mov", VIDEO)
    (tree.path / "door").mkdir()
    env = {**os.environ, "PYTHONPATH": str(tree.path / "without")}
    for name in ("a.jpg", "a.mov"):
        os.link(tree.needles / "x" / name, tree.path / "door" / name)
    assert tree.run(haystack=("haystack", "door"), env=env).printed == ["x"]
    for name in ("a.jpg", "a.mov"):  # a copy, with the same time of change
        os.unlink(tree.path / "door" / name)
        shutil.copy2(tree.needles / "x" / name, tree.path / "door" / name)
    done = tree.run(haystack=("haystack", "door"), env=env)
    assert done.printed == [] and "2 found, 0 missing" in done.err


def test_photographs_without_a_known_ending_are_looked_into(tree):
    avif = b"\0\0\0\x1cftypavif" + RAW[:500]
    contents = {
        "ab/3d0d7e5f": draw(50), "ab/f0012345": encode(draw(51), ".png"),
        "ab/a.jpg_original": draw(52), "ab/a.JPG.bak": draw(53), "ab/a.jpg~": draw(54),
        "ab/a.tmp": encode(draw(55), ".webp"),
        "ab/bmp": encode(draw(56), ".bmp"), "ab/tif": encode(draw(57), ".tif"), "ab/avif": avif,
        "ab/gif": b"GIF89a broken", "ab/heic": heic(draw(58)), "ab/mov": VIDEO,
        "ab/mp4": b"\0\0\0\x18ftypmp42" + RAW,
        "seen/3d0d7e60": encode(draw(1), quality=60), "seen/a.doc": encode(draw(59)),
    }  # fmt: skip
    for name, content in contents.items():
        content = encode(content) if not isinstance(content, bytes) else content
        put(tree.needles / name, content)
    put(tree.needles / "seen" / "words", b"dear")
    put(tree.needles / "seen" / "notes.txt", encode(draw(60)))  # an ending that tells
    put(tree.path / "haystack" / "kept.part", contents["seen/a.doc"])  # equal bytes count
    put(tree.path / "haystack" / "ab", encode(draw(50), quality=60))  # not looked into
    done = tree.run("--exit-code")
    assert (done.status, done.printed) == (1, ["ab"])
    rows = tree.findings()
    assert {path: row["status"] for path, row in rows.items()} == {
        name: "found"
        if "seen" in name
        else "unreadable"
        if name[3:] in ("gif", "avif")
        else "missing"
        for name in contents
    }
    assert rows["ab/mov"]["reason"] == "a video: only its bytes are compared"
    assert rows["ab/heic"]["pixels"] == "320x240"


@only_linux
def test_what_may_be_a_photograph_and_cannot_be_looked_into_is_unreadable(tree):
    put(tree.needles / "x" / "3d0d7e5f", encode(draw(1)))
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    os.chmod(tree.needles / "x" / "3d0d7e5f", 0)
    done = tree.run(**powerless())
    assert done.partly == ["1 of 2 lacking: x"]
    assert done.warned == ["[WARN] cannot read needles/x/3d0d7e5f: Permission denied"]


def test_what_fits_a_pattern_is_left_out_and_counted(tree):
    names = ["a.jpg", "stickers/1/a.jpg", "x/stickers/a.jpg", "x/trash/deep/a.jpg", "x/b.thumb.jpg",
             "x/letter.doc", "y/a.jpg", "z/y/a.jpg"]  # fmt: skip
    for number, name in enumerate(names):
        put(tree.needles / name, encode(draw(50 + number)))
    patterns = ("stickers", "x/trash/", "*.thumb.jpg", "y/*")
    options = [word for pattern in patterns for word in ("--exclude", pattern)]
    done = tree.run("--report", "table.csv", *options)
    assert done.printed == ["needles", "x"] and done.warned == []  # the letter is a picture
    assert "[INFO] left out: excluded (6)\n" in done.err
    rows = {row["needle"]: row for row in table(tree.path / "table.csv")}
    for name in names:
        row = rows[os.path.join("needles", *name.split("/"))]
        is_searched = name in ("a.jpg", "x/letter.doc")
        assert row["status"] == ("missing" if is_searched else "left out")
        assert row["reason"] == ("" if is_searched else "excluded")
    assert tree.run("--exclude", "*").status == 0


@only_linux
def test_an_excluded_folder_that_cannot_be_listed_is_excluded(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    (tree.needles / "lost+found").mkdir(mode=0)
    assert tree.run("--exit-code", **powerless()).status == 1
    done = tree.run("--exit-code", "--exclude", "lost+found", **powerless())
    assert (done.status, done.printed, done.warned) == (0, [], [])


def test_trash_in_the_needles_is_searched(tree):
    put(tree.needles / "$RECYCLE.BIN" / "a.jpg", draw(50))
    put(tree.needles / ".Trash-1000" / "files" / "1.jpg", encode(draw(1)))
    done = tree.run()
    assert done.printed == ["$RECYCLE.BIN"] and done.warned == []
    assert "2 photographs and videos: 1 found, 1 missing" in done.err


def test_reports_and_caches_among_the_needles_are_no_alarm(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    options = ("--report", "needles/list.txt", "--report", "needles/t.csv", "--cache", "needles/c")
    for _ in range(2):
        assert tree.run(*options).warned == []


def test_heic_without_the_package_is_told_before_the_hashing(tree):
    put(tree.path / "without" / "pillow_heif.py", b"raise ImportError('no pillow_heif')")
    put(tree.path / "haystack" / "0.jpg", b"no picture")
    put(tree.path / "haystack" / "a.heic", heic(draw(50)))
    put(tree.needles / "x" / "b.HEIC", heic(draw(51)))
    env = {**os.environ, "PYTHONPATH": str(tree.path / "without")}
    first, second, *more = tree.run(env=env).warned
    assert first.startswith("[WARN] 2 HEIC files are compared by their bytes only; to decode them")
    assert first.endswith(f'{sys.executable} -m pip install "pillow-heif>=1.8"')
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
