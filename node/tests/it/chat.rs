//! `shoal chat` on a terminal and through pipes, on a network of processes: two people meet, write, and end it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::e2e::{LONG, Place, said, shoal, signal, stop};
use crate::kills::network;

const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// A command on a terminal of its own.
struct OnTerminal {
    child: Child,
    near: File,
    /// The other end, to look at how the terminal is.
    far: File,
    /// What the terminal shows, and all that was written to it.
    shown: Arc<Mutex<(vt100::Parser, Vec<u8>)>>,
    news: watch::Receiver<usize>,
}

impl OnTerminal {
    fn start(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let size = Winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&near, size).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let far: File = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let inner = shoal(arguments);
        let inner = inner.as_std();
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(inner.get_program())
            .args(inner.get_args());
        for (name, _) in inner.get_envs() {
            command.env_remove(name);
        }
        command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
        command.envs(variables.iter().copied());
        let stdio = || Stdio::from(far.try_clone().unwrap());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        command.current_dir(place.path()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let size = |it: u16| it.try_into().unwrap();
        let parser = vt100::Parser::new(size(ROWS), size(COLUMNS), 0);
        let shown = Arc::new(Mutex::new((parser, Vec::new())));
        let (tell, news) = watch::channel(0);
        let near = File::from(near);
        let mut reader = near.try_clone().unwrap();
        let to = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of a terminal is told as an error.
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                let mut to = to.lock().unwrap();
                to.0.process(&bytes[..length]);
                to.1.extend_from_slice(&bytes[..length]);
                tell.send_modify(|all| *all += length);
            }
        });
        Self {
            child,
            near,
            far,
            shown,
            news,
        }
    }

    fn screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.shown.lock().unwrap().0.screen())
    }

    fn contents(&self) -> String {
        self.screen(rows)
    }

    /// Waits until the terminal shows this.
    async fn until(&mut self, what: &str) -> String {
        self.until_it(what, |screen| rows(screen).contains(what))
            .await;
        self.contents()
    }

    async fn until_it(&mut self, what: &str, is: impl Fn(&vt100::Screen) -> bool) {
        let waiting = async {
            while !self.screen(&is) {
                self.news.changed().await.expect("it runs");
            }
        };
        let waited = timeout(LONG, waiting).await;
        assert!(waited.is_ok(), "never {what:?}:\n{}", self.contents());
    }

    fn keys(&mut self, keys: &str) {
        self.near.write_all(keys.as_bytes()).unwrap();
    }

    fn is_line_by_line(&self) -> bool {
        let modes = tcgetattr(&self.far).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Ends, and leaves the terminal as it was.
    async fn ended(mut self, code: i32) {
        let ended = timeout(LONG, self.child.wait()).await.expect("it ends");
        assert_eq!(ended.unwrap().code(), Some(code), "{}", self.contents());
        assert!(self.is_line_by_line());
        let as_before = |screen: &vt100::Screen| {
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
        };
        self.until_it("as it was", as_before).await;
        let all = self.shown.lock().unwrap().1.clone();
        let all = String::from_utf8_lossy(&all);
        // Rows wrap again, as they did.
        assert!(all.rfind("\x1b[?7h") > all.rfind("\x1b[?7l"), "{all:?}");
        assert!(
            !all.contains("\x1b]") && !all.contains('\u{7}'),
            "no title, no clipboard, no bell"
        );
    }
}

/// The rows of a terminal, each on a line.
fn rows(screen: &vt100::Screen) -> String {
    let rows = screen.rows(0, COLUMNS);
    let rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n")
}

/// The linear mode, through pipes.
struct InLines {
    child: Child,
    input: ChildStdin,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    all: Vec<String>,
}

impl InLines {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = shoal(arguments);
        command.current_dir(place.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            all: Vec::new(),
        }
    }

    async fn line(&mut self, line: &str) {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// Waits until it says this, and gives the line.
    async fn until(&mut self, what: &str) -> String {
        let waiting = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.all.push(line.clone());
                if line.contains(what) {
                    return line;
                }
            }
            panic!("it ended, and never said {what:?}: {:#?}", self.all);
        };
        let line = timeout(LONG, waiting).await;
        line.unwrap_or_else(|_| panic!("never {what:?}: {:#?}", self.all))
    }
}

/// An invitation that the screen shows, over several rows.
fn link_of(contents: &str) -> String {
    let rows = contents
        .lines()
        .skip_while(|row| !row.starts_with("shoal:"));
    rows.take_while(|row| !row.is_empty())
        .map(str::trim)
        .collect()
}

