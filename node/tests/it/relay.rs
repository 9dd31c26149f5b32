//! A TCP relay between clients and their entry provider, which notes what anybody on the link
//! sees: when bytes pass, and how many. It holds no key.
//!
//! What passes on a connection of libp2p over TCP: each side's lines of multistream-select that
//! agree on Noise, then Noise messages, each with its length in two bytes before it. The first
//! ones are the handshake; those after it hold, after decryption, a piece of Yamux's byte stream.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use shoal_node::runtime::Clock;
use shoal_proto::Time;
use shoal_proto::size::FRAME_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// The last line of multistream-select before Noise, its length before it.
const AGREED: &[u8] = b"\x07/noise\n";
/// Bytes of a Noise message that are its authentication tag.
const TAG_BYTES: usize = 16;
/// Bytes of each Yamux header: of data, of a window update, of a ping.
const HEADER_BYTES: usize = 12;
/// Headers without data (window updates, pings) that may share messages with frames.
const LONE_HEADERS: usize = 6;
/// Noise messages that a run of frames may be cut into before it has to end with a frame.
const CUT: usize = 4;

/// A Noise message that passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// When its last byte was there.
    pub(crate) at: Time,
    /// Bytes of its ciphertext.
    pub(crate) bytes: usize,
}

/// Cuts one direction's bytes into Noise messages.
struct Track {
    rest: Vec<u8>,
    agreed: bool,
    /// Messages of the handshake that this side has yet to send.
    handshake: usize,
    messages: Vec<Message>,
}

impl Track {
    fn new(handshake: usize) -> Self {
        Self {
            rest: Vec::new(),
            agreed: false,
            handshake,
            messages: Vec::new(),
        }
    }

    fn note(&mut self, at: Time, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        if !self.agreed {
            let line = self
                .rest
                .windows(AGREED.len())
                .position(|window| window == AGREED);
            let Some(line) = line else { return };
            self.rest.drain(..line + AGREED.len());
            self.agreed = true;
        }
        while let Some((length, rest)) = self.rest.split_first_chunk::<2>() {
            let bytes = usize::from(u16::from_be_bytes(*length));
            if rest.len() < bytes {
                return;
            }
            self.rest.drain(..2 + bytes);
            match self.handshake.checked_sub(1) {
                Some(left) => self.handshake = left,
                None => self.messages.push(Message { at, bytes }),
            }
        }
    }
}

/// One connection through the relay.
pub(crate) struct Connection {
    /// The port that it came from.
    from: u16,
    open: AtomicBool,
    cut: watch::Sender<bool>,
    up: Mutex<Track>,
    down: Mutex<Track>,
}

impl Connection {
    fn new(from: u16) -> Self {
        // Noise XX: the dialler sends the first and the third of three messages.
        let [up, down] = [2, 1].map(|handshake| Mutex::new(Track::new(handshake)));
        Self {
            from,
            open: AtomicBool::new(true),
            cut: watch::Sender::new(false),
            up,
            down,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Ends it towards both sides.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Whether this process made it. Nodes link with the provider through the relay too, and when
    /// the machine is busy some do so late.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_of(&self, process: u32) -> bool {
        let local = format!("0100007F:{:04X}", self.from);
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().map(|row| row.split_whitespace());
        let inode = rows.find_map(|mut row| (row.nth(1)? == local).then(|| row.nth(7))?);
        let Some(inode) = inode else { return false };
        let socket = format!("socket:[{inode}]");
        std::fs::read_dir(format!("/proc/{process}/fd"))
            .unwrap()
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|target| target.as_os_str() == socket.as_str())
    }

    /// Whether this process made it, which only Linux tells.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_of(&self, _process: u32) -> bool {
        true
    }

    /// What passed towards the provider and from it, from one moment to another.
    pub(crate) fn record(&self, from: Time, to: Time) -> Record {
        let part = |track: &Mutex<Track>| {
            let track = track.lock().unwrap();
            let messages = track.messages.iter();
            messages
                .filter(|m| from <= m.at && m.at < to)
                .copied()
                .collect()
        };
        Record {
            up: part(&self.up),
            down: part(&self.down),
        }
    }
}

/// What was seen on a connection.
pub(crate) struct Record {
    pub(crate) up: Vec<Message>,
    pub(crate) down: Vec<Message>,
}

/// The relay, on a thread of its own, so that nothing else in the test's process delays what it
/// notes. It stops with this.
pub(crate) struct Relay {
    connections: Arc<Mutex<Vec<Arc<Connection>>>>,
    _stop: oneshot::Sender<()>,
}

impl Relay {
    /// Takes connections on one port of loopback and passes them on to another.
    pub(crate) fn start(clock: Clock, from: u16, to: u16) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, from)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&connections);
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(clock, listener, to, &seen) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            connections,
            _stop: stop,
        }
    }

    /// The connections that were made after the first `skip`.
    pub(crate) fn since(&self, skip: usize) -> Vec<Arc<Connection>> {
        self.connections
            .lock()
            .unwrap()
            .iter()
            .skip(skip)
            .cloned()
            .collect()
    }

    /// How many connections were made so far.
    pub(crate) fn count(&self) -> usize {
        self.connections.lock().unwrap().len()
    }
}

async fn accept(
    clock: Clock,
    listener: TcpListener,
    to: u16,
    connections: &Mutex<Vec<Arc<Connection>>>,
) {
    while let Ok((near, from)) = listener.accept().await {
        let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else {
            continue;
        };
        let connection = Arc::new(Connection::new(from.port()));
        connections.lock().unwrap().push(Arc::clone(&connection));
        pass(clock, near, far, &connection);
    }
}

