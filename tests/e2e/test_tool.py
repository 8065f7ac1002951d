"""The tally command against a daemon: what it prints, what it changes, and how it fails."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import ADMIN, TALLYD, Tally, free_port, until

TALLY = str(pathlib.Path(TALLYD).parent / "tally")
OK, REFUSED, USAGE, NOT_CONNECTED, NOT_PERMITTED = range(5)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7ZwPMJp7lYbQkWjzYcU7c0kVCoVKFvCFX2oCsQOkfs a,b"


def run(*args, text=True, **kwargs):
    environment = dict(os.environ, LC_ALL="C.UTF-8", HOME="/nonexistent", TZ="UTC")
    environment.pop("XDG_CONFIG_HOME", None)
    environment.update(kwargs.pop("env", {}))
    return subprocess.run([TALLY, *map(str, args)], text=text, capture_output=True, timeout=60, check=False,
                          env=environment, **({"stdin": subprocess.DEVNULL} if "input" not in kwargs else {}), **kwargs)


@pytest.fixture
def tool(tally):
    """tally over the administrators' socket: tool(args..., expect=status) gives stdout, or stderr of a failure."""

    def call(*args, expect=OK, **kwargs):
        r = run("--socket", tally.sock, *args, **kwargs)
        assert r.returncode == expect, r.stdout + r.stderr
        return r.stdout if expect == OK else r.stderr

    return call


def test_a_user_is_made_shown_changed_and_removed(tally, tool):
    tool("users", "add", "life", "password=-", "quota_size=1.5G", "permissions=list,upload", input="secret\n")
    u = json.loads(tool("users", "show", "life", "--json"))
    assert u["quota_size"] == 3 << 29 and u["permissions"] == {"/": ["list", "upload"]} and u["status"] == 1
    tally.api("POST", "/folders", {"name": "inc", "mapped_path": str(tally.dir / "inc")}, expect=201)
    tool("users", "set", "life", "virtual_folders+=inc:/inc:5G", f"public_keys+={KEY}", "status=off")
    tool("users", "set", "life", "quota_files=7", "permissions./pub=list")  # keeps the folder, which PUT would drop
    u = json.loads(tool("users", "show", "life", "--json"))
    assert u["virtual_folders"][0]["virtual_path"] == "/inc" and u["virtual_folders"][0]["quota_size"] == 5 << 30
    assert u["public_keys"] == [KEY] and u["status"] == 0 and u["quota_files"] == 7
    assert u["permissions"] == {"/": ["list", "upload"], "/pub": ["list"]}
    shown = tool("users", "show", "life")
    assert "inc at /inc (limit 5.0 GiB)" in shown and "1.5 GiB (1,610,612,736 bytes)" in shown
    tool("users", "remove", "life")
    assert 'no user "life"' in tool("users", "show", "life", expect=REFUSED)
    tool("folders", "remove", "inc")


def test_folders_and_administrators_are_made_shown_changed_and_removed(tally, tool):
    tool("folders", "add", "f1", f"mapped_path={tally.dir}/f1", "description=one")
    tool("folders", "set", "f1", "description=two")
    assert json.loads(tool("folders", "show", "f1", "--json"))["description"] == "two"
    assert "f1" in tool("folders")
    tool("folders", "remove", "f1")
    tool("admins", "add", "adm1", "password=-", "permissions=view_users,view_conns", input="secret\n")
    tool("admins", "set", "adm1", "permissions-=view_conns", "filters.allow_list+=10.0.0.0/8")
    a = json.loads(tool("admins", "show", "adm1", "--json"))
    assert a["permissions"] == ["view_users"] and a["filters"]["allow_list"] == ["10.0.0.0/8"]
    assert "adm1" in tool("admins", "list")
    tool("admins", "remove", "adm1")


