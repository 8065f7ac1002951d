"""tally backup, restore and import: what they would change, and what they change."""
import json
import os
import pathlib
import stat

import pytest
from terminal import Terminal
from test_tool import OK, REFUSED, TALLY, USAGE, run

DUMPS = pathlib.Path(__file__).parents[1] / "unit/store/dumps"


@pytest.fixture
def tool(tally):
    def call(*args, expect=OK, **kwargs):
        r = run("--socket", tally.sock, *args, **kwargs)
        assert r.returncode == expect, r.stdout + r.stderr
        return r.stdout if expect == OK else r.stderr

    return call


def test_a_backup_is_whole_private_and_restores_what_was_changed_since(tally, tool, tmp_path):
    for name in ("stays", "changes", "goes"):
        tally.add_user(name, quota_size=1000)
    file = tmp_path / "backup.json"
    file.write_text("older")
    os.chmod(file, 0o644)
    tool("backup", "--output", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and list(tmp_path.iterdir()) == [file]
    assert {u["username"] for u in json.loads(file.read_text())["users"]} >= {"stays", "changes", "goes"}
    assert json.loads(tool("restore", file, "--dry-run", "--json")) == []
    tool("users", "set", "changes", "quota_size=5")
    tool("users", "remove", "goes")
    would = json.loads(tool("restore", file, "--dry-run", "--json"))
    assert {(w["would"], w["name"], w["members"]) for w in would} == {("change", "changes", "quota_size"), ("add", "goes", "")}
    said = tool("restore", file, "--mode", 1)  # only adds
    assert "1 to add, 0 to change" in said and tally.api("GET", "/users/goes").status_code == 200
    assert tally.api("GET", "/users/changes").json()["quota_size"] == 5
    tool("restore", file)
    assert tally.api("GET", "/users/changes").json()["quota_size"] == 1000
    assert json.loads(tool("restore", file, "--dry-run", "--json")) == []
    assert tool("backup") == file.read_text() or json.loads(tool("backup"))["users"]


def test_what_is_no_dump_changes_nothing(tally, tool, tmp_path):
    for text, words in (("", "EOF"), ("{", "JSON"), ("[]", "neither"), ('{"version":8}', "neither")):
        (tmp_path / "d").write_text(text)
        assert words in tool("restore", tmp_path / "d", expect=USAGE)
    assert "none.json" in tool("restore", tmp_path / "none.json", expect=USAGE)
    (tmp_path / "d").write_text('{"users":[{"username":"x","password":"p","home_dir":"relative"}]}')
    said = tool("restore", tmp_path / "d", expect=REFUSED)
    assert "home_dir" in said and "nothing was changed" in said
    assert tally.api("GET", "/users/x").status_code == 404
    assert "--mode 3" in tool("restore", tmp_path / "d", "--mode", 3, expect=USAGE)
    assert "nonexistent" in tool("backup", "--output", "/nonexistent/f", expect=REFUSED)


def test_a_dump_of_sftpgo_is_imported_and_what_cannot_be_is_named(make_tally):
    t = make_tally()
    dump = DUMPS / "sftpgo-2.2.0.json"
    first = run("--socket", t.sock, "import", "sftpgo", dump, "--dry-run").stdout
    assert "add user anna" in first and t.api("GET", "/users/anna").status_code == 404
    r = run("--socket", t.sock, "restore", dump)
    assert r.returncode == REFUSED and "cloud" in r.stderr and "tally import sftpgo" in r.stderr
    r = run("--socket", t.sock, "import", "sftpgo", dump)
    assert r.returncode == OK and "left out: users cloud" in r.stdout, r.stdout + r.stderr
    assert json.loads(run("--socket", t.sock, "users", "show", "anna", "--json").stdout)["username"] == "anna"
    assert "0 to add" not in run("--socket", t.sock, "import", "sftpgo", dump, "--dry-run").stdout.split("users:")[1].split("\n")[0]
    assert run("--socket", t.sock, "import", "proftpd", dump).returncode == USAGE


def test_a_restore_asks_on_a_terminal_and_a_backup_does_not_go_to_one(tally, tmp_path):
    tally.add_user("asked", quota_size=7)
    assert run("--socket", tally.sock, "backup", "--output", tmp_path / "b").returncode == OK
    tally.api("DELETE", "/users/asked", expect=200)
    for key, status, code in (("n\n", REFUSED, 404), ("y\n", OK, 200)):
        t = Terminal([TALLY, "--socket", tally.sock, "restore", tmp_path / "b"])
        try:
            t.has("add user asked")
            t.has("[y/N]")
            t.send(key)
            assert t.wait() == status and tally.api("GET", "/users/asked").status_code == code
        finally:
            t.close()
    t = Terminal([TALLY, "--socket", tally.sock, "backup"])
    try:
        assert t.wait() == USAGE and "--output" in t.text()
    finally:
        t.close()
