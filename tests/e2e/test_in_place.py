"""vfs.in_place: programs use the old paths of the homes and are counted, whatever starts, stops and dies."""

import os
import pathlib
import signal
import subprocess

import pytest

from conftest import until, walk

NAMES = ["ann", "bob", "cat"]


def mounts_at(path):
    """What is mounted at a path, the first mount first, as (type, what of it is shown)."""
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        words, rest = line.split(" - ")
        if words.split()[4] == str(path):
            found.append((rest.split()[0], words.split()[3]))
    return found


def is_covered(path):
    return any(kind == "fuse.tally" for kind, _ in mounts_at(path))


@pytest.fixture
def placed(make_tally):
    """A daemon with three users who have homes that were there before."""

    def make(**members):
        t = make_tally(vfs={"in_place": True})
        for name in NAMES:
            (t.data / name).mkdir(mode=0o755)
            (t.add_user(name, **members)).stat()
        until(lambda: all(is_covered(t.data / name) for name in NAMES), what="the covers")
        return t

    return make


def restart(t):
    if t.process is not None:
        assert t.stop() == 0
    t.start()
    for name in NAMES:
        assert is_covered(t.data / name)


def descendants(pid):
    """The processes that a process has started, and those that these have."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [p for child in children for p in [child, *descendants(child)]]


def kill(t):
    """The supervisor dies, and what it started ends."""
    started = descendants(t.process.pid)
    t.kill()
    until(lambda: not any(os.path.exists(f"/proc/{p}") for p in started), what="the end of the services")


def test_what_is_written_by_the_old_path_is_counted_and_limited(placed):
    t = placed(quota_size=10_000)
    (t.data / "ann/f").write_bytes(b"x" * 6000)
    assert t.usage("ann") == (6000, 1)
    with pytest.raises(OSError, match="quota"):
        (t.data / "ann/g").write_bytes(b"y" * 6000)
    assert t.usage("ann") == walk(t.data / "ann") == (10_000, 2)
    assert (t.mount / "ann/f").read_bytes() == b"x" * 6000
    restart(t)
    (t.data / "ann/g").unlink()
    assert t.usage("ann") == walk(t.data / "ann") == (6000, 1)


def test_a_stop_gives_the_plain_directories_back(placed):
    t = placed()
    (t.data / "ann/f").write_bytes(b"x" * 10)
    assert t.stop() == 0
    for name in NAMES:
        assert mounts_at(t.data / name) == []
    assert (t.data / "ann/f").read_bytes() == b"x" * 10
    (t.data / "ann/plain").write_bytes(b"y" * 5)
    t.start()
    until(lambda: t.usage("ann") == (15, 2), what="the number of what came meanwhile")


def test_a_program_that_sits_in_a_home_does_not_stop_the_stop(placed):
    t = placed()
    here = os.open(t.data / "bob", os.O_RDONLY)
    try:
        assert t.stop() == 0
        assert mounts_at(t.data / "bob") == []
        assert "is in use" in t.log()
        with pytest.raises(OSError):
            os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    finally:
        os.close(here)


def test_a_crash_of_the_file_system_is_not_noticed_by_writers(placed):
    t = placed()
    with open(t.data / "ann/f", "wb", buffering=0) as f:
        for i in range(30):
            if i % 10 == 5:
                os.kill(t.role_pid("tallyd-vfs"), signal.SIGKILL)
            assert f.write(b"x" * 100) == 100
            (t.data / f"bob/{i}").write_bytes(b"y")
    assert t.usage("ann") == walk(t.data / "ann") == (3000, 1)
    assert t.usage("bob") == walk(t.data / "bob") == (30, 30)
    assert len(mounts_at(t.data / "ann")) == 1


def test_dead_mounts_of_a_killed_daemon_are_taken_away(placed):
    t = placed()
    (t.data / "ann/f").write_bytes(b"x" * 100)
    kill(t)
    for name in NAMES:
        assert is_covered(t.data / name)
    with pytest.raises(OSError):
        os.statvfs(t.data / "ann")
    restart(t)
    assert [len(mounts_at(t.data / name)) for name in NAMES] == [1, 1, 1]
    assert (t.data / "ann/f").read_bytes() == b"x" * 100
    (t.data / "ann/g").write_bytes(b"x" * 11)
    until(lambda: t.usage("ann") == (111, 2), what="the number")
    kill(t)
    t.config["vfs"]["in_place"] = False
    t.start()
    for name in NAMES:
        assert mounts_at(t.data / name) == []


def test_covers_follow_users_who_come_move_and_go(placed):
    t = placed()
    t.add_user("dan")
    (t.mount / "dan").stat()  # the home is made by the first touch, and covered then
    until(lambda: is_covered(t.data / "dan"), what="dan's cover")
    (t.data / "dan/f").write_bytes(b"x" * 7)
    assert t.usage("dan") == (7, 1)
    other = t.dir / "other"
    other.mkdir()
    t.api("PUT", "/users/dan", {"home_dir": str(other)}, expect=200)
    until(lambda: is_covered(other) and not mounts_at(t.data / "dan"), what="the move")
    (other / "g").write_bytes(b"y" * 3)
    assert (t.data / "dan/f").read_bytes() == b"x" * 7
    until(lambda: t.usage("dan") == (3, 1), what="the new directory's number")
    t.api("DELETE", "/users/dan", expect=200)
    until(lambda: not mounts_at(other), what="the end of the cover")
    assert (other / "g").read_bytes() == b"y" * 3


def test_users_who_change_places_are_covered_each_by_the_own_view(placed):
    t = placed()
    paths = {name: str(t.data / name) for name in ("ann", "bob")}
    t.api("PUT", "/users/ann", {"home_dir": str(t.dir / "aside")}, expect=200)
    t.api("PUT", "/users/bob", {"home_dir": paths["ann"]}, expect=200)
    t.api("PUT", "/users/ann", {"home_dir": paths["bob"]}, expect=200)
    until(lambda: [mounts_at(paths[n]) for n in ("ann", "bob")] == [[("fuse.tally", "/bob")], [("fuse.tally", "/ann")]], what="the change")
    pathlib.Path(paths["ann"], "f").write_bytes(b"x" * 5)
    until(lambda: t.usage("bob") == (5, 1) and t.usage("ann") == (0, 0), what="the numbers")


def test_covers_of_users_who_went_while_the_file_system_was_away_are_taken_away(placed):
    t = placed()
    vfs = t.role_pid("tallyd-vfs")
    os.kill(vfs, signal.SIGSTOP)
    t.api("DELETE", "/users/cat", expect=200)
    os.kill(vfs, signal.SIGKILL)
    until(lambda: not mounts_at(t.data / "cat"), what="the end of the cover")
    assert is_covered(t.data / "ann")


def test_folders_are_seen_by_the_old_path_and_counted(placed):
    t = placed()
    folder = {"name": "f", "mapped_path": str(t.dir / "folders/f"), "virtual_path": "/deep/s", "quota_size": 0, "quota_files": 0}
    t.api("PUT", "/users/ann", {"virtual_folders": [folder]}, expect=200)
    until(lambda: os.listdir(t.data / "ann") == ["deep"], what="the way to the folder")
    (t.data / "ann/deep/s/x").write_bytes(b"x" * 40)
    assert t.folder_usage("f") == (40, 1)
    assert t.usage("ann") == (0, 0)


def test_a_home_behind_a_symbolic_link_is_covered_where_it_is(placed):
    t = placed()
    (t.dir / "real").mkdir()
    os.symlink(t.dir / "real", t.dir / "link")
    t.add_user("lin", home_dir=str(t.dir / "link"))
    (t.mount / "lin").stat()
    until(lambda: is_covered(t.dir / "real"), what="the cover")
    (t.dir / "link/f").write_bytes(b"x" * 9)
    assert t.usage("lin") == (9, 1)
    os.kill(t.role_pid("tallyd-vfs"), signal.SIGKILL)
    (t.dir / "link/g").write_bytes(b"x")
    assert t.usage("lin") == (10, 2)


REFUSED = [
    ("inside another home", lambda t: t.data / "ann/inner", "is inside the home"),
    ("around another home", lambda t: t.data, "contains the home"),
    ("the same home", lambda t: t.data / "ann", "is also the home"),
    ("below the mount", lambda t: t.mount / "x", "the mount of the homes"),
]


def test_a_home_that_cannot_be_is_refused_with_the_reason(placed):
    t = placed()
    for name, path, words in REFUSED:
        body = {"username": "bad", "password": "x", "status": 1, "permissions": {"/": ["*"]}, "home_dir": str(path(t))}
        r = t.api("POST", "/users", body, expect=400)
        assert words in r.json()["error"] + r.json()["message"], name


def test_what_a_link_hides_is_refused_when_the_home_is_opened(placed):
    t = placed()
    os.symlink(t.data / "ann", t.dir / "to-ann")
    os.symlink(t.data, t.dir / "to-data")
    os.symlink(t.data, t.dir / "to-all")
    os.symlink(t.mount, t.dir / "to-mount")
    (t.data / "ann/inner").mkdir()
    for name, path in [("same", "to-ann"), ("inner", "to-data/ann/inner"), ("around", "to-all"), ("loop", "to-mount/ann")]:
        t.add_user(name, home_dir=str(t.dir / path))
        with pytest.raises(OSError):
            os.stat(t.mount / name)
        assert f"cannot serve user {name}" in t.log()
    (t.data / "ann/f").write_bytes(b"x")
    assert t.usage("ann") == (1, 1)


def test_the_old_paths_work_where_the_host_shares_its_mounts(make_tally):
    t = make_tally(vfs={"in_place": True})
    assert t.stop() == 0
    subprocess.run(["mount", "-t", "tmpfs", "tally-test", t.data], check=True)
    subprocess.run(["mount", "--make-shared", t.data], check=True)
    try:
        t.start()
        for name in NAMES:
            (t.data / name).mkdir()
            t.add_user(name)
            (t.mount / name).stat()
        until(lambda: all(is_covered(t.data / name) for name in NAMES), what="the covers")
        for _ in range(2):
            (t.data / "ann/f").write_bytes(b"x" * 12)
            assert t.usage("ann") == (12, 1)
            os.kill(t.role_pid("tallyd-vfs"), signal.SIGKILL)
            t.api("PUT", "/users/ann", {"quota_size": 100}, expect=200)
        with pytest.raises(OSError, match="quota"):
            (t.data / "ann/g").write_bytes(b"x" * 100)
        assert [len(mounts_at(t.data / name)) for name in NAMES] == [1, 1, 1]
        assert t.stop() == 0
        assert [mounts_at(t.data / name) for name in NAMES] == [[], [], []]
    finally:
        if t.process is not None:
            t.stop()
        subprocess.run(["umount", "-R", t.data], check=False)
