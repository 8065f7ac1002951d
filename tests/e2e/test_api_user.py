"""The user's side of the API: tokens of users, what they may do to their own account, and what stops them
(contract/rest.md §1.2, §2.1, §2.2)."""

import base64
import json
import subprocess

import pytest
import requests


def call(tally, method, path, token=None, body=None, **kwargs):
    headers = kwargs.pop("headers", {})
    if token:
        headers["Authorization"] = "Bearer " + token
    return requests.request(method, tally.api_url + "/api/v2" + path, json=body, headers=headers, timeout=30, **kwargs)


def user_token(tally, name, password="secret", **kwargs):
    r = call(tally, "GET", "/user/token", auth=(name, password), **kwargs)
    assert r.status_code == 200, r.text
    return r.json()["access_token"]


def test_a_user_gets_a_token_of_its_own_audience(tally):
    tally.add_user("alice", filters={"web_client": ["mfa-disabled"]})
    token = user_token(tally, "alice")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (claims["aud"], claims["username"], claims["permissions"]) == (["APIUser"], "alice", ["mfa-disabled"])
    assert claims["exp"] - claims["nbf"] == 20 * 60 + 30
    assert tally.api("GET", "/users/alice", expect=200).json()["last_login"] > 0
    for method, path in (("GET", "/version"), ("GET", "/users"), ("GET", "/logout")):
        r = call(tally, method, path, token)
        assert (r.status_code, r.json()) == (401, {"message": "Your token audience is not valid"})
    for method, path in (("GET", "/user/profile"), ("GET", "/user/logout"), ("PUT", "/user/changepwd")):
        r = call(tally, method, path, tally.token(), {})
        assert (r.status_code, r.json()) == (401, {"message": "Your token audience is not valid"})


def test_refusals_of_a_users_token(tally):
    tally.add_user("bob")
    url = tally.api_url + "/api/v2/user/token"
    rows = [
        ({}, {"message": "Unauthorized"}),
        ({"auth": ("bob", "wrong")}, {"error": "invalid credentials", "message": "Unauthorized"}),
        ({"auth": ("nobody", "secret")}, {"error": "invalid credentials", "message": "Unauthorized"}),
        ({"auth": ("", "secret")}, {"error": "invalid credentials", "message": "Unauthorized"}),
        ({"auth": ("bob", "")}, {"message": "Unauthorized"}),
        ({"auth": ("admin", "admin-password")}, {"error": "invalid credentials", "message": "Unauthorized"}),
    ]
    for kwargs, said in rows:
        r = requests.get(url, timeout=30, **kwargs)
        assert (r.status_code, r.json()) == (401, said), kwargs
        assert r.headers["WWW-Authenticate"] == 'Basic realm="SFTPGo"'


NOT_ALLOWED = {
    "disabled": ({"status": 0}, 401, 'user "x" is disabled'),
    "expired": ({"expiration_date": 1000}, 401, 'user "x" is expired'),
    "denied HTTP": ({"filters": {"denied_protocols": ["HTTP"]}}, 403, "protocol"),
    "denied passwords": ({"filters": {"denied_login_methods": ["password"]}}, 403, "method"),
    "from a denied address": ({"filters": {"denied_ip": ["127.0.0.0/8"]}}, 403, "127.0.0.1:"),
    "not from an allowed address": ({"filters": {"allowed_ip": ["10.0.0.0/8"]}}, 403, "127.0.0.1:"),
}


@pytest.mark.parametrize("what", NOT_ALLOWED)
def test_a_user_who_may_not_use_http_gets_no_token_and_loses_what_it_has(tally, what):
    members, status, text = NOT_ALLOWED[what]
    name = "may-" + what.replace(" ", "-")
    tally.add_user(name)
    token = user_token(tally, name)
    tally.api("PUT", f"/users/{name}", members, expect=200)
    r = call(tally, "GET", "/user/token", auth=(name, "secret"))
    assert r.status_code == status and text.replace('"x"', f'"{name}"') in r.json()["error"]
    assert r.json()["message"] == ("Unauthorized" if status == 401 else "Forbidden")
    r = call(tally, "GET", "/user/token", auth=(name, "wrong"))
    assert (r.status_code, r.json()["error"]) == (401, "invalid credentials")  # told to the owner only
    r = call(tally, "GET", "/user/profile", token)
    assert (r.status_code, r.json()) == (401, {"message": "Your token is no longer valid"})


