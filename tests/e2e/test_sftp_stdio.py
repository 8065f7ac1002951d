"""The SFTP engine on stdin and stdout, driven by OpenSSH's client: `sftp -D "$TALLYD sftp-stdio -d HOME"`."""
import filecmp
import os
import pathlib
import subprocess

import pytest

TALLYD = os.environ.get("TALLYD")
pytestmark = pytest.mark.skipif(not TALLYD, reason="TALLYD names the daemon")
TIME_LIMIT_S = 60


class Client:
    """A home, a place for the client's own files, and a way to run batches of sftp commands."""

    def __init__(self, root):
        self.home, self.local = root / "home", root / "local"
        self.home.mkdir()
        self.local.mkdir()

    def run(self, *commands, options=(), server_options=""):
        batch = "".join(c + "\n" for c in commands)
        return subprocess.run(
            ["sftp", *options, "-D", f"{TALLYD} sftp-stdio {server_options} -d {self.home}", "-b", "-"],
            input=batch, text=True, capture_output=True, timeout=TIME_LIMIT_S, cwd=self.local, check=False)

    def ok(self, *commands, **more):
        done = self.run(*commands, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fails(self, *commands, **more):
        done = self.run(*commands, **more)
        assert done.returncode != 0, done.stdout
        return done.stderr


@pytest.fixture
def client(tmp_path):
    return Client(tmp_path)


def make_big(path, size=20_000_000):
    path.write_bytes(os.urandom(1 << 16) * (size >> 16) + os.urandom(size & 0xFFFF))
    return path


def same_tree(a, b):
    names = sorted(p.relative_to(a) for p in a.rglob("*"))
    assert names == sorted(p.relative_to(b) for p in b.rglob("*"))
    for name in names:
        if (a / name).is_file():
            assert filecmp.cmp(a / name, b / name, shallow=False), name


@pytest.mark.parametrize("options", [(), ("-B", "1000", "-R", "500"), ("-B", "261120", "-R", "64")])
def test_files_come_back_as_they_went(client, options):
    make_big(client.local / "up")
    client.ok("put up there", "get there back", options=options)
    assert filecmp.cmp(client.local / "up", client.home / "there", shallow=False)
    assert filecmp.cmp(client.local / "up", client.local / "back", shallow=False)


@pytest.mark.parametrize("size", [0, 1, 261119, 261120, 261121])
def test_sizes_at_the_edges_are_exact(client, size):
    (client.local / "up").write_bytes(os.urandom(size))
    client.ok("put up", "get up back")
    assert (client.local / "back").read_bytes() == (client.local / "up").read_bytes()


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_interrupted_transfers_resume(client, mode):
    whole = make_big(client.local / "f").read_bytes()
    (client.home / "f").write_bytes(whole[:1_000_000])
    client.ok("reput f", server_options=f"-m {mode}")
    assert (client.home / "f").read_bytes() == whole
    (client.local / "f").write_bytes(whole[:777_777])
    client.ok("reget f")
    assert (client.local / "f").read_bytes() == whole


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_trees_go_up_and_down(client, mode):
    for d in ("a", "a/b", "a/b/c", "z"):
        (client.local / "t" / d).mkdir(parents=True, exist_ok=True)
        for i in range(20):
            (client.local / "t" / d / f"f {i} ü").write_bytes(os.urandom(i * 100))
    client.ok("put -r t", "get -r t back", server_options=f"-m {mode}")
    same_tree(client.local / "t", client.home / "t")
    same_tree(client.local / "t", client.local / "back")


def test_names_change_as_asked(client):
    (client.home / "a").write_text("content")
    client.ok("rename a b", "mkdir d", "rename b d/c", "ln d/c h", "ln -s d/c s", "cp d/c copy", "chmod 600 copy")
    assert (client.home / "h").stat().st_nlink == 2
    assert os.readlink(client.home / "s") == "d/c"
    assert (client.home / "copy").read_text() == "content"
    assert (client.home / "copy").stat().st_mode & 0o777 == 0o600
    client.ok("rm h", "rm s", "rm copy", "rm d/c", "rmdir d")
    assert not list(client.home.iterdir())


def test_rename_replaces_a_file_but_not_a_directory(client):
    (client.home / "a").write_text("new")
    (client.home / "b").write_text("old")
    (client.home / "d").mkdir()
    client.ok("rename -l a b")  # the plain request of version 3
    assert (client.home / "b").read_text() == "new"
    assert "unsupported" in client.fails("rename b d")  # OpenSSH shows its own words for each status


def test_listings_and_numbers(client):
    for i in range(1000):
        (client.home / f"f{i}").touch()
    assert len(client.ok("ls -1").splitlines()) == 1001  # and the echo of the command
    assert "%Capacity" in client.ok("df")
    assert client.ok("pwd").strip().endswith("Remote working directory: /")


def test_fsync_and_times(client):
    (client.local / "up").write_text("content")
    os.utime(client.local / "up", (1_000_000_000, 1_000_000_001))
    client.ok("put -fp up")
    assert int((client.home / "up").stat().st_mtime) == 1_000_000_001


def test_read_only_means_that(client):
    (client.home / "f").write_text("content")
    (client.local / "up").write_text("new")
    for command in ("put up", "rm f", "mkdir d", "rename f g", "ln -s f l", "ln f h", "chmod 777 f", "put up f"):
        assert "Permission denied" in client.fails(command, server_options="-R"), command
    client.ok("get f", server_options="-R")
    assert [p.name for p in client.home.iterdir()] == ["f"]
    assert (client.home / "f").read_text() == "content"


@pytest.fixture
def treasure(tmp_path):
    """A file outside the home that nobody may get at, reached by links of every kind."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    yield outside
    assert [p.name for p in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"


def test_nothing_escapes(client, treasure):
    links = {"abs": treasure, "rel": "../outside", "up": "..", "file": treasure / "secret", "root": "/",
             "deep": "up/outside", "new": treasure / "new", "proc": "/proc/self/cwd"}
    for name, target in links.items():
        os.symlink(target, client.home / name)
    (client.local / "up").write_text("intruder")
    ways = ["../outside/secret", "/../outside/secret", "abs/secret", "rel/secret", "up/outside/secret", "file",
            f"root{treasure}/secret", "deep/secret", f"{treasure}/secret", "rel/../../outside/secret"]
    for way in ways:
        client.fails(f"get {way} got")
        client.run(f"put up {way}", f"rm {way}", f"chmod 777 {way}")
        assert not (client.local / "got").exists(), way
    for command in ("put up new", "put up abs/x", "mkdir rel/x", "rename file abs/x", "ln file hard", "cd up/outside",
                    "ls abs", "rmdir rel", "ln abs/secret hard2"):
        client.run(command)
    for name in links:  # a link itself may go
        client.run(f"rm {name}")


def test_swapping_links_under_its_hands_never_escapes(client, treasure):
    """A local program turns a directory into a link and back while the client reads through it."""
    (client.home / "real").mkdir()
    (client.home / "real" / "secret").write_text("harmless")
    swapper = subprocess.Popen(
        ["/usr/bin/python3", "-c", "import os,sys\nos.chdir(sys.argv[1])\nos.symlink(sys.argv[2], 'evil')\n"
         "os.rename('real', 'd')\nwhile True:\n os.rename('d', 'real'); os.rename('evil', 'd')\n"
         " os.rename('d', 'evil'); os.rename('real', 'd')\n", str(client.home), str(treasure)])
    try:
        client.run(*(f"-get d/secret got{i}" for i in range(500)))
    finally:
        swapper.kill()
        swapper.wait()
    got = list(pathlib.Path(client.local).glob("got*"))
    assert all("secret" != p.read_text() for p in got)


def test_a_fifo_does_not_hang_the_session(client):
    os.mkfifo(client.home / "fifo")
    assert "regular file" in client.fails("get fifo")


def test_an_upload_that_ends_early_keeps_what_its_mode_keeps(client):
    """The server's input ends in the middle of an upload."""
    def packet(kind, *fields):
        body = bytes([kind]) + b"".join(fields)
        return len(body).to_bytes(4, "big") + body

    def text(s):
        return len(s).to_bytes(4, "big") + s

    def number(n, size=4):
        return n.to_bytes(size, "big")

    handle = number(0) + number(1)
    stream = (packet(1, number(3)) + packet(3, number(1), text(b"/f"), number(2 | 8 | 16), number(0)) +
              packet(6, number(2), text(handle), number(0, 8), text(b"half")))
    for mode, content in ((0, "half"), (1, "old"), (2, "half")):
        (client.home / "f").write_text("old")
        done = subprocess.run([TALLYD, "sftp-stdio", "-m", str(mode), "-d", str(client.home)], input=stream,
                              capture_output=True, timeout=TIME_LIMIT_S, check=False)
        assert done.returncode == 0
        assert [p.name for p in client.home.iterdir()] == ["f"]
        assert (client.home / "f").read_text() == content
