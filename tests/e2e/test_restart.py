"""Restarts that clients of the mount do not notice: of the file system's process by --reload-vfs, of everything with
systemd's descriptor store, which is played here."""

import array
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from conftest import TALLYD, Tally, until, walk


def descendants(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        children = f.read().split()
    return [p for child in children for p in [child, *descendants(child)]]


class Store:
    """The notification socket of a unit, and the descriptors that it keeps."""

    def __init__(self, directory):
        self.kept = {}
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(64))
            if text == b"end":
                return
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            words = dict(line.split("=", 1) for line in text.decode().splitlines())
            name = words.get("FDNAME")
            if "FDSTOREREMOVE" in words and name in self.kept:
                os.close(self.kept.pop(name))
            if "FDSTORE" in words:
                if name in self.kept:
                    os.close(self.kept[name])
                (self.kept[name],) = fds

    def hand_over(self, t):
        """The next start gets what is kept, as 3 and upwards."""
        t.environment = {"NOTIFY_SOCKET": self.path}
        names = sorted(self.kept)
        moved = [f"{3 + i}<&{self.kept[name]}" for i, name in enumerate(names)]
        listen = f"LISTEN_PID=$$ LISTEN_FDS={len(names)} LISTEN_FDNAMES={':'.join(names)} " if names else ""
        t.command = ["bash", "-c", f"exec {' '.join(moved)}; {listen}exec {TALLYD} \"$@\"", "tallyd"]
        t.pass_fds = tuple(self.kept.values())

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", self.path)
        self.reader.join()
        for fd in self.kept.values():
            os.close(fd)
        self.socket.close()


@pytest.fixture
def stored(tmp_path):
    t = Tally()
    store = Store(tmp_path)
    store.hand_over(t)
    t.start()
    try:
        yield t, store
    finally:
        t.close()
        store.close()


class Writer(threading.Thread):
    """Appends to a file that it has open, and makes others, until it is told to stop; an error ends it."""

    def __init__(self, home):
        super().__init__()
        self.home, self.n, self.error, self.over = home, 0, None, False
        self.start()

    def run(self):
        try:
            with open(self.home / "log", "ab", buffering=0) as f:
                while not self.over:
                    assert f.write(b"0123456789") == 10
                    (self.home / f"small{self.n % 20}").write_bytes(b"x" * self.n)
                    self.n += 1
        except (OSError, AssertionError) as e:
            self.error = e

    def writes_on(self):
        at = self.n
        until(lambda: self.error or self.n > at + 3, what="more writes")
        assert self.error is None

    def stop(self):
        self.over = True
        self.join()
        assert self.error is None
        assert (self.home / "log").stat().st_size == 10 * self.n


def kill(t):
    started = descendants(t.process.pid)
    t.kill()
    until(lambda: not any(os.path.exists(f"/proc/{p}") for p in started), what="the end of the services")


def restart_after_death(t, store):
    kill(t)
    store.hand_over(t)
    t.start()


def restart_as_asked(t, store):
    t.process.send_signal(signal.SIGUSR2)
    assert t.process.wait(60) == 75
    store.hand_over(t)
    t.start()


@pytest.mark.parametrize("in_place", [False, True])
def test_the_mount_and_what_is_open_in_it_survive_the_supervisor(stored, in_place):
    t, store = stored
    if in_place:
        assert t.stop() == 0
        assert store.kept == {}
        t.config["vfs"]["in_place"] = True
        store.hand_over(t)
        t.start()
    home = t.add_user("ann")
    home.stat()
    path = t.data / "ann" if in_place else home
    if in_place:
        until(lambda: os.stat(path).st_dev == os.stat(home).st_dev, what="the cover")
    writer = Writer(path)
    writer.writes_on()
    for again in (restart_after_death, restart_as_asked, restart_after_death):
        assert sorted(store.kept) == ["tally-fuse", "tally-state"]
        again(t, store)
        writer.writes_on()
    writer.stop()
    until(lambda: t.usage("ann") == walk(home), what="the number")
    assert "is taken over as it is" in t.log()
    assert t.stop() == 0
    assert store.kept == {}
    assert not os.path.ismount(t.mount)
    assert walk(t.data / "ann")[0] > 0


def test_a_kept_mount_that_is_dead_or_gone_is_made_anew(stored):
    t, store = stored
    (t.add_user("ann") / "f").write_bytes(b"x" * 5)
    kill(t)
    subprocess.run(["umount", "-l", t.mount], check=True)
    store.hand_over(t)
    t.start()
    assert (t.mount / "ann/f").read_bytes() == b"x" * 5
    assert "is not at" in t.log()
    until(lambda: t.usage("ann") == (5, 1), what="the number")


def test_a_failed_start_leaves_the_mount_to_the_next(stored):
    t, store = stored
    home = t.add_user("ann")
    writer = Writer(home)
    writer.writes_on()
    kill(t)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", t.sftp_port))
        s.listen()
        store.hand_over(t)
        with pytest.raises(AssertionError):
            t.start()
    store.hand_over(t)
    t.start()
    writer.writes_on()
    writer.stop()
    until(lambda: t.usage("ann") == walk(home), what="the number")


def reload_vfs(t, program=TALLYD):
    return subprocess.run([program, "--config", t.dir / "tally.json", "--reload-vfs"], capture_output=True, text=True, timeout=90, check=False)


def test_the_file_system_goes_on_in_a_new_process_of_the_program_on_disk(tmp_path):
    t = Tally()
    program = tmp_path / "tallyd"
    shutil.copy2(TALLYD, program)
    t.command = [str(program)]
    try:
        t.start()
        home = t.add_user("ann")
        writer = Writer(home)
        for _ in range(3):
            writer.writes_on()
            before = t.role_pid("tallyd-vfs")
            (tmp_path / "new").unlink(missing_ok=True)
            shutil.copy2(TALLYD, tmp_path / "new")
            (tmp_path / "new").rename(program)  # an upgrade
            r = reload_vfs(t)
            assert r.returncode == 0, r.stderr + t.log()[-2000:]
            after = t.role_pid("tallyd-vfs")
            assert after != before and str(after) in r.stdout
            assert os.path.samefile(f"/proc/{after}/exe", program)
        writer.writes_on()
        program.unlink()
        program.write_text("#!/bin/false\n")
        program.chmod(0o755)
        assert reload_vfs(t).returncode == 0
        assert "the former one goes on" in t.log()
        writer.writes_on()
        writer.stop()
        until(lambda: t.usage("ann") == walk(home), what="the number")
        assert "errors" not in t.log()
    finally:
        t.close()


def test_a_reload_of_nothing_says_so(tmp_path):
    t = Tally()
    try:
        (t.dir / "state").mkdir()
        (t.dir / "tally.json").write_text('{"state_dir": "%s"}' % (t.dir / "state"))
        r = reload_vfs(t)
        assert r.returncode == 1 and "no tallyd runs with this state_dir" in r.stderr
    finally:
        t.close()