def test_an_api_key_is_made_used_shown_and_removed(tally, tool):
    tool("admins", "add", "keeper", "password=-", "permissions=view_users", "filters.allow_api_key_auth=on", input="secret\n")
    made = json.loads(tool("keys", "add", "monitoring", "admin=keeper", "expires_at=2099-12-31", "--json"))
    key, key_id = made["key"], made["key"].split(".")[0]
    assert run("--url", tally.api_url, "--api-key", key, "users").returncode == OK
    assert run("--url", tally.api_url, "--api-key", key, "status").returncode == NOT_PERMITTED
    shown = tool("keys", "show", key_id)
    assert "monitoring" in shown and "2099-12-31" in shown and key not in shown
    assert "administrator keeper" in tool("keys")
    tool("keys", "set", key_id, "expires_at=2020-01-01", "description=old")
    r = run("--url", tally.api_url, "--api-key", key, "users")
    assert r.returncode == NOT_PERMITTED and "API key" in r.stderr
    tool("keys", "remove", key_id)
    assert "no API key" in tool("keys", "remove", key_id, expect=REFUSED)
    assert tool("keys", "add", "other", "user=nobody", expect=REFUSED)
    tool("admins", "remove", "keeper")


@pytest.mark.parametrize(
    "args, status, words",
    [
        ("users show nobody", REFUSED, ["nobody", "tally users"]),
        ("users set nobody status=on", REFUSED, ["nobody"]),
        ("users remove nobody", REFUSED, ["nobody"]),
        ("users add admin-x", USAGE, ["password=-"]),
        ("users add u/x password=p", REFUSED, ["username must consist"]),
        ("users add x password=p uid=-1", USAGE, ["uid"]),
        ("users add x password=p home_dir=relative", REFUSED, ["home_dir"]),
        ("users set nobody", USAGE, ["FIELD=VALUE"]),
        ("users frobnicate", USAGE, ["users list"]),
        ("frobnicate", USAGE, ["tally --help"]),
        ("", USAGE, ["Usage"]),
        ("status more", USAGE, ["more"]),
        ("usage --dry-run", USAGE, ["--dry-run"]),
        ("usage --limit x", USAGE, ["--limit"]),
        ("usage --sort colour", USAGE, ["share, size, files, name"]),
        ("usage --watch=0", USAGE, ["--watch"]),
        ("--frobnicate", USAGE, ["--frobnicate"]),
        ("users list --limit", USAGE, ["wants a value"]),
        ("connections close none", REFUSED, ["none", "tally connections"]),
        ("recount nobody", REFUSED, ["nobody"]),
        ("recount --folder nobody", REFUSED, ["nobody"]),
        ("recount", USAGE, ["--all"]),
        ("recount a --all", USAGE, ["one of"]),
        ("du /usr", REFUSED, ["/usr", "mount"]),
        ("du /nonexistent", REFUSED, ["/nonexistent"]),
        ("top", USAGE, ["terminal"]),
        ("completion csh", USAGE, ["bash, zsh and fish"]),
        ("--socket /nonexistent/s status", NOT_CONNECTED, ["/nonexistent/s", "is tallyd running?"]),
        ("--url http://127.0.0.1:9 --token x status", NOT_CONNECTED, ["127.0.0.1:9"]),
        ("--url nonsense://x --token x status", REFUSED, ["http"]),
        ("--url http://x --socket y status", USAGE, ["one of them"]),
    ],
)
def test_what_is_wrong_has_its_status_and_its_words(tool, tally, args, status, words):
    r = run(*(["--socket", tally.sock] if "--socket" not in args and "--url" not in args else []), *args.split())
    assert r.returncode == status, r.stderr
    assert r.stdout == ""
    for word in words:
        assert word in r.stderr


def test_a_removed_user_is_named_when_it_was_just_edited(tally, tool):
    tally.add_user("gone")
    tally.api("DELETE", "/users/gone", expect=200)
    assert 'no user "gone"' in tool("users", "set", "gone", "status=on", expect=REFUSED)


def test_a_second_user_of_one_name_is_refused_with_the_way_out(tally, tool):
    tally.add_user("twice")
    assert "tally users set" in tool("users", "add", "twice", "password=x", expect=REFUSED)


def test_lists_are_filtered_limited_and_json(tally, tool):
    for name in ("filter-a", "filter-b", "other-filter"):
        tally.add_user(name)
    names = lambda *args: [u["username"] for u in json.loads(tool("users", "list", *args, "--json"))]
    assert names("filter-*") == ["filter-a", "filter-b"]
    assert names("filter") == ["filter-a", "filter-b", "other-filter"]
    assert names("filter", "--limit", 2) == ["filter-a", "filter-b"]
    assert names("nothing-*") == []
    lines = tool("users", "list", "filter-*").splitlines()
    assert lines[0].split()[0] == "USER" and [l.split()[0] for l in lines[1:]] == ["filter-a", "filter-b"]


