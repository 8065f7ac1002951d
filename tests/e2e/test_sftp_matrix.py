"""One table: operations by clients. Each client does what it can of put, get, resume both ways, rename, list and remove;
what it leaves on the server, and what it brings back, is compared byte for byte, and the usage is a walk's."""

import asyncio
import filecmp
import os
import random
import shutil
import subprocess
import tempfile

import paramiko
import pytest

from conftest import until, walk

try:
    import asyncssh
except ImportError:
    asyncssh = None

SIZE = 3_000_001
CUT = 1_000_000


def run(*args, check=True, **kwargs):
    args = [str(a) for a in args]
    r = subprocess.run(args, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL, **kwargs)
    assert not check or r.returncode == 0, f"{args}: {r.returncode}\n{r.stdout}{r.stderr}"
    return r.stdout


class Client:
    """A user of one program. Operations that it has not are left out of its class."""

    needs = ()

    def __init__(self, bed):
        self.bed, self.port, self.user = bed, bed.tally.sftp_port, bed.user
        self.ssh = ["-i", bed.key, *bed.ssh_options]

    def close(self):
        pass


class OpensshSftp(Client):
    needs = ("sftp",)

    def batch(self, text):
        return subprocess.run(
            ["sftp", "-q", *map(str, self.ssh), "-P", str(self.port), "-b", "-", f"{self.user}@127.0.0.1"],
            input=text, text=True, capture_output=True, timeout=60, check=True).stdout  # fmt: skip

    def put(self, a, b):
        self.batch(f"put {a} {b}\n")

    def get(self, a, b):
        self.batch(f"get {a} {b}\n")

    def resume_put(self, a, b):
        self.batch(f"reput {a} {b}\n")

    def resume_get(self, a, b):
        self.batch(f"reget {a} {b}\n")

    def rename(self, a, b):
        self.batch(f"rename {a} {b}\n")

    def list(self, d):
        return {os.path.basename(x) for x in self.batch(f"ls -1 {d}\n").splitlines() if not x.startswith("sftp>")}

    def remove(self, a):
        self.batch(f"rm {a}\n")


class OpensshScp(Client):
    needs = ("scp",)
    protocol = "-s"

    def scp(self, *args):
        run("scp", "-q", self.protocol, *self.ssh, "-P", self.port, *args)

    def put(self, a, b):
        self.scp(a, f"{self.user}@127.0.0.1:{b}")

    def get(self, a, b):
        self.scp(f"{self.user}@127.0.0.1:{a}", b)


class OpensshOldScp(OpensshScp):
    protocol = "-O"


class Lftp(Client):
    needs = ("lftp",)

    def do(self, script):
        ssh = " ".join(["ssh", "-a", "-x", *map(str, self.ssh)])
        setup = f'set sftp:connect-program "{ssh}"; set net:max-retries 1; set cmd:fail-exit yes; '
        return run("lftp", "-c", f"{setup}open -u {self.user}, -p {self.port} sftp://127.0.0.1; {script}")

    def put(self, a, b):
        self.do(f"put {a} -o {b}")

    def get(self, a, b):
        self.do(f"get {a} -o {b}")

    def resume_put(self, a, b):
        self.do(f"put -c {a} -o {b}")

    def resume_get(self, a, b):
        self.do(f"get -c {a} -o {b}")

    def rename(self, a, b):
        self.do(f"mv {a} {b}")

    def list(self, d):
        return {os.path.basename(x) for x in self.do(f"cls -1 {d}").splitlines()}

    def remove(self, a):
        self.do(f"rm {a}")


class Sshfs(Client):
    needs = ("sshfs", "fusermount3")

    def __init__(self, bed):
        super().__init__(bed)
        self.point = bed.local / "point"
        self.point.mkdir()
        options = ["idmap=user", f"IdentityFile={bed.key}", *(o[2:] for o in bed.ssh_options)]
        run("sshfs", f"{self.user}@127.0.0.1:/", self.point, "-p", self.port, *(f"-o{o}" for o in options))

    def close(self):
        run("fusermount3", "-u", self.point)

    def at(self, path):
        return self.point / path.lstrip("/")

    def put(self, a, b):
        run("cp", a, self.at(b))

    def get(self, a, b):
        run("cp", self.at(a), b)

    def resume_put(self, a, b):
        with open(a, "rb") as f, open(self.at(b), "ab") as to:
            f.seek(to.tell())
            shutil.copyfileobj(f, to)

    def resume_get(self, a, b):
        with open(self.at(a), "rb") as f, open(b, "ab") as to:
            f.seek(to.tell())
            shutil.copyfileobj(f, to)

    def rename(self, a, b):
        self.at(a).rename(self.at(b))

    def list(self, d):
        return set(os.listdir(self.at(d)))

    def remove(self, a):
        self.at(a).unlink()


