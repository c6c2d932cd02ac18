//! The header of the PROXY protocol, versions 1 and 2: a proxy in front of the broker says whose connection it passes on.
//! Only listed proxies are asked for it. Reads exactly the header, never a byte of what follows it; bounded.
//! Source: the PROXY protocol, `doc/proxy-protocol.txt` of `HAProxy`.

use crate::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};
use ppp::{v1, v2};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What both versions have at least, bytes.
const FIRST_BYTES: usize = 12;
/// What follows the signature of version 2 up to its length, bytes.
const V2_REST_BYTES: usize = 4;

/// Client and our address, as a proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proxied {
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
}

/// Reads a header. `None` if the proxy speaks for itself (a health check) or for something without an address.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for what is no header; of the socket.
pub(super) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Proxied>> {
    let mut header = vec![0; FIRST_BYTES];
    socket.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        return read_v2(socket, header).await;
    }
    if !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        return Err(invalid("no PROXY header"));
    }
    while !header.ends_with(b"\r\n") {
        if header.len() == PROXY_V1_BYTES_MAX {
            return Err(invalid("a PROXY header without an end"));
        }
        header.push(socket.read_u8().await?);
    }
    let header = v1::Header::try_from(header.as_slice()).map_err(|error| invalid(&error.to_string()))?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(v1::IPv4 {
            source_address,
            source_port,
            destination_address,
            destination_port,
        }) => Some(Proxied {
            remote: (source_address, source_port).into(),
            local: (destination_address, destination_port).into(),
        }),
        v1::Addresses::Tcp6(v1::IPv6 {
            source_address,
            source_port,
            destination_address,
            destination_port,
        }) => Some(Proxied {
            remote: (source_address, source_port).into(),
            local: (destination_address, destination_port).into(),
        }),
    })
}

async fn read_v2(socket: &mut (impl AsyncRead + Unpin), mut header: Vec<u8>) -> io::Result<Option<Proxied>> {
    let mut rest = [0; V2_REST_BYTES];
    socket.read_exact(&mut rest).await?;
    let [.., high, low] = rest;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIRST_BYTES + V2_REST_BYTES + length > PROXY_V2_BYTES_MAX {
        return Err(invalid("a PROXY header too long"));
    }
    header.extend_from_slice(&rest);
    let start = header.len();
    header.resize(start + length, 0);
    socket.read_exact(header.get_mut(start..).unwrap_or_default()).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|error| invalid(&error.to_string()))?;
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    Ok(match header.addresses {
        v2::Addresses::IPv4(address) => Some(Proxied {
            remote: (address.source_address, address.source_port).into(),
            local: (address.destination_address, address.destination_port).into(),
        }),
        v2::Addresses::IPv6(address) => Some(Proxied {
            remote: (address.source_address, address.source_port).into(),
            local: (address.destination_address, address.destination_port).into(),
        }),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    })
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(bytes: &[u8], expected: Result<Option<(&str, &str)>, ErrorKind>, left: &[u8]) {
        let mut input = bytes;
        let read = read(&mut input).await.map_err(|error| error.kind());
        let expected = expected.map(|addresses| {
            addresses.map(|(remote, local)| Proxied {
                remote: remote.parse().unwrap(),
                local: local.parse().unwrap(),
            })
        });
        assert_eq!(read, expected, "{bytes:?}");
        if expected.is_ok() {
            assert_eq!(input, left, "what follows is not touched");
        }
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &length, addresses, b"AMQP"].concat()
    }

    #[tokio::test]
    async fn lines_of_version_1() {
        check(
            b"PROXY TCP4 10.1.2.3 10.0.0.1 50000 5672\r\nAMQP",
            Ok(Some(("10.1.2.3:50000", "10.0.0.1:5672"))),
            b"AMQP",
        )
        .await;
        check(
            b"PROXY TCP6 fe80::1 ::1 50000 5671\r\n\x16\x03\x01",
            Ok(Some(("[fe80::1]:50000", "[::1]:5671"))),
            b"\x16\x03\x01",
        )
        .await;
        check(b"PROXY UNKNOWN\r\nAMQP", Ok(None), b"AMQP").await;
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for bytes in [
            b"AMQP\0\0\x09\x01 and more".as_slice(),
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY TCP4 10.1.2.3 10.0.0.1 70000 5672\r\n",
            b"PROXY TCP4 fe80::1 10.0.0.1 50000 5672\r\n",
            b"PROXY UDP4 10.1.2.3 10.0.0.1 50000 5672\r\n",
            &endless,
        ] {
            check(bytes, Err(ErrorKind::InvalidData), b"").await;
        }
        check(b"PROXY TCP4 10.1", Err(ErrorKind::UnexpectedEof), b"").await;
    }

    #[tokio::test]
    async fn headers_of_version_2() {
        let v4 = [10, 1, 2, 3, 10, 0, 0, 1, 0xc3, 0x50, 0x16, 0x28];
        check(&v2(1, 0x11, &v4), Ok(Some(("10.1.2.3:50000", "10.0.0.1:5672"))), b"AMQP").await;
        let with_extension = [&v4[..], &[0x04, 0, 2, 9, 9]].concat();
        check(&v2(1, 0x11, &with_extension), Ok(Some(("10.1.2.3:50000", "10.0.0.1:5672"))), b"AMQP").await;
        check(&v2(0, 0x00, &[]), Ok(None), b"AMQP").await;
        check(&v2(0, 0x11, &v4), Ok(None), b"AMQP").await;
        check(&v2(1, 0x11, &v4[..8]), Err(ErrorKind::InvalidData), b"").await;
        check(&v2(1, 0x11, &[0; 2000]), Err(ErrorKind::InvalidData), b"").await;
        check(&v2(5, 0x11, &v4), Err(ErrorKind::InvalidData), b"").await;
    }
}
