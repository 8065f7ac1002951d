"""The number is what a walk finds, whatever happened to users, folders and processes in between."""

import os
import signal

import pytest

from conftest import until, walk


def shared(tally, name="f", **members):
    return {"name": name, "mapped_path": str(tally.dir / "folders" / name), **members}


def include(tally, name="f", at="/s", quota=-1):
    return [{**shared(tally, name), "virtual_path": at, "quota_size": quota, "quota_files": quota}]


def settled(tally, kind, name):
    """Usage, once nothing is counted any more."""
    key = "users" if kind == "user" else "folders"
    q = until(lambda: (q := tally.api("GET", f"/quotas/{key}/{name}", expect=200).json())["state"] in ("clean", "dirty") and q, what="trust")
    return q["used_quota_size"], q["used_quota_files"]


def scanned(tally, kind, name):
    """A recount that is asked for, whatever else runs; then the number."""
    until(lambda: tally.api("POST", f"/quotas/{kind}/{name}/scan").status_code == 202, what="a scan")
    until(lambda: (tally.api("GET", f"/quotas/{kind}/{name}").json().get("last_scan") or {}).get("result") == "done", what="the report")
    return tally.usage(name) if kind == "users" else tally.folder_usage(name)


def restart(tally):
    assert tally.stop() == 0
    tally.start()


def test_a_deleted_user_leaves_its_folders_and_its_slot(make_tally):
    t = make_tally()
    home = t.add_user("aa", virtual_folders=include(t))
    t.add_user("bb", virtual_folders=include(t))
    (home / "s/x").write_bytes(b"x" * 1000)
    assert t.usage("aa") == t.usage("bb") == (1000, 1)
    t.api("DELETE", "/users/bb", expect=200)
    t.add_user("cc")
    os.listdir(t.mount / "cc")
    (home / "s/y").write_bytes(b"y" * 5000)
    for _ in range(2):
        assert settled(t, "user", "cc") == (0, 0)
        assert settled(t, "user", "aa") == settled(t, "folder", "f") == walk(t.dir / "folders/f") == (6000, 2)
        restart(t)


def test_a_deleted_folder_lets_its_directory_go(make_tally):
    t = make_tally()
    path = t.dir / "folders/g"
    path.mkdir(parents=True)
    (path / "old").write_bytes(b"x" * 100)
    t.api("POST", "/folders", shared(t, "g"), expect=201)
    assert scanned(t, "folders", "g") == (100, 1)
    t.api("DELETE", "/folders/g", expect=200)
    t.add_user("next")
    os.listdir(t.mount / "next")
    (path / "foreign").write_bytes(b"x" * 7777)
    restart(t)
    assert settled(t, "user", "next") == (0, 0)
    t.api("POST", "/folders", shared(t, "again", mapped_path=str(path)), expect=201)
    assert scanned(t, "folders", "again") == walk(path) == (7877, 2)
    assert t.usage("next") == (0, 0)


def test_a_user_who_was_never_here_leaves_and_joins_folders(make_tally):
    t = make_tally()
    home = t.add_user("aa", virtual_folders=include(t))
    t.add_user("dd", virtual_folders=include(t))
    t.add_user("ee")
    (home / "s/x").write_bytes(b"x" * 6000)
    assert t.usage("dd") == (6000, 1) and t.usage("ee") == (0, 0)
    t.api("PUT", "/users/dd", {"virtual_folders": []}, expect=200)
    t.api("PUT", "/users/ee", {"virtual_folders": include(t)}, expect=200)
    t.add_user("late", virtual_folders=include(t))
    (home / "s/y").write_bytes(b"y" * 4)
    until(lambda: t.usage("dd") == (0, 0) and t.usage("ee") == t.usage("late") == (6004, 2), what="the news of all three")
    for _ in range(2):
        assert settled(t, "user", "dd") == (0, 0)
        assert settled(t, "user", "aa") == settled(t, "user", "ee") == settled(t, "user", "late") == (6004, 2)
        restart(t)


def test_what_changed_while_nobody_watched_is_counted(make_tally):
    t = make_tally()
    home = t.add_user("aa", virtual_folders=include(t, quota=0))
    (home / "own").write_bytes(b"x" * 300)
    (home / "s/a").write_bytes(b"x" * 5000)
    (home / "s/b").write_bytes(b"x" * 700)
    assert t.folder_usage("f") == (5700, 2) and t.usage("aa") == (300, 1)
    assert t.stop() == 0
    os.truncate(t.dir / "folders/f/a", 10)
    os.unlink(t.dir / "folders/f/b")
    os.unlink(t.data / "aa/own")
    t.start()
    assert settled(t, "folder", "f") == (10, 1)
    assert settled(t, "user", "aa") == (0, 0)


