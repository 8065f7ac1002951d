"""The way to SSH: proxies, floods, banners, chosen algorithms, host keys that change."""

import socket
import struct

import paramiko
import pytest

from conftest import until
from test_sftp_sessions import connect, session_pids

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def open_by_proxy(t, header):
    s = socket.create_connection(("127.0.0.1", t.sftp_port), timeout=20)
    s.sendall(header)
    return s


def is_closed(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def login(s, user="u"):
    c = paramiko.Transport(s)
    c.start_client(timeout=20)
    c.auth_password(user, "secret", fallback=False)
    return c


def v2(address):
    return V2 + b"\x21\x11\0\x0c" + socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 7, 22)


def test_a_proxy_says_for_whom_it_connects(make_tally):
    t = make_tally(common={"proxy_protocol": 2, "proxy_allowed": ["127.0.0.0/8"], "max_per_host_connections": 2})
    t.add_user("u", filters={"denied_ip": ["192.0.2.0/24"]})
    c = login(open_by_proxy(t, b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 22\r\n"))
    entry = t.api("GET", "/connections", expect=200).json()[0]
    assert entry["remote_address"] == "198.51.100.7:4711"
    other = login(open_by_proxy(t, v2("198.51.100.7")))
    assert is_closed(open_by_proxy(t, v2("198.51.100.7"))), "the limit is the client's, not the proxy's"
    login(open_by_proxy(t, v2("198.51.100.8"))).close()
    with pytest.raises(paramiko.AuthenticationException):
        login(open_by_proxy(t, v2("192.0.2.1")))
    for bad in (b"SSH-2.0-x\r\n", b"PROXY TCP4 x y 1 2\r\n", b"PROXY " + b" " * 200, V2 + b"\x21\x11\xff\xff"):
        assert is_closed(open_by_proxy(t, bad)), bad
    for x in (c, other):
        x.close()


def test_a_header_of_a_stranger_is_ignored_or_the_stranger_refused(make_tally):
    t = make_tally(common={"proxy_protocol": 1, "proxy_allowed": ["192.0.2.0/24"]})
    t.add_user("u")
    c = login(open_by_proxy(t, b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 22\r\n"))
    assert t.api("GET", "/connections", expect=200).json()[0]["remote_address"].startswith("127.0.0.1:")
    c.close()
    connect(t, "u").close()
    t.config["common"]["proxy_protocol"] = 2
    t.stop()
    t.start()
    assert is_closed(open_by_proxy(t, b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 22\r\n"))
    assert "it is no proxy that is allowed" in t.log()


def test_a_flood_of_silent_connections_keeps_nobody_out(make_tally):
    t = make_tally(common={"max_per_host_connections": 0})
    t.add_user("u")
    held = []
    for n in range(300):
        s = socket.socket()
        s.bind((f"127.0.{n % 30}.1", 0))
        s.connect(("127.0.0.1", t.sftp_port))
        held.append(s)

    def again():
        try:
            return connect(t, "u")
        except (paramiko.SSHException, EOFError, OSError):
            return None

    until(again, what="a login").close()
    assert len(session_pids(t)) <= 102
    for s in held:
        s.close()


def test_the_banner_is_read_before_the_login_and_algorithms_are_those_chosen(make_tally, tmp_path):
    (tmp_path / "banner").write_text("Authorized people only.\n")
    t = make_tally(
        sftpd={
            "login_banner_file": str(tmp_path / "banner"),
            "ciphers": ["aes256-ctr"],
            "macs": ["hmac-sha2-512"],
            "kex_algorithms": ["ecdh-sha2-nistp521"],
        }
    )
    t.add_user("u")
    c = connect(t, "u")
    try:
        assert c.get_transport().get_banner() == b"Authorized people only.\n"
        assert c.get_transport().remote_cipher == c.get_transport().local_cipher == "aes256-ctr"
        assert c.get_transport().remote_mac == "hmac-sha2-512"
    finally:
        c.close()
    r = t.sftp("u", "pwd\n", options=["-oCiphers=aes128-ctr"], check=False)
    assert r.returncode != 0, "no cipher in common"


def test_several_bindings_ipv6_and_one_that_is_off(make_tally):
    from conftest import free_port

    ports = [free_port(), free_port()]
    t = make_tally(
        sftpd={"bindings": [{"port": 0}, {"address": "::1", "port": ports[0]}, {"address": "127.0.0.1", "port": ports[1]}]}
    )
    t.add_user("u")
    for address, port, shown in (("::1", ports[0], "[::1]:"), ("127.0.0.1", ports[1], "127.0.0.1:")):
        c = login(socket.create_connection((address, port)))
        assert t.api("GET", "/connections", expect=200).json()[0]["remote_address"].startswith(shown)
        c.close()
        until(lambda: t.api("GET", "/connections", expect=200).json() == [], what="the end of the connection")
