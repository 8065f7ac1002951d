"""Login methods by SSH with real clients: lines that are asked for, several steps, certificates, security keys."""

import base64
import hashlib
import hmac
import os
import re
import struct
import subprocess
import time

import paramiko
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives import hashes, serialization

from conftest import until

REFUSED = "Permission denied"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """OpenSSH's keys: user, other, authority, stranger (another authority)."""
    folder = tmp_path_factory.mktemp("keys")
    for name, kind in (("user", "ed25519"), ("rsa", "rsa"), ("other", "ecdsa"), ("authority", "ed25519"),
                       ("rsa-authority", "rsa"), ("ec-authority", "ecdsa"), ("stranger", "ed25519")):
        keygen("-q", "-t", kind, "-N", "", "-f", folder / name)
    return folder


@pytest.fixture(scope="module")
def tally(keys, make_module_tally):
    files = [str(keys / f"{a}.pub") for a in ("authority", "rsa-authority", "ec-authority")]
    return make_module_tally(sftpd={"trusted_user_ca_keys": files})


@pytest.fixture(scope="module")
def make_module_tally():
    from conftest import Tally

    made = []

    def make(**overrides):
        made.append(Tally(**overrides))
        return made[-1].start()

    yield make
    for t in made:
        t.close()


def keygen(*args):
    r = subprocess.run(["ssh-keygen", *map(str, args)], capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stderr


def sftp(tally, user, methods, password="secret", key=None, cert=None, batch="pwd\n"):
    """OpenSSH's sftp with these methods, in this order; its answers to prompts are the password."""
    options = [o for o in tally.ssh_options() if "Preferred" not in o] + [f"-oPreferredAuthentications={methods}"]
    options += ["-oIdentitiesOnly=yes", "-oIdentityFile=" + str(key or "/dev/null"), "-oBatchMode=no"]
    if cert:
        options += ["-oCertificateFile=" + str(cert)]
    return subprocess.run(
        ["sshpass", "-p", password, "sftp", *options, "-b", "-", "-P", str(tally.sftp_port), f"{user}@127.0.0.1"],
        input=batch,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def assert_in(r):
    assert r.returncode == 0, r.stdout + r.stderr


def assert_refused(r):
    assert r.returncode != 0 and REFUSED in r.stderr, r.stdout + r.stderr


def public(path):
    return (path.parent / (path.name + ".pub")).read_text().strip()


def transport(tally):
    t = paramiko.Transport(("127.0.0.1", tally.sftp_port))
    t.start_client(timeout=20)
    return t


# -- lines


def test_keyboard_interactive_asks_for_the_password(tally):
    tally.add_user("lines")
    assert_in(sftp(tally, "lines", "keyboard-interactive"))
    assert_refused(sftp(tally, "lines", "keyboard-interactive", password="wrong"))
    assert_refused(sftp(tally, "nobody", "keyboard-interactive"))


def test_paramiko_is_asked_one_line_and_wrong_answers_count_as_tries(tally):
    tally.add_user("asked")
    t = transport(tally)
    try:
        prompts = []
        t.auth_interactive("asked", lambda title, text, fields: prompts.extend(fields) or ["secret"])
        assert prompts == [("Password: ", False)] and t.is_authenticated()
    finally:
        t.close()
    t = transport(tally)
    try:
        for n in range(6):
            with pytest.raises(paramiko.SSHException):
                t.auth_interactive("asked", lambda title, text, fields: ["wrong"] * len(fields))
        until(lambda: not t.is_active(), what="the connection's end")
    finally:
        t.close()


def test_an_odd_number_of_answers_is_refused_and_the_next_attempt_is_good(tally):
    tally.add_user("odd")
    t = transport(tally)
    try:
        for answers in ([], ["secret", "secret"]):
            with pytest.raises(paramiko.SSHException):
                t.auth_interactive("odd", lambda title, text, fields, a=answers: a)
        assert t.auth_interactive("odd", lambda title, text, fields: ["secret"]) == []
    finally:
        t.close()


@pytest.mark.parametrize("switched_off", ["keyboard_interactive_authentication", "password_authentication"])
def test_what_is_switched_off_is_not_offered(make_tally, switched_off):
    t = make_tally(sftpd={switched_off: False})
    t.add_user("u")
    c = transport(t)
    try:
        with pytest.raises(paramiko.BadAuthenticationType) as e:
            c.auth_none("u")
        on = {"keyboard_interactive_authentication": "password", "password_authentication": "keyboard-interactive"}
        assert sorted(e.value.allowed_types) == sorted(["publickey", on[switched_off]])
    finally:
        c.close()


# -- a second factor


def code(secret, step=0):
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + step), "sha1").digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at : at + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


