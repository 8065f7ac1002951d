"""A terminal for programs that look at theirs: a pseudo-terminal with a screen behind it (pyte)."""
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import pyte


class Terminal:
    def __init__(self, argv, columns=80, rows=24, env=None):
        self.stream = pyte.ByteStream()
        self.screen = pyte.Screen(columns, rows)
        self.stream.attach(self.screen)
        self.raw = b""
        self.status = None
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                self._size(0, columns, rows)
                os.execvpe(argv[0], [str(a) for a in argv], environment)
            finally:
                os._exit(127)

    @staticmethod
    def _size(fd, columns, rows):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self._size(self.fd, columns, rows)

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def interrupt(self):
        self.send("\x03")

    def read(self, seconds):
        """What comes within `seconds`, or at once when the program has ended."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            got = os.read(self.fd, 65536)
        except OSError:
            got = b""
        self.raw += got
        self.stream.feed(got)
        return bool(got)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, check, seconds=20):
        """Reads until check(screen text) is true, and returns the text."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.text()
            if check(text):
                return text
            assert time.monotonic() < deadline, "it never came true:\n" + text
            assert self.read(0.2), "the program ended:\n" + text

    def has(self, words, seconds=20):
        return self.until(lambda text: words in text, seconds)

    def wait(self, seconds=20):
        """Its end: the exit status."""
        deadline = time.monotonic() + seconds
        while self.read(0.1):
            assert time.monotonic() < deadline, "it did not end:\n" + self.text()
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def flags(self):
        """The terminal's local modes."""
        return termios.tcgetattr(self.fd)[3]

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