class Rclone(Client):
    needs = ("rclone",)

    def rclone(self, command, *args):
        remote = f":sftp,host=127.0.0.1,port={self.port},user={self.user},key_file={self.bed.key}:"
        args = [remote + a[1:] if isinstance(a, str) else a for a in args]
        return run("rclone", "--config", self.bed.local / "none", "--retries", "1", command, *args)

    def put(self, a, b):
        self.rclone("copyto", a, b)

    def get(self, a, b):
        self.rclone("copyto", a, b)

    def rename(self, a, b):
        self.rclone("moveto", a, b)

    def list(self, d):
        return set(self.rclone("lsf", d).splitlines())

    def remove(self, a):
        self.rclone("deletefile", a)


class Curl(Client):
    needs = ("curl",)

    def curl(self, *args):
        return run("curl", "-sS", "-k", "-u", f"{self.user}:secret", *args)

    def url(self, path):
        return f"sftp://127.0.0.1:{self.port}{path}"

    def put(self, a, b):
        self.curl("-T", a, self.url(b))

    def get(self, a, b):
        self.curl("-o", b, self.url(a))

    def resume_put(self, a, b):
        self.curl("-C", CUT, "-T", a, self.url(b))

    def resume_get(self, a, b):
        self.curl("-C", "-", "-o", b, self.url(a))

    def rename(self, a, b):
        self.curl("-Q", f"rename {a} {b}", self.url("/"), "-o", os.devnull)

    def list(self, d):
        return set(self.curl("-l", self.url(d + "/")).split()) - {".", ".."}

    def remove(self, a):
        self.curl("-Q", f"rm {a}", self.url("/"), "-o", os.devnull)


class Putty(Client):
    def __init__(self, bed):
        super().__init__(bed)
        with paramiko.Transport(("127.0.0.1", self.port)) as t:
            t.start_client(timeout=20)
            self.print = t.get_remote_server_key().get_fingerprint().hex(":")
        self.options = ["-batch", "-hostkey", self.print, "-P", self.port, "-pw", "secret"]
        self.env = dict(os.environ, HOME=str(bed.local))
        said = subprocess.run(["psftp", *map(str, self.options), "-b", os.devnull, f"{self.user}@127.0.0.1"],
                              capture_output=True, text=True, timeout=60, env=self.env, check=False)  # fmt: skip
        found = [w for w in (said.stdout + said.stderr).split() if w.startswith("SHA256:")]
        if found:  # it prefers another kind of host key
            self.options[2] = found[-1]


class Psftp(Putty):
    needs = ("psftp",)

    def psftp(self, text):
        script = self.bed.local / "script"
        script.write_text(text)
        return run("psftp", *self.options, "-b", script, f"{self.user}@127.0.0.1", env=self.env)

    def put(self, a, b):
        self.psftp(f"put {a} {b}\n")

    def get(self, a, b):
        self.psftp(f"get {a} {b}\n")

    def resume_put(self, a, b):
        self.psftp(f"reput {a} {b}\n")

    def resume_get(self, a, b):
        self.psftp(f"reget {a} {b}\n")

    def rename(self, a, b):
        self.psftp(f"mv {a} {b}\n")

    def list(self, d):
        return {x.split()[-1] for x in self.psftp(f"ls {d}\n").splitlines() if x.startswith("-")}

    def remove(self, a):
        self.psftp(f"rm {a}\n")


class Pscp(Putty):
    needs = ("pscp", "psftp")
    protocol = "-sftp"

    def put(self, a, b):
        run("pscp", "-q", self.protocol, *self.options, a, f"{self.user}@127.0.0.1:{b}", env=self.env)

    def get(self, a, b):
        run("pscp", "-q", self.protocol, *self.options, f"{self.user}@127.0.0.1:{a}", b, env=self.env)


class PscpOld(Pscp):
    protocol = "-scp"


