"""TLS, client certificates, proxies, sockets, CORS, and clients that keep us waiting (contract/rest.md §3, §11 lines 16
and 17; notes/http-db.md §A)."""

import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess

import pytest
import requests
from conftest import ADMIN, TALLYD, Tally, free_port, until


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, timeout=60)


def authority(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(directory, ca, name, usage="clientAuth", serial=1):
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (directory / f"{name}.ext").write_text(f"extendedKeyUsage={usage}\nsubjectAltName=IP:127.0.0.1\n")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-days", "9",
            "-set_serial", str(serial), "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def revoke(directory, ca, *serials):
    (directory / "index").write_text("".join(f"R\t350101000000Z\t250101000000Z\t{s:02X}\tunknown\t/CN=x\n" for s in serials))
    (directory / "crlnumber").write_text("01\n")
    (directory / "crl.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=9\n")
    openssl(directory, "ca", "-gencrl", "-config", "crl.cnf", "-cert", f"{ca}.pem", "-keyfile", f"{ca}.key", "-out", "crl.pem")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """An authority, a foreign one, and what they have signed."""
    d = tmp_path_factory.mktemp("pki")
    d.chmod(0o755)
    authority(d, "ca")
    authority(d, "foreign-ca")
    certificate(d, "ca", "server", "serverAuth", 1)
    certificate(d, "ca", "next-server", "serverAuth", 2)
    certificate(d, "ca", "good", serial=3)
    certificate(d, "ca", "revoked", serial=4)
    certificate(d, "ca", "for-servers", "serverAuth", 5)
    certificate(d, "foreign-ca", "foreign", serial=6)
    revoke(d, "ca", 4)
    for f in d.iterdir():
        f.chmod(0o644)
    for base in (d, *d.parents):
        if base.stat().st_uid == os.geteuid() and base != base.parent:
            base.chmod(base.stat().st_mode | 0o055)
    return d


def binding(**keys):
    return {"address": "127.0.0.1", "port": free_port(), **keys}


@pytest.fixture(scope="module")
def https(pki):
    """One daemon with many bindings; in front of them the plain one that the bed uses."""
    d = Tally()
    bindings = {
        "tls": binding(enable_https=True),
        "tls13": binding(enable_https=True, min_tls_version=13),
        "suite": binding(enable_https=True, tls_cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]),
        "mutual": binding(enable_https=True, client_auth_type=1),
        "proxied": binding(proxy_allowed=["127.0.0.1", "10.0.0.0/8"], render_openapi=False),
        "six": {"address": "::1", "port": free_port()},
        "unix": {"address": str(d.dir / "rest.sock")},
    }
    d.ports = {name: b.get("port") for name, b in bindings.items()}
    d.pki = d.dir / "pki"
    d.pki.mkdir()
    d.server = lambda name: [(d.pki / f"server.{e}").write_bytes((pki / f"{name}.{e}").read_bytes()) for e in ("key", "pem")]
    d.server("server")
    (d.pki / "crl.pem").write_bytes((pki / "crl.pem").read_bytes())
    d.config["httpd"]["bindings"] += bindings.values()
    d.config["httpd"].update(
        certificate_file=str(d.pki / "server.pem"), certificate_key_file=str(d.pki / "server.key"),
        ca_certificates=[str(pki / "ca.pem")], ca_revocation_lists=[str(d.pki / "crl.pem")],
        signing_passphrase="one for all",
        cors={"enabled": True, "allowed_origins": ["https://*.example.org", "https://example.com"], "allowed_methods": ["GET", "PUT"],
              "allowed_headers": ["Authorization", "Content-Type"], "exposed_headers": ["X-Request-Id"], "allow_credentials": True, "max_age": 60},
    )  # fmt: skip
    d.config["common"] = {"max_per_host_connections": 0}
    try:
        yield d.start()
    finally:
        d.close()


def context(pki, client=None, **versions):
    c = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    for name, value in versions.items():
        setattr(c, name, value)
    if client:
        c.load_cert_chain(str(pki / f"{client}.pem"), str(pki / f"{client}.key"))
    return c


def tls_get(https, pki, name, client=None, path="/healthz", headers="", **versions):
    """(status line, cipher, certificate's subject) of one request, or the error's name."""
    try:
        with socket.create_connection(("127.0.0.1", https.ports[name]), timeout=20) as raw:
            with context(pki, client, **versions).wrap_socket(raw, server_hostname="127.0.0.1") as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode())
                got = b""
                while chunk := s.recv(65536):
                    got += chunk
                return got.split(b"\r\n")[0].decode(), s.cipher(), dict(x[0] for x in s.getpeercert()["subject"])["commonName"]
    except (ssl.SSLError, ConnectionError) as e:
        return type(e).__name__, None, None


