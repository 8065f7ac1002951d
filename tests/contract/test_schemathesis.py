"""Schemathesis: requests generated from openapi.yaml, right and wrong ones, against a live server; no violation.

What it cannot know is left to other tests: rules beyond the schema (positive_data_acceptance), the public routes, and
those that end its own token. In a body null is allowed for every member (contract/rest.md §1.0), which openapi.yaml does
not say for the sake of generated clients: here it is added. TALLY_SCHEMATHESIS_EXAMPLES makes it look longer.
"""

import fcntl
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from conftest import Tally  # noqa: E402

EXAMPLES = os.environ.get("TALLY_SCHEMATHESIS_EXAMPLES", "3")
LEFT_OUT = r"/(healthz|metrics|openapi|defender/hosts/\{id\}|token|logout|changepwd|events|retention)|/user/|-password$"  # not under /api/v2; 501, or 500 while the defender is off, by the contract

OWN_LEFT_OUT = r"/(token|logout|changepwd)$"


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


def resolved(spec, node):
    while "$ref" in node:
        target = spec
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def allow_null(spec, node, seen):
    node = resolved(spec, node)
    if id(node) in seen:
        return
    seen.add(id(node))
    for part in [node.get("items"), *node.get("allOf", []), *node.get("properties", {}).values()]:
        if part:
            allow_null(spec, part, seen)
    for name, member in node.get("properties", {}).items():
        if "$ref" in member:
            node["properties"][name] = {"nullable": True, "allOf": [member]}
        else:
            member["nullable"] = True
        if "enum" in member and None not in member["enum"]:
            member["enum"].append(None)


@pytest.fixture
def schema(tmp_path):
    spec, seen = yaml.safe_load((HERE.parents[1] / "openapi.yaml").read_text()), set()
    for item in spec["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and "requestBody" in operation:
                for content in resolved(spec, operation["requestBody"])["content"].values():
                    allow_null(spec, content.get("schema", {}), seen)
    path = tmp_path / "openapi.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


def run(program, schema, tally, token, *options):
    command = [program, "run", schema, "-u", tally.api_url + "/api/v2"]
    command += ["-H", f"Authorization: Bearer {token}", "--phases", "examples,coverage,fuzzing", "-n", EXAMPLES]
    command += ["--exclude-checks", "positive_data_acceptance,ignored_auth", "--seed", "1", "--continue-on-failure"]
    r = subprocess.run([*command, *options, "--no-color", "--warnings", "off"], cwd=schema.parent, capture_output=True, text=True, timeout=280, check=False)
    assert r.returncode == 0, r.stdout[-8000:] + r.stderr[-2000:]


def lives(tally, token):
    headers = {"Authorization": f"Bearer {token}"}
    return tally.session.get(tally.api_url + "/api/v2/version", headers=headers, timeout=30).status_code == 200


def test_no_request_made_from_the_schema_finds_a_violation(program, schema):
    tally = Tally(common={"max_per_host_connections": 0})
    try:
        token = tally.start().token()
        run(program, schema, tally, token, "--exclude-path-regex", LEFT_OUT + "|/admins/")
        assert lives(tally, token)  # so nothing was refused for its sake
        # names come from earlier replies, so this one ends its own token sooner or later
        run(program, schema, tally, token, "--include-path", "/admins/{username}")
        tally.api("DELETE", "/users/themselves")
        tally.add_user("themselves")
        r = tally.session.get(tally.api_url + "/api/v2/user/token", auth=("themselves", "secret"), timeout=30)
        run(program, schema, tally, r.json()["access_token"], "--include-path-regex", "^/user/", "--exclude-path-regex", OWN_LEFT_OUT)
        assert tally.stop() == 0  # no sanitizer had anything to say
    finally:
        tally.close()
