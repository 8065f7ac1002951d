"""Quota over REST: scans, usage and its correction (contract/rest.md §6, §11 lines 10 and 11; ours of DESIGN §10)."""

import pytest

from conftest import until

KINDS = {"users": "username", "folders": "name"}


def subject(tally, kind, name):
    if kind == "users":
        return tally.add_user(name)
    path = tally.dir / "folders" / name
    path.mkdir(parents=True)
    tally.api("POST", "/folders", {"name": name, "mapped_path": str(path)}, expect=201)
    return path


def usage(tally, kind, name):
    got = tally.api("GET", f"/quotas/{kind}/{name}", expect=200).json()
    assert got[KINDS[kind]] == name
    return got


def scan_ends(tally, kind, name):
    until(lambda: name not in [s[KINDS[kind]] for s in tally.api("GET", f"/quotas/{kind}/scans", expect=200).json()], what="the end of the scan")


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_counts(tally, kind):
    path = subject(tally, kind, "scanned")
    backing = path if kind == "folders" else tally.data / "scanned"
    backing.mkdir(parents=True, exist_ok=True)
    (backing / "a").write_bytes(b"x" * 1000)
    # a new tree is counted at once by itself: until that has ended there is a 409
    start = until(lambda: (r := tally.api("POST", f"/quotas/{kind}/scanned/scan")).status_code != 409 and r, what="the first count")
    assert (start.status_code, start.json()) == (202, {"message": "Scan started"})
    scan_ends(tally, kind, "scanned")
    got = until(lambda: usage(tally, kind, "scanned")["last_scan"] and usage(tally, kind, "scanned"), what="the report")
    assert (got["used_quota_size"], got["used_quota_files"]) == (1000, 1)
    assert got["last_scan"]["result"] == "done" and got["last_scan"]["files_seen"] == 1 and got["last_scan"]["bytes_seen"] == 1000
    assert got["last_scan"]["end_time"] >= got["last_scan"]["start_time"] > 0
    one = tally.api("GET", f"/{kind}/scanned", expect=200).json()
    assert (one["used_quota_size"], one["used_quota_files"]) == (1000, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_is_404(tally, kind):
    tally.api("POST", f"/quotas/{kind}/nobody/scan", expect=404)
    tally.api("DELETE", f"/quotas/{kind}/nobody/scan", expect=404)
    tally.api("GET", f"/quotas/{kind}/nobody", expect=404)
    tally.api("PUT", f"/quotas/{kind}/nobody/usage", {"used_quota_size": 1}, expect=404)


def test_nothing_to_cancel_is_404_and_a_bad_dry_run_400(tally):
    tally.add_user("idle")
    scan_ends(tally, "users", "idle")
    tally.api("DELETE", "/quotas/users/idle/scan", expect=404)
    tally.api("POST", "/quotas/users/idle/scan?dry_run=x", expect=400)


@pytest.mark.parametrize("kind", KINDS)
def test_usage_is_reset_and_added_to(tally, kind):
    subject(tally, kind, "corrected")
    scan_ends(tally, kind, "corrected")
    put = f"/quotas/{kind}/corrected/usage"

    def numbers():
        got = usage(tally, kind, "corrected")
        return got["used_quota_size"], got["used_quota_files"]

    r = tally.api("PUT", put, {"used_quota_size": 500, "used_quota_files": 5}, expect=200)
    assert r.json() == {"message": "Quota updated"} and numbers() == (500, 5)
    tally.api("PUT", put + "?mode=add", {"used_quota_size": 10}, expect=200)
    assert numbers() == (510, 5)
    tally.api("PUT", put + "?mode=add", {}, expect=200)
    assert numbers() == (510, 5)
    tally.api("PUT", put + "?mode=reset", {"used_quota_files": 1}, expect=200)
    assert numbers() == (0, 1)
    r = tally.api("PUT", put, {"used_quota_size": -1}, expect=400)
    assert r.json()["error"] == "invalid used quota parameters, negative values are not allowed"
    tally.api("PUT", put + "?mode=other", {"used_quota_size": 1}, expect=400)
    tally.api("PUT", put, {"used_quota_size": "x"}, expect=400)
    assert numbers() == (0, 1)


@pytest.mark.parametrize("kind, scans, update, member", [("users", "/quota-scans", "/quota-update", "username"), ("folders", "/folder-quota-scans", "/folder-quota-update", "name")])
def test_deprecated_forms(tally, kind, scans, update, member):
    subject(tally, kind, "former")
    scan_ends(tally, kind, "former")
    tally.api("PUT", update, {member: "former", "used_quota_size": 7, "used_quota_files": 1, "status": 1}, expect=200)
    assert usage(tally, kind, "former")["used_quota_size"] == 7
    start = until(lambda: (r := tally.api("POST", scans, {member: "former"})).status_code != 409 and r, what="the first count")
    assert (start.status_code, start.json()) == (202, {"message": "Scan started"})
    until(lambda: tally.api("GET", scans, expect=200).json() == [], what="the end of the scan")
    until(lambda: usage(tally, kind, "former")["used_quota_size"] == 0, what="the adjustment to be dropped")
    tally.api("POST", scans, {member: "nobody"}, expect=404)
    tally.api("POST", scans, {}, expect=404)
    tally.api("PUT", update, {member: "nobody"}, expect=404)


def test_without_tracking_quota_is_403(make_tally):
    tally = make_tally(data_provider={"track_quota": 0})
    tally.add_user("u")
    for path in ("/quotas/users/u/scan", "/quotas/users/nobody/scan"):
        assert tally.api("POST", path, expect=403).json() == {"message": "Quota tracking is disabled!"}
    r = tally.api("PUT", "/quotas/users/u/usage", {"used_quota_size": 1}, expect=403)
    assert r.json()["error"].startswith("Method disabled error: please enable track_quota")
    tally.api("PUT", "/quotas/users/nobody/usage", {"used_quota_size": 1}, expect=404)
    assert tally.stop() == 0


def test_users_without_a_limit_are_only_reset_when_only_limits_are_tracked(make_tally):
    tally = make_tally(data_provider={"track_quota": 2})
    tally.add_user("free")
    r = tally.api("PUT", "/quotas/users/free/usage?mode=add", {"used_quota_size": 1}, expect=400)
    assert r.json()["error"] == "this user has no quota restrictions, only reset mode is supported"
    assert tally.stop() == 0
