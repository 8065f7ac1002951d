"""The clients that people use, each over its own library: what they put is what they get, and the usage is a walk's."""

import filecmp
import os
import pathlib
import random
import subprocess
import time

import paramiko
import pytest

from conftest import until, walk
from test_sftp_sessions import connect

SIZES = [0, 1, 4095, 32768, 65537, 1 << 20, 5_000_003]


@pytest.fixture
def files(tmp_path):
    """A tree with a directory, odd names and odd sizes."""
    rng = random.Random(7)
    tree = tmp_path / "tree"
    (tree / "d o t" / "deep").mkdir(parents=True)
    for i, size in enumerate(SIZES):
        (tree / f"f{i}").write_bytes(rng.randbytes(size))
        (tree / "d o t" / f"with space {i} ä").write_bytes(rng.randbytes(size // 3))
    (tree / "d o t" / "deep" / "x").write_bytes(b"x")
    return tree


def same(a, b):
    r = subprocess.run(["diff", "-r", a, b], capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr


def exact(tally, user):
    assert tally.usage(user) == walk(tally.data / user)


def run(*args, check=True, **kwargs):
    args = [str(a) for a in args]
    r = subprocess.run(args, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL, **kwargs)
    assert not check or r.returncode == 0, f"{args}: {r.returncode}\n{r.stdout}{r.stderr}"
    return r


def test_openssh_sftp(tally, files, tmp_path):
    tally.add_user("openssh")
    back = tmp_path / "back"
    back.mkdir()
    # -p sends times and modes over the open file's handle
    tally.sftp("openssh", f"put -p -r {files} tree\nls -l tree\ndf\nget -p -r tree {back}\n")
    same(files, back / "tree")
    for name in ("f3", "d o t/deep/x"):
        assert int((back / "tree" / name).stat().st_mtime) == int((files / name).stat().st_mtime)
    tally.sftp(
        "openssh",
        "rename tree/f5 tree/g5\nln -s f3 tree/link\nln tree/f3 tree/hard\ncp tree/f3 tree/copy\nchmod 600 tree/f4\nrm tree/f6\nmkdir n\nrmdir n\n",
    )
    home = tally.mount / "openssh/tree"
    assert (home / "copy").read_bytes() == (home / "hard").read_bytes() == (files / "f3").read_bytes()
    assert (home / "g5").read_bytes() == (files / "f5").read_bytes() and not (home / "f5").exists()
    assert (home / "f4").stat().st_mode & 0o777 == 0o600 and (home / "link").read_bytes() == (home / "f3").read_bytes()
    (tmp_path / "part").write_bytes((files / "f3").read_bytes()[:1000])
    tally.sftp("openssh", f"reget tree/f3 {tmp_path}/part\nput {tmp_path}/part tree/again\nput -f {tmp_path}/part tree/synced\n")
    assert filecmp.cmp(tmp_path / "part", files / "f3", shallow=False)
    exact(tally, "openssh")


ALGORITHMS = {
    "Ciphers": ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"],
    "MACs": ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"],
    "KexAlgorithms": ["curve25519-sha256", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"],
    "HostKeyAlgorithms": ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"],
}


@pytest.mark.parametrize("turn", range(4))
def test_each_algorithm_works_also_when_keys_are_exchanged_anew(tally, files, tmp_path, turn):
    if turn == 0:
        tally.add_user("algorithms")
    options = [f"-o{name}={choices[turn]}" for name, choices in ALGORITHMS.items()]
    batch = f"put {files}/f6 f\nget f {tmp_path}/f\n"
    tally.sftp("algorithms", batch, options=[*options, "-oRekeyLimit=512K"])
    assert filecmp.cmp(files / "f6", tmp_path / "f", shallow=False)


@pytest.mark.parametrize("protocol", ["-s", "-O"])
def test_openssh_scp(tally, files, tmp_path, protocol):
    user = "scp" + protocol.strip("-").lower() + str(protocol == "-O")
    tally.add_user(user)
    at = f"{user}@127.0.0.1:"
    r = tally.scp("-p", "-r", str(files), at + "/tree", options=[protocol])
    assert r.returncode == 0, r.stderr
    r = tally.scp("-p", "-r", at + "/tree", str(tmp_path / "back"), options=[protocol])
    assert r.returncode == 0, r.stderr
    same(files, tmp_path / "back")
    assert int((tmp_path / "back/f3").stat().st_mtime) == int((files / "f3").stat().st_mtime)
    exact(tally, user)


def test_lftp_mirrors_both_ways(tally, files, tmp_path):
    tally.add_user("lftp")
    ssh = "ssh -a -x -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    setup = f'set sftp:connect-program "{ssh}"; set sftp:auto-confirm yes; set net:max-retries 1; set cmd:fail-exit yes; '

    def lftp(script):
        return run("lftp", "-c", f"{setup}open -u lftp,secret -p {tally.sftp_port} sftp://127.0.0.1; {script}")

    lftp(f"mirror -R -P 4 {files} tree")
    lftp(f"mirror -P 4 tree {tmp_path}/back")
    same(files, tmp_path / "back")
    (files / "f2").unlink()
    (files / "f1").write_bytes(b"changed")
    lftp(f"mirror -R --delete {files} tree; mv tree/f3 tree/moved; rm tree/f4; du -s tree")
    assert sorted(os.listdir(tally.mount / "lftp/tree")) == sorted(
        set(os.listdir(files)) - {"f3", "f4"} | {"moved"}
    )
    exact(tally, "lftp")


def test_sshfs(tally, files, tmp_path):
    tally.add_user("sshfs")
    point = tmp_path / "point"
    point.mkdir()
    options = ["password_stdin", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "idmap=user"]
    subprocess.run(
        ["sshfs", "sshfs@127.0.0.1:/", point, "-p", str(tally.sftp_port), *(f"-o{o}" for o in options)],
        input="secret\n",
        text=True,
        timeout=60,
        check=True,
    )
    try:
        run("cp", "-r", files, point / "tree")
        same(files, point / "tree")
        run("rm", "-r", point / "tree/d o t")
        run("mv", point / "tree/f5", point / "tree/g5")
        run("truncate", "-s", "1000", point / "tree/g5")
        with open(point / "tree/g5", "ab") as f:
            f.write(b"end")
            f.flush()
            os.fsync(f.fileno())
        assert os.statvfs(point).f_blocks > 0
    finally:
        run("fusermount3", "-u", point)
    assert (tally.mount / "sshfs/tree/g5").read_bytes() == (files / "f5").read_bytes()[:1000] + b"end"
    exact(tally, "sshfs")


def test_rclone(tally, files, tmp_path):
    tally.add_user("rclone")
    secret = run("rclone", "obscure", "secret").stdout.strip()
    remote = f":sftp,host=127.0.0.1,port={tally.sftp_port},user=rclone,pass={secret}:"
    rclone = ["rclone", "--config", tmp_path / "none", "--retries", "1", "--low-level-retries", "1"]
    run(*rclone, "copy", files, remote + "tree")
    run(*rclone, "check", files, remote + "tree")
    r = run(*rclone, "md5sum", remote + "tree/f3").stdout
    assert r.split()[0] == run("md5sum", files / "f3").stdout.split()[0]
    run(*rclone, "copy", remote + "tree", tmp_path / "back")
    same(files, tmp_path / "back")
    (files / "f1").unlink()
    run(*rclone, "sync", files, remote + "tree")
    run(*rclone, "moveto", remote + "tree/f3", remote + "moved")
    assert not (tally.mount / "rclone/tree/f1").exists() and (tally.mount / "rclone/moved").exists()
    exact(tally, "rclone")
    run(*rclone, "purge", remote + "tree")
    exact(tally, "rclone")


def test_curl(tally, files, tmp_path):
    if "sftp" not in run("curl", "--version").stdout:
        pytest.skip("this curl speaks no SFTP")
    tally.add_user("curl")
    url = f"sftp://127.0.0.1:{tally.sftp_port}"
    curl = ["curl", "-sS", "--insecure", "-u", "curl:secret"]
    run(*curl, "-T", files / "f6", url + "/up")
    run(*curl, "--ftp-create-dirs", "-T", files / "f3", url + "/a/b/up")
    run(*curl, "-o", tmp_path / "down", url + "/up")
    assert filecmp.cmp(files / "f6", tmp_path / "down", shallow=False)
    run(*curl, "-Q", "rename /up /moved", "-Q", "rm /a/b/up", url + "/", "-o", os.devnull)
    assert sorted(os.listdir(tally.mount / "curl")) == ["a", "moved"]
    exact(tally, "curl")


def test_paramiko(tally, files, tmp_path):
    tally.add_user("paramiko")
    client = connect(tally, "paramiko")
    try:
        sftp = client.open_sftp()
        sftp.put(files / "f6", "f6")
        sftp.get("f6", tmp_path / "got", prefetch=True)
        assert filecmp.cmp(files / "f6", tmp_path / "got", shallow=False)
        with sftp.open("f6", "r") as f:
            f.prefetch()
            assert f.read() == (files / "f6").read_bytes()
        with sftp.open("f6", "r+") as f:
            f.seek(10)
            f.write(b"middle")
            f.truncate(100)
            f.utime((1_000_000_000, 1_100_000_000))
            f.chmod(0o640)
        st = sftp.stat("f6")
        assert (st.st_size, int(st.st_mtime), st.st_mode & 0o777) == (100, 1_100_000_000, 0o640)
        sftp.posix_rename("f6", "f7")
        sftp.mkdir("d")
        sftp.symlink("../f7", "d/l")
        assert sftp.normalize("d/../d") == "/d" and sorted(sftp.listdir()) == ["d", "f7"]
        with pytest.raises(FileNotFoundError):
            sftp.stat("nothing")
        sftp.remove("d/l")
        sftp.rmdir("d")
    finally:
        client.close()
    exact(tally, "paramiko")


def test_psftp(tally, files, tmp_path):
    tally.add_user("psftp")
    with paramiko.Transport(("127.0.0.1", tally.sftp_port)) as t:
        t.start_client(timeout=20)
        key = t.get_remote_server_key()
        prints = key.get_fingerprint().hex(":")
    script = tmp_path / "script"
    script.write_text(f"put -r {files} tree\nget -r tree {tmp_path}/back\nmv tree/f3 tree/moved\ndel tree/f4\nls tree\n")
    for choice in ([], ["-hostkey", prints]):
        r = run(
            *("psftp", "-batch", *choice, "-P", tally.sftp_port, "-pw", "secret", "-b", script, "psftp@127.0.0.1"),
            check=False,
            env=dict(os.environ, HOME=str(tmp_path)),
        )
        found = [w for w in (r.stdout + r.stderr).split() if w.startswith("SHA256:")]
        if r.returncode == 0:
            break
        if found:
            prints = found[-1]
    else:
        r = run(
            *("psftp", "-batch", "-hostkey", prints, "-P", tally.sftp_port, "-pw", "secret", "-b", script),
            "psftp@127.0.0.1",
            env=dict(os.environ, HOME=str(tmp_path)),
        )
    same(files, tmp_path / "back")
    home = tally.mount / "psftp/tree"
    assert (home / "moved").exists() and not (home / "f3").exists() and not (home / "f4").exists()
    exact(tally, "psftp")


# -- a full home: every client ends with an error, none hangs, none is confused by the line on its standard error


@pytest.fixture
def full(tally, request):
    name = "full-" + request.node.callspec.id
    tally.add_user(name, quota_size=200_000)
    return name


def full_openssh(tally, user, big, tmp_path):
    return tally.sftp(user, f"put {big} big\n", check=False)


def full_scp(tally, user, big, tmp_path):
    return tally.scp("-s", str(big), f"{user}@127.0.0.1:/big")


def full_old_scp(tally, user, big, tmp_path):
    return tally.scp("-O", str(big), f"{user}@127.0.0.1:/big")


def full_lftp(tally, user, big, tmp_path):
    ssh = "ssh -a -x -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    setup = f'set sftp:connect-program "{ssh}"; set net:max-retries 1; set cmd:fail-exit yes; '
    script = f"{setup}open -u {user},secret -p {tally.sftp_port} sftp://127.0.0.1; put {big} -o big"
    return run("lftp", "-c", script, check=False)


def full_rclone(tally, user, big, tmp_path):
    secret = run("rclone", "obscure", "secret").stdout.strip()
    remote = f":sftp,host=127.0.0.1,port={tally.sftp_port},user={user},pass={secret}:"
    options = ["--config", tmp_path / "none", "--retries", "1", "--low-level-retries", "1"]
    return run("rclone", *options, "copyto", big, remote + "big", check=False)


def full_curl(tally, user, big, tmp_path):
    return run("curl", "-sS", "-k", "-u", f"{user}:secret", "-T", big, f"sftp://127.0.0.1:{tally.sftp_port}/big", check=False)


@pytest.mark.parametrize("put", [full_openssh, full_scp, full_old_scp, full_lftp, full_rclone, full_curl])
def test_a_full_home_is_an_error_to_every_client_and_the_words_come_through(tally, full, put, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"b" * 3_000_000)
    start = time.monotonic()
    r = put(tally, full, big, tmp_path)
    assert r.returncode != 0, r.stdout + r.stderr
    if put in (full_openssh, full_scp, full_old_scp, full_rclone):
        assert "quota exceeded" in (r.stdout + r.stderr).lower(), r.stdout + r.stderr
    assert time.monotonic() - start < 60
    until(lambda: tally.usage(full) == walk(tally.data / full), 10, "the usage is a walk's")
    assert tally.usage(full)[0] <= 200_000
    small = pathlib.Path(tmp_path / "small")
    small.write_bytes(b"s")
    tally.sftp(full, f"-rm big\nput {small} small\n")


def test_at_the_end_no_session_has_died_of_a_signal(tally):
    assert "died of signal" not in tally.log(), "SIGSYS (31) is a system call that the filter lacks"
