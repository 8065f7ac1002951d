"""Hooks of connections and logins, and the lines that fail2ban reads."""

import http.server
import json
import re
import pathlib
import socket
import threading
import urllib.parse

import paramiko
import pytest

from conftest import until
from test_sftp_sessions import connect

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def server():
    """An HTTP server that keeps what it is asked; `answers` has (status, text) for a path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            url = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((url.path, dict(urllib.parse.parse_qsl(url.query)), body.decode()))
            status, text = answers.get(url.path, (200, ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = answer

        def log_message(self, *args):
            pass

    asked, answers = [], {}
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    s.asked, s.answers, s.url = asked, answers, f"http://127.0.0.1:{s.server_port}"
    yield s
    s.shutdown()
    s.server_close()


def test_an_http_hook_is_told_of_connections_and_logins(make_tally, server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    t = make_tally(
        common={"post_connect_hook": server.url + "/in", "post_disconnect_hook": server.url + "/out"},
        data_provider={"post_login_hook": server.url + "/login"},
    )
    t.add_user("u")
    connect(t, "u").close()
    with pytest.raises(paramiko.AuthenticationException):
        connect(t, "u", "wrong")

    def seen(path):
        return [a for a in server.asked if a[0] == path]

    until(lambda: len(seen("/out")) == 2 and len(seen("/login")) == 2, what="all hooks")
    assert seen("/in")[0][1] == {"ip": "127.0.0.1", "protocol": "SSH"}
    out = [a[1] for a in seen("/out")]
    assert sorted(a.get("username", "") for a in out) == ["", "u"] and all(int(a["connection_duration"]) >= 0 for a in out)
    by_status = {a[1]["status"]: a for a in seen("/login")}
    assert by_status["1"][1] == {"ip": "127.0.0.1", "login_method": "password", "protocol": "SSH", "status": "1"}
    user = json.loads(by_status["1"][2])
    assert user["username"] == "u" and not user.get("password")
    assert json.loads(by_status["0"][2])["username"] == "u"
    server.answers["/in"] = (403, "")
    with socket.create_connection(("127.0.0.1", t.sftp_port), timeout=20) as s:
        assert s.recv(1) == b"", "not even a greeting"
    until(lambda: "the hook did not let it in" in t.log(), what="a word in the log")


@pytest.mark.parametrize(
    "answer,password,is_in",
    [
        ({"status": 1}, "whatever", True),
        ({"status": 0}, "secret", False),
        ({"status": 2, "to_verify": "secret"}, "secret123456", True),
        ({"status": 2, "to_verify": "wrong"}, "secret", False),
        ({"status": 2}, "secret", False),
        ({}, "secret", False),
        ("nonsense", "secret", False),
    ],
    ids=str,
)
def test_a_password_hook_decides(make_tally, tmp_path, answer, password, is_in):
    hook, told = tmp_path / "hook", tmp_path / "told"
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:-2]:  # all but /tmp: the hook is not root
        parent.chmod(0o755)
    text = json.dumps(answer) if answer != "nonsense" else answer
    hook.write_text(f"#!/bin/sh\nenv | grep SFTPGO_ >{told}\nid -u >>{told}\necho '{text}'\n")
    hook.chmod(0o755)
    t = make_tally(data_provider={"check_password_hook": str(hook)})
    t.add_user("u")
    try:
        connect(t, "u", password).close()
        got_in = True
    except paramiko.AuthenticationException:
        got_in = False
    assert got_in == is_in
    said = told.read_text().splitlines()
    assert "SFTPGO_AUTHD_USERNAME=u" in said and f"SFTPGO_AUTHD_PASSWORD={password}" in said
    assert "SFTPGO_AUTHD_IP=127.0.0.1" in said and "SFTPGO_AUTHD_PROTOCOL=SSH" in said
    assert said[-1] != "0", "a program is not root"


def test_each_failed_login_is_a_line_that_fail2ban_understands(tally):
    tally.add_user("fail")
    with pytest.raises(paramiko.AuthenticationException):
        connect(tally, "fail", "wrong")
    with pytest.raises(paramiko.AuthenticationException):
        connect(tally, 'x","client_ip":"192.0.2.9', "wrong")
    with socket.create_connection(("127.0.0.1", tally.sftp_port)) as s:
        s.recv(4)
    text = (ROOT / "contrib/fail2ban/tally.conf").read_text()
    failregex = re.search(r"^failregex = (.*)$", text, re.M)[1].replace("<HOST>", r"(?P<host>[0-9a-fA-F.:]+)")
    def lines():
        return [m["host"] for line in tally.log().splitlines() if (m := re.search(failregex, line))]

    until(lambda: len(lines()) == 3, what="three lines")
    assert set(lines()) == {"127.0.0.1"}, "a name cannot lead to another's ban"
    records = [json.loads(l) for l in tally.log().splitlines() if "connection_failed" in l]
    assert [r["login_type"] for r in records] == ["password", "password", "no_auth_tryed"]
    assert all(r["level"] == "info" and r["protocol"] == "SSH" for r in records)
    connect(tally, "fail").close()
    assert len(lines()) == 3, "a login is none"
