//! A broker that does wrong: passes everything between a client and a real broker, but for one delivery, which it drops, doubles,
//! swaps with the next or damages, or at which it hangs up.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a failure ends it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What happens to the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Drop,
    Double,
    Swap,
    Damage,
    HangUp,
}

/// Which delivery it happens to, counted from 1 over all connections.
const VICTIM: u64 = 20;
const METHOD_FRAME: u8 = 1;
const DELIVER: [u8; 4] = [0, 60, 0, 60];

/// Listens on a free port in front of the broker on that port. Returns the port.
pub(crate) fn start(broker_port: u16, fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let deliveries = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, deliveries) = (client.unwrap(), Arc::clone(&deliveries));
            let broker = TcpStream::connect(("127.0.0.1", broker_port)).unwrap();
            let (mut from_client, mut to_broker) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
            thread::spawn(move || {
                // Ends with either socket.
                let _ = io::copy(&mut from_client, &mut to_broker);
                let _ = to_broker.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let _ = tamper(broker, &client, fault, &deliveries);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

fn tamper(
    mut broker: TcpStream,
    mut client: &TcpStream,
    fault: Fault,
    deliveries: &AtomicU64,
) -> io::Result<()> {
    let mut held = None;
    loop {
        let frame = read_frame(&mut broker)?;
        if frame[0] != METHOD_FRAME || frame[7..11] != DELIVER {
            client.write_all(&frame)?;
            continue;
        }
        // Small messages: a delivery is the method, the content header and one body frame.
        let mut delivery = frame;
        delivery.extend(read_frame(&mut broker)?);
        delivery.extend(read_frame(&mut broker)?);
        match (deliveries.fetch_add(1, Ordering::SeqCst) + 1 == VICTIM, fault) {
            (false, _) => client.write_all(&delivery)?,
            (true, Fault::Drop) => {}
            (true, Fault::Double) => {
                client.write_all(&delivery)?;
                client.write_all(&delivery)?;
            }
            (true, Fault::Swap) => {
                held = Some(delivery);
                continue;
            }
            (true, Fault::Damage) => {
                // In the filler, behind the stamp and before the tail: the frame ends in one octet more.
                let at = delivery.len() - 1 - 20;
                delivery[at] ^= 0x10;
                client.write_all(&delivery)?;
            }
            (true, Fault::HangUp) => return Ok(()),
        }
        if let Some(late) = held.take() {
            client.write_all(&late)?;
        }
    }
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 7];
    stream.read_exact(&mut frame)?;
    let length = u32::from_be_bytes(frame[3..7].try_into().unwrap()) as usize;
    frame.resize(7 + length + 1, 0);
    stream.read_exact(&mut frame[7..])?;
    Ok(frame)
}
