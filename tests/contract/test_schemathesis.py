"""Schemathesis: requests generated from openapi.yaml, right and wrong ones, against a live server; no violation.

What it cannot know is left to other tests: rules beyond the schema (positive_data_acceptance), the public routes, and
those that end its own token. TALLY_SCHEMATHESIS_EXAMPLES makes it look longer.
"""

import fcntl
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from conftest import Tally  # noqa: E402

EXAMPLES = os.environ.get("TALLY_SCHEMATHESIS_EXAMPLES", "3")
LEFT_OUT = r"/(healthz|metrics|token|logout|changepwd)|/user/"


@pytest.fixture(scope="module")
def program():
    """The pinned version, in an environment of its own beside the tests' cache."""
    where = pathlib.Path(os.environ.get("TALLY_CACHE", "/var/cache/tally")) / "contract-python"
    wanted = (HERE / "requirements.txt").read_text()
    mark = where / "installed"
    try:
        where.mkdir(parents=True, exist_ok=True)
        with open(where / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists() or mark.read_text() != wanted:
                run = {"check": True, "capture_output": True, "timeout": 240}
                subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", where / "venv"], **run)
                subprocess.run([where / "venv/bin/pip", "-q", "install", "-r", HERE / "requirements.txt"], **run)
                mark.write_text(wanted)
    except (OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"schemathesis cannot be installed here: {e}")
    return where / "venv/bin/schemathesis"


def test_no_request_made_from_the_schema_finds_a_violation(program, tmp_path):
    tally = Tally(common={"max_per_host_connections": 0})
    try:
        tally.start()
        # its token ends when its administrator changes, so nothing that is generated has this name
        tally.api("POST", "/admins", {"username": "The-One.who~tests", "password": "x", "status": 1, "permissions": ["*"]}, expect=201)
        tally.admin, tally._token = ("The-One.who~tests", "x"), None
        token = tally.token()
        command = [program, "run", HERE.parents[1] / "openapi.yaml", "-u", tally.api_url + "/api/v2"]
        command += ["-H", f"Authorization: Bearer {token}", "--phases", "examples,coverage,fuzzing", "-n", EXAMPLES]
        command += ["--exclude-path-regex", LEFT_OUT, "--exclude-checks", "positive_data_acceptance,ignored_auth"]
        command += ["--seed", "1", "--continue-on-failure", "--no-color", "--warnings", "off"]
        r = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
        assert r.returncode == 0, r.stdout[-8000:] + r.stderr[-2000:]
        assert tally.session.get(tally.api_url + "/api/v2/version", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code == 200
        assert tally.stop() == 0  # no sanitizer had anything to say
    finally:
        tally.close()
