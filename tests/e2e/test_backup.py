"""Backup and restore: dumps of SFTPGo come in whole or not at all, people log in as before, and what Tally has not is told."""

import errno
import json
import os
import pathlib
import stat
import subprocess

import paramiko
import pytest
import requests

from conftest import TALLYD, Tally, until, walk
from test_sftp_sessions import connect, is_ended

HERE = pathlib.Path(__file__).parent
REAL = HERE.parent / "unit/store/dumps"
PASSWORD = "old-Passw0rd-é"
ADMIN_PASSWORD = "admin-Passw0rd"


def dump_of(tally, path):
    """A dump with its homes moved into the test's directory."""
    return path.read_text().replace("/srv/old/", f"{tally.dir}/old/")


def load(tally, dump, query="", expect=200):
    text = dump if isinstance(dump, str) else json.dumps(dump)
    headers = {"Authorization": "Bearer " + tally.token()}
    r = requests.post(f"{tally.api_url}/api/v2/loaddata?{query}", data=text.encode(), headers=headers, timeout=60)
    assert r.status_code == expect, r.text
    return r.json()


def dump(tally, query="output-data=1"):
    headers = {"Authorization": "Bearer " + tally.token()}
    r = requests.get(f"{tally.api_url}/api/v2/dumpdata?{query}", headers=headers, timeout=60)
    assert r.status_code == 200, r.text
    return r.json()


def normal(dumped):
    """Without what is another one's after a restore: numbers of rows, times of the change, and live usage."""
    if isinstance(dumped, dict):
        gone = ("id", "updated_at", "last_quota_update", "used_quota_size", "used_quota_files", "last_login", "last_use_at")
        return {k: normal(v) for k, v in dumped.items() if k not in gone}
    return [normal(v) for v in dumped] if isinstance(dumped, list) else dumped


def left_out(result):
    return {(o["section"], o["name"], o.get("member", "")) for o in result["left_out"]}


def token_status(tally, name, password):
    return requests.get(tally.api_url + "/api/v2/token", auth=(name.encode(), password.encode()), timeout=30).status_code


def key_login(tally, user, password=None):
    """By the key of the dumps, and then by password where that is asked for too."""
    key = paramiko.Ed25519Key.from_private_key_file(str(HERE / "dumps/test_key"))
    t = paramiko.Transport(("127.0.0.1", tally.sftp_port))
    try:
        t.start_client(timeout=20)
        wanted = t.auth_publickey(user, key)
        if password is not None:
            assert wanted == ["password"], wanted
            t.auth_password(user, password)
        return t.is_authenticated()
    finally:
        t.close()


def logs_in(tally, user):
    with connect(tally, user, PASSWORD) as c, c.open_sftp() as sftp:
        return sftp.listdir("/")


REPORTED = {
    "2.2.0": {("users", "cloud", "")},
    "2.7.5": {
        ("users", "cloud", ""),
        ("users", "grouped", "role"),
        ("users", "grouped", "groups"),
        ("users", "grouped", "upload_data_transfer"),
        ("groups", "g1", ""),
        ("roles", "tenant1", ""),
        ("event_actions", "scan", ""),
        ("event_rules", "nightly", ""),
        ("ip_lists", "127.0.0.0/8", ""),
    },
}

KEYS = {  # of the administrator "viewer"
    "2.2.0": "jjLUPYCYJ2xvBdjJUTK5UX.Af39NNNWvhsRkZUCqK48TU",
    "2.7.5": "mUjUQv44WbzNFpHYTy24Sg.7nQxmefoehNFVfQfjYTkBd",
}


