//! A login as bytes, over any stream: for tests of what comes before AMQP.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a failure ends it")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a client of AMQP 0-9-1 says first.
pub(crate) const HEADER: &[u8] = b"AMQP\0\0\x09\x01";

/// A socket to a port of this machine.
pub(crate) fn dial(port: u16) -> TcpStream {
    let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Only so that a test that fails ends.
    tcp.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    tcp
}

/// The payload of the next frame.
pub(crate) fn frame(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 7];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; u32::from_be_bytes(head[3..].try_into().unwrap()) as usize + 1];
    stream.read_exact(&mut payload)?;
    assert_eq!(payload.pop(), Some(0xce));
    Ok(payload)
}

/// connection.start, which a client that was let in hears first.
pub(crate) fn start(stream: &mut impl Read) -> String {
    let payload = frame(stream).unwrap();
    assert_eq!(payload[..4], [0, 10, 0, 10], "connection.start");
    String::from_utf8_lossy(&payload).into_owned()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Logs in; what the broker answers: `tune`, or the text of its close.
pub(crate) fn log_in(stream: &mut (impl Read + Write), mechanism: &str, response: &[u8]) -> String {
    let understands = [short("authentication_failure_close"), b"t\x01".to_vec()].concat();
    let properties = [short("capabilities"), b"F".to_vec(), long(&understands)].concat();
    let method =
        [b"\0\x0a\0\x0b".to_vec(), long(&properties), short(mechanism), long(response), short("en_US")]
            .concat();
    let head = [b"\x01\0\0".to_vec(), u32::try_from(method.len()).unwrap().to_be_bytes().to_vec()].concat();
    stream.write_all(&[head, method, vec![0xce]].concat()).unwrap();
    let answer = frame(stream).unwrap();
    match answer[..4] {
        [0, 10, 0, 30] => "tune".to_owned(),
        [0, 10, 0, 50] => String::from_utf8_lossy(&answer[4..]).into_owned(),
        _ => format!("{answer:?}"),
    }
}
