//! Peers that do not keep to the rules. They speak the packet protocol with a substream in their
//! hands: what opens one is a request whose codec does what it likes with it.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use shoal_node::net::{Multiaddr, SendError};
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{NodeId, name};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::net_support::{Got, NETWORK, Node, QUIC, TCP, config, frame};

/// What becomes of the substreams of a hostile peer.
#[derive(Clone)]
struct Hostile {
    /// Told how much was read; if there is none, nothing is ever read.
    reads: Option<mpsc::Sender<usize>>,
    /// Whether it leaves open what it has written.
    stays: bool,
}

impl request_response::Codec for Hostile {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = ();

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let Some(reads) = &self.reads else {
            return std::future::pending().await;
        };
        let mut buffer = vec![0; 65_536];
        loop {
            match io.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => drop(reads.try_send(read)),
            }
        }
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<()>
    where
        T: AsyncRead + Unpin + Send,
    {
        std::future::pending().await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await?;
        io.flush().await?;
        if self.stays {
            std::future::pending().await
        }
        io.close().await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, (): ()) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Ok(())
    }
}

struct Peer {
    id: NodeId,
    swarm: Swarm<request_response::Behaviour<Hostile>>,
}

impl Peer {
    fn new(reads: Option<mpsc::Sender<usize>>, stays: bool) -> Self {
        let keypair = Keypair::ed25519_from_bytes([0xee; 32]).unwrap();
        let id = NodeId::new(keypair.public().try_into_ed25519().unwrap().to_bytes());
        let protocol = StreamProtocol::try_from_owned(name::packets(&NETWORK)).unwrap();
        let config = request_response::Config::default()
            .with_request_timeout(Duration::from_secs(3600))
            .with_max_concurrent_streams(1000);
        let behaviour = request_response::Behaviour::with_codec(
            Hostile { reads, stays },
            [(protocol, ProtocolSupport::Full)],
            config,
        );
        let swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                |keypair: &Keypair| {
                    let prologue = NETWORK.as_bytes().to_vec();
                    Ok::<_, noise::Error>(noise::Config::new(keypair)?.with_prologue(prologue))
                },
                yamux::Config::default,
            )
            .unwrap()
            .with_quic_config(|mut config| {
                // It advertises the window that libp2p has by default.
                config.max_stream_data = 10_000_000;
                config
            })
            .with_behaviour(|_| behaviour)
            .unwrap()
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(Duration::from_secs(60))
            })
            .build();
        Self { id, swarm }
    }

    async fn connect(&mut self, address: &Multiaddr) -> (PeerId, ConnectionId) {
        let peer = DialOpts::unknown_peer_id().address(address.clone()).build();
        self.swarm.dial(peer).unwrap();
        loop {
            if let SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            } = self.swarm.select_next_some().await
            {
                return (peer_id, connection_id);
            }
        }
    }

    /// Runs the swarm until the node has stopped reading so many substreams.
    async fn until_ended(&mut self, node: &Node, streams: u64) {
        tokio::select! {
            () = node.until_ended(streams) => {}
            () = async { loop { self.swarm.select_next_some().await; } } => unreachable!(),
        }
    }

    /// Lets the swarm run by itself.
    fn run(mut self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                self.swarm.select_next_some().await;
            }
        })
    }
}

