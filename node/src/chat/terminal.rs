//! The terminal while the screen is on it, and as it was before.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::style::ResetColor;
use crossterm::terminal::{
    DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{cursor, queue};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};

/// The screen is on the terminal.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// The screen. When it is dropped, and when anything panics, the terminal is as it was before.
pub(super) struct Screen(Terminal<Steady<CrosstermBackend<BufWriter<Stdout>>>>);

impl Screen {
    /// Puts the screen on the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        restore_when_it_panics();
        take()?;
        let made = Terminal::new(Steady(CrosstermBackend::new(BufWriter::new(io::stdout()))));
        match made {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws: what is drawn tells where the cursor is.
    pub(super) fn draw(
        &mut self,
        draw: impl FnOnce(&mut ratatui::buffer::Buffer) -> Option<Position>,
    ) -> io::Result<()> {
        let drawn = self.0.draw(|frame| {
            if let Some(place) = draw(frame.buffer_mut()) {
                frame.set_cursor_position(place);
            }
        });
        drawn.map(|_| ())
    }

    /// All is written anew at the next time.
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    /// Gives the terminal to others, and takes it back once this process is let go on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        use rustix::process::{Signal, getpid, kill_process};

        give_back();
        kill_process(getpid(), Signal::STOP)?;
        take()?;
        self.redraw()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Texts lie in its cells, within them as far as they are short: they are written over.
        for _ in 0..2 {
            self.0.current_buffer_mut().reset();
            self.0.swap_buffers();
        }
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    IS_ON.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    // A row that a terminal makes wider than we do does not go on in the next one.
    let begun = queue!(
        out,
        EnterAlternateScreen,
        EnableBracketedPaste,
        DisableLineWrap
    );
    begun
        .and_then(|()| out.flush())
        .inspect_err(|_| give_back())
}

/// Leaves the terminal as it was.
fn give_back() {
    if !IS_ON.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut bytes = Vec::new();
    let written = queue!(
        bytes,
        EnableLineWrap,
        DisableBracketedPaste,
        ResetColor,
        LeaveAlternateScreen,
        cursor::Show
    );
    // Nobody is there to be told that it can't be.
    if written.is_ok() {
        // Not by way of what may be locked where it panicked.
        let _ = rustix::io::write(rustix::stdio::stdout(), &bytes);
    }
    let _ = disable_raw_mode();
}

fn restore_when_it_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

/// A backend that says where the cursor is after whatever is not plain ASCII: terminals differ in how wide they make it,
/// and what stands behind it stays in its place all the same.
pub(super) struct Steady<B>(pub(super) B);

impl<B: Backend> Backend for Steady<B> {
    type Error = B::Error;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), B::Error>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut run = Vec::new();
        for at in content {
            run.push(at);
            if !at.2.symbol().is_ascii() {
                // It begins each time by moving the cursor.
                self.0.draw(run.drain(..))?;
            }
        }
        self.0.draw(run.into_iter())
    }

    fn hide_cursor(&mut self) -> Result<(), B::Error> {
        self.0.hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<(), B::Error> {
        self.0.show_cursor()
    }

    /// The terminal is not asked, whose answer would come among the keys: each drawing puts the cursor where it is to be.
    fn get_cursor_position(&mut self) -> Result<Position, B::Error> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), B::Error> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> Result<(), B::Error> {
        self.0.clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> Result<(), B::Error> {
        self.0.clear_region(clear_type)
    }

    fn size(&self) -> Result<Size, B::Error> {
        self.0.size()
    }

    fn window_size(&mut self) -> Result<WindowSize, B::Error> {
        self.0.window_size()
    }

    fn flush(&mut self) -> Result<(), B::Error> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::fs::{File, OpenOptions};
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};

    use super::*;

    /// Run by the test below, on a terminal.
    #[test]
    #[ignore = "it panics, as it is to"]
    fn panics_on_the_screen() {
        let mut screen = Screen::enter().unwrap();
        screen.draw(|_| None).unwrap();
        panic!("as it is to");
    }

    #[test]
    fn who_panics_leaves_the_terminal_as_it_was() {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let far: File = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let is_line_by_line = |far: &File| {
            tcgetattr(far)
                .unwrap()
                .local_modes
                .contains(LocalModes::ICANON)
        };
        assert!(is_line_by_line(&far));
        let stdio = || Stdio::from(far.try_clone().unwrap());
        let mut child = Command::new("setsid");
        child.arg("--ctty").arg(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "--nocapture"]);
        child.arg("chat::terminal::tests::panics_on_the_screen");
        child.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            // The end of a terminal is told as an error.
            let _ = File::from(near).read_to_end(&mut said);
            said
        });
        let mut running = child.spawn().unwrap();
        // It holds the terminal, too.
        drop(child);
        assert!(!running.wait().unwrap().success());
        assert!(is_line_by_line(&far));
        drop(far);
        let said = reader.join().unwrap();
        let said = String::from_utf8_lossy(&said);
        let at = |what: &str| {
            said.rfind(what)
                .unwrap_or_else(|| panic!("{what:?} not in {said}"))
        };
        let (on, off) = (at("\x1b[?1049h"), at("\x1b[?1049l"));
        assert!(
            on < off && off < at("as it is to"),
            "what it says is seen: {said}"
        );
        for mode in ["\x1b[?7h", "\x1b[?2004l", "\x1b[?25h"] {
            assert!(at(mode) > on, "{mode:?}");
        }
    }
}
