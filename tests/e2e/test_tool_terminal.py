"""The tally command on a terminal: widths, progress, top with its keys, and the terminal as it was afterwards."""
import json
import os
import signal
import subprocess
import termios

import pytest
from conftest import until
from stub_api import Stub, pages
from terminal import Terminal
from test_tool import NOT_PERMITTED, OK, REFUSED, TALLY, run

STATUS = {"ssh": {"is_active": True}, "vfs": {"is_active": True, "domains": {"clean": 3, "stale": 0, "counting": 0}}}


@pytest.fixture
def terminal():
    made = []

    def make(*args, **kwargs):
        made.append(Terminal([TALLY, *args], **kwargs))
        return made[-1]

    yield make
    for t in made:
        t.close()


@pytest.fixture
def stub():
    made = []

    def make(answers, **kwargs):
        made.append(Stub(answers, **kwargs))
        return made[-1]

    yield make
    for s in made:
        s.close()


def at(server):
    return ["--url", server.url, "--token", "t"]


# -- widths


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("command", [["users"], ["usage"], ["folders"], ["connections"]])
def test_tables_fit_the_terminal_and_keep_what_matters(terminal, stub, columns, command):
    users = [{"username": f"somebody-with-a-long-name-{i}", "status": 1, "used_quota_size": 1 << 30, "quota_size": 3 << 29,
              "used_quota_files": 123456, "home_dir": "/srv/tally/data/" + "x" * 60} for i in range(3)]
    folders = [{"name": "a-folder-of-many-people", "mapped_path": "/srv/" + "y" * 90, "used_quota_size": 5 << 40}]
    connections = [{"username": "somebody-with-a-long-name-0", "connection_id": "SFTP_" + "0" * 64 + "_1", "protocol": "SFTP",
                    "remote_address": "192.0.2.1:55555", "connection_time": 1, "last_activity": 1,
                    "active_transfers": [{"operation_type": "upload", "path": "/dir/" + "p" * 70 + "/the-end", "size": 5}]}]
    server = stub({"/users": pages(users), "/folders": pages(folders), "/connections": connections, "/status": STATUS})
    t = terminal(*at(server), *command, columns=columns)
    assert t.wait() == OK
    lines = [line for line in t.raw.decode().replace("\r", "").split("\n") if line]
    plain = [line for line in t.text().split("\n") if line]
    assert len(lines) == len(plain), "a line was wrapped:\n" + t.text()
    assert any(line.startswith("some") or line.startswith("a-fold") for line in plain)
    if command == ["users"]:
        assert all("1.0 GiB" in line for line in plain[1:])
    if command == ["usage"]:
        assert all("66%" in line and "█" in line for line in plain[1:])
    if command == ["connections"]:
        assert "-end" in plain[1]  # a path loses its beginning


def test_colours_go_with_NO_COLOR(terminal, stub):
    server = stub({"/users": pages([{"username": "u", "used_quota_size": 99, "quota_size": 100}]), "/status": STATUS})
    with_colours = terminal(*at(server), "usage")
    without = terminal(*at(server), "usage", env={"NO_COLOR": "1"})
    assert with_colours.wait() == without.wait() == OK
    assert b"\x1b[31m" in with_colours.raw and b"\x1b" not in without.raw


def test_a_stale_number_is_shown_as_such(terminal, stub):
    server = stub({
        "/users": pages([{"username": "good", "used_quota_size": 5}, {"username": "bad", "used_quota_size": 6}]),
        "/status": {"vfs": {"is_active": True, "domains": {"clean": 1, "stale": 1, "counting": 0}}},
        "/quotas/users/good": {"state": "clean"}, "/quotas/users/bad": {"state": "stale"},
        "/version": {"version": "1"},
    })
    t = terminal(*at(server), "usage", columns=40)
    assert t.wait() == OK
    bad, good = sorted(line for line in t.text().split("\n")[1:] if line.startswith(("bad", "good")))
    assert "stale" in bad and "stale" not in good
    assert "1 stale" in run(*at(server), "status").stdout
    rows = json.loads(run(*at(server), "usage", "--json").stdout)
    assert {r["name"]: r["is_certain"] for r in rows} == {"good": True, "bad": False}


