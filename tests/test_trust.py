"""Nothing is lost in silence, and nothing ends a run."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from conftest import command, draw, encode, half, png_that_claims, put, table

linux = sys.platform.startswith("linux")


def test_what_cannot_be_read_is_named_and_not_found(tree):
    whole, png = encode(draw(1)), encode(draw(1), ".png")
    broken = {
        "empty.jpg": b"",
        "cut.jpg": whole[: len(whole) // 2],
        "header.jpg": whole[:20],
        "cut.png": png[: len(png) // 2],
        "text.jpg": b"hello",
        "text.webp": b"hello",
        "claim.png": png_that_claims(60000, 60000),
    }
    for name, content in broken.items():
        put(tree.needles / "broken" / name, content)
        put(tree.path / "haystack" / "broken" / name, content[:-1])
    os.symlink("nowhere", tree.needles / "broken" / "dangling.jpg")
    put(tree.needles / "good" / "1.jpg", whole)
    done = tree.run()
    assert (done.status, done.printed) == (0, ["broken"])
    assert "processed 8 images" in done.out
    for name in broken:
        for root in ("needles", "haystack"):
            assert f"[WARN] cannot read {os.path.join(root, 'broken', name)}: " in done.err
    assert "dangling.jpg: No such file" in done.err and "empty.jpg: the file is empty" in done.err
    assert "claim.png: it has more than 268435456 pixels" in done.err
    assert len(done.err.splitlines()) == 2 * len(broken) + 1  # and no line of OpenCV's own


def test_stumps_of_different_photographs_are_no_copies(tree):
    for seed in (30, 31):
        content = encode(draw(seed, 640, 480))
        for share in (4, 8, 16):
            root = tree.path / "haystack" if seed == 30 else tree.needles / "stumps"
            put(root / f"{share}.jpg", content[: 700 + (len(content) - 700) // share])
    assert tree.run().printed == ["stumps"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tree):
    (tree.needles / "pipe").mkdir()
    os.mkfifo(tree.needles / "pipe" / "a.jpg")
    done = tree.run()
    assert done.printed == ["pipe"] and "a.jpg: not a regular file" in done.err


def test_a_file_that_vanishes_is_named(tree):
    for count in range(400):
        put(tree.path / "haystack" / "many" / f"{count:03}.png", encode(draw(1), ".png"))
    put(tree.needles / "x" / "a.jpg", draw(40))
    arguments = command("-a", "haystack", "-n", "needles", "--jobs", "1")
    run = subprocess.Popen(
        arguments, cwd=tree.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout.readline()
    shutil.rmtree(tree.path / "haystack" / "many")
    out, err = run.communicate()
    assert run.returncode == 0 and out.endswith("[INFO] x\n") and "Traceback" not in err
    assert err == "" or "No such file or directory" in err


@pytest.mark.parametrize("lost", [1, 2, 10])
def test_a_jpeg_that_lost_its_end_still_matches(tree, lost):
    put(tree.needles / "short" / "1.jpg", encode(draw(1))[:-lost])
    put(tree.path / "haystack" / "short.jpg", encode(draw(41))[:-lost])
    put(tree.needles / "whole" / "2.jpg", encode(draw(41)))
    done = tree.run()
    assert (done.printed, done.err) == ([], "")


def without_root_powers():
    """Take from this process, before it becomes another, root's right to open everything."""
    for power in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_what_may_not_be_opened_is_named(tree):
    put(tree.needles / "closed" / "1.jpg", encode(draw(1)))
    put(tree.needles / "file" / "2.jpg", encode(draw(2)))
    put(tree.path / "haystack" / "closed" / "3.jpg", encode(draw(3)))
    os.chmod(tree.needles / "file" / "2.jpg", 0)
    closed = (tree.needles / "closed", tree.path / "haystack" / "closed")
    for path in closed:
        os.chmod(path, 0)
    drop = without_root_powers if os.geteuid() == 0 else None
    done = tree.run(preexec_fn=drop)
    for path in closed:
        os.chmod(path, 0o700)
    assert done.printed == ["closed", "file"]
    assert "[WARN] cannot list needles/closed: Permission denied" in done.err
    assert "[WARN] cannot list haystack/closed: Permission denied" in done.err
    assert "[WARN] cannot read needles/file/2.jpg: Permission denied" in done.err
    assert tree.run(preexec_fn=drop).printed == ["file"]


def test_a_folder_found_in_part_is_told(tree):
    for seed in range(6, 12):
        put(tree.needles / "December2014" / f"{seed}.jpg", encode(draw(seed)))
    done = tree.run()
    assert done.printed == []
    assert done.err == "[WARN] December2014: 2 of 6 found\n"


