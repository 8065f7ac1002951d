"""Virtual folders over REST (contract/rest.md §4.5, §11 line 8)."""

import pytest


def folder(tally, name, **members):
    return {"name": name, "mapped_path": str(tally.dir / "folders" / name), **members}


def test_post_get_list_put_delete(tally):
    made = tally.api("POST", "/folders", folder(tally, "one", description="d"), expect=201).json()
    assert made["id"] > 0 and made["name"] == "one" and made["description"] == "d"
    assert (made["used_quota_size"], made["used_quota_files"]) == (0, 0)
    got = tally.api("GET", "/folders/one", expect=200).json()
    assert {**got, "last_quota_update": 0} == {**made, "last_quota_update": 0}
    listed = [f for f in tally.api("GET", "/folders?limit=500", expect=200).json() if f["name"] == "one"]
    assert {**listed[0], "last_quota_update": 0} == {**got, "last_quota_update": 0}
    r = tally.api("PUT", "/folders/one", {"description": "e", "name": "other", "used_quota_size": 5}, expect=200)
    assert r.json() == {"message": "Folder updated"}
    now = tally.api("GET", "/folders/one", expect=200).json()
    assert now["description"] == "e" and now["mapped_path"] == made["mapped_path"] and now["used_quota_size"] == 0
    assert tally.api("DELETE", "/folders/one", expect=200).json() == {"message": "Folder deleted"}
    for method in ("GET", "PUT", "DELETE"):
        tally.api(method, "/folders/one", {} if method == "PUT" else None, expect=404)


def test_a_taken_name_is_409(tally):
    tally.api("POST", "/folders", folder(tally, "twice"), expect=201)
    tally.api("POST", "/folders", folder(tally, "twice"), expect=409)


@pytest.mark.parametrize("bad", [{"name": ""}, {"name": "a b"}, {"mapped_path": ""}, {"mapped_path": "rel"}, {"filesystem": {"provider": 5}}])
def test_is_refused(tally, bad):
    tally.api("POST", "/folders", {**folder(tally, "bad"), **bad}, expect=400)
    tally.api("GET", "/folders/bad", expect=404)


def test_delete_takes_it_from_its_users(tally):
    tally.api("POST", "/folders", folder(tally, "shared"), expect=201)
    mine = [{"name": "shared", "virtual_path": "/s", "quota_size": 0, "quota_files": 0}]
    tally.add_user("sharer", virtual_folders=mine)
    u = tally.api("GET", "/users/sharer", expect=200).json()
    assert [(f["name"], f["virtual_path"], f["quota_size"]) for f in u["virtual_folders"]] == [("shared", "/s", 0)]
    assert u["virtual_folders"][0]["mapped_path"] == str(tally.dir / "folders/shared")
    assert tally.api("GET", "/folders/shared", expect=200).json()["users"] == ["sharer"]
    listed = [x for x in tally.api("GET", "/users?limit=500", expect=200).json() if x["username"] == "sharer"]
    assert listed[0]["virtual_folders"] == u["virtual_folders"]
    tally.api("DELETE", "/folders/shared", expect=200)
    assert "virtual_folders" not in tally.api("GET", "/users/sharer", expect=200).json()


CLASHES = {
    "the same virtual path": [("c1", "/v"), ("c2", "/v")],
    "the same folder twice": [("c1", "/v"), ("c1", "/w")],
    "the root": [("c1", "/")],
    "a relative path": [("c1", "v")],
}


@pytest.mark.parametrize("what", CLASHES)
def test_clashing_folders_are_refused(tally, what):
    folders = [
        {**folder(tally, name), "virtual_path": path, "quota_size": -1, "quota_files": -1} for name, path in CLASHES[what]
    ]
    tally.add_user("clash", expect=400, virtual_folders=folders)


def test_a_folder_in_the_home_is_refused(tally):
    inside = {"name": "inside", "mapped_path": str(tally.data / "homer/x"), "virtual_path": "/v", "quota_size": -1, "quota_files": -1}
    tally.add_user("homer", expect=400, virtual_folders=[inside])