def test_names_do_not_steer_the_terminal(terminal, stub):
    evil = "x\x1b]0;owned\x07\x1b[2J\u202e<b>\u009b31m"
    server = stub({"/users": pages([{"username": evil, "home_dir": evil}]), "/users/e": {"username": evil, "description": evil},
                   "/connections": [{"username": evil, "connection_id": evil, "command": evil}],
                   "/status": STATUS, "/users/refused": (400, {"error": evil, "message": evil})})
    for args in (["users"], ["usage"], ["users", "show", "e"], ["connections"], ["users", "show", "refused"]):
        t = terminal(*at(server), *args, env={"NO_COLOR": "1"})
        t.wait()
        assert b"\x1b" not in t.raw and b"\x07" not in t.raw and "\u202e".encode() not in t.raw and b"\xc2\x9b" not in t.raw
        assert b"<b>" in t.raw


# -- many, and pipes


def test_a_hundred_thousand_users_come_page_by_page_and_a_closed_pipe_ends_it(stub):
    users = [{"username": f"u{i:06}", "used_quota_size": i, "quota_size": 100000} for i in range(100_000)]
    server = stub({"/users": pages(users), "/status": STATUS})
    p = subprocess.Popen([TALLY, *at(server), "users"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, LC_ALL="C.UTF-8"))
    p.stdout.readline()
    assert p.stdout.readline().startswith(b"u000000")
    p.stdout.close()
    assert p.wait(20) == -signal.SIGPIPE and p.stderr.read() == b""
    assert len(server.asked) < 20  # it did not fetch the other 99,000
    p.stderr.close()
    rows = json.loads(run(*at(server), "usage", "--limit", "3", "--json").stdout)
    assert [r["name"] for r in rows] == ["u099999", "u099998", "u099997"]
    assert run(*at(server), "users", "list", "u09999*", "--json").stdout.count('"username"') == 10


