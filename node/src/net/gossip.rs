//! Gossip: one topic for each network, whose messages wait for a verdict before they go on.

use std::collections::HashSet;
use std::time::Duration;

use blake2::digest::consts::U20;
use blake2::{Blake2b, Digest as _};
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, IdentTopic, Message, MessageAuthenticity, MessageId, ValidationMode,
    WhitelistSubscriptionFilter,
};
use shoal_proto::{NetworkHash, name};

use super::config::NetLimits;
use super::error::NetError;

/// Bytes of control information in one message: names of messages that were seen.
const CONTROL_BYTES: usize = 16 * 1024;
/// Most names of messages in one control message; at 20 bytes each they fit.
const NAMES: usize = 500;
/// How often one neighbour is given one message that it asks for by name.
const ASKED: u32 = 3;
/// Messages that wait to be written to one neighbour.
const QUEUE: usize = 256;
/// How long a message is remembered, so that it is neither passed on nor shown twice.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Gossip about one topic, and nothing else.
pub(super) type Gossip =
    Behaviour<libp2p::gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

/// The name of a message: its hash, so that the same message from two sides is one.
fn name_of(message: &Message) -> MessageId {
    MessageId::from(Blake2b::<U20>::digest(&message.data).to_vec())
}

pub(super) fn topic(network: &NetworkHash) -> IdentTopic {
    IdentTopic::new(name::descriptor_topic(network))
}

/// Gossipsub for this network. Messages are not signed by it, and say nothing of their author:
/// descriptors carry a signature of their own. A message is passed on after its verdict, and the
/// [`standing`](super::standing) of who sent it depends on that.
///
/// What a neighbour can have us write is bounded: of the messages of the last five seconds, each at most
/// [`ASKED`] times if it asks for them by name, and no more than [`QUEUE`] messages of at most
/// `limits.gossip_bytes` wait for one that does not read; the rest is dropped.
pub(super) fn gossip(network: &NetworkHash, limits: &NetLimits) -> Result<Gossip, NetError> {
    let setup = |why: String| NetError::Setup {
        what: "gossip",
        why,
    };
    let topic = topic(network);
    let config = ConfigBuilder::default()
        .protocol_id_prefix(name::gossip_prefix(network))
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(name_of)
        .max_transmit_size(CONTROL_BYTES)
        .max_transmit_size_for_topic(limits.gossip_bytes, topic.hash())
        .max_control_message_size(CONTROL_BYTES)
        .max_control_messages_sent(NAMES)
        .duplicate_cache_time(REMEMBERED)
        // A network of nine nodes is one mesh; a large one has the usual degrees.
        .mesh_n(6)
        .mesh_n_low(4)
        .mesh_n_high(12)
        .mesh_outbound_min(2)
        .gossip_lazy(6)
        .heartbeat_interval(Duration::from_secs(1))
        .heartbeat_initial_delay(Duration::from_millis(500))
        .flood_publish(true)
        .connection_handler_queue_len(QUEUE)
        .gossip_retransimission(ASKED)
        .build()
        .map_err(|error| setup(error.to_string()))?;
    let only = WhitelistSubscriptionFilter(HashSet::from([topic.hash()]));
    let mut gossip =
        Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, only)
            .map_err(|error| setup(error.to_owned()))?;
    gossip
        .subscribe(&topic)
        .map_err(|error| setup(error.to_string()))?;
    Ok(gossip)
}
