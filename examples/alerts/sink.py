"""A mail server for the test: prints its port, then one line for each mail; nobody is mailed anything."""

import email
import threading

from aiosmtpd.controller import Controller


class Sink:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content)
        print(f"{mail['To']} | {mail['Subject']} | {mail.get_payload().strip()}")
        return "250 OK"


class AnyPort(Controller):
    def _trigger_server(self):
        """The parent connects to its own port to see the server run; ours is known only once it does."""
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


sink = AnyPort(Sink(), hostname="127.0.0.1", port=0)
sink.start()
print("port", sink.port)
threading.Event().wait()
