//! What the commands print. Who reads it may go away (`shoal-sim … | head`): what is left unread is
//! dropped then, and the work goes on, because its results may be kept elsewhere.

use std::io::{self, Write};
use std::sync::OnceLock;

/// Why something could not be printed, other than that nobody reads it.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output.
pub(crate) fn print(text: std::fmt::Arguments<'_>) {
    let written = io::stdout().lock().write_fmt(text);
    note(written);
}

/// Writes to standard error. If that is closed there is nobody to tell.
pub(crate) fn print_beside(text: std::fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Writes out what is left.
///
/// # Errors
/// What kept anything from being printed, if somebody was there to read it.
pub(crate) fn finish() -> Result<(), &'static io::Error> {
    note(io::stdout().lock().flush());
    LOST.get().map_or(Ok(()), Err)
}

/// As the standard library's, without its panic.
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::terminal::print(format_args!($($text)*)) };
}

/// As the standard library's, without its panic.
macro_rules! println {
    ($($text:tt)*) => {
        $crate::cli::terminal::print(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// As the standard library's, without its panic.
macro_rules! eprintln {
    ($($text:tt)*) => {
        $crate::cli::terminal::print_beside(format_args!("{}\n", format_args!($($text)*)))
    };
}
