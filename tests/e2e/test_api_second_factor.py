"""One-time passwords, recovery codes and API keys (contract/rest.md §1.1 rows 35 to 48, §2.1, §2.6)."""

import base64
import hashlib
import hmac
import struct
import time

import pytest
import requests
from conftest import until
from test_api_user import call, user_token

FORBIDDEN_TO_KEYS = [
    ("GET", "/logout"), ("PUT", "/admin/changepwd"), ("PUT", "/changepwd/admin"), ("GET", "/admin/profile"), ("PUT", "/admin/profile"),
    ("GET", "/admin/totp/configs"), ("POST", "/admin/totp/generate"), ("POST", "/admin/totp/validate"), ("POST", "/admin/totp/save"),
    ("GET", "/admin/2fa/recoverycodes"), ("POST", "/admin/2fa/recoverycodes"), ("GET", "/apikeys"), ("POST", "/apikeys"),
    ("GET", "/apikeys/x"), ("PUT", "/apikeys/x"), ("DELETE", "/apikeys/x"),
]


def passcode(secret, steps=0, algo="sha1", digits=6):
    """RFC 6238, by hand."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + steps), algo).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7FFFFFFF) % 10**digits:0{digits}d}"


def admin_token(tally, name, password="pass-word", **kwargs):
    return call(tally, "GET", "/token", auth=(name, password), **kwargs)


def make_admin(tally, name, **members):
    tally.api("POST", "/admins", {"username": name, "password": "pass-word", "permissions": ["*"], "status": 1, **members}, expect=201)
    return admin_token(tally, name).json()["access_token"]


def set_up(tally, side, token, **more):
    """Generate, validate, save; gives the secret."""
    made = call(tally, "POST", f"/{side}/totp/generate", token, {"config_name": "Default"}).json()
    assert base64.b64decode(made["qr_code"]).startswith(b"\x89PNG\r\n") and made["issuer"] == "Tally"
    body = {"config_name": "Default", "secret": made["secret"]}
    r = call(tally, "POST", f"/{side}/totp/validate", token, {**body, "passcode": passcode(made["secret"])})
    assert (r.status_code, r.json()) == (200, {"message": "Passcode successfully validated"})
    r = call(tally, "POST", f"/{side}/totp/validate", token, {**body, "passcode": passcode(made["secret"], 4)})
    assert (r.status_code, r.json()) == (400, {"message": "Invalid passcode"})
    save = {"enabled": True, "config_name": "Default", "secret": {"status": "Plain", "payload": made["secret"]}, **more}
    r = call(tally, "POST", f"/{side}/totp/save", token, save)
    assert (r.status_code, r.json()) == (200, {"message": "TOTP configuration saved"}), r.text
    return made["secret"]


def test_an_administrators_second_factor(tally):
    token = make_admin(tally, "careful")
    assert call(tally, "GET", "/admin/totp/configs", token).json() == [{"name": "Default", "issuer": "Tally", "algo": "sha1"}]
    secret = set_up(tally, "admin", token)
    shown = tally.api("GET", "/admins/careful", expect=200).json()["filters"]["totp_config"]
    assert shown["enabled"] and shown["secret"]["status"] == "AES-256-GCM" and secret not in str(shown)
    assert set(shown["secret"]) == {"status", "payload"}  # the key stays here
    refused = (401, {"error": "invalid credentials", "message": "Unauthorized"})
    r = admin_token(tally, "careful")
    assert (r.status_code, r.json()) == refused
    for wrong in ("", "000000" if passcode(secret) != "000000" else "111111", "1" * 64, passcode(secret, -5)):
        r = admin_token(tally, "careful", headers={"X-SFTPGO-OTP": wrong})
        assert (r.status_code, r.json()) == refused
    code = passcode(secret)
    assert admin_token(tally, "careful", headers={"X-SFTPGO-OTP": code}).status_code == 200
    r = admin_token(tally, "careful", headers={"X-SFTPGO-OTP": code})
    assert (r.status_code, r.json()) == refused  # a passcode is worth one login
    assert admin_token(tally, "careful", headers={"X-SFTPGO-OTP": passcode(secret, 1)}).status_code == 200
    r = admin_token(tally, "careful", password="wrong", headers={"X-SFTPGO-OTP": passcode(secret, 1)})
    assert (r.status_code, r.json()) == refused
    # PUT leaves it, disabling removes it
    tally.api("PUT", "/admins/careful", {"filters": {"totp_config": {"enabled": False}}}, expect=200)
    assert admin_token(tally, "careful").status_code == 401
    assert tally.api("PUT", "/admins/careful/2fa/disable", expect=200).json() == {"message": "2FA disabled"}
    assert admin_token(tally, "careful").status_code == 200
    shown = tally.api("GET", "/admins/careful", expect=200).json()["filters"]
    assert shown["totp_config"] == {} and "recovery_codes" not in shown
    tally.api("PUT", "/admins/nobody/2fa/disable", expect=404)


def test_a_users_second_factor_is_for_the_protocols_it_names(tally):
    for name, protocols, wanted in (("phone-http", ["HTTP"], True), ("phone-ssh", ["SSH"], False)):
        tally.add_user(name)
        secret = set_up(tally, "user", user_token(tally, name), protocols=protocols)
        r = call(tally, "GET", "/user/token", auth=(name, "secret"))
        assert r.status_code == (401 if wanted else 200), name
        if wanted:
            user_token(tally, name, headers={"X-SFTPGO-OTP": passcode(secret)})
        assert tally.api("GET", f"/users/{name}", expect=200).json()["filters"]["totp_config"]["protocols"] == protocols
        tally.api("PUT", f"/users/{name}", {"description": "x"}, expect=200)
        assert tally.api("GET", f"/users/{name}", expect=200).json()["filters"]["totp_config"]["enabled"]
        assert tally.api("PUT", f"/users/{name}/2fa/disable", expect=200).json() == {"message": "2FA disabled"}
        user_token(tally, name)
    tally.api("PUT", "/users/nobody/2fa/disable", expect=404)


def test_bad_second_factors(tally):
    token = make_admin(tally, "clumsy")
    tally.add_user("clumsy")
    own = user_token(tally, "clumsy")
    plain = {"status": "Plain", "payload": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}
    rows = [
        ("admin", "generate", {"config_name": "None"}, "does not exist"),
        ("admin", "validate", {"config_name": "None", "passcode": "1", "secret": "A"}, "does not exist"),
        ("admin", "save", {"enabled": True, "config_name": "None", "secret": plain}, "does not exist"),
        ("admin", "save", {"enabled": True, "config_name": "Default"}, "Plain"),
        ("admin", "save", {"enabled": True, "config_name": "Default", "secret": {"status": "Plain", "payload": "1!"}}, "base32"),
        ("admin", "save", {"enabled": True, "config_name": "Default", "secret": "text"}, "secret"),
        ("user", "save", {"enabled": True, "config_name": "Default", "secret": plain}, "protocols"),
        ("user", "save", {"enabled": True, "config_name": "Default", "secret": plain, "protocols": ["GOPHER"]}, "protocols"),
    ]
    for side, what, body, text in rows:
        r = call(tally, "POST", f"/{side}/totp/{what}", token if side == "admin" else own, body)
        assert r.status_code == 400 and text in r.json()["error"], (side, what, body, r.text)
    assert "enabled" not in tally.api("GET", "/admins/clumsy", expect=200).json()["filters"]["totp_config"]
    assert admin_token(tally, "clumsy").status_code == 200


def test_recovery_codes(tally):
    token = make_admin(tally, "forgetful")
    tally.add_user("forgetful")
    for side, mine in (("admin", token), ("user", user_token(tally, "forgetful"))):
        assert call(tally, "GET", f"/{side}/2fa/recoverycodes", mine).json() == []
        codes = call(tally, "POST", f"/{side}/2fa/recoverycodes", mine).json()
        assert len(set(codes)) == 12 and all(c.startswith("RC-") for c in codes)
        assert call(tally, "GET", f"/{side}/2fa/recoverycodes", mine).json() == [{"code": c, "used": False} for c in codes]
        again = call(tally, "POST", f"/{side}/2fa/recoverycodes", mine).json()
        assert not set(codes) & set(again)
        shown = tally.api("GET", f"/{side}s/forgetful", expect=200).text
        assert not any(c in shown for c in again) and '"key"' not in shown


def test_a_profile_of_an_administrator(tally):
    token = make_admin(tally, "vain", email="a@b.org")
    assert call(tally, "GET", "/admin/profile", token).json() == {"email": "a@b.org", "allow_api_key_auth": False}
    r = call(tally, "PUT", "/admin/profile", token, {"description": "d", "allow_api_key_auth": True, "status": 0, "permissions": []})
    assert (r.status_code, r.json()) == (200, {"message": "Profile updated"})
    assert call(tally, "GET", "/admin/profile", token).json() == {"email": "a@b.org", "description": "d", "allow_api_key_auth": True}
    assert call(tally, "PUT", "/admin/profile", token, {"email": "x"}).status_code == 400


# -- API keys


def with_key(tally, key, method="GET", path="/version", body=None):
    return requests.request(method, tally.api_url + "/api/v2" + path, json=body, headers={"X-SFTPGO-API-KEY": key}, timeout=30)


def make_key(tally, **members):
    r = tally.api("POST", "/apikeys", {"name": "k", "scope": 1, **members}, expect=201)
    key, ident = r.json()["key"], r.headers["X-Object-ID"]
    assert r.headers["Location"] == "/api/v2/apikeys/" + ident and key.split(".")[0] == ident
    return key, ident


def test_the_life_of_a_key(tally):
    key, ident = make_key(tally, name="one", description="d", scope=1, id="mine", key="mine", last_use_at=7)
    got = tally.api("GET", f"/apikeys/{ident}", expect=200).json()
    assert {k: got[k] for k in ("id", "name", "scope", "description")} == {"id": ident, "name": "one", "scope": 1, "description": "d"}
    assert "key" not in got and "last_use_at" not in got and got["created_at"] == got["updated_at"] > 0
    assert got in tally.api("GET", "/apikeys?limit=500", expect=200).json()
    assert key.split(".")[1] not in tally.api("GET", "/apikeys", expect=200).text
    assert tally.api("PUT", f"/apikeys/{ident}", {"name": "two", "id": "x"}, expect=200).json() == {"message": "API key updated"}
    now = tally.api("GET", f"/apikeys/{ident}", expect=200).json()
    assert (now["name"], now["description"], now["created_at"]) == ("two", "d", got["created_at"])
    assert tally.api("DELETE", f"/apikeys/{ident}", expect=200).json() == {"message": "API key deleted"}
    for method in ("GET", "PUT", "DELETE"):
        tally.api(method, f"/apikeys/{ident}", {} if method == "PUT" else None, expect=404)
    r = with_key(tally, key)
    assert (r.status_code, r.json()) == (400, {"error": "the provided api key is not valid", "message": ""})


BAD_KEYS = {
    "no name": {"name": ""},
    "no scope": {"scope": 0},
    "an unknown scope": {"scope": 3},
    "a scope that is no number": {"scope": "1"},
    "a user and an administrator": {"user": "u", "admin": "admin"},
    "an unknown administrator": {"admin": "nobody"},
    "an unknown user": {"scope": 2, "user": "nobody"},
    "a user for administrators": {"scope": 1, "user": "u"},
    "an end before all time": {"expires_at": -1},
}


@pytest.mark.parametrize("what", BAD_KEYS)
def test_is_refused(tally, what):
    if what == "no name":
        tally.add_user("u", expect=None)
    before = tally.api("GET", "/apikeys?limit=500", expect=200).json()
    r = tally.api("POST", "/apikeys", {"name": "k", "scope": 1, **BAD_KEYS[what]}, expect=400)
    assert r.json()["error"]
    assert tally.api("GET", "/apikeys?limit=500", expect=200).json() == before


def test_what_a_key_opens(tally):
    make_admin(tally, "robot", permissions=["view_users"], filters={"allow_api_key_auth": True})
    make_admin(tally, "human")
    key, ident = make_key(tally, admin="robot")
    assert with_key(tally, key).status_code == 200
    assert with_key(tally, key, path="/users").status_code == 200
    r = with_key(tally, key, path="/admins")
    assert (r.status_code, r.json()) == (403, {"message": "Forbidden"})
    until(lambda: "last_use_at" in tally.api("GET", f"/apikeys/{ident}", expect=200).json(), what="the note of its use")
    floating, _ = make_key(tally)
    refused = (401, {"error": "the admin associated with the provided api key cannot be authenticated", "message": ""})
    assert with_key(tally, floating + ".robot").status_code == 200
    for account in ("", ".", ".human", ".nobody", ".robot.x"):
        r = with_key(tally, floating + account)
        assert (r.status_code, r.json()) == refused, account
    tally.api("PUT", "/admins/robot", {"status": 0}, expect=200)
    r = with_key(tally, key)
    assert (r.status_code, r.json()) == refused
    tally.api("PUT", "/admins/robot", {"status": 1, "filters": {"allow_list": ["10.0.0.0/8"]}}, expect=200)
    r = with_key(tally, key)
    assert (r.status_code, r.json()) == refused
    tally.api("DELETE", "/admins/robot", expect=200)
    tally.api("GET", f"/apikeys/{ident}", expect=404)  # it went with its administrator


def test_wrong_and_expired_keys(tally):
    key, ident = make_key(tally)
    invalid = (400, {"error": "the provided api key is not valid", "message": ""})
    for bad in ("", "x", ident, "." + key, "nobody.secret", ident + ".", "x" * 2000):
        r = with_key(tally, bad)
        assert (r.status_code, r.json()) == invalid, bad
    wrong = (401, {"error": "the provided api key cannot be authenticated", "message": ""})
    for bad in (ident + ".wrong", key[:-1]):
        for _ in range(2):
            r = with_key(tally, bad)
            assert (r.status_code, r.json()) == wrong, bad
    expired, _ = make_key(tally, expires_at=1000)
    r = with_key(tally, expired)
    assert (r.status_code, r.json()) == wrong
    r = requests.get(tally.api_url + "/api/v2/version", headers={"X-SFTPGO-API-KEY": ident + ".wrong", "Authorization": "Bearer " + tally.token()}, timeout=30)
    assert (r.status_code, r.json()) == wrong  # the key is looked at first


def test_a_key_with_a_body(tally):
    make_admin(tally, "maker", filters={"allow_api_key_auth": True})
    key, _ = make_key(tally, admin="maker")
    body = {"username": "by-key", "password": "x", "status": 1, "permissions": {"/": ["*"]}}
    assert with_key(tally, key, "POST", "/users", body).status_code == 201  # its first use: a worker proves it
    assert with_key(tally, key, "POST", "/users", {**body, "username": "by-key-2"}).status_code == 201
    r = with_key(tally, key, "PUT", "/admins/maker", {"description": "x"})
    assert r.status_code == 400 and "API key" in r.json()["error"]
    r = with_key(tally, key, "POST", "/users", {**body, "username": "bad name"})
    assert r.status_code == 400


def test_a_key_is_of_its_scope(tally):
    make_admin(tally, "scope-admin", filters={"allow_api_key_auth": True})
    tally.add_user("scope-user", filters={"allow_api_key_auth": True})
    first, _ = make_key(tally, admin="scope-admin")
    second, ident = make_key(tally, scope=2, user="scope-user")
    for _ in range(2):  # proved by a worker, then remembered
        r = with_key(tally, first, path="/user/profile")
        assert r.status_code == 403 and "scope" in r.json()["error"]
        r = with_key(tally, second, path="/version")
        assert r.status_code == 403 and "scope" in r.json()["error"]
    tally.api("DELETE", "/users/scope-user", expect=200)
    tally.api("GET", f"/apikeys/{ident}", expect=404)


def test_what_no_key_may_do(tally):
    make_admin(tally, "keyed", filters={"allow_api_key_auth": True})
    key, _ = make_key(tally, admin="keyed")
    for method, path in FORBIDDEN_TO_KEYS:
        r = with_key(tally, key, method, path, {})
        assert (r.status_code, r.json()) == (403, {"message": "API key authentication is not allowed"}), path


def test_retention_and_events_say_that_they_are_not_here(tally):
    for method, path in (("GET", "/retention/users/checks"), ("POST", "/retention/users/x/check"), ("GET", "/events/fs"), ("GET", "/events/provider")):
        r = tally.api(method, path, [] if method == "POST" else None, expect=501)
        assert r.json()["error"] and r.json()["message"] == "Not Implemented"


def test_keys_of_a_hash_are_sha1_by_the_book():
    """Our own reckoning of the passcode is that of RFC 6238, appendix B (the last six of eight digits at 59 s)."""
    key = base64.b32encode(b"12345678901234567890").decode()
    mac = hmac.new(base64.b32decode(key), struct.pack(">Q", 59 // 30), hashlib.sha1).digest()
    at = mac[-1] & 15
    assert (struct.unpack(">I", mac[at:at + 4])[0] & 0x7FFFFFFF) % 10**6 == 287082