class Paramiko(Client):
    def __init__(self, bed):
        super().__init__(bed)
        self.client = paramiko.SSHClient()
        self.client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        self.client.connect("127.0.0.1", self.port, self.user, key_filename=str(bed.key), look_for_keys=False, allow_agent=False)
        self.sftp = self.client.open_sftp()

    def close(self):
        self.client.close()

    def put(self, a, b):
        self.sftp.put(a, b)

    def get(self, a, b):
        self.sftp.get(a, b)

    def resume_put(self, a, b):
        with open(a, "rb") as f, self.sftp.open(b, "r+") as to:
            to.seek(CUT)
            f.seek(CUT)
            shutil.copyfileobj(f, to)

    def resume_get(self, a, b):
        with self.sftp.open(a) as f, open(b, "ab") as to:
            f.seek(to.tell())
            shutil.copyfileobj(f, to)

    def rename(self, a, b):
        self.sftp.posix_rename(a, b)

    def list(self, d):
        return set(self.sftp.listdir(d))

    def remove(self, a):
        self.sftp.remove(a)

    def sum(self, a):
        with self.sftp.open(a) as f:
            return f.check("md5").hex()


class Asyncssh(Client):
    modules = (asyncssh,)

    def do(self, work):
        async def inside():
            options = dict(username=self.user, client_keys=[str(self.bed.key)], known_hosts=None, agent_path=None, config=None)
            async with asyncssh.connect("127.0.0.1", self.port, **options) as c, c.start_sftp_client() as sftp:
                return await work(sftp)

        return asyncio.run(inside())

    def put(self, a, b):
        self.do(lambda s: s.put(str(a), b))

    def get(self, a, b):
        self.do(lambda s: s.get(a, str(b)))

    def resume_put(self, a, b):
        async def work(s):
            async with s.open(b, "r+b") as f:
                await f.seek(CUT)
                await f.write(open(a, "rb").read()[CUT:])

        self.do(work)

    def rename(self, a, b):
        self.do(lambda s: s.rename(a, b))

    def list(self, d):
        return set(self.do(lambda s: s.listdir(d))) - {".", ".."}

    def remove(self, a):
        self.do(lambda s: s.remove(a))


class Gvfs(Client):
    needs = ("gio", "dbus-daemon", "/usr/libexec/gvfsd-sftp")

    def __init__(self, bed):
        super().__init__(bed)
        tools = bed.local / "bin"
        tools.mkdir()
        ssh = tools / "ssh"  # gvfs runs the first "ssh" of PATH
        ssh.write_text("#!/bin/sh\nexec /usr/bin/ssh " + " ".join(map(str, self.ssh)) + ' "$@" \n')
        ssh.chmod(0o755)
        self.env = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", HOME=str(bed.local))
        self.run_dir = tempfile.TemporaryDirectory(prefix="gv")  # short: it holds a control socket of ssh
        self.env["XDG_RUNTIME_DIR"] = self.run_dir.name
        self.env.pop("DISPLAY", None)
        config = bed.local / "bus.conf"
        config.write_text(
            f"<busconfig><type>session</type><listen>unix:dir={bed.local}</listen><standard_session_servicedirs/>"
            '<policy context="default"><allow send_destination="*"/><allow own="*"/><allow receive_sender="*"/></policy></busconfig>')
        self.bus = subprocess.Popen(["dbus-daemon", f"--config-file={config}", "--print-address", "--nofork"],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.env)  # fmt: skip
        self.env["DBUS_SESSION_BUS_ADDRESS"] = self.bus.stdout.readline().strip()
        self.root = f"sftp://{self.user}@127.0.0.1:{self.port}"
        try:
            self.gio("mount", self.root + "/")
        except BaseException:
            self.close()
            raise

    def gio(self, *args):
        return run("gio", *args, env=self.env)

    def close(self):
        run("gio", "mount", "-u", self.root + "/", env=self.env, check=False)
        self.bus.terminate()  # its services end with it
        self.bus.wait(20)
        self.bus.stdout.close()
        self.run_dir.cleanup()

    def put(self, a, b):
        self.gio("copy", a, self.root + b)

    def get(self, a, b):
        self.gio("copy", self.root + a, b)

    def rename(self, a, b):
        self.gio("move", self.root + a, self.root + b)

    def list(self, d):
        return set(self.gio("list", self.root + d).split())

    def remove(self, a):
        self.gio("remove", self.root + a)


