"""The daemon as its operator meets it: bad configuration, deaths, restarts, clean stops."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from conftest import TALLYD, Tally, free_port, until, walk


def run_tallyd(*args, **kwargs):
    return subprocess.run([TALLYD, *args], capture_output=True, text=True, timeout=60, check=False, **kwargs)


def config_of(tmp_path, text):
    path = tmp_path / "tally.json"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "text, words",
    [
        ('{\n "sftpd": {\n  "bindigns": []\n }\n}', ["3", "sftpd.bindigns", "unknown"]),
        ('{\n "common": { "idle_timeout": "x" }\n}', ["2", "common.idle_timeout"]),
        ('{\n "common": {\n', ["tally.json"]),
        ('{ "data_provider": { "track_quota": 7 } }', ["data_provider.track_quota"]),
        ('{ "vfs": { "mount": "relative" } }', ["vfs.mount"]),
    ],
)
def test_a_wrong_configuration_is_refused_with_key_and_line(tmp_path, text, words):
    r = run_tallyd("--config", config_of(tmp_path, text), "--check-config")
    assert r.returncode == 2
    for word in words:
        assert word in r.stderr


def test_a_missing_configuration_file_is_named(tmp_path):
    r = run_tallyd("--config", str(tmp_path / "none.json"))
    assert r.returncode == 2 and "none.json" in r.stderr


def test_the_sample_configuration_is_accepted(tmp_path):
    sample = run_tallyd("--print-sample-config").stdout
    assert run_tallyd("--config", config_of(tmp_path, sample), "--check-config").returncode == 0


def test_an_occupied_port_is_named():
    t = Tally()
    try:
        with socket.socket() as s:
            s.bind(("127.0.0.1", t.sftp_port))
            s.listen()
            with pytest.raises(AssertionError):
                t.start()
            assert f"port {t.sftp_port} is taken" in t.log()
    finally:
        t.close()


def test_a_mount_point_in_use_is_refused_and_left_alone():
    t = Tally()
    t.mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", t.mount], check=True)
    try:
        (t.mount / "theirs").write_text("x")
        with pytest.raises(AssertionError):
            t.start()
        assert str(t.mount) in t.log()
        assert (t.mount / "theirs").read_text() == "x"
    finally:
        t.close()


def test_two_daemons_cannot_share_a_state_directory(make_tally):
    first = make_tally()
    second = Tally(state_dir=first.config["state_dir"])
    try:
        with pytest.raises(AssertionError):
            second.start()
        assert "another tallyd" in second.log()
    finally:
        second.close()


def test_numbers_survive_a_clean_restart(make_tally):
    t = make_tally()
    home = t.add_user("u", quota_size=10000)
    (home / "f").write_bytes(b"x" * 1234)
    assert t.stop() == 0
    assert not os.path.ismount(t.mount)
    t.start()
    assert t.usage("u") == (1234, 1)
    assert (home / "f").read_bytes() == b"x" * 1234
    assert t.state("u") in ("clean", "dirty")


def test_a_killed_supervisor_leaves_a_mount_that_the_next_start_cleans(make_tally):
    t = make_tally()
    home = t.add_user("u")
    (home / "f").write_bytes(b"x" * 4321)
    vfs = t.role_pid("tallyd-vfs")
    t.kill()
    until(lambda: not os.path.exists(f"/proc/{vfs}"), 10, "the services end with the supervisor")
    t.start()
    assert (home / "f").read_bytes() == b"x" * 4321
    assert t.usage("u") == (4321, 1)


@pytest.mark.parametrize("name", ["tallyd-api", "tallyd-vfs", "tallyd-sftp"])
def test_a_killed_role_comes_back_and_the_others_serve(make_tally, tmp_path, name):
    t = make_tally()
    home = t.add_user("u")
    (home / "before").write_bytes(b"x" * 100)
    pid = t.role_pid(name)
    os.kill(pid, signal.SIGKILL)
    until(lambda: t.role_pid(name) not in (None, pid), 20, "a new process")
    until(lambda: f"{name} serves again" in t.log(), 20, "it serves")
    (home / "after").write_bytes(b"x" * 50)
    (tmp_path / "up").write_bytes(b"x" * 7)
    t.sftp("u", f"put {tmp_path}/up up\n")
    t._token = None
    until(lambda: t.usage("u") == (157, 3), 10, "the number is right")
    assert t.stop() == 0


WORKER = r"""
import os, random, sys, time
home, seed, until = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
rng = random.Random(seed)
names = [f"d{i}/f{j}" for i in range(4) for j in range(12)]
for i in range(4):
    os.makedirs(f"{home}/d{i}", exist_ok=True)
def write(p):
    with open(p, "r+b" if os.path.exists(p) and rng.random() < .5 else "wb", buffering=0) as f:
        f.seek(rng.randrange(0, 20000)); f.write(b"w" * rng.randrange(1, 70000))
def append(p):
    with open(p, "ab", buffering=0) as f:
        f.write(b"a" * rng.randrange(1, 9000))
ops = [write, write, append, lambda p: os.truncate(p, rng.randrange(0, 50000)), os.unlink,
       lambda p: os.rename(p, f"{home}/{rng.choice(names)}"), lambda p: os.link(p, f"{home}/{rng.choice(names)}"),
       lambda p: os.symlink("x", p + ".l"), lambda p: os.unlink(p + ".l"),
       lambda p: os.posix_fallocate(fd := os.open(p, os.O_RDWR), 0, rng.randrange(1, 60000)) or os.close(fd)]
