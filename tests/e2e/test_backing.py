"""What can happen to the directories beneath: removed, replaced, covered, full, read-only, on many file systems. The
number stays what a walk finds, who writes gets the errno of the disk, and the log names the directory."""

import errno
import os
import shutil
import subprocess

import pytest

from conftest import until, walk

IMAGES = {
    "ext4": ("64M", ["mkfs.ext4", "-q", "-F"]),
    "xfs": ("4T", ["mkfs.xfs", "-q", "-f", "-m", "reflink=0"]),  # so large that its numbers need more than 32 bits
    "btrfs": ("128M", ["mkfs.btrfs", "-q", "-f"]),
}


def run(*args):
    subprocess.run([str(a) for a in args], check=True, stdout=subprocess.DEVNULL)


def disk(t, kind, options=""):
    """A file system of its own, mounted below the daemon's directory."""
    at = t.dir / f"disk-{kind}"
    if at.exists():
        return at
    at.mkdir()
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", "size=2m,inode64,mode=755", "tally-test", at)
        return at
    size, mkfs = IMAGES[kind]
    images = t.dir / f"image-{kind}"
    images.mkdir()
    run("mount", "-t", "tmpfs", "tally-test", images)
    run("truncate", "-s", size, images / "disk")
    run(*mkfs, images / "disk")
    run("mount", "-o", f"loop{options}", images / "disk", at)
    return at


def failing(call):
    with pytest.raises(OSError) as e:
        call()
    return errno.errorcode[e.value.errno]


def agrees(t, name, path):
    until(lambda: t.usage(name) == walk(path), what=f"the number of {name}")


@pytest.fixture(scope="module")
def shown(tally):
    """Makes a user with something in the home: (home in the mount, backing directory)."""
    made = []

    def make(home_dir=None):
        name = f"b{len(made)}"
        made.append(name)
        path = home_dir or tally.data / name
        home = tally.add_user(name, home_dir=str(path))
        (home / "d").mkdir()
        (home / "d/f").write_bytes(b"x" * 100)
        return name, home, path

    return make


def test_a_home_that_is_removed_beneath_is_made_anew(tally, shown):
    name, home, path = shown()
    at = os.open(home / "d/f", os.O_WRONLY)
    shutil.rmtree(path)
    until(lambda: os.path.isdir(home) and path.is_dir(), what="a new home")
    (home / "g").write_bytes(b"y" * 7)
    assert path.is_dir() and (path / "g").read_bytes() == b"y" * 7
    assert failing(lambda: os.write(at, b"x")) == "ESTALE"
    os.close(at)
    agrees(tally, name, path)
    assert f"{path} was removed or replaced beneath the mount" in tally.log()


def test_a_home_that_is_replaced_beneath_is_shown_as_it_is_now(tally, shown):
    name, home, path = shown()
    path.rename(path.with_name("aside"))
    assert (home / "d/f").read_bytes() == b"x" * 100  # nothing is there instead yet
    path.mkdir(mode=0o755)
    (path / "other").write_bytes(b"y" * 33)
    until(lambda: os.listdir(home) == ["other"], what="the new directory")
    agrees(tally, name, path)
    (home / "more").write_bytes(b"z" * 5)
    assert walk(path) == (38, 2)
    agrees(tally, name, path)


def test_a_folder_that_is_replaced_beneath_is_shown_as_it_is_now(tally, shown):
    name, home, path = shown()
    mapped = tally.dir / "replaced-folder"
    tally.api("PUT", f"/users/{name}", {"virtual_folders": [{"name": "r", "mapped_path": str(mapped), "virtual_path": "/v", "quota_size": 0, "quota_files": 0}]}, expect=200)
    until(lambda: os.path.isdir(home / "v"), what="the folder")
    (home / "v/a").write_bytes(b"x" * 10)
    mapped.rename(mapped.with_name("folder-aside"))
    mapped.mkdir()
    (mapped / "b").write_bytes(b"x" * 3)
    until(lambda: os.listdir(home / "v") == ["b"], what="the new directory")
    until(lambda: tally.folder_usage("r") == (3, 1), what="the folder's number")


def test_a_mount_over_a_home_is_shown_and_what_is_beneath_comes_back_after_it(tally, shown):
    name, home, path = shown()
    run("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tally-test", path)
    try:
        until(lambda: os.listdir(home) == [], what="the empty file system")
        (home / "on-top").write_bytes(b"x" * 5)
        agrees(tally, name, path)
    finally:
        run("umount", path)
    until(lambda: os.listdir(home) == ["d"], what="the directory beneath")
    agrees(tally, name, path)
    assert tally.usage(name) == (100, 1)


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "xfs", "btrfs"])
def test_a_home_on_another_file_system_is_counted_to_its_last_block(tally, shown, kind):
    at = disk(tally, kind)
    name, home, path = shown(at / "home")
    with open(home / "big", "wb", buffering=0) as f:
        assert failing(lambda: [f.write(b"x" * 100_000) for _ in range(100_000 if kind != "xfs" else 0)] or os.posix_fallocate(f.fileno(), 0, 1 << 62)) in ("ENOSPC", "EFBIG")
    agrees(tally, name, path)
    (home / "big").unlink()
    (home / "a").write_bytes(b"y" * 3000)
    os.rename(home / "a", home / "d/b")
    os.link(home / "d/b", home / "d/c")
    with open(home / "d/b", "r+b") as f:
        f.truncate(2000)
    agrees(tally, name, path)
    assert tally.usage(name) == (2100, 2)
    with open(path / "d/c", "ab") as f:  # beneath, by the other name
        f.write(b"z" * 11)
    agrees(tally, name, path)
    assert tally.usage(name) == (2111, 2)
    if kind == "xfs":
        for i in range(8):  # each directory in another part of the disk
            (home / f"e{i}").mkdir()
            (home / f"e{i}/f").write_bytes(b"x" * i)
        assert max(os.stat(path / f"e{i}/f").st_ino for i in range(8)) > 1 << 32
        assert len({os.stat(home / f"e{i}/f").st_ino for i in range(8)}) == 8
        agrees(tally, name, path)
    assert (home / "d/c").read_bytes()[-1:] == b"z"


