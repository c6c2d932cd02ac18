"""AMQP by hand, for clients that no library would be: thousands of silent ones, ones that never read."""

import socket
import struct

HEADER = b"AMQP\0\0\x09\x01"


def short(text):
    return bytes([len(text)]) + text.encode()


def any_frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def frame(channel, class_id, method_id, fields):
    return any_frame(1, channel, struct.pack(">HH", class_id, method_id) + fields)


def publish(channel, exchange, key, announced, body, properties=b"\0\0"):
    """basic.publish; the header announces `announced` bytes, of which `body` follows."""
    method = frame(channel, 60, 40, b"\0\0" + short(exchange) + short(key) + b"\0")
    header = any_frame(2, channel, struct.pack(">HHQ", 60, 0, announced) + properties)
    pieces = [any_frame(3, channel, body[at:at + 100_000]) for at in range(0, len(body), 100_000)]
    return method + header + b"".join(pieces)


class RawClient:
    """A socket, and what is needed to log in and consume."""

    def __init__(self, broker, receive_bytes=None):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes:
            # Before it connects, so that the window is small from the beginning.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect((broker.host, broker.port))

    def read_method(self):
        """The next frame: class and method."""
        _, _, size = struct.unpack(">BHI", self._read(7))
        payload = self._read(size + 1)
        return struct.unpack(">HH", payload[:4])

    def _read(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the broker closed the connection"
            data += more
        return bytes(data)

    def call(self, channel, class_id, method_id, fields, answer):
        self.socket.sendall(frame(channel, class_id, method_id, fields))
        assert self.read_method() == answer

    def ask_to_log_in(self, user, password):
        """Sends a login, of a client that wants to hear why it was refused; the answer is for the caller to read."""
        self.socket.sendall(HEADER)
        assert self.read_method() == (10, 10)
        response = b"\0" + user.encode() + b"\0" + password.encode()
        capabilities = short("authentication_failure_close") + b"t\1"
        properties = short("capabilities") + b"F" + struct.pack(">I", len(capabilities)) + capabilities
        fields = struct.pack(">I", len(properties)) + properties + short("PLAIN")
        fields += struct.pack(">I", len(response)) + response + short("en_US")
        self.socket.sendall(frame(0, 10, 11, fields))

    def log_in(self, heartbeat=0):
        """Opens the connection to `/` and channel 1."""
        self.ask_to_log_in("guest", "guest")
        assert self.read_method() == (10, 30)
        self.socket.sendall(frame(0, 10, 31, struct.pack(">HIH", 2047, 131072, heartbeat)))
        self.call(0, 10, 40, short("/") + b"\0\0", (10, 41))
        self.call(1, 20, 10, b"\0", (20, 11))
        return self

    def consume(self, queue):
        """Consumes without acknowledgements; what comes is for the caller to read, or not."""
        self.call(1, 60, 20, b"\0\0" + short(queue) + short("") + b"\x02" + struct.pack(">I", 0), (60, 21))

    def skip(self, count):
        """Reads so many bytes and looks at none."""
        while count:
            count -= len(self._read(min(count, 1 << 16)))

    def close(self):
        self.socket.close()
