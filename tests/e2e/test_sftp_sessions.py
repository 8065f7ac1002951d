"""Who gets in by SSH, what a session may touch, and what it does with people who send nonsense."""

import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

import paramiko
import pytest

from conftest import until, walk

REFUSED = "Permission denied"


@pytest.fixture(scope="module")
def user(tally):
    tally.add_user("u")
    return "u"


def connect(tally, user, password="secret", **options):
    """A paramiko client; the caller closes it."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    quiet = {"allow_agent": False, "look_for_keys": False, "timeout": 20, "banner_timeout": 20, "auth_timeout": 20}
    try:
        client.connect("127.0.0.1", tally.sftp_port, user, password, **quiet, **options)
    except Exception:
        client.close()
        raise
    return client


def is_ended(client):
    return not client.get_transport().is_active()


def comm(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def children(pid):
    return [int(c) for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children") for c in task.read_text().split()]


def listener_pid(tally):
    broker = tally.role_pid("tallyd-sftp")
    return until(lambda: next((c for c in children(broker) if comm(c) == "tallyd-sftp"), None), what="a listener")


def session_pids(tally):
    return [c for c in children(listener_pid(tally)) if comm(c) == "tallyd-session"]


def only_session(tally):
    return until(lambda: p[0] if len(p := session_pids(tally)) == 1 else None, what="exactly one session")


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def descriptors(pid):
    found = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        found[int(fd.name)] = os.readlink(fd)
    return found


def no_sessions(tally):
    until(lambda: not session_pids(tally), what="the last session's end")


# -- what a session is


def test_a_stranger_gets_a_process_that_has_nothing(tally, user):
    no_sessions(tally)
    with socket.create_connection(("127.0.0.1", tally.sftp_port)) as s:
        assert s.recv(8).startswith(b"SSH-2.0-")
        pid = only_session(tally)
        assert sorted(re.sub(r"[:\[].*", "", t) for n, t in descriptors(pid).items() if n > 2) == ["socket"] * 2
        status = status_of(pid)
        may = (1 << 6) | (1 << 7)  # CAP_SETGID, CAP_SETUID
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == may
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["Seccomp_filters"] == "1"
        assert os.listdir(f"/proc/{pid}/root/") == [], "an empty root"
        table = [m.split() for m in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines() if "tally-conn" in m]
        assert len(table) == 1, "of the connection table what it does, not who it is nor who the others are"
        assert int(table[0][2], 16) >= 4096 * 12288, "the second half"
        with pytest.raises(OSError):
            os.mkdir(f"/proc/{pid}/root/x")
        for space in ("mnt", "net", "ipc", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}")
    no_sessions(tally)


def test_after_the_login_it_is_the_user_and_has_the_home_only(tally):
    no_sessions(tally)
    home = tally.add_user("plain", uid=12345, gid=12346)
    client = connect(tally, "plain")
    try:
        sftp = client.open_sftp()
        with sftp.open("f", "w") as f:
            f.write("x")
        pid = only_session(tally)
        status = status_of(pid)
        assert status["Uid"].split() == ["12345"] * 4 and status["Gid"].split() == ["12346"] * 4
        assert status["Groups"].split() == ["12346"]
        for caps in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[caps], 16) == 0, caps
        assert status["NoNewPrivs"] == "1" and status["Seccomp_filters"] == "2"
        rest = {n: t for n, t in descriptors(pid).items() if n > 2}
        assert sorted(t.split(":")[0] for t in rest.values() if t.startswith("socket")) == ["socket"] * 2
        others = [t for t in rest.values() if not t.startswith("socket")]
        assert len(others) == 1 and others[0].endswith("/plain"), others
        assert os.listdir(f"/proc/{pid}/root/") == []
        assert (home / "f").stat().st_uid == 12345
    finally:
        client.close()
    no_sessions(tally)


def test_the_listener_has_no_directory_and_no_rights_but_to_become_users(tally):
    pid = listener_pid(tally)
    assert int(status_of(pid)["CapEff"], 16) == (1 << 6) | (1 << 7)
    for fd, target in descriptors(pid).items():
        assert fd <= 2 or not target.startswith("/") or target.startswith("/memfd:"), target
    assert tally.role_pid("tallyd-sftp") != pid
    assert os.readlink(f"/proc/{tally.role_pid('tallyd-sftp')}/ns/mnt") == os.readlink("/proc/self/ns/mnt")


# -- who gets in


@pytest.mark.parametrize("kind,bits", [("ed25519", 0), ("rsa", 3072), ("ecdsa", 256), ("ecdsa", 521)])
def test_a_public_key_logs_in_and_another_one_does_not(tally, tmp_path, kind, bits):
    for name in ("own", "foreign"):
        size = ["-b", str(bits)] if bits else []
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-f", tmp_path / name], check=True)
    user = f"key-{kind}-{bits}"
    tally.add_user(user, public_keys=[(tmp_path / "own.pub").read_text().strip()])
    (tmp_path / "data").write_bytes(b"d" * 5000)

    def put(key):
        options = [o for o in tally.ssh_options() if "Preferred" not in o]
        return subprocess.run(
            ["sftp", *options, "-oPreferredAuthentications=publickey", "-oIdentitiesOnly=yes", "-i", key, "-b", "-"]
            + ["-P", str(tally.sftp_port), f"{user}@127.0.0.1"],
            input=f"put {tmp_path}/data data\n",
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )

    assert put(tmp_path / "own").returncode == 0
    r = put(tmp_path / "foreign")
    assert r.returncode != 0 and REFUSED in r.stderr
    assert tally.usage(user) == (5000, 1)


def test_wrong_password_and_unknown_user_look_alike_and_cost_the_same(make_tally):
    t = make_tally(data_provider={"password_hashing": {"bcrypt_options": {"cost": 10}}})
    t.add_user("known")

    broker = t.role_pid("tallyd-sftp")

    def cpu_ticks():
        fields = pathlib.Path(f"/proc/{broker}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def attempt(name):
        transport = paramiko.Transport(("127.0.0.1", t.sftp_port))
        try:
            transport.start_client(timeout=20)
            with pytest.raises(paramiko.AuthenticationException) as e:
                transport.auth_password(name, "wrong")
            return str(e.value)
        finally:
            transport.close()

    def attempts(name):
        """The words, and the CPU ticks of the broker, which other load does not change: nearly all is the hash."""
        before = cpu_ticks()
        words = {attempt(name) for _ in range(7)}
        return words, cpu_ticks() - before

    attempt("known"), attempt("unknown")
    (known, a), (unknown, b) = attempts("known"), attempts("unknown")
    assert known == unknown, "the same words"
    assert b > 7, "an unknown user costs a hash, too"
    assert 0.5 < a / b < 2, (a, b)


@pytest.mark.parametrize(
    "members",
    [
        {"status": 0},
        {"expiration_date": 1},  # long ago
        {"filters": {"denied_login_methods": ["password"]}},
        {"filters": {"denied_protocols": ["SSH"]}},
        {"filters": {"denied_ip": ["127.0.0.0/8"]}},
        {"filters": {"allowed_ip": ["192.0.2.0/24"]}},
    ],
    ids=lambda m: json.dumps(m)[:40],
)
def test_who_may_not_log_in_is_refused_with_the_right_password(tally, members):
    name = "no" + str(abs(hash(json.dumps(members))))
    tally.add_user(name, **members)
    r = tally.sftp(name, "ls\n", check=False)
    assert r.returncode != 0 and REFUSED in r.stderr


def test_max_sessions_refuses_one_more_and_a_free_place_is_usable(tally):
    tally.add_user("two", max_sessions=2)
    clients = [connect(tally, "two") for _ in range(2)]
    with pytest.raises(paramiko.AuthenticationException):
        connect(tally, "two")
    clients.pop().close()

    def again():
        try:
            return connect(tally, "two")
        except paramiko.AuthenticationException:
            return None

    clients.append(until(again, what="a free place"))
    for c in clients:
        c.close()


def test_one_address_gets_no_more_connections_than_it_may(make_tally):
    t = make_tally(common={"max_per_host_connections": 3})
    t.add_user("u")
    clients = [connect(t, "u") for _ in range(3)]
    with socket.create_connection(("127.0.0.1", t.sftp_port)) as s:
        assert s.recv(1) == b"", "closed without a word"
    for c in clients:
        assert not is_ended(c)
        c.close()
    no_sessions(t)
    connect(t, "u").close()


def test_who_says_nothing_is_shown_out_after_the_grace_time(make_tally):
    t = make_tally(sftpd={"login_grace_time": 1})
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", t.sftp_port), timeout=20) as s:
        while s.recv(4096):
            pass
    assert 0.5 < time.monotonic() - start < 8
    no_sessions(t)


def test_too_many_tries_end_the_connection(make_tally):
    t = make_tally(sftpd={"max_auth_tries": 2})
    t.add_user("u")
    transport = paramiko.Transport(("127.0.0.1", t.sftp_port))
    try:
        transport.start_client(timeout=20)
        for _ in range(2):
            with pytest.raises(paramiko.SSHException):
                transport.auth_password("u", "wrong")
        until(lambda: not transport.is_active(), what="the connection's end")
    finally:
        transport.close()
    connect(t, "u").close()


# -- what they may do


def test_rights_hang_on_directories(tally, tmp_path):
    home = tally.add_user("rights", permissions={"/": ["list", "download"], "/in": ["*"]})
    os.makedirs(home / "in", exist_ok=True)
    os.chown(home / "in", home.stat().st_uid, home.stat().st_gid)
    (home / "given").write_bytes(b"g" * 100)
    (tmp_path / "f").write_bytes(b"f" * 200)
    tally.sftp("rights", f"get given {tmp_path}/got\nput {tmp_path}/f in/f\nrename in/f in/g\nmkdir in/d\n")
    assert (tmp_path / "got").read_bytes() == b"g" * 100
    for batch in ("put {0}/f f", "rm given", "rename given in/given", "rename in/g g", "mkdir d", "ln given in/hard"):
        r = tally.sftp("rights", batch.format(tmp_path) + "\n", check=False)
        assert r.returncode != 0 and REFUSED.lower() in r.stderr.lower(), batch + r.stderr
    assert tally.usage("rights") == walk(tally.data / "rights") == (300, 2)


def test_no_shell_no_command_and_no_forwarding(tally, user):
    client = connect(tally, user)
    try:
        for line in ("id", "sh -c id", "/bin/sh", "rsync --server . /", "scp -S id -t /; id"):
            with pytest.raises(paramiko.SSHException):
                client.exec_command(line, timeout=20)
        with pytest.raises(paramiko.SSHException):
            client.invoke_shell()
        with pytest.raises(paramiko.ChannelException):
            client.get_transport().open_channel("direct-tcpip", ("127.0.0.1", tally.api_port), ("127.0.0.1", 1))
        assert client.open_sftp().listdir() == os.listdir(tally.mount / user)
    finally:
        client.close()


def test_a_refused_write_is_explained_by_the_status_and_on_standard_error_once(tally, tmp_path):
    tally.add_user("full", quota_size=100_000)
    client = connect(tally, "full")
    try:
        channel = client.get_transport().open_session()
        channel.invoke_subsystem("sftp")
        sftp = paramiko.SFTPClient(channel)
        f = sftp.open("a", "w")
        for _ in range(3):
            with pytest.raises(IOError, match="quota exceeded"):
                f.write(b"x" * 200_000)
                f.flush()
        until(channel.recv_stderr_ready, what="a line on standard error")
        assert sftp.stat("a").st_size <= 100_000
        lines = channel.recv_stderr(4096).decode().splitlines()
        assert len(lines) == 1 and re.match(r"tally: /a: quota exceeded", lines[0]), lines
    finally:
        client.close()


# -- nonsense


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, os.urandom(3000), b"SSH-2.0-x\r\n" + os.urandom(2000), b"A" * 100_000],
    ids=["http", "zeros", "random", "random after a greeting", "endless line"],
)
def test_garbage_instead_of_ssh_ends_the_connection_only(tally, user, data):
    with socket.create_connection(("127.0.0.1", tally.sftp_port), timeout=20) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass  # a reset is an end, too
    no_sessions(tally)
    connect(tally, user).close()


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack(">IBI", 0xFFFFFFFF, 1, 3),
        struct.pack(">I", 0),
        struct.pack(">IBI", 5, 16, 1) + b"\0" * 100,
        struct.pack(">IBI", 5, 1, 3) + struct.pack(">IB", 1, 3),
        struct.pack(">IBI", 5, 1, 3) + struct.pack(">IBI", 0x7FFFFFFF, 6, 9),
    ],
    ids=["huge first", "empty", "no greeting", "no id", "huge later"],
)
def test_what_is_no_sftp_packet_ends_the_channel_and_the_daemon_serves_on(tally, user, packet):
    client = connect(tally, user)
    try:
        channel = client.get_transport().open_session()
        channel.settimeout(20)
        channel.invoke_subsystem("sftp")
        channel.sendall(packet)
        while channel.recv(65536):
            pass
        assert channel.recv_exit_status() == 1
        assert client.open_sftp().listdir() is not None, "another channel of the connection works"
    finally:
        client.close()
    assert tally.process.poll() is None


def test_a_request_cut_short_is_answered_and_the_session_goes_on(tally, user):
    client = connect(tally, user)
    try:
        channel = client.get_transport().open_session()
        channel.settimeout(20)
        channel.invoke_subsystem("sftp")
        channel.sendall(struct.pack(">IBI", 5, 1, 3))
        # OPEN whose path says that it is longer than the packet; then REALPATH "."
        channel.sendall(struct.pack(">IBII", 9, 3, 7, 0xFFFF) + struct.pack(">IBII", 10, 16, 8, 1) + b".")
        got = b""
        while got.count(b"malformed request") < 1 or not got.endswith(b"\0\0\0\0"):
            piece = channel.recv(65536)
            assert piece, got
            got += piece
        assert struct.pack(">BI", 104, 8) in got, "NAME for the second one"
    finally:
        client.close()


# -- administrators


def test_a_changed_or_removed_user_is_shown_out(tally):
    tally.add_user("out")
    first, second = connect(tally, "out"), connect(tally, "out")
    tally.api("PUT", "/users/out?disconnect=1", {"description": "x"}, expect=200)
    until(lambda: is_ended(first) and is_ended(second), what="the sessions' end")
    third = connect(tally, "out")
    tally.api("PUT", "/users/out", {"description": "y"}, expect=200)
    third.open_sftp().listdir()
    tally.api("DELETE", "/users/out", expect=200)
    until(lambda: is_ended(third), what="the session's end")
    assert tally.sftp("out", "ls\n", check=False).returncode != 0


def test_a_reload_takes_new_settings_and_leaves_sessions_alone(make_tally, tmp_path):
    t = make_tally()
    t.add_user("u")
    client = connect(t, "u")
    sftp = client.open_sftp()
    old = listener_pid(t)

    t.config["sftpd"]["banner"] = "Reloaded"
    t.config["common"] = {"max_per_host_connections": 2}
    (t.dir / "tally.json").write_text(json.dumps(t.config))
    t.process.send_signal(signal.SIGHUP)

    def banner():
        with socket.create_connection(("127.0.0.1", t.sftp_port), timeout=20) as s:  # never refused
            return b"Reloaded" in s.recv(256)

    until(banner, what="the new banner")
    assert listener_pid(t) not in (old, None)
    with sftp.open("f", "w") as f:
        f.write("still here")
    # the old session counts for the new limit
    until(lambda: not session_pids(t), what="the last greeting's end")
    second = connect(t, "u")
    with socket.create_connection(("127.0.0.1", t.sftp_port), timeout=20) as s:
        assert s.recv(1) == b""
    client.close()
    until(banner, what="a place for another")
    second.close()

    # a configuration with an error changes nothing
    (t.dir / "tally.json").write_text('{"sftpd": {"banner": 7}}')
    at = len(t.log())
    t.process.send_signal(signal.SIGHUP)
    until(lambda: "sftpd.banner" in t.log(at), what="the error in the log")
    until(banner, what="the banner of before")
    assert t.process.poll() is None


def test_at_the_end_no_session_has_died_of_a_signal(tally):
    assert "died of signal" not in tally.log(), "SIGSYS (31) is a system call that the filter lacks"
