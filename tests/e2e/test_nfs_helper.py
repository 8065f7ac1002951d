"""The NFS server and client that other tests use, proven on a plain directory."""
import errno
import os

import pytest

import nfs

pytestmark = pytest.mark.skipif(nfs.missing() is not None, reason=str(nfs.missing()))


@pytest.fixture
def server(tmp_path):
    with nfs.NfsServer(tmp_path) as s:
        yield s


def test_what_is_put_is_there_to_the_byte_and_comes_back(server, tmp_path):
    for size in (0, 1, 3071, 3072, 3073, 4096, 1_000_003):
        content = os.urandom(size)
        server.write(f"/{size}", content)
        assert (tmp_path / str(size)).read_bytes() == content
        assert server.read(f"/{size}") == content


def test_append_truncate_rename_link_and_delete_reach_the_directory(server, tmp_path):
    server.mkdir("/d")
    server.write("/d/f", b"x" * 5000)
    server.append("/d/f", b"y" * 5000)
    assert (tmp_path / "d/f").read_bytes() == b"x" * 5000 + b"y" * 5000
    server.truncate("/d/f", 7000)
    assert (tmp_path / "d/f").stat().st_size == 7000
    server.link("/d/f", "/g")
    assert server.stat("/g") == (7000, 2)
    server.rename("/d/f", "/h")
    server.delete("/g")
    server.rmdir("/d")
    assert os.listdir(tmp_path) == ["h"]
    assert server.stat("/h") == (7000, 1)


def test_a_deleted_file_is_not_kept_open(server, tmp_path):
    server.write("/f", b"x" * 100_000)
    server.read("/f")
    server.delete("/f")
    assert [p for p in server.open_paths() if "deleted" in p] == []


def test_a_refusal_has_its_errno(server):
    with pytest.raises(nfs.NfsError) as e:
        server.read("/nothing")
    assert e.value.errno == errno.ENOENT
    with pytest.raises(nfs.NfsError) as e:
        server.rename("/nothing", "/else")
    assert e.value.errno == errno.ENOENT


def test_leaving_ends_the_server_and_removes_its_files(tmp_path):
    with nfs.NfsServer(tmp_path) as s:
        process, home = s.process, s.home
    assert process.poll() is not None
    assert not os.path.exists(home)
