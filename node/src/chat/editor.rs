//! The line in which somebody writes. It is wiped when dropped.

use zeroize::Zeroizing;

/// What is written, and where the cursor is in it.
pub(super) struct Editor {
    text: Zeroizing<String>,
    /// A place between two characters, in bytes.
    at: usize,
    /// Most bytes that it takes.
    most: usize,
}

/// What is put in does not fit.
pub(super) struct TooLong;

impl Editor {
    /// One that takes the longest text that can be sent, and a little for a command around it.
    pub(super) fn for_text() -> Self {
        Self::new(shoal_client::MAX_TEXT_BYTES + 1024)
    }

    fn new(most: usize) -> Self {
        Self {
            text: Zeroizing::default(),
            at: 0,
            most,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands before the cursor.
    pub(super) fn before(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Puts a text in at the cursor, whole or not at all.
    pub(super) fn insert(&mut self, text: &str) -> Result<(), TooLong> {
        let long = self.text.len() + text.len();
        if long > self.most {
            return Err(TooLong);
        }
        if long > self.text.capacity() {
            // What grows where it is leaves a copy behind.
            let mut larger = Zeroizing::new(String::with_capacity(2 * long + 64));
            larger.push_str(&self.text);
            self.text = larger;
        }
        self.text.insert_str(self.at, text);
        self.at += text.len();
        Ok(())
    }

    /// Takes all out.
    pub(super) fn take(&mut self) -> Zeroizing<String> {
        self.at = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts this in the place of all, with the cursor behind it.
    pub(super) fn set(&mut self, text: &str) -> Result<(), TooLong> {
        if text.len() > self.most {
            return Err(TooLong);
        }
        self.take();
        self.insert(text)
    }

    fn remove(&mut self, from: usize, to: usize) {
        if from < to {
            let mut kept = Zeroizing::new(String::with_capacity(self.text.capacity()));
            kept.push_str(self.text.get(..from).unwrap_or_default());
            kept.push_str(self.text.get(to..).unwrap_or_default());
            self.text = kept;
            self.at = from;
        }
    }

    pub(super) fn backspace(&mut self) {
        self.remove(self.previous(), self.at);
    }

    pub(super) fn delete(&mut self) {
        self.remove(self.at, self.next());
    }

    /// Removes the word before the cursor.
    pub(super) fn remove_word(&mut self) {
        let word = self.before().trim_end();
        let from = word.rfind(char::is_whitespace);
        let from = from.map_or(0, |at| {
            at + word
                .get(at..)
                .and_then(|it| it.chars().next())
                .map_or(1, char::len_utf8)
        });
        self.remove(from, self.at);
    }

    /// Removes what stands before the cursor on its line.
    pub(super) fn remove_to_start(&mut self) {
        self.remove(self.line_start(), self.at);
    }

    pub(super) fn left(&mut self) {
        self.at = self.previous();
    }

    pub(super) fn right(&mut self) {
        self.at = self.next();
    }

    pub(super) fn home(&mut self) {
        self.at = self.line_start();
    }

    pub(super) fn end(&mut self) {
        self.at += self.after().find('\n').unwrap_or(self.after().len());
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |at| at + 1)
    }

    fn previous(&self) -> usize {
        self.before()
            .char_indices()
            .next_back()
            .map_or(0, |(at, _)| at)
    }

    fn next(&self) -> usize {
        self.at + self.after().chars().next().map_or(0, char::len_utf8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editor(text: &str) -> Editor {
        let mut editor = Editor::new(40);
        assert!(editor.insert(text).is_ok());
        editor
    }

    #[test]
    fn keys_do_what_they_do_elsewhere() {
        let mut it = editor("grüße an alle");
        it.remove_word();
        assert_eq!(it.text(), "grüße an ");
        it.remove_word();
        assert_eq!(it.text(), "grüße ");
        it.home();
        it.delete();
        it.right();
        it.right();
        it.backspace();
        assert_eq!((it.text(), it.before()), ("rße ", "r"));
        it.end();
        it.left();
        it.remove_to_start();
        assert_eq!((it.text(), it.before()), (" ", ""));
        it.backspace();
        it.end();
        it.delete();
        it.right();
        assert_eq!(it.text(), " ");
    }

    #[test]
    fn what_is_too_long_changes_nothing() {
        let mut it = editor("abc");
        assert!(it.insert(&"x".repeat(38)).is_err());
        assert!(it.set(&"x".repeat(41)).is_err());
        assert_eq!(it.text(), "abc");
        assert!(it.set("first\nabc").is_ok());
        it.home();
        it.remove_to_start();
        assert_eq!(it.before(), "first\n");
    }
}
