"""A private NFSv4 server (nfs-ganesha, FSAL_VFS) over a directory, and a client for it.

    with NfsServer("/srv/x/data/alice") as nfs:
        nfs.write("/a/b.bin", b"...")      # NfsError with .errno when the server refuses
        nfs.truncate("/a/b.bin", 10)

The server listens on a free port of 127.0.0.1, wants no rpcbind, dbus or system service, and keeps its configuration,
log, pid file and recovery state in a temporary directory. Leaving the context ends it, by its own pid only, and removes
the directory; it also dies with the Python process. Each client command is a process of its own (nfs_client), so that
the client caches nothing. Needs root (open_by_handle_at).

Facts about ganesha 4.3 that cost time: PR_SET_PDEATHSIG works as it stays in the foreground with -F; `Enable_UDP=None`
is not known to this version; `Graceless` avoids 60 s in which opens are refused; it wants `Export_Id`."""
import ctypes
import errno
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

GANESHA = "/usr/bin/ganesha.nfsd"
PLUGINS = "/usr/lib/x86_64-linux-gnu/ganesha"
PSEUDO = "/export"
START_S = 30
STOP_S = 30
COMMAND_S = 60
PR_SET_PDEATHSIG = 1

CONFIG = """
NFS_CORE_PARAM {{
    NFS_Port = {port};
    Bind_addr = 127.0.0.1;
    Protocols = 4;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Plugins_Dir = {plugins};
}}
NFS_KRB5 {{ Active_krb5 = false; }}
NFSV4 {{
    RecoveryRoot = {home}/recovery;
    Graceless = true;
    Lease_Lifetime = 10;
    Grace_Period = 5;
    Minor_Versions = 0;
}}
EXPORT {{
    Export_Id = 1;
    Path = {path};
    Pseudo = {pseudo};
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
    Access_Type = RW;
    Squash = no_root_squash;
    FSAL {{ Name = VFS; }}
}}
LOG {{ Default_Log_Level = EVENT; }}
"""


class NfsError(OSError):
    """The server refused; errno as in OSError, e.g. errno.EDQUOT."""


def missing():
    """What is not installed, in words, or None: for a test that skips."""
    if not os.access(GANESHA, os.X_OK):
        return "nfs-ganesha is not installed"
    if not pathlib.Path(PLUGINS, "libfsalvfs.so").exists():
        return "nfs-ganesha-vfs is not installed"
    if os.geteuid() != 0:
        return "nfs-ganesha needs root"
    return None if client_path() else "nfs_client is not built (libnfs-dev is missing?)"


def client_path():
    """The nfs_client of $TALLY_NFS_CLIENT, else the newest one under build/; None if there is none."""
    named = os.environ.get("TALLY_NFS_CLIENT")
    if named:
        return named
    root = pathlib.Path(__file__).resolve().parents[2]
    found = [p for pattern in ("build/nfs_client", "build/*/nfs_client") for p in root.glob(pattern)]
    return str(max(found, key=lambda p: p.stat().st_mtime)) if found else None


def errno_in(said):
    """The errno that a refusal of nfs_client means; the server's own word (NFS4ERR_DQUOT) before libnfs's."""
    server = re.search(r"NFS4ERR_([A-Z]+)", said)
    client = re.match(r"nfs_client: \w+: (E\w+):", said)
    names = ["E" + server[1]] if server else []
    names += [client[1]] if client else []
    return next((getattr(errno, n) for n in names if hasattr(errno, n)), errno.EIO)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class NfsServer:
    def __init__(self, export_dir, client=None):
        self.export_dir = os.path.realpath(export_dir)
        self.client = client or client_path()
        self.home = None
        self.port = None
        self.process = None

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="tally-nfs-")
        os.mkdir(os.path.join(self.home, "recovery"))
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def _start(self):
        self.port = free_port()
        conf = os.path.join(self.home, "ganesha.conf")
        text = CONFIG.format(port=self.port, plugins=PLUGINS, home=self.home, path=self.export_dir, pseudo=PSEUDO)
        pathlib.Path(conf).write_text(text)
        command = [GANESHA, "-F", "-f", conf, "-L", self._log_path(), "-p", os.path.join(self.home, "pid")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd="/", preexec_fn=die_with_parent)
        self._await_mountable()

    def _log_path(self):
        return os.path.join(self.home, "log")

    def log(self):
        try:
            return pathlib.Path(self._log_path()).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _await_mountable(self):
        """The port opens a little before the export is there, so ask for the export itself."""
        end = time.monotonic() + START_S
        said = "the port stayed closed"
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"ganesha ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            try:
                self.stat("/")
                return
            except NfsError as e:
                said = str(e)
            time.sleep(0.05)
        raise RuntimeError(f"ganesha does not serve {self.export_dir}: {said}\n{self.log()[-4000:]}")

    def close(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self.home:
            shutil.rmtree(self.home, ignore_errors=True)
            self.home = None

    def open_paths(self):
        """What files the server holds open below the export (deleted ones end in " (deleted)")."""
        paths = []
        for fd in pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                paths.append(os.readlink(fd))
            except FileNotFoundError:
                continue
        return [p for p in paths if p.startswith(self.export_dir + "/")]

    def command(self, *args, stdin=None):
        """Runs one nfs_client command; its standard output as bytes."""
        done = subprocess.run([self.client, str(self.port), PSEUDO, *map(os.fspath, args)], input=stdin, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=COMMAND_S)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode != 1:
            raise RuntimeError(f"nfs_client ended with {done.returncode}: {said}")
        raise NfsError(errno_in(said), said)

    def hold(self, remote):
        """A client that writes a byte, commits and holds a lock on the file until its standard input is closed."""
        command = [self.client, str(self.port), PSEUDO, "hold", remote]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = holder.stdout.readline()
        if said == "held\n":
            return holder
        said = holder.communicate()[1]
        raise NfsError(errno_in(said), said)

    def put(self, local, remote):
        self.command("put", local, remote)

    def write(self, remote, content):
        self.command("put", "-", remote, stdin=content)

    def append(self, remote, content):
        self.command("append", "-", remote, stdin=content)

    def get(self, remote, local):
        self.command("get", remote, local)

    def read(self, remote):
        return self.command("get", remote, "-")

    def truncate(self, remote, size):
        self.command("truncate", remote, str(size))

    def delete(self, remote):
        self.command("rm", remote)

    def rename(self, old, new):
        self.command("mv", old, new)

    def link(self, old, new):
        self.command("ln", old, new)

    def mkdir(self, remote):
        self.command("mkdir", remote)

    def rmdir(self, remote):
        self.command("rmdir", remote)

    def stat(self, remote):
        """(size, links)"""
        size, links = self.command("stat", remote).split()
        return int(size), int(links)
