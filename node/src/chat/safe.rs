//! What somebody else wrote, made fit for a terminal. All that is shown goes through here, whoever wrote it: control
//! characters, escape sequences, what turns the direction of text, what cannot be seen and what takes no room could move
//! the cursor, hide words or look like a part of the interface.
//!
//! [`Safe`] is a text that has gone through; [`glyphs`] are what it takes in cells, and [`wrapped`] its rows.

use unicode_width::UnicodeWidthChar as _;
use zeroize::Zeroizing;

/// Marks that stay on one character: of more, none is readable, and a flood of them paints over rows above.
const MARKS: usize = 2;
/// What is shown once in place of the others.
const TOO_MANY: char = '\u{fffd}';
/// What a mark stands on that stands on nothing.
const NOTHING: char = '\u{25cc}';
/// A tab, whose width depends on where it is.
const TAB: &str = "    ";

/// A text that moves no cursor and hides nothing. It is wiped when dropped.
pub(super) struct Safe(Zeroizing<String>);

impl Safe {
    /// On one line: a name, say.
    pub(super) fn line(text: &str) -> Self {
        Self(cleaned(text, false))
    }

    /// Of several lines, which line feeds end.
    pub(super) fn text(text: &str) -> Self {
        Self(cleaned(text, true))
    }
}

impl std::ops::Deref for Safe {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Clone for Safe {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What becomes of a character.
enum Fate {
    Keep,
    /// It changes how others look, and says nothing itself: terminals differ in how wide they make the result.
    Drop,
    /// It is shown as what it is.
    Escape,
    As(char),
}

fn fate(c: char) -> Fate {
    match c {
        // Joiners, forms, and tones of skin.
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Fate::Drop,
        '\u{1f3fb}'..='\u{1f3ff}' => Fate::Drop,
        // Two of these are a flag, somewhere: letters are letters everywhere.
        '\u{1f1e6}'..='\u{1f1ff}' => {
            let letter = u32::from(c) - 0x1_f1e6 + u32::from('A');
            Fate::As(char::from_u32(letter).unwrap_or(TOO_MANY))
        }
        // Spaces of other widths, and what looks like one.
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2800}' => {
            Fate::As(' ')
        }
        // What turns the direction of text, ends lines somewhere, or cannot be seen.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => {
            Fate::Escape
        }
        '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' => {
            Fate::Escape
        }
        '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}' => Fate::Escape,
        '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' => Fate::Escape,
        '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' => {
            Fate::Escape
        }
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}' => Fate::Escape,
        c if c.is_control() => Fate::Escape,
        // There is one of three (a Khmer sign), and terminals have cells for one and two.
        c if columns(c) > 2 => Fate::Escape,
        _ => Fate::Keep,
    }
}

fn cleaned(text: &str, lines: bool) -> Zeroizing<String> {
    // Room for all, so that nothing is left behind where it was before it grew; escapes are rare.
    let mut clean = Zeroizing::new(String::with_capacity(text.len() + text.len() / 8 + 16));
    // Marks on the present character; none if there is no character.
    let mut marks: Option<usize> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' if lines => {
                clean.push(c);
                marks = None;
                continue;
            }
            '\r' if rest.peek() == Some(&'\n') => continue,
            '\t' => {
                clean.push_str(TAB);
                marks = None;
                continue;
            }
            _ => {}
        }
        let c = match fate(c) {
            Fate::Keep => c,
            Fate::As(other) => other,
            Fate::Drop => continue,
            Fate::Escape => {
                clean.extend(c.escape_default());
                marks = None;
                continue;
            }
        };
        if columns(c) > 0 {
            clean.push(c);
            marks = Some(0);
            continue;
        }
        match marks {
            Some(on) if on < MARKS => {
                clean.push(c);
                marks = Some(on + 1);
            }
            Some(MARKS) => {
                clean.push(TOO_MANY);
                marks = Some(MARKS + 1);
            }
            Some(_) => {}
            None => {
                clean.extend([NOTHING, c]);
                marks = Some(1);
            }
        }
    }
    clean
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// What a text takes in cells: each character with the marks on it, and its columns, 1 or 2. Of a text that is not
/// [`Safe`], what takes none is left out.
pub(super) fn glyphs(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let from = rest.find(|c| columns(c) > 0)?;
        rest = rest.get(from..)?;
        let first = rest.chars().next()?;
        let marks = rest.get(first.len_utf8()..)?;
        let end = marks.find(|c| columns(c) > 0).unwrap_or(marks.len()) + first.len_utf8();
        let (glyph, after) = rest.split_at(end);
        rest = after;
        Some((glyph.trim_end_matches('\n'), columns(first)))
    })
}