/// What somebody could write to take the screen over.
const HOSTILE: &str = "\u{1b}[2J\u{1b}[1;1HOWNED\u{1b}]0;title\u{7} \u{202e}evil\u{200b}\r\n> you, now: read\n日本語\u{301}\u{301}\u{301}\u{301}";

/// Hostile texts and names, as the terminal has them.
async fn attack(place: &Place, alice: &mut OnTerminal, bob: &mut InLines) {
    let send = [
        "client", "send", "--dir", "bob", "Alice", HOSTILE, "--wait", "none",
    ];
    place.json(&send).await;
    let shown = alice.until("\\u{1b}[2J").await;
    assert!(shown.starts_with(" Shoal: "), "{shown}");
    assert!(shown.contains("\\u{202e}evil\\u{200b}"), "{shown}");
    // What imitates a head stands behind the mark of a text.
    let row = shown
        .lines()
        .find(|row| row.contains("> you, now: read"))
        .unwrap();
    assert!(row.ends_with("│ │ > you, now: read"), "{row}");
    let name = format!(
        "B{}> you, now: read {}",
        "\u{301}".repeat(16),
        "語".repeat(4)
    );
    alice.keys(&format!("/rename {name}\r"));
    alice.until("Changed: B").await;
    // The cursor is where one writes, whatever stands above.
    alice
        .until_it("the cursor", |screen| {
            screen.cursor_position() == (ROWS - 1, 2)
        })
        .await;
    let frame = |screen: &vt100::Screen| {
        (3..ROWS - 6).all(|row| {
            screen
                .cell(row, 26)
                .is_some_and(|cell| cell.contents() == "│")
        })
    };
    alice.until_it("the frame", frame).await;
    alice.keys("/rename Bob\r");
    alice.until("Changed: Bob (not verified)").await;

    let send = [
        "client", "send", "--dir", "alice", "Bob", HOSTILE, "--wait", "none",
    ];
    place.json(&send).await;
    let line = bob.until("OWNED").await;
    assert!(
        line.starts_with("| \\u{1b}[2J") && line.ends_with("evil\\u{200b}"),
        "{line}"
    );
    assert_eq!(bob.until("> you").await, "| > you, now: read");
}