def test_a_full_disk_is_no_success(stub):
    server = stub({"/users": pages([{"username": "u"}])})
    with open("/dev/full", "w") as full:
        r = subprocess.run([TALLY, *at(server), "users"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert r.returncode == REFUSED and "No space left" in r.stderr


# -- answers that are none


@pytest.mark.parametrize(
    "answer, status, words",
    [
        (b"<html>hello</html>", REFUSED, ["does not speak Tally's API"]),
        (b'{"a":', REFUSED, ["does not speak Tally's API"]),
        (b"", OK, []),
        (b"[" * 1000, REFUSED, ["JSON"]),
        ((401, {"error": "token is expired", "message": "Unauthorized"}), NOT_PERMITTED, ["expired", "20 minutes"]),
        ((403, {"message": "Forbidden"}), NOT_PERMITTED, ["Forbidden"]),
        ((404, b"nothing"), REFUSED, ["older than this tally"]),
        ((500, {"error": "", "message": ""}), REFUSED, ["500"]),
        ((503, {"error": "the vfs is being restarted", "message": ""}), REFUSED, ["being restarted"]),
        ((302, b""), REFUSED, ["302"]),
        (lambda request: None, 3, ["lost"]),
        ({"users": "no list"}, OK, []),
    ],
)
def test_an_answer_that_is_none_is_said_in_words(stub, answer, status, words):
    r = run(*at(stub({"/users": answer})), "users")
    assert r.returncode == status, r.stdout + r.stderr
    for word in words:
        assert word in r.stderr


def test_a_user_that_is_removed_while_edited_is_named_so(stub):
    server = stub({"/users/ann": lambda rq: {"username": "ann"} if rq.command == "GET" else (404, {"error": "Not Found"})})
    r = run(*at(server), "users", "set", "ann", "status=off")
    assert r.returncode == REFUSED and "removed while it was changed" in r.stderr


def test_an_expired_token_is_asked_for_again_with_the_password(stub, tmp_path):
    tokens = iter(["first", "second"])

    def status(request):
        if request.headers["Authorization"] != "Bearer second":
            return 401, {"error": "token is expired"}
        return STATUS

    server = stub({"/token": lambda rq: {"access_token": next(tokens)}, "/status": status, "/version": {"version": "1"}})
    (tmp_path / "p").write_text("pw\n")
    r = run("--url", server.url, "--user", "a", "--password-file", tmp_path / "p", "--otp", "123456", "status")
    assert r.returncode == OK, r.stderr
    assert [a[3].get("X-SFTPGO-OTP") for a in server.asked if a[1] == "/token"] == ["123456"] * 2


def test_names_are_one_segment_of_the_path_whatever_is_in_them(stub):
    server = stub({})
    for name in ("a/b", "..", ".", "a b?c#d", "ü", "%2F"):
        run(*at(server), "users", "show", name)
    assert [a[1] for a in server.asked] == ["/users/a%2Fb", "/users/%2E%2E", "/users/%2E", "/users/a%20b%3Fc%23d",
                                            "/users/%C3%BC", "/users/%252F"]


def test_banned_addresses_are_listed_and_let_in_again(stub):
    hosts = [{"id": "3139322e302e322e37", "ip": "192.0.2.7", "ban_time": "2026-11-25T10:00:00Z"},
             {"id": "3a3a31", "ip": "::1", "score": 3}]
    server = stub({"/defender/hosts": hosts, "/defender/hosts/3139322e302e322e37": {"message": "OK"}})
    lines = run(*at(server), "defender").stdout.splitlines()
    assert lines[1].split() == ["192.0.2.7", "2026-11-25T10:00:00Z"] and lines[2].split() == ["::1", "3"]
    assert run(*at(server), "defender", "unban", "192.0.2.7").returncode == OK
    r = run(*at(server), "defender", "unban", "192.0.2.8")
    assert r.returncode == REFUSED and "neither banned nor watched" in r.stderr
    assert run(*at(server), "defender", "unban", "x" * 100).returncode == 2


# -- recount


def scanning(total):
    """A scan that gets on with each look, and what the tool asks about it."""
    state = {"seen": 0, "runs": False, "last": None}

    def start(_):
        state["runs"] = True
        return 202, {"message": "Scan started"}

    def scans(_):
        if not state["runs"]:
            return []
        state["seen"] += total // 4
        if state["seen"] >= total:
            state["runs"] = False
            state["last"] = {"start_time": 1000, "end_time": 3500, "result": "done", "files_seen": total, "bytes_seen": 4096 * total,
                             "drift_size": -2048, "drift_files": 1}
            return []
        return [{"username": "ann", "files_seen": state["seen"], "files_expected": total}]

    return state, {
        "/quotas/users/ann": lambda _: {"state": "clean", "last_scan": state["last"]},
        "/quotas/users/ann/scan": start,
        "/quotas/users/scans": scans,
    }


def test_recount_shows_progress_and_then_the_drift(terminal, stub):
    _, answers = scanning(4000)
    t = terminal(*at(stub(answers)), "recount", "ann", columns=60)
    t.until(lambda text: "%" in text and "█" in text)
    t.until(lambda text: "left" in text)
    assert t.wait() == OK
    text = t.text().replace("\n", " ")
    assert "15.6 MiB in 4,000 files" in text and "off by -2.0 KiB and +1 files" in text and "%" not in text


def test_control_c_leaves_the_recount_running_and_says_so(terminal, stub):
    state, answers = scanning(10**9)
    t = terminal(*at(stub(answers)), "recount", "ann")
    t.has("%")
    t.interrupt()
    assert t.wait() == REFUSED
    assert "goes on" in t.text() and "--cancel" in t.text() and state["runs"]


def test_a_recount_that_vanishes_is_not_awaited_for_ever(stub):
    answers = {"/quotas/users/ann": {"last_scan": None}, "/quotas/users/ann/scan": (202, {}), "/quotas/users/scans": []}
    r = run(*at(stub(answers)), "recount", "ann")
    assert r.returncode == REFUSED and "without a report" in r.stderr


# -- questions


def test_removing_asks_on_a_terminal(terminal, stub):
    server = stub({"/users/ann": {"message": "User deleted"}})
    t = terminal(*at(server), "users", "remove", "ann")
    t.has("[y/N]")
    t.send("n\n")
    assert t.wait() == REFUSED and not server.asked
    t = terminal(*at(server), "users", "remove", "ann")
    t.has("[y/N]")
    t.send("y\n")
    assert t.wait() == OK and server.asked[0][0] == "DELETE"
    t = terminal(*at(server), "users", "remove", "ann", "--yes")
    assert t.wait() == OK


def test_the_password_is_asked_for_without_an_echo_and_control_c_gives_the_terminal_back(terminal, stub):
    server = stub({"/token": lambda rq: {"access_token": "x"}, "/users": []})
    t = terminal("--url", server.url, "--user", "ann", "users")
    t.has("Password of ann:")
    assert not t.flags() & termios.ECHO
    t.send("sekret\x7f\x7f\x7fret\r")
    assert t.wait() == OK and "sekret" not in t.text()
    assert server.asked[0][3]["Authorization"] == "Basic YW5uOnNla3JldA=="
    t = terminal("--url", server.url, "--user", "ann", "users")
    t.has("Password of ann:")
    t.interrupt()
    assert t.wait() == REFUSED and t.flags() & termios.ECHO and t.flags() & termios.ICANON


def test_usage_watches_until_control_c(terminal, stub):
    size = iter(range(1000, 10**6))
    server = stub({"/users": lambda _: [{"username": "ann", "used_quota_size": next(size) << 20}], "/status": STATUS})
    t = terminal(*at(server), "usage", "--watch=1")
    t.has("1000.0 MiB")
    t.has("1001.0 MiB")
    assert t.text().count("ann") == 1  # in place, not below
    t.interrupt()
    assert t.wait() == -signal.SIGINT


# -- top


def test_top_shows_a_live_upload_closes_it_and_leaves_the_terminal_as_it_was(tally, terminal, tmp_path):
    tally.add_user("top-user", quota_size=64 << 20)
    (tmp_path / "up").write_bytes(b"x" * (32 << 20))
    client = subprocess.Popen(
        ["sshpass", "-p", "secret", "sftp", "-l", "8000", *tally.ssh_options(), "-oBatchMode=no", "-b", "-", "-P", str(tally.sftp_port),
         "top-user@127.0.0.1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client.stdin.write(f"put {tmp_path}/up up\n".encode())
        client.stdin.flush()
        t = terminal("--socket", tally.sock, "top")
        before = t.flags()
        t.until(lambda text: "up /up" in text and "iB/s" in text and "top-user" in text)
        t.until(lambda text: any(line.startswith("top-user") and "%" in line and " 0%" not in line for line in text.split("\n")))
        assert not t.flags() & termios.ECHO
        t.send("c")
        t.has("choose a connection")
        t.send("j")
        t.send("c")
        t.has("close top-user's SFTP from 127.0.0.1:")
        t.send("n")
        t.has("q quit")
        t.resize(40, 12)
        t.until(lambda text: "top-user" in text and all(len(line) <= 40 for line in text.split("\n")) and "q quit" in text.split("\n")[11])
        t.resize(120, 30)
        t.until(lambda text: "q quit" in text.split("\n")[29] and "FROM" in text)
        t.send("s")
        t.has("sort: user")
        t.send("cy")
        t.has("closed: top-user's SFTP")
        t.until(lambda text: " 0 connected" in text or "up /up" not in text)
        assert client.wait(20) != 0
        t.send("q")
        assert t.wait() == OK
        assert t.flags() == before and b"\x1b[?1049l" in t.raw
    finally:
        client.kill()
        client.wait()
        client.stdin.close()


def test_top_bears_a_lost_connection_and_goes_on(terminal, stub):
    answers = {"/connections": [{"username": "ann", "connection_id": "c1", "protocol": "SFTP"}], "/users": [], "/status": STATUS}
    first = Stub(answers)
    t = terminal(*at(first), "top")
    t.has("ann")
    first.close()
    first.answers["/connections"] = lambda _: None  # the connection that is open
    text = t.has("trying again")
    assert "ann" in text  # the last picture stays
    answers["/connections"] = [{"username": "bob", "connection_id": "c2", "protocol": "SFTP"}]
    stub(answers, port=first.port)
    t.until(lambda text: "bob" in text and "trying again" not in text)
    t.interrupt()
    assert t.wait() == OK


def test_top_ends_with_words_when_the_token_expires(terminal, stub):
    server = stub({"/connections": [], "/users": [], "/status": STATUS})
    t = terminal(*at(server), "top")
    t.has("q quit")
    server.answers["/connections"] = (401, {"error": "token is expired"})
    assert t.wait() == NOT_PERMITTED
    assert b"20 minutes" in t.raw.split(b"\x1b[?1049l")[1]  # after the screen is gone


def test_top_ends_at_a_key_while_the_server_hangs(terminal, stub):
    import threading

    hang = threading.Event()
    server = stub({"/connections": [], "/users": [], "/status": STATUS})
    t = terminal(*at(server), "top")
    t.has("q quit")
    server.answers["/connections"] = lambda _: hang.wait(30) and None
    asked = len(server.asked)
    until(lambda: t.read(0.05) and len(server.asked) > asked, what="the question")
    t.send("q")
    assert t.wait() == OK
    hang.set()


def test_top_without_a_server_or_a_known_terminal_says_so(terminal, stub):
    t = terminal("--url", "http://127.0.0.1:9", "--token", "x", "top")
    assert t.wait() == 3 and "cannot connect" in t.text() and b"\x1b[?1049h" not in t.raw
    server = stub({"/connections": [], "/users": [], "/status": STATUS})
    t = terminal(*at(server), "top", env={"TERM": "no-such-terminal"})
    assert t.wait() == 2 and "TERM" in t.text()
