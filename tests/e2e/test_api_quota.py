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


def test_without_tracking_no_quota_form_answers_but_403(make_tally):
    tally = make_tally(data_provider={"track_quota": 0})
    tally.add_user("u", quota_size=10)
    (tally.mount / "u" / "f").write_bytes(b"x" * 1000)  # nothing is refused
    for method, path in (("GET", "/quotas/users/u"), ("DELETE", "/quotas/users/u/scan"), ("GET", "/quotas/users/scans"), ("GET", "/quotas/folders/scans"), ("GET", "/quota-scans")):
        assert tally.api(method, path, expect=403).json() == {"message": "Quota tracking is disabled!"}
    one = tally.api("GET", "/users/u", expect=200).json()
    assert (one["used_quota_size"], one["used_quota_files"]) == (0, 0)
    assert tally.stop() == 0


def test_only_users_with_a_limit_are_counted_when_only_limits_are_tracked(make_tally):
    tally = make_tally(data_provider={"track_quota": 2})
    tally.add_user("free")
    tally.add_user("bound", quota_size=5000)
    for name in ("free", "bound"):
        (tally.mount / name / "f").write_bytes(b"x" * 3000)
    assert usage(tally, "users", "free")["used_quota_size"] == 0
    assert usage(tally, "users", "bound")["used_quota_size"] == 3000
    tally.api("PUT", "/users/free", {"quota_size": 4000}, expect=200)
    until(lambda: usage(tally, "users", "free")["state"] in ("clean", "dirty"), what="the count")
    assert usage(tally, "users", "free")["used_quota_size"] == 3000
    with pytest.raises(OSError, match="quota"):
        (tally.mount / "free" / "g").write_bytes(b"x" * 2000)
    (tally.mount / "free" / "g").unlink()
    tally.api("PUT", "/users/free", {"quota_size": 0}, expect=200)

    def fits():
        try:
            return (tally.mount / "free" / "g").write_bytes(b"x" * 9000)
        except OSError:
            return None

    until(fits, what="the limit is gone for writers, too")
    until(lambda: usage(tally, "users", "free")["used_quota_size"] == 0, what="nobody counts")
    assert tally.stop() == 0


def test_a_scan_of_a_big_tree_shows_progress_can_be_cancelled_and_reports_the_drift(make_tally):
    files, drift = 600, 600 * 11
    tally = make_tally(watcher={"mode": "off"}, ledger={"recount_rate": 400, "recounts": 2})
    tally.add_user("big")
    (tally.mount / "big" / "own").write_bytes(b"x" * 100)
    for i in range(files):
        path = tally.data / "big" / f"d{i % 20}"
        path.mkdir(exist_ok=True)
        (path / f"f{i}").write_bytes(b"y" * 11)

    def running():
        return [s for s in tally.api("GET", "/quotas/users/scans", expect=200).json() if s["username"] == "big"]

    def ended(n):
        last = usage(tally, "users", "big")["last_scan"]
        return last if last and last["result"] and not running() else None

    assert tally.api("POST", "/quotas/users/big/scan?dry_run=1", expect=202).json() == {"message": "Scan started"}
    seen = until(lambda: (r := running()) and r[0]["files_seen"] > 0 and r[0], what="progress")
    assert seen["dry_run"] and seen["files_seen"] <= files + 1 and seen["bytes_seen"] > 0
    until(lambda: (r := running()) and r[0]["files_seen"] > seen["files_seen"], what="more progress")
    tally.api("POST", "/quotas/users/big/scan", expect=409)
    tally.api("POST", "/quotas/users/big/scan?dry_run=1", expect=409)
    tally.api("PUT", "/quotas/users/big/usage", {"used_quota_size": 1}, expect=409)
    tally.api("DELETE", "/quotas/users/big/scan", expect=200)
    last = until(lambda: ended(1), what="the end")
    assert last["result"] == "cancelled" and last["files_seen"] < files
    tally.api("DELETE", "/quotas/users/big/scan", expect=404)

    tally.api("POST", "/quotas/users/big/scan?dry_run=1", expect=202)
    last = until(lambda: (r := ended(2)) and r["result"] == "done" and r, what="the dry run", seconds=60)
    assert (last["dry_run"], last["drift_size"], last["drift_files"], last["files_seen"]) == (True, -drift, -files, files + 1)
    assert usage(tally, "users", "big")["used_quota_size"] == 100
    tally.api("POST", "/quotas/users/big/scan", expect=202)
    last = until(lambda: (r := ended(3)) and not r["dry_run"] and r, what="the scan", seconds=60)
    assert (last["result"], last["drift_size"], last["drift_files"]) == ("done", -drift, -files)
    got = usage(tally, "users", "big")
    assert (got["used_quota_size"], got["used_quota_files"]) == (100 + drift, files + 1)
    assert tally.stop() == 0
