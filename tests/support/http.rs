//! One request over HTTP, by bytes.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Status and body of the answer to a request, such as `GET /api/vhosts`, of this user, such as `guest:guest`; each of
/// the further headers ends its line.
pub(crate) fn ask(port: u16, user: &str, request: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let login = STANDARD.encode(user);
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {login}\r\n{headers}Content-Length: {length}\r\n\r\n{body}",
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = parts_of(&answer);
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// Head and body of an answer, which must be whole.
pub(crate) fn parts_of(answer: &str) -> (&str, String) {
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return (head, rest.to_owned());
    }
    let mut body = String::new();
    loop {
        let (size, behind) = rest.split_once("\r\n").unwrap();
        let (chunk, behind) = behind.split_at(usize::from_str_radix(size, 16).unwrap());
        body.push_str(chunk);
        rest = behind.strip_prefix("\r\n").unwrap();
        if size == "0" {
            return (head, body);
        }
    }
}
