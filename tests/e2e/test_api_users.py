"""Users over REST: create, read, merge, delete, validation, paging (contract/rest.md §4, §11 lines 5 to 7)."""

import pytest
import requests

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk3AOF6BUqwgNsxuYP6bC6V9CzEr4Uv1Rk7kNqRBJdQ me@here"


def user(name, **members):
    return {"username": name, "password": "secret", "status": 1, "permissions": {"/": ["*"]}, **members}


def test_post_gives_201_and_the_object_that_get_gives(tally):
    r = tally.api("POST", "/users", user("echo", description="<b>&"), expect=201)
    made = r.json()
    assert made["id"] > 0 and made["username"] == "echo" and made["home_dir"].endswith("/echo") and "password" not in made
    assert (made["used_quota_size"], made["used_quota_files"]) == (0, 0) and made["created_at"] > 0
    assert r.headers["Content-Type"] == "application/json; charset=utf-8" and r.text.endswith("}\n")
    assert "\\u003cb\\u003e\\u0026" in r.text
    got = tally.api("GET", "/users/echo", expect=200).json()
    for volatile in ("last_quota_update",):
        got.pop(volatile), made.pop(volatile)
    assert got == made
    listed = [u for u in tally.api("GET", "/users?limit=500", expect=200).json() if u["username"] == "echo"]
    listed[0].pop("last_quota_update")
    assert listed == [got]


def test_a_taken_name_is_409(tally):
    tally.api("POST", "/users", user("twice"), expect=201)
    r = tally.api("POST", "/users", user("twice"), expect=409)
    assert r.json()["error"] and r.json()["message"] == ""


BAD = {
    "no name": {"username": ""},
    "a name with a slash": {"username": "a/b"},
    "neither password nor key": {"password": ""},
    "no permissions": {"permissions": {}},
    "no root permissions": {"permissions": {"/a": ["*"]}},
    "unknown permission": {"permissions": {"/": ["fly"]}},
    "relative permission path": {"permissions": {"/": ["*"], "a": ["list"]}},
    "status 2": {"status": 2},
    "relative home": {"home_dir": "home"},
    "bad email": {"email": "x"},
    "bad key": {"public_keys": ["ssh-rsa nonsense"]},
    "bare address": {"filters": {"allowed_ip": ["10.0.0.1"]}},
    "unknown login method": {"filters": {"denied_login_methods": ["telepathy"]}},
    "all protocols denied": {"filters": {"denied_protocols": ["SSH", "FTP", "DAV", "HTTP"]}},
    "negative quota": {"quota_size": -1},
    "negative files": {"quota_files": -1},
    "negative sessions": {"max_sessions": -1},
    "negative bandwidth": {"upload_bandwidth": -1},
    "negative uid": {"uid": -1},
    "cloud storage": {"filesystem": {"provider": 1}},
    "a list as configuration": {"filesystem": {"provider": 0, "sftpconfig": []}},
    "unknown folder": {"virtual_folders": [{"name": "nowhere", "virtual_path": "/v", "quota_size": -1, "quota_files": -1}]},
    "one quota -1": {"virtual_folders": [{"name": "n", "mapped_path": "/tmp/n", "virtual_path": "/v", "quota_size": -1, "quota_files": 0}]},
    "a fraction": {"quota_size": 1.5},
    "a number out of range": {"quota_size": 2**64},
    "the wrong type": {"username": 5},
    "a list for a map": {"permissions": []},
}


@pytest.mark.parametrize("what", BAD)
def test_is_refused(tally, what):
    r = tally.api("POST", "/users", {**user("bad"), **BAD[what]}, expect=400)
    assert r.json()["error"] and r.json()["message"] == ""
    tally.api("GET", "/users/bad", expect=404)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b'{"username":', b"\xff"])
def test_what_is_no_json_object_is_400(tally, body):
    r = requests.post(tally.api_url + "/api/v2/users", data=body, headers={"Authorization": "Bearer " + tally.token()}, timeout=30)
    assert r.status_code == 400 and r.json()["error"] and r.json()["message"] == "", r.text


def test_an_empty_body_is_eof_and_trailing_bytes_do_not_matter(tally):
    headers = {"Authorization": "Bearer " + tally.token()}
    r = requests.post(tally.api_url + "/api/v2/users", data=b"", headers=headers, timeout=30)
    assert r.json()["error"] == "EOF"
    body = b'{"USERNAME":"cases","Password":"p","status":1,"permissions":{"/":["*"]},"unknown":[1]} trailing'
    r = requests.post(tally.api_url + "/api/v2/users", data=body, headers=headers, timeout=30)
    assert r.status_code == 201, r.text


