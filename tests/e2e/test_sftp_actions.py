"""The administrator's hook on file actions: what it is told, what waits for it, and who may not lie to it."""

import http.server
import json
import os
import subprocess
import threading

import pytest

from conftest import until, walk

ALL = ["download", "upload", "delete", "rename", "mkdir", "rmdir", "ssh_cmd", "pre-download", "pre-upload", "pre-delete"]
# one JSON object a call: the variables by the names of the JSON form
PROGRAM = """#!/usr/bin/python3
import json, os, sys
told = {k[len("SFTPGO_ACTION"):].lstrip("_").lower() or "action": v for k, v in os.environ.items() if k.startswith("SFTPGO_ACTION")}
told["uid"], told["secrets"] = os.getuid(), [k for k in os.environ if k.startswith("TALLY_")]
fd = os.open(%(log)r, os.O_WRONLY | os.O_APPEND)
os.write(fd, json.dumps(told).encode() + b"\\n")
name = os.path.basename(told["path"])
if told["action"] == "pre-delete" and name == "mine":
    os.unlink(told["path"])
sys.exit(1 if name == "forbidden" or told["action"] == "pre-delete" and name != "mine" else 0)
"""


class Program:
    def __init__(self, directory):
        directory.chmod(0o755)
        self.log, self.path = directory / "told", directory / "hook"
        self.log.touch()
        self.log.chmod(0o666)
        self.path.write_text(PROGRAM % {"log": str(self.log)})
        self.path.chmod(0o755)
        self.hook = str(self.path)

    def told(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


class Server(http.server.ThreadingHTTPServer):
    """Takes the JSON form; refuses what is called "forbidden"."""

    def __init__(self):
        self.bodies, server = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.bodies.append(told)
                self.send_response(403 if told["path"].endswith("/forbidden") or told["action"] == "pre-delete" else 200)
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.hook = f"http://127.0.0.1:{self.server_port}/told"

    def told(self):
        return list(self.bodies)


@pytest.fixture(params=["program", "url"], scope="module")
def bed(request, tmp_path_factory):
    """A daemon whose hook is a program or a URL, and what it was told."""
    from conftest import Tally

    directory = tmp_path_factory.mktemp("hook")
    for parent in (directory, *list(directory.parents)[:2]):
        parent.chmod(0o755)  # programs run as another account
    hook = Program(directory) if request.param == "program" else Server()
    t = Tally(common={"actions": {"execute_on": ALL, "execute_sync": ["upload"], "hook": hook.hook}})
    try:
        yield t.start(), hook
    finally:
        t.close()
        if request.param == "url":
            hook.shutdown()
            hook.server_close()


STORY = (
    ("put {f} /a", [("pre-upload", "/a"), ("upload", "/a")]),
    ("put {f} /a", [("pre-upload", "/a"), ("upload", "/a")]),
    ("get /a {back}", [("pre-download", "/a"), ("download", "/a")]),
    ("rename /a /b", [("rename", "/a")]),
    ("mkdir /d", [("mkdir", "/d")]),
    ("rmdir /d", [("rmdir", "/d")]),
    ("rm /b", [("pre-delete", "/b"), ("delete", "/b")]),
    ("put {f} /forbidden", [("pre-upload", "/forbidden")]),
)


def pairs(told):
    return [(t["action"], t["virtual_path"]) for t in told]


def test_each_action_is_told_once_with_its_data(bed, tmp_path):
    tally, hook = bed
    tally.add_user("told")
    f = tmp_path / "f"
    f.write_bytes(b"f" * 5000)
    expected = []
    for command, actions in STORY:
        start = len(hook.told())
        r = tally.sftp("told", command.format(f=f, back=tmp_path / "back") + "\n", check=False)
        assert (r.returncode == 0) == ("forbidden" not in command), command + r.stderr
        until(lambda: len(hook.told()) >= start + len(actions), 20, f"the hook on {command}")
        assert sorted(pairs(hook.told()[start:])) == sorted(actions), command
        expected += actions
    told = {t["action"]: t for t in hook.told()}
    for t in hook.told():
        assert t["username"] == "told" and t["ip"] == "127.0.0.1" and t["protocol"] == "SFTP"
        assert t["path"] == str(tally.mount / "told") + t["virtual_path"] and t["session_id"].startswith("SFTP_")
        assert int(t["timestamp"]) > 1_000_000_000_000_000_000 and int(t["fs_provider"]) == 0
        assert not t.get("secrets") and t.get("uid", 1) != 0
    assert told["rename"]["virtual_target" if "uid" in told["rename"] else "virtual_target_path"] == "/b"
    for action in ("upload", "download", "delete"):
        assert int(told[action]["file_size"]) == 5000 and int(told[action]["status"]) == 1, action
    overwrite = [t for t in hook.told() if t["action"] == "pre-upload"][1]
    assert int(overwrite["open_flags"]) == os.O_TRUNC and int(overwrite["file_size"]) == 5000
    assert not (tally.mount / "told/forbidden").exists()


def test_a_waited_for_hook_has_run_when_the_client_has_its_answer(bed, tmp_path):
    tally, hook = bed
    tally.add_user("sync")
    f = tmp_path / "f"
    f.write_bytes(b"f")
    for i in range(3):
        tally.sftp("sync", f"put {f} /s{i}\n")
        assert ("upload", f"/s{i}") in pairs(hook.told())  # no waiting here


def test_a_refused_write_is_told_as_such(bed, tmp_path):
    tally, hook = bed
    tally.add_user("full", quota_size=1000)
    f = tmp_path / "f"
    f.write_bytes(b"f" * 5000)
    assert tally.sftp("full", f"put {f} /full\n", check=False).returncode != 0
    assert [int(t["status"]) for t in hook.told() if t["action"] == "upload" and t["virtual_path"] == "/full"] == [3]


def test_scp_and_commands_are_told_as_what_they_are(bed, tmp_path):
    tally, hook = bed
    tally.add_user("scp")
    f = tmp_path / "f"
    f.write_bytes(b"f" * 10)
    assert tally.scp("-O", str(f), "scp@127.0.0.1:/scp").returncode == 0
    assert tally.scp("-O", "scp@127.0.0.1:/scp", str(tmp_path / "back")).returncode == 0
    ssh = ["sshpass", "-p", "secret", "ssh", *tally.ssh_options(), "-p", str(tally.sftp_port), "scp@127.0.0.1", "md5sum /scp"]
    assert subprocess.run(ssh, capture_output=True, timeout=60, check=False).returncode == 0

    def mine():
        return [t for t in hook.told() if t["username"] == "scp"]

    expected = ["download", "pre-download", "pre-upload", "ssh_cmd", "upload"]
    until(lambda: sorted(t["action"] for t in mine()) == expected, 20, f"{expected}")
    command = next(t for t in mine() if t["action"] == "ssh_cmd")
    assert command["ssh_cmd"] == "md5sum /scp" and command["protocol"] == "SSH"
    assert {t["protocol"] for t in mine()} == {"SCP", "SSH"}


def test_a_hook_may_delete_the_file_itself_and_the_usage_follows(bed, tmp_path):
    tally, hook = bed
    if not isinstance(hook, Program):
        pytest.skip("a URL here deletes nothing")
    tally.add_user("mine")
    f = tmp_path / "f"
    f.write_bytes(b"f" * 1000)
    tally.sftp("mine", f"put {f} /mine\nput {f} /stays\n")
    tally.sftp("mine", "rm /mine\n")
    assert not (tally.mount / "mine/mine").exists()
    assert ("delete", "/mine") not in pairs(hook.told())
    assert tally.usage("mine") == walk(tally.data / "mine") == (1000, 1)


def test_a_hook_that_cannot_run_refuses_and_says_so_in_the_log(make_tally, tmp_path):
    t = make_tally(common={"actions": {"execute_on": ["pre-upload", "mkdir"], "hook": str(tmp_path / "none")}})
    t.add_user("user")
    f = tmp_path / "f"
    f.write_bytes(b"f")
    r = t.sftp("user", f"put {f} /f\n", check=False)
    assert r.returncode != 0 and "ermission denied" in r.stderr
    t.sftp("user", "mkdir /d\n")
    assert (t.mount / "user/d").is_dir() and not (t.mount / "user/f").exists()
    until(lambda: t.log().count(str(tmp_path / "none")) >= 2, 20, "both failures in the log")
