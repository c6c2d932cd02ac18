"""Very much of what is allowed: channels that come and go, messages that are begun and not finished, refused logins,
bindings, deliveries that nobody acknowledges. Memory stays bounded, and others do not notice.

The same attacks on the machine behind the socket are in tests/security_rows; LEDGERMQ_FULL makes these large (see flood.py).
"""

import select
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest

from broker import free_port, given_broker
from flood import FULL, KIB, MIB, PATIENCE_S, resident, seen, until, works, works_and_is_warm
from raw import HEADER, RawClient, frame, publish, short
from test_strangers import many_sockets  # noqa: F401, a fixture
from tools import queue, ready

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="the memory of a broker of our own is looked at")


def logging(own, path, *flags):
    """A broker whose log goes to a file."""
    return own(*flags, under=["bash", "-c", f'"$@" 2>&1 | tee {path}', "-"])


def test_s1_s42_other_protocols_leave_nothing_but_a_few_lines(own, tmp_path):
    log = tmp_path / "log"
    broker = logging(own, log)
    works_and_is_warm(broker)

    def knock():
        with socket.create_connection((broker.host, broker.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100) == HEADER

    for _ in range(200):
        knock()
    before, tries = resident(broker), 10_000 if FULL else 1_000
    began = time.monotonic()
    for _ in range(tries):
        knock()
    took_s = time.monotonic() - began
    seen(f"S1 growth after {tries} tries", f"{(resident(broker) - before) / KIB:.0f} KiB")
    assert resident(broker) - before < 2 * MIB
    # The sum of what was left out comes with the first line of a later second.
    until(lambda: knock() or "left out" in log.read_text(), "the lines that were left out are told")
    lines = log.read_text().count("opened with HTTP")
    seen(f"S42 lines for {tries} tries in {took_s:.1f} s", lines)
    assert lines <= 50 * (took_s + 60) and lines < tries + 200
    works(broker)


def test_s3_announced_frames_allocate_nothing(own):
    broker = own("--handshake-ms", "600000")
    works_and_is_warm(broker)
    before, count = resident(broker), 1000
    clients = [RawClient(broker) for _ in range(count)]
    for client in clients:
        client.socket.sendall(HEADER)
        assert client.read_method() == (10, 10)
    parked = resident(broker)
    for client in clients:
        client.socket.sendall(b"\x01\0\0\xff\xff\xff\xff")
        assert client.read_method() == (10, 50)
    seen("S3 memory of 1,000 frames of 4 GiB announced at once", f"{(resident(broker) - parked) / KIB:.0f} KiB")
    assert resident(broker) - parked < 2 * MIB and resident(broker) - before < count * 16 * KIB
    for client in clients:
        client.close()
    works(broker)


def test_s11_channels_that_come_and_go_leave_nothing(own):
    broker = own()
    works_and_is_warm(broker)
    client, opens, numbers = RawClient(broker).log_in(), 10_000_000 if FULL else 100_000, range(2, 1002)
    close = struct.pack(">H", 200) + short("") + b"\0\0\0\0"
    batch = b"".join(frame(number, 20, 10, b"\0") + frame(number, 20, 40, close) for number in numbers)
    # open-ok holds an empty long string, close-ok nothing.
    answers = len(numbers) * len(frame(1, 20, 11, b"\0\0\0\0") + frame(1, 20, 41, b""))

    def churn(times):
        for _ in range(times // len(numbers)):
            client.socket.sendall(batch)
            client.skip(answers)

    churn(50_000)
    before, began = resident(broker), time.monotonic()
    churn(opens)
    grown = resident(broker) - before
    seen(f"S11 growth after {opens} opens in {time.monotonic() - began:.1f} s", f"{grown / KIB:.0f} KiB")
    assert grown < 2 * MIB
    client.close()
    works(broker)


def test_s14_half_sent_messages_stay_under_a_bound_and_disturb_nobody(own):
    # The C library learns from the first large piece to keep others for later: here it may not, so that what the broker keeps is seen.
    broker = own(under=["env", "MALLOC_MMAP_THRESHOLD_=131072"])
    works_and_is_warm(broker)
    before, body = resident(broker), b"x" * (16 * MIB - 100_000)
    # Channels that begin 16 MiB each and send nearly all of it: 60 MiB on each connection, which alone would be let be.
    connections, channels = (30, 4) if FULL else (8, 4)
    attackers = [RawClient(broker).log_in() for _ in range(connections)]

    def attack(client):
        try:
            for number in range(2, 2 + channels):
                client.socket.sendall(frame(number, 20, 10, b"\0"))
                client.socket.sendall(publish(number, "", "q", 16 * MIB, body[:15 * MIB]))
        except OSError:
            pass  # Closed with 320, or by the end of the test.

    threads = [threading.Thread(target=attack, args=[client], daemon=True) for client in attackers]
    for thread in threads:
        thread.start()
    until(lambda: resident(broker) - before > 200 * MIB, "the attackers fill what there is for them")
    peak = 0
    for _ in range(20):
        # Messages of one frame, and of several.
        works(broker)
        with broker.connect() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            queue(channel, "honest")
            channel.basic_publish("", "honest", b"y" * (300 * KIB))
            assert ready(channel, "honest") == 1
            channel.queue_purge("honest")
        peak = max(peak, resident(broker) - before)
    if FULL:
        # Until the first of them has had its time.
        until(lambda: select.select([client.socket for client in attackers], [], [], 0)[0], "somebody is closed")
    seen(f"S14 most memory of {connections * channels} half-sent messages of 16 MiB", f"{peak / MIB:.0f} MiB")
    # Twice what all may hold, and what the one that is read on may.
    assert peak < (2 * 256 + 64 + 24 if FULL else 400) * MIB
    for client in attackers:
        with suppress(OSError):  # closed by the broker
            client.socket.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    until(lambda: resident(broker) - before < 100 * MIB, "what they held is given back")
    works(broker)


def test_s31_a_publisher_that_outruns_the_disk_takes_no_memory(own):
    broker = own("--body-memory-bytes", "16MiB", "--staging-bytes-max", "8MiB")
    works_and_is_warm(broker)
    client, body = RawClient(broker).log_in(), b"x" * 10_000
    client.call(1, 50, 10, b"\0\0" + short("flood") + b"\x02" + struct.pack(">I", 0), (50, 11))
    batch, count = publish(1, "", "flood", len(body), body, b"\x10\0\x02") * 100, 2_000 if FULL else 200
    before, peak = resident(broker), 0
    began = time.monotonic()
    for _ in range(count):
        client.socket.sendall(batch)
        peak = max(peak, resident(broker) - before)
    # The answer comes once all of it has been taken.
    client.call(1, 50, 10, b"\0\0" + short("after") + b"\0" + struct.pack(">I", 0), (50, 11))
    seen(f"S31 most memory of {count} MB published without a pause in {time.monotonic() - began:.1f} s",
         f"{peak / MIB:.0f} MiB")
    assert peak < 96 * MIB
    with broker.connect() as connection:
        assert ready(connection.channel(), "flood") == count * 100
    client.close()


def test_long_lists_and_definitions_take_little_memory_however_they_are_read(own):
    http_port = free_port()
    broker = own(http=f"127.0.0.1:{http_port}")
    works_and_is_warm(broker)
    # A vhost has 100,000 queues at most.
    client, count, none = RawClient(broker).log_in(), 90_000 if FULL else 20_000, struct.pack(">I", 0)
    for number in range(count):
        name = short(f"listed-{number:06}")
        declare = frame(1, 50, 10, b"\0\0" + name + b"\x12" + none)
        client.socket.sendall(declare + frame(1, 50, 20, b"\0\0" + name + short("amq.topic") + name + b"\x01" + none))
    client.call(1, 50, 10, b"\0\0" + short("last") + b"\x02" + none, (50, 11))
    lists = ["queues", "bindings", "exchanges/%2F/amq.topic/bindings/source", "definitions", "definitions/%2F"]
    paths = [*(f"/api/{path}" for path in lists), "/metrics/per-object", "/metrics/detailed?family=queue_metrics"]
    before, peak = resident(broker), 0
    for path in paths:
        with listed(http_port, path) as answer:
            size = 0
            while chunk := answer.recv(1 << 18):
                size += len(chunk)
                peak = max(peak, resident(broker) - before)
        assert size > count * 100, path
    seen(f"most memory for lists and definitions of {count} queues and as many bindings", f"{peak / MIB:.0f} MiB")
    # With the largest number there is the first checkpoint, which is not over yet.
    assert peak < (160 if FULL else 24) * MIB
    # Who asks and does not read holds up nobody, and what is made for them waits to be asked for.
    idle = [listed(http_port, path) for path in paths for _ in range(4)]
    for answer in idle:
        assert answer.recv(9) == b"HTTP/1.1 "
    assert len(idle) < 64, "there is room for others"
    works(broker)
    grown = resident(broker) - before
    seen(f"memory of {len(idle)} that do not read on", f"{grown / MIB:.0f} MiB")
    assert grown < (192 if FULL else 64) * MIB
    # Those who do not read their page of metrics are not waited for long.
    with listed(http_port, "/metrics/per-object") as answer:
        whole = b""
        while chunk := answer.recv(1 << 18):
            whole = whole[-10:] + chunk
    assert whole.endswith(b"\r\n0\r\n\r\n")
    if FULL:
        # All the places there are: the next one gets one after half a minute in which these read nothing.
        idle += [listed(http_port, "/api/queues") for _ in range(64 - len(idle))]
        with listed(http_port, "/api/whoami") as answer:
            answer.settimeout(PATIENCE_S)
            assert answer.recv(12) == b"HTTP/1.1 200"
    for answer in idle:
        answer.close()
    client.close()


def listed(http_port, path):
    """A socket with the answer to a request for a list."""
    answer = socket.create_connection(("127.0.0.1", http_port))
    login = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nConnection: close"
    answer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{login}\r\n\r\n".encode())
    return answer


def refused(client):
    """Reads the refusal of a login."""
    assert client.read_method() == (10, 50)
    client.close()


def test_s9_who_guesses_passwords_waits_and_others_do_not(own):
    broker = own()
    works(broker)
    guesses = []
    for _ in range(40):
        client = RawClient(broker)
        client.ask_to_log_in("guest", "wrong")
        guesses.append(client)
    # From the same address, while the answers to some of the others still wait.
    works(broker)
    for client in guesses:
        refused(client)
    works(broker)


@pytest.mark.skipif(not FULL, reason="it prints times, and asserts none")
def test_s9_times_of_logins_tell_nothing_and_a_flood_of_them_starves_nobody(own):
    broker = own()

    def refusals(user, network):
        """Times of refusals, each address asking no more often than is answered at once."""
        times = []
        for number in range(1000):
            client = RawClient.__new__(RawClient)
            client.socket = socket.create_connection(
                (broker.host, broker.port), source_address=(f"127.{network}.{number // 10}.1", 0))
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            began = time.perf_counter()
            client.ask_to_log_in(user, "wrong")
            refused(client)
            times.append(time.perf_counter() - began)
        return sorted(times)

    for round_ in range(3):
        known, unknown = refusals("guest", 10 + 2 * round_), refusals("nobody", 11 + 2 * round_)
        seen("S9 median of a refusal, known and unknown user",
             f"{known[500] * 1e6:.0f} and {unknown[500] * 1e6:.0f} µs")
    with broker.connect() as connection:
        channel = connection.channel()
        queue(channel, "flooded", durable=True)
        channel.confirm_delivery()

        def percentile():
            times = []
            for _ in range(1000):
                began = time.perf_counter()
                channel.basic_publish("", "flooded", "x")
                times.append(time.perf_counter() - began)
            return sorted(times)[990] * 1e3

        quiet, going, count = percentile(), True, 0

        def flood(thread):
            nonlocal count
            while going:
                client = RawClient.__new__(RawClient)
                host = f"127.{100 + thread}.{count // 250 % 250}.{count % 250 + 1}"
                client.socket = socket.create_connection((broker.host, broker.port), source_address=(host, 0))
                client.ask_to_log_in("guest", "wrong")
                refused(client)
                count += 1

        threads = [threading.Thread(target=flood, args=[thread], daemon=True) for thread in range(4)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        flooded = percentile()
        rate = count / (time.monotonic() - began)
        going = False
        for thread in threads:
            thread.join()
    seen(f"S9 99th percentile of a publish, quiet and with {rate:.0f} logins/s", f"{quiet:.2f} and {flooded:.2f} ms")


@pytest.mark.skipif(not FULL, reason="it prints a time, and asserts none; the work is counted in src/exchange/topic.rs")
def test_s16_a_million_bindings_and_the_worst_keys(own):
    broker = own()
    client = RawClient(broker).log_in()
    client.call(1, 50, 10, b"\0\0" + short("q") + b"\0" + struct.pack(">I", 0), (50, 11))
    bindings = 999_000
    words = [b"a", b"*", b"#", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]

    def pattern(number):
        return b".".join(words[int(digit)] for digit in f"{number:06d}") + b".%d" % number

    for first in range(0, bindings, 1000):
        batch = b""
        for number in range(first, first + 1000):
            key = pattern(number)
            fields = b"\0\0" + short("q") + short("amq.topic") + bytes([len(key)]) + key + b"\x01" + struct.pack(">I", 0)
            batch += frame(1, 50, 20, fields)
        client.socket.sendall(batch)
    client.call(1, 85, 10, b"\0", (85, 11))
    for name, key in [("none matches", "z." * 120 + "z"), ("the longest key of one word", "a." * 127 + "a"),
                      ("a key like others", "a.b.c.d.e.f.7")]:
        times = []
        for _ in range(200):
            began = time.perf_counter()
            client.socket.sendall(publish(1, "amq.topic", key, 1, b"x"))
            assert client.read_method() == (60, 80)
            times.append(time.perf_counter() - began)
        seen(f"S16 median of a publish with confirm beside {bindings} patterns, {name}",
             f"{sorted(times)[100] * 1e6:.0f} µs")
    # One pattern of nothing but wildcards, as long as it can be.
    client.call(1, 40, 10, b"\0\0" + short("worst") + short("topic") + b"\0" + struct.pack(">I", 0), (40, 11))
    for key in ["#." * 127 + "#", "*." * 100 + "#", ("#.a." * 64)[:-1], ("#.*." * 64)[:-1]]:
        fields = b"\0\0" + short("q") + short("worst") + short(key) + b"\0" + struct.pack(">I", 0)
        client.call(1, 50, 20, fields, (50, 21))
    times = []
    for _ in range(200):
        began = time.perf_counter()
        client.socket.sendall(publish(1, "worst", "a." * 127 + "a", 1, b"x"))
        assert client.read_method() == (60, 80)
        times.append(time.perf_counter() - began)
    seen("S16 median of a publish with confirm against the worst patterns", f"{sorted(times)[100] * 1e6:.0f} µs")
    client.close()


def test_s28_deliveries_that_nobody_acknowledges_cost_little_each(own):
    broker = own()
    works_and_is_warm(broker)
    count = 10_000_000 if FULL else 50_000
    publisher, consumer = RawClient(broker).log_in(), RawClient(broker).log_in()
    publisher.call(1, 50, 10, b"\0\0" + short("held") + b"\x02" + struct.pack(">I", 0), (50, 11))
    consumer.call(1, 60, 20, b"\0\0" + short("held") + short("c") + b"\0" + struct.pack(">I", 0), (60, 21))
    body, batch_size = b"x" * 20, 1000
    batch = publish(1, "", "held", len(body), body, b"\x10\0\x02") * batch_size
    before, began = resident(broker), time.monotonic()
    got, buffer = 0, bytearray(1 << 20)
    sender = threading.Thread(
        target=lambda: [publisher.socket.sendall(batch) for _ in range(count // batch_size)], daemon=True)
    sender.start()
    # A delivery is as long as every other one.
    redelivered, keys = 1, short("") + short("held")
    method = len(frame(1, 60, 60, short("c") + b"\0" * 8 + b"\0" * redelivered + keys))
    size = method + 7 + 12 + 3 + 1 + 7 + len(body) + 1
    while got < count * size:
        got += consumer.socket.recv_into(buffer)
    assert got == count * size
    sender.join()
    each = (resident(broker) - before) / count
    seen(f"S28 memory for each of {count} deliveries that nobody acknowledges, "
         f"after {time.monotonic() - began:.0f} s", f"{each:.0f} B")
    if FULL:
        # What a queue and a channel keep of each, with what their rings have in reserve, and what the log buffers.
        assert each < 256
    with broker.connect() as connection:
        assert f"held\t{count}" in broker.ctl("list_queues", "name", "messages_unacknowledged")
        connection.close()
    consumer.close()
    publisher.close()
    works(broker)
