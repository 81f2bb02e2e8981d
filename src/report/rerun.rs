//! A run as one command of a POSIX shell.

use std::borrow::Cow;

/// The command of `argv`, whose secrets are masked: put them back in the place of `***` before running it.
pub fn rerun(argv: &[String]) -> String {
    argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// A word that the shell takes as it is.
pub fn quote(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        let argv = ["ringload", "-H", "Cookie: ***", "http://h/?a=b&c", "it's", "", "~", "-c8"].map(str::to_owned);
        assert_eq!(rerun(&argv), r"ringload -H 'Cookie: ***' 'http://h/?a=b&c' 'it'\''s' '' '~' -c8");
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let words = ["$HOME `id` \"x\"", "a\nb\tc", "'", "''\\'", "*", "#x", "a;b|c>d<e(f)", "{a,b}", "!!"];
        let quoted = rerun(&words.map(str::to_owned));
        let said = std::process::Command::new("sh").args(["-c", &format!("printf '%s\\0' {quoted}")]).output();
        assert_eq!(said.expect("a shell").stdout, (words.join("\0") + "\0").into_bytes());
    }
}