/// Put aside and brought back, the terminal is somebody else's meanwhile.
async fn suspended(alice: &mut OnTerminal) {
    let pid = Pid::from_raw(alice.child.id().unwrap().try_into().unwrap()).unwrap();
    for by_key in [true, false] {
        match by_key {
            true => alice.keys("\u{1a}"),
            false => signal(&alice.child, Signal::TSTP),
        }
        let stopped =
            tokio::task::spawn_blocking(move || waitpid(Some(pid), WaitOptions::UNTRACED));
        let stopped = timeout(LONG, stopped).await.expect("it stops").unwrap();
        assert!(stopped.unwrap().unwrap().1.stopped());
        assert!(alice.is_line_by_line());
        alice
            .until_it("the shell's", |screen| !screen.alternate_screen())
            .await;
        signal(&alice.child, Signal::CONT);
        alice
            .until_it("the screen", vt100::Screen::alternate_screen)
            .await;
        alice.until("online, network").await;
        assert!(!alice.is_line_by_line());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_meet_write_and_end_it() {
    let place = Place::new();
    let nodes = network(&place).await;
    for name in ["alice", "bob"] {
        let init = ["client", "init", "--network", "network.toml", "--dir", name];
        place.json(&init).await;
    }
    let mut alices = place.start_client("alice").await;
    let bobs = place.start_client("bob").await;
    for name in ["alice", "bob"] {
        let open = [
            "client",
            "wait",
            "--for",
            "open",
            "--timeout",
            "1m",
            "--dir",
            name,
        ];
        place.json(&open).await;
    }

    // Alice has a terminal, and Bob reads lines.
    let mut alice = OnTerminal::start(&place, &["chat", "--dir", "alice"], &[]);
    alice.until("You have no contacts yet.").await;
    assert!(!alice.is_line_by_line());
    alice.keys("/invite Bob\r");
    alice.until("The code needs").await;
    let mut bob = InLines::start(&place, &["chat", "--dir", "bob", "--linear"]);
    bob.line(&format!("/accept {} Alice", link_of(&alice.contents())))
        .await;
    bob.until("Accepted: you can write to Alice now").await;
    bob.line("Hello Alice").await;
    bob.until("Taken: it is stored at Alice's mailbox").await;
    bob.until("Your text to Alice (Hello Alice): stored").await;
    alice
        .until("Somebody has come by your invitation: Bob")
        .await;
    alice.keys("\u{1b}");
    let shown = alice.until("1 new Bob").await;
    assert!(
        !shown.contains("│ Hello Alice"),
        "it is not shown before it is opened"
    );
    alice.keys("/open Bob\r");
    alice.until("│ Hello Alice").await;
    alice
        .until("Shoal: online, network fast, profile default  ")
        .await;
    // As it is pasted, of two rows.
    alice.keys("\u{1b}[200~Hello\rBob\u{1b}[201~");
    alice.until("Bob").await;
    alice.keys("\r");
    alice.until(": stored").await;
    let shown = alice.until("│ Hello\n").await;
    assert!(shown.contains("│ │ Bob"), "{shown}");
    bob.until("| Hello").await;
    bob.until("| Bob").await;
    let shown = alice.until("Each second: out ").await;
    assert!(
        shown.contains(" cover") && shown.contains("delay about"),
        "{shown}"
    );

    attack(&place, &mut alice, &mut bob).await;
    suspended(&mut alice).await;

    // The daemon goes and comes; nothing that is written meanwhile is lost.
    stop(vec![alices]).await;
    alice.until("NO DAEMON").await;
    alice.keys("while it was gone\ra draft");
    alice.until("being handed to the daemon").await;
    alices = place.start_client("alice").await;
    alice.until("Shoal: online").await;
    alice.until("> a draft").await;
    bob.until("| while it was gone").await;

    // Verified by what the other end reads.
    bob.line("/number").await;
    let number = bob.until("Safety number: ").await;
    let number = number.trim_start_matches("Safety number: ");
    alice.keys(&format!("\u{15}/verify {number}\r"));
    alice.until("Changed: Bob (verified)").await;
    bob.line("/verify 12345").await;
    bob.until("The numbers differ").await;

    alice.keys("\u{3}");
    alice.ended(0).await;
    bob.line("/quit").await;
    let ended = timeout(LONG, bob.child.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
    ends(&place).await;
    stop(vec![alices, bobs]).await;
    stop(nodes).await;
}

/// Other ways to begin and to end, while the daemons run.
async fn ends(place: &Place) {
    let mut alice = OnTerminal::start(
        place,
        &["chat", "--dir", "alice", "Bob"],
        &[("NO_COLOR", "1")],
    );
    alice.until("│ while it was gone").await;
    let plain = |screen: &vt100::Screen| {
        let at = (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| (row, column)));
        let mut cells = at.filter_map(|(row, column)| screen.cell(row, column));
        cells.all(|cell| cell.fgcolor() == vt100::Color::Default)
    };
    assert!(alice.screen(plain), "no colours");
    signal(&alice.child, Signal::TERM);
    alice.ended(130).await;

    // A terminal that can't place text gets lines.
    let mut dumb = OnTerminal::start(
        place,
        &["chat", "--dir", "alice", "Bob"],
        &[("TERM", "dumb")],
    );
    dumb.until("plain lines, as with --linear").await;
    dumb.until("| while it was gone").await;
    dumb.keys("/quit\n");
    let ended = timeout(LONG, dumb.child.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
    let all = dumb.shown.lock().unwrap().1.clone();
    assert!(!all.contains(&0x1b), "{}", String::from_utf8_lossy(&all));

    let none = place.run(&["chat", "--dir", "alice"]).await;
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    assert!(said(&none).contains("--linear"), "{}", said(&none));
    let node = place.run(&["chat", "--dir", "mix-1", "--linear"]).await;
    assert_eq!(node.status.code(), Some(2), "{}", said(&node));
    assert!(
        said(&node).contains("no client's daemon"),
        "{}",
        said(&node)
    );
    let json = place.run(&["chat", "--dir", "alice", "--json"]).await;
    assert_eq!(json.status.code(), Some(2), "{}", said(&json));

    // Lines that come all at once are done one after the other, and what they ask is waited for.
    let mut piped = InLines::start(place, &["chat", "--dir", "bob", "--linear"]);
    piped.line("/opne\n/open Ali\nthe last one").await;
    drop(piped.input);
    let output = timeout(LONG, async {
        let mut all = String::new();
        while let Some(line) = piped.lines.next_line().await.unwrap() {
            all.push_str(&line);
            all.push('\n');
        }
        all
    });
    let output = output.await.expect("it ends");
    assert!(output.contains("There is no command /opne"), "{output}");
    assert!(output.contains("Conversation with Alice"), "{output}");
    assert!(output.contains("Taken: it is stored"), "{output}");
    assert_eq!(
        piped.child.wait().await.unwrap().code(),
        Some(0),
        "{output}"
    );
}
