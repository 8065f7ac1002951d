"""Programs on this machine that write into homes are live connections of protocol FS, and can be closed."""

import errno
import mmap
import os
import signal
import subprocess
import sys

import paramiko
import pytest

from conftest import until, walk

# Obeys commands on its standard input: opens files for reading and writing, writes, and says what came of it.
PROGRAM = r"""
import os, sys
fds = {}
calls = {
    "open": lambda name: fds.__setitem__(name, os.open(name, os.O_CREAT | os.O_RDWR, 0o644)),
    "write": lambda name, n: os.write(fds[name], b"x" * int(n)),
    "truncate": lambda name, n: os.ftruncate(fds[name], int(n)),
    "allocate": lambda name, n: os.posix_fallocate(fds[name], 0, int(n)),
    "read": lambda name, n: len(os.pread(fds[name], int(n), 0)),
    "close": lambda name: os.close(fds.pop(name)),
    "become": lambda uid: os.setuid(int(uid)),
}
for line in sys.stdin:
    name, *args = line.split()
    try:
        print("ok", calls[name](*args), flush=True)
    except OSError as e:
        print("errno", e.errno, flush=True)
"""


class Writer:
    def __init__(self, directory):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=directory, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self.process.pid

    def __call__(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        kind, value = self.process.stdout.readline().split()
        return -int(value) if kind == "errno" else value

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def writer():
    made = []

    def make(directory):
        made.append(Writer(directory))
        return made[-1]

    yield make
    for w in made:
        w.end()


def listed(tally, **members):
    found = tally.api("GET", "/connections", expect=200).json()
    return [c for c in found if c["protocol"] == "FS" and all(c[k] == v for k, v in members.items())]


def test_a_program_that_writes_is_listed_and_closed(tally, writer):
    home = tally.add_user("prog", quota_size=1 << 20)
    home.stat()
    os.chmod(home, 0o777)
    w = writer(home)
    assert w("become", 4711) == "None"
    w("open", "report")
    w("write", "report", 1000)
    (c,) = listed(tally, username="prog")
    assert c["process"].startswith("python3") and c["pid"] == w.pid and c["uid"] == 4711
    (transfer,) = c["active_transfers"]
    assert transfer["path"] == "/report" and transfer["size"] == 1000 and transfer["operation_type"] == "upload"
    w("write", "report", 500)
    (again,) = listed(tally, username="prog")
    assert again["connection_id"] == c["connection_id"] and again["active_transfers"][0]["size"] == 1500
    assert again["last_activity"] >= again["connection_time"] > 0

    tally.api("DELETE", "/connections/" + c["connection_id"], expect=200)
    assert listed(tally, username="prog") == []
    assert w("write", "report", 1) == -errno.EIO
    assert w("truncate", "report", 0) == -errno.EIO
    assert w("allocate", "report", 5000) == -errno.EIO
    assert w("read", "report", 10) == "10"
    assert tally.usage("prog") == walk(home) == (1500, 1)
    tally.api("DELETE", "/connections/" + c["connection_id"], expect=404)
    assert w("close", "report") == "None"
    w("open", "report")
    assert w("write", "report", 7) == "7"
    (new,) = listed(tally, username="prog")
    assert new["connection_id"] != c["connection_id"]


def test_readers_are_not_listed_and_a_closed_file_leaves_the_list(tally, writer):
    home = tally.add_user("quiet")
    (home / "f").write_bytes(b"x")
    with open(home / "f", "rb"):
        assert listed(tally, username="quiet") == []
    w = writer(home)
    w("open", "f")
    assert len(listed(tally, username="quiet")) == 1
    w("close", "f")
    until(lambda: listed(tally, username="quiet") == [], what="the release")


def test_a_revoked_handle_stays_revoked_and_a_writer_listed_when_the_vfs_dies(tally, writer):
    home = tally.add_user("dies")
    home.stat()
    w = writer(home)
    for name in ("a", "b"):
        w("open", name)
        w("write", name, 10)
    (a,) = [c for c in listed(tally, username="dies") if c["active_transfers"][0]["path"] == "/a"]
    tally.api("DELETE", "/connections/" + a["connection_id"], expect=200)
    vfs = tally.role_pid("tallyd-vfs")
    os.kill(vfs, signal.SIGKILL)
    until(lambda: tally.role_pid("tallyd-vfs") not in (None, vfs), what="the next one")
    assert w("write", "a", 1) == -errno.EIO and w("write", "b", 1) == "1"
    (b,) = until(lambda: listed(tally, username="dies"), what="the list")
    assert b["pid"] == w.pid and b["active_transfers"][0]["path"] == "/b" and b["active_transfers"][0]["size"] == 11
    assert tally.usage("dies") == walk(home) == (21, 2)


def test_a_map_of_a_revoked_handle_changes_content_and_never_the_number(tally):
    home = tally.add_user("maps")
    (home / "f").write_bytes(b"x" * 4096)
    with open(home / "f", "r+b", buffering=0) as f, mmap.mmap(f.fileno(), 4096) as m:
        (c,) = listed(tally, username="maps")
        tally.api("DELETE", "/connections/" + c["connection_id"], expect=200)
        m[0:3] = b"abc"
        with pytest.raises(OSError) as e:
            f.write(b"y")
        assert e.value.errno == errno.EIO
    assert (home / "f").read_bytes()[:4] == b"abcx"
    assert tally.usage("maps") == (4096, 1)


def test_an_sftp_session_is_listed_once_as_what_it_is(tally):
    tally.add_user("client")
    transport = paramiko.Transport(("127.0.0.1", tally.sftp_port))
    transport.connect(username="client", password="secret")
    try:
        sftp = paramiko.SFTPClient.from_transport(transport)
        with sftp.open("upload", "wb") as f:
            f.write(b"x" * 1000)
            f.stat()
            seen = [c for c in tally.api("GET", "/connections", expect=200).json() if c["username"] == "client"]
            assert [c["protocol"] for c in seen] == ["SFTP"]
            assert "pid" not in seen[0] and "uid" not in seen[0] and "process" not in seen[0]
    finally:
        transport.close()


def test_paths_are_those_of_the_home_also_in_folders_and_of_odd_names(tally, writer):
    folder = {"name": "photos", "mapped_path": str(tally.dir / "photos"), "virtual_path": "/shared/photos"}
    home = tally.add_user("odd", virtual_folders=[{**folder, "quota_size": 0, "quota_files": 0}])
    (home / "shared/photos/deep").mkdir(parents=True)
    w = writer(home)
    for name in ("shared/photos/deep/p", "plain", "gone"):
        w("open", name)
    os.unlink(home / "gone")
    with open(os.fsencode(home) + b"/caf\xe9", "wb"):
        paths = {c["active_transfers"][0]["path"] for c in listed(tally, username="odd")}
    assert paths == {"/shared/photos/deep/p", "/plain", "/gone (deleted)", "/caf?"}


def test_hundreds_of_writers_are_listed_page_by_page(tally):
    home = tally.add_user("many")
    home.stat()
    long = "n" * 200
    files = [open(home / f"{long}{i}", "wb") for i in range(300)]
    try:
        seen = listed(tally, username="many")
        assert len({c["connection_id"] for c in seen}) == 300
        assert {c["active_transfers"][0]["path"] for c in seen} == {f"/{long}{i}" for i in range(300)}
    finally:
        for f in files:
            f.close()


BAD_IDS = ["FS_", "FS_zz", "FS_0", "FS_ffffffff00000000", "FS_-1", "FS_" + "f" * 40, "FS_1%00"]


@pytest.mark.parametrize("connection", BAD_IDS)
def test_an_id_that_is_none_is_not_found(tally, connection):
    assert tally.api("DELETE", "/connections/" + connection).status_code in (400, 404)


def test_without_a_vfs_the_others_are_listed(make_tally):
    t = make_tally()
    t.add_user("client")
    transport = paramiko.Transport(("127.0.0.1", t.sftp_port))
    transport.connect(username="client", password="secret")
    try:
        paramiko.SFTPClient.from_transport(transport).listdir(".")
        vfs = t.role_pid("tallyd-vfs")
        os.kill(vfs, signal.SIGSTOP)
        try:
            assert [c["username"] for c in t.api("GET", "/connections", expect=200).json()] == ["client"]
        finally:
            os.kill(vfs, signal.SIGCONT)
    finally:
        transport.close()
