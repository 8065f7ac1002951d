"""Strangers: who guesses passwords is banned, who comes too often is told to wait, and administrators can pardon."""

import json
import signal
import socket

import paramiko
import pytest
import requests

from conftest import ADMIN, until

HOST = "127.0.0.1".encode().hex()


@pytest.fixture
def guarded(make_tally, tmp_path):
    """A daemon with a defender; requests come by the administrators' socket, which nobody is banned from."""

    def make(**common):
        defender = {"enabled": True, "threshold": 4, "score_invalid": 2, "score_valid": 1, "score_limit_exceeded": 3}
        t = make_tally(common={"defender": {**defender, **common.pop("defender", {})}, **common})
        return t

    return make


def by_socket(t, method, path, body=None):
    """(status, JSON) by the administrators' socket."""
    data = json.dumps(body).encode() if body is not None else b""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(t.sock))
        head = f"{method} /api/v2{path} HTTP/1.1\r\nHost: tally\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        s.sendall(head.encode() + data)
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text) if text else None


def attempt(t, user, password):
    c = paramiko.Transport(("127.0.0.1", t.sftp_port))
    try:
        c.start_client(timeout=20)
        c.auth_password(user, password, fallback=False)
    finally:
        c.close()


def is_closed_at_once(t):
    with socket.create_connection(("127.0.0.1", t.sftp_port), timeout=20) as s:
        try:
            return s.recv(1) == b""
        except ConnectionResetError:
            return True


def ban(t):
    for _ in range(2):
        with pytest.raises(paramiko.AuthenticationException):
            attempt(t, "nobody", "x")


def test_a_guesser_is_banned_by_ssh_and_http_and_an_administrator_pardons(guarded):
    t = guarded()
    assert by_socket(t, "POST", "/users", {"username": "u", "password": "secret", "status": 1, "permissions": {"/": ["*"]}})[0] == 201
    assert by_socket(t, "GET", "/defender/hosts") == (200, [])
    with pytest.raises(paramiko.AuthenticationException):
        attempt(t, "u", "wrong")
    assert by_socket(t, "GET", "/defender/hosts") == (200, [{"id": HOST, "ip": "127.0.0.1", "score": 1}])
    assert by_socket(t, "GET", "/defender/score?ip=127.0.0.1") == (200, {"score": 1})
    assert by_socket(t, "GET", "/defender/bantime?ip=127.0.0.1") == (200, {"date_time": None})
    assert requests.get(t.api_url + "/healthz", timeout=20).status_code == 200
    ban(t)
    assert is_closed_at_once(t)
    r = requests.get(t.api_url + "/api/v2/token", auth=ADMIN, timeout=20)
    assert r.status_code == 403 and r.json() == {k: "your IP address is banned" for k in ("error", "message")}
    status, host = by_socket(t, "GET", f"/defender/hosts/{HOST}")
    assert status == 200 and host["ban_time"].endswith("Z") and "score" not in host
    before = by_socket(t, "GET", "/defender/bantime?ip=127.0.0.1")[1]["date_time"]
    assert is_closed_at_once(t)
    assert by_socket(t, "GET", "/defender/bantime?ip=127.0.0.1")[1]["date_time"] > before, "an attempt lengthens it"
    assert '"message":"the address is banned"' in t.log()
    assert by_socket(t, "DELETE", f"/defender/hosts/{HOST}") == (200, {"message": "OK"})
    assert by_socket(t, "DELETE", f"/defender/hosts/{HOST}") == (404, {"message": "Not found"})
    attempt(t, "u", "secret")
    assert requests.get(t.api_url + "/api/v2/token", auth=ADMIN, timeout=20).status_code == 200


def test_a_failed_token_of_a_user_counts_and_one_of_an_administrator_does_not(guarded):
    t = guarded()
    assert by_socket(t, "POST", "/users", {"username": "u", "password": "secret", "status": 1, "permissions": {"/": ["*"]}})[0] == 201
    for path, user, score in (("/token", "admin", 0), ("/user/token", "u", 1), ("/user/token", "nobody", 3)):
        assert requests.get(t.api_url + "/api/v2" + path, auth=(user, "wrong"), timeout=20).status_code == 401
        assert by_socket(t, "GET", "/defender/score?ip=127.0.0.1") == (200, {"score": score}), user
    assert requests.get(t.api_url + "/api/v2/user/token", auth=("u", "secret"), timeout=20).status_code == 200
    assert by_socket(t, "GET", "/defender/score?ip=127.0.0.1") == (200, {"score": 3})


