//! What the user chooses, and the waits and bounds of a client.

use std::collections::BTreeMap;

use shoal_proto::{NodeId, Span};

use crate::error::ClientError;

/// What the user chooses, and the waits and bounds of a client.
///
/// Rates are not among it: they come from the profile of the network parameters, because a rate
/// of one's own is a fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// The provider to enter by; `None` leaves the choice to whoever attaches
    /// this client.
    pub entry: Option<NodeId>,
    /// The providers that hold the mailboxes: one, or two of different families. None of them should be the
    /// entry: the two together can link the owner. Empty, the default, for two that are drawn.
    pub mailboxes: Vec<NodeId>,
    /// What providers have told the user that issue tokens to nobody else: a text for each. One that is drawn
    /// is one of these, or one that issues tokens to everybody.
    pub codes: BTreeMap<NodeId, String>,
    /// Name of a profile of the network parameters.
    pub profile: String,
    /// Mean of the exponential wait between attaching and the first mailbox packet, so that the
    /// two do not coincide to the millisecond. It hides no hour: who sees both sees that they are
    /// close. Default 1 s.
    pub first_contact_mean: Span,
    /// First wait, in the mean, before a fragment without a "stored" receipt is sent again; from the
    /// eighth try on it doubles. Each is drawn from half to one and a half of it. Default `None`: 30 mean
    /// delays and one mean gap between real packets, which is 3.5 s at the default profile. A client that
    /// has another than the rest of its profile can be told by it at its contacts' mailboxes: it is for
    /// simulations.
    pub retry_after: Option<Span>,
    /// Longest mean of a wait between two tries. Default 1 min.
    pub retry_max: Span,
    /// How long a message is tried. How long a mailbox keeps what it has stored is its provider's to
    /// say. Default 7 days.
    pub time_to_live: Span,
    /// How long a message waits here for those that its sender wrote before it, after the last part of
    /// one of these that came; ten times as long at most. Then it is told with the gap. Default
    /// 1 min; longer where the profile's tries and pushes are (see [`Client::new`](crate::Client::new)).
    pub order_patience: Span,
    /// When a loop or an answer that has not come back counts as lost. Default 30 s.
    pub reply_timeout: Span,
    /// After how many mean gaps of the mailbox clock without any stream packet the stream counts
    /// as paused. Default 20.
    pub pause_gaps: u32,
    /// Bounds of everything that grows.
    pub limits: Limits,
}

/// Bounds of everything in a client that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fragments not yet stored at a mailbox, of all messages, with those of parity. Default 4096
    /// (about 7 MB).
    pub outbox_fragments: usize,
    /// Sent messages that are stored or expired and whose state is remembered. Default 1000.
    pub sent_history: usize,
    /// Keys of reply blocks not yet used. The oldest are forgotten first. Default 8192
    /// (about 8 MB).
    pub reply_keys: usize,
    /// Messages received and not read. More stay at the mailbox. Default 1024.
    pub unread: usize,
    /// Of them, those of one sender. Default 128.
    pub unread_of_one: usize,
    /// Of them, those of all senders together who were never written to: anybody can be many of
    /// these. Default 256.
    pub unread_of_strangers: usize,
    /// Fragments kept of messages that are not complete. Beyond it, the sender with the most loses
    /// some. Default 4096 (about 6 MB).
    pub partial_fragments: usize,
    /// Of them, those of all senders together who were never written to. Default 1024.
    pub partial_of_strangers: usize,
    /// Senders who were never written to and whose next number is remembered, so that what they write
    /// comes in order. Default 4096.
    pub numbered_strangers: usize,
    /// Sessions with those who were never written to. Beyond it, the one that was used least is forgotten, and what comes
    /// of it can't be read any more. Default 256 (about 1 MB, 25 if all of them want it so).
    pub sessions_of_strangers: usize,
    /// Received fragments remembered, so that each is delivered once. Beyond it, the oldest of the
    /// drop id with the most is forgotten. Default 65536.
    pub seen: usize,
    /// Messages that were whole before all of their fragments had come, remembered so that these begin none anew
    /// when they come: most of all, those whose second copy may lie in the other mailbox. Beyond it, the oldest of
    /// the sender with the most is forgotten. Default 65536.
    pub done: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            outbox_fragments: 4096,
            sent_history: 1000,
            reply_keys: 8192,
            unread: 1024,
            unread_of_one: 128,
            unread_of_strangers: 256,
            partial_fragments: 4096,
            partial_of_strangers: 1024,
            numbered_strangers: 4096,
            sessions_of_strangers: 256,
            seen: 65_536,
            done: 65_536,
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            entry: None,
            mailboxes: Vec::new(),
            codes: BTreeMap::new(),
            profile: "default".into(),
            first_contact_mean: Span::from_secs(1),
            retry_after: None,
            retry_max: Span::from_secs(60),
            order_patience: Span::from_secs(60),
            time_to_live: Span::from_secs(7 * 86_400),
            reply_timeout: Span::from_secs(30),
            pause_gaps: 20,
            limits: Limits::default(),
        }
    }
}

impl ClientConfig {
    /// The defaults, with one mailbox, at this provider.
    #[must_use]
    pub fn new(mailbox: NodeId) -> Self {
        Self {
            mailboxes: vec![mailbox],
            ..Self::default()
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ClientError> {
        let positive = [
            ("retry_after", self.retry_after.unwrap_or(Span::MAX)),
            ("reply_timeout", self.reply_timeout),
        ];
        for (field, span) in positive {
            if span == Span::ZERO {
                return Err(ClientError::Config {
                    field,
                    reason: "must be longer than nothing",
                });
            }
        }
        let twice = self.mailboxes.len() == 2 && self.mailboxes.first() == self.mailboxes.last();
        if self.mailboxes.len() > 2 || twice {
            return Err(ClientError::Config {
                field: "mailboxes",
                reason: "must be two different providers at most",
            });
        }
        if self.time_to_live < Span::from_secs(1) {
            let reason = "must be a second or more";
            return Err(ClientError::Config {
                field: "time_to_live",
                reason,
            });
        }
        if self.retry_after.is_some_and(|first| self.retry_max < first) {
            let reason = "must not be shorter than retry_after";
            return Err(ClientError::Config {
                field: "retry_max",
                reason,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_waits_are_refused_by_name() {
        let mut config = ClientConfig::new(NodeId::new([1; 32]));
        assert_eq!(config.validate(), Ok(()));
        config.retry_after = Some(Span::from_secs(2));
        config.retry_max = Span::from_secs(1);
        assert!(matches!(
            config.validate(),
            Err(ClientError::Config {
                field: "retry_max",
                ..
            })
        ));
        config.retry_after = Some(Span::ZERO);
        assert!(matches!(
            config.validate(),
            Err(ClientError::Config {
                field: "retry_after",
                ..
            })
        ));
    }
}