@pytest.mark.parametrize("version", REPORTED)
def test_a_real_dump_comes_in_and_everybody_logs_in_as_before(make_tally, version):
    tally = make_tally()
    text = dump_of(tally, REAL / f"sftpgo-{version}.json")
    names = {u["username"] for u in json.loads(text)["users"]} - {"cloud"}
    refused = load(tally, text, expect=400)
    assert '"cloud": filesystem storage provider 1 (S3) is not supported' in refused["error"]
    assert tally.api("GET", "/users?limit=500").json() == []  # with one object that cannot be, nothing changes

    result = load(tally, text, "skip-unsupported=1&scan-quota=1")
    assert result["message"] == "Data restored" and result["users"] == {"added": len(names), "updated": 0, "kept": 0}
    assert result["folders"]["added"] == 2 and result["admins"] == {"added": 2, "updated": 1, "kept": 0}
    assert left_out(result) == REPORTED[version] and result["left_out_total"] == len(REPORTED[version])
    for section, name, _ in REPORTED[version]:
        assert f'left out: {section} \\"{name}\\"' in tally.log()
    tally.admin = ("admin", ADMIN_PASSWORD)  # the caller has replaced itself
    assert token_status(tally, *tally.admin) == 200 and token_status(tally, "viewer", PASSWORD) == 200
    assert token_status(tally, "retired", PASSWORD) == 401 and token_status(tally, "admin", "admin-password") == 401

    assert result["api_keys"]["added"] == (2 if version == "2.2.0" else 1)
    headers = {"X-SFTPGO-API-KEY": KEYS[version]}
    for allowed, status in ((False, 401), (True, 200)):  # the viewer does not allow it before that is changed
        tally._token = None
        tally.api("PUT", "/admins/viewer", {"filters": {"allow_api_key_auth": allowed}}, expect=200)
        assert requests.get(tally.api_url + "/api/v2/users/anna", headers=headers, timeout=30).status_code == status

    for name in sorted(n for n in names if n.startswith("hash-")) + ["Odd.na-me_~1"]:
        assert logs_in(tally, name) == [], name
    for name in ("off", "expired", "cloud"):
        with pytest.raises(paramiko.AuthenticationException):
            logs_in(tally, name)
    assert key_login(tally, "anna"), tally.log()[-3000:]
    assert key_login(tally, "bert", PASSWORD), tally.log()[-3000:]
    with pytest.raises(paramiko.AuthenticationException):
        logs_in(tally, "bert")  # key and password
    assert {f.name for f in (tally.mount / "bert").iterdir()} == {"team"}  # its virtual folder

    saved = tally.dir / "saved.json"
    saved.write_text(json.dumps(dump(tally)))
    elsewhere = Tally()
    try:
        elsewhere.options = ["--loaddata-from", str(saved), "--loaddata-clean", "--loaddata-scan", "1"]
        before = json.loads(saved.read_text())
        elsewhere.start()
        elsewhere.admin = ("admin", ADMIN_PASSWORD)
        assert normal(dump(elsewhere)) == normal(before) and before["version"] == 10
        assert not saved.exists() and f"{saved} is restored" in elsewhere.log()
        assert "left out" not in elsewhere.log()
        assert logs_in(elsewhere, "hash-plain") == []
    finally:
        elsewhere.close()


BY_HAND = {
    8: ("eight", "eight-admin", {}, set()),
    12: (
        "twelve",
        "twelve-admin",
        {},
        {
            ("users", "twelve", "total_data_transfer"),
            ("users", "twelve", "filters.bandwidth_limits"),
            ("users", "twelve", "filters.file_patterns[0].deny_policy"),
            ("users", "twelve", "groups"),
            ("groups", "staff", ""),
            ("shares", "s", ""),
            ("admins", "twelve-admin", "permissions"),
        },
    ),
    13: (
        "thirteen",
        None,
        {},
        {("users", "thirteen", "filters.start_directory"), ("event_actions", "reset", ""), ("event_rules", "nightly13", "")},
    ),
    16: (
        "sixteen",
        "sixteen-admin",
        {"permissions": {"/": ["list", "download", "upload"]}},
        {
            ("users", "sixteen", "permissions./"),
            ("users", "sixteen", "role"),
            ("users", "sixteen", "filters.web_client"),
            ("users", "sixteen", "filters.default_shares_expiration"),
            ("users", "sixteen", "filesystem.osconfig"),
            ("users", "sixteen-http", ""),
            ("folders", "sixteen-crypt", ""),
            ("admins", "sixteen-admin", "role"),
            ("admins", "sixteen-admin", "filters.require_two_factor"),
            ("admins", "sixteen-admin", "filters.preferences"),
            ("roles", "tenant16", ""),
            ("ip_lists", "192.0.2.0/24", ""),
            ("configs", "", ""),
        },
    ),
}


@pytest.mark.parametrize("version", BY_HAND)
def test_a_dump_of_each_version_comes_in(tally, version):
    user, admin, members, reported = BY_HAND[version]
    result = load(tally, dump_of(tally, HERE / f"dumps/v{version}.json"), "skip-unsupported=1")
    assert left_out(result) == reported
    assert isinstance(logs_in(tally, user), list)
    assert admin is None or token_status(tally, admin, PASSWORD) == 200
    got = tally.api("GET", f"/users/{user}", expect=200).json()
    assert {m: got[m] for m in members} == members


