"""Homes that an NFS server exports: its locks, its commits and its place in the list of connections."""

import errno
import fcntl
import os

import pytest

import nfs
from conftest import until, walk

pytestmark = pytest.mark.skipif(nfs.missing() is not None, reason=str(nfs.missing()))


@pytest.fixture(scope="module")
def server(tally):
    tally.add_user("nfs", quota_size=100_000)
    os.listdir(tally.mount / "nfs")
    with nfs.NfsServer(str(tally.mount)) as s:
        yield s


def is_locked(path):
    with open(path, "r+b") as f:
        try:
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_locks_of_nfs_clients_and_of_local_programs_exclude_each_other(tally, server):
    home = tally.mount / "nfs"
    server.write("/nfs/locked", b"x" * 10)
    holder = server.hold("/nfs/locked")
    assert is_locked(home / "locked")
    with pytest.raises(nfs.NfsError):
        server.hold("/nfs/locked")
    holder.communicate()
    assert holder.returncode == 0
    until(lambda: not is_locked(home / "locked"), what="the unlock")
    with open(home / "locked", "r+b") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        with pytest.raises(nfs.NfsError):
            server.hold("/nfs/locked")


def test_a_client_is_listed_by_its_server_and_what_it_committed_is_counted(tally, server):
    home = tally.mount / "nfs"
    server.write("/nfs/listed", b"x" * 10)
    holder = server.hold("/nfs/listed")
    seen = [c for c in tally.api("GET", "/connections", expect=200).json() if c["protocol"] == "FS" and c["username"] == "nfs"]
    paths = {c["active_transfers"][0]["path"]: c for c in seen}
    assert paths["/listed"]["process"] == "ganesha.nfsd" and paths["/listed"]["pid"] == server.process.pid
    assert (home / "listed").read_bytes() == b"h" + b"x" * 9
    holder.communicate()
    assert tally.usage("nfs") == walk(home)


def test_the_limit_reaches_the_client_at_write(tally, server):
    home = tally.mount / "nfs"
    with pytest.raises(nfs.NfsError) as e:
        server.write("/nfs/big", b"x" * 200_000)
    assert e.value.errno == errno.EDQUOT
    assert tally.usage("nfs") == walk(home)
    assert tally.usage("nfs")[0] == 100_000
    server.delete("/nfs/big")
    until(lambda: tally.usage("nfs") == walk(home), what="the release")
