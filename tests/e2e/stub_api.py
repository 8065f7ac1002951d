"""A stand-in for the API where a real one cannot be made to misbehave: it says what a test tells it to."""
import http.server
import json
import threading


class Stub:
    """answers: path (without /api/v2 and query) to a value, (status, value), bytes, or a function of the query."""

    def __init__(self, answers, port=0):
        stub = self
        self.answers = answers
        self.asked = []
        self.tokens = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                path, _, query = self.path.partition("?")
                path = path.removeprefix("/api/v2")
                stub.asked.append((self.command, path, query, dict(self.headers), self.body))
                got = stub.answers.get(path, (404, {"message": "Not Found"}))
                if callable(got):
                    got = got(self)
                if got is None:  # hang up
                    self.close_connection = True
                    return
                status, value = got if isinstance(got, tuple) else (200, got)
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                pass  # a client that hangs up is part of the tests

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def pages(entries):
    """GET of a list: limit and offset."""

    made = {}

    def answer(request):
        query = dict(p.split("=") for p in request.path.partition("?")[2].split("&") if p)
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 100)), 500)
        if (offset, limit) not in made:
            made[offset, limit] = json.dumps(entries[offset : offset + limit]).encode()
        return made[offset, limit]

    return answer
