"""AMQP by hand, for clients that no library would be: thousands of silent ones, ones that never read."""

import socket
import struct

HEADER = b"AMQP\0\0\x09\x01"


def short(text):
    return bytes([len(text)]) + text.encode()


def frame(channel, class_id, method_id, fields):
    payload = struct.pack(">HH", class_id, method_id) + fields
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


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
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the broker closed the connection"
            data += more
        return data

    def call(self, channel, class_id, method_id, fields, answer):
        self.socket.sendall(frame(channel, class_id, method_id, fields))
        assert self.read_method() == answer

    def log_in(self, heartbeat=0):
        """Opens the connection to `/` and channel 1."""
        self.socket.sendall(HEADER)
        assert self.read_method() == (10, 10)
        response = b"\0guest\0guest"
        fields = struct.pack(">I", 0) + short("PLAIN") + struct.pack(">I", len(response)) + response + short("en_US")
        self.call(0, 10, 11, fields, (10, 30))
        self.socket.sendall(frame(0, 10, 31, struct.pack(">HIH", 2047, 131072, heartbeat)))
        self.call(0, 10, 40, short("/") + b"\0\0", (10, 41))
        self.call(1, 20, 10, b"\0", (20, 11))
        return self

    def consume(self, queue):
        """Consumes without acknowledgements; what comes is for the caller to read, or not."""
        self.call(1, 60, 20, b"\0\0" + short(queue) + short("") + b"\x02" + struct.pack(">I", 0), (60, 21))

    def close(self):
        self.socket.close()