/// The columns that a line takes.
pub(super) fn width(line: &str) -> usize {
    glyphs(line).map(|(_, columns)| columns).sum()
}

/// The rows of a text in so many columns: broken between words if they fit, else within.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<&str> {
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut rest = line;
        while let Some(row) = first_row(rest, columns.max(2)) {
            rows.push(row);
            // The space at which it was broken is not shown.
            let after = rest.get(row.len()..).unwrap_or_default();
            rest = after.strip_prefix(' ').unwrap_or(after);
        }
        rows.push(rest);
    }
    rows
}

/// The first of several rows; none if it all fits into one.
fn first_row(line: &str, columns: usize) -> Option<&str> {
    let (mut used, mut end, mut space) = (0, 0, None);
    for (glyph, wide) in glyphs(line) {
        // A row has one character at least, or there would be rows without end.
        if used > 0 && used + wide > columns {
            let at = match glyph {
                " " => end,
                _ => space.filter(|at| *at > 0).unwrap_or(end),
            };
            return line.get(..at);
        }
        if glyph == " " {
            space = Some(end);
        }
        used += wide;
        end += glyph.len();
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_move_a_cursor_is_shown_as_what_it_is() {
        let safe = |text: &str| Safe::text(text).to_string();
        assert_eq!(
            safe("a\x1b[2J\u{9b}b\rc\r\nd"),
            "a\\u{1b}[2J\\u{9b}b\\rc\nd"
        );
        assert_eq!(
            safe("\u{202e}abc\u{2066}\u{200b}\u{feff}"),
            "\\u{202e}abc\\u{2066}\\u{200b}\\u{feff}"
        );
        assert_eq!(safe("\u{e0041}\u{ad}"), "\\u{e0041}\\u{ad}");
        assert_eq!(safe("a\tb\0"), "a    b\\u{0}");
        assert_eq!(&*Safe::line("a\nb"), "a\\nb");
    }

    #[test]
    fn letters_of_the_world_stay() {
        for text in [
            "Grüße, 🐟",
            "日本語",
            "e\u{301}te\u{301}",
            "שלום",
            "नमस्ते",
            "ภาษาไทย",
        ] {
            assert_eq!(&*Safe::line(text), text);
        }
        // A family, a tone, a heart in colour and a flag: what each terminal can show.
        let joined = "👨\u{200d}👩 👍\u{1f3fd} ❤\u{fe0f} \u{1f1e9}\u{1f1ea}";
        assert_eq!(&*Safe::line(joined), "👨👩 👍 ❤ DE");
    }

    #[test]
    fn a_flood_of_marks_ends() {
        let flood = format!("a{}b", "\u{301}".repeat(1000));
        assert_eq!(&*Safe::line(&flood), "a\u{301}\u{301}\u{fffd}b");
        assert_eq!(&*Safe::line("\u{301}"), "\u{25cc}\u{301}");
    }

    #[test]
    fn rows_are_broken_between_words_and_within_long_ones() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
        assert_eq!(wrapped("a\n\nb", 4), ["a", "", "b"]);
        assert_eq!(wrapped("日本", 1), ["日", "本"], "a wide one needs two");
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("abcd efgh", 4), ["abcd", "efgh"]);
        assert_eq!(wrapped("    deep", 4), ["   ", "deep"]);
    }

    /// A character of three columns in a row of two: rows came without end, until memory did.
    #[test]
    fn what_is_wider_than_a_row_ends() {
        assert_eq!(&*Safe::line("a\u{17d8}"), "a\\u{17d8}");
        assert_eq!(
            wrapped("\u{17d8}\u{17d8}ab", 2),
            ["\u{17d8}", "\u{17d8}", "ab"]
        );
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_moves_a_cursor(text in "(\\PC|[\\x00-\\x20\u{7f}-\u{a0}]|[\u{300}-\u{36f}]|[\u{200b}-\u{206f}]|[\u{1f1e0}-\u{1f3ff}]|[\u{e0000}-\u{e01ef}]){0,60}", columns in 2usize..40) {
            let safe = Safe::text(&text);
            let moves = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
            prop_assert!(!safe.chars().any(moves));
            let again = Safe::text(&safe);
            prop_assert_eq!(&*again, &*safe, "what is safe stays as it is");
            for row in wrapped(&safe, columns) {
                prop_assert!(width(row) <= columns);
                for (glyph, wide) in glyphs(row) {
                    prop_assert!((1..=2).contains(&wide) && glyph.chars().count() <= 1 + MARKS, "{:?}", glyph);
                }
            }
            // Nothing that takes room is lost by folding, but for spaces.
            let dense = |text: &str| text.split([' ', '\n']).collect::<String>();
            prop_assert_eq!(dense(&wrapped(&safe, columns).concat()), dense(&safe));
        }
    }
}
