//! Text that somebody else wrote, for a person's terminal.
//!
//! Functions decide what is in their logs, errors and responses, and a terminal takes some of it for commands: to move
//! back and write over other lines, to set its title or the clipboard, to answer as if somebody had typed. Colours
//! and newlines are all that is left to it here; the rest is shown.

use std::borrow::Cow;

/// Ends all colours.
const RESET: &str = "\x1b[0m";

/// The text with control characters made visible, but for tabs, newlines and SGR sequences (colours). A carriage
/// return, with which runtimes keep the lines of one message together, also begins a new line.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_command(c) && !matches!(c, '\t' | '\n')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut coloured = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            shown.push_str(&rest[..length]);
            coloured = true;
            rest = &rest[length..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\t' | '\n' => shown.push(c),
            // The same as a newline alone.
            '\r' if rest.starts_with('\n') => {}
            '\r' => shown.push_str("\u{240d}\n"),
            // Unicode has pictures of these, from U+2400 on.
            '\0'..='\x1f' => shown.extend(char::from_u32(0x2400 + u32::from(c))),
            '\x7f' => shown.push('\u{2421}'),
            c if is_command(c) => shown.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => shown.push(c),
        }
    }
    if coloured && !text.ends_with(RESET) {
        shown.push_str(RESET);
    }
    Cow::Owned(shown)
}

/// Control characters, and those that change the direction of what follows.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The length of the SGR sequence that the text begins with, if it does: `ESC [ 1 ; 31 m`.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["", "plain", "tab\there", "two\nlines", "ä ✓ 漢字", "\u{fffd}"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn colours_stay_and_end() {
        assert_eq!(visible("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(visible("\x1b[38:5:9mred"), "\x1b[38:5:9mred\x1b[0m");
        assert_eq!(visible("\x1b[m"), "\x1b[m\x1b[0m");
    }

    #[test]
    fn commands_are_shown() {
        assert_eq!(visible("\x1b]0;title\x07"), "␛]0;title␇");
        assert_eq!(visible("\x1b[2J\x1b[31;H\x1b[6n\x1b["), "␛[2J␛[31;H␛[6n␛[");
        assert_eq!(visible("\x1bc\x08\x7f\0"), "␛c␈␡␀");
        assert_eq!(visible("\u{9b}31m"), "<U+009B>31m");
        assert_eq!(visible("\u{202e}txt"), "<U+202E>txt");
        assert_eq!(visible("one\rtwo\r\nthree"), "one␍\ntwo\nthree");
    }
}
