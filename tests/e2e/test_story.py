"""The story of issue 1: files come and go by SFTP, cp, NFS and beneath the mount, and the number is right each time."""

import errno
import os
import random
import shutil
import subprocess
import threading
import time

import paramiko
import pytest

from conftest import until, walk
from nfs import NfsError, NfsServer

MIB = 1 << 20


@pytest.fixture(scope="module")
def home(tally):
    """A user with data, and where it lies."""
    tally.add_user("story", quota_size=0, quota_files=0)
    os.listdir(tally.mount / "story")
    return tally.mount / "story", tally.data / "story"


def real_tree(target, source, files):
    """A copy of the first files of a real tree: odd names, sizes from 0 to some 100 KB."""
    n = 0
    for base, dirs, names in os.walk(source):
        dirs.sort()
        for name in sorted(names):
            path = os.path.join(base, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            to = os.path.join(target, os.path.relpath(path, source))
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copyfile(path, to)
            n += 1
            if n == files:
                return n
    return n


def nfs_tree(nfs, source, target):
    nfs.mkdir(target)
    for base, dirs, names in os.walk(source):
        to = os.path.join(target, os.path.relpath(base, source)).removesuffix("/.")
        for name in dirs:
            nfs.mkdir(f"{to}/{name}")
        for name in names:
            nfs.put(os.path.join(base, name), f"{to}/{name}")


def paramiko_sftp(tally, user):
    t = paramiko.Transport(("127.0.0.1", tally.sftp_port))
    t.connect(username=user, password="secret")
    return paramiko.SFTPClient.from_transport(t)


def exact(tally, user, *backing):
    assert tally.usage(user) == walk(*backing)


def test_each_way_in_and_out_is_counted_to_the_byte(tally, home, tmp_path):
    mount, backing = home
    docs, include = tmp_path / "doc", tmp_path / "include"
    assert real_tree(docs, "/usr/share/doc", 2500) > 300
    assert real_tree(include, "/usr/include", 2500) > 300

    tally.sftp("story", f"put -r {docs} by-sftp\n")
    assert subprocess.run(["diff", "-r", docs, mount / "by-sftp"], check=False).returncode == 0
    exact(tally, "story", backing)

    subprocess.run(["cp", "-r", include, mount / "by-cp"], check=True)
    assert subprocess.run(["diff", "-r", include, backing / "by-cp"], check=False).returncode == 0
    exact(tally, "story", backing)

    # by root in the backing directory: within a second
    shutil.copytree(include, backing / "beneath")
    until(lambda: tally.usage("story") == walk(backing), 5, "the change beneath is counted")

    tally.sftp("story", "rm by-sftp/*/copyright\nrename by-sftp by-sftp-2\n", check=False)
    exact(tally, "story", backing)
    c = paramiko_sftp(tally, "story")
    big = max((p for p in (backing / "by-sftp-2").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    c.truncate("/" + str(big.relative_to(backing)), 11)
    c.get_channel().get_transport().close()
    assert big.stat().st_size == 11
    exact(tally, "story", backing)
    subprocess.run(["mv", mount / "by-cp", mount / "by-mv"], check=True)
    subprocess.run(["rm", "-r", mount / "by-mv"], check=True)
    exact(tally, "story", backing)
    victim = next(p for p in (backing / "beneath").rglob("*.h") if p.stat().st_size > 100)
    os.truncate(victim, 17)
    (backing / "beneath").rename(backing / "moved")
    next(p for p in (backing / "moved").rglob("*.h") if p.stat().st_size > 100).unlink()
    until(lambda: tally.usage("story") == walk(backing), 5, "truncate, rename and delete beneath are counted")
    os.truncate(mount / victim.relative_to(backing).as_posix().replace("beneath", "moved", 1), 5)
    exact(tally, "story", backing)
    shutil.rmtree(mount / "moved")
    exact(tally, "story", backing)


def test_nfs_writers_are_counted_like_everybody(tally, home, tmp_path):
    mount, backing = home
    big = tmp_path / "big"
    big.write_bytes(random.Random(1).randbytes(300_000))
    with NfsServer(str(tally.mount)) as nfs:
        real_tree(tmp_path / "tree", "/usr/include", 150)
        nfs_tree(nfs, tmp_path / "tree", "/story/by-nfs")
        assert subprocess.run(["diff", "-r", tmp_path / "tree", backing / "by-nfs"], check=False).returncode == 0
        for i in range(8):
            nfs.put(str(big), f"/story/by-nfs/{i}")
        until(lambda: tally.usage("story") == walk(backing), 20, "NFS writes are counted")
        assert (backing / "by-nfs/7").read_bytes() == big.read_bytes()
        nfs.truncate("/story/by-nfs/3", 1000)
        nfs.rename("/story/by-nfs/4", "/story/by-nfs/renamed")
        nfs.delete("/story/by-nfs/5")
        # the server may hold a deleted file open for a while: it counts until it lets go
        until(lambda: tally.usage("story") == walk(backing), 60, "NFS truncate, rename and remove are counted")
        assert (backing / "by-nfs/3").stat().st_size == 1000


def test_the_limit_holds_for_everybody_together(tally, tmp_path):
    limit = 4 * MIB
    mount = tally.add_user("limited", quota_size=limit)
    block = random.Random(2).randbytes(MIB)
    (tmp_path / "one").write_bytes(block)
    (tmp_path / "big").write_bytes(block * 6)

    os.makedirs(mount, exist_ok=True)
    (mount / "a").write_bytes(block)
    tally.sftp("limited", f"put {tmp_path}/one b\n")
    assert tally.usage("limited") == (2 * MIB, 2)

    r = tally.sftp("limited", f"put {tmp_path}/big c\n", check=False)
    assert r.returncode != 0
    assert "quota exceeded" in r.stderr.lower(), "OpenSSH shows no status text, but what comes on stderr: " + r.stderr
    assert tally.usage("limited")[0] <= limit

    (mount / "c").unlink(missing_ok=True)
    r = subprocess.run(["cp", tmp_path / "big", mount / "d"], capture_output=True, text=True, check=False)
    assert r.returncode != 0 and "quota exceeded" in r.stderr.lower()
    assert tally.usage("limited") == (limit, 3), "the last byte is usable, and no more"

    with NfsServer(str(tally.mount)) as nfs:
        with pytest.raises(NfsError) as e:
            nfs.put(str(tmp_path / "one"), "/limited/e")
        assert e.value.errno == errno.EDQUOT
    assert tally.usage("limited")[0] <= limit
    assert walk(tally.data / "limited") == tally.usage("limited")


def test_a_raised_limit_counts_for_the_running_transfer(tally, tmp_path):
    mount = tally.add_user("raised", quota_size=MIB)
    os.listdir(mount)
    with open(mount / "f", "wb", buffering=0) as f:
        assert f.write(b"x" * (2 * MIB)) == MIB  # a short write, as ext4 does
        with pytest.raises(OSError) as e:
            f.write(b"x")
        assert e.value.errno == 122
        tally.api("PUT", "/users/raised", {"quota_size": 3 * MIB}, expect=200)
        until(lambda: try_write(f, b"y" * MIB), 5, "the raised limit is in force")
    assert tally.usage("raised") == (2 * MIB, 1)


def test_a_raised_limit_counts_for_the_session_and_handle_that_met_it(tally):
    tally.add_user("raised-by-sftp", quota_size=MIB)
    c = paramiko_sftp(tally, "raised-by-sftp")
    with c.open("f", "wb", bufsize=0) as f:
        f.write(b"x" * MIB)
        with pytest.raises(OSError, match="quota exceeded"):
            f.write(b"x")
        tally.api("PUT", "/users/raised-by-sftp", {"quota_size": 2 * MIB}, expect=200)
        until(lambda: try_write(f, b"y" * MIB) != 0, 5, "the raised limit is in force")
    c.get_channel().get_transport().close()
    assert tally.usage("raised-by-sftp") == (2 * MIB, 1)


def test_writers_of_all_kinds_at_once_fill_a_quota_and_never_pass_it(tally, tmp_path):
    limit = 5 * MIB + 17
    mount = tally.add_user("crowded", quota_size=limit)
    os.makedirs(mount, exist_ok=True)
    (tmp_path / "big").write_bytes(random.Random(3).randbytes(6 * MIB))
    seen, refused = [], []

    def nfs_put(nfs):
        with pytest.raises(NfsError) as e:
            nfs.put(str(tmp_path / "big"), "/crowded/by-nfs")
        refused.append(e.value.errno == errno.EDQUOT)

    with NfsServer(str(tally.mount)) as nfs:
        writers = [
            threading.Thread(target=nfs_put, args=(nfs,)),
            threading.Thread(target=lambda: refused.append(tally.sftp("crowded", f"put {tmp_path}/big by-sftp\n", check=False).returncode != 0)),
            threading.Thread(target=lambda: refused.append(subprocess.run(["cp", tmp_path / "big", mount / "by-cp"], stderr=subprocess.DEVNULL, check=False).returncode != 0)),
        ]
        for w in writers:
            w.start()
        while any(w.is_alive() for w in writers):
            seen.append(tally.usage("crowded")[0])
        for w in writers:
            w.join()
    assert refused == [True] * 3
    assert max(seen, default=0) <= limit
    assert tally.usage("crowded")[0] == limit, "the last byte is usable, and no more"
    until(lambda: walk(tally.data / "crowded") == tally.usage("crowded"), 5, "what was refused is not there")


def try_write(f, data):
    try:
        return f.write(data)
    except OSError:
        return 0


def test_a_running_upload_is_listed_with_its_bytes_and_closed(tally, tmp_path):
    tally.add_user("closed", quota_size=0)
    big = tmp_path / "big"
    with open(big, "wb") as f:
        f.truncate(2 << 30)
    got = {}

    def upload():
        got["r"] = tally.sftp("closed", f"put {big} big\n", check=False, options=["-l", "80000"])

    thread = threading.Thread(target=upload)
    thread.start()
    try:

        def running():
            for c in tally.api("GET", "/connections", expect=200).json():
                for t in c.get("active_transfers") or []:
                    if c["username"] == "closed" and t["operation_type"] == "upload" and t["size"] > 0:
                        return c
            return None

        c = until(running, 20, "the upload is listed")
        assert c["active_transfers"][0]["path"] == "/big"
        assert c["protocol"] == "SFTP"
        first = c["active_transfers"][0]["size"]
        until(lambda: (running() or c)["active_transfers"][0]["size"] > first, 20, "its bytes grow")
        tally.api("DELETE", f"/connections/{c['connection_id']}", expect=200)
        thread.join(20)
        assert not thread.is_alive() and got["r"].returncode != 0
        until(lambda: tally.api("GET", "/connections").json() == [], 10, "the list is empty")
    finally:
        thread.join(60)
    exact(tally, "closed", tally.data / "closed")


def test_data_that_exists_is_counted_at_the_first_mount(tally):
    backing = tally.data / "found"
    real_tree(backing, "/usr/share/doc", 800)
    tally.add_user("found")
    os.listdir(tally.mount / "found")
    until(lambda: tally.state("found") in ("clean", "dirty"), 30, "the count is done")
    exact(tally, "found", backing)


def test_a_scan_finds_no_drift_and_repairs_none(tally):
    mount = tally.add_user("scanned")
    (mount / "f").write_bytes(b"x" * 1000)
    tally.api("POST", "/quotas/users/scanned/scan", expect=202)

    def report():
        q = tally.api("GET", "/quotas/users/scanned", expect=200).json()
        return q["last_scan"] and q["last_scan"]["end_time"] and q

    q = until(report, 20, "the scan ends")
    assert q["last_scan"]["result"] == "done"
    assert (q["last_scan"]["drift_size"], q["last_scan"]["drift_files"]) == (0, 0)
    assert (q["used_quota_size"], q["used_quota_files"]) == (1000, 1)


def test_a_shared_folder_counts_for_the_folder_and_for_who_includes_it(tally, tmp_path):
    mapped = tally.dir / "shared"
    folder = {"name": "shared", "mapped_path": str(mapped)}
    a = tally.add_user("ann", virtual_folders=[{**folder, "virtual_path": "/in/common", "quota_size": -1, "quota_files": -1}])
    b = tally.add_user("bob", virtual_folders=[{**folder, "virtual_path": "/common", "quota_size": 5000, "quota_files": 0}])
    (a / "own").write_bytes(b"o" * 100)
    (a / "in/common/x").write_bytes(b"x" * 1000)
    assert (b / "common/x").read_bytes() == b"x" * 1000
    assert tally.folder_usage("shared") == (1000, 1)
    assert tally.usage("ann") == (1100, 2)
    assert tally.usage("bob") == (0, 0)
    with open(b / "common/y", "wb", buffering=0) as f:
        assert f.write(b"y" * 5000) == 4000, "bob's mapping has room for 4000 more"
    assert tally.folder_usage("shared") == (5000, 2)
    assert tally.usage("ann") == (5100, 3)
    tally.api("PUT", "/users/ann", {"virtual_folders": []}, expect=200)
    until(lambda: tally.usage("ann") == (100, 1), 5, "the folder left ann's charge")
    assert tally.folder_usage("shared") == (5000, 2)
