"""The bed of the end-to-end tests: a real tallyd on free ports in a directory of its own, and what its people use."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import requests

TALLYD = os.environ.get("TALLYD", str(pathlib.Path(__file__).parents[2] / "build/dev/tallyd"))
ADMIN = ("admin", "admin-password")
START_S = 60
HOST_KEYS = {}  # file: bytes; the first daemon of a test process makes them, and the later ones need not


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(check, seconds=20, what="the condition"):
    """Awaits an event: calls check() until it gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.01)


def walk(*roots):
    """What a tree holds: bytes and files, each inode once."""
    seen = {}
    for root in roots:
        for base, _, names in os.walk(root):
            for name in names:
                st = os.lstat(os.path.join(base, name))
                if st.st_mode & 0o170000 == 0o100000:
                    seen[st.st_dev, st.st_ino] = st.st_size
    return sum(seen.values()), len(seen)


class Tally:
    def __init__(self, **overrides):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tally-e2e-", dir="/var/tmp"))
        self.dir.chmod(0o755)
        self.sftp_port, self.api_port, self.metrics_port = free_port(), free_port(), free_port()
        self.api_url = f"http://127.0.0.1:{self.api_port}"
        self.admin = ADMIN
        self.mount = self.dir / "homes"
        self.data = self.dir / "data"
        self.sock = self.dir / "run/api.sock"
        self.log_path = self.dir / "log"
        self.config = {
            "state_dir": str(self.dir / "state"),
            "runtime_dir": str(self.dir / "run"),
            "sftpd": {"bindings": [{"address": "127.0.0.1", "port": self.sftp_port}]},
            "httpd": {"bindings": [{"address": "127.0.0.1", "port": self.api_port}]},
            "telemetry": {"bind_port": self.metrics_port},
            "data_provider": {
                "users_base_dir": str(self.data),
                "create_default_admin": True,
                "password_hashing": {"bcrypt_options": {"cost": 4}},
            },
            "vfs": {"mount": str(self.mount)},
        }
        for section, keys in overrides.items():
            if isinstance(keys, dict):
                self.config.setdefault(section, {}).update(keys)
            else:
                self.config[section] = keys
        self.options = []  # of the command line
        self.command = [TALLYD]
        self.environment = {}
        self.pass_fds = ()
        self.process = None
        self.session = requests.Session()
        self._token = None

    # -- the daemon

    def start(self):
        path = self.dir / "tally.json"
        path.write_text(json.dumps(self.config, indent=1))
        self.log_at = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._share_host_keys()
        environment = dict(os.environ, TALLY_DEFAULT_ADMIN_USERNAME=ADMIN[0], TALLY_DEFAULT_ADMIN_PASSWORD=ADMIN[1], **self.environment)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--config", str(path), *self.options],
                stderr=log,
                stdout=log,
                stdin=subprocess.DEVNULL,
                env=environment,
                pass_fds=self.pass_fds,
            )
        until(self._is_ready, START_S, "ready")
        for key in pathlib.Path(self.config["state_dir"]).glob("id_*"):
            HOST_KEYS.setdefault(key.name, key.read_bytes())
        self._token = None
        return self

    def _share_host_keys(self):
        state = pathlib.Path(self.config["state_dir"])
        if not HOST_KEYS or state.exists():
            return
        state.mkdir(mode=0o700, parents=True)
        for name, content in HOST_KEYS.items():
            (state / name).touch(0o600)
            (state / name).write_bytes(content)

    def _is_ready(self):
        assert self.process.poll() is None, "tallyd ended:\n" + self.log()[-4000:]
        return '"message":"ready"' in self.log(self.log_at)

    def log(self, start=0):
        with open(self.log_path, errors="replace") as f:
            f.seek(start)
            return f.read()

    def stop(self, wait_s=60):
        """A clean stop; returns the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(wait_s)
        self.process = None
        return status

    def kill(self):
        """The supervisor dies without a word; its services end with it."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def role_pid(self, name):
        """The process of a role: "tallyd-vfs" and so on."""
        for child in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                stat = (child / "stat").read_text()
                comm, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
            except OSError:
                continue
            if comm == name and int(rest[1]) == self.process.pid:
                return int(child.name)
        return None

    def close(self):
        try:
            if self.process is not None:
                try:
                    self.stop()
                except subprocess.TimeoutExpired:
                    self.kill()
        finally:
            self._unmount_all()
            shutil.rmtree(self.dir, ignore_errors=True)

    def _unmount_all(self):
        """What is mounted below our directory: the homes and, with vfs.in_place, what covers them."""
        lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        for place in reversed([line.split()[4] for line in lines]):
            if place.startswith(f"{self.dir}/"):
                subprocess.run(["umount", "-l", place], stderr=subprocess.DEVNULL, check=False)

    # -- the REST API

    def token(self):
        r = self.session.get(self.api_url + "/api/v2/token", auth=self.admin, timeout=30)
        assert r.status_code == 200, r.text
        return r.json()["access_token"]

    def api(self, method, path, body=None, expect=None, **kwargs):
        if self._token is None:
            self._token = self.token()
        r = self.session.request(
            method,
            self.api_url + "/api/v2" + path,
            json=body,
            headers={"Authorization": "Bearer " + self._token},
            timeout=30,
            **kwargs,
        )
        if expect is not None:
            assert r.status_code == expect, f"{method} {path}: {r.status_code} {r.text}"
        return r

    def add_user(self, name, password="secret", expect=201, **members):
        body = {"username": name, "password": password, "status": 1, "permissions": {"/": ["*"]}}
        body.update(members)
        self.api("POST", "/users", body, expect=expect)
        return self.mount / name

    def usage(self, name):
        """(bytes, files) as the user's record tells."""
        u = self.api("GET", f"/users/{name}", expect=200).json()
        return u["used_quota_size"], u["used_quota_files"]

    def folder_usage(self, name):
        f = self.api("GET", f"/folders/{name}", expect=200).json()
        return f["used_quota_size"], f["used_quota_files"]

    def state(self, name):
        return self.api("GET", f"/quotas/users/{name}", expect=200).json()["state"]

    # -- OpenSSH

    def ssh_options(self):
        return [
            "-oStrictHostKeyChecking=no",
            "-oUserKnownHostsFile=/dev/null",
            "-oLogLevel=ERROR",
            "-oPreferredAuthentications=password",
            "-oNumberOfPasswordPrompts=1",
            "-oGlobalKnownHostsFile=/dev/null",
        ]

    def sftp(self, user, batch, password="secret", check=True, options=()):
        """Runs OpenSSH's sftp with a batch of commands."""
        r = subprocess.run(
            ["sshpass", "-p", password, "sftp", *self.ssh_options(), *options, "-oBatchMode=no", "-b", "-", "-P", str(self.sftp_port), f"{user}@127.0.0.1"],
            input=batch,
            text=True,
            capture_output=True,
            timeout=240,
            check=False,
        )
        if check:
            assert r.returncode == 0, r.stdout + r.stderr
        return r

    def scp(self, *args, password="secret", options=()):
        return subprocess.run(
            ["sshpass", "-p", password, "scp", *self.ssh_options(), *options, "-P", str(self.sftp_port), *args],
            text=True,
            capture_output=True,
            timeout=240,
            check=False,
        )


@pytest.fixture
def make_tally():
    """Makes daemons with sections of the configuration changed: make_tally(common={"idle_timeout": 1})."""
    made = []

    def make(**overrides):
        made.append(Tally(**overrides))
        return made[-1].start()

    yield make
    for t in made:
        t.close()


@pytest.fixture(scope="module")
def tally():
    t = Tally()
    try:
        yield t.start()
    finally:
        t.close()