def second_factor(tally, name):
    """Gives a user a second factor for SSH, as the user does it: by its own API."""
    url = tally.api_url + "/api/v2/user"
    token = requests.get(url + "/token", auth=(name, "secret"), timeout=20).json()["access_token"]
    head = {"Authorization": "Bearer " + token}
    config = requests.get(url + "/totp/configs", headers=head, timeout=20).json()[0]["name"]
    made = requests.post(url + "/totp/generate", headers=head, json={"config_name": config}, timeout=20).json()
    body = {
        "enabled": True,
        "config_name": config,
        "secret": {"status": "Plain", "payload": made["secret"]},
        "protocols": ["SSH"],
    }
    r = requests.post(url + "/totp/save", headers=head, json=body, timeout=20)
    assert r.status_code == 200, r.text
    return made["secret"]


def by_lines(tally, name, *answers):
    """Logs in line by line; the prompts that came."""
    t, prompts, left = transport(tally), [], list(answers)
    try:
        t.auth_interactive(name, lambda title, text, fields: prompts.extend(f for f, _ in fields) or left[: len(fields)] and [left.pop(0) for _ in fields])
        assert t.is_authenticated()
    finally:
        t.close()
    return prompts


def test_a_code_is_asked_for_after_the_password_and_is_good_once(tally, keys):
    tally.add_user("totp", public_keys=[public(keys / "user")])
    secret = second_factor(tally, "totp")
    now = code(secret)
    assert by_lines(tally, "totp", "secret", now) == ["Password: ", "Authentication code: "]
    for answers in (("secret", now), ("secret", "000000"), ("secret", ""), ("wrong", code(secret, 1))):
        with pytest.raises(paramiko.AuthenticationException):
            by_lines(tally, "totp", *answers)
    by_lines(tally, "totp", "secret", code(secret, 1))
    assert_refused(sftp(tally, "totp", "password"))
    assert_in(sftp(tally, "totp", "publickey", key=keys / "user"))
    assert "only keyboard-interactive asks for" in tally.log()


# -- several steps

KEY_AND_PASSWORD = ["publickey", "password", "keyboard-interactive", "publickey+keyboard-interactive"]
KEY_AND_LINES = ["publickey", "password", "keyboard-interactive", "publickey+password"]


@pytest.mark.parametrize("denied,second", [(KEY_AND_PASSWORD, "password"), (KEY_AND_LINES, "keyboard-interactive")])
def test_a_key_and_then_a_second_step(tally, keys, denied, second):
    name = "steps-" + second
    tally.add_user(name, public_keys=[public(keys / "user")], filters={"denied_login_methods": denied})
    own = keys / "user"
    assert_in(sftp(tally, name, f"publickey,{second}", key=own))
    assert_refused(sftp(tally, name, "publickey", key=own))
    assert_refused(sftp(tally, name, second))
    assert_refused(sftp(tally, name, f"publickey,{second}", key=keys / "other"))
    assert_refused(sftp(tally, name, f"publickey,{second}", key=own, password="wrong"))
    log = tally.log()
    assert re.search(f'"login of {name} from [^"]* by publickey[+]{second}', log)
    metrics = tally.session.get(f"http://127.0.0.1:{tally.metrics_port}/metrics", timeout=10).text
    kind = {"password": "password", "keyboard-interactive": "keyboard_int"}[second]
    assert re.search(f"^sftpgo_key_and_{kind}_login_ok_total [1-9]", metrics, re.M)


def test_both_steps_must_be_of_one_user(tally, keys):
    for name in ("first", "second"):
        key = public(keys / "user") if name == "first" else public(keys / "other")
        tally.add_user(name, public_keys=[key], filters={"denied_login_methods": KEY_AND_PASSWORD})
    t = transport(tally)
    try:
        left = t.auth_publickey("first", paramiko.Ed25519Key.from_private_key_file(str(keys / "user")))
        assert left == ["password"], "one step is done, one is left"
        with pytest.raises(paramiko.AuthenticationException):
            t.auth_password("second", "secret", fallback=False)
        assert t.auth_password("first", "secret", fallback=False) == []
    finally:
        t.close()


def test_a_user_with_a_single_step_left_is_not_asked_for_two(tally, keys):
    tally.add_user("single", public_keys=[public(keys / "user")], filters={"denied_login_methods": ["publickey"]})
    assert_refused(sftp(tally, "single", "publickey", key=keys / "user"))
    assert_in(sftp(tally, "single", "password"))


# -- certificates

CERTIFICATES = [
    ("user", "authority", ["-n", "cert"], True),
    ("user", "rsa-authority", ["-n", "other,cert"], True),
    ("user", "ec-authority", ["-n", "cert"], True),
    ("rsa", "authority", ["-n", "cert"], True),
    ("other", "authority", ["-n", "cert"], True),
    ("user", "stranger", ["-n", "cert"], False),
    ("user", "authority", ["-n", "somebody"], False),
    ("user", "authority", [], False),
    ("user", "authority", ["-h", "-n", "cert"], False),
    ("user", "authority", ["-n", "cert", "-V", "20200101:20200201"], False),
    ("user", "authority", ["-n", "cert", "-V", "20500101:20500201"], False),
    ("user", "authority", ["-n", "cert", "-O", "source-address=127.0.0.0/8"], True),
    ("user", "authority", ["-n", "cert", "-O", "source-address=127.0.0.1"], True),
    ("user", "authority", ["-n", "cert", "-O", "source-address=192.0.2.0/24"], False),
    ("user", "authority", ["-n", "cert", "-O", "force-command=/bin/true"], False),
]


