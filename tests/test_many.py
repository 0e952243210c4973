"""4 Hashing many: threads, cache and cluster give the same answers, sooner."""

import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

import forking
import hash_and_search
from conftest import (
    RAW,
    command,
    counting,
    draw,
    encode,
    half,
    kept,
    png_that_claims,
    put,
    untimed,
)

linux = sys.platform.startswith("linux")
LIMIT = 30  # seconds: what goes wrong is told within 20, and slow machines have ten more
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@pytest.fixture(autouse=True)
def environment():
    """Dask leaves in it what it sets for its workers, and then no call would fork."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def needles(tree):
    for seed in range(30):
        put(tree.needles / f"{seed % 11}" / f"{seed}.jpg", encode(draw(seed), quality=30))
    put(tree.needles / "broken" / "x.jpg", b"not an image")
    return tree


def outcome(tree, *options, **more):
    """What a run prints and what its table says, but for the time it took."""
    done = tree.run("--report", "table.csv", *options, **more)
    return untimed(done.out), done.err, (tree.path / "table.csv").read_bytes()


def without_contents(paths):
    """Replace the contents of files, and keep their sizes and times: now only a cache can answer.

    The name alone tells what has been read, and a picture no longer is one.
    """
    for path in paths:
        info = os.stat(path)
        with open(path, "r+b") as file:
            file.write(b"\0" * info.st_size)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


# ------------------------------------------------------------------------------------------------
# Threads
# ------------------------------------------------------------------------------------------------


def test_jobs_change_nothing_but_the_time(needles):
    first = outcome(needles)
    assert needles.run().printed
    for jobs in ("1", "3", "16"):
        assert outcome(needles, "--jobs", jobs) == first


def test_a_file_that_vanishes_is_named(tree):
    for count in range(400):
        put(tree.path / "haystack" / "many" / f"{count:03}.png", encode(draw(1), ".png"))
    put(tree.needles / "x" / "a.jpg", draw(40))
    arguments = command("-a", "haystack", "-n", "needles", "--jobs", "1")
    run = subprocess.Popen(arguments, cwd=tree.path, **PIPES)
    assert run.stdout.readline()
    # Windows keeps the file that is being read
    shutil.rmtree(tree.path / "haystack" / "many", ignore_errors=os.name == "nt")
    out, err = run.communicate()
    assert run.returncode == 0 and out.endswith("[INFO] x\n") and "Traceback" not in err
    told = "cannot read " if os.name == "nt" else "No such file or directory"
    assert "[WARN]" not in err or told in err


# ------------------------------------------------------------------------------------------------
# The cache
# ------------------------------------------------------------------------------------------------


def test_a_cache_answers_for_files_that_have_not_changed(needles):
    cold, cache = outcome(needles), needles.path / "cache"
    for _ in range(2):
        assert outcome(needles, "--cache", "cache") == cold
    paths = kept(cache)
    assert len(paths) == 38 and os.fsencode(needles.needles / "0" / "0.jpg") in paths
    # what the cache says counts, until the file's time changes
    with sqlite3.connect(cache) as database:
        answers = dict(database.execute("SELECT path, answer FROM answers WHERE task = 'look'"))
        assert len(answers) == 8 and "[]" not in answers.values()
        database.execute("UPDATE answers SET answer = '[]' WHERE task = 'look'")
    everything = sorted({path.parent.name for path in needles.needles.rglob("*.jpg")})
    assert needles.run("--cache", "cache").printed == everything
    for path in needles.path.rglob("*.jpg"):
        os.utime(path, ns=(10**18, 10**18))
    cold = outcome(needles)
    assert outcome(needles, "--cache", "cache") == cold
    # the article's hashes are others, and so are those of --rotated
    for options in ((), ("--article",), ("--rotated",), ()):
        assert outcome(needles, "--cache", "cache", *options) == outcome(needles, *options)


def test_a_second_run_opens_no_photograph(needles):
    put(needles.path / "haystack" / "large.raw", RAW + bytes(2**17))
    put(needles.needles / "raw" / "same.raw", RAW + bytes(2**17))
    put(needles.needles / "raw" / "other.raw", RAW + b"x" * 2**17)
    put(needles.needles / "raw" / "0.jpg", encode(draw(0)))
    put(needles.needles / "small" / "1.jpg", half(draw(1)))
    put(needles.needles / "blank" / "1.png", draw(1) * 0)
    (needles.needles / "broken" / "x.jpg").unlink()  # is read anew each time
    first = outcome(needles, "--cache", "cache")
    assert b"same.raw,raw,found" in first[2]
    without_contents(path for path in needles.path.rglob("*.*") if path.suffix != ".csv")
    env = counting(needles.path)
    assert outcome(needles, "--cache", "cache", env=env) == first
    assert not (needles.path / "decoded").exists()
    # and without it that would be told, as without the cache
    assert outcome(needles, env=env) != first


def test_a_cache_serves_a_run_from_another_directory(needles):
    inside = needles.path / "elsewhere"
    inside.mkdir()
    needles.run("--cache", "cache")
    without_contents((needles.path / "haystack").rglob("*.jpg"))
    arguments = ["-a", "../haystack", "-n", "../needles", "--cache", "../cache"]
    done = forking.run(
        command(*arguments, "--report", "table.csv"),
        cwd=inside,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "processed 8 images" in done.stdout
    with open(inside / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 31
    for row in rows:
        assert (inside / row["needle"]).is_file(), row
        assert not row["match"] or (inside / row["match"]).is_file(), row
    assert sum(bool(row["match"]) for row in rows) == 8


PRINT = "00" * 88
ODD = [
    "text",
    "",
    "null",
    "{}",
    "0",
    '"text"',
    "[[]]",
    "[" * 5000,
    "[" * 5000 + "]" * 5000,
    '[99, 320, 240, ""]',
    '[0, 1e400, 240, ""]',
    '[0, null, 240, ""]',
    '[0.5, 320, 240, ""]',
    "[0, 320, 240]",
    json.dumps("0" * 31),
    json.dumps("0" * 33),
    json.dumps("g" * 32),
    *(
        json.dumps(row)
        for row in [
            [320, 240, [], ""],
            [320, 240, [PRINT], "it is blank"],
            [320, [PRINT], ""],
            [320, 240, 3, [PRINT], ""],
            ["a", 240, [PRINT], ""],
            [None, 240, [PRINT], ""],
            [320, 240, [PRINT[1:]], ""],
            [320, 240, [PRINT + "00"], ""],
            [320, 240, [7], ""],
            [320, 240, ["\xfc" * 176], ""],
            [320, 240, 12, ""],
        ]
    ),
    10**18,
    1.5,
    b"[]",
    b"\xff\xfe\0",
    b"",
    None,
]  # fmt: skip


def test_odd_values_in_the_cache_change_nothing(tree):
    """Each row of each task holds each of them in turn, and the run is as one without a cache."""
    for seed in range(8):
        put(tree.path / "haystack" / "2006" / f"{seed}.raw", RAW + bytes(2**17) + bytes([seed]))
        put(tree.needles / "x" / f"{seed}.raw", RAW + bytes(2**17) + bytes([seed + 4]))
        put(tree.needles / "x" / f"{seed}.jpg", encode(draw(seed), quality=40))
        put(tree.needles / "y" / f"{seed}.jpg", encode(draw(seed + 40)))
    cold = outcome(tree)
    assert outcome(tree, "--cache", "cache") == cold
    content = (tree.path / "cache").read_bytes()
    with sqlite3.connect(tree.path / "cache") as database:
        tasks = dict(database.execute("SELECT task, count(*) FROM answers GROUP BY task"))
    assert set(tasks) == {"hash_photo", "hash_needle", "digest_start", "digest_whole", "look"}
    assert sum(count for task, count in tasks.items() if task.startswith("digest")) >= 32
    step = 8  # rows of a task that hold one after the other of the values in a run
    for start in range(0, len(ODD), step):
        (tree.path / "cache").write_bytes(content)
        with sqlite3.connect(tree.path / "cache") as database:
            for task in tasks:
                rows = database.execute("SELECT path FROM answers WHERE task = ?", (task,))
                for number, (path,) in enumerate(rows.fetchall()):
                    value = ODD[(start + number % step) % len(ODD)]
                    if task == "look" and value in ("[]", b"[]"):  # an answer: nothing is seen
                        value = "[[]]"
                    database.execute(
                        "UPDATE answers SET answer = ? WHERE task = ? AND path = ?",
                        (value, task, path),
                    )
        assert outcome(tree, "--cache", "cache") == cold, ODD[start : start + step]
        # what was found out in their place is kept
        assert outcome(tree, "--cache", "cache") == cold, ODD[start : start + step]


def test_a_file_dated_past_all_years_ends_nothing(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1), quality=60))
    put(tree.needles / "y" / "a.jpg", draw(50))
    put(tree.needles / "y" / "a.raw", RAW)
    late = [
        tree.needles / "x" / "1.jpg",
        tree.needles / "y" / "a.jpg",
        tree.needles / "y" / "a.raw",
    ]
    for path in (*late, tree.path / "haystack" / "2006" / "1.jpg"):
        try:
            os.utime(path, ns=(2**63 + 10**18, 2**63 + 10**18))
        except (OSError, OverflowError):
            pytest.skip("the file system knows no such time")
        if path.stat().st_mtime_ns < 2**63:
            pytest.skip("the file system knows no such time")
    for _ in range(2):
        done = tree.run("--cache", "cache", "--report", "table.csv")
        assert (done.status, done.printed, done.warnings) == (0, ["y"], [])
    assert len(kept(tree.path / "cache")) == 10


@pytest.mark.parametrize("kind", ["text", "photograph", "database"])
def test_a_file_that_is_no_cache_of_ours_is_left_alone(tree, kind):
    cache = tree.path / "precious"
    if kind == "database":
        with sqlite3.connect(cache) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE hashes (path, hash)")
    else:
        cache.write_bytes(b"a diary" if kind == "text" else encode(draw(1)))
    before = cache.read_bytes()
    done = tree.run("--cache", "precious")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("[ERROR] cannot use the cache precious: ")
    assert done.err.count("\n") == 1 and cache.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_cache_and_is_not_waited_for(tree):
    os.mkfifo(tree.path / "cache")
    done = tree.run("--cache", "cache")
    assert done.status == 2 and "cannot use the cache cache: not a regular file" in done.err


def test_a_damaged_cache_ends_with_one_line(needles):
    needles.run("--cache", "cache")
    content = (needles.path / "cache").read_bytes()
    for damaged in (content[:5000], content[:4096] + b"x" * (len(content) - 4096)):
        (needles.path / "cache").write_bytes(damaged)
        done = needles.run("--cache", "cache")
        assert done.status == 2 and done.err.startswith("[ERROR] cannot ")
        assert done.err.count("\n") == 1 and "name a new file" in done.err


def test_an_empty_file_becomes_a_cache(tree):
    (tree.path / "cache").touch()
    assert tree.run("--cache", "cache").status == 0
    assert len(kept(tree.path / "cache")) == 8


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_killed_run_resumes(tree):
    picture = encode(draw(1, 1600, 1200), ".png")
    for count in range(120):
        put(tree.path / "haystack" / f"{count}.png", picture)
    put(tree.needles / "x" / "a.jpg", draw(50))
    cache = tree.path / "cache"
    arguments = command("-a", "haystack", "-n", "needles", "--cache", "cache", "--jobs", "1")
    run = subprocess.Popen(arguments, cwd=tree.path, stdout=subprocess.PIPE)
    while run.poll() is None and not begun(cache):
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    out, _ = run.communicate()
    assert run.returncode == -signal.SIGKILL and b"processed" not in out
    paths = kept(cache)
    assert 0 < len(paths) < 128
    without_contents(paths)
    done = tree.run("--cache", "cache")
    assert (done.status, done.warnings) == (0, []) and "processed 128 images" in done.out
    assert done.printed == ["x"] and len(kept(cache)) == 129


def begun(cache):
    """Whether a run has put something into its cache."""
    return cache.exists() and cache.stat().st_size > 0 and len(kept(cache)) > 0


@pytest.mark.parametrize("kind", ["another picture", "a part is another"])
def test_a_file_that_is_replaced_while_it_is_read_is_asked_for_anew(tree, monkeypatch, capfd, kind):
    successor = draw(50)
    if kind == "a part is another":
        successor = draw(1)
        successor[200:230, 280:310] = 0
    monkeypatch.chdir(tree.path)
    put(tree.needles / "x" / "1.jpg", encode(draw(1), quality=50))
    read = hash_and_search.read

    def replacing(path):
        data = read(path)
        if path.endswith(os.path.join("x", "1.jpg")):
            put(tree.needles / "x" / "1.jpg", encode(successor))
        return data

    call = ("-a", "haystack", "-n", "needles", "--cache", "cache")
    monkeypatch.setattr(hash_and_search, "read", replacing)
    assert hash_and_search.main(call) == 0
    assert "[INFO] x\n" not in capfd.readouterr().out  # it was a copy
    monkeypatch.undo()
    monkeypatch.chdir(tree.path)
    assert hash_and_search.main(call) == 0
    assert "[INFO] x\n" in capfd.readouterr().out  # and is none


def test_two_runs_share_a_cache(needles):
    arguments = command("-a", "haystack", "-n", "needles", "--cache", "cache")
    both = [subprocess.Popen(arguments, cwd=needles.path, **PIPES) for _ in range(2)]
    expected = needles.run()
    for run in both:
        out, err = run.communicate()
        assert (run.returncode, untimed(out), err) == (0, untimed(expected.out), expected.err)
    assert len(kept(needles.path / "cache")) == 38


# ------------------------------------------------------------------------------------------------
# The cluster
# ------------------------------------------------------------------------------------------------


def test_dask_is_missing(tree):
    (tree.path / "without").mkdir()
    (tree.path / "without" / "distributed.py").write_text("raise ImportError('no distributed')")
    without = {**os.environ, "PYTHONPATH": str(tree.path / "without")}
    done = tree.run("--dask", "tcp://127.0.0.1:9", env=without)
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
    assert "pip install distributed" in done.err


def start(tree, address, *options, **more):
    arguments = command("-a", "haystack", "-n", "needles", "--dask", address, *options)
    return subprocess.Popen(arguments, cwd=tree.path, **{**PIPES, **more})


def test_no_scheduler_answers(tree):
    """Not even at a port that accepts and says nothing. All at once, as each waits a while."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        addresses = [f"tcp://127.0.0.1:{port}", "tcp://127.0.0.1:9", "nonsense://x"]
        runs, limit = [start(tree, address) for address in addresses], time.monotonic() + LIMIT
        try:
            for address, run in zip(addresses, runs, strict=True):
                out, err = run.communicate(timeout=limit - time.monotonic())
                assert (run.returncode, out) == (2, "") and err.count("\n") == 1
                assert err.startswith(f"[ERROR] no Dask scheduler answers at {address}: ")
        finally:
            for run in runs:
                run.kill()
                run.wait()


