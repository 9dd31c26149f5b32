//! Loopback ports for a network, which two demos at once do not take from each other.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Ports below the range that Linux and macOS give to outgoing connections.
const FIRST: u16 = 20_000;
const BLOCKS: u16 = 200;
/// Ports in a block.
const BLOCK: u16 = 40;

/// A block of ports that were free a moment ago. It is reserved against other demos, by a locked file,
/// as long as this lives.
pub(crate) struct Ports {
    first: u16,
    next: u16,
    _lock: File,
}

impl Ports {
    /// Reserves a block; `start` spreads processes over the blocks.
    pub(crate) fn reserve(start: u32) -> io::Result<Self> {
        let dir = std::env::temp_dir().join("shoal-demo-ports");
        fs::create_dir_all(&dir)?;
        for step in 0..u32::from(BLOCKS) {
            let index = (start.wrapping_add(step) % u32::from(BLOCKS)) as u16;
            let Ok(lock) = File::create(dir.join(format!("{index}.lock"))) else {
                continue; // another user's
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let first = FIRST + index * BLOCK;
            if (first..first + BLOCK).all(is_free) {
                return Ok(Self {
                    first,
                    next: first,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("no {BLOCK} free ports in a row on 127.0.0.1; stop other demos and try again"),
        ))
    }

    /// The next port of the block, for TCP and UDP both. None when the block is used up.
    pub(crate) fn next(&mut self) -> Option<u16> {
        let port = self.next;
        (port < self.first + BLOCK).then(|| {
            self.next += 1;
            port
        })
    }
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_get_different_ports_and_a_taken_port_is_passed_over() {
        let first = Ports::reserve(7).expect("ports");
        let second = Ports::reserve(7).expect("ports");
        assert_ne!(first.first, second.first);
        let taken = second.first;
        drop(second);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).expect("bind");
        let third = Ports::reserve(7).expect("ports");
        assert_ne!(third.first, taken);
    }

    #[test]
    fn a_block_ends() {
        let mut ports = Ports::reserve(90).expect("ports");
        let all: Vec<u16> = std::iter::from_fn(|| ports.next()).collect();
        assert_eq!(all.len(), usize::from(BLOCK));
    }
}
