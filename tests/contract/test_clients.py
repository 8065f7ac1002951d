"""Clients generated from openapi.yaml, by OpenAPI Generator and by swagger-codegen, tell the whole story to a live server.

What is generated and built stays in the tests' cache under a name made of openapi.yaml, the story and the versions. The
generators come from Maven Central by Debian's maven; without it, or without a language's tools, its client is skipped.
Python's runs always; TALLY_CLIENTS=all runs all five, which takes minutes when nothing is cached.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "e2e"))
from conftest import Tally  # noqa: E402

CACHE = pathlib.Path(os.environ.get("TALLY_CACHE", "/var/cache/tally")) / "contract-clients"
OPENAPI = "org.openapitools:openapi-generator-cli:7.10.0"
SWAGGER = "io.swagger.codegen.v3:swagger-codegen-cli:3.0.57"
TYPESCRIPT = "typescript@5.9.3"
GO_MOD = "module story\n\ngo 1.18\n\nrequire github.com/GIT_USER_ID/GIT_REPO_ID v0.0.0\n\nreplace github.com/GIT_USER_ID/GIT_REPO_ID => ./client\n"


def run(*command, cwd, timeout=280, **kwargs):
    r = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False, **kwargs)
    assert r.returncode == 0, f"{command}\n{r.stdout[-4000:]}{r.stderr[-4000:]}"
    return r.stdout


def generate(where, generator, language, *options):
    jar = CACHE / "jars" / ("-".join(generator.split(":")[1:]) + ".jar")
    if not jar.exists():
        copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
        run("mvn", "-q", "-B", copy, f"-Dartifact={generator}", f"-DoutputDirectory={jar.parent}", cwd=where)
    option = "-l" if generator is SWAGGER else "-g"
    run("java", "-jar", jar, "generate", "-i", ROOT / "openapi.yaml", option, language, "-o", where / "client", *options, cwd=where)


def python_packages(where):
    run("/usr/bin/python3", "-m", "venv", where / "venv", cwd=where)
    run(where / "venv/bin/pip", "-q", "install", "-r", where / "client/requirements.txt", cwd=where)


def make_python(where):
    generate(where, OPENAPI, "python")
    python_packages(where)


def make_swagger(where):
    generate(where, SWAGGER, "python")
    python_packages(where)


def make_go(where):
    generate(where, OPENAPI, "go")
    shutil.copy(HERE / "clients/story.go", where)
    (where / "go.mod").write_text(GO_MOD)
    run("go", "build", "-o", "story", ".", cwd=where)


def make_typescript(where):
    generate(where, OPENAPI, "typescript-fetch")
    shutil.copy(HERE / "clients/story.ts", where)
    run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", where, TYPESCRIPT, cwd=where)
    tsc = ["node_modules/.bin/tsc", "--target", "es2020", "--module", "commonjs", "--lib", "es2020,dom", "--strict", "--skipLibCheck"]
    run(*tsc, "--outDir", "built", "story.ts", cwd=where)


def make_java(where):
    generate(where, OPENAPI, "java", "--library", "native")
    shutil.copy(HERE / "clients/Story.java", where / "client/src/main/java")
    goals = ["compile", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath", "-Dmdep.outputFile=classpath"]
    run("mvn", "-q", "-B", "-DskipTests", *goals, cwd=where / "client")


def python_command(where, module):
    return [where / "venv/bin/python", HERE / "clients/story.py"], [module], {"PYTHONPATH": str(where / "client")}


CLIENTS = {  # tools, how it is made, how it is run: command, last arguments, environment
    "python": (["java", "mvn"], make_python, lambda w: python_command(w, "openapi_client")),
    "swagger": (["java", "mvn"], make_swagger, lambda w: python_command(w, "swagger_client")),
    "go": (["java", "mvn", "go"], make_go, lambda w: ([w / "story"], [], {})),
    "typescript": (["java", "mvn", "npm", "node"], make_typescript, lambda w: (["node", w / "built/story.js"], [], {})),
    "java": (
        ["java", "javac", "mvn"],
        make_java,
        lambda w: (["java", "-cp", f"{w}/client/target/classes:{(w / 'client/classpath').read_text()}", "Story"], [], {}),
    ),
}
WANTED = os.environ.get("TALLY_CLIENTS", "python")


def made(name):
    """The directory of a client that is generated and built."""
    tools, make, _ = CLIENTS[name]
    missing = [t for t in tools if shutil.which(t) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}: the client cannot be generated here")
    key = hashlib.sha256(pathlib.Path(__file__).read_bytes() + (ROOT / "openapi.yaml").read_bytes())
    for story in sorted((HERE / "clients").iterdir()):
        if story.suffix != ".py":  # that one is run from here
            key.update(story.read_bytes())
    where = CACHE / f"{name}-{key.hexdigest()[:16]}"
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        pytest.skip(f"{CACHE}: {e}")
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (where / "made").exists():
            for old in CACHE.glob(f"{name}-*"):
                shutil.rmtree(old)
            where.mkdir()
            make(where)
            (where / "made").touch()
    return where


@pytest.fixture(scope="module")
def tally():
    t = Tally()
    try:
        yield t.start()
    finally:
        t.close()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_generated_client_tells_the_whole_story(tally, name):
    if WANTED != "all" and name not in WANTED.split(","):
        pytest.skip("not asked for by TALLY_CLIENTS")
    where = made(name)
    command, last, environment = CLIENTS[name][2](where)
    said = run(*command, tally.api_url, *tally.admin, tally.dir, *last, cwd=where, env={**os.environ, **environment})
    assert said.endswith("story told\n")
    assert tally.api("GET", "/users").json() == [] and tally.api("GET", "/folders").json() == []
