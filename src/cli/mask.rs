//! Secrets out of a command line before anything keeps it (contract section 5).

use crate::plan::origin::mask_userinfo;
use crate::plan::request::is_secret_header;

const MASK: &str = "***";

/// The arguments with secret header values, bodies and URL credentials replaced by `***`.
pub(super) fn argv(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut masked = Vec::new();
    let mut expected = None;
    for argument in arguments {
        if let Some(kind) = expected.take() {
            masked.push(secret(kind, &argument));
            continue;
        }
        let (text, next) = option(&argument);
        expected = next;
        masked.push(text);
    }
    masked
}

/// An option whose value may be a secret, or `@FILE` with one.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Header,
    Body,
}

/// All of them.
const OPTIONS: [(&str, char, Kind); 2] = [("header", 'H', Kind::Header), ("body", 'b', Kind::Body)];

/// What may be secret in the value of the option `--long`; that of any other is at most a URL with credentials.
pub(super) fn kind(long: &str) -> Option<Kind> {
    OPTIONS.iter().find(|(name, ..)| *name == long).map(|(.., kind)| *kind)
}

/// The argument with an attached value masked, or the kind of value that must follow it.
fn option(argument: &str) -> (String, Option<Kind>) {
    for (long, _, kind) in OPTIONS {
        match argument.strip_prefix("--").and_then(|typed| typed.strip_prefix(long)) {
            Some("") => return (argument.to_owned(), Some(kind)),
            Some(rest) if rest.starts_with('=') => return (format!("--{long}={}", secret(kind, &rest[1..])), None),
            _ => {}
        }
    }
    // Short options may stand together: -q takes no value.
    let cluster = argument.strip_prefix('-').filter(|rest| !rest.starts_with('-')).unwrap_or_default();
    let flags = cluster.len() - cluster.trim_start_matches('q').len();
    for (_, short, kind) in OPTIONS {
        match cluster[flags..].strip_prefix(short) {
            Some("") => return (argument.to_owned(), Some(kind)),
            Some(rest) => {
                let typed = rest.strip_prefix('=').unwrap_or(rest);
                return (format!("-{}{short}{}", &cluster[..flags], secret(kind, typed)), None);
            }
            None => {}
        }
    }
    (mask_userinfo(argument), None)
}

/// The value of an option, by what may be secret in it.
pub(super) fn value(kind: Option<Kind>, text: &str) -> String {
    kind.map_or_else(|| mask_userinfo(text), |kind| secret(kind, text))
}

/// Whether `***` still stands where a secret belongs.
pub(super) fn is_placeholder(kind: Option<Kind>, text: &str) -> bool {
    match kind {
        Some(Kind::Body) => text == MASK,
        Some(Kind::Header) => secret_header(text).is_some_and(|(_, value)| value == MASK),
        None => text.split_once("://").is_some_and(|(_, rest)| rest.starts_with(&format!("{MASK}@"))),
    }
}

fn secret(kind: Kind, text: &str) -> String {
    match kind {
        // The name of a file is no secret.
        _ if text.starts_with('@') => text.to_owned(),
        Kind::Body => MASK.to_owned(),
        Kind::Header => match secret_header(text) {
            Some((name, _)) => format!("{name}: {MASK}"),
            None => text.to_owned(),
        },
    }
}

/// Name and value of a header whose value is a secret; one without a value has none.
fn secret_header(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once(':')?;
    let value = value.trim();
    (is_secret_header(name.trim()) && !value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], expected: &[&str]) {
        assert_eq!(argv(arguments.iter().map(|&argument| argument.to_owned())), expected);
    }

    #[test]
    fn secret_headers_are_masked_however_they_are_typed() {
        check(
            &["-H", "Authorization: Bearer x", "-H", "X-Plain: y"],
            &["-H", "Authorization: ***", "-H", "X-Plain: y"],
        );
        check(&["-Hcookie:a=b", "--header=X-Api-Key: k"], &["-Hcookie: ***", "--header=X-Api-Key: ***"]);
        check(&["-qH", "Proxy-Authorization: x"], &["-qH", "Proxy-Authorization: ***"]);
        check(&["-H", "@secrets.txt", "-H", "Cookie:"], &["-H", "@secrets.txt", "-H", "Cookie:"]);
    }

    #[test]
    fn bodies_are_masked_and_file_names_are_not() {
        check(&["-b", "password=1", "--body=x", "-bx"], &["-b", "***", "--body=***", "-b***"]);
        check(&["-b", "@body.json"], &["-b", "@body.json"]);
    }

    #[test]
    fn a_mask_is_known_where_a_secret_belongs_and_nowhere_else() {
        for (long, text) in [("header", "Cookie: ***"), ("body", "***"), ("url", "http://***@host/")] {
            assert!(is_placeholder(kind(long), text), "{text}");
            assert_eq!(value(kind(long), text), text);
        }
        for (long, text) in [
            ("header", "X-Plain: ***"),
            ("header", "Cookie: a"),
            ("body", "a ***"),
            ("url", "http://host/?u=http://***@x"),
        ] {
            assert!(!is_placeholder(kind(long), text), "{text}");
        }
    }

    #[test]
    fn credentials_in_urls_are_masked() {
        check(&["http://me:pw@host/a@b", "http://host/x@y"], &["http://***@host/a@b", "http://host/x@y"]);
    }
}
