"""openapi.yaml against `tallyd --print-routes`, in both directions: what is documented exists, what exists is documented."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest
import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TALLYD = os.environ.get("TALLYD", str(ROOT / "build/dev/tallyd"))
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


@pytest.fixture(scope="module")
def spec():
    return yaml.safe_load((ROOT / "openapi.yaml").read_text())


@pytest.fixture(scope="module")
def routes():
    if not os.path.exists(TALLYD):
        pytest.skip(f"no {TALLYD}: build it first")
    out = subprocess.run([TALLYD, "--print-routes"], capture_output=True, check=True, timeout=60).stdout
    return {(r["method"], r["path"]): r for r in json.loads(out)}


def resolve(spec, node):
    """A node without its $ref; its name in the components, or None."""
    name = None
    while isinstance(node, dict) and "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        target = spec
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node, name


def operations(spec):
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item, item[method]


def fields(spec, node, skip, prefix=""):
    """The names of a schema as the routes print them: dots for nested members, [] for lists of objects."""
    node, _ = resolve(spec, node)
    for part in node.get("allOf", []):
        yield from fields(spec, part, skip, prefix)
    for name, member in node.get("properties", {}).items():
        member, _ = resolve(spec, member)
        if member.get(skip):
            continue
        yield prefix + name
        if member.get("type") == "array":
            yield from fields(spec, member["items"], skip, f"{prefix}{name}[].")
        else:
            yield from fields(spec, member, skip, f"{prefix}{name}.")


def json_schema(spec, body):
    body, _ = resolve(spec, body)
    return body.get("content", {}).get("application/json", {}).get("schema")


def success(spec, operation, status):
    return json_schema(spec, operation["responses"][str(status)])


def pairs(spec, routes):
    for method, path, item, operation in operations(spec):
        if (method, path) in routes:
            yield f"{method} {path}", routes[method, path], item, operation


def test_each_documented_operation_exists_and_each_route_is_documented(spec, routes):
    documented = {(method, path) for method, path, _, _ in operations(spec)}
    assert documented == set(routes)


def test_operation_ids_are_those_of_the_routes(spec, routes):
    for what, route, _, operation in pairs(spec, routes):
        assert operation["operationId"] == route["operation"], what


def test_statuses_are_those_of_the_routes(spec, routes):
    for what, route, _, operation in pairs(spec, routes):
        documented = {int(s) for s in operation["responses"] if s != "default"}
        assert documented == set(route["statuses"]), what
        assert "default" in operation["responses"], what


def test_query_and_path_parameters_are_those_of_the_routes(spec, routes):
    for what, route, item, operation in pairs(spec, routes):
        named = [resolve(spec, p)[0] for p in item.get("parameters", []) + operation.get("parameters", [])]
        assert {p["name"] for p in named if p["in"] == "query"} == set(route["query"]), what
        in_path = {part[1:-1] for part in route["path"].split("/") if part.startswith("{")}
        assert {p["name"] for p in named if p["in"] == "path"} == in_path, what


def test_marks_are_those_of_the_routes(spec, routes):
    for what, route, item, operation in pairs(spec, routes):
        assert operation.get("deprecated", False) == route["deprecated"], what
        assert operation.get("x-tally", False) == route["x_tally"], what
        assert ("servers" not in item) == route["under_api"], what


def test_who_may_call_is_that_of_the_routes(spec, routes):
    for what, route, _, operation in pairs(spec, routes):
        security = operation.get("security", spec["security"])
        named = {name for s in security for name in s}
        bearer = {"public": set(), "user": {"UserBearerAuth"}}.get(route["access"], {"BearerAuth"})
        assert {n for n in named if n.endswith("BearerAuth")} == bearer, what
        assert ("ApiKeyAuth" in named) == (route["access"] != "public" and not route["no_key"]), what
        for permission in route["permission"]:
            assert route["deprecated"] or permission in operation["description"], f"{what}: {permission}"


def test_request_bodies_have_the_fields_of_the_routes(spec, routes):
    for what, route, _, operation in pairs(spec, routes):
        assert ("requestBody" in operation) == (route["in"] is not None), what
        if route["in"] is None:
            continue
        schema = json_schema(spec, operation["requestBody"])
        assert resolve(spec, schema)[1].lower() == route["in"].lower(), what
        if route["in_list"]:
            assert resolve(spec, schema)[0]["type"] == "array", what
            continue
        documented = set(fields(spec, schema, "readOnly"))
        # below a member that the server treats as one value there may be more
        leaves = set(route["in_fields"])
        opaque = {f for f in leaves if not any(g.startswith((f + ".", f + "[].")) for g in leaves)}
        extra = {f for f in documented - leaves if not any(f.startswith((o + ".", o + "[].")) for o in opaque)}
        assert leaves <= documented and not extra, f"{what}: {leaves ^ documented}"


def test_replies_have_the_fields_of_the_routes(spec, routes):
    for what, route, _, operation in pairs(spec, routes):
        schema = success(spec, operation, route["statuses"][0])
        if route["is_list"] and route["out"] is None:
            assert (schema["type"], schema["items"]) == ("array", {"type": "string"}), what
            continue
        assert (schema is not None) == (route["out"] is not None), what
        if schema is None:
            continue
        assert (schema.get("type") == "array") == route["is_list"], what
        schema = schema["items"] if route["is_list"] else schema
        assert resolve(spec, schema)[1].lower() == route["out"].lower(), what
        documented = set(fields(spec, schema, "writeOnly"))
        leaves = set(route["out_fields"])
        opaque = {f for f in leaves if not any(g.startswith((f + ".", f + "[].")) for g in leaves)}
        extra = {f for f in documented - leaves if not any(f.startswith((o + ".", o + "[].")) for o in opaque)}
        assert leaves <= documented and not extra, f"{what}: {leaves ^ documented}"


def test_every_component_is_used_and_every_reference_leads_somewhere(spec):
    used, todo = set(), [spec["paths"]]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            if "$ref" in node and node["$ref"] not in used:
                used.add(node["$ref"])
                todo.append(resolve(spec, node)[0])
            todo += node.values()
    there = {
        f"#/components/{kind}/{name}"
        for kind, members in spec["components"].items()
        if kind != "securitySchemes"
        for name in members
    }
    assert used == there


@pytest.fixture(scope="module")
def linters():
    """redocly and spectral of package-lock.json, installed beside the tests' cache."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: the linters cannot be installed")
    where = pathlib.Path(os.environ.get("TALLY_CACHE", "/var/cache/tally")) / "contract-node"
    if os.environ.get("TALLY_CONTRACT_NODE"):
        where = pathlib.Path(os.environ["TALLY_CONTRACT_NODE"])
    try:
        where.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, where / name)
        installed = where / "node_modules/.package-lock.json"
        wanted = (HERE / "package-lock.json").stat().st_mtime
        if not installed.exists() or installed.stat().st_mtime < wanted:
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=where,
                check=True,
                capture_output=True,
                timeout=300,
            )
    except (OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"the linters cannot be installed here: {e}")
    return where / "node_modules/.bin"


def test_redocly_has_no_complaint(linters):
    r = subprocess.run(
        [linters / "redocly", "lint", "--extends=recommended", "--format=json", ROOT / "openapi.yaml"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true"),
    )
    totals = json.loads(r.stdout[r.stdout.index("{") :])["totals"]
    assert (totals["errors"], totals["warnings"]) == (0, 0), r.stdout + r.stderr


def test_spectral_has_no_complaint(linters):
    r = subprocess.run(
        [linters / "spectral", "lint", "-r", HERE / ".spectral.yaml", "-F", "hint", ROOT / "openapi.yaml"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert r.returncode == 0, r.stdout + r.stderr