OK = "HTTP/1.1 200 OK"


def test_https_of_versions_and_suites(https, pki):
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    line, cipher, name = tls_get(https, pki, "tls")
    assert (line, cipher[1], name) == (OK, "TLSv1.3", "server")
    line, cipher, _ = tls_get(https, pki, "tls", maximum_version=v12)
    assert (line, cipher[1]) == (OK, "TLSv1.2")
    assert tls_get(https, pki, "tls13", maximum_version=v12)[0] != OK
    assert tls_get(https, pki, "tls13")[0] == OK
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", https.ports["tls"]), timeout=20) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(raw)
    line, cipher, _ = tls_get(https, pki, "suite", maximum_version=v12)
    assert (line, cipher[0]) == (OK, "ECDHE-ECDSA-AES256-GCM-SHA384")
    assert tls_get(https, pki, "suite", minimum_version=v13)[0] == OK
    r = requests.get(f"https://127.0.0.1:{https.ports['tls']}/api/v2/version", verify=str(pki / "ca.pem"), timeout=20,
                     headers={"Authorization": "Bearer " + https.token()})
    assert r.status_code == 200


CLIENTS = {"none": None, "of another authority": "foreign", "for servers": "for-servers", "revoked": "revoked"}


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("what", CLIENTS)
def test_a_client_certificate_is_refused(https, pki, what, version):
    v = ssl.TLSVersion[version]
    assert tls_get(https, pki, "mutual", CLIENTS[what], minimum_version=v, maximum_version=v)[0] != OK


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_certificate_does_not_replace_the_token(https, pki, version):
    v = {"minimum_version": ssl.TLSVersion[version], "maximum_version": ssl.TLSVersion[version]}
    assert tls_get(https, pki, "mutual", "good", **v)[0] == OK
    assert tls_get(https, pki, "mutual", "good", "/api/v2/version", **v)[0].startswith("HTTP/1.1 401")
    bearer = f"Authorization: Bearer {https.token()}\r\n"
    assert tls_get(https, pki, "mutual", "good", "/api/v2/version", bearer, **v)[0] == OK
    assert tls_get(https, pki, "mutual", None, "/api/v2/version", bearer, **v)[0] != OK


def test_sighup_takes_new_certificates_and_cuts_nobody_off(https, pki):
    with requests.Session() as kept:
        url = f"https://127.0.0.1:{https.ports['tls']}/healthz"
        assert kept.get(url, verify=str(pki / "ca.pem"), timeout=20).text == "ok"
        sock = next(iter(kept.adapters["https://"].poolmanager.pools._container.values())).pool.queue[-1].sock
        https.server("next-server")
        revoke(pki, "ca", 3, 4)
        (https.pki / "crl.pem").write_bytes((pki / "crl.pem").read_bytes())
        https.process.send_signal(signal.SIGHUP)
        until(lambda: tls_get(https, pki, "tls")[2] == "next-server", what="the new certificate")
        assert tls_get(https, pki, "mutual", "good")[0] != OK  # revoked by now
        assert kept.get(url, verify=str(pki / "ca.pem"), timeout=20).text == "ok"
        assert next(iter(kept.adapters["https://"].poolmanager.pools._container.values())).pool.queue[-1].sock is sock
    at = len(https.log())
    (https.pki / "server.pem").write_text("no certificate")
    https.process.send_signal(signal.SIGHUP)
    until(lambda: "not taken over" in https.log(at), what="the refusal in the log")
    assert "server.pem" in https.log(at)
    assert tls_get(https, pki, "tls")[::2] == (OK, "next-server")
    https.server("server")
    revoke(pki, "ca", 4)
    (https.pki / "crl.pem").write_bytes((pki / "crl.pem").read_bytes())
    https.process.send_signal(signal.SIGHUP)
    until(lambda: tls_get(https, pki, "tls")[2] == "server", what="the former certificate")


def test_plain_http_on_a_tls_binding_gets_nothing(https):
    with socket.create_connection(("127.0.0.1", https.ports["tls"]), timeout=20) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"HTTP/1.1" not in s.recv(4096)
        except ConnectionError:
            pass