@pytest.mark.parametrize("key,authority,options,is_good", CERTIFICATES, ids=lambda v: str(v)[:50])
def test_a_certificate_is_good_for_whom_when_and_where_it_says(tally, keys, tmp_path, key, authority, options, is_good):
    if tally.api("GET", "/users/cert").status_code == 404:
        tally.add_user("cert")
    for ending in ("", ".pub"):
        (tmp_path / ("k" + ending)).write_bytes((keys / (key + ending)).read_bytes())
    (tmp_path / "k").chmod(0o600)
    keygen("-q", "-s", keys / authority, "-I", "id", *options, tmp_path / "k.pub")
    r = sftp(tally, "cert", "publickey", key=tmp_path / "k", cert=tmp_path / "k-cert.pub")
    assert_in(r) if is_good else assert_refused(r)


def test_without_the_certificate_the_key_is_unknown(tally, keys):
    if tally.api("GET", "/users/cert").status_code == 404:
        tally.add_user("cert")
    assert_refused(sftp(tally, "cert", "publickey", key=keys / "user"))


def test_an_authority_that_cannot_be_read_stops_the_start_and_a_reload_changes_nothing(make_tally, tmp_path, keys):
    (tmp_path / "ca").write_text(public(keys / "authority") + "\n")
    t = make_tally(sftpd={"trusted_user_ca_keys": [str(tmp_path / "ca")]})
    t.add_user("cert")
    for ending in ("", ".pub"):
        (tmp_path / ("k" + ending)).write_bytes((keys / ("user" + ending)).read_bytes())
    (tmp_path / "k").chmod(0o600)
    keygen("-q", "-s", keys / "authority", "-I", "id", "-n", "cert", tmp_path / "k.pub")
    (tmp_path / "ca").write_text("nonsense\n")
    t.process.send_signal(1)
    until(lambda: "sftpd.trusted_user_ca_keys" in t.log(), what="a word about the file")
    assert_in(sftp(t, "cert", "publickey", key=tmp_path / "k", cert=tmp_path / "k-cert.pub"))


# -- security keys: software that signs as the hardware does


class SecurityKey(paramiko.PKey):
    public_blob = None

    def __init__(self, kind, application="ssh:", flags=1, lie=None):
        self.kind, self.application, self.flags, self.lie = kind, application.encode(), flags, lie
        self.key = ed25519.Ed25519PrivateKey.generate() if "ed25519" in kind else ec.generate_private_key(ec.SECP256R1())

    def get_name(self):
        return self.kind

    def asbytes(self):
        m = paramiko.Message()
        m.add_string(self.kind)
        if "ed25519" in self.kind:
            raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            m.add_string("nistp256")
            raw = self.key.public_key().public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )
        m.add_string(raw)
        m.add_string(self.application)
        return m.asbytes()

    def line(self):
        return f"{self.kind} {self.get_base64()}"

    def sign_ssh_data(self, data, algorithm=None):
        if self.lie:
            data = self.lie(data)
        signed = hashlib.sha256(self.application).digest() + struct.pack(">BI", self.flags, 7)
        signed += hashlib.sha256(data).digest()
        m, inner = paramiko.Message(), paramiko.Message()
        m.add_string(self.kind)
        if "ed25519" in self.kind:
            m.add_string(self.key.sign(signed))
        else:
            for n in decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))):
                inner.add_mpint(n)
            m.add_string(inner.asbytes())
        m.add_byte(bytes([self.flags]))
        m.add_int(7)
        return m


SK_KINDS = ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"]


@pytest.mark.parametrize("kind", SK_KINDS)
def test_a_security_key_logs_in_if_somebody_touched_it(tally, kind):
    name = "sk" + str(SK_KINDS.index(kind))
    good = SecurityKey(kind)
    tally.add_user(name, public_keys=[good.line()])

    def attempt(key):
        t = transport(tally)
        try:
            return t.auth_publickey(name, key)
        finally:
            t.close()

    assert attempt(good) == []
    good.flags = 0
    with pytest.raises(paramiko.AuthenticationException):
        attempt(good)
    good.flags, good.lie = 1, lambda data: data.replace(name.encode(), b"x" * len(name))
    with pytest.raises(paramiko.AuthenticationException):
        attempt(good)
    with pytest.raises(paramiko.AuthenticationException):
        attempt(SecurityKey(kind))
    assert "nobody touched the security key" in tally.log()


def test_the_last_login_is_noted(tally):
    tally.add_user("noted")
    assert tally.api("GET", "/users/noted", expect=200).json().get("last_login", 0) == 0
    assert_in(sftp(tally, "noted", "keyboard-interactive"))
    until(lambda: tally.api("GET", "/users/noted", expect=200).json().get("last_login", 0), what="last_login")
    assert os.path.isdir(tally.mount / "noted")