fn pass(clock: Clock, near: TcpStream, far: TcpStream, connection: &Arc<Connection>) {
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ((from_client, to_client), (from_provider, to_provider)) =
        (near.into_split(), far.into_split());
    let (up, down) = (Arc::clone(connection), Arc::clone(connection));
    tokio::spawn(async move {
        copy(clock, from_client, to_provider, &up.up, &up.cut).await;
        up.open.store(false, Ordering::Relaxed);
    });
    tokio::spawn(async move {
        copy(clock, from_provider, to_client, &down.down, &down.cut).await;
        down.open.store(false, Ordering::Relaxed);
    });
}

/// Passes bytes on unchanged, until one side closes or the connection is cut.
async fn copy(
    clock: Clock,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    track: &Mutex<Track>,
    cut: &watch::Sender<bool>,
) {
    let mut cut = cut.subscribe();
    tokio::select! {
        () = carry(clock, from, to, track) => {}
        _ = cut.wait_for(|cut| *cut) => {}
    }
}

async fn carry(
    clock: Clock,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    track: &Mutex<Track>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let at = clock.now();
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        track.lock().unwrap().note(at, &buffer[..read]);
    }
}

/// The frames in some messages of one direction.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// When each passed.
    pub(crate) at: Vec<Time>,
    /// Yamux headers beyond one for each frame: window updates and pings.
    pub(crate) lone_headers: usize,
    /// Messages that hold one frame and its header.
    pub(crate) single: usize,
}

/// Finds the frames.
///
/// A write holds all frames that waited, and goes out as Yamux data: a header and the frames, or
/// several such if the write is long or two writes wait together. Window updates and pings are
/// headers alone. So what a run of messages holds is a whole number of frames and a whole number
/// of headers, and if there are frames, at least one header. Frames that share a message have
/// passed at the same moment: their times are the message's, once for each. A write that is longer
/// than Yamux's largest piece can end in the next message; its frames have passed when it is
/// whole.
///
/// # Errors
/// Bytes that can't be frames of the one size: something on the link does not look alike.
pub(crate) fn frames(messages: &[Message]) -> Result<Frames, String> {
    let mut found = Frames::default();
    let (mut bytes, mut cut) = (0, 0);
    for message in messages {
        let held = message
            .bytes
            .checked_sub(TAG_BYTES)
            .ok_or("a message without a tag")?;
        bytes += held;
        let Some((frames, headers)) = split(bytes) else {
            cut += 1;
            if cut > CUT {
                return Err(format!("{bytes} bytes are no frames"));
            }
            continue;
        };
        if (frames, headers) == (1, 1) {
            found.single += 1;
        }
        found.at.extend(std::iter::repeat_n(message.at, frames));
        found.lone_headers += headers.saturating_sub(usize::from(frames > 0));
        (bytes, cut) = (0, 0);
    }
    Ok(found)
}

/// How many frames and how many headers so many bytes are.
fn split(bytes: usize) -> Option<(usize, usize)> {
    let most = bytes / FRAME_BYTES;
    let headers = |frames: usize| {
        let rest = bytes - frames * FRAME_BYTES;
        let headers = rest / HEADER_BYTES;
        let enough = if frames > 0 {
            1..=2 * frames + LONE_HEADERS
        } else {
            1..=LONE_HEADERS
        };
        (rest.is_multiple_of(HEADER_BYTES) && enough.contains(&headers)).then_some(headers)
    };
    (0..=most)
        .rev()
        .find_map(|frames| headers(frames).map(|headers| (frames, headers)))
}

#[test]
fn frames_are_found_however_they_are_written() {
    let message = |at, held| Message {
        at: Time::from_micros(at),
        bytes: held + TAG_BYTES,
    };
    let one = FRAME_BYTES + HEADER_BYTES;
    let yamux_piece = 16 * 1024 + HEADER_BYTES;
    let seven = 7 * FRAME_BYTES + 2 * HEADER_BYTES;
    let seen = frames(&[
        message(1, one),
        message(2, HEADER_BYTES),
        message(3, 2 * one),
        message(4, 2 * FRAME_BYTES + HEADER_BYTES),
        message(5, one + HEADER_BYTES),
        message(6, yamux_piece),
        message(7, seven - yamux_piece),
    ])
    .unwrap();
    let at: Vec<u64> = seen.at.iter().map(|at| at.as_micros()).collect();
    assert_eq!(at, [1, 3, 3, 4, 4, 5, 7, 7, 7, 7, 7, 7, 7]);
    assert_eq!((seen.single, seen.lone_headers), (1, 4));
    for odd in [1, FRAME_BYTES, one + 1, one - 1, 40 * HEADER_BYTES] {
        assert!(frames(&[message(1, odd); 8]).is_err(), "{odd}");
    }
}

#[test]
fn messages_are_cut_out_of_any_pieces() {
    let mut bytes = b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec();
    for length in [32_u16, 64, 2425, 28] {
        bytes.extend(length.to_be_bytes());
        bytes.extend(std::iter::repeat_n(7, usize::from(length)));
    }
    for piece in [1, 5, 1000, bytes.len()] {
        let mut track = Track::new(2);
        for (at, bytes) in (0..).zip(bytes.chunks(piece)) {
            track.note(Time::from_micros(at), bytes);
        }
        let lengths: Vec<usize> = track.messages.iter().map(|message| message.bytes).collect();
        assert_eq!(lengths, [2425, 28], "{piece}");
    }
}
