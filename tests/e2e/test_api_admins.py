"""Administrators over REST, and what one may not do to oneself (contract/rest.md §1.3, §4.6, §11 line 9)."""

import pytest
import requests


def admin(name, **members):
    return {"username": name, "password": "pass-word", "permissions": ["view_users"], "status": 1, **members}


def as_admin(tally, name, method, path, body=None, password="pass-word"):
    base = tally.api_url + "/api/v2"
    token = requests.get(base + "/token", auth=(name, password), timeout=30).json()["access_token"]
    return requests.request(method, base + path, json=body, headers={"Authorization": "Bearer " + token}, timeout=30)


def test_post_get_list_put_delete(tally):
    made = tally.api("POST", "/admins", admin("one", email="a@b.org", permissions=["view_users", "*"]), expect=201).json()
    assert made["permissions"] == ["*"] and "password" not in made and made["email"] == "a@b.org"
    assert made["filters"]["totp_config"] == {}
    got = tally.api("GET", "/admins/one", expect=200).json()
    assert got == made
    assert [a for a in tally.api("GET", "/admins?limit=500", expect=200).json() if a["username"] == "one"] == [got]
    r = tally.api("PUT", "/admins/one", {"description": "d", "username": "x"}, expect=200)
    assert r.json() == {"message": "Admin updated"}
    now = tally.api("GET", "/admins/one", expect=200).json()
    assert now["description"] == "d" and now["email"] == "a@b.org" and now["id"] == made["id"]
    assert as_admin(tally, "one", "GET", "/version").status_code == 200  # the password stayed
    tally.api("POST", "/admins", admin("one"), expect=409)
    assert tally.api("DELETE", "/admins/one", expect=200).json() == {"message": "Admin deleted"}
    for method in ("GET", "PUT", "DELETE"):
        tally.api(method, "/admins/one", {} if method == "PUT" else None, expect=404)


BAD = {
    "no name": {"username": ""},
    "a name with a blank": {"username": "a b"},
    "no password": {"password": ""},
    "no permissions": {"permissions": []},
    "unknown permission": {"permissions": ["fly"]},
    "bad email": {"email": "x"},
    "bare address": {"filters": {"allow_list": ["10.0.0.1"]}},
    "no network": {"filters": {"allow_list": ["10.0.0.0/33"]}},
}


@pytest.mark.parametrize("what", BAD)
def test_is_refused(tally, what):
    r = tally.api("POST", "/admins", {**admin("bad"), **BAD[what]}, expect=400)
    assert r.json()["error"].startswith("Validation error: ") and r.json()["message"] == ""
    tally.api("GET", "/admins/bad", expect=404)


def test_put_with_no_permissions_is_refused(tally):
    tally.api("POST", "/admins", admin("keeps"), expect=201)
    tally.api("PUT", "/admins/keeps", {"permissions": []}, expect=400)
    assert tally.api("GET", "/admins/keeps", expect=200).json()["permissions"] == ["view_users"]


SELF = {
    "remove its own permissions": ("PUT", {"permissions": ["view_users"]}, "you cannot remove these permissions to yourself"),
    "disable itself": ("PUT", {"status": 0}, "you cannot disable yourself"),
    "delete itself": ("DELETE", None, "you cannot delete yourself"),
}


@pytest.mark.parametrize("what", SELF)
def test_an_administrator_cannot(tally, what):
    method, body, error = SELF[what]
    name = "self-" + what.split()[0]
    tally.api("POST", "/admins", admin(name, permissions=["*"]), expect=201)
    r = as_admin(tally, name, method, "/admins/" + name, body)
    assert (r.status_code, r.json()) == (400, {"error": error, "message": ""})


def test_one_may_keep_manage_admins_alone(tally):
    tally.api("POST", "/admins", admin("less", permissions=["*"]), expect=201)
    assert as_admin(tally, "less", "PUT", "/admins/less", {"permissions": ["manage_admins"]}).status_code == 200


@pytest.mark.parametrize("path", ["/admin/changepwd", "/changepwd/admin"])
def test_change_of_the_own_password(tally, path):
    name = "pwd" + path.replace("/", "-")
    tally.api("POST", "/admins", admin(name), expect=201)
    rows = [
        ({"current_password": "", "new_password": "x"}, "please provide the current password and the new one two times"),
        ({"current_password": "pass-word"}, "please provide the current password and the new one two times"),
        ({"current_password": "same", "new_password": "same"}, "the new password must be different from the current one"),
        ({"current_password": "wrong", "new_password": "next"}, "current password does not match"),
    ]
    for body, error in rows:
        r = as_admin(tally, name, "PUT", path, body)
        assert (r.status_code, r.json()["error"]) == (400, "Validation error: " + error)
    base = tally.api_url + "/api/v2"
    token = requests.get(base + "/token", auth=(name, "pass-word"), timeout=30).json()["access_token"]
    headers = {"Authorization": "Bearer " + token}
    r = requests.put(base + path, json={"current_password": "pass-word", "new_password": "next"}, headers=headers, timeout=30)
    assert (r.status_code, r.json()) == (200, {"message": "Password updated"})
    assert requests.get(base + "/version", headers=headers, timeout=30).status_code == 401
    assert requests.get(base + "/token", auth=(name, "pass-word"), timeout=30).status_code == 401
    assert as_admin(tally, name, "GET", "/version", password="next").status_code == 200


def test_bad_pages(tally):
    for path in ("/admins", "/folders"):
        for query in ("limit=x", "offset=-1", "order=up"):
            assert tally.api("GET", f"{path}?{query}", expect=400).json()["error"] == "invalid " + query.split("=")[0]
