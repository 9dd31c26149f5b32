//! The message box with the released client, which nobody here has written: `@bsv/message-box-client` from the registry,
//! with two daemons and the mixnet between them. Only where it is asked for: `.ci/run messagebox`.

use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use shoal_node::state::StateDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::e2e::{Daemon, LONG, Place, by_hand, free_port, said};

/// Installs the client from the registry, exactly as the lock says. None where it is not asked for.
async fn installed(place: &Place) -> Option<()> {
    if std::env::var_os("SHOAL_MESSAGEBOX_DEMANDED").is_none() {
        #[expect(clippy::print_stderr, reason = "a test that says what it leaves out")]
        {
            eprintln!("left out: `.ci/run messagebox` installs the released client and runs this");
        }
        return None;
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messagebox");
    for name in ["package.json", "package-lock.json", "client.mjs"] {
        std::fs::copy(from.join(name), place.file(name)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    npm.current_dir(place.path());
    let output = timeout(5 * LONG, npm.output()).await.expect("it ends");
    let output = output.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    Some(())
}

/// A program with the released client in it, under an identity of its own.
struct Program {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    live: Vec<Value>,
    identity: String,
}

impl Program {
    async fn start(place: &Place, secret: u8, host: &str) -> Self {
        let mut log = std::fs::File::options();
        let log = log.create(true).append(true);
        let log = log.open(place.file("programs.log")).unwrap();
        let mut node = Command::new("node");
        let secret = format!("{secret:02x}").repeat(32);
        node.args(["client.mjs", &secret, host]);
        node.current_dir(place.path()).kill_on_drop(true);
        node.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = node.spawn().unwrap();
        let mut program = Self {
            stdin: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
            live: Vec::new(),
            identity: String::new(),
        };
        let identity = program.must(json!({ "do": "identity" })).await;
        program.identity = identity.as_str().unwrap().to_owned();
        program
    }

    async fn line(&mut self) -> Value {
        let line = timeout(LONG, self.lines.next_line()).await;
        let line = line.expect("an answer").unwrap().expect("it runs");
        serde_json::from_str(&line).unwrap()
    }

    /// What came of it, if it worked, or what the client said.
    async fn ask(&mut self, asked: Value) -> Result<Value, String> {
        let line = format!("{asked}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
        loop {
            let mut answer = self.line().await;
            if answer.get("live").is_some() {
                self.live.push(answer["live"].take());
            } else if let Some(error) = answer.get("failed") {
                return Err(error.as_str().unwrap().to_owned());
            } else {
                return Ok(answer["done"].take());
            }
        }
    }

    async fn must(&mut self, asked: Value) -> Value {
        let what = asked.to_string();
        self.ask(asked)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    async fn list(&mut self, name: &str) -> Vec<Value> {
        let found = self.must(json!({ "do": "list", "messageBox": name })).await;
        found.as_array().unwrap().clone()
    }

    async fn listen(&mut self, name: &str) {
        self.must(json!({ "do": "listen", "messageBox": name }))
            .await;
    }

    /// Waits for what is told live.
    async fn told(&mut self) -> Value {
        while self.live.is_empty() {
            let mut line = self.line().await;
            self.live.push(line["live"].take());
        }
        self.live.remove(0)
    }

    fn message(to: &Self, name: &str, body: &str, id: &str) -> Value {
        json!({ "do": "send", "recipient": to.identity, "messageBox": name, "body": body, "messageId": id })
    }
}

/// Each is under a passphrase.
async fn start(place: &Place, name: &str, port: u16) -> (Daemon, String) {
    let at = format!("127.0.0.1:{port}");
    let arguments = ["daemon", "--messagebox", &at, "--passphrase-file", "words"];
    let mut daemon = place.start(name, &arguments);
    let told = daemon.event("message_box").await;
    let host = told["http"].as_str().unwrap().to_owned();
    daemon.event("online").await;
    (daemon, host)
}

async fn boxed(place: &Place, arguments: &[&str]) -> Value {
    place.json(&[&["messagebox"][..], arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_released_client_sends_lists_and_acknowledges_across_the_mixnet() {
    let place = Place::new();
    if installed(&place).await.is_none() {
        return;
    }
    let _nodes = by_hand(&place).await;
    std::fs::write(place.file("words"), "correct horse battery").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(place.file("words"), private).unwrap();
    for name in ["alice", "bob"] {
        let init = ["client", "init", "--network", "network.toml", "--dir", name];
        place
            .json(&[&init[..], &["--passphrase-file", "words"]].concat())
            .await;
    }
    let bobs_port = free_port();
    let (_alice, at_alice) = start(&place, "alice", 0).await;
    let (bob, at_bob) = start(&place, "bob", bobs_port).await;
    place.befriend("alice", "bob").await;

    let mut a = Program::start(&place, 0x11, &at_alice).await;
    let mut b = Program::start(&place, 0x22, &at_bob).await;
    assert!(a.list("inbox").await.is_empty());
    b.listen("inbox").await;
    assert!(b.list("inbox").await.is_empty());

    only_who_is_allowed(&place, &a, &at_alice).await;
    refusals(&mut a, &b).await;

    // Whose an identity is, the user says, or the first message from it.
    let unmapped = a.ask(Program::message(&b, "inbox", "hello", "m-1")).await;
    assert!(unmapped.unwrap_err().contains("400"));
    boxed(&place, &["map", "--dir", "alice", &b.identity, "bob"]).await;

    // Over HTTP, from one to the other, encrypted by the client.
    let sent = a.must(Program::message(&b, "inbox", "hello", "m-1")).await;
    assert_eq!(
        (&sent["status"], &sent["messageId"]),
        (&json!("success"), &json!("m-1"))
    );
    let again = a.ask(Program::message(&b, "inbox", "hello", "m-1")).await;
    assert!(again.unwrap_err().contains("400"), "a duplicate");
    let told = b.told().await;
    assert_eq!(
        (&told["body"], &told["sender"]),
        (&json!("hello"), &json!(a.identity))
    );
    let found = b.list("inbox").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["body"], &found[0]["messageId"]),
        (&json!("hello"), &json!("m-1"))
    );
    assert_eq!(
        boxed(&place, &["boxes", "--dir", "bob"]).await["boxes"][0]["box"],
        "inbox"
    );
    let shown = boxed(&place, &["show", "--dir", "bob", "inbox"]).await;
    let body = shown["messages"][0]["body"].as_str().unwrap();
    assert!(
        body.contains("encryptedMessage") && !body.contains("hello"),
        "{body}"
    );
    let ack = json!({ "do": "ack", "messageIds": ["m-1"] });
    assert_eq!(b.must(ack.clone()).await, "success");
    assert_eq!(b.must(ack).await, "success", "it may be said again");
    assert!(b.list("inbox").await.is_empty());

    // The other way: whose the key is was learned. Over HTTP, and live.
    let learned = boxed(&place, &["list", "--dir", "bob"]).await;
    assert_eq!(learned["mapped"][0]["identity"], json!(a.identity));
    assert_eq!(learned["mapped"][0]["learned"], true);
    a.listen("with-a-dash").await;
    b.must(Program::message(&a, "with-a-dash", "over HTTP", "m-2"))
        .await;
    assert_eq!(a.told().await["body"], "over HTTP");
    let mut live = Program::message(&a, "with-a-dash", "over the WebSocket", "m-3");
    live["do"] = json!("sendLive");
    assert_eq!(b.must(live).await["status"], "success");
    assert_eq!(a.told().await["body"], "over the WebSocket");
    assert_eq!(a.list("with-a-dash").await.len(), 2);

    to_several(&place, &mut a, &mut b).await;
    across_a_kill(&place, (bob, bobs_port), &mut a, b).await;
    for name in ["alice", "bob"] {
        let log = place.log(name);
        for secret in [&a.identity, "m-1", "hello", "with-a-dash"] {
            assert!(!log.contains(secret), "{name} has logged {secret}");
        }
    }
}

/// To several with one request, which is taken whole or not at all.
async fn to_several(place: &Place, a: &mut Program, b: &mut Program) {
    let several = |recipients: [&str; 2], ids: [&str; 2]| {
        let message = json!({ "recipients": recipients, "messageBox": "several", "messageId": ids, "body": "to both" });
        json!({ "do": "post", "path": "/sendMessage", "body": { "message": message } })
    };
    // Itself and somebody who is nobody's, somebody twice, and a contact that is blocked: nobody gets anything.
    let stranger = format!(
        "02{}",
        "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
    );
    let own = a.identity.clone();
    let cases = [
        (
            several([&own, &stranger], ["s-1", "s-2"]),
            400,
            "ERR_INVALID_RECIPIENT_KEY",
        ),
        (
            several([&own, &own], ["s-1", "s-1"]),
            400,
            "ERR_DUPLICATE_MESSAGE",
        ),
    ];
    for (asked, status, code) in cases {
        let answer = a.must(asked).await;
        assert_eq!(
            (&answer["status"], &answer["body"]["code"]),
            (&json!(status), &json!(code))
        );
    }
    let block = ["contact", "block", "--dir", "alice", "bob"];
    place.json(&block).await;
    let answer = a.must(several([&own, &b.identity], ["s-1", "s-2"])).await;
    assert_eq!(
        (
            &answer["status"],
            &answer["body"]["code"],
            &answer["body"]["blockedRecipients"]
        ),
        (
            &json!(403),
            &json!("ERR_DELIVERY_BLOCKED"),
            &json!([b.identity])
        )
    );
    let quote = json!({ "do": "quote", "recipient": [own, b.identity], "messageBox": "several" });
    let quote = a.must(quote).await;
    assert_eq!(quote["blockedRecipients"], json!([b.identity]));
    let alone = a.ask(Program::message(b, "several", "x", "s-3")).await;
    assert!(alone.unwrap_err().contains("403"));
    place.json(&[&block[..], &["--off"]].concat()).await;
    assert!(a.list("several").await.is_empty());

    // With the client's own call.
    b.listen("several").await;
    let many = json!({ "do": "sendMany", "recipients": [own, b.identity], "messageBox": "several", "body": "to both" });
    let sent = a.must(many).await;
    assert_eq!(
        (&sent["status"], &sent["blocked"]),
        (&json!("success"), &json!([])),
        "{sent}"
    );
    assert_eq!(sent["sent"].as_array().unwrap().len(), 2);
    assert_eq!(b.told().await["body"], "to both");
    assert_eq!(a.list("several").await.len(), 1);
    let status = boxed(place, &["status", "--dir", "alice"]).await;
    assert_eq!(
        (&status["leaving"], &status["given_up"]),
        (&json!(0), &json!(0))
    );
}

/// Whether these bytes are in a file of a directory.
fn is_on_disk(dir: &Path, what: &[u8]) -> bool {
    let mut files = std::fs::read_dir(dir).unwrap();
    files.any(|entry| {
        let path = entry.unwrap().path();
        // Not in a socket.
        path.is_file()
            && std::fs::read(path)
                .unwrap()
                .windows(what.len())
                .any(|it| it == what)
    })
}

/// What was accepted comes when the other daemon is back, and programs go on as if nothing had happened.
async fn across_a_kill(place: &Place, (bob, port): (Daemon, u16), a: &mut Program, mut b: Program) {
    let plain = "read by whoever has the disk";
    b.listen("of-the-kill").await;
    let mut open = Program::message(&b, "of-the-kill", plain, "m-open");
    open["skipEncryption"] = json!(true);
    a.must(open).await;
    assert_eq!(b.told().await["body"], plain);
    bob.signal(Signal::KILL);
    drop(bob);
    StateDir::wait_until_free(&place.file("bob")).unwrap();
    // Under the passphrase, nothing of it shows: not what it says, nor who wrote to whom, nor into which box.
    let keys = [&a.identity, &b.identity].map(|it| data_encoding::HEXLOWER.decode(it.as_bytes()));
    let keys = keys.map(Result::unwrap);
    let texts = [plain, "of-the-kill", "m-open", &a.identity].map(str::as_bytes);
    for what in texts.into_iter().chain(keys.iter().map(Vec::as_slice)) {
        assert!(!is_on_disk(&place.file("bob"), what), "{what:?}");
    }
    a.must(Program::message(&b, "inbox", "while you were away", "m-4"))
        .await;
    let (_bob, host) = start(place, "bob", port).await;
    // It shakes hands again by itself.
    let found = b.list("inbox").await;
    let mut new = Program::start(place, 0x22, &host).await;
    new.listen("inbox").await;
    if found.is_empty() && new.list("inbox").await.is_empty() {
        assert_eq!(new.told().await["body"], "while you were away");
    }
    let found = b.list("inbox").await;
    assert_eq!(
        (found.len(), &found[0]["body"]),
        (1, &json!("while you were away"))
    );
    assert_eq!(b.list("of-the-kill").await[0]["body"], plain);
    b.must(json!({ "do": "ack", "messageIds": ["m-open"] }))
        .await;
    // Still known after the restart, at both ends.
    let again = a
        .ask(Program::message(&b, "inbox", "while you were away", "m-4"))
        .await;
    assert!(again.is_err());
    let status = boxed(place, &["status", "--dir", "bob"]).await;
    assert_eq!(status["allowed"][0]["identity"], json!(b.identity));
    assert_eq!(
        (&status["messages"], &status["not_theirs"]),
        (&json!(2), &json!(0))
    );
}

/// The first that came is in, another is not, until the user says so.
async fn only_who_is_allowed(place: &Place, a: &Program, host: &str) {
    let mut stranger = Program::start(place, 0x33, host).await;
    let list = json!({ "do": "post", "path": "/listMessages", "body": { "messageBox": "inbox" } });
    let answer = stranger.must(list.clone()).await;
    assert_eq!(
        (&answer["status"], &answer["body"]["code"]),
        (&json!(403), &json!("ERR_NOT_ALLOWED"))
    );
    let listen = json!({ "do": "listen", "messageBox": "inbox" });
    assert!(stranger.ask(listen).await.is_err());
    let status = boxed(place, &["status", "--dir", "alice"]).await;
    assert_eq!(
        status["allowed"],
        json!([{ "identity": a.identity, "adopted": true }])
    );
    assert!(status["strangers"].as_u64().unwrap() >= 2, "{status}");
    boxed(place, &["allow", "--dir", "alice", &stranger.identity]).await;
    assert_eq!(
        stranger.must(list.clone()).await["body"]["messages"],
        json!([])
    );
    boxed(place, &["disallow", "--dir", "alice", &stranger.identity]).await;
    assert_eq!(stranger.must(list).await["status"], 403);
}

/// What is wrong is said with the codes of the released server; what is free is free.
async fn refusals(a: &mut Program, b: &Program) {
    let good =
        json!({ "recipient": b.identity, "messageBox": "inbox", "messageId": "m", "body": "x" });
    let with = |field: &str, value: Value| {
        let mut message = good.clone();
        message[field] = value;
        json!({ "message": message })
    };
    let long = "x".repeat(100_000);
    let cases = [
        ("/sendMessage", json!({}), "ERR_MESSAGE_REQUIRED"),
        (
            "/sendMessage",
            with("messageBox", json!("")),
            "ERR_INVALID_MESSAGEBOX",
        ),
        (
            "/sendMessage",
            with("body", json!(7)),
            "ERR_INVALID_MESSAGE_BODY",
        ),
        (
            "/sendMessage",
            with("body", json!(long)),
            "ERR_INVALID_MESSAGE_BODY",
        ),
        (
            "/sendMessage",
            with("recipient", Value::Null),
            "ERR_RECIPIENT_REQUIRED",
        ),
        (
            "/sendMessage",
            with("recipient", json!("02")),
            "ERR_INVALID_RECIPIENT_KEY",
        ),
        (
            "/sendMessage",
            good_as_is(&good),
            "ERR_INVALID_RECIPIENT_KEY",
        ),
        (
            "/sendMessage",
            with("messageId", Value::Null),
            "ERR_MESSAGEID_REQUIRED",
        ),
        (
            "/sendMessage",
            with("messageId", json!(["a", "b"])),
            "ERR_MESSAGEID_COUNT_MISMATCH",
        ),
        (
            "/sendMessage",
            with("messageId", json!(7)),
            "ERR_INVALID_MESSAGEID",
        ),
        ("/listMessages", json!({}), "ERR_MESSAGEBOX_REQUIRED"),
        (
            "/listMessages",
            json!({ "messageBox": 7 }),
            "ERR_INVALID_MESSAGEBOX",
        ),
        ("/acknowledgeMessage", json!({}), "ERR_MESSAGE_ID_REQUIRED"),
        (
            "/acknowledgeMessage",
            json!({ "messageIds": [7] }),
            "ERR_INVALID_MESSAGE_ID",
        ),
    ];
    for (path, body, code) in cases {
        let answer = a
            .must(json!({ "do": "post", "path": path, "body": body }))
            .await;
        assert_eq!(
            (&answer["status"], &answer["body"]["code"]),
            (&json!(400), &json!(code))
        );
    }
    let of = json!({ "recipient": b.identity, "messageBox": "inbox" });
    let ask = |what: &str| {
        let mut asked = of.clone();
        asked["do"] = json!(what);
        asked
    };
    let quote = a.must(ask("quote")).await;
    assert_eq!(
        (&quote["recipientFee"], &quote["deliveryFee"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(a.must(ask("permission")).await["status"], "always_allow");
    assert_eq!(a.must(ask("permissions")).await, json!([]));
    assert_eq!(a.must(ask("devices")).await, json!([]));
    let refused = a.ask(json!({ "do": "register" })).await.unwrap_err();
    assert!(refused.contains("HTTP 501 - no push service"), "{refused}");
    let peer = |what: &str| json!({ "do": what, "sender": b.identity });
    a.must(peer("allowPeer")).await;
    assert_eq!(a.must(peer("peer")).await["recipientFee"], 0);
    let refused = a.ask(peer("denyPeer")).await.unwrap_err();
    assert!(
        refused.contains("HTTP 501") && refused.contains("contact block"),
        "{refused}"
    );
    // To itself: nothing leaves the machine.
    let own = json!({ "do": "send", "recipient": a.identity, "messageBox": "own", "body": "note", "messageId": "n" });
    a.must(own).await;
    let found = a.list("own").await;
    assert_eq!((found.len(), &found[0]["body"]), (1, &json!("note")));
    a.must(json!({ "do": "ack", "messageIds": ["n"] })).await;
}

fn good_as_is(message: &Value) -> Value {
    json!({ "message": message })
}
