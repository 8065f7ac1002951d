"""What the Debian package and the set-up of a clone must agree on. The package itself: tests/package/run."""
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]


def test_the_package_is_built_with_the_libraries_that_the_clone_is():
    deps = (ROOT / "contrib/deps").read_text()
    ours = set(re.findall(r"\S+-dev\b", deps.split("build_packages=(")[1].split("\n)")[0])) - {"libc6-dev", "dpkg-dev"}  # every build has these
    theirs = set(re.findall(r"^ ([a-z0-9.+-]+-dev)\b", (ROOT / "debian/control").read_text(), re.M))
    assert len(ours) > 10
    assert theirs == ours


def test_the_package_makes_the_accounts_that_the_clone_does():
    accounts = (ROOT / "contrib/accounts").read_text()
    ours = set(re.findall(r"^make_user (\S+) (\S+)", accounts, re.M))
    theirs = set(re.findall(r"^u (\S+) -:(\S+)", (ROOT / "debian/tallyd.sysusers").read_text(), re.M))
    assert len(ours) == 2 and theirs == ours
