"""Raw requests: what two parsers could read in two ways is refused, and the connection is closed."""

import socket
import time

import pytest

HOST = b"Host: x\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def exchange(tally, data, seconds=5.0):
    """What comes back, and whether the server closed the connection."""
    port = int(tally.api_url.rsplit(":", 1)[1])
    got, closed = b"", False
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        s.sendall(data)
        try:
            while chunk := s.recv(65536):
                got += chunk
            closed = True
        except ConnectionResetError:
            closed = True
        except TimeoutError:
            pass
    return got, closed


REFUSED = {
    "two different lengths": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nContent-Length: 34\r\n\r\n" + SMUGGLED,
    "length with chunks": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "unknown transfer encoding": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n",
    "unknown transfer encoding with length 0": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
    "chunked twice": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "blank before the colon": b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "control byte in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\x01b\r\n\r\n",
    "encoded NUL in the target": b"GET /healthz%00zzz HTTP/1.1\r\n" + HOST + b"\r\n",
    "encoded NUL in the query": b"GET /healthz?a=%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute target": b"GET http://x/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk target": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "negative length": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\n",
    "list of lengths": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\nabcde",
    "length that is no number": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 5x\r\n\r\nabcde",
    "negative chunk": b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc",
    "endless method": b"A" * 40 + b" /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("what", REFUSED)
def test_is_refused_with_400_and_closed(tally, what):
    got, closed = exchange(tally, REFUSED[what])
    assert got.startswith(b"HTTP/1.1 400 "), got
    assert b"200 OK" not in got  # nothing smuggled was answered
    assert closed


OTHERS = {
    "a head of 40 kB": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 40000 + b"\r\n\r\n", b"431"),
    "chunk size overflow": (b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 19 + b"\r\nabc", b"413"),
    "declared body of 2 MB": (b"POST /api/v2/users HTTP/1.1\r\n" + HOST + b"Content-Length: 2000000\r\n\r\n", b"413"),
    "HTTP/2.0": (b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", b"505"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_is_refused_and_closed(tally, what):
    data, status = OTHERS[what]
    got, closed = exchange(tally, data)
    assert got.startswith(b"HTTP/1.1 " + status), got
    assert closed


FOLDS = {
    "a folded header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\r\n b\r\nConnection: close\r\n\r\n",
    "line ends without CR": b"GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n",
}


@pytest.mark.parametrize("what", FOLDS)
def test_what_old_libraries_take_gives_one_reply_and_never_two(tally, what):
    # libmicrohttpd 0.9.75 takes both, unseen by us, and reads them as proxies do; from 1.0 on it refuses them
    got, closed = exchange(tally, FOLDS[what])
    assert got.count(b"HTTP/1.1 ") == 1 and got[9:12] in (b"200", b"400") and closed


NUL = {
    "in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\0b\r\nConnection: close\r\n\r\n",
    "in the target": b"GET /healthz\0zzz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
}


@pytest.mark.parametrize("what", NUL)
def test_a_raw_nul_gives_one_reply_and_never_two(tally, what):
    # libmicrohttpd before 1.0.10 cuts the text at the NUL, unseen by us; newer ones refuse it
    got, closed = exchange(tally, NUL[what])
    assert got.count(b"HTTP/1.1 ") == 1 and closed


def test_lower_case_methods_do_not_exist(tally):
    got, _ = exchange(tally, b"get /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 405 ")


def test_two_pipelined_requests_get_two_replies(tally):
    got, closed = exchange(tally, SMUGGLED + SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert got.count(b"HTTP/1.1 200 OK") == 2 and closed


def chunks(n):
    one = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    return one * n + b"0\r\n\r\n"


def test_a_chunked_body_above_1_mib_is_413(tally):
    head = b"POST /api/v2/users HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
    head += b"Authorization: Bearer " + tally.token().encode() + b"\r\n\r\n"
    got, _ = exchange(tally, head + chunks(17))
    assert got.startswith(b"HTTP/1.1 413 "), got


def test_expect_100_continue_is_answered(tally):
    head = b"POST /api/v2/users HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    got, _ = exchange(tally, head, seconds=1)
    assert got.startswith(b"HTTP/1.1 100 ") or got.startswith(b"HTTP/1.1 401 ")


TRICKLES = {"head": b"GET /healthz HTTP/1.1\r\nX-A: ", "body": b"POST /api/v2/quota-scans HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"}


@pytest.mark.parametrize("what", TRICKLES)
def test_a_byte_now_and_then_does_not_hold_a_connection(tally, what):
    port = int(tally.api_url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
        s.sendall(TRICKLES[what])
        begin = time.monotonic()
        while time.monotonic() - begin < 40:
            try:
                s.sendall(b"x")
                if s.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begin < 35