def cluster_of(workers, threads=1):
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers, threads_per_worker=threads, processes=True, dashboard_address=":0"
    )


def test_a_cluster_one_of_whose_workers_dies(needles):
    from distributed import Client

    picture = encode(draw(200, 1200, 900), ".png")
    for count in range(150):
        put(needles.path / "haystack" / f"{count}.png", picture)
    put(needles.needles / "raw" / "same.raw", RAW)
    put(needles.path / "haystack" / "same.raw", RAW)
    expected = outcome(needles)
    (needles.path / "table.csv").unlink()
    with cluster_of(2) as cluster, Client(cluster) as client:
        options = ("--cache", "cache", "--report", "table.csv")
        run = start(needles, cluster.scheduler_address, *options)
        workers = client.run(os.getpid)
        while run.poll() is None and not any(client.has_what().values()):
            time.sleep(0.05)
        os.kill(next(iter(workers.values())), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0 and client.run(os.getpid) != workers
    # a slow machine takes its time to start another
    waiting = f"[WARN] waiting for the workers of the Dask scheduler at {cluster.scheduler_address}"
    err = err.replace(waiting + "\n", "", 1)
    assert (untimed(out), err, (needles.path / "table.csv").read_bytes()) == expected
    assert outcome(needles, "--cache", "cache") == expected


@pytest.mark.skipif(not linux, reason="reads Linux's count of memory")
def test_a_worker_decodes_one_large_picture_at_a_time(tree):
    from distributed import Client

    for number in range(32):  # the first four have 256 megapixels each
        content = png_that_claims(16000, 16000) if number < 4 else draw(number)
        put(tree.path / "mixed" / f"{number:02}.png", content)
    with cluster_of(1, threads=4) as cluster, Client(cluster) as client:
        done = tree.run("--dask", cluster.scheduler_address, haystack=("mixed",))
        (status,) = client.run(lambda: pathlib.Path("/proc/self/status").read_text()).values()
    assert done.status == 0 and "processed 32 images" in done.out
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 2**20
    assert 0.5 < peak < 1.5


STARTER = """
import time
from distributed import LocalCluster

if __name__ == "__main__":
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    cluster = LocalCluster(n_workers=1, **options)
    print(cluster.scheduler_address, cluster.workers[0].pid, flush=True)
    time.sleep(300)
"""


def start_cluster(tree):
    """Start a scheduler, whose process prints its address and the process of its only worker."""
    put(tree.path / "cluster.py", STARTER.encode())
    arguments = [sys.executable, tree.path / "cluster.py"]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}  # of what it leaves when it is killed
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=quiet)