def test_connections_without_a_login_count_and_the_old_routes_pardon(guarded):
    t = guarded()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", t.sftp_port), timeout=20) as s:
            assert s.recv(4) == b"SSH-"
    until(lambda: "date_time" in str(by_socket(t, "GET", f"/defender/hosts/{HOST}")) or is_closed_at_once(t), what="a ban")
    assert by_socket(t, "POST", "/defender/unban", {"ip": "127.0.0.1"}) == (200, {"message": "OK"})
    assert by_socket(t, "POST", "/defender/unban", {"ip": "127.0.0.1"})[0] == 404


def test_many_wrong_keys_of_one_connection_are_one_event(guarded):
    t = guarded()
    for _ in range(1):
        c = paramiko.Transport(("127.0.0.1", t.sftp_port))
        c.start_client(timeout=20)
        for _ in range(4):
            with pytest.raises(paramiko.SSHException):
                c.auth_publickey("nobody", paramiko.ECDSAKey.generate())
        c.close()
    until(lambda: by_socket(t, "GET", "/defender/score?ip=127.0.0.1")[1]["score"] == 2, what="one event")


@pytest.mark.parametrize(
    "path,status",
    [
        ("/defender/hosts/zz", 400),
        ("/defender/hosts/3132", 400),
        ("/defender/hosts/" + "31" * 60, 400),
        ("/defender/hosts/" + "192.0.2.1".encode().hex(), 404),
        ("/defender/score", 400),
        ("/defender/score?ip=", 400),
        ("/defender/score?ip=x", 400),
        ("/defender/bantime?ip=192.0.2.1", 200),
    ],
)
def test_what_is_asked_wrongly_is_explained(tally, path, status):
    got, body = by_socket(tally, "GET", path)
    if "192.0.2.1".encode().hex() in path:
        assert (got, body["error"]) == (500, "defender is disabled")
    else:
        assert got == status, body


def test_a_defender_that_is_off_has_nothing(tally):
    assert by_socket(tally, "GET", "/defender/hosts") == (200, [])
    assert by_socket(tally, "DELETE", f"/defender/hosts/{HOST}")[0] == 404
    assert by_socket(tally, "GET", "/status")[1]["defender"] == {"is_active": False}


def test_lists_are_read_again_at_sighup(guarded, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text('{"networks":["192.0.2.0/24"]}')
    t = guarded(defender={"blocklist_file": str(blocked), "score_invalid": 0})
    assert by_socket(t, "GET", "/status")[1]["defender"] == {"is_active": True}
    assert not is_closed_at_once(t)
    blocked.write_text('{"networks":["127.0.0.0/8"]}')
    t.process.send_signal(signal.SIGHUP)
    until(lambda: is_closed_at_once(t), what="the new list")
    blocked.write_text("nonsense")
    t.process.send_signal(signal.SIGHUP)
    until(lambda: "common.defender: " + str(blocked) in t.log(), what="a word about the bad list")
    assert is_closed_at_once(t), "the old list stays"
    blocked.write_text('{"addresses":[]}')
    t.process.send_signal(signal.SIGHUP)
    until(lambda: not is_closed_at_once(t), what="the empty list")


def test_who_comes_too_often_is_told_when_to_come_again(make_tally):
    limiter = {"average": 1, "period": 60000, "burst": 3, "type": 2}
    t = make_tally(common={"rate_limiters": [{**limiter, "protocols": ["HTTP"]}, {**limiter, "protocols": ["SSH"]}]})
    got = [requests.get(t.api_url + "/api/v2/version", timeout=20) for _ in range(4)]
    assert [r.status_code for r in got] == [401] * 3 + [429]
    assert got[3].json() == {"message": "Too Many Requests"}
    assert 20 <= int(got[3].headers["Retry-After"]) <= 60 and got[3].headers["X-Retry-In"].endswith("ms")
    assert [is_closed_at_once(t) for _ in range(4)] == [False] * 3 + [True]
    assert by_socket(t, "GET", "/version")[0] == 200, "the administrators' socket has no limit"
    assert "too many in this time" in t.log()


def test_a_limit_that_is_exceeded_can_lead_to_a_ban(guarded):
    limiter = {"average": 1, "period": 60000, "burst": 1, "type": 2, "protocols": ["SSH"], "generate_defender_events": True}
    t = guarded(rate_limiters=[limiter], defender={"score_invalid": 0})
    for _ in range(3):
        is_closed_at_once(t)
    assert "ban_time" in by_socket(t, "GET", f"/defender/hosts/{HOST}")[1]
