"""The rows of the comparison: what `ledgermq bench` is told for each, and which of its figures are shown.

Seconds and counts are chosen so that three rounds of two brokers take some fifteen minutes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure of a report: its key (a dot leads into an object), what it is called, its unit, and which way is better."""

    key: str
    label: str
    unit: str = "/s"
    more_is_better: bool = True


@dataclass(frozen=True)
class Row:
    """What `ledgermq bench` is told: a workload with its flags, for how long (in --quick: `quick` instead), and what is shown."""

    name: str
    label: str
    workload: str
    flags: str
    extent: str
    figures: tuple
    quick: str = "--messages 2000"
    # Over TLS: only of brokers that have a certificate.
    over_tls: bool = False

    @property
    def main(self):
        """The figure that stands for the row."""
        return self.figures[0]

    def arguments(self, quick):
        return [self.workload, *self.flags.split(), *(self.quick if quick else self.extent).split()]


DELIVERED = Figure("delivered_per_s", "messages delivered")
PUBLISHED = Figure("published_per_s", "messages published")
CPU = Figure("broker_cpu_s_per_million", "broker CPU a message", "µs", False)
RSS = Figure("broker_peak_rss_mib", "broker peak RSS", "MiB", False)
THROUGH = (DELIVERED, CPU, RSS)


def percentiles(key, label):
    return tuple(
        Figure(f"{key}.{name}", f"{label} {name}", "µs", False) for name in ("p50", "p90", "p99", "p99.9", "max")
    )


CONFIRMS, DELIVERIES = percentiles("confirm_us", "confirm"), percentiles("deliver_us", "delivery")
TRANSIENT = "--transient --window 0 --auto-ack"

ROWS = (
    Row("a16", "persistent 16 B, window 1000", "throughput", "--size 16", "--seconds 4", THROUGH),
    Row("a1k", "persistent 1 KiB, window 1000", "throughput", "--size 1024", "--seconds 4", THROUGH),
    Row("a64k", "persistent 64 KiB, window 1000", "throughput", "--size 65536", "--seconds 4", THROUGH, "--messages 200"),
    Row("b16", "transient 16 B, no confirms", "throughput", f"--size 16 {TRANSIENT}", "--seconds 4", THROUGH),
    Row("b1k", "transient 1 KiB, no confirms", "throughput", f"--size 1024 {TRANSIENT}", "--seconds 4", THROUGH),
    Row(
        "b64k",
        "transient 64 KiB, no confirms",
        "throughput",
        f"--size 65536 {TRANSIENT}",
        "--seconds 4",
        THROUGH,
        "--messages 200",
    ),
    Row(
        "d",
        "persistent 1 KiB, window 1",
        "throughput",
        "--window 1",
        "--seconds 4",
        (PUBLISHED, *CONFIRMS, CPU),
        "--messages 100",
    ),
    Row(
        "e",
        "persistent 1 KiB at 5,000/s",
        "latency",
        "--rate 5000",
        "--seconds 8",
        (*CONFIRMS, *DELIVERIES, CPU),
        "--messages 1000",
    ),
    Row(
        "g",
        "persistent 1 KiB, 8 pairs, 8 queues",
        "throughput",
        "--publishers 8 --consumers 8 --queues 8",
        "--seconds 4",
        THROUGH,
    ),
    Row("h", "persistent 100 B, fanout to 10", "fanout", "--size 100 --queues 10", "--seconds 4", THROUGH, "--messages 500"),
    Row(
        "c",
        "backlog of 300,000 x 1 KiB",
        "backlog",
        "",
        "--messages 300000",
        (
            PUBLISHED,
            DELIVERED,
            RSS,
            Figure("disk_mib", "disk", "MiB", False),
            Figure("ready_s", "ready after kill -9", "s", False),
        ),
        "--messages 5000",
    ),
    Row(
        "f",
        "1,000 idle connections with a channel",
        "connections",
        "",
        "--count 1000 --hold 3",
        (
            Figure("connections_per_s", "connections opened"),
            Figure("rss_kib_per_connection", "RSS a connection", "KiB", False),
            Figure("idle_cpu_s_per_s", "idle CPU", "s/s", False),
        ),
        "--count 20 --hold 0",
    ),
)


READY = Figure("ready_s", "ready after kill -9", "s", False)
DISK = Figure("disk_mib", "disk", "MiB", False)
FILLED = (PUBLISHED, DELIVERED, RSS, DISK, READY)

# Large numbers: what ends them is no broker's speed but its memory, its start, its tables; and TLS, which is to be seen beside
# row a1k. Not part of the comparison that is made in a quarter of an hour.
LARGE_ROWS = (
    Row("tls1k", "persistent 1 KiB, window 1000, over TLS 1.3", "throughput", "--size 1024", "--seconds 4", THROUGH, over_tls=True),
    Row("w1", "one publisher that waits for each confirm", "waiting", "--publishers 1", "--seconds 4", (PUBLISHED, CPU)),
    Row("w1000", "1,000 publishers that wait for each confirm", "waiting", "--publishers 1000", "--seconds 4", (PUBLISHED, CPU)),
    Row("t1", "topic exchange, one binding", "topic", "--bindings 1", "--seconds 4", (PUBLISHED, CPU)),
    Row("d10k", "direct exchange, 10,000 bindings", "topic", "--direct --bindings 10000", "--seconds 4", (PUBLISHED, CPU)),
    Row("t10k", "topic exchange, 10,000 bindings", "topic", "--bindings 10000", "--seconds 4", (PUBLISHED, CPU)),
    Row("h100", "fanout of 100 B to 100 queues", "fanout", "--size 100 --queues 100 --consumers 1", "--seconds 4", THROUGH),
    Row("h1000", "fanout of 100 B to 1,000 queues", "fanout", "--size 100 --queues 1000 --consumers 1", "--seconds 4", THROUGH),
    Row(
        "q100k",
        "100,000 durable queues",
        "declare",
        "--window 1000 --keep",
        "--count 100000",
        (
            Figure("declared_per_s", "queues declared"),
            Figure("rss_kib_per_queue", "RSS a queue", "KiB", False),
            Figure("ready_rss_mib", "RSS after the start", "MiB", False),
            READY,
        ),
        "--count 200",
    ),
    Row(
        "f10k",
        "10,000 idle connections with a channel",
        "connections",
        "--at-a-time 64",
        "--count 10000 --hold 5",
        (
            Figure("connections_per_s", "connections opened"),
            Figure("rss_kib_per_connection", "RSS a connection", "KiB", False),
            Figure("idle_cpu_s_per_s", "idle CPU", "s/s", False),
        ),
        "--count 20 --hold 0",
    ),
    Row(
        "s10k",
        "10,000 clients that come and go, 1,000 at a time",
        "storm",
        "--at-a-time 1000",
        "--count 10000",
        (Figure("connections_per_s", "connections opened"), *percentiles("open_and_close_us", "open and close"), RSS),
        "--count 20",
    ),
    Row("c10m", "backlog of 10 million x 1 KiB", "backlog", "", "--messages 10000000", FILLED, "--messages 5000"),
    Row("c100m", "backlog of 100 million x 100 B", "backlog", "--size 100", "--messages 100000000", FILLED, "--messages 5000"),
)


def look_up(report, key):
    """The figure of that key, or None. Keys of objects hold dots themselves (p99.9)."""
    if key in report:
        return report[key]
    head, _, rest = key.partition(".")
    inner = report.get(head)
    return inner.get(rest) if isinstance(inner, dict) else None