def test_what_changed_while_only_the_vfs_was_away_is_found(make_tally):
    t = make_tally()
    home = t.add_user("aa", virtual_folders=include(t, quota=0))
    (home / "own").write_bytes(b"x" * 300)
    (home / "s/a").write_bytes(b"x" * 5000)
    vfs = t.role_pid("tallyd-vfs")
    os.kill(vfs, signal.SIGSTOP)  # nothing is watched from here
    os.truncate(t.dir / "folders/f/a", 10)
    os.truncate(t.data / "aa/own", 7)
    os.kill(vfs, signal.SIGKILL)
    until(lambda: t.role_pid("tallyd-vfs") not in (None, vfs), what="the next one")
    until(lambda: t.folder_usage("f") == (10, 1) and t.usage("aa") == (7, 1), what="the right number")


def test_fifty_users_share_a_folder(make_tally):
    t = make_tally()
    names = [f"u{i}" for i in range(50)]
    for name in names:
        t.add_user(name, virtual_folders=include(t))
    (t.mount / "u0/s/x").write_bytes(b"x" * 1234)
    for _ in range(2):
        for name in names:
            assert settled(t, "user", name) == (1234, 1)
        restart(t)


@pytest.mark.parametrize("query", ["", "?dry_run=1"])
def test_the_first_scan_of_a_home_is_not_refused(make_tally, query):
    t = make_tally()
    for i in range(5):
        (t.data / f"n{i}/d").mkdir(parents=True)
        (t.data / f"n{i}/d/f").write_bytes(b"x" * 99)
        t.add_user(f"n{i}")
        t.api("POST", f"/quotas/users/n{i}/scan{query}", expect=202)
        assert settled(t, "user", f"n{i}") == (99, 1)


def test_a_scan_right_after_a_dry_run_leaves_the_home_as_trusted_as_it_was(make_tally):
    t = make_tally()
    home = t.add_user("aa")
    (home / "f").write_bytes(b"x" * 10)
    for _ in range(20):
        t.api("POST", "/quotas/users/aa/scan?dry_run=1", expect=202)
        assert t.api("POST", "/quotas/users/aa/scan").status_code in (202, 409)
        assert settled(t, "user", "aa") == (10, 1)
        until(lambda: t.api("GET", "/quotas/users/scans", expect=200).json() == [], what="the end")


def test_a_folder_that_moves_is_counted_where_it_is(make_tally):
    t = make_tally()
    home = t.add_user("aa", virtual_folders=include(t))
    (home / "s/x").write_bytes(b"x" * 1000)
    other = t.dir / "folders/other"
    other.mkdir()
    (other / "y").write_bytes(b"y" * 3)
    t.api("PUT", "/folders/f", {"mapped_path": str(other)}, expect=200)
    for _ in range(2):
        until(lambda: t.folder_usage("f") == t.usage("aa") == (3, 1), what="the new directory's number")
        restart(t)


@pytest.mark.parametrize("mode", ["auto", "inotify"])
def test_names_that_come_while_a_home_moves_to_and_fro_are_not_remembered_as_absent(make_tally, mode):
    t = make_tally(watcher={"mode": mode})
    dirs = [t.dir / "one", t.dir / "two"]
    for d in dirs:
        d.mkdir()
        (d / f"in-{d.name}").touch()
    home = t.add_user("aa", home_dir=str(dirs[0]))
    for i in range(24):
        here, there = dirs[(i + 1) % 2], dirs[i % 2]
        t.api("PUT", "/users/aa", {"home_dir": str(here)}, expect=200)
        until((home / f"in-{here.name}").exists, what="the new directory")
        assert not (home / f"in-{there.name}").exists() and not (home / f"f{i}").exists() and not os.path.lexists(home / f"l{i}")
        (here / f"f{i}").touch()
        (here / f"l{i}").symlink_to("x")
        until((home / f"f{i}").exists, what=f"file {i}")
        until(lambda i=i: os.path.lexists(home / f"l{i}"), what=f"link {i}")


def test_thousands_of_names_on_the_way_to_folders(make_tally):
    t = make_tally()
    for i in range(12):
        folders = [x for k in range(100) for x in include(t, f"f{i}-{k}", f"/{k}/deep", 0)]
        t.add_user(f"u{i}", virtual_folders=folders)
        assert len(os.listdir(t.mount / f"u{i}")) == 100


def test_a_file_with_two_names_counts_in_the_directory_that_has_one(make_tally):
    t = make_tally()
    home = t.add_user("aa")
    (home / "d1").mkdir()
    (home / "d2").mkdir()
    (home / "d1/f").write_bytes(b"x" * 4096)
    os.link(home / "d1/f", home / "d2/g")
    os.unlink(home / "d1/f")
    assert os.getxattr(home / "d1", "user.tally.rbytes") == b"0"
    assert os.getxattr(home / "d2", "user.tally.rbytes") == b"4096"
    assert t.usage("aa") == walk(home) == (4096, 1)