def put_many(tree):
    folder = tree.path / "haystack"
    put(folder / "000.png", encode(draw(1, 2400, 1800), ".png"))
    for count in range(1, 200):
        os.link(folder / "000.png", folder / f"{count:03}.png")
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))


def test_a_scheduler_that_dies_ends_the_run(tree):
    put_many(tree)
    cluster = start_cluster(tree)
    address, _ = cluster.stdout.readline().split()
    run, cache = start(tree, address, "--cache", "cache"), tree.path / "cache"
    while run.poll() is None and not begun(cache):
        time.sleep(0.05)
    before = len(kept(cache))
    os.kill(cluster.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    out, err = run.communicate(timeout=30)
    cluster.wait()
    assert run.returncode == 2  # of a slow machine it says besides that it waits
    assert err.splitlines()[-1] == f"[ERROR] the Dask scheduler at {address} is gone"
    assert "processed" not in out
    assert 0 < before <= len(kept(cache)) < 208


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_what_freezes_is_told_and_an_interruption_still_ends_the_run(tree):
    """A scheduler, a worker in the middle of a run, and one that is frozen when a run begins."""
    put_many(tree)
    clusters = [start_cluster(tree) for _ in range(2)]
    told = [cluster.stdout.readline().split() for cluster in clusters]
    addresses, workers = [address for address, _ in told], [int(pid) for _, pid in told]
    runs, frozen = [], (clusters[0].pid, workers[1])

    def begin(address, *options):
        err = tree.path / f"err {len(runs)}"
        heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        with open(err, "w") as file:
            pipes = {"stdout": subprocess.DEVNULL, "stderr": file}
            runs.append((start(tree, address, *options, **pipes, **heeding), err))

    def told_by(run, err):
        """What stands in err as soon as a line does, or when the run has ended."""
        while time.monotonic() < limit and run.poll() is None and not err.stat().st_size:
            time.sleep(0.05)
        return err.read_text()

    try:
        for number, address in enumerate(addresses):
            begin(address, "--cache", f"cache {number}")
        for number, (run, _) in enumerate(runs):
            while run.poll() is None and not begun(tree.path / f"cache {number}"):
                time.sleep(0.05)
        for process in frozen:
            os.kill(process, signal.SIGSTOP)
        limit = time.monotonic() + LIMIT
        begin(addresses[1])
        for address, (run, err) in zip(addresses, runs[:2], strict=True):
            waiting = f"[WARN] waiting for the workers of the Dask scheduler at {address}\n"
            assert told_by(run, err) == waiting and run.poll() is None
            run.send_signal(signal.SIGINT)
            assert run.wait(10) == 130
            interrupted = "[ERROR] interrupted; with --cache the next run goes on\n"
            assert told_by(run, err) == waiting + interrupted
        last, err = runs[2]
        assert last.wait(limit - time.monotonic()) == 2
        (line,) = told_by(last, err).splitlines()
        assert line.startswith(f"[ERROR] a worker of the Dask scheduler at {addresses[1]} ")
    finally:
        for process in (*(run for run, _ in runs), *clusters):
            process.kill()
            process.wait()
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):  # it goes with its cluster
                os.kill(worker, signal.SIGKILL)


