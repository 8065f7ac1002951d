"""docs/MIGRATION.md is walked through: its `sh` blocks are run as they stand there, with a real dump."""

import json
import os
import pathlib
import re
import shutil
import subprocess

from conftest import Tally
from test_backup import PASSWORD, REAL, dump_of

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/MIGRATION.md"


def test_the_commands_of_the_document_move_a_server(tmp_path):
    tally = Tally()
    try:
        tally.start()
        dump = tmp_path / "dump.json"
        dump.write_text(dump_of(tally, REAL / "sftpgo-2.2.0.json"))
        home = tally.dir / "old/md5crypt"
        home.mkdir(parents=True)
        (home / "old file").write_bytes(b"x" * 1234)
        os.chown(home / "old file", 4242, 4242)  # the account of the old server
        blocks = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
        assert len(blocks) >= 6
        environment = dict(os.environ, DUMP=str(dump), SOCKET=str(tally.sock), OLD_ACCOUNT="4242:4242")
        environment |= {"PASSWORD": PASSWORD, "LOGIN": "hash-md5crypt", "PORT": str(tally.sftp_port)}
        said = []
        for block in blocks:
            r = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert r.returncode == 0, block + r.stdout + r.stderr
            said.append(r.stdout)
        said = "\n".join(said)
        assert "version 10: 15 users, 2 folders, 3 administrators" in said
        assert "cloud: storage 1" in said  # before
        assert "users: 14 new, 0 replaced" in said and "users cloud : " in said  # and after
        assert "hash-md5crypt: 1234 bytes in 1 files" in said and "old file" in said
        assert (home / "old file").owner() == "tally"
        assert len(json.loads((tmp_path / "back.json").read_text())["users"]) == 14
    finally:
        tally.close()
        shutil.rmtree(tmp_path, ignore_errors=True)