def test_open_sessions_count(tally):
    tally.add_user("full", max_sessions=1)
    p = subprocess.Popen(
        ["sshpass", "-p", "secret", "sftp", *tally.ssh_options(), "-oBatchMode=no", "-P", str(tally.sftp_port), "full@127.0.0.1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
    )
    try:
        p.stdin.write("pwd\n")
        assert "directory" in p.stdout.readline() + p.stdout.readline()
        r = call(tally, "GET", "/user/token", auth=("full", "secret"))
        assert r.status_code == 403 and "sessions" in r.json()["error"]
    finally:
        p.stdin.close()
        p.wait(30)


def test_logout_ends_one_token(tally):
    tally.add_user("leaves")
    one, two = user_token(tally, "leaves"), user_token(tally, "leaves")
    r = call(tally, "GET", "/user/logout", one)
    assert (r.status_code, r.json()) == (200, {"message": "Your token has been invalidated"})
    assert call(tally, "GET", "/user/profile", one).json() == {"message": "Your token is no longer valid"}
    assert call(tally, "GET", "/user/profile", two).status_code == 200


def test_change_of_the_own_password(tally):
    tally.add_user("changes")
    token = user_token(tally, "changes")
    rows = [
        ({"current_password": "", "new_password": "x"}, "please provide the current password and the new one two times"),
        ({"current_password": "same", "new_password": "same"}, "the new password must be different from the current one"),
        ({"current_password": "wrong", "new_password": "next"}, "current password does not match"),
    ]
    for body, error in rows:
        r = call(tally, "PUT", "/user/changepwd", token, body)
        assert (r.status_code, r.json()["error"]) == (400, "Validation error: " + error)
    r = call(tally, "PUT", "/user/changepwd", token, {"current_password": "secret", "new_password": "next"})
    assert (r.status_code, r.json()) == (200, {"message": "Password updated"})
    assert call(tally, "GET", "/user/profile", token).status_code == 401
    assert call(tally, "GET", "/user/token", auth=("changes", "secret")).status_code == 401
    tally.sftp("changes", "pwd\n", password="next")


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHdKyoV1Zf4pRQHwsJiVWWlhU2pIQG8jgMlI6cHYnXuB {}"


def test_profile_and_public_keys(tally):
    tally.add_user("profile", email="a@b.org")
    token = user_token(tally, "profile")
    assert call(tally, "GET", "/user/profile", token).json() == {"email": "a@b.org", "allow_api_key_auth": False}
    assert call(tally, "GET", "/user/publickeys", token).json() is None
    r = call(tally, "PUT", "/user/profile", token, {"description": "d", "public_keys": [KEY.format("one")], "allow_api_key_auth": True})
    assert (r.status_code, r.json()) == (200, {"message": "Profile updated"})
    want = {"email": "a@b.org", "description": "d", "allow_api_key_auth": True, "public_keys": [KEY.format("one")]}
    assert call(tally, "GET", "/user/profile", token).json() == want
    r = call(tally, "PUT", "/user/publickeys", token, [KEY.format("two"), KEY.format("three")])
    assert (r.status_code, r.json()) == (200, {"message": "Public keys updated"})
    assert call(tally, "GET", "/user/publickeys", token).json() == [KEY.format("two"), KEY.format("three")]
    bad = [("/user/publickeys", ["no key"], "public_keys[0]"), ("/user/publickeys", {"a": 1}, "list"), ("/user/publickeys", [1], "public_keys[0]"),
           ("/user/profile", {"email": "x"}, "email"), ("/user/profile", {"allow_api_key_auth": "yes"}, "allow_api_key_auth")]
    for path, body, text in bad:
        r = call(tally, "PUT", path, token, body)
        assert r.status_code == 400 and text in r.json()["error"], (path, body, r.text)
    assert tally.api("GET", "/users/profile", expect=200).json()["quota_size"] == 0  # nothing else moved
    assert call(tally, "GET", "/user/publickeys", token).json() == [KEY.format("two"), KEY.format("three")]


OPTIONS = {
    "password-change-disabled": [("PUT", "/user/changepwd")],
    "publickey-change-disabled": [("GET", "/user/publickeys"), ("PUT", "/user/publickeys")],
    "mfa-disabled": [
        ("GET", "/user/totp/configs"), ("POST", "/user/totp/generate"), ("POST", "/user/totp/validate"), ("POST", "/user/totp/save"),
        ("GET", "/user/2fa/recoverycodes"), ("POST", "/user/2fa/recoverycodes"),
    ],
}


def test_each_web_client_option_forbids_its_operations_and_no_others(tally):
    for i, mine in enumerate([*OPTIONS, None]):
        tally.add_user(f"option{i}", filters={"web_client": [mine] if mine else []})
        token = user_token(tally, f"option{i}")
        for option, calls in OPTIONS.items():
            for method, path in calls:
                r = call(tally, method, path, token, {})
                if option == mine:
                    assert (r.status_code, r.json()) == (403, {"message": "Forbidden"}), (mine, path)
                else:
                    assert r.status_code not in (401, 403), (mine, path, r.text)


def test_a_profile_changes_only_what_its_options_leave(tally):
    locked = ["info-change-disabled", "api-key-auth-change-disabled", "publickey-change-disabled"]
    body = {"email": "new@b.org", "description": "new", "allow_api_key_auth": True, "public_keys": [KEY.format("new")]}
    free = {"info-change-disabled": ["email", "description"], "api-key-auth-change-disabled": ["allow_api_key_auth"], "publickey-change-disabled": ["public_keys"]}
    for i, option in enumerate(locked):
        tally.add_user(f"locked{i}", filters={"web_client": [option]})
        token = user_token(tally, f"locked{i}")
        assert call(tally, "PUT", "/user/profile", token, body).status_code == 200
        got = call(tally, "GET", "/user/profile", token).json()
        for name, value in body.items():
            assert (got.get(name) == value) == (name not in free[option]), (option, name)
    tally.add_user("locked", filters={"web_client": locked})
    r = call(tally, "PUT", "/user/profile", user_token(tally, "locked"), body)
    assert (r.status_code, r.json()) == (403, {"message": "Forbidden"})


def test_the_administrators_socket_is_no_users(tally):
    import http.client
    import socket

    c = http.client.HTTPConnection("tally", timeout=30)
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(str(tally.sock))
    for path, status in (("/api/v2/user/profile", 401), ("/api/v2/admin/profile", 400), ("/api/v2/version", 200)):
        c.request("GET", path)
        r = c.getresponse()
        r.read()
        assert r.status == status, path
    c.close()
