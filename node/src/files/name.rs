//! Names of files. What a sender calls a file becomes the name of a file here only as far as that is safe.

use super::piece::MAX_NAME;

/// What Windows takes for devices, whatever follows a point.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Whether a file may be sent under this name: a name, and no path.
pub(super) fn is_fit(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.chars().any(is_odd)
        && !leads_elsewhere(name)
}

/// A name that is a file's in the directory where it is saved, is not hidden there, and shows as what it is; the name
/// itself, if it is one.
pub(crate) fn safe(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|c| if is_odd(c) { '_' } else { c })
        .collect();
    while safe.len() > MAX_NAME {
        safe.pop();
    }
    let stem = safe.split('.').next().unwrap_or_default();
    let stem = stem.trim_end().to_ascii_lowercase();
    let number = stem.strip_prefix("com").or(stem.strip_prefix("lpt"));
    let numbered = number.is_some_and(|number| number.chars().count() == 1);
    let is_device = DEVICES.contains(&&*stem) || numbered;
    if safe.starts_with(['.', '-', ' ', '~']) || is_device {
        safe.replace_range(..1, "_");
    }
    if safe.ends_with(['.', ' ']) {
        safe.pop();
        safe.push('_');
    }
    match safe.is_empty() {
        true => "file".to_owned(),
        false => safe,
    }
}

fn leads_elsewhere(name: &str) -> bool {
    name == "." || name == ".."
}

/// What ends a name or a path somewhere, is not seen, or turns the direction of what follows.
fn is_odd(c: char) -> bool {
    let separates = matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    let unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || separates || unseen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_stays_and_a_path_does_not() {
        for name in ["report.pdf", "Grüße 🐟.txt", "a.b.c", "x~"] {
            assert_eq!(safe(name), name);
            assert!(is_fit(name));
        }
        for (name, is) in [
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("..", "__"),
            (".bashrc", "_bashrc"),
            ("-rf", "_rf"),
            ("C:\\x", "C__x"),
            ("nul.txt", "_ul.txt"),
            ("nul .txt", "_ul .txt"),
            ("COM1", "_OM1"),
            ("com\u{b9}.x", "_om\u{b9}.x"),
            ("CONIN$", "_ONIN$"),
            ("a\u{61c}b", "a_b"),
            ("a\u{202e}txt.exe", "a_txt.exe"),
            ("a\nb", "a_b"),
            ("ends. ", "ends._"),
            ("", "file"),
        ] {
            assert_eq!(safe(name), is, "{name:?}");
        }
        for name in ["", ".", "..", "a/b", "a\0", &"n".repeat(256)] {
            assert!(!is_fit(name), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_safe_is_one_name_and_stays_it(name in ".{0,300}") {
            let safe = safe(&name);
            prop_assert!(is_fit(&safe));
            prop_assert!(!safe.starts_with('.'));
            prop_assert_eq!(std::path::Path::new(&safe).components().count(), 1);
            prop_assert_eq!(super::safe(&safe), safe);
        }
    }
}