n = 0
while time.monotonic() < until:
    try:
        rng.choice(ops)(f"{home}/{rng.choice(names)}")
    except (FileNotFoundError, FileExistsError, FileNotFoundError):
        pass
    except OSError as e:
        if e.errno != 122:  # EDQUOT is rightly met
            print(n, repr(e), flush=True)
            if e.errno not in (5, 103, 107): raise
    n += 1
"""


STORM_S = float(os.environ.get("TALLY_STORM_S", "10"))


def start_workers(home, n):
    return [
        subprocess.Popen([sys.executable, "-c", WORKER, str(home), str(i), str(STORM_S)], stdout=subprocess.PIPE, text=True)
        for i in range(n)
    ]


def test_eight_random_writers_leave_no_drift(make_tally):
    t = make_tally()
    home = t.add_user("u", quota_size=20_000_000)
    os.listdir(home)
    workers = start_workers(home, 8)
    while any(w.poll() is None for w in workers):
        assert t.usage("u")[0] <= 20_000_000
    errors = [w.communicate(timeout=120)[0] for w in workers]
    assert [w.returncode for w in workers] == [0] * 8 and errors == [""] * 8, errors
    until(lambda: t.usage("u") == walk(t.data / "u"), 10, "no drift")


def test_kills_of_every_role_under_load_leave_no_drift(make_tally):
    t = make_tally()
    home = t.add_user("u", quota_size=20_000_000)
    os.listdir(home)
    workers = start_workers(home, 6)
    rng = random.Random(5)
    while any(w.poll() is None for w in workers):
        # the pace of the deaths, not a wait for something
        threading.Event().wait(rng.uniform(0.5, 2.0))
        name = rng.choice(["tallyd-vfs", "tallyd-vfs", "tallyd-api", "tallyd-sftp"])
        pid = until(lambda: t.role_pid(name), 20, f"{name} is there")
        os.kill(pid, signal.SIGKILL)
        until(lambda: t.role_pid(name) not in (None, pid), 30, f"{name} is there again")
    errors = [w.communicate(timeout=120)[0] for w in workers]
    assert [w.returncode for w in workers] == [0] * 6, errors
    assert errors == [""] * 6, "clients saw errors"
    until(lambda: t.role_pid("tallyd-api") and t.role_pid("tallyd-vfs"), 20, "all are back")
    t._token = None
    until(lambda: api_answers(t), 20, "the API answers")
    until(lambda: t.usage("u") == walk(t.data / "u"), 20, "no drift, or healed")


def api_answers(t):
    try:
        return t.api("GET", "/version").status_code == 200
    except OSError:
        return False


def test_a_missing_dev_fuse_is_named(tmp_path):
    t = Tally()
    dev = tmp_path / "dev"
    dev.mkdir()
    try:
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            os.mknod(dev / name, 0o600 | 0o020000, os.makedev(1, minor))
        (t.dir / "tally.json").write_text(json.dumps(t.config))
        r = subprocess.run(
            ["unshare", "-m", "sh", "-c", f"mount --bind {dev} /dev && exec {TALLYD} --config {t.dir}/tally.json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert r.returncode == 1
        assert "/dev/fuse" in r.stderr
    finally:
        t.close()


@pytest.mark.parametrize("kind", ["file", "unreadable path"])
def test_a_backing_directory_that_cannot_serve_is_an_error_and_named(make_tally, kind):
    t = make_tally()
    bad = t.dir / "bad"
    bad.write_text("a file")
    home_dir = str(bad) if kind == "file" else str(bad / "below")
    t.add_user("u", home_dir=home_dir)
    t.add_user("good")
    with pytest.raises(OSError):
        os.listdir(t.mount / "u")
    until(lambda: home_dir in t.log(), 5, "the log names the path")
    assert bad.read_text() == "a file"
    (t.mount / "good/f").write_bytes(b"x")
    assert t.usage("good") == (1, 1)


def test_sighup_takes_over_the_log_level_and_refuses_a_wrong_file(make_tally):
    t = make_tally()
    path = t.dir / "tally.json"
    good = path.read_text()
    path.write_text("{ wrong")
    t.process.send_signal(signal.SIGHUP)
    until(lambda: "the configuration is not taken over" in t.log(), 10, "the reason is logged")
    path.write_text(json.dumps(dict(json.loads(good), log_level="error")))
    t.process.send_signal(signal.SIGHUP)

    def quiet():
        before = len(t.log())
        t.api("GET", "/version", expect=200)
        return len(t.log()) == before

    until(quiet, 10, "the access log is below the level")


def test_systemd_hears_that_it_is_ready_alive_and_stopping(make_tally, monkeypatch, tmp_path):
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        reader = threading.Thread(target=lambda: [heard.append(m) for m in iter(lambda: s.recv(200), b"end")])
        reader.start()
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        try:
            t = make_tally()
            until(lambda: heard.count(b"WATCHDOG=1") >= 5 and b"READY=1" in heard, what="signs of life")
            assert t.stop() == 0
            until(lambda: b"STOPPING=1" in heard, what="the farewell")
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ending:
                ending.sendto(b"end", str(tmp_path / "notify"))
            reader.join()
