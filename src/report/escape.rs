//! Text from elsewhere, made safe to print: a server's bytes must not steer a terminal.

/// `text` with everything but printable ASCII escaped (`\u{1b}`, `\n`), the backslash too, so that it reads back uniquely.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='[' | ']'..='~' => out.push(c),
            _ => out.extend(c.escape_default()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_goes_through() {
        assert_eq!(escape("plain \"text\" ~"), "plain \"text\" ~");
        assert_eq!(escape("a\u{1b}[2J\r\n\t\0\u{7f}"), r"a\u{1b}[2J\r\n\t\u{0}\u{7f}");
        assert_eq!(escape("\u{9b}31m \u{202e}txt ü \\n"), r"\u{9b}31m \u{202e}txt \u{fc} \\n");
        assert!((0..=255u8).map(char::from).all(|c| escape(&c.to_string()).bytes().all(|b| (32..127).contains(&b))));
    }
}
