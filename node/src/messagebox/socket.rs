//! The live half: Socket.IO with one event, `authMessage`, that carries messages of BRC-103. What is inside one is an
//! event of its own, `{eventName, data}`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use shoal_proto::Span;
use socketioxide::extract::{Data, SocketRef};
use socketioxide::layer::SocketIoLayer;
use socketioxide::{SocketIo, SocketIoBuilder};

use super::auth::{AuthMessage, Claim, IdentityKey, Limits, Proven, Sessions};
use super::hub::{Hub, Push};
use super::requests::{MAX_BODY, is_page, send_live};

/// Connections that there may be.
const CONNECTIONS: usize = 64;

/// Messages that may wait until a connection takes them. What finds no room there is listed all the same.
const BUFFER: usize = 128;

/// A connection has sessions of its own, which end with it.
const LIMITS: Limits = Limits {
    sessions: 8,
    requests: 16_384,
    idle: Span::from_secs(86_400),
};

const EVENT: &str = "authMessage";

/// What all connections have in common.
struct Door {
    hub: Arc<Hub>,
    open: AtomicUsize,
    next: AtomicU64,
}

/// What serves `/socket.io`. Dropping the second half ends nothing: closing it does.
pub(super) fn layer(hub: Arc<Hub>) -> (SocketIoLayer, SocketIo) {
    let builder: SocketIoBuilder = SocketIo::builder();
    let (layer, io) = builder
        .max_payload(MAX_BODY as u64)
        .ws_max_message_size(MAX_BODY)
        .ws_max_frame_size(MAX_BODY)
        .max_buffer_size(BUFFER)
        .build_layer();
    let door = Arc::new(Door {
        hub,
        open: AtomicUsize::new(0),
        next: AtomicU64::new(0),
    });
    io.ns("/", move |socket: SocketRef| {
        // At once and not in a future: what comes first finds somebody who hears it.
        connect(&door, &socket);
        std::future::ready(())
    });
    (layer, io)
}

fn connect(door: &Arc<Door>, socket: &SocketRef) {
    let before = door.open.fetch_add(1, Ordering::SeqCst);
    let line = Arc::new(Line {
        number: door.next.fetch_add(1, Ordering::Relaxed),
        sessions: Sessions::new(Arc::clone(door.hub.keyring()), LIMITS),
        hub: Arc::clone(&door.hub),
        with: Mutex::new(None),
    });
    let (leaving, number) = (Arc::clone(door), line.number);
    socket.on_disconnect(move || {
        leaving.open.fetch_sub(1, Ordering::SeqCst);
        leaving.hub.leave(number, None);
        std::future::ready(())
    });
    if before >= CONNECTIONS {
        // It may be gone by itself.
        let _ = socket.clone().disconnect();
        return;
    }
    socket.on(
        EVENT,
        move |socket: SocketRef, Data::<AuthMessage>(message)| {
            let line = Arc::clone(&line);
            async move { line.hear(&socket, &message).await }
        },
    );
}

/// A connection.
struct Line {
    number: u64,
    hub: Arc<Hub>,
    sessions: Sessions,
    /// Who has asked last, if he may: what is pushed goes to him.
    with: Mutex<Option<Proven>>,
}

impl Line {
    async fn hear(self: &Arc<Self>, socket: &SocketRef, message: &AuthMessage) {
        let now = self.hub.clock().now();
        if message.message_type == "initialRequest" {
            if let Ok(answer) = self.sessions.greet(now, message) {
                emit(socket, &answer);
            }
            return;
        }
        let (Some(payload), Some(signature)) = (&message.payload, &message.signature) else {
            return;
        };
        let claim = Claim {
            identity: &message.identity_key,
            nonce: message.nonce.as_deref().unwrap_or_default(),
            our_nonce: message.your_nonce.as_deref().unwrap_or_default(),
            signature,
            payload,
        };
        let Ok(who) = self.sessions.check(now, &claim) else {
            // What can't be answered so that the other side would believe it is not answered. Its connection can begin
            // anew.
            let _ = socket.clone().disconnect();
            return;
        };
        let from_page = is_page(&socket.req_parts().headers);
        match self.hub.admits(&who.identity, from_page).await {
            Ok(true) => {}
            Ok(false) => {
                return self.fail(
                    socket,
                    &who,
                    "this identity key is not allowed here: `shoal messagebox allow`",
                );
            }
            Err(error) => return self.fail(socket, &who, &error.to_string()),
        }
        *self.with.lock().unwrap_or_else(PoisonError::into_inner) = Some(who.clone());
        let Ok(inner) = serde_json::from_slice::<Value>(payload) else {
            return;
        };
        let data = &inner["data"];
        match inner["eventName"].as_str().unwrap_or_default() {
            "authenticated" if data["identityKey"].as_str() == Some(&*who.identity.to_string()) => {
                self.tell(
                    socket,
                    &who,
                    "authenticationSuccess",
                    &json!({ "status": "success" }),
                );
            }
            "authenticated" => self.fail(socket, &who, "this is not the identity key that signs"),
            "joinRoom" => self.join(socket, &who, data),
            "leaveRoom" => {
                if let Some(name) = own_box(&who.identity, data) {
                    self.hub.leave(self.number, Some(name));
                    self.tell(socket, &who, "leftRoom", &json!({ "roomId": data }));
                }
            }
            "sendMessage" => self.send(socket, &who, data).await,
            _ => {}
        }
    }

