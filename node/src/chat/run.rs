//! The loop that carries keys, lines and what the daemon says to the model, and what follows from it back.

use std::io::{self, BufRead, Read as _, Write as _};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use crossterm::event::{
    Event as TerminalEvent, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use futures::StreamExt as _;
use shoal_proto::{Span, Time};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::daemon::{INPUTS, Lanes, follow};
use super::model::{Effect, Input, Key, Model};
use super::screen::{Look, draw};
use super::terminal::Screen;
use super::{ChatOptions, Mode, linear};
use crate::runtime::{Clock, stop_requested};
use crate::{Exit, Failure};

/// How often the traffic is looked at, on this machine.
const SECOND: Duration = Duration::from_secs(1);
/// How long it is waited for answers once standard input has ended.
const LAST: Span = Span::from_secs(10);
/// Longest line that is read, in bytes: a text with what JSON or a shell makes of it is shorter.
const MOST_LINE: u64 = 1 << 20;

/// What both modes have.
struct Chat {
    model: Model,
    lanes: Lanes,
    inputs: mpsc::Receiver<Input>,
    following: JoinHandle<Failure>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    tick: Interval,
    clock: Clock,
    /// Of what is waited for: asked, and not answered.
    asked: usize,
}

/// What comes of what is to be done, besides what the daemon is asked.
enum Next {
    On,
    Suspend,
    Redraw,
    Quit,
}

impl Chat {
    fn start(options: &ChatOptions, linear: bool) -> Result<Self, Failure> {
        let stop = stop_requested(false, None).map_err(Failure::failed)?;
        let (send, inputs) = mpsc::channel(INPUTS);
        let lanes = Lanes::start(&options.dir, &send);
        let following = tokio::spawn(follow(options.dir.clone(), send));
        let mut tick = interval(SECOND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut run = [0; 8];
        getrandom::fill(&mut run)
            .map_err(|error| Failure::failed(anyhow!("no randomness: {error}")))?;
        let run = format!("{:016x}", u64::from_le_bytes(run));
        Ok(Self {
            model: Model::new(linear, run, options.contact.clone()),
            lanes,
            inputs,
            following,
            stop: Box::pin(stop),
            tick,
            clock: Clock::start(),
            asked: 0,
        })
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn take(&mut self, input: Input) {
        if let Input::Answer(ask, _) = &input
            && ask.is_waited_for()
        {
            self.asked = self.asked.saturating_sub(1);
        }
        let now = self.now();
        self.model.handle_input(now, input);
    }

    /// Does what is to be done, up to what is for the terminal.
    fn effects(&mut self) -> Next {
        while let Some(effect) = self.model.poll_effect() {
            match effect {
                Effect::Ask(ask) => {
                    self.asked += usize::from(ask.is_waited_for());
                    if let Some(refused) = self.lanes.ask(ask) {
                        self.take(refused);
                    }
                }
                Effect::Suspend => return Next::Suspend,
                Effect::Redraw => return Next::Redraw,
                Effect::Quit => return Next::Quit,
            }
        }
        Next::On
    }

    /// Waits for what happens besides at the terminal. Fails when the chat is to end.
    async fn next(&mut self) -> Result<Input, Failure> {
        tokio::select! {
            biased;
            () = &mut self.stop => Err(Failure::Interrupted),
            input = self.inputs.recv() => input.ok_or(Failure::Interrupted),
            ended = &mut self.following => Err(match ended {
                Ok(failure) => failure,
                Err(error) => Failure::failed(error),
            }),
            _ = self.tick.tick() => Ok(Input::Tick),
        }
    }
}

pub(super) async fn run(options: ChatOptions) -> Result<(), Failure> {
    match options.mode {
        Mode::Screen { colour } => on_screen(&options, Look { colour }).await,
        Mode::Linear => in_lines(&options).await,
    }
}

async fn on_screen(options: &ChatOptions, look: Look) -> Result<(), Failure> {
    let mut chat = Chat::start(options, false)?;
    let mut stopped = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))
        .map_err(Failure::failed)?;
    let on_terminal = |error| Failure::Failed(anyhow::Error::new(error).context("the terminal"));
    let mut screen = Screen::enter().map_err(on_terminal)?;
    let mut keys = EventStream::new();
    loop {
        match chat.effects() {
            Next::Quit => return Ok(()),
            Next::Suspend => screen.suspend().map_err(on_terminal)?,
            Next::Redraw => screen.redraw().map_err(on_terminal)?,
            Next::On => {}
        }
        let now = chat.now();
        let mut seen = None;
        screen
            .draw(|cells| {
                let (what, cursor) = draw(&chat.model, now, look, cells);
                seen = Some(what);
                cursor
            })
            .map_err(on_terminal)?;
        if let Some(seen) = seen {
            chat.model.handle_seen(seen);
        }
        if let Next::Quit = chat.effects() {
            return Ok(());
        }
        let input = tokio::select! {
            biased;
            key = keys.next() => match key {
                Some(Ok(event)) => input_of(event),
                // The terminal is gone.
                Some(Err(error)) => return Err(on_terminal(error)),
                None => return Err(Failure::Interrupted),
            },
            input = chat.next() => Some(input?),
            _ = stopped.recv() => {
                screen.suspend().map_err(on_terminal)?;
                None
            }
        };
        if let Some(input) = input {
            chat.take(input);
        }
        // What is here already is shown at once.
        for _ in 0..INPUTS {
            let Ok(input) = chat.inputs.try_recv() else {
                break;
            };
            chat.take(input);
        }
    }
}

/// What a terminal tells, in the model's words; none if it is of no interest but that all is drawn anew.
fn input_of(event: TerminalEvent) -> Option<Input> {
    match event {
        TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => key_of(key).map(Input::Key),
        TerminalEvent::Paste(text) => Some(Input::Pasted(Zeroizing::new(text))),
        _ => None,
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    let held = key.modifiers;
    Some(match key.code {
        KeyCode::Char(c) if held.contains(KeyModifiers::CONTROL) => {
            Key::Ctrl(c.to_ascii_lowercase())
        }
        KeyCode::Char(_) if held.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter if held.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT) => Key::NewLine,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::F(number) => Key::F(number),
        _ => return None,
    })
}

/// What standard input gives.
enum Typed {
    Line(Zeroizing<String>),
    /// Nothing more.
    End,
    /// It can't be read on, in words.
    Broken(String),
}

async fn in_lines(options: &ChatOptions) -> Result<(), Failure> {
    let mut chat = Chat::start(options, true)?;
    let mut typed = read_lines()?;
    chat.model
        .say("Shoal, as plain lines. /help has the commands, /quit ends it.");
    // Once there is no more to read: until when answers are waited for.
    let mut ends: Option<Time> = None;
    loop {
        if let Next::Quit = chat.effects() {
            print(&mut chat.model)?;
            return Ok(());
        }
        print(&mut chat.model)?;
        // What was printed may be read by that.
        if let Next::Quit = chat.effects() {
            return Ok(());
        }
        if let Some(at) = ends {
            let waits = chat.asked > 0 || chat.model.waits();
            if !waits || chat.now() >= at {
                return ended(&chat.model);
            }
        }
        let input = tokio::select! {
            biased;
            input = chat.next() => input?,
            // What a line means may depend on what the one before it has come to: a pipe gives them all at once.
            line = typed.recv(), if ends.is_none() && chat.asked == 0 && chat.model.takes_lines() => match line {
                Some(Typed::Line(line)) => Input::Line(line),
                Some(Typed::Broken(words)) => return Err(Failure::usage(anyhow!(words))),
                Some(Typed::End) | None => {
                    ends = Some(chat.now() + LAST);
                    continue;
                }
            },
        };
        chat.take(input);
    }
}

/// Standard input has ended, and it was waited for what was asked.
fn ended(model: &Model) -> Result<(), Failure> {
    match model.untaken() {
        0 if model.is_up() => Ok(()),
        0 => Err(Failure::unreachable(anyhow!("the daemon is not there"))),
        left => Err(Failure::other(
            Exit::Uncertain,
            anyhow!("standard input ended, and {left} texts or files were not taken by the daemon"),
        )),
    }
}

fn print(model: &mut Model) -> Result<(), Failure> {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let columns = columns
        .map(|size| usize::from(size.ws_col))
        .filter(|it| *it > 0);
    let lines = linear::lines(model, columns);
    let mut out = io::stdout().lock();
    let mut write = || -> io::Result<()> {
        for line in &lines {
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::Failed(anyhow::Error::new(error).context("can't write to standard output")),
    })
}

/// Reads on a thread that nobody waits for, because a read can't be cancelled.
fn read_lines() -> Result<mpsc::Receiver<Typed>, Failure> {
    let (send, lines) = mpsc::channel(1);
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    let spawned = thread.spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let typed = line(&mut input);
            let last = !matches!(typed, Typed::Line(_));
            if send.blocking_send(typed).is_err() || last {
                return;
            }
        }
    });
    spawned
        .map(|_| lines)
        .context("can't read standard input")
        .map_err(Failure::Failed)
}

fn line(input: &mut impl BufRead) -> Typed {
    // Room for what people write, so that it is not moved about.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let read = input.take(MOST_LINE).read_until(b'\n', &mut bytes);
    match read {
        Err(error) => return Typed::Broken(format!("can't read standard input: {error}")),
        Ok(0) => return Typed::End,
        Ok(_) => {}
    }
    if bytes.len() as u64 == MOST_LINE {
        return Typed::Broken("a line has more than a message can have".to_owned());
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    match std::str::from_utf8(text.strip_suffix(b"\r").unwrap_or(text)) {
        Ok(text) => Typed::Line(Zeroizing::new(text.to_owned())),
        Err(_) => Typed::Broken(
            "a line is not text in UTF-8: convert it first, with iconv for example".to_owned(),
        ),
    }
}
