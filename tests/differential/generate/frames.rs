//! What no library would send: methods at the wrong time or on the wrong channel, frames that are none, contents that
//! are not what their headers announce, handshakes in any order.

use super::Maker;
use crate::conversation::Step;
use crate::support::machine::{CAPABLE, HEADER, start_ok};
use crate::support::wire;

/// `basic.publish` to `q1` through the default exchange.
const PUBLISH: [u8; 11] = [0, 60, 0, 40, 0, 0, 0, 2, b'q', b'1', 0];

/// A content header of this class with this size and no properties.
fn header(class: u8, size: u64) -> Vec<u8> {
    [&[0, class, 0, 0][..], &size.to_be_bytes(), &[0, 0]].concat()
}

impl Maker {
    /// A method that is not due.
    pub(super) fn odd(&mut self, client: &str, open: &[u16]) {
        let number = self.random.of(open);
        let unopened = 40 + u16::try_from(self.random.below(3)).unwrap();
        match self.random.below(22) {
            0 => self.send(client, number, "channel.open"),
            1 => self.send(client, unopened, "queue.declare queue=q1"),
            2 => self.send(client, unopened, "channel.close reply-code=200"),
            3 => self.send(client, number, "basic.cancel-ok consumer-tag=t1"),
            4 => self.send(client, number, "channel.close-ok"),
            5 => self.send(client, number, "channel.flow active=false"),
            6 => self.send(client, number, "basic.publish exchange=e1 routing-key=k immediate=true body=x"),
            7 => self.send(client, number, "basic.qos prefetch-size=7"),
            8 => self.send(client, 0, "connection.close reply-code=200 reply-text=bye"),
            9 => {
                self.clients.remove(client);
                self.take(Step::Break { client: client.to_owned() });
            }
            10 => self.send(client, number, "basic.recover requeue=false"),
            11 => {
                let text = self.random.of(&[
                    "queue.declare queue=q1",
                    "channel.open",
                    "basic.publish routing-key=q1 body=x",
                    "connection.open virtual-host=/",
                    "connection.tune-ok channel-max=2047 frame-max=131072",
                    "connection.start-ok mechanism=PLAIN",
                    "connection.secure-ok response=x",
                    "connection.close-ok",
                    "connection.update-secret new-secret=x reason=y",
                ]);
                self.send(client, 0, text);
            }
            12 => {
                let text = self.random.of(&[
                    "connection.close reply-code=200",
                    "connection.open virtual-host=/",
                    "connection.close-ok",
                    "connection.update-secret new-secret=x reason=y",
                ]);
                self.send(client, number, text);
            }
            13 => {
                let text = self.random.of(&[
                    "basic.get-empty",
                    "channel.open-ok",
                    "queue.declare-ok queue=q1",
                    "basic.deliver delivery-tag=1",
                    "tx.commit-ok",
                    "channel.flow-ok active=true",
                    "confirm.select-ok",
                ]);
                self.send(client, number, text);
            }
            _ => self.raw(client, number),
        }
    }

    /// Bytes.
    fn raw(&mut self, client: &str, number: u16) {
        let frame = |kind: u8, payload: &[u8]| wire::frame(kind, number, payload);
        let publish = || frame(1, &PUBLISH);
        let table = |fields: &[u8]| {
            let length = u32::try_from(fields.len()).unwrap().to_be_bytes();
            let declare = [&[0, 50, 0, 10, 0, 0, 2, b'q', b'1', 0][..], &length, fields].concat();
            frame(1, &declare)
        };
        let bytes = match self.random.below(34) {
            // A content header and a body that nobody announced.
            0 => frame(2, &header(60, 0)),
            1 => frame(3, b"x"),
            // Another method, or a body, instead of the content header.
            2 => [publish(), publish()].concat(),
            3 => [publish(), frame(3, b"x")].concat(),
            4 => [publish(), frame(1, &[0, 20, 0, 40, 0, 200, 0, 0, 0, 0, 0])].concat(),
            // A header of another class; more body than announced; a second header.
            5 => [publish(), frame(2, &header(50, 1))].concat(),
            6 => [publish(), frame(2, &header(60, 1)), frame(3, b"xy")].concat(),
            7 => [publish(), frame(2, &header(60, 1)), frame(2, &header(60, 1))].concat(),
            // Less body than announced, and then something else.
            8 => [publish(), frame(2, &header(60, 5)), frame(3, b"xy"), publish()].concat(),
            // Several pieces of a body, an empty one among them.
            9 => [publish(), frame(2, &header(60, 3)), frame(3, b"x"), frame(3, b""), frame(3, b"yz")].concat(),
            // A body behind a content without one.
            10 => [publish(), frame(2, &header(60, 0)), frame(3, b"")].concat(),
            11 => [publish(), frame(2, &header(60, 0)), frame(3, b"x")].concat(),
            // A header that is too short, or has properties that are not there, or bytes left over.
            12 => [publish(), frame(2, &[0, 60, 0, 0])].concat(),
            13 => [publish(), frame(2, &[&header(60, 0)[..12], &[0x80, 0]].concat())].concat(),
            14 => [publish(), frame(2, &[&header(60, 0)[..], b"left"].concat())].concat(),
            // Weight, flags that go on.
            15 => [publish(), frame(2, &[&[0, 60, 0, 7][..], &[0; 10]].concat())].concat(),
            16 => [publish(), frame(2, &[&header(60, 0)[..12], &[0, 1, 0, 0]].concat())].concat(),
            // Another frame end; unknown classes and methods; no method at all.
            17 => [&[8, 0, 0, 0, 0, 0, 0][..], &[0xCF]].concat(),
            18 => frame(1, &[0, 60, 0, 33]),
            19 => frame(1, &[0, 99, 0, 10]),
            20 => frame(1, b""),
            21 => frame(1, &[0, 60]),
            // Methods cut short, or with bytes left over.
            22 => frame(1, &[0, 50, 0, 10, 0, 0, 9, b'q']),
            23 => frame(1, &[0, 20, 0, 41, 7, 7]),
            24 => frame(1, &PUBLISH[..8]),
            // Heartbeats: a good one, one on a channel, one that says something.
            25 => wire::frame(8, 0, b""),
            26 => frame(8, b""),
            27 => wire::frame(8, 0, b"beat"),
            // A type of frames that is none.
            28 => frame(self.random.of(&[0, 4, 5, 7, 9, 255]), b"x"),
            // A frame larger than was agreed on: its head is enough.
            29 => [&[1][..], &number.to_be_bytes(), &200_000_u32.to_be_bytes(), &[0; 64]].concat(),
            30 => [&[3][..], &number.to_be_bytes(), &u32::MAX.to_be_bytes(), &[0; 16]].concat(),
            // Tables: a type that is none, a value cut short, a name without a value, all types there are.
            31 => {
                let fields = self.random.of(&[
                    &b"\x01az\x00"[..],
                    b"\x01aI\x00",
                    b"\x01a",
                    b"\x09a",
                    b"\x01aS\x00\x00\x00\x09x",
                    b"\x01aF\x00\x00\x00\x09x",
                    b"\x01aA\x00\x00\x00\x01z",
                    b"\x00V",
                    b"\x02\xff\xfeV",
                    b"\x01at\x02",
                ]);
                table(fields)
            }
            32 => table(
                b"\x01ab\xff\x01bB\xff\x01cs\xff\xff\x01du\xff\xff\x01ei\xff\xff\xff\xff\x01fl\0\0\0\0\0\0\0\x01\x01gf\0\0\0\0\
                  \x01hd\0\0\0\0\0\0\0\0\x01iD\x02\0\0\0\x05\x01jT\0\0\0\0\0\0\0\x01\x01kV\x01lx\0\0\0\x01x\x01mA\0\0\0\x02t\x01",
            ),
            // Another protocol.
            _ => self.random.of(&[&b"AMQP\x00\x00\x09\x01"[..], b"GET / HTTP/1.1\r\n\r\n"]).to_vec(),
        };
        self.take(Step::Raw { client: client.to_owned(), bytes });
    }