def test_usage_is_what_the_homes_hold_fullest_first(tally, tool):
    for name, limit, size in (("us-half", 1000, 500), ("us-full", 1000, 999), ("us-free", 0, 5000)):
        (tally.add_user(name, quota_size=limit) / "f").write_bytes(b"x" * size)
    rows = json.loads(tool("usage", "us-", "--json"))
    assert [(r["name"], r["used_size"], r["used_files"], r["is_certain"]) for r in rows] == [
        ("us-full", 999, 1, True), ("us-half", 500, 1, True), ("us-free", 5000, 1, True)]
    assert [r["name"] for r in json.loads(tool("usage", "us-", "--json", "--sort", "size"))][0] == "us-free"
    assert len(json.loads(tool("usage", "us-", "--json", "--limit", 1))) == 1
    lines = tool("usage", "us-").splitlines()
    assert "99%" in lines[1] and "50%" in lines[2] and "█" in lines[1]
    assert "\033" not in tool("usage")  # no colours without a terminal


def test_du_has_the_totals_of_directories(tally, tool):
    home = tally.add_user("du")
    (home / "a/b").mkdir(parents=True)
    (home / "a/b/x").write_bytes(b"x" * 3000)
    (home / "c").mkdir()
    (home / "y").write_bytes(b"y" * 7)
    got = json.loads(tool("du", home, "--json"))
    assert (got["size"], got["files"]) == (3007, 2)
    assert [(d["path"], d["size"]) for d in got["directories"]] == [("a", 3000), ("c", 0)]
    assert "only directories" in tool("du", home / "y", expect=REFUSED)
    os.mkdir(bytes(home) + b"/esc\x1b[31m\xff")
    assert "\x1b" not in tool("du", home)


def test_recount_reports_what_was_right(tally, tool):
    (tally.add_user("rec") / "f").write_bytes(b"x" * 100)
    assert "100 B in 1 files" in tool("recount", "rec")
    scan = json.loads(tool("recount", "rec", "--dry-run", "--json"))["scan"]
    assert (scan["dry_run"], scan["result"], scan["bytes_seen"], scan["drift_size"]) == (True, "done", 100, 0)
    tally.api("PUT", "/quotas/users/rec/usage", {"used_quota_size": 150, "used_quota_files": 3}, expect=200)
    said = tool("recount", "rec")
    assert tally.usage("rec") == (100, 1), said
    assert "rec:" in tool("recount", "--all")
    assert "no recount" in tool("recount", "rec", "--cancel", expect=REFUSED)