BAD_BODIES = {
    "empty": (b"", 400, "request body is required"),
    "no JSON": (b"users", 400, "Unable to parse backup content"),
    "cut off": (b'{"users":[{"username":"x', 400, "unexpected end"),
    "a list": (b"[]", 400, "it must be a JSON object"),
    "version 99": (b'{"version":99}', 400, "version of the dump must be between 8 and 17"),
    "two of a name": (
        b'{"admins":[{"username":"two","password":"x","permissions":["*"]},{"username":"two","password":"x","permissions":["*"]}]}',
        400,
        'admins[1] "two": stands in the dump already, at admins[0]',
    ),
    "too large": (b'{"users":[]' + b" " * 10485760 + b"}", 413, "request body too large"),
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_bad_body_is_refused(tally, what):
    body, status, words = BAD_BODIES[what]
    headers = {"Authorization": "Bearer " + tally.token()}
    r = requests.post(tally.api_url + "/api/v2/loaddata", data=body, headers=headers, timeout=30)
    assert r.status_code == status and words in r.json()["error"], r.text


def test_bad_queries_are_refused(tally):
    for path, words in {
        "/loaddata?mode=x&input-file=/x": "invalid mode",
        "/loaddata?scan-quota=1.5&input-file=/x": "invalid scan_quota",
        "/loaddata?skip-unsupported=2&input-file=/x": "invalid skip-unsupported",
        "/loaddata": "it must be an absolute path",
        "/loaddata?input-file=relative.json": "it must be an absolute path",
        "/loaddata?input-file=/nowhere/x.json": "No such file or directory",
        "/loaddata?input-file=/tmp": "Is a directory",
        "/loaddata?input-file=/dev/zero": "this is no regular file",
        "/dumpdata": "invalid or missing output-file",
        "/dumpdata?output-file=%20": "invalid or missing output-file",
        "/dumpdata?output-file=/tmp/x": "it must be a relative path",
        "/dumpdata?output-file=a/../../x": 'it must not contain ".."',
        "/dumpdata?output-file=a/": "it must name a file",
        "/dumpdata?output-data=1&scopes=users,nonsense": '"nonsense" is no section of a dump',
    }.items():
        r = tally.api("GET", path, expect=400)
        assert words in r.json()["error"], path


def test_only_manage_system_may_dump_and_restore(tally):
    tally.api("POST", "/admins", {"username": "lesser", "password": "x", "status": 1, "permissions": ["view_users", "add_users"]}, expect=201)
    r = requests.get(tally.api_url + "/api/v2/token", auth=("lesser", "x"), timeout=30)
    headers = {"Authorization": "Bearer " + r.json()["access_token"]}
    url = tally.api_url + "/api/v2"
    for r in (
        requests.get(url + "/dumpdata?output-data=1", headers=headers, timeout=30),
        requests.get(url + "/loaddata?input-file=/x", headers=headers, timeout=30),
        requests.post(url + "/loaddata", data=b"{" + b" " * 5000000, headers=headers, timeout=30),
    ):
        assert r.status_code == 403, r.text


def test_a_file_is_written_below_the_backups_and_read_back(tally):
    tally.add_user("saved")
    backups = tally.dir / "state/backups"
    assert tally.api("GET", "/dumpdata?output-file=%20a/b.json%20&indent=1", expect=200).json() == {"message": "Data saved"}
    path = backups / "a/b.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE((backups / "a").stat().st_mode) == 0o700
    assert path.read_text().startswith('{\n  "users":')
    assert normal(json.loads(path.read_text())) == normal(dump(tally))
    tally.api("GET", "/dumpdata?output-file=a/b.json&scopes=admins", expect=200)  # replaced, as a whole
    assert set(json.loads(path.read_text())) == {"admins", "version"} and os.listdir(backups / "a") == ["b.json"]
    result = tally.api("GET", f"/loaddata?input-file={path}&mode=1", expect=200).json()
    assert result["admins"]["added"] == 0 and result["admins"]["kept"] >= 1

    os.symlink("/tmp", backups / "out")
    r = tally.api("GET", "/dumpdata?output-file=out/x.json")
    assert r.status_code in (400, 403) and not os.path.exists("/tmp/x.json")  # no link leads out
    theirs = tally.dir / "theirs.json"
    theirs.write_text("{}")
    theirs.chmod(0o600)  # root's: the API is another account
    assert "tally-api" in tally.api("GET", f"/loaddata?input-file={theirs}", expect=403).json()["error"]
    theirs.chmod(0o644)
    with open(theirs, "wb") as f:
        f.truncate(10485761)
    assert "10485760 bytes" in tally.api("GET", f"/loaddata?input-file={theirs}", expect=413).json()["error"]
    os.mkfifo(tally.dir / "fifo")
    tally.api("GET", f"/loaddata?input-file={tally.dir}/fifo", expect=400)


def test_a_dump_as_body_is_an_attachment_with_the_hashes(tally):
    tally.add_user("bodied", description="<&>")
    r = tally.api("GET", "/dumpdata?output-data=1&output-file=/ignored&scopes=users,groups", expect=200)
    assert r.headers["Content-Disposition"] == 'attachment; filename="sftpgo-backup.json"'
    assert set(r.json()) == {"users", "version"}
    assert [u["password"][:4] for u in r.json()["users"] if u["username"] == "bodied"] == ["$2a$"]


def test_live_sessions_and_homes_take_a_restore_over(tally):
    home = tally.add_user("live", quota_size=1000)
    (home / "f").write_bytes(b"x" * 100)
    until(lambda: tally.usage("live") == (100, 1))
    saved = dump(tally, "output-data=1&scopes=users")
    saved["users"] = [u for u in saved["users"] if u["username"] == "live"]
    with connect(tally, "live") as client, client.open_sftp() as sftp:
        saved["users"][0]["quota_size"] = 150
        result = load(tally, saved)
        assert result["users"] == {"added": 0, "updated": 1, "kept": 0} and not is_ended(client)
        assert tally.usage("live") == (100, 1)  # a counter is not the dump's
        with pytest.raises(OSError):
            with sftp.open("/g", "wb") as f:  # the new limit holds in the session at once
                f.write(b"y" * 51)
        sftp.remove("/g")
        saved["users"][0]["quota_size"] = 7
        assert load(tally, saved, "mode=1")["users"]["kept"] == 1  # only adds
        assert tally.api("GET", "/users/live").json()["quota_size"] == 150
        load(tally, saved, "mode=2")
        until(lambda: is_ended(client), what="the end of the session")

    other = tally.dir / "other-home"
    other.mkdir()
    (other / "there").write_bytes(b"z" * 42)
    saved["users"][0]["home_dir"] = str(other)
    load(tally, saved, "scan-quota=2")

    def names():
        try:
            return os.listdir(home)
        except OSError as e:  # a handle that was opened in the old one
            assert e.errno == errno.ESTALE
            return None

    until(lambda: names() == ["there"], what="the other home")
    until(lambda: tally.usage("live") == walk(other) and tally.state("live") != "counting", what="its count")


def test_a_restored_folder_is_scanned_and_shared(tally):
    shared = tally.dir / "rf"
    shared.mkdir()
    (shared / "f").write_bytes(b"x" * 10)
    users = [
        {
            "username": name,
            "status": 1,
            "password": "secret",
            "permissions": {"/": ["*"]},
            "virtual_folders": [{"name": "rf", "virtual_path": "/v", "quota_size": -1, "quota_files": -1}],
        }
        for name in ("rf1", "rf2")
    ]
    load(tally, {"users": users, "folders": [{"name": "rf", "mapped_path": str(shared)}]}, "scan-quota=1")
    until(lambda: tally.folder_usage("rf") == (10, 1) and tally.usage("rf1") == (10, 1), what="the count")
    assert (tally.mount / "rf2/v/f").read_bytes() == b"x" * 10
    assert tally.api("GET", "/folders/rf").json()["users"] == ["rf1", "rf2"]


BAD_FILES = {
    "missing": (None, "cannot read"),
    "a directory": ("dir", "cannot read"),
    "cut off": ('{"users":[{"username":"x', "unexpected end"),
    "no JSON": ("users: []", "Unable to parse backup content"),
    "too large": (" " * 1048577, "larger than 1048576 bytes"),
    "version 99": ('{"users":[],"version":99}', "version of the dump must be between 8 and 17"),
    "two of a name": ('{"folders":[{"name":"f","mapped_path":"/f"},{"name":"f","mapped_path":"/g"}]}', 'folders[1] \\"f\\": stands in the dump already'),
}


def test_a_bad_file_at_the_start_starts_nothing_and_changes_nothing():
    t = Tally(data_provider={"max_restore_size": 1048576})
    try:
        t.start()
        t.add_user("before")
        before = normal(dump(t))
        assert t.stop() == 0
        for i, (what, (content, words)) in enumerate(BAD_FILES.items()):
            path = t.dir / f"bad{i}.json"
            if content == "dir":
                path.mkdir()
            elif content is not None:
                path.write_text(content)
            t.options = ["--loaddata-from", str(path), "--loaddata-clean"]
            with pytest.raises(AssertionError):
                t.start()
            assert t.process.wait(10) == 1 and words in t.log(t.log_at), what
            assert t.log(t.log_at).count('"level":"error"') <= 2, what  # said once, not at each try
            assert path.exists() == (content is not None)
        t.options = []
        t.start()
        assert normal(dump(t)) == before
    finally:
        t.close()


@pytest.mark.parametrize("option", ["--loaddata-mode=3", "--loaddata-scan=x", "--loaddata-nonsense"])
def test_a_wrong_option_is_refused(tmp_path, option):
    r = subprocess.run([TALLYD, "--loaddata-from", "/x", option], capture_output=True, text=True, timeout=30, check=False)
    assert r.returncode == 2 and option.split("=")[0].lstrip("-") in r.stderr
