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
            masked.push(value(kind, &argument));
            continue;
        }
        let (text, next) = option(&argument);
        expected = next;
        masked.push(text);
    }
    masked
}

/// An option whose value may be a secret.
#[derive(Clone, Copy)]
enum Kind {
    Header,
    Body,
}

/// The argument with an attached value masked, or the kind of value that must follow it.
fn option(argument: &str) -> (String, Option<Kind>) {
    for (long, kind) in [("--header", Kind::Header), ("--body", Kind::Body)] {
        match argument.strip_prefix(long) {
            Some("") => return (argument.to_owned(), Some(kind)),
            Some(rest) if rest.starts_with('=') => return (format!("{long}={}", value(kind, &rest[1..])), None),
            _ => {}
        }
    }
    // Short options may stand together: -q takes no value.
    let cluster = argument.strip_prefix('-').filter(|rest| !rest.starts_with('-')).unwrap_or_default();
    let flags = cluster.len() - cluster.trim_start_matches('q').len();
    for (short, kind) in [('H', Kind::Header), ('b', Kind::Body)] {
        match cluster[flags..].strip_prefix(short) {
            Some("") => return (argument.to_owned(), Some(kind)),
            Some(rest) => {
                let typed = rest.strip_prefix('=').unwrap_or(rest);
                return (format!("-{}{short}{}", &cluster[..flags], value(kind, typed)), None);
            }
            None => {}
        }
    }
    (mask_userinfo(argument), None)
}

fn value(kind: Kind, text: &str) -> String {
    match kind {
        // The name of a file is no secret.
        _ if text.starts_with('@') => text.to_owned(),
        Kind::Body => MASK.to_owned(),
        Kind::Header => match text.split_once(':') {
            Some((name, _)) if is_secret_header(name.trim()) => format!("{name}: {MASK}"),
            _ => text.to_owned(),
        },
    }
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
        check(&["-H", "@secrets.txt"], &["-H", "@secrets.txt"]);
    }

    #[test]
    fn bodies_are_masked_and_file_names_are_not() {
        check(&["-b", "password=1", "--body=x", "-bx"], &["-b", "***", "--body=***", "-b***"]);
        check(&["-b", "@body.json"], &["-b", "@body.json"]);
    }

    #[test]
    fn credentials_in_urls_are_masked() {
        check(&["http://me:pw@host/a@b", "http://host/x@y"], &["http://***@host/a@b", "http://host/x@y"]);
    }
}
