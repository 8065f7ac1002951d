#!/usr/bin/python3
"""Makes the first corpus of the targets sftp, scp and login: one honest input for each request, command and key kind."""
import pathlib, struct, subprocess, tempfile, base64

ROOT = pathlib.Path(__file__).resolve().parent / "corpus"


def s(b):
    b = b.encode() if isinstance(b, str) else b
    return struct.pack(">I", len(b)) + b


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def rq(kind, *body):
    body = b"".join(body)
    return bytes([kind]) + struct.pack(">H", len(body)) + body


H = s(struct.pack(">II", 0, 1))
H2 = s(struct.pack(">II", 1, 2))
NONE = u32(0)
ext = lambda name, *body: rq(200, s(name), *body)
REQUESTS = {
    "read": [rq(3, s("/f"), u32(1), NONE), rq(5, H, u64(0), u32(100)), rq(5, H, u64(1 << 40), u32(1 << 31)), rq(8, H), rq(4, H)],
    "write": [rq(3, s("/new"), u32(26), u32(4), u32(0o640)), rq(6, H, u64(0), s("hello")), rq(6, H, u64(900000), s("end")), rq(10, H, u32(8), u32(1), u32(2)), rq(4, H)],
    "append": [rq(3, s("/f"), u32(6), NONE), rq(6, H, u64(0), s("more")), rq(10, H, u32(1), u64(5)), rq(4, H)],
    "exclusive": [rq(3, s("/f"), u32(42), NONE), rq(3, s("/g"), u32(43), NONE), rq(6, H, u64(0), s("x"))],
    "broken-off": [rq(3, s("/f"), u32(26), NONE), rq(6, H, u64(0), s("part"))],
    "stat": [rq(17, s("/f")), rq(7, s("/link")), rq(17, s("/out")), rq(17, s("/abs")), rq(17, s("/loop")), rq(17, s("/../..")), rq(16, s("a/./b/../c"))],
    "setstat": [rq(9, s("/f"), u32(15), u64(3), u32(0), u32(0), u32(0o600), u32(1), u32(2)), rq(9, s("/d"), u32(0x80000000), u32(1), s("a"), s("b"))],
    "list": [rq(11, s("/")), rq(12, H), rq(12, H), rq(4, H), rq(11, s("/d/sub"))],
    "names": [rq(14, s("/n"), NONE), rq(18, s("/f"), s("/n/f")), rq(20, s("f"), s("/n/l")), rq(19, s("/n/l")), rq(13, s("/n/f")), rq(15, s("/n")), rq(18, s("/d"), s("/d/sub/d"))],
    "fifo": [rq(3, s("/fifo"), u32(1), NONE), rq(3, s("/fifo"), u32(2), NONE)],
    "ext-rename": [ext("posix-rename@openssh.com", s("/f"), s("/d/x"))],
    "ext-statvfs": [ext("statvfs@openssh.com", s("/")), rq(3, s("/f"), u32(1), NONE), ext("fstatvfs@openssh.com", H)],
    "ext-hardlink": [ext("hardlink@openssh.com", s("/f"), s("/h")), ext("hardlink@openssh.com", s("/f"), s("/d/sub/h"))],
    "ext-fsync": [rq(3, s("/f"), u32(3), NONE), ext("fsync@openssh.com", H)],
    "ext-lsetstat": [ext("lsetstat@openssh.com", s("/link"), u32(8), u32(5), u32(6))],
    "ext-limits": [ext("limits@openssh.com"), ext("expand-path@openssh.com", s("~fuzz/x")), ext("home-directory", s("fuzz")), ext("users-groups-by-id@openssh.com", s(u32(0) + u32(1)), s(u32(5)))],
    "ext-copy": [rq(3, s("/f"), u32(1), NONE), rq(3, s("/c"), u32(26), NONE), ext("copy-data", H, u64(0), u64(0), H2, u64(0)), ext("copy-data", H, u64(3), u64(4), H2, u64(100)), rq(4, H2)],
    "ext-check": [ext("check-file-name", s("/f"), s("md5,sha1"), u64(0), u64(0), u32(0)), rq(3, s("/f"), u32(1), NONE), ext("check-file-handle", H, s("sha256"), u64(2), u64(9), u32(256)), ext("check-file", H, s("crc32"), u64(0), u64(0), u32(0))],
}
COMMANDS = {
    "sink": b"scp -t /new\0C0644 5 new\nhello\0",
    "sink-tree": b"scp -r -p -t /d\0T1 0 2 0\nD0755 0 t\nC0600 1 a\na\0E\n",
    "sink-lies": b"scp -t /d\0C0644 9999999999 x\nshort",
    "sink-up": b"scp -r -t /\0D0755 0 ..\nC0644 1 /etc/x\nx\0",
    "source": b"scp -f /f\0\0\0\0\0",
    "source-tree": b"scp -r -p -f /\0" + b"\0" * 60,
    "source-refused": b"scp -f /f\0\0\1no\n",
    "sum": b"md5sum /f\0",
    "sum-input": b"sha512sum\0bytes to be summed",
    "quotes": b"sha1sum 'a b'\"c\\\"d\"\\ e\0",
    "pwd": b"pwd\0",
    "other": b"rsync --server .\0",
}


def write(target, name, data):
    (ROOT / target).mkdir(parents=True, exist_ok=True)
    (ROOT / target / name).write_bytes(data)


for name, packets in REQUESTS.items():
    for mode in (0, 1) if name in ("write", "broken-off", "append") else (0,):
        write("sftp", f"{name}-{mode}" if mode else name, bytes([mode]) + b"".join(packets))
write("sftp", "raw", b"\x80\0\0\0\5\1\0\0\0\3\0\0\0\11\21\0\0\0\1\0\0\0\0")
for name, line in COMMANDS.items():
    write("scp", name, bytes([0, 63]) + line)
with tempfile.TemporaryDirectory() as d:
    for kind, bits in (("ed25519", ""), ("ecdsa", "256"), ("ecdsa", "521"), ("rsa", "2048")):
        path = pathlib.Path(d) / (kind + bits)
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *(["-b", bits] if bits else []), "-N", "", "-C", "", "-f", path], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", path, "-I", "i", "-n", "fuzz", "-V", "always:forever", "-O", "source-address=10.0.0.0/8", str(path) + ".pub"], check=True)
        blob = base64.b64decode(open(str(path) + ".pub").read().split()[1])
        write("login", f"blob-{kind}{bits}", b"\0" + blob)
        write("login", f"cert-{kind}{bits}", b"\1" + base64.b64decode(open(str(path) + "-cert.pub").read().split()[1]))
        write("login", f"file-{kind}{bits}", b"\2" + path.read_bytes())
        data = s(b"0123456789abcdef0123456789abcdef") + b"\x32" + s("fuzz") + s("ssh-connection") + s("publickey") + b"\1" + s(f"ssh-{kind}") + s(blob)
        write("login", f"proof-{kind}{bits}", b"\3" + s(s(f"ssh-{kind}") + s(b"x" * 64)) + s(data) + s(blob))
write("login", "words", b"\4scp -t 'a b' \"c\\\"d\" e\\ f")
write("login", "action", b"\5\3\1\0\1" + u64(5) + u32(512) + s("/a/b") + s("/c") + s("md5sum /a"))