MISTAKES = {
    "no certificate": ({"bindings": [binding(enable_https=True)]}, "httpd.certificate_file"),
    "no authority": ({"bindings": [binding(enable_https=True, client_auth_type=1)], "certificate_file": "/x", "certificate_key_file": "/x"}, "httpd.ca_certificates"),
    "client certificates without TLS": ({"bindings": [binding(client_auth_type=1)]}, "httpd.bindings[0].client_auth_type"),
    "TLS 1.1": ({"bindings": [binding(min_tls_version=11)]}, "httpd.bindings[0].min_tls_version"),
    "a proxy that is no address": ({"bindings": [binding(proxy_allowed=["proxy.example.org"])]}, "httpd.bindings[0].proxy_allowed"),
    "a relative file": ({"certificate_file": "cert.pem"}, "httpd.certificate_file"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_the_configuration_is_refused(tmp_path, what):
    httpd, key = MISTAKES[what]
    (tmp_path / "tally.json").write_text(json.dumps({"httpd": httpd}))
    r = subprocess.run([TALLYD, "--config", str(tmp_path / "tally.json"), "--check-config"], capture_output=True, text=True, timeout=60, check=False)
    assert r.returncode == 2 and key in r.stderr, r.stderr


UNUSABLE = {
    "a certificate that is none": ({}, "pem"),
    "a key of another certificate": ({}, "key"),
    "an unknown suite": ({"tls_cipher_suites": ["TLS_WHATEVER_WITH_ROT13"]}, None),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_it_does_not_start_with(pki, what):
    keys, spoiled = UNUSABLE[what]
    t = Tally(httpd={"bindings": [binding(enable_https=True, **keys)]})
    try:
        for e in ("pem", "key"):
            name = "next-server" if spoiled == "key" and e == "key" else "server"
            (t.dir / f"own.{e}").write_bytes(b"none" if spoiled == "pem" and e == "pem" else (pki / f"{name}.{e}").read_bytes())
        t.config["httpd"].update(certificate_file=str(t.dir / "own.pem"), certificate_key_file=str(t.dir / "own.key"))
        with pytest.raises(AssertionError, match="tallyd ended"):
            t.start()
        assert ("tls_cipher_suites" if spoiled is None else "certificate_file") in t.log()
        t.process = None
    finally:
        t.close()


def test_a_binding_of_ipv6_and_one_of_a_unix_socket(https):
    assert requests.get(f"http://[::1]:{https.ports['six']}/healthz", timeout=20).text == "ok"
    path = https.config["httpd"]["bindings"][-1]["address"]
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"GET /api/v2/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 401 ")  # not the administrators' socket: a token is wanted


def token_as(https, name, headers, port):
    return requests.get(f"http://127.0.0.1:{port}/api/v2/token", auth=("fenced", "pass-word"), headers=headers, timeout=20)


def test_an_allow_list_sees_the_client_behind_a_trusted_proxy(https):
    body = {"username": "fenced", "password": "pass-word", "permissions": ["*"], "status": 1, "filters": {"allow_list": ["203.0.113.0/24"]}}
    https.api("POST", "/admins", body, expect=201)
    proxied, plain = https.ports["proxied"], https.api_port
    rows = [
        (proxied, {"X-Forwarded-For": "203.0.113.7"}, None),
        (proxied, {"X-Forwarded-For": "198.51.100.1, 203.0.113.7, 10.0.0.1"}, None),
        (proxied, {"X-Real-IP": "203.0.113.7"}, None),
        (proxied, {"X-Forwarded-For": "203.0.113.7, 198.51.100.1"}, "198.51.100.1"),
        (proxied, {"X-Forwarded-For": "nonsense"}, "127.0.0.1"),
        (proxied, {}, "127.0.0.1"),
        (plain, {"X-Forwarded-For": "203.0.113.7"}, "127.0.0.1"),
        (plain, {"X-Real-IP": "203.0.113.7"}, "127.0.0.1"),
    ]
    for port, headers, refused in rows:
        r = token_as(https, "fenced", headers, port)
        if refused is None:
            assert r.status_code == 200, (headers, r.text)
        else:
            assert (r.status_code, r.json()["error"]) == (401, f"login from IP {refused} not allowed"), headers
    token = token_as(https, "fenced", rows[0][1], proxied).json()["access_token"]
    for headers, status in ((rows[0][1], 200), ({}, 401)):
        r = requests.get(f"http://127.0.0.1:{proxied}/api/v2/version", headers={**headers, "Authorization": "Bearer " + token}, timeout=20)
        assert r.status_code == status
    until(lambda: '"remote_addr":"203.0.113.7"' in https.log(), what="the client in the access log")


def test_the_schema_and_a_page_are_served_where_the_binding_says_so(https):
    r = requests.get(https.api_url + "/openapi/openapi.yaml", timeout=20)
    assert (r.status_code, r.content) == (200, (pathlib.Path(__file__).parents[2] / "openapi.yaml").read_bytes())
    for path in ("/openapi", "/openapi/"):
        r = requests.get(https.api_url + path, timeout=20)
        assert r.status_code == 200 and r.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "/api/v2/quotas/users/{username}/scan" in r.text and "<script" not in r.text
    metrics = f"http://127.0.0.1:{https.metrics_port}"
    for url in (f"http://127.0.0.1:{https.ports['proxied']}", metrics):
        for path in ("/openapi", "/openapi/openapi.yaml"):
            r = requests.get(url + path, timeout=20)
            assert (r.status_code, r.json()) == (404, {"message": "Not Found"}), url + path


def test_cors(https):
    url = https.api_url + "/api/v2/version"
    ask = {"Origin": "https://a.example.org", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization, content-type"}
    r = requests.options(url, headers=ask, timeout=20)
    assert (r.status_code, r.content) == (204, b"")
    got = {k.lower().removeprefix("access-control-"): v for k, v in r.headers.items() if k.lower().startswith("access-control-")}
    assert got == {"allow-origin": "https://a.example.org", "allow-credentials": "true", "allow-methods": "PUT",
                   "allow-headers": "authorization, content-type", "max-age": "60"}
    assert "Origin" in r.headers["Vary"]
    refused = [{"Origin": "https://evil.org"}, {"Origin": "https://example.org.evil.org"}, {"Access-Control-Request-Method": "DELETE"}, {"Access-Control-Request-Headers": "x-other"}]
    for change in refused:
        r = requests.options(url, headers={**ask, **change}, timeout=20)
        assert r.status_code == 204 and not any(k.lower().startswith("access-control-") for k in r.headers), change
    r = requests.get(url, headers={"Origin": "https://example.com"}, timeout=20)  # a refusal, too, must be readable
    assert r.status_code == 401 and r.headers["Access-Control-Allow-Origin"] == "https://example.com"
    assert r.headers["Access-Control-Expose-Headers"] == "X-Request-Id"
    r = requests.get(url, headers={"Origin": "https://evil.org"}, timeout=20)
    assert "Access-Control-Allow-Origin" not in r.headers and r.headers["Vary"] == "Origin"
    assert requests.options(url, headers={"Origin": "https://example.com"}, timeout=20).status_code == 405  # no preflight


def test_cors_is_off_unless_it_is_wanted(tally):
    r = requests.options(tally.api_url + "/api/v2/version", headers={"Origin": "https://x", "Access-Control-Request-Method": "GET"}, timeout=20)
    assert r.status_code == 405 and not any(k.lower().startswith("access-control-") for k in r.headers)


HELD = {"nothing said": b"", "half a head": b"GET /healthz HTTP/1.1\r\nX-A: ", "no body": b"PUT /api/v2/quota-update HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"}


@pytest.mark.parametrize("what", HELD)
def test_thousands_who_keep_us_waiting_keep_nobody_out(https, what):
    """More than twice what a listener may have; files are limited here, so not the full 10,000."""
    port, held = https.api_port, []
    try:
        for _ in range(2300):
            s = socket.create_connection(("127.0.0.1", port), timeout=20)
            s.setblocking(False)
            try:
                s.sendall(HELD[what])
            except OSError:
                pass
            held.append(s)
        for _ in range(20):
            assert requests.get(https.api_url + "/healthz", timeout=20).text == "ok"
    finally:
        for s in held:
            s.close()


FLOODS = {
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n",
    "one endless header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 400000 + b"\r\n\r\n",
    "an endless target": b"GET /" + b"y" * 400000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", FLOODS)
def test_floods_are_refused(https, what):
    with socket.create_connection(("127.0.0.1", https.api_port), timeout=20) as s:
        got = b""
        try:
            s.sendall(FLOODS[what])
        except ConnectionError:
            pass
        try:
            while chunk := s.recv(65536):
                got += chunk
        except ConnectionError:
            pass
    assert b"200 OK" not in got and (not got or got[9:12] in (b"431", b"414", b"400")), got[:200]
    assert requests.get(https.api_url + "/healthz", timeout=20).text == "ok"


def test_sockets_of_systemd():
    """The socket is made by us, named httpd.0 and passed as systemd passes it."""
    t = Tally()
    listener = socket.create_server(("127.0.0.1", t.api_port))
    t.config["httpd"]["bindings"][0]["port"] = free_port()  # what it would open itself
    activate = f"exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=httpd.0 exec {TALLYD} \"$@\""
    t.command = ["bash", "-c", activate, "tallyd"]
    t.pass_fds = (listener.fileno(),)
    try:
        t.start()
        listener.close()
        assert requests.get(t.api_url + "/healthz", timeout=20).text == "ok"
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{t.config['httpd']['bindings'][0]['port']}/healthz", timeout=20)
        assert requests.get(t.api_url + "/api/v2/token", auth=ADMIN, timeout=20).status_code == 200
        assert t.stop() == 0
    finally:
        t.close()
