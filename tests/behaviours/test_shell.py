"""What the command line offers to shells and to `man`: completions that load and complete, pages that are read without complaint."""

import shutil
import subprocess

import pytest

from broker import BINARY, ROOT

COMPLETE = """
source <("$0" completions bash "$1")
complete -p "$1" >&2
COMP_WORDS=("${@:1}") COMP_CWORD=$(($# - 1))
"_$1" "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words):
    """What bash offers for the last of these words."""
    done = subprocess.run(["bash", "-c", COMPLETE, BINARY, *words], capture_output=True, text=True)
    assert done.returncode == 0 and " -F _" in done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_and_columns():
    assert "completions" in completed("ledgermq", "comp")
    assert {"list_queues", "list_queue_x"} & set(completed("ledgermq", "ctl", "list_q")) == {"list_queues"}
    assert "--segment-bytes" in completed("ledgermq", "serve", "--seg")
    assert "--formatter" in completed("ledgermq", "ctl", "list_queues", "--form")
    assert "messages_unacknowledged" in completed("ledgermq", "ctl", "list_queues", "messages_una")
    assert completed("ledgermq", "ctl", "--formatter", "cs") == ["csv"]
    assert "set_permissions" in completed("rabbitmqctl", "set_perm")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_good_for_their_shells(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_bytes(subprocess.run([BINARY, "completions", shell], check=True, capture_output=True).stdout)
    subprocess.run([shell, "-n", script], check=True)


def test_pages_are_read_without_a_complaint(tmp_path):
    subprocess.run([BINARY, "man", tmp_path], check=True)
    pages = sorted(tmp_path.glob("*.1"))
    assert {"ledgermq.1", "ledgermq-ctl.1", "ledgermq-serve.1", "ledgermq-bench-latency.1"} <= {page.name for page in pages}
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    for page in pages:
        read = subprocess.run(["groff", "-Kutf8", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert read.stderr == "", f"{page.name}: {read.stderr}"
    if shutil.which("man"):
        read = subprocess.run(["man", "-l", tmp_path / "ledgermq-ctl.1"], capture_output=True, text=True, check=True)
        assert "list_queues" in read.stdout and "move_messages" in read.stdout


def test_packages_hold_them(tmp_path):
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    for kind, listing in [("deb", ["dpkg-deb", "-c"]), ("tarball", ["tar", "-tzf"])]:
        subprocess.run([ROOT / "scripts" / kind, "--binary", BINARY, tmp_path], check=True, capture_output=True)
        (package,) = tmp_path.glob("*.deb" if kind == "deb" else "*.tar.gz")
        held = subprocess.run([*listing, package], check=True, capture_output=True, text=True).stdout
        for name in [
            "bash-completion/completions/ledgermq", "zsh/vendor-completions/_ledgermq", "fish/vendor_completions.d/ledgermq.fish",
            "man/man1/ledgermq.1", "man/man1/ledgermq-ctl.1",
        ]:
            assert name in held, f"{kind}: {name}"