def test_empty_directories_are_told(tree):
    (tree.path / "nothing").mkdir()
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    told = "[WARN] nothing: no photographs and no films\n"
    done = tree.run(haystack=("nothing",))
    assert (done.status, done.printed, done.err) == (0, ["x"], told)
    done = tree.run(needles="nothing")
    assert (done.status, done.printed, done.err) == (0, [], told)


def test_a_file_is_no_copy_of_itself(tree):
    put(tree.path / "haystack" / "import" / "new.jpg", draw(42))
    put(tree.path / "haystack" / "import2" / "1.jpg", half(draw(1)))
    distance = ("--distance", "2")
    assert tree.run(*distance, needles="haystack/import").printed == ["import"]
    assert tree.run(*distance, needles="haystack/import2").printed == []
    # the same directory twice: 2006 is found in part through its copy in import2
    same = tree.run(*distance, needles="haystack")
    assert same.printed == ["import"] and "2006: 1 of 8 found" in same.err
    # the haystack inside the needles
    inside = tree.run(*distance, haystack=("haystack/2006",), needles="haystack")
    assert inside.printed == ["2006", "import"]


def test_copies_that_go_with_the_needles_do_not_count(tree):
    for folder in ("one", "two"):
        put(tree.path / "haystack" / "import" / folder / "a.jpg", encode(draw(43)))
    assert tree.run(needles="haystack/import").printed == ["one", "two"]


def test_links_between_haystack_and_needles_are_no_copies(tree):
    put(tree.needles / "x" / "a.jpg", encode(draw(44)))
    put(tree.needles / "y" / "b.jpg", encode(draw(44)))
    os.symlink(tree.needles / "x" / "a.jpg", tree.path / "haystack" / "link.jpg")
    (tree.needles / "z").mkdir()
    os.symlink(tree.path / "haystack" / "2006" / "1.jpg", tree.needles / "z" / "link.jpg")
    os.symlink(tree.path / "haystack", tree.needles / "z" / "folder")
    done = tree.run()
    assert done.printed == ["x", "y", "z"]
    assert done.err == "[WARN] needles/z/folder: a link to a directory, not followed\n"


def test_a_hard_link_elsewhere_is_a_copy(tree):
    (tree.needles / "x").mkdir()
    os.link(tree.path / "haystack" / "2006" / "1.jpg", tree.needles / "x" / "1.jpg")
    assert tree.run().printed == []


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
    expected = ["grey page", *halves, "lens cap", "white page"]
    assert tree.run().printed == expected
    assert tree.run("--distance", "3").printed == expected
    assert "white page" not in tree.run("--article").printed


@pytest.mark.parametrize("ending", [".png", ".tiff", ".webp"])
def test_seemingly_blank_pictures_are_told_apart(tree, ending):
    def ink(seed):  # black, on what is transparent
        return np.dstack([np.zeros((240, 320, 3), np.uint8), draw(seed)[:, :, 0]])

    def dark(seed):  # 8 of 16 bits, the lower ones
        return draw(seed)[:, :, 0].astype(np.uint16)

    for kind in (ink, dark) if ending != ".webp" else (ink,):
        put(tree.path / "haystack" / kind.__name__ / f"1{ending}", kind(1))
        put(tree.needles / f"copy of {kind.__name__}" / f"a{ending}", kind(1))
        put(tree.needles / f"half of {kind.__name__}" / f"a{ending}", half(kind(1)))
        put(tree.needles / f"other {kind.__name__}" / f"a{ending}", kind(2))
    assert tree.run().printed == (
        ["other dark", "other ink"] if ending != ".webp" else ["other ink"]
    )