@contextlib.contextmanager
def cluster_whose_worker_has(tree, name, code):
    """Yield the address of a scheduler with a worker that has a module of its own."""
    put(tree.path / "worker" / f"{name}.py", code.encode())
    with cluster_of(0) as cluster:
        address = cluster.scheduler_address
        options = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--death-timeout", "60"]
        worker = subprocess.Popen(
            [sys.executable, "-m", "dask", "worker", address, *options],
            cwd=tree.path / "worker",
            env={**os.environ, "PYTHONPATH": str(tree.path / "worker")},
            stderr=subprocess.DEVNULL,
        )
        try:
            while worker.poll() is None and not cluster.scheduler.workers:
                time.sleep(0.05)
            yield address
        finally:
            worker.kill()
            worker.wait()


def test_a_worker_without_opencv_is_told_at_the_start(tree):
    code = "raise ImportError('no OpenCV on this worker')"
    with cluster_whose_worker_has(tree, "cv2", code) as address:
        done = tree.run("--dask", address, timeout=LIMIT)
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
    assert done.err.startswith(f"[ERROR] a worker of the Dask scheduler at {address} ")
    assert "no OpenCV on this worker" in done.err


def test_a_cluster_without_workers_is_waited_for(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    with cluster_of(0) as waiting:
        timer = threading.Timer(15, waiting.scale, [1])
        timer.start()
        done = tree.run("--dask", waiting.scheduler_address)
        timer.join()
    assert done.status == 0 and "processed 8 images" in done.out and done.printed == []
    (warning,) = done.warnings  # once
    assert warning.startswith("waiting for ")
    assert f"of the Dask scheduler at {waiting.scheduler_address}" in warning
