"""Tokens: how one gets them, what they are worth, and when they end (contract/rest.md §2, §11 lines 1 to 4)."""

import base64
import calendar
import json
import time

import pytest
import requests
from conftest import until


def get(tally, path="/version", token=None, headers=None, auth=None, url=None):
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = "Bearer " + token
    return requests.get((url or tally.api_url) + "/api/v2" + path, headers=headers, auth=auth, timeout=30)


def add_admin(tally, name, permissions, password="pass-word", **members):
    body = {"username": name, "password": password, "permissions": permissions, "status": 1, **members}
    tally.api("POST", "/admins", body, expect=201)
    r = get(tally, "/token", auth=(name, password))
    assert r.status_code == 200, r.text
    return r.json()["access_token"]


def test_a_token_lives_for_20_minutes_and_says_so(tally):
    r = get(tally, "/token", auth=tally.admin)
    assert r.status_code == 200 and set(r.json()) == {"access_token", "expires_at"}
    until = calendar.timegm(time.strptime(r.json()["expires_at"], "%Y-%m-%dT%H:%M:%SZ"))
    assert abs(until - time.time() - 1200) < 10
    head, claims, _ = r.json()["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert claims["aud"] == ["API"] and claims["username"] == tally.admin[0] and claims["permissions"] == ["*"]
    assert claims["exp"] == until and claims["nbf"] == until - 1230 and len(claims["jti"]) == 20


REFUSED = {
    "no header": ({}, None),
    "no base64": ({"Authorization": "Basic ???"}, None),
    "no colon": ({"Authorization": "Basic " + base64.b64encode(b"admin").decode()}, None),
    "another scheme": ({"Authorization": "Digest x"}, None),
    "a NUL": ({"Authorization": "Basic " + base64.b64encode(b"admin\0:x").decode()}, None),
    "a name of 4 kB": ({"Authorization": "Basic " + base64.b64encode(b"a" * 4096 + b":x").decode()}, None),
    "a wrong password": (("admin", "wrong"), "invalid credentials"),
    "an unknown name": (("nobody", "wrong"), "invalid credentials"),
    "an empty name": (("", "x"), "invalid credentials"),
    "an empty password": (("admin", ""), "credentials cannot be null or empty"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_no_token_for(tally, what):
    how, error = REFUSED[what]
    r = get(tally, "/token", headers=how) if isinstance(how, dict) else get(tally, "/token", auth=how)
    assert r.status_code == 401 and r.json()["message"] == "Unauthorized" and r.json().get("error") == error
    assert r.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_a_token_is_shown_as_bearer_only(tally):
    token = tally.token()
    assert get(tally, token=token).status_code == 200
    assert get(tally, headers={"Authorization": "bEaReR " + token}).status_code == 200
    for headers in ({"Cookie": "jwt=" + token}, {}, {"Authorization": "Basic " + token}, {"Authorization": token}):
        r = get(tally, headers=headers)
        assert (r.status_code, r.json()) == (401, {"error": "no token found", "message": "Unauthorized"})
        assert "WWW-Authenticate" not in r.headers
    assert get(tally, "/version?token=" + token).status_code == 401


def test_a_changed_token_is_not_authorized(tally):
    token = tally.token()
    flipped = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=") + "." + token.split(".")[1] + "."
    for bad in (flipped, none, token[:-1], token + "x", "x" * 9000, "a.b.c", ".."):
        r = get(tally, token=bad)
        assert r.status_code == 401 and r.json()["message"] == "Unauthorized", bad


def test_logout_ends_one_token_and_leaves_the_others(tally):
    one, two = tally.token(), tally.token()
    r = get(tally, "/logout", token=one)
    assert (r.status_code, r.json()) == (200, {"message": "Your token has been invalidated"})
    for path in ("/version", "/logout"):
        r = get(tally, path, token=one)
        assert (r.status_code, r.json()) == (401, {"message": "Your token is no longer valid"})
    assert get(tally, token=two).status_code == 200


CHANGES = {
    "disabled": {"status": 0},
    "given another password": {"password": "another"},
    "given other permissions": {"permissions": ["view_users"]},
    "given another allow list": {"filters": {"allow_list": ["127.0.0.0/8"]}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_token_ends_when_its_holder_is(tally, what):
    name = "ends-" + what.replace(" ", "-")
    token = add_admin(tally, name, ["*"])
    assert get(tally, token=token).status_code == 200
    tally.api("PUT", f"/admins/{name}", CHANGES[what], expect=200)
    r = get(tally, token=token)
    assert (r.status_code, r.json()) == (401, {"message": "Your token is no longer valid"})


def test_a_token_ends_when_its_holder_is_deleted(tally):
    token = add_admin(tally, "deleted-one", ["*"])
    tally.api("DELETE", "/admins/deleted-one", expect=200)
    assert get(tally, token=token).status_code == 401


def test_a_right_password_is_forgotten_when_it_changes(tally):
    add_admin(tally, "cached", ["view_users"], password="first")
    assert get(tally, "/token", auth=("cached", "first")).status_code == 200
    tally.api("PUT", "/admins/cached", {"password": "second"}, expect=200)
    assert get(tally, "/token", auth=("cached", "first")).status_code == 401
    assert get(tally, "/token", auth=("cached", "second")).status_code == 200


def test_disabled_and_from_elsewhere_are_told_before_the_password(tally):
    body = {"username": "off", "password": "pass-word", "permissions": ["*"], "status": 0}
    tally.api("POST", "/admins", body, expect=201)
    assert get(tally, "/token", auth=("off", "wrong")).json()["error"] == 'admin "off" is disabled'
    body = {"username": "away", "password": "pass-word", "permissions": ["*"], "status": 1}
    tally.api("POST", "/admins", {**body, "filters": {"allow_list": ["10.0.0.0/8"]}}, expect=201)
    r = get(tally, "/token", auth=("away", "wrong"))
    assert (r.status_code, r.json()["error"]) == (401, "login from IP 127.0.0.1 not allowed")


PERMISSIONS = {
    "view_users": [("GET", "/users"), ("GET", "/folders"), ("GET", "/users/x"), ("GET", "/quotas/users/x")],
    "add_users": [("POST", "/users"), ("POST", "/folders")],
    "edit_users": [("PUT", "/users/x"), ("PUT", "/folders/x"), ("PUT", "/quotas/users/x/usage"), ("PUT", "/quota-update")],
    "del_users": [("DELETE", "/users/x"), ("DELETE", "/folders/x")],
    "view_conns": [("GET", "/connections")],
    "close_conns": [("DELETE", "/connections/x")],
    "view_status": [("GET", "/status")],
    "manage_admins": [("GET", "/admins"), ("POST", "/admins"), ("PUT", "/admins/x"), ("DELETE", "/admins/x")],
    "quota_scans": [("GET", "/quotas/users/scans"), ("POST", "/quotas/users/x/scan"), ("DELETE", "/quotas/users/x/scan"), ("GET", "/quota-scans"), ("POST", "/folder-quota-scans")],
}


def test_each_permission_opens_its_routes_and_no_others(tally):
    for i, mine in enumerate(PERMISSIONS):
        token = add_admin(tally, f"perm-{i}", [mine])
        for permission, calls in PERMISSIONS.items():
            for method, path in calls:
                r = requests.request(
                    method, tally.api_url + "/api/v2" + path, json={}, headers={"Authorization": "Bearer " + token}, timeout=30
                )
                if permission == mine:
                    assert r.status_code not in (401, 403), f"{mine}: {method} {path}: {r.text}"
                else:
                    assert (r.status_code, r.json()) == (403, {"message": "Forbidden"}), f"{mine}: {method} {path}"
        assert get(tally, token=token).status_code == 200


def test_a_restart_ends_tokens_unless_there_is_a_passphrase(make_tally):
    for passphrase, status in (("", 401), ("open sesame", 200)):
        t = make_tally(httpd={"signing_passphrase": passphrase})
        token = t.token()
        assert t.stop() == 0
        t.start()
        r = get(t, token=token)
        assert r.status_code == status
        if status == 401:
            assert r.json()["error"] == "token is unauthorized"
        assert t.stop() == 0


def test_a_token_is_of_its_binding_unless_there_is_a_passphrase(make_tally):
    from conftest import free_port

    for passphrase, status in (("", 401), ("open sesame", 200)):
        t = make_tally(httpd={"signing_passphrase": passphrase, "bindings": [{"address": "127.0.0.1", "port": p} for p in (free_port(), free_port())]})
        ports = [b["port"] for b in t.config["httpd"]["bindings"]]
        t.api_url = f"http://127.0.0.1:{ports[0]}"
        assert get(t, token=t.token()).status_code == 200
        assert get(t, token=t.token(), url=f"http://127.0.0.1:{ports[1]}").status_code == status
        assert t.stop() == 0


def test_the_same_passphrase_makes_tokens_of_others_welcome(make_tally):
    """A token as SFTPGo makes it: SHA-256 of the passphrase is the key, and there is no member of ours in it."""
    import hashlib
    import hmac

    t = make_tally(httpd={"signing_passphrase": "open sesame"})
    head, claims, _ = t.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(claims + "=="))

    def sign(claims, head=head, key=hashlib.sha256(b"open sesame").digest(), algorithm="sha256"):
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        mac = hmac.new(key, f"{head}.{body}".encode(), algorithm).digest()
        return f"{head}.{body}." + base64.urlsafe_b64encode(mac).decode().rstrip("=")

    claims.pop("tally_allow_list")
    assert get(t, token=sign(claims)).status_code == 200
    now = int(time.time())
    h512 = base64.urlsafe_b64encode(b'{"alg":"HS512","typ":"JWT"}').decode().rstrip("=")
    rows = [
        (sign({**claims, "exp": now - 1}), {"error": "token is expired", "message": "Unauthorized"}),
        (sign({**claims, "nbf": now + 60}), {"error": "token nbf validation failed", "message": "Unauthorized"}),
        (sign({**claims, "aud": ["APIUser"]}), {"message": "Your token audience is not valid"}),
        (sign({k: v for k, v in claims.items() if k != "exp"}), {"error": "token is unauthorized", "message": "Unauthorized"}),
        (sign({**claims, "exp": str(claims["exp"])}), {"error": "token is unauthorized", "message": "Unauthorized"}),
        (sign(claims, head=h512, algorithm="sha512"), {"error": "token is unauthorized", "message": "Unauthorized"}),
        (sign({**claims, "permissions": ["view_users"]}), {"message": "Your token is no longer valid"}),
        (sign({**claims, "username": "nobody"}), {"message": "Your token is no longer valid"}),
    ]
    for token, said in rows:
        r = get(t, token=token)
        assert (r.status_code, r.json()) == (401, said)
    r = get(t, token=sign({**claims, "username": ""}))
    assert (r.status_code, r.json()) == (400, {"message": "Invalid token claims"})


def test_a_token_that_was_seen_before_expires_too(make_tally):
    import hashlib
    import hmac

    t = make_tally(httpd={"signing_passphrase": "open sesame"})
    head, claims, _ = t.token().split(".")
    claims = {**json.loads(base64.urlsafe_b64decode(claims + "==")), "exp": int(time.time()) + 3}
    body = head + "." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    mac = hmac.new(hashlib.sha256(b"open sesame").digest(), body.encode(), "sha256").digest()
    token = body + "." + base64.urlsafe_b64encode(mac).decode().rstrip("=")
    assert get(t, token=token).status_code == get(t, token=token).status_code == 200
    until(lambda: get(t, token=token).status_code == 401, what="its end")
    assert get(t, token=token).json() == {"error": "token is expired", "message": "Unauthorized"}
    flipped = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    assert get(t, token=flipped).json()["error"] == "token is unauthorized"
