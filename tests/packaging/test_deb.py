"""`cargo deb` and `scripts/deb` make the same Debian package; only the latter has what the binary itself makes, such as manual
pages. Both are asked where cargo-deb is installed (`cargo install cargo-deb`) and LEDGERMQ_BIN names a binary."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What only a run of the binary can make.
MADE = ("./usr/share/man/", "./usr/share/bash-completion/", "./usr/share/zsh/", "./usr/share/fish/")


def run(*command, **environment):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=ROOT, env=os.environ | environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(package, unpacked):
    """{path: mode and where a link leads, or what a file holds}"""
    run("dpkg-deb", "-R", package, unpacked)
    found = {}
    for path in unpacked.rglob("*"):
        name = f"./{path.relative_to(unpacked)}"
        if path.is_symlink():
            # One of them writes links as they are, the other as they lead from where they are.
            found[name] = os.path.normpath(os.path.join("/", os.path.dirname(name), os.readlink(path)))
        elif path.is_file() and "DEBIAN/control" not in name and "md5sums" not in name:
            found[name] = (oct(path.stat().st_mode), path.read_bytes())
    return found


def control(package, field):
    return sorted(part.strip() for part in run("dpkg-deb", "-f", package, field).split(","))


def test_both_ways_give_one_package(tmp_path):
    binary = os.environ.get("LEDGERMQ_BIN")
    if not binary or not shutil.which("cargo-deb"):
        pytest.skip("LEDGERMQ_BIN names no binary, or cargo-deb is not installed")
    (tmp_path / "target/release").mkdir(parents=True)
    shutil.copy(binary, tmp_path / "target/release/ledgermq")
    by_cargo, by_script = tmp_path / "cargo.deb", tmp_path / "script"
    by_script.mkdir()
    run("cargo", "deb", "--no-build", "--no-strip", "--fast", "-o", by_cargo, CARGO_TARGET_DIR=str(tmp_path / "target"))
    run("scripts/deb", "--binary", binary, by_script)
    [by_script] = by_script.glob("*.deb")
    ours, theirs = files(by_script, tmp_path / "a"), files(by_cargo, tmp_path / "b")
    ours = {name: what for name, what in ours.items() if not name.startswith(MADE)}
    assert set(ours) == set(theirs)
    # Lines of conffiles come in any order, and copyright may have a head.
    same = set(ours) - {"./DEBIAN/conffiles", "./usr/share/doc/ledgermq/copyright"}
    assert {name for name in same if ours[name] != theirs[name]} == set()
    for field in ("Package", "Version", "Architecture", "Section", "Depends", "Maintainer"):
        assert control(by_cargo, field) == control(by_script, field), field
