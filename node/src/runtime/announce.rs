//! What a daemon says on standard output: a line for each event, for people or as JSON.

use std::io::Write;

use serde::Serialize;

/// An event worth a line on standard output.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Announce {
    /// A listener is up.
    Listening {
        /// Its multiaddress.
        address: String,
    },
    /// A node is a member of the document in force and has its links.
    Ready {
        /// The node's identity.
        node: String,
        /// `mix` or `provider`.
        role: &'static str,
        /// 1 to L for a mix; a provider is in none.
        #[serde(skip_serializing_if = "Option::is_none")]
        layer: Option<u8>,
        /// The epoch in force.
        epoch: u64,
    },
    /// A node does not do its work, or not yet.
    NotReady {
        /// Why, and until when.
        reasons: String,
    },
    /// A client daemon's local API listens.
    Api {
        /// The Unix socket.
        socket: String,
        /// Where it is over TCP, if it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        http: Option<String>,
        /// The file with the token that is asked for there.
        #[serde(skip_serializing_if = "Option::is_none")]
        token_file: Option<String>,
    },
    /// A client daemon's message box is served.
    MessageBox {
        /// Where: what a program of that world is given as its host.
        http: String,
    },
    /// A client daemon answers on its local API.
    Serving,
    /// Who is invited by a client is heard from now on.
    Open,
    /// A client is attached to its entry provider and its cover traffic runs.
    Online {
        /// The entry provider.
        entry: String,
    },
    /// A client lost its entry provider.
    Offline {
        /// Why, in words.
        reason: String,
    },
    /// Another copy of the client has its keys and has taken the mailbox over. The daemon goes on
    /// sending its packets until it is stopped.
    Superseded,
    /// The daemon ended in good order.
    Stopped,
}

/// Prints [`Announce`]ments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announcer {
    /// One JSON object a line instead of words.
    pub json: bool,
}

impl Announcer {
    /// Prints a line. A closed standard output is not an error.
    pub fn say(&self, event: &Announce) {
        let line = if self.json {
            serde_json::to_string(event).unwrap_or_default()
        } else {
            in_words(event)
        };
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}

fn in_words(event: &Announce) -> String {
    match event {
        Announce::Listening { address } => format!("listening on {address}"),
        Announce::Ready {
            role,
            layer: None,
            epoch,
            ..
        } => format!("ready: {role}, epoch {epoch}"),
        Announce::Ready {
            role,
            layer: Some(layer),
            epoch,
            ..
        } => {
            format!("ready: {role} in layer {layer}, epoch {epoch}")
        }
        Announce::NotReady { reasons } => format!("not ready: {reasons}"),
        Announce::Api { socket, http, token_file } => {
            let over_tcp = http.iter().zip(token_file);
            let over_tcp = over_tcp.map(|(http, file)| format!(" and at {http} (the token is in {file})"));
            format!("the API is at {socket}{}", over_tcp.collect::<String>())
        }
        Announce::MessageBox { http } => format!("the message box is at {http}"),
        Announce::Serving => "messages to send are taken".to_owned(),
        Announce::Open => "others can write to you: `shoal contact invite` lets somebody in".to_owned(),
        Announce::Online { entry } => format!("online through {entry}"),
        Announce::Offline { reason } => format!("offline: {reason}"),
        Announce::Superseded => "another copy of this client has its keys and has taken the mailbox over: \
                                 nothing comes here any more, and nothing new is taken to send. Stop one of \
                                 the two. This one goes on sending its packets until then, so that whoever \
                                 brought this about does not see on which link a client ends"
            .to_owned(),
        Announce::Stopped => "stopped".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_can_tell_events_by_name() {
        let ready = Announce::Ready {
            node: "n".into(),
            role: "mix",
            layer: Some(2),
            epoch: 7,
        };
        let json = serde_json::to_value(&ready).expect("json");
        assert_eq!(json["event"], "ready");
        assert_eq!(json["layer"], 2);
        assert_eq!(in_words(&ready), "ready: mix in layer 2, epoch 7");
        let ready = Announce::Ready {
            node: "n".into(),
            role: "provider",
            layer: None,
            epoch: 7,
        };
        let json = serde_json::to_value(&ready).expect("json");
        assert_eq!(json.get("layer"), None);
        assert_eq!(in_words(&ready), "ready: provider, epoch 7");
    }
}
