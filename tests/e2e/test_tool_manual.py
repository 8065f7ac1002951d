"""The manual pages: what the tables say is in them, and the formatters find nothing to complain about."""
import pathlib
import re
import subprocess

import pytest
from conftest import TALLYD
from test_tool import TALLY, run

ROOT = pathlib.Path(__file__).parents[2]
PAGES = ["tally.1", "tallyd.8", "tally.json.5"]


@pytest.fixture(scope="module")
def manual(tmp_path_factory):
    to = tmp_path_factory.mktemp("man")
    subprocess.run([ROOT / "contrib/manual", TALLY, to], check=True, timeout=60)
    return to


def rendered(page):
    r = subprocess.run(["man", "-l", page], capture_output=True, text=True, timeout=60, check=True,
                       env={"PATH": "/usr/bin:/bin", "MANWIDTH": "200", "LC_ALL": "C.UTF-8"})
    return re.sub(r"\x1b\[[0-9;]*m|.\x08", "", r.stdout).replace("\u2010", "-")


def test_there_are_these_pages_and_no_others(manual):
    assert sorted(p.name for p in manual.iterdir()) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_formatters_have_no_complaint(manual, page):
    r = subprocess.run(["man", "--warnings", "-l", manual / page], capture_output=True, text=True, timeout=60, check=False,
                       env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"})
    assert r.returncode == 0 and r.stderr == "", r.stderr
    r = subprocess.run(["mandoc", "-Tlint", "-Wwarning", manual / page], capture_output=True, text=True, timeout=60, check=False)
    assert r.stdout + r.stderr == ""


def test_every_key_of_the_configuration_is_explained(manual):
    text = rendered(manual / "tally.json.5")
    help_text = subprocess.run([TALLYD, "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
    keys = re.findall(r"^  ([a-z_]+(?:[.\[][^ ]*)?) ", help_text.split("MEANING")[1], re.M)
    assert len(keys) > 40
    for key in keys:
        assert re.search(rf"^\s+{re.escape(key)}$", text, re.M), key


def test_every_command_and_option_is_explained(manual):
    text = rendered(manual / "tally.1")
    for words in re.findall(r"^  ((?:[a-z]+ ?)+)", run("--help").stdout.split("Commands:")[1].split("Options")[0], re.M):
        assert re.search(rf"^\s+{words.strip()}\b", text, re.M), words
    for option in re.findall(r"--[a-z-]+", run("--help").stdout):
        assert option in text, option


def test_every_option_of_the_daemon_is_explained(manual):
    text = rendered(manual / "tallyd.8")
    usage = subprocess.run([TALLYD, "--help"], capture_output=True, text=True, timeout=30, check=True).stdout.split("MEANING")[0]
    for option in set(re.findall(r"--[a-z]+(?:-[a-z]+)*", usage)):
        assert option in text, option
