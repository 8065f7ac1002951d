"""Clients that take and give without measure: nothing grows in the server, and others are served meanwhile."""

import os
import pathlib
import socket
import threading

import paramiko

from conftest import until

SESSION_KIB_MAX = 40 * 1024  # a sanitized build; what is owed to the client is over ten times that


class DeafSocket:
    """A socket that stops to read when it is told so."""

    def __init__(self, address):
        self.s = socket.create_connection(address, timeout=60)
        self.hears = threading.Event()
        self.hears.set()

    def recv(self, n):
        if not self.hears.wait(0.1):
            raise socket.timeout()
        return self.s.recv(n)

    def __getattr__(self, name):
        return getattr(self.s, name)


def session_pid(tally):
    """The process of the one session of a daemon."""
    listener = {int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if parent(p) == tally.role_pid("tallyd-sftp")}
    found = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if parent(p) in listener]
    return found[0] if len(found) == 1 else None


def parent(proc):
    try:
        return int((proc / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def resident_kib(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))


def packet(kind, request, *fields):
    m = paramiko.Message()
    m.add_byte(bytes([kind]))
    m.add_int(request)
    for f in fields:
        (m.add_int64 if isinstance(f, float) else m.add_int if isinstance(f, int) else m.add_string)(int(f) if isinstance(f, float) else f)
    body = m.asbytes()
    return len(body).to_bytes(4, "big") + body


def connect(tally, user):
    s = DeafSocket(("127.0.0.1", tally.sftp_port))
    t = paramiko.Transport(s)
    t.connect(username=user, password="secret")
    return s, t


def exactly(channel, n):
    got = b""
    while len(got) < n:
        piece = channel.recv(n - len(got))
        assert piece, "the channel ended"
        got += piece
    return got


def answer(channel):
    return exactly(channel, int.from_bytes(exactly(channel, 4), "big"))


def open_file(channel, path, flags):
    channel.sendall(packet(3, 1, path, flags, 0))
    reply = answer(channel)
    assert reply[0] == 102, reply
    return reply[9:17]


def test_a_client_that_asks_for_all_and_reads_nothing_costs_no_memory(make_tally, monkeypatch):
    # a sanitizer keeps what was freed; here that is to show as it is
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64")
    tally = make_tally()
    home = tally.add_user("deaf")
    with open(home / "f", "wb") as f:
        f.truncate(1 << 30)
    os.chmod(home / "f", 0o644)
    s, t = connect(tally, "deaf")
    try:
        # the largest window that the protocol knows: libssh would buffer all of it
        channel = t.open_session(window_size=2**32 - 1, max_packet_size=32768)
        channel.invoke_subsystem("sftp")
        channel.settimeout(2)
        channel.sendall(packet(1, 3))
        answer(channel)
        handle = open_file(channel, "/f", 1)
        pid = until(lambda: session_pid(tally), 10, "the session's process")
        s.hears.clear()
        wishes = b"".join(packet(5, i, handle, float(i * 255 * 1024 % (1 << 29)), 255 * 1024) for i in range(60_000))
        sent = 0
        try:
            while sent < len(wishes):
                sent += channel.send(wishes[sent : sent + 32768])
        except socket.timeout:
            pass  # the server reads no more: it owes enough
        assert 100_000 < sent < len(wishes), sent
        assert resident_kib(pid) < SESSION_KIB_MAX
        tally.sftp("deaf", "ls\n")  # another session is served
        s.hears.set()
        channel.settimeout(60)
        for i in range(50):  # and this one goes on where it stood, in order
            reply = answer(channel)
            assert reply[0] == 103 and int.from_bytes(reply[1:5], "big") == i
        assert resident_kib(pid) < SESSION_KIB_MAX
    finally:
        s.hears.set()
        t.close()
    until(lambda: session_pid(tally) is None, 20, "the session's end")


def test_a_vanished_client_leaves_the_part_and_no_session(make_tally):
    tally = make_tally()
    home = tally.add_user("gone")
    s, t = connect(tally, "gone")
    channel = t.open_session()
    channel.invoke_subsystem("sftp")
    channel.sendall(packet(1, 3))
    answer(channel)
    handle = open_file(channel, "/f", 2 | 8 | 16)
    channel.sendall(packet(6, 2, handle, 0.0, b"part"))
    assert answer(channel)[0] == 101
    s.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, no goodbye
    s.hears.clear()
    s.s.close()
    until(lambda: session_pid(tally) is None, 20, "the session's end")
    assert (home / "f").read_bytes() == b"part"
    assert tally.usage("gone") == (4, 1)
    s.hears.set()
    t.close()