def test_an_album_is_more_than_its_first_page(tree):
    put(tree.path / "haystack" / "cover.png", draw(1))
    for folder in ("copy", "other"):
        (tree.needles / folder).mkdir()
    albums = [tree.path / "haystack" / "a.tif", tree.needles / "copy" / "a.tif"]
    for album in albums:
        cv2.imwritemulti(str(album), [draw(1), draw(20)])
    cv2.imwritemulti(str(tree.needles / "other" / "a.tif"), [draw(1), draw(21)])
    album = albums[0].read_bytes()
    put(tree.needles / "damaged" / "a.tif", album[: len(album) * 3 // 4])
    put(tree.needles / "one page" / "a.tif", draw(1))
    assert tree.run("--distance", "2").printed == ["damaged", "other"]
    assert tree.run("--article").printed == []


@pytest.mark.skipif(not linux, reason="names as Linux allows them")
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
    assert done.err == "" and sorted(done.printed) == sorted([*names, deep])
    put(tree.needles / "seen" / "-n.jpg" / os.fsdecode(b"\xff.jpg"), b"not an image")
    assert os.fsdecode(b"seen/-n.jpg/\xff.jpg: not an image") in tree.run().err
    for setting in ({"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}):
        again = tree.run(env={**os.environ, **setting})
        assert again.printed == done.printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["-a", "nowhere", "-n", "needles"],
        ["-a", "haystack", "-n", "nowhere"],
        ["-a", "haystack", "nowhere", "-n", "needles"],
        ["-a", "haystack/2006/1.jpg", "-n", "needles"],
        ["-a", "haystack"],
        ["-a", "haystack", "-n", "needles", "--distance", "65"],
        ["-a", "haystack", "-n", "needles", "--distance", "-1"],
        ["-a", "haystack", "-n", "needles", "--distance", "two"],
        ["-a", "haystack", "-n", "needles", "--jobs", "0"],
        ["-a", "haystack", "-n", "needles", "--report", "list.pdf"],
        ["-a", "haystack", "-n", "needles", "--report", "nowhere/list.txt"],
        ["-a", "haystack", "-n", "needles", "--cache", "nowhere/cache"],
        ["-a", "haystack", "-n", "needles", "--cache", "needles"],
        ["-a", "haystack", "-n", "needles", "--unknown"],
    ],
)
def test_wrong_calls_end_with_one_line(tree, arguments):
    done = subprocess.run(command(*arguments), cwd=tree.path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("[ERROR] ") and done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_an_interruption_is_one_line(tree):
    picture = encode(draw(1, 3000, 2000), ".png")
    put(tree.path / "haystack" / "0.png", picture)
    for count in range(1, 400):
        os.link(tree.path / "haystack" / "0.png", tree.path / "haystack" / f"{count}.png")
    arguments = command("-a", "haystack", "-n", "needles", "--report", "list.txt")
    put(tree.path / "list.txt", b"an older report")
    run = subprocess.Popen(
        arguments,
        cwd=tree.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # whoever started the tests may have it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert run.stdout.readline()
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert run.returncode == 130 and "processed" not in out
    assert err == "[ERROR] interrupted\n"
    assert (tree.path / "list.txt").read_bytes() == b"an older report"
    assert sorted(path.name for path in tree.path.iterdir()) == ["haystack", "list.txt", "needles"]


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_a_closed_pipe_is_quiet(tree):
    for name in "abc":
        put(tree.needles / name / "x.jpg", draw(45))
    run = subprocess.Popen(
        command("-a", "haystack", "-n", "needles"),
        cwd=tree.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run.stdout.readline()
    run.stdout.close()
    assert run.stderr.read() == b""
    assert run.wait() == 141


def mutated(content, rng):
    """A file with bytes flipped, its end cut, a stretch moved, or another header."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if len(data) < 80:
            break
        kind, place = rng.integers(5), int(rng.integers(len(data)))
        if kind == 0:
            for spot in rng.integers(0, len(data), rng.integers(1, 20)):
                data[spot] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data = data[: max(place, 2)]
        elif kind == 2:
            data[:60] = rng.bytes(60)
        elif kind == 3:
            spot = int(rng.integers(min(len(data), 400)))
            data[spot] = int(rng.integers(256))
        else:
            data[place : place + 40] = data[-60:-20]
    return bytes(data)


def test_mutated_files_are_hashed_or_named(tree):
    rng = np.random.default_rng(6)
    endings = [".jpg", ".png", ".webp", ".tiff", ".gif", ".jp2"]
    seeds = []
    for ending in endings:
        try:
            seeds.append((ending, encode(draw(46, 96, 64), ending)))
        except Exception as error:  # older OpenCV writes no GIF
            assert ending == ".gif", error
    count = 5000
    for number in range(count):
        ending, content = seeds[number % len(seeds)]
        if rng.random() < 0.1:
            content = content[:40] + seeds[number % 2][1][40:]
        put(tree.path / "fuzz" / f"{number}{ending}", mutated(content, rng))
    done = tree.run("--report", "table.csv", needles="fuzz")
    statuses = [row["status"] for row in table(tree.path / "table.csv")]
    named = done.err.count("[WARN] cannot read fuzz")
    assert done.status == 0 and len(statuses) == count
    assert statuses.count("unreadable") == named > 100
    assert statuses.count("missing") == count - named > 100


@pytest.mark.skipif(not linux, reason="reads what Linux counts of a child's memory")
def test_files_that_claim_to_be_large_do_not_take_the_memory(tree):
    for number in range(3):
        put(tree.needles / "claims" / f"{number}.png", png_that_claims(16384, 16384))
        chunk = png_that_claims(96, 64)[:33] + b"\xf8\0\0\0IDAT" + b"x" * 20
        put(tree.needles / "claims" / f"chunk {number}.png", chunk)
    measure = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    arguments = [sys.executable, "-c", measure, *command("-a", "haystack", "-n", "needles")]
    done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True, check=True)
    *lines, kilobytes = done.stdout.splitlines()
    assert lines[-1] == "[INFO] claims"
    assert int(kilobytes) < 2.5 * 2**20
