"""What a suite needs: its sources from a package registry, a place to build, a bounded run, and the outcome of each test.

A suite is a module of tests/interop/suites. Its docstring says in the first line what it is; it has
  SECONDS_MAX   its time limit, building apart;
  PASSED_MIN    how many tests pass at least, so that a suite which finds no tests does not look well;
  SHORT         True if `--short` runs it (optional);
  FLAGS         flags of the broker it wants (optional);
  PLUGINS       plugins that a RabbitMQ is given, for the management API (optional);
  TLS           True if the broker is to listen for TLS as well (optional);
  EXCEPTIONS    tests that do not pass, each with its `Expected` (optional);
  run(kit)      runs it and returns {test: outcome}.
"""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
BUILD_SECONDS_MAX = 1800


@dataclasses.dataclass(frozen=True)
class Expected:
    """A test that does not pass, and why. `on` is where: "ours", "rabbitmq" (3.10) or "both". `sometimes`: it may pass too."""

    why: str
    on: str = "both"
    sometimes: bool = False

    def applies(self, is_rabbitmq):
        return self.on == "both" or (self.on == "rabbitmq") == is_rabbitmq


class TimeUp(RuntimeError):
    """The suite did not end within its time."""


class Kit:
    """One suite's run."""

    def __init__(self, name, cache, broker, seconds_max, log):
        self.name, self.cache, self.broker, self.log = name, cache, broker, log
        self.seconds_max, self.building_s = seconds_max, 0.0
        self.work = cache / "work" / name
        self.work.mkdir(parents=True, exist_ok=True)

    # Sources and tools.

    def debian(self, *packages):
        """Makes sure that these packages are installed."""
        shown = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages], capture_output=True, text=True
        )
        installed = {line.split()[0] for line in shown.stdout.splitlines() if line.endswith(" installed")}
        missing = [package for package in packages if package not in installed]
        if missing:
            as_root = [] if os.getuid() == 0 else ["sudo"]
            self.build([*as_root, "apt-get", "update", "-qq"])
            quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
            self.build([*as_root, *quiet, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing])

    def debian_source(self, package, version):
        """What the authors gave to Debian's source package, as new."""
        kept = self.cache / "debian" / f"{package}-{version}"
        if not kept.exists():
            # The machine's own list of places, asked for sources; what apt knows of binary packages stays as it is.
            arriving = self.cache / "arriving"
            shutil.rmtree(arriving, ignore_errors=True)
            for directory in ("parts", "lists/partial", "cache/archives/partial"):
                (arriving / directory).mkdir(parents=True)
            for file in Path("/etc/apt/sources.list.d").glob("debian*.sources"):
                (arriving / "parts" / file.name).write_text(re.sub(r"(?m)^Types:.*$", "Types: deb-src", file.read_text()))
            if (old := Path("/etc/apt/sources.list")).exists():
                (arriving / "parts/old.list").write_text(re.sub(r"(?m)^deb ", "deb-src ", old.read_text()))
            settings = {
                "Dir::Etc::SourceList": "/dev/null",
                "Dir::Etc::SourceParts": arriving / "parts",
                "Dir::State::lists": arriving / "lists",
                "Dir::Cache": arriving / "cache",
            }
            options = [f"-o{name}={value}" for name, value in settings.items()]
            self.build(["apt-get", *options, "update", "-qq"], cwd=arriving)
            # A mirror may lack other parts of the package: what counts is that the authors' own archive is there.
            self.build(["sh", "-c", '"$@" || true', "-", "apt-get", *options, "source", "--download-only", "-qq", package], cwd=arriving)
            with tarfile.open(next(arriving.glob(f"*_{version}.orig.tar.*"))) as archive:
                archive.extractall(arriving / "unpacked", filter="data")
            kept.parent.mkdir(parents=True, exist_ok=True)
            next((arriving / "unpacked").iterdir()).rename(kept)
        return self._as_new(kept)

    def sdist(self, package, version):
        """The unpacked source distribution, as new."""
        kept = self.cache / "pypi" / f"{package}-{version}"
        if not kept.exists():
            pip = self.venv("pip", [])
            arriving = self.cache / "arriving"
            shutil.rmtree(arriving, ignore_errors=True)
            self.build(
                [
                    pip / "pip",
                    "download",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--no-binary",
                    package,
                    "--dest",
                    arriving,
                    f"{package}=={version}",
                ]
            )
            with tarfile.open(next(arriving.glob("*.tar.gz"))) as archive:
                archive.extractall(arriving / "unpacked", filter="data")
            kept.parent.mkdir(parents=True, exist_ok=True)
            next((arriving / "unpacked").iterdir()).rename(kept)
        return self._as_new(kept)

    def npm(self, package, version, *others):
        """The package as its author published it, with what it depends on and others that its tests use; as new."""
        self._tool("node", "nodejs")
        self._tool("npm", "npm")
        kept = self.cache / "npm" / f"{package}-{version}"
        if not (kept / "complete").exists():
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
            self.build(
                ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", kept, f"{package}@{version}", *others]
            )
            (kept / "complete").touch()
        return self._as_new(kept) / "node_modules" / package

    def crate(self, package, version):
        """The crate's source from the Cargo registry, as new, outside of any workspace."""
        kept = self.cache / "crates" / f"{package}-{version}"
        if not kept.exists():
            scratch = self.cache / "arriving"
            shutil.rmtree(scratch, ignore_errors=True)
            (scratch / "src").mkdir(parents=True)
            (scratch / "src/lib.rs").touch()
            (scratch / "Cargo.toml").write_text(
                f'[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n{package} = "={version}"\n[workspace]\n'
            )
            described = json.loads(self.build(["cargo", "metadata", "--format-version", "1"], cwd=scratch, quiet=True))
            source = next(
                Path(p["manifest_path"]).parent for p in described["packages"] if p["name"] == package and p["version"] == version
            )
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, kept)
            with open(kept / "Cargo.toml", "a") as manifest:
                manifest.write("\n[workspace]\n")
        return self._as_new(kept)

    def venv(self, name, requirements):
        """The `bin` of a virtual environment with exactly these requirements asked for."""
        self._tool("python3", "python3", "python3-venv")
        place = self.cache / "venvs" / name
        asked = "\n".join(map(str, requirements))
        installed = place / "installed"
        if not installed.exists() or installed.read_text() != asked:
            shutil.rmtree(place, ignore_errors=True)
            self.build([sys.executable, "-m", "venv", place])
            if requirements:
                self.build([place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
            installed.write_text(asked)
        return place / "bin"

    def _tool(self, command, *packages):
        if not shutil.which(command):
            self.debian(*packages)

    def _as_new(self, kept):
        fresh = self.work / kept.name
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(kept, fresh, symlinks=True)
        return fresh

    @staticmethod
    def set(file, *changes):
        """Settings a suite has no variable for: each (pattern, replacement) must find something in the copy of its source."""
        text = file.read_text()
        for pattern, replacement in changes:
            text, found = re.subn(pattern, replacement, text)
            assert found, f"{file}: nothing matches {pattern}"
        file.write_text(text)

    def ctl(self, *arguments):
        """An administrator's command."""
        if not self.broker.ctl:
            raise RuntimeError("this suite needs an administrator: give --ctl with --broker")
        return self.build([*self.broker.ctl, *arguments])

    # Runs.

    def build(self, command, cwd=None, env=None, quiet=False):
        """A step that is not counted in the suite's time. Returns what it printed."""
        began = time.monotonic()
        try:
            status, said = self._bounded(command, cwd, env, BUILD_SECONDS_MAX, quiet)
            if status != 0:
                raise RuntimeError(f"{' '.join(map(str, command))[:200]} ended with {status}: {said[-2000:]}")
            return said
        finally:
            self.building_s += time.monotonic() - began

    def run(self, command, cwd=None, env=None):
        """A part of the suite: (status, what it printed). TimeUp after what is left of the suite's time."""
        return self._bounded(command, cwd, env, self.seconds_max, False)

    def environment(self):
        """What programs of the suite get to know."""
        return os.environ | self.broker.environment(self.work / "bin")

    def _bounded(self, command, cwd, env, seconds, quiet):
        environment = self.environment() | (env or {})
        environment = {name: str(value) for name, value in environment.items() if not name.startswith("LEDGERMQ_")}
        stderr = subprocess.DEVNULL if quiet else subprocess.STDOUT
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeUp(f"{' '.join(map(str, command))} did not end within {seconds} s") from None
        finally:
            # Whatever it left running ends with it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if process.poll() is None:
                said, _ = process.communicate()
                self._note(command, said)
        self._note(command, said)
        return process.returncode, said.decode(errors="replace")

    def _note(self, command, said):
        with open(self.log, "ab") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n".encode() + said)

    # The usual test runners.

    def program(self, command, cwd=None, env=None):
        """One of our own programs that says of each test how it went; that it ends badly is a failure of its own."""
        status, said = self.run(command, cwd, env)
        outcomes = lines(said)
        if status != 0 and FAILED not in outcomes.values():
            outcomes[f"the program ends well (it ended with {status})"] = FAILED
        return outcomes

    def pytest(self, python, arguments, cwd, env=None):
        """{node: outcome}: class::test, or file::test."""
        report = self.work / "report.xml"
        report.unlink(missing_ok=True)
        status, said = self.run(
            [python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments], cwd, env
        )
        if not report.exists():
            raise RuntimeError(f"pytest ended with {status}: {said[-2000:]}")
        outcomes = {}
        for case in ElementTree.parse(report).iter("testcase"):
            kinds = {child.tag for child in case}
            outcome = FAILED if kinds & {"failure", "error"} else SKIPPED if "skipped" in kinds else PASSED
            name = f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}"
            if outcomes.get(name) != FAILED:
                outcomes[name] = outcome
        return outcomes

    def node_tests(self, files, cwd, env=None):
        """Node's own test runner: {file > suite > test: outcome}."""
        outcomes = {}
        for file in files:
            _, said = self.run(["node", "--test", "--test-reporter=tap", file], cwd, env)
            outcomes |= tap(Path(file).name, said)
        return outcomes

    def go_tests(self, binary, cwd, arguments=(), env=None):
        """A compiled Go test: {test or example: outcome}; a test that the program's end cut off has failed."""
        _, said = self.run([binary, "-test.v", f"-test.timeout={self.seconds_max}s", *arguments], cwd, env)
        outcomes = {name: FAILED for name in re.findall(r"^=== RUN\s+(\S+)", said, re.MULTILINE)}
        for word, name in re.findall(r"--- (PASS|FAIL|SKIP): (\S+)", said):
            outcomes[name] = {"PASS": PASSED, "FAIL": FAILED, "SKIP": SKIPPED}[word]
        return outcomes

    def debian_go(self, package, flags, env):
        """The tests of a Go package whose source Debian installs in its GOPATH."""
        gopath = Path("/usr/share/gocode")
        binary = self.work / "tests"
        settings = {"GO111MODULE": "off", "GOPATH": gopath, "GOCACHE": self.cache / "go", "GOFLAGS": ""}
        self.build(["go", "test", "-c", *flags, "-o", binary, package], cwd=gopath, env=settings)
        return self.go_tests(binary, self._as_new(gopath / "src" / package), env=env)

    def cargo_tests(self, source, arguments, env=None, target=None):
        """cargo test in `source`: {target::test: outcome}."""
        self._tool("cargo", "cargo")
        settings = {
            "CARGO_TARGET_DIR": self.cache / "target" / (target or self.name),
            "CARGO_PROFILE_TEST_DEBUG": "0",
            "CARGO_PROFILE_DEV_DEBUG": "0",
        } | (env or {})
        command = ["cargo", "test", "--no-fail-fast", *arguments]
        divided = command.index("--") if "--" in command else len(command)
        self.build([*command[:divided], "--no-run"], source, settings)
        _, said = self.run(command, source, settings)
        return cargo_outcomes(said)


def lines(said):
    """What our own programs say of each test: `ok NAME`, `not ok NAME: why`, `skip NAME: why`."""
    outcomes = {}
    for word, name in re.findall(r"^(ok|not ok|skip) ([^:\n]+)", said, re.MULTILINE):
        outcomes[name] = {"ok": PASSED, "not ok": FAILED, "skip": SKIPPED}[word]
    return outcomes


def tap(file, said):
    """The leaves of nested TAP. A failure that is a suite's only because of a test in it is that test's alone."""
    outcomes, path = {}, []
    lines = said.splitlines()
    for number, line in enumerate(lines):
        started = re.match(r"^(\s*)# Subtest: (.*)$", line)
        ended = re.match(r"^(\s*)(not )?ok \d+ - (.*?)(?: # (SKIP|TODO).*)?$", line)
        if started:
            depth = len(started[1]) // 4
            path = [*path[:depth], started[2]]
        elif ended:
            depth = len(ended[1]) // 4
            is_suite = any("type: 'suite'" in detail for detail in lines[number + 1 : number + 5])
            if len(path) == depth + 1 and not is_suite:
                outcome = FAILED if ended[2] else SKIPPED if ended[4] else PASSED
                outcomes[" > ".join([file, *path])] = outcome
            path = path[:depth]
    return outcomes


def cargo_outcomes(said):
    outcomes, target = {}, ""
    for line in said.splitlines():
        began = re.match(r"\s*(?:Running|Doc-tests)\s+(?:unittests )?(\S+)", line)
        ended = re.match(r"test (.+?)(?: - should panic)? \.\.\. .*?(ok|FAILED|ignored)?(?:, .*)?$", line)
        if began:
            target = Path(began[1]).stem
        elif ended:
            outcomes[f"{target}::{ended[1]}"] = {"ok": PASSED, "ignored": SKIPPED}.get(ended[2], FAILED)
    return outcomes