def test_put_merges(tally):
    add = user("merge", description="old", quota_size=1000, public_keys=[KEY], filters={"allowed_ip": ["10.0.0.0/8"], "max_upload_file_size": 5})
    folder = {"name": "merge-f", "mapped_path": str(tally.dir / "merge-f"), "virtual_path": "/v", "quota_size": -1, "quota_files": -1}
    tally.api("POST", "/users", {**add, "virtual_folders": [folder]}, expect=201)
    assert tally.api("GET", "/folders/merge-f", expect=200).json()["users"] == ["merge"]

    before = tally.api("GET", "/users/merge", expect=200).json()
    r = tally.api("PUT", "/users/merge", {**before, "quota_files": 7}, expect=200)
    assert r.json() == {"message": "User updated"}
    after = tally.api("GET", "/users/merge", expect=200).json()
    for volatile in ("updated_at", "last_quota_update"):
        before.pop(volatile), after.pop(volatile)
    assert {**before, "quota_files": 7} == after  # GET, modify, PUT is a round trip

    tally.api("PUT", "/users/merge", {"quota_size": 2000, "username": "other", "id": 9, "used_quota_size": 5}, expect=200)
    now = tally.api("GET", "/users/merge", expect=200).json()
    assert now["quota_size"] == 2000 and now["quota_files"] == 7 and now["description"] == "old"
    assert now["id"] == after["id"] and now["permissions"] == {"/": ["*"]} and now["used_quota_size"] == 0
    assert now["filters"]["allowed_ip"] == ["10.0.0.0/8"] and now["public_keys"] == [KEY]
    assert "virtual_folders" not in now  # absent: all removed
    assert not tally.api("GET", "/folders/merge-f", expect=200).json().get("users")

    tally.api("PUT", "/users/merge", {"filters": {"max_upload_file_size": 9}, "permissions": {}, "description": ""}, expect=200)
    now = tally.api("GET", "/users/merge", expect=200).json()
    assert now["filters"]["allowed_ip"] == ["10.0.0.0/8"] and now["filters"]["max_upload_file_size"] == 9
    assert now["permissions"] == {"/": ["*"]} and not now.get("description")
    tally.api("PUT", "/users/merge", {"permissions": {"/": ["list"], "/a": ["upload"]}}, expect=200)
    assert tally.api("GET", "/users/merge").json()["permissions"] == {"/": ["list"], "/a": ["upload"]}

    tally.api("PUT", "/users/merge", {"password": ""}, expect=200)  # the key is still there
    tally.api("PUT", "/users/merge", {"public_keys": []}, expect=400)  # nothing would be left
    assert tally.api("GET", "/users/merge").json()["public_keys"] == [KEY]


def test_put_checks_in_the_order_of_the_contract(tally):
    tally.api("POST", "/users", user("order"), expect=201)
    tally.api("PUT", "/users/unknown?disconnect=x", {}, expect=400)
    headers = {"Authorization": "Bearer " + tally.token()}
    r = requests.put(tally.api_url + "/api/v2/users/unknown", data=b"{", headers=headers, timeout=30)
    assert r.status_code == 404 and r.json()["error"] == "Not Found"
    assert requests.put(tally.api_url + "/api/v2/users/order", data=b"{", headers=headers, timeout=30).status_code == 400
    tally.api("PUT", "/users/order", {"status": 5}, expect=400)
    tally.api("PUT", "/users/order?disconnect=2", {}, expect=200)
    tally.api("PUT", "/users/order?disconnect=1", {}, expect=200)


def test_delete_then_404(tally):
    tally.api("POST", "/users", user("gone"), expect=201)
    assert tally.api("DELETE", "/users/gone", expect=200).json() == {"message": "User deleted"}
    for method in ("GET", "PUT", "DELETE"):
        r = tally.api(method, "/users/gone", {} if method == "PUT" else None, expect=404)
        assert r.json()["error"] == "Not Found"


def test_names_are_decoded_once_and_cases_differ(tally):
    tally.api("POST", "/users", user("a~b"), expect=201)
    assert tally.api("GET", "/users/a%7Eb", expect=200).json()["username"] == "a~b"
    tally.api("GET", "/users/a%257Eb", expect=404)
    tally.api("GET", "/users/A~b", expect=404)
    tally.api("GET", "/users/a~b/", expect=200)
    tally.api("GET", "/users/a%2Fb", expect=404)


def test_paging(make_tally):
    tally = make_tally()
    headers = {"Authorization": "Bearer " + tally.token()}
    with requests.Session() as s:
        for i in range(505):
            body = {**user(f"p{i:04}"), "password": "$2a$04$" + "a" * 53}
            assert s.post(tally.api_url + "/api/v2/users", json=body, headers=headers, timeout=30).status_code == 201

    def names(query):
        return [u["username"] for u in tally.api("GET", "/users" + query, expect=200).json()]

    everyone = [f"p{i:04}" for i in range(505)]
    assert names("") == everyone[:100]
    assert names("?limit=1000") == everyone[:500]
    assert names("?limit=500&offset=500") == everyone[500:]
    assert names("?limit=3&order=DESC") == everyone[:-4:-1]
    assert names("?limit=2&offset=1&order=ASC") == everyone[1:3]
    assert names("?limit=0") == [] and names("?offset=505") == []
    for query, error in (
        ("limit=x", "invalid limit"),
        ("limit=-1", "invalid limit"),
        ("limit=", "invalid limit"),
        ("offset=1.5", "invalid offset"),
        ("offset=-1", "invalid offset"),
        ("order=asc", "invalid order"),
        ("order=", "invalid order"),
    ):
        r = tally.api("GET", "/users?" + query, expect=400)
        assert r.json() == {"error": error, "message": ""}
    assert tally.stop() == 0
