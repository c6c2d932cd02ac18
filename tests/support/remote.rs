//! A broker at the other end of a socket, told the same stories: how ours is compared with RabbitMQ.
//! Waits a while after each step, since nobody says when a broker has nothing more to say.

use super::machine::{CAPABLE, HEADER, start_ok};
use super::wire;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(250);

/// The broker, with its clients by name.
pub struct Remote {
    address: String,
    clients: BTreeMap<String, Client>,
}

struct Client {
    socket: TcpStream,
    read: Vec<u8>,
    closed: bool,
}

impl Remote {
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), clients: BTreeMap::new() }
    }

    pub fn accept(&mut self, name: &str) {
        let socket = TcpStream::connect(&self.address).expect("a broker");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self.clients.insert(name.to_owned(), Client { socket, read: Vec::new(), closed: false });
    }

    pub fn connect(&mut self, name: &str, user: &str, client_properties: Option<&str>) {
        self.accept(name);
        self.send_bytes(name, HEADER);
        self.heard(name);
        self.send_bytes(name, &wire::encode(0, &start_ok(client_properties.unwrap_or(CAPABLE), user)));
        self.heard(name);
        let mut bytes = wire::encode(0, "connection.tune-ok channel-max=2047 frame-max=131072");
        bytes.extend(wire::encode(0, "connection.open virtual-host=/"));
        self.send_bytes(name, &bytes);
        let said = self.heard(name);
        assert!(said.last().is_some_and(|(_, line)| line == "connection.open-ok"), "{name}: {said:?}");
    }

    pub fn send_bytes(&mut self, name: &str, bytes: &[u8]) {
        let client = self.clients.get_mut(name).expect("a client");
        client.closed |= client.socket.write_all(bytes).is_err();
    }

    pub fn heard(&mut self, name: &str) -> Vec<(u16, String)> {
        let client = self.clients.get_mut(name).expect("a client");
        let mut buffer = [0; 4096];
        loop {
            match client.socket.read(&mut buffer) {
                Ok(0) => {
                    client.closed = true;
                    break;
                }
                Ok(count) => client.read.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(_) => {
                    client.closed = true;
                    break;
                }
            }
        }
        wire::decode_all(&mut client.read)
    }

    pub fn break_socket(&mut self, name: &str) {
        let client = self.clients.get_mut(name).expect("a client");
        client.socket.shutdown(std::net::Shutdown::Both).ok();
        client.closed = true;
        std::thread::sleep(PATIENCE);
    }

    pub fn has_closed(&self, name: &str) -> bool {
        self.clients[name].closed
    }
}
