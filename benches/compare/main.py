"""The comparison behind scripts/bench: runs `ledgermq bench` against every broker in interleaved rounds and tells medians.

A broker that is started here is started afresh for each row and is alone on the machine while it is measured, but for given
brokers, which idle.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from brokers import Given, LedgerMq, RabbitMq
from plot import svg
from report import markdown, medians, number, spread
from rows import LARGE_ROWS, ROWS


def options():
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures LedgerMQ by `ledgermq bench`; with --compare, RabbitMQ (where Debian's package is installed) and "
        "any other broker beside it. Prints a table and writes it, a plot and all figures to target/bench/.",
    )
    parser.add_argument("--binary", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--compare",
        nargs="*",
        metavar="[NAME=]HOST:PORT",
        help="compare with RabbitMQ and with the brokers that run there (guest/guest, vhost /)",
    )
    parser.add_argument("--rounds", type=int, default=None, help="rounds; each runs every row once against every broker [3]")
    parser.add_argument("--large", action="store_true", help="large numbers instead: queues, connections, backlogs; one round")
    names = ",".join(row.name for row in ROWS + LARGE_ROWS)
    parser.add_argument("--only", default="", metavar="NAMES", help=f"rows, by name: {names}")
    parser.add_argument("--quick", action="store_true", help="tiny counts, one round: shows that it works, not how fast it is")
    parser.add_argument("--list", action="store_true", help="list the rows and do nothing")
    return parser.parse_args()


def main():
    chosen = options()
    only = chosen.only.replace(",", " ").split()
    choice = ROWS + LARGE_ROWS if only or chosen.quick else LARGE_ROWS if chosen.large else ROWS
    rows = [row for row in choice if not only or row.name in only]
    unknown = set(only) - {row.name for row in choice}
    if unknown or not rows:
        sys.exit(f"scripts/bench: no such row: {', '.join(sorted(unknown))}")
    if chosen.list:
        for row in rows:
            print(f"{row.name:5} {row.label}: ledgermq bench {' '.join(row.arguments(chosen.quick))}")
        return
    out = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "bench"
    out.mkdir(parents=True, exist_ok=True)
    brokers = [LedgerMq(out, chosen.binary)]
    if chosen.compare is not None:
        if RabbitMq.is_installed():
            brokers.append(RabbitMq(out))
        else:
            print("RabbitMQ is not installed: apt install rabbitmq-server, to compare with it", file=sys.stderr)
        brokers += map(Given, chosen.compare)
    rounds = chosen.rounds or (1 if chosen.quick or chosen.large else 3)
    began, clean = time.monotonic(), True
    reports = {row.name: {broker.name: [] for broker in brokers} for row in rows}
    for turn in range(rounds):
        for row in rows:
            # Who goes first changes, so that nobody always has the warmer or the colder machine.
            for broker in brokers[turn % len(brokers) :] + brokers[: turn % len(brokers)]:
                if row.over_tls and not broker.has_certificate:
                    continue
                report, is_clean = measure(chosen.binary, broker, row, chosen.quick)
                clean = clean and is_clean
                reports[row.name][broker.name].append(report)
                main_figure = medians(row, [report]).get(row.main.key)
                print(
                    f"round {turn + 1}: {row.label:54} {broker.name:12} {number(main_figure):>10} {row.main.unit}",
                    file=sys.stderr,
                )
    publish(chosen, rows, brokers, reports, rounds, time.monotonic() - began, out)
    if not clean:
        sys.exit("scripts/bench: messages were lost, doubled, reordered or damaged; see above")


def measure(binary, broker, row, quick):
    """One run of one row against one broker. Returns the report and whether all messages came as they should."""
    broker.start()
    try:
        if row.workload not in ("backlog", "declare") or not broker.can_be_killed:
            return bench(binary, broker, row.arguments(quick), row.over_tls)
        if row.workload == "declare":
            declared, is_clean = bench(binary, broker, row.arguments(quick))
            declared["ready_s"] = broker.kill_and_start()
            declared["ready_rss_mib"] = broker.rss_mib()
            return declared, is_clean
        filled, _ = bench(binary, broker, [*row.arguments(quick), "--only-fill"])
        filled["disk_mib"] = broker.disk_mib()
        filled["ready_s"] = broker.kill_and_start()
        drained, is_clean = bench(binary, broker, [*row.arguments(quick), "--only-drain"])
        return drained | filled, is_clean
    finally:
        broker.stop()


def bench(binary, broker, arguments, over_tls=False):
    command = [str(binary), "bench", *arguments, "--json", *broker.target(over_tls)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode not in (0, 65) or not done.stdout:
        broker.stop()
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr}")
    if done.returncode:
        print(f"{' '.join(command)}\n{done.stdout}", file=sys.stderr)
    return json.loads(done.stdout), done.returncode == 0


def publish(chosen, rows, brokers, reports, rounds, seconds, out):
    """Prints the table; writes it, the plot and all figures."""
    names = [broker.name for broker in brokers]
    results = {
        row.name: {name: medians(row, reports[row.name][name]) for name in names if reports[row.name][name]}
        for row in rows
    }
    versions = {
        name: next((report.get("broker", "?") for row in rows for report in reports[row.name][name]), "?") for name in names
    }
    told = " ".join(word for word in sys.argv[1:] if word not in ("--binary", str(chosen.binary)))
    heading = (
        f"`scripts/bench {told}`, {time.strftime('%Y-%m-%d')}: medians of {rounds} interleaved rounds, {seconds / 60:.0f} minutes, "
        f"{os.cpu_count()} cores; " + ", ".join(f"{name} is {version}" for name, version in versions.items()) + "."
    )
    table = markdown(names, "LedgerMQ", rows, results, heading)
    print(table)
    base = "quick" if chosen.quick else "large" if chosen.large else "compare" if chosen.compare is not None else "alone"
    (out / f"{base}.md").write_text(table)
    plot = svg(names, rows, results, "Messages or connections a second, medians (longer is better)")
    if plot:
        (out / f"{base}.svg").write_text(plot)
    spreads = {row.name: {name: spread(row, reports[row.name][name]) for name in names} for row in rows}
    everything = {"heading": heading, "medians": results, "spreads": spreads, "rounds": reports}
    (out / f"{base}.json").write_text(json.dumps(everything, indent=1))
    print(f"also in {out}/{base}.md, .svg and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
