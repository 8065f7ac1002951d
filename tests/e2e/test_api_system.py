"""Version, status, health, metrics, unknown paths and methods, the administrators' socket (contract/rest.md §11 line 15)."""

import json
import os
import shutil
import socket
import subprocess

import pytest
import requests


def test_health_needs_no_token(tally):
    for base in (tally.api_url, f"http://127.0.0.1:{tally.metrics_port}"):
        r = requests.get(base + "/healthz", timeout=30)
        assert (r.status_code, r.text) == (200, "ok") and r.headers["Content-Type"].startswith("text/plain")


def test_head_is_get_without_the_body(tally):
    got, head = requests.get(tally.api_url + "/healthz", timeout=30), requests.head(tally.api_url + "/healthz", timeout=30)
    assert head.status_code == 200 and head.text == "" and head.headers["Content-Length"] == got.headers["Content-Length"]


def test_version(tally):
    v = tally.api("GET", "/version", expect=200).json()
    assert set(v) == {"version", "build_date", "commit_hash", "features"} and v["version"]
    assert all(f[0] in "+-" for f in v["features"])


def test_status(tally):
    s = tally.api("GET", "/status", expect=200).json()
    assert set(s) == {"ssh", "ftp", "webdav", "data_provider", "defender", "mfa", "vfs"}
    assert set(s["ssh"]) == {"is_active", "bindings", "ssh_commands", "host_keys"}
    assert s["data_provider"] == {"driver": "sqlite", "is_active": True, "error": ""}
    assert s["ftp"]["is_active"] is False and s["ftp"]["bindings"] is None
    assert s["webdav"] == {"is_active": False, "bindings": None}
    assert s["defender"] == {"is_active": False} and s["mfa"] == {"is_active": True, "totp_configs": [{"name": "Default", "issuer": "Tally", "algo": "sha1"}]}
    assert set(s["vfs"]) == {"is_active", "mount", "passthrough", "libfuse", "watcher", "domains"}
    assert set(s["vfs"]["domains"]) == {"clean", "dirty", "stale", "counting"}


@pytest.mark.parametrize("path", ["/", "/api", "/api/v2", "/api/v2/nope", "/api/v2/dump", "/api/v2/users/a/b/c", "/api/v2//users", "/metrics", "/api/v2/healthz", "/" + "a/" * 40])
def test_unknown_paths_are_404_without_a_token(tally, path):
    r = requests.get(tally.api_url + path, timeout=30)
    assert (r.status_code, r.json()) == (404, {"message": "Not Found"})


@pytest.mark.parametrize("method, path, allow", [("POST", "/api/v2/users/x", "GET, HEAD, PUT, DELETE"), ("PATCH", "/api/v2/version", "GET, HEAD"), ("GET", "/api/v2/admin/changepwd", "PUT"), ("OPTIONS", "/api/v2/users", "GET, HEAD, POST"), ("DELETE", "/healthz", "GET, HEAD")])
def test_wrong_methods_are_405_with_an_empty_body(tally, method, path, allow):
    r = requests.request(method, tally.api_url + path, timeout=30)
    assert (r.status_code, r.text) == (405, "")
    assert set(r.headers["Allow"].split(", ")) == set(allow.split(", "))


@pytest.mark.parametrize("path", ["/api/v2/users/%", "/api/v2/users/%4", "/api/v2/users/%zz", "/api/v2/users/%0a", "/api/v2/users/%01"])
def test_bad_escapes_are_400(tally, path):
    port = int(tally.api_url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert s.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_metrics_are_on_their_binding_only(tally):
    base = f"http://127.0.0.1:{tally.metrics_port}"
    r = requests.get(base + "/metrics", timeout=30)
    assert r.status_code == 200 and r.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = {}
    for line in r.text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    assert values["sftpgo_dataprovider_availability"] == 1 and values["sftpgo_active_connections"] >= 0
    assert values["sftpgo_http_req_total"] >= 1 and 'tally_ledger_domains{state="clean"}' in values
    assert requests.get(base + "/api/v2/users", timeout=30).status_code == 404


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_promtool_can_read_the_metrics(tally):
    text = requests.get(f"http://127.0.0.1:{tally.metrics_port}/metrics", timeout=30).text
    r = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert r.returncode != 1, r.stdout + r.stderr  # 3 is a complaint about a name, and SFTPGo's names are what they are
    assert all("sftpgo_" in line for line in r.stderr.splitlines()), r.stderr


def test_requests_are_counted_and_logged_without_their_query(tally):
    r = requests.get(tally.api_url + "/api/v2/users?secret=s3cr3t", headers={"User-Agent": "me"}, timeout=30)
    from conftest import until

    def line():
        return [json.loads(x) for x in tally.log().splitlines() if r.headers["X-Request-Id"] in x]

    (entry,) = until(line, what="the log line")
    assert entry["sender"] == "httpd" and entry["method"] == "GET" and entry["uri"] == "/api/v2/users"
    assert entry["resp_status"] == 401 and entry["user_agent"] == "me" and entry["remote_addr"].startswith("127.0.0.1:")
    assert entry["resp_size"] == len(r.content) and entry["elapsed_ms"] >= 0 and "local_addr" in entry
    assert "s3cr3t" not in tally.log()


def on_socket(tally, path, *args, user=None):
    command = ["curl", "-s", "-w", "\n%{http_code}", "--unix-socket", str(tally.sock), "http://x/api/v2" + path, *args]
    if user is not None:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    body, status = out.rsplit("\n", 1)
    return int(status), json.loads(body) if body.strip() else None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whom the socket trusts")
def test_root_needs_no_token_on_the_administrators_socket(tally):
    status, admins = on_socket(tally, "/admins")
    assert status == 200 and tally.admin[0] in [a["username"] for a in admins]
    assert on_socket(tally, "/version", "-H", "Authorization: Bearer nonsense")[0] == 401
    status, said = on_socket(tally, "/admin/changepwd", "-X", "PUT", "-d", '{"current_password":"a","new_password":"b"}')
    assert status == 400 and said["error"].startswith("Validation error: ")
    assert on_socket(tally, "/logout")[0] == 200
    assert on_socket(tally, "/version")[0] == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_others_need_a_token_on_the_administrators_socket(tally):
    before = os.stat(tally.sock).st_mode
    run = os.stat(tally.sock.parent).st_mode
    try:
        os.chmod(tally.sock, 0o777)
        os.chmod(tally.sock.parent, 0o755)
        assert on_socket(tally, "/admins", user=65534)[0] == 401
        token = "Authorization: Bearer " + on_socket(tally, "/token", "-u", ":".join(tally.admin), user=65534)[1]["access_token"]
        assert on_socket(tally, "/admins", "-H", token, user=65534)[0] == 200
    finally:
        os.chmod(tally.sock, before)
        os.chmod(tally.sock.parent, run)


def test_too_many_requests_of_one_address_are_403(make_tally):
    tally = make_tally(common={"max_per_host_connections": 2})
    port = int(tally.api_url.rsplit(":", 1)[1])
    open_ones = []
    try:
        for _ in range(2):  # heads that are there, bodies that are not
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            s.sendall(b"POST /api/v2/users HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 ")
            open_ones.append(s)
        r = requests.get(tally.api_url + "/healthz", timeout=30)
        full = "configured connections limit reached"
        assert (r.status_code, r.json()) == (403, {"error": full, "message": full})
    finally:
        for s in open_ones:
            s.close()
    from conftest import until

    until(lambda: requests.get(tally.api_url + "/healthz", timeout=30).status_code == 200, what="room again")
    assert tally.stop() == 0
