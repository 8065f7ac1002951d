"""Live connections over REST (contract/rest.md §7, §11 line 13)."""

import subprocess

import pytest

from conftest import until


def test_an_unknown_connection_is_404(tally):
    for name in ("SFTP_0_1", "x", "%25"):
        r = tally.api("DELETE", f"/connections/{name}", expect=404)
        assert r.json() == {"message": "Not Found"}


def test_nobody_is_an_empty_list(tally):
    until(lambda: tally.api("GET", "/connections", expect=200).json() == [], what="an empty list")


@pytest.fixture
def upload(tally):
    """An upload that is under way: slow enough to be seen."""
    if tally.api("GET", "/users/uploader").status_code == 404:
        tally.add_user("uploader")
    (tally.dir / "big").write_bytes(b"x" * (4 << 20))
    p = subprocess.Popen(
        ["sshpass", "-p", "secret", "sftp", *tally.ssh_options(), "-oBatchMode=no", "-l", "800", "-b", "-", "-P", str(tally.sftp_port), "uploader@127.0.0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    p.stdin.write(f"put {tally.dir}/big /big\n")
    p.stdin.close()
    yield p
    p.kill()
    p.wait()


def test_a_transfer_is_listed_and_closed(tally, upload):
    def running():
        return [c for c in tally.api("GET", "/connections", expect=200).json() if c.get("active_transfers")]

    (c,) = until(running, what="the transfer in the list")
    assert c["username"] == "uploader" and c["protocol"] == "SFTP" and c["remote_address"].startswith("127.0.0.1:")
    assert c["connection_time"] > 0 and c["last_activity"] >= c["connection_time"]
    (t,) = c["active_transfers"]
    assert t["operation_type"] == "upload" and t["path"] == "/big" and t["start_time"] > 0
    until(lambda: running()[0]["active_transfers"][0]["size"] > t["size"], what="progress")
    r = tally.api("DELETE", f"/connections/{c['connection_id']}", expect=200)
    assert r.json() == {"message": "Connection closed"}
    until(lambda: tally.api("GET", "/connections", expect=200).json() == [], what="the entry to vanish")
    tally.api("DELETE", f"/connections/{c['connection_id']}", expect=404)
    assert upload.wait(30) != 0


def test_an_update_with_disconnect_closes_the_sessions_of_the_user(tally, upload):
    until(lambda: tally.api("GET", "/connections", expect=200).json(), what="the connection")
    tally.api("PUT", "/users/uploader?disconnect=1", {"description": "closed"}, expect=200)
    until(lambda: tally.api("GET", "/connections", expect=200).json() == [], what="the entry to vanish")
    assert upload.wait(30) != 0