    fn join(self: &Arc<Self>, socket: &SocketRef, who: &Proven, room: &Value) {
        let joined = own_box(&who.identity, room).is_some_and(|name| {
            let (line, socket) = (Arc::clone(self), socket.clone());
            let tell = Box::new(move |push: &Push<'_>| line.push(&socket, push));
            self.hub.join(self.number, &who.identity, name, tell)
        });
        match joined {
            true => self.tell(socket, who, "joinedRoom", &json!({ "roomId": room })),
            false => {
                let reason = "rooms are `<own identity key>-<box>`, and not too many";
                self.tell(socket, who, "joinFailed", &json!({ "reason": reason }));
            }
        }
    }

    async fn send(&self, socket: &SocketRef, who: &Proven, data: &Value) {
        let room = data["roomId"].as_str().unwrap_or_default();
        let message = &data["message"];
        let recipient = message["recipient"].as_str().unwrap_or_default();
        let name = room
            .strip_prefix(recipient)
            .and_then(|rest| rest.strip_prefix('-'));
        let sent = send_live(&self.hub, &who.identity, name.unwrap_or_default(), message).await;
        let answer = match sent {
            Ok(_) => json!({ "status": "success", "messageId": message["messageId"] }),
            Err(problem) => problem.to_json(),
        };
        self.tell(socket, who, &format!("sendMessageAck-{room}"), &answer);
    }

    fn push(&self, socket: &SocketRef, push: &Push<'_>) {
        let with = self
            .with
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(who) = with {
            let data = json!({ "sender": push.sender.to_string(), "messageId": push.id, "body": push.body });
            self.tell(socket, &who, &format!("sendMessage-{}", push.room), &data);
        }
    }

    fn fail(&self, socket: &SocketRef, who: &Proven, reason: &str) {
        self.tell(
            socket,
            who,
            "authenticationFailed",
            &json!({ "reason": reason }),
        );
    }

    /// Tells an event, signed.
    fn tell(&self, socket: &SocketRef, who: &Proven, event: &str, data: &Value) {
        let payload = json!({ "eventName": event, "data": data }).to_string();
        if let Ok(message) = self.hub.keyring().message(who, payload.into_bytes()) {
            emit(socket, &message);
        }
    }
}

/// A connection that is gone, or takes nothing, is not told.
fn emit(socket: &SocketRef, message: &AuthMessage) {
    let _ = socket.emit(EVENT, message);
}

/// The box of a room, if it is this identity's. A box's name may have dashes.
fn own_box<'a>(identity: &IdentityKey, room: &'a Value) -> Option<&'a str> {
    let name = room.as_str()?.strip_prefix(&identity.to_string())?;
    let name = name.strip_prefix('-')?;
    (!name.is_empty() && name.len() <= super::parcel::MAX_NAME).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_box_of_the_own_identity_and_may_have_dashes() {
        let key: IdentityKey = format!(
            "02{}",
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        )
        .parse()
        .expect("a point");
        let room = |text: String| own_box(&key, &Value::String(text)).map(str::to_owned);
        assert_eq!(room(format!("{key}-in-box")), Some("in-box".to_owned()));
        assert_eq!(room(format!("{key}-")), None);
        assert_eq!(room(key.to_string()), None);
        assert_eq!(room(format!("03{}-inbox", &key.to_string()[2..])), None);
        assert_eq!(own_box(&key, &Value::Null), None);
    }
}