def test_connections_are_listed_and_closed(tally, tool):
    tally.add_user("conn")
    client = subprocess.Popen(
        ["sshpass", "-p", "secret", "sftp", *tally.ssh_options(), "-P", str(tally.sftp_port), "conn@127.0.0.1"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        mine = lambda: [c for c in json.loads(tool("connections", "--json")) if c["username"] == "conn"]
        until(mine, what="the connection")
        assert "conn" in tool("connections") and "idle" in tool("connections")
        assert "closed" in tool("connections", "close", mine()[0]["connection_id"])
        until(lambda: not mine(), what="its end")
    finally:
        client.kill()
        client.wait()


def test_a_local_program_is_named_as_a_connection(tally, tool):
    with open(tally.add_user("local") / "f", "wb", buffering=0) as f:
        f.write(b"x")
        mine = lambda: [c for c in json.loads(tool("connections", "--json")) if c["username"] == "local"]
        until(mine, what="the connection")
        line = next(line for line in tool("connections").splitlines() if line.startswith("local"))
        assert f"[{os.getpid()}]" in line and "upload /f" in line


def test_status_and_check_find_a_sound_daemon(tally, tool):
    assert "all certain" in tool("status")
    assert json.loads(tool("status", "--json"))["vfs"]["is_active"] is True
    out = tool("check", "--config", tally.dir / "tally.json")
    assert "WRONG" not in out and "fanotify" in out
    rows = json.loads(tool("check", "--config", tally.dir / "tally.json", "--json"))
    assert {r["result"] for r in rows} <= {"ok", "hint"} and len(rows) > 10


def test_check_says_what_is_wrong_and_what_to_do(tally, tool, tmp_path):
    bad = tmp_path / "tally.json"
    bad.write_text('{ "sftpd": {\n "bindigns": [] } }')
    r = run("--socket", tally.sock, "check", "--config", bad)
    assert r.returncode == REFUSED and "tally.json:2: sftpd.bindigns" in r.stdout and "WRONG" in r.stdout
    r = run("--socket", tmp_path / "none", "check", "--config", tmp_path / "none.json")
    assert r.returncode == REFUSED and "is tallyd running?" in r.stdout and "print-sample-config" in r.stdout


def test_the_socket_is_that_of_the_configuration(tally):
    r = run("--config", tally.dir / "tally.json", "status")
    assert r.returncode == OK, r.stderr


# -- over TCP


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text(ADMIN[1] + "\n")
    return path


def test_a_password_or_a_token_is_enough_over_a_url(tally, password_file):
    for args in (["--user", ADMIN[0], "--password-file", password_file], ["--token", tally.token()]):
        for url in (tally.api_url, tally.api_url + "/", tally.api_url + "/api/v2/"):
            r = run("--url", url, *args, "status", "--json")
            assert r.returncode == OK, r.stderr
    r = run("--url", tally.api_url, "-u", ADMIN[0], "-p", "-", "status", input=ADMIN[1] + "\n")
    assert r.returncode == OK, r.stderr


@pytest.mark.parametrize(
    "args, words",
    [
        (["--user", "admin", "--password-file", "-"], ["invalid credentials", '"admin"']),
        (["--token", "nonsense"], ["token", "20 minutes"]),
        ([], ["--user", "--token"]),
    ],
)
def test_who_is_refused_is_told_so(tally, args, words):
    r = run("--url", tally.api_url, *args, "status", input="wrong\n")
    assert r.returncode == NOT_PERMITTED, r.stderr
    for word in words:
        assert word in r.stderr


def test_a_missing_right_is_no_crash_but_status_4(tally, password_file):
    tally.api("POST", "/admins", {"username": "weak", "password": ADMIN[1], "status": 1, "permissions": ["view_users"]}, expect=201)
    who = ["--url", tally.api_url, "--user", "weak", "--password-file", password_file]
    assert run(*who, "users").returncode == OK
    assert run(*who, "usage").returncode == OK  # asks for each state, as the status is not shown
    r = run(*who, "status")
    assert r.returncode == NOT_PERMITTED and "Forbidden" in r.stderr


def test_the_profile_is_taken_only_when_nobody_else_can_read_it(tally, password_file, tmp_path):
    profile = tmp_path / "tally/profile.json"
    profile.parent.mkdir()
    profile.write_text(json.dumps({"url": tally.api_url, "user": ADMIN[0], "password_file": str(password_file)}))
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    profile.chmod(0o644)
    r = run("status", env=env)
    assert r.returncode == USAGE and "chmod 600" in r.stderr
    profile.chmod(0o600)
    r = run("status", env=env)
    assert r.returncode == OK, r.stderr
    r = run("--socket", tally.sock, "users", "list", env=env)  # an option is stronger
    assert r.returncode == OK, r.stderr
    profile.write_text('{"ulr": "x"}')
    r = run("status", env=env)
    assert r.returncode == USAGE and "ulr" in r.stderr
    r = run("--profile", tmp_path / "none.json", "status")
    assert r.returncode == USAGE and "none.json" in r.stderr


def test_https_is_trusted_with_who_signed_it_and_refused_with_words_without(password_file):
    t = Tally()
    try:
        key, pem = t.dir / "server.key", t.dir / "server.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj",
                        "/CN=tally", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", pem], check=True, capture_output=True)
        key.chmod(0o644)  # the test's directory goes with it
        port = free_port()
        t.config["httpd"]["bindings"].append({"address": "127.0.0.1", "port": port, "enable_https": True})
        t.config["httpd"].update(certificate_file=str(pem), certificate_key_file=str(key))
        t.start()
        who = ["--url", f"https://127.0.0.1:{port}", "--user", ADMIN[0], "--password-file", password_file]
        r = run(*who, "--ca-file", pem, "status")
        assert r.returncode == OK, r.stderr
        r = run(*who, "status")
        assert r.returncode == NOT_CONNECTED and "--ca-file" in r.stderr
        r = run("--url", f"https://127.0.0.1:{t.api_port}", "--token", "x", "status")
        assert r.returncode == NOT_CONNECTED and "http://" in r.stderr
    finally:
        t.close()


def test_secrets_are_not_left_in_the_process_list(tally):
    p = subprocess.Popen([TALLY, "--url", tally.api_url, "--api-key", "se.cret", "--user", "u", "users", "add", "x", "password=-"],
                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        line = lambda: pathlib.Path(f"/proc/{p.pid}/cmdline").read_bytes()
        until(lambda: b"\0*******\0" in line(), what="the key is blanked")
        assert b"se.cret" not in line()
    finally:
        p.kill()
        p.wait()
        p.stdin.close()


# -- help, completion, manual


def test_every_command_explains_itself():
    commands = [l[2:].split("  ")[0] for l in run("--help").stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
    words = [w for w in (c.split("[")[0].split() for c in commands if c.strip()) if w]
    assert len(words) > 15
    for line in words:
        command = [w for w in line[:2] if w.islower() and w.isalpha()]
        r = run(*command, "--help")
        assert r.returncode == OK and "Examples:" in r.stdout and "Usage: tally " + command[0] in r.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_parses(shell, tmp_path):
    script = tmp_path / shell
    script.write_text(run("completion", shell).stdout)
    r = subprocess.run([shell, "-n", script], capture_output=True, text=True, timeout=30, check=False)
    assert r.returncode == 0 and r.stderr == "", r.stderr


def completed(tally, *words):
    r = run("--socket", tally.sock, "complete", "--", *words)
    assert r.returncode == OK and r.stderr == "", r.stderr
    return [line.split("\t")[0] for line in r.stdout.splitlines()]


def test_completion_offers_what_may_come_next(tally):
    tally.add_user("compl-1", description="$(touch /tmp/x)")
    assert "users" in completed(tally, "us") and "usage" in completed(tally, "us") and "manual" not in completed(tally, "x")
    assert completed(tally, "users", "s") == ["show", "set"]
    assert completed(tally, "users", "show", "compl") == ["compl-1"]
    assert completed(tally, "users", "show", "compl-1", "compl") == []
    assert "quota_size=" in completed(tally, "users", "set", "compl-1", "quota_")
    assert "mapped_path=" not in completed(tally, "users", "set", "compl-1", "")
    assert completed(tally, "recount", "--dr") == ["--dry-run"]
    assert completed(tally, "usage", "--dr") == []
    assert completed(tally, "completion", "z") == ["zsh"]
    r = run("--socket", "/nonexistent", "complete", "--", "users", "show", "")
    assert (r.returncode, r.stdout, r.stderr) == (OK, "", "")  # no noise in a command line


def test_bash_fills_the_line_from_it(tmp_path):
    (tmp_path / "script").write_text(run("completion", "bash").stdout)
    r = subprocess.run(
        ["bash", "-c", '. "$1"; COMP_WORDS=(tally users s); COMP_CWORD=2; _tally; echo "${COMPREPLY[@]}"', "bash", tmp_path / "script"],
        capture_output=True, text=True, timeout=30, check=False, env=dict(os.environ, PATH=f"{pathlib.Path(TALLY).parent}:{os.environ['PATH']}"))
    assert r.stdout == "show set\n", r.stderr


def test_fish_fills_the_line_from_it(tmp_path):
    script = tmp_path / "script"
    script.write_text(run("completion", "fish").stdout)
    r = subprocess.run(["fish", "--no-config", "-c", f'source {script}; complete -C "tally users s"'],
                       capture_output=True, text=True, timeout=30, check=False,
                       env=dict(os.environ, HOME=str(tmp_path), PATH=f"{pathlib.Path(TALLY).parent}:{os.environ['PATH']}"))
    words = [line.split("\t")[0] for line in r.stdout.splitlines()]
    assert "show" in words and "set" in words, r.stdout + r.stderr