    /// A client that knows the words of the handshake, but not their order.
    pub(super) fn handshake(&mut self) {
        self.take(Step::Accept { client: "h".to_owned() });
        if self.random.once_in(5) {
            let bytes = self.random.of(&[
                &b"AMQP\x00\x00\x09\x02"[..],
                b"AMQP\x00\x00\x0a\x01",
                b"AMQP\x00\x00\x08\x00",
                b"AMQP\x01\x01\x00\x09",
                b"AMQP\x03\x01\x00\x00",
                b"HTTP / HTTP/1.1\r\n",
                b"\x16\x03\x01\x00\x00\x00\x00\x00",
                b"AMQPAMQP",
                b"\x00\x00\x00\x00\x00\x00\x00\x00",
            ]);
            return self.take(Step::Raw { client: "h".to_owned(), bytes: bytes.to_vec() });
        }
        self.take(Step::Raw { client: "h".to_owned(), bytes: HEADER.to_vec() });
        let login = start_ok(CAPABLE, "guest");
        let tune = "connection.tune-ok channel-max=2047 frame-max=131072";
        let mut words = [login.as_str(), tune, "connection.open virtual-host=/", "channel.open"];
        // One of them is another, or comes too early.
        let at = usize::try_from(self.random.below(4)).unwrap();
        let other = self.random.of(&[
            "connection.start-ok mechanism=PLAIN response=\"guest\" locale=en_US",
            "connection.start-ok mechanism=PLAIN response=\"\\x00guest\\x00wrong\" locale=en_US",
            "connection.start-ok mechanism=WORD response=\"x\" locale=en_US",
            "connection.start-ok mechanism=AMQPLAIN response=\"\\x05LOGINS\\x00\\x00\\x00\\x05guest\\x08PASSWORDS\\x00\\x00\\x00\\x05guest\" locale=en_US",
            "connection.start-ok mechanism=AMQPLAIN response=\"rubbish\" locale=en_US",
            "connection.tune-ok channel-max=0 frame-max=0",
            "connection.tune-ok channel-max=1 frame-max=4096",
            "connection.tune-ok channel-max=65535 frame-max=131072",
            "connection.tune-ok channel-max=2047 frame-max=100",
            "connection.tune-ok channel-max=2047 frame-max=999999",
            "connection.open virtual-host=missing",
            "connection.open virtual-host=\"\"",
            "connection.secure-ok response=x",
            "connection.close reply-code=200 reply-text=bye",
            "queue.declare queue=q1",
            "basic.publish routing-key=q1 body=x",
        ]);
        // Who does not say that it can be told of a failed login is disconnected some seconds later.
        let able = format!("connection.start-ok client-properties={CAPABLE}");
        let other = other.replace("connection.start-ok", &able);
        words[at] = &other;
        for word in words {
            let channel = u16::from(word == "channel.open");
            if self.ours.heard.ended("h") {
                break;
            }
            self.send("h", channel, word);
        }
        if !self.ours.heard.ended("h") {
            self.clients.insert("h".to_owned(), std::collections::BTreeMap::new());
        }
    }
}
