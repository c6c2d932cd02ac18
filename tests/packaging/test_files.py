"""Files of packages, each read by the strictest reader there is of its kind."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
# Of systemd's measure from 0 (closed) to 100 (open); the service is at 14.
EXPOSURE_MAX = 20


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def tool(name):
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def test_yaml_that_is_no_template():
    files = [file for file in PACKAGING.rglob("*.y*ml") if "templates" not in file.parts]
    assert {"Chart.yaml", "values.yaml"} <= {file.name for file in files}
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 140}}}"
    run(tool("yamllint"), "--strict", "-d", rules, *files)


def test_dockerfile():
    run(tool("hadolint"), "--no-color", "--failure-threshold", "info", "Dockerfile")


def test_shell():
    shell = [*(PACKAGING / "debian").iterdir()]
    shell += [file for file in (ROOT / "scripts").iterdir() if re.match(r"#!\S*(sh|env bash)\b", file.read_text().split("\n", 1)[0])]
    assert len(shell) > 8
    run(tool("shellcheck"), "--severity", "warning", *shell)


@pytest.fixture
def unit(tmp_path):
    """The service with a program that is there: what it is to run is not installed on this machine."""
    text = (PACKAGING / "ledgermq.service").read_text()
    there = tmp_path / "ledgermq.service"
    there.write_text(text.replace("/usr/bin/ledgermq", "/bin/true"))
    assert there.read_text() != text
    return there


def test_systemd_reads_the_service(unit):
    assert run(tool("systemd-analyze"), "--man=no", "verify", unit) == "", "no warning"


def test_the_service_is_hardened(unit):
    version = int(re.search(r"systemd (\d+)", run(tool("systemd-analyze"), "--version"))[1])
    if version < 250:
        pytest.skip(f"systemd {version} does not measure a service that is not installed")
    said = run("systemd-analyze", "--no-pager", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit)
    assert "Overall exposure level" in said


def test_logrotate_reads_its_file(tmp_path):
    logrotate = shutil.which("logrotate", path="/usr/sbin:/usr/bin") or pytest.skip("logrotate is not installed")
    copy = tmp_path / "ledgermq"
    copy.write_text((PACKAGING / "ledgermq.logrotate").read_text())
    copy.chmod(0o644)
    assert "error" not in run(logrotate, "--debug", "--state", tmp_path / "state", copy)
