"""The arithmetic and the pictures of scripts/bench, without a broker; scripts/test runs the whole of it with --quick."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from broker import ROOT

sys.path.insert(0, str(ROOT / "benches" / "compare"))
from brokers import Given  # noqa: E402
from plot import svg  # noqa: E402
from report import markdown, medians, number, ratio, spread  # noqa: E402
from rows import ROWS, look_up  # noqa: E402

BY_NAME = {row.name: row for row in ROWS}


def test_figures_are_medians_over_the_rounds():
    row = BY_NAME["e"]
    rounds = [{"confirm_us": {"p50": value, "p99.9": 9 * value}, "broker_cpu_s_per_million": 2.5} for value in (30, 10, 20)]
    assert look_up(rounds[0], "confirm_us.p99.9") == 270
    assert look_up(rounds[0], "deliver_us.p50") is None
    assert medians(row, rounds) == {"confirm_us.p50": 20, "confirm_us.p99.9": 180, "broker_cpu_s_per_million": 2.5}
    assert spread(row, rounds) == (10, 30)
    assert spread(row, [{}]) is None


def test_a_ratio_above_one_is_better_whatever_is_counted():
    rate, *_, memory = BY_NAME["a16"].figures
    assert ratio(rate, 300, 100) == 3 and ratio(memory, 20, 100) == 5
    assert ratio(rate, 300, 0) is None and ratio(memory, None, 5) is None


@pytest.mark.parametrize("value, text", [(None, "–"), (123456.7, "123,457"), (0.5, "0.5"), (10, "10"), (99.999, "100")])
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_the_table_and_the_plot_hold_every_broker():
    names = ["LedgerMQ", "A & B"]
    rates = {"LedgerMQ": 300_000, "A & B": 100}
    results = {
        row.name: {name: {figure.key: rates[name] for figure in row.figures} for name in names} for row in ROWS
    }
    table = markdown(names, "LedgerMQ", ROWS, results, "heading")
    widths = {line.count("|") for line in table.splitlines() if line.startswith("|")}
    assert widths == {6}, "every line has all columns"
    assert "| persistent 16 B, window 1000 | messages delivered, /s | 300,000 | 100 | 3000.0 |" in table
    picture = ElementTree.fromstring(svg(names, ROWS, results, "title"))
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"A & B", "LedgerMQ", "fanout"} - set(texts) == {"fanout"}
    assert texts.count("300,000/s") == sum(row.main.unit == "/s" for row in ROWS)
    assert svg(names, ROWS, {row.name: {} for row in ROWS}, "nothing measured") is None


@pytest.mark.parametrize(
    "place, name, host, port",
    [
        ("127.0.0.1:5673", "127.0.0.1:5673", "127.0.0.1", 5673),
        ("LavinMQ=mq:1", "LavinMQ", "mq", 1),
        (":5672", ":5672", "127.0.0.1", 5672),
    ],
)
def test_brokers_are_given_by_their_place(place, name, host, port):
    given = Given(place)
    assert (given.name, given.host, given.port) == (name, host, port)
    assert ("--broker-pid" in given.target()) == (host == "127.0.0.1")


@pytest.mark.parametrize("document", ["README.md", "docs/performance.md"])
def test_the_commands_that_documents_name_exist(document):
    """Each `scripts/bench …` of a document is one that scripts/bench understands: asked for its rows, it lists them."""
    commands = re.findall(r"scripts/bench[ \w=.:,-]*", (ROOT / document).read_text())
    assert any("--compare" in command for command in commands)
    for command in commands:
        words = command.split()[1:]
        listed = subprocess.run(
            [sys.executable, "-B", ROOT / "benches/compare/main.py", "--binary", "none", "--list", *words],
            capture_output=True,
            text=True,
        )
        assert listed.returncode == 0 and "ledgermq bench" in listed.stdout, f"{command}: {listed.stderr}"