def test_a_read_only_disk_says_so_and_is_read_on(tally, shown):
    at = disk(tally, "ext4")
    name, home, path = shown(at / "frozen")
    before = tally.usage(name)
    run("mount", "-o", "remount,ro", at)
    try:
        assert failing(lambda: (home / "new").write_bytes(b"x")) == "EROFS"
        assert failing(lambda: (home / "d/f").write_bytes(b"x")) == "EROFS"
        assert failing((home / "d/f").unlink) == "EROFS"
        assert failing(lambda: os.truncate(home / "d/f", 5)) == "EROFS"
        assert (home / "d/f").read_bytes() == b"x" * 100
        assert tally.usage(name) == before == (100, 1)
    finally:
        run("mount", "-o", "remount,rw", at)
    (home / "new").write_bytes(b"x" * 4)
    agrees(tally, name, path)


def test_a_disk_that_is_unmounted_beneath_is_served_on_until_another_directory_is_there(tally, shown):
    at = tally.dir / "unplugged"
    at.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tally-test", at)
    name, home, path = shown(at / "home")
    with open(home / "d/f", "r+b", buffering=0) as opened:
        run("umount", at)
        opened.write(b"y" * 150)
    (home / "g").write_bytes(b"x" * 9)
    assert tally.usage(name) == (159, 2)
    path.mkdir()
    until(lambda: os.listdir(home) == [], what="what is at the path now")
    (home / "h").write_bytes(b"x" * 4)
    agrees(tally, name, path)
    assert tally.usage(name) == (4, 1)


def test_a_disk_that_does_not_answer_keeps_only_its_own_homes_waiting(tally):
    at = disk(tally, "ext4")
    folder = {"name": "slow-and-quick", "mapped_path": str(tally.dir / "both"), "virtual_path": "/v", "quota_size": -1, "quota_files": -1}
    names = {"slow1": [], "slow2": [folder], "quick1": [], "quick2": [folder]}
    for name, folders in names.items():
        tally.add_user(name, home_dir=str((at if name.startswith("slow") else tally.data) / name), virtual_folders=folders)
    run("fsfreeze", "-f", at)  # making a directory waits
    try:
        touches = {name: subprocess.Popen(["stat", tally.mount / name], stdout=subprocess.DEVNULL) for name in names}
        assert [touches[name].wait(20) for name in ("quick1", "quick2")] == [0, 0]
        (tally.mount / "quick2/v/f").write_bytes(b"x" * 10)
        tally.api("PUT", "/users/quick1", {"virtual_folders": [folder]}, expect=200)
        until(lambda: os.path.isdir(tally.mount / "quick1/v"), what="the folder")
        assert tally.usage("quick1") == tally.usage("quick2") == (10, 1)
        assert [touches[name].poll() for name in ("slow1", "slow2")] == [None, None]
    finally:
        run("fsfreeze", "-u", at)
    assert [touches[name].wait(20) for name in ("slow1", "slow2")] == [0, 0]
    assert (tally.mount / "slow2/v/f").read_bytes() == b"x" * 10


def test_a_home_that_cannot_be_opened_is_named_in_the_log_and_works_when_it_can(tally):
    (tally.data / "file").write_bytes(b"not a directory")
    home = tally.add_user("wrong", home_dir=str(tally.data / "file"))
    assert failing(home.stat) == "EIO"
    assert f"cannot serve user wrong: its directory {tally.data}/file: Not a directory" in tally.log()
    (tally.data / "file").unlink()
    (home / "f").write_bytes(b"x")
    agrees(tally, "wrong", tally.data / "file")


def test_names_that_no_user_has_make_nothing(tally):
    before = sorted(os.listdir(tally.data)), sorted(os.listdir(tally.mount))
    for name in ["nobody", "a" * 255, "x\ny", "*", "%", "'", "\\", " "] * 50:
        assert failing(lambda: os.stat(tally.mount / name)) == "ENOENT"
    assert failing(lambda: os.stat(tally.mount / ("a" * 256))) == "ENAMETOOLONG"
    assert failing(lambda: os.mkdir(tally.mount / "made")) == "EPERM"
    assert failing(lambda: (tally.mount / "made").write_bytes(b"")) == "EPERM"
    assert (sorted(os.listdir(tally.data)), sorted(os.listdir(tally.mount))) == before