/// How many frames a node takes for a peer that reads nothing.
async fn absorbed(listen: &str, most_on_the_way: usize) {
    let mut small = config(1, &[listen]);
    small.limits.ring_frames = 50;
    let mut a = Node::start(small).await.unwrap();
    let mut good = Node::new(2, &[listen]).await;
    let mut stuck = Peer::new(None, false);
    let stuck_id = stuck.id;
    a.packets(&[good.id, stuck_id]);
    good.packets(&[a.id]);
    good.net.dial(a.id, a.addresses.clone());
    a.link_up(good.id).await;
    stuck.connect(&a.addresses[0]).await;
    let running = stuck.run();
    a.link_up(stuck_id).await;

    // Full, and still full after a whole window of the good peer has gone by.
    let (mut taken, mut sent) = (0, 0);
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 400 {
        match a.net.try_send(&stuck_id, frame(taken as u64)) {
            Ok(()) => {
                taken += 1;
                refused_in_a_row = 0;
            }
            Err(error) => {
                assert!(matches!(error, SendError::Full(_)));
                refused_in_a_row += 1;
                a.send(&good.id, sent).await;
                assert_eq!(good.frame(a.id).await, sent, "the good peer's frames flow");
                sent += 1;
            }
        }
    }
    let on_the_way = taken - 50;
    assert!(
        on_the_way * FRAME_BYTES <= most_on_the_way,
        "{on_the_way} frames"
    );
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_fills_only_its_own_ring_over_tcp() {
    // A Yamux window, and the batch that waits to be written.
    absorbed(TCP, 256 * 1024 + 64 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_fills_only_its_own_ring_over_quic() {
    // The window is the reader's to choose; this one chose ten megabytes.
    absorbed(QUIC, 10_000_000 + 64 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_over_quic_fits_our_window() {
    // A reader of ours that is not allowed to read, so that the window is what we advertise.
    let mut small = config(1, &[QUIC]);
    small.limits.ring_frames = 50;
    let mut a = Node::start(small).await.unwrap();
    let b = Node::new(2, &[QUIC]).await;
    a.packets(&[b.id]);
    a.net.dial(b.id, b.addresses.clone());
    a.link_up(b.id).await;
    let mut taken = 0_usize;
    let mut refused = 0;
    while refused < 200 {
        if a.net.try_send(&b.id, frame(0)).is_ok() {
            taken += 1;
            refused = 0;
        } else {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    assert!(
        (taken - 50) * FRAME_BYTES <= 256 * 1024 + 64 * 1024,
        "{taken} frames"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_nothing_is_closed() {
    let mut short = config(1, &[TCP]);
    short.limits.stall_deadline = Duration::from_millis(500);
    let mut a = Node::start(short).await.unwrap();
    let mut stuck = Peer::new(None, false);
    let id = stuck.id;
    a.packets(&[id]);
    stuck.connect(&a.addresses[0]).await;
    let running = stuck.run();
    a.link_up(id).await;
    let filling = async {
        while !matches!(
            a.net.try_send(&id, frame(0)),
            Err(SendError::NotConnected(_))
        ) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), filling)
        .await
        .expect("the link goes down");
    a.link_down(id).await;
    assert_eq!(a.net.stats().stalled_closed, 1);
    assert!(a.net.stats().abandoned > 0);
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_and_empty_streams_are_counted_and_harmless() {
    for listen in [TCP, QUIC] {
        let mut a = Node::new(1, &[listen]).await;
        let mut bad = Peer::new(None, false);
        let id = bad.id;
        a.packets(&[id]);
        let (peer, _) = bad.connect(&a.addresses[0]).await;
        let two = [frame(1).as_bytes().as_slice(), frame(2).as_bytes()].concat();
        let cases = [
            (0, 0, false),
            (1, 0, true),
            (FRAME_BYTES, 1, false),
            (FRAME_BYTES + 1, 1, true),
            (2 * FRAME_BYTES - 1, 1, true),
            (2 * FRAME_BYTES, 2, false),
        ];
        let mut malformed = 0;
        for (ended, (bytes, frames, cut)) in (1..).zip(cases) {
            bad.swarm
                .behaviour_mut()
                .send_request(&peer, two[..bytes].to_vec());
            let mut expected: Vec<Got> =
                (1..=frames).map(|number| Got::Frame(id, number)).collect();
            if cut {
                expected.push(Got::Malformed(id));
                malformed += 1;
            }
            for wanted in expected {
                let got = tokio::select! {
                    got = a.next() => got,
                    () = async { loop { bad.swarm.select_next_some().await; } } => unreachable!(),
                };
                assert!(got == wanted, "{listen} {bytes} bytes");
            }
            bad.until_ended(&a, ended).await;
            assert!(
                a.got.try_recv().is_err(),
                "{listen} {bytes} bytes: nothing more"
            );
        }
        assert_eq!(a.net.stats().malformed, malformed);
        assert_eq!(a.net.stats().read, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_two_streams_of_one_peer_are_read_at_a_time() {
    let mut a = Node::new(1, &[TCP]).await;
    let mut bad = Peer::new(None, true);
    let id = bad.id;
    a.packets(&[id]);
    let (peer, _) = bad.connect(&a.addresses[0]).await;
    for number in 1..=5 {
        let bytes = frame(number).as_bytes().to_vec();
        bad.swarm.behaviour_mut().send_request(&peer, bytes);
        let got = tokio::select! {
            got = a.next() => got,
            () = async { loop { bad.swarm.select_next_some().await; } } => unreachable!(),
        };
        assert!(got == Got::Frame(id, number));
    }
    // The peer closed none of them.
    bad.until_ended(&a, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_have_no_packets_is_refused_after_a_while() {
    let mut short = config(1, &[TCP]);
    short.limits.waiting_deadline = Duration::from_millis(300);
    let mut a = Node::start(short).await.unwrap();
    let mut bad = Peer::new(None, false);
    let id = bad.id;
    let (peer, _) = bad.connect(&a.addresses[0]).await;
    for _ in 0..3 {
        bad.swarm
            .behaviour_mut()
            .send_request(&peer, frame(3).as_bytes().to_vec());
    }
    let running = bad.run();
    let refused = async {
        while a.net.stats().refused < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), refused)
        .await
        .expect("all three are refused");
    a.packets(&[id]);
    a.link_up(id).await;
    assert!(a.got.try_recv().is_err(), "none of them was read");
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_moves_when_its_connection_closes() {
    let mut a = Node::new(1, &[TCP]).await;
    let (reads, mut read) = mpsc::channel(10_000);
    let mut peer = Peer::new(Some(reads), false);
    let id = peer.id;
    a.packets(&[id]);
    let (node, first) = peer.connect(&a.addresses[0]).await;
    let second = DialOpts::peer_id(node)
        .condition(PeerCondition::Always)
        .addresses(a.addresses.clone())
        .build();
    let second = {
        let id = second.connection_id();
        peer.swarm.dial(second).unwrap();
        id
    };
    // One after the other is closed; each time frames come again over what is left or comes new.
    let mut open = vec![first];
    let driving = async move {
        let mut closed = 0;
        loop {
            tokio::select! {
                event = peer.swarm.select_next_some() => {
                    if let SwarmEvent::ConnectionEstablished { connection_id, .. } = event {
                        open.push(connection_id);
                    }
                }
                Some(_) = read.recv() => {
                    if open.len() == 2 && closed == 0 {
                        peer.swarm.close_connection(open.remove(0));
                        closed = 1;
                        while read.try_recv().is_ok() {}
                    } else if closed > 0 {
                        closed += 1;
                    }
                    if closed > 20 {
                        assert!(open == [second]);
                        return;
                    }
                }
            }
        }
    };
    let sending = async {
        loop {
            let _ = a.net.try_send(&id, frame(1));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        done = timeout(Duration::from_secs(20), driving) => done.expect("frames come again"),
        () = sending => unreachable!(),
    }
    a.link_up(id).await;
}