CLIENTS = [OpensshSftp, OpensshScp, OpensshOldScp, Lftp, Sshfs, Rclone, Curl, Psftp, Pscp, PscpOld, Paramiko, Asyncssh, Gvfs]


class Bed:
    pass


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "id"
    run("ssh-keygen", "-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f", path)
    return path


@pytest.fixture
def bed(tally, key, tmp_path, request):
    b = Bed()
    b.tally, b.local, b.key = tally, tmp_path, key
    b.user = request.node.callspec.id.lower() if hasattr(request.node, "callspec") else request.node.name[:40].lower()
    public = key.with_suffix(".pub").read_text().strip()
    b.home = tally.add_user(b.user, public_keys=[public])
    b.ssh_options = [o for o in tally.ssh_options() if "Preferred" not in o and "Prompts" not in o] + ["-oIdentitiesOnly=yes", "-oBatchMode=yes"]
    b.file = tmp_path / "file"
    b.file.write_bytes(random.Random(3).randbytes(SIZE))
    return b


def available(cls):
    missing = [n for n in cls.needs if not (os.path.exists(n) if n.startswith("/") else shutil.which(n))]
    missing += ["module"] if None in getattr(cls, "modules", ()) else []
    if missing:
        pytest.skip(f"not installed: {missing}")


def same(a, b):
    assert filecmp.cmp(a, b, shallow=False), (a, b, os.path.getsize(a), os.path.getsize(b))


@pytest.mark.parametrize("cls", CLIENTS, ids=lambda c: c.__name__)
def test_what_a_client_can_do_is_done_exactly(bed, cls):
    available(cls)
    c = cls(bed)
    half, back = bed.local / "half", bed.local / "back"
    half.write_bytes(bed.file.read_bytes()[:CUT])
    try:
        c.put(bed.file, "/up")
        same(bed.file, bed.home / "up")
        c.put(bed.file, "/up")  # again, over what is there
        same(bed.file, bed.home / "up")
        c.get("/up", back)
        same(bed.file, back)
        if hasattr(c, "resume_put"):
            shutil.copy(half, bed.home / "part")
            os.chown(bed.home / "part", *(lambda s: (s.st_uid, s.st_gid))(os.stat(bed.home / "up")))
            c.resume_put(bed.file, "/part")
            same(bed.file, bed.home / "part")
        if hasattr(c, "resume_get"):
            c.resume_get("/up", half)
            same(bed.file, half)
        if hasattr(c, "sum"):
            assert c.sum("/up") == run("md5sum", bed.file).split()[0]
        if hasattr(c, "rename"):
            c.rename("/up", "/moved")
            same(bed.file, bed.home / "moved")
            assert not (bed.home / "up").exists()
        if hasattr(c, "list"):
            assert c.list("/") == set(os.listdir(bed.home))
        if hasattr(c, "remove"):
            c.remove("/moved")
            assert not (bed.home / "moved").exists()
    finally:
        c.close()
    until(lambda: bed.tally.usage(bed.user) == walk(bed.tally.data / bed.user), 10, "the usage is a walk's")


def test_restic_backs_up_checks_and_restores(bed):
    if not shutil.which("restic"):
        pytest.skip("restic is not installed")
    ssh = " ".join(["ssh", *map(str, ["-i", bed.key, *bed.ssh_options, "-p", bed.tally.sftp_port]), f"{bed.user}@127.0.0.1", "-s", "sftp"])
    env = dict(os.environ, RESTIC_PASSWORD="x", RESTIC_CACHE_DIR=str(bed.local / "cache"), HOME=str(bed.local))
    restic = ["restic", "-q", "-r", f"sftp:{bed.user}@127.0.0.1:/repo", "-o", f"sftp.command={ssh}"]
    tree = bed.local / "tree"
    tree.mkdir()
    for i in range(20):
        (tree / f"f{i}").write_bytes(random.Random(i).randbytes(i * 5000))
    run(*restic, "init", env=env)
    run(*restic, "backup", tree, env=env)
    run(*restic, "check", "--read-data", env=env)
    run(*restic, "restore", "latest", "--target", bed.local / "restored", env=env)
    run("diff", "-r", tree, bed.local / "restored" / str(tree)[1:])
    run(*restic, "forget", "--keep-last", "1", "--prune", env=env)
    until(lambda: bed.tally.usage(bed.user) == walk(bed.tally.data / bed.user), 10, "the usage is a walk's")
