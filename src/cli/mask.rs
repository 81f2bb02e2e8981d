//! Secrets out of a command line before anything keeps it (contract section 5).

use clap::{Arg, FromArgMatches as _};

use super::auth;
use super::bench::Args;
use super::plan_file;
use crate::plan::origin::mask_userinfo;
use crate::plan::request::is_secret_header;

const MASK: &str = "***";

/// The arguments with secret header values, bodies and credentials replaced by `***`.
pub(super) fn argv(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let switches = switches();
    let mut masked = Vec::new();
    let mut expected = None;
    for argument in arguments {
        if let Some(kind) = expected.take() {
            masked.push(secret(kind, &argument));
            continue;
        }
        let (text, next) = option(&argument, &switches);
        expected = next;
        masked.push(text);
    }
    masked
}

/// A message with the credentials of every URL in it replaced by `***`: one may quote a URL that was typed in the place of
/// something else.
pub(super) fn message(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let authority = &after[..after.find(['/', '?', '#']).unwrap_or(after.len())];
        rest = match authority.rfind('@') {
            Some(at) => {
                masked.push_str(MASK);
                &after[at..]
            }
            None => after,
        };
    }
    masked + rest
}

/// An option whose value may be a secret, or `@FILE` with one.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Header,
    Body,
    /// Or `env:NAME`.
    Credentials,
    /// Never a file.
    Cookies,
    /// A proxy's URL, with or without its scheme.
    Proxy,
    /// A header and what is expected of its value; never a file.
    ExpectedHeader,
    /// What is expected of bodies; no secret.
    ExpectedBody,
}

/// All of them, by their long and short names.
const OPTIONS: [(&str, Option<char>, Kind); 8] = [
    ("header", Some('H'), Kind::Header),
    ("body", Some('b'), Kind::Body),
    ("user", Some('u'), Kind::Credentials),
    ("bearer", None, Kind::Credentials),
    ("proxy", Some('x'), Kind::Proxy),
    ("cookie", None, Kind::Cookies),
    ("expect-header", None, Kind::ExpectedHeader),
    ("expect-body", None, Kind::ExpectedBody),
];

/// What may be secret in the value of the option `--long`; that of any other is at most a URL with credentials.
pub(super) fn kind(long: &str) -> Option<Kind> {
    OPTIONS.iter().find(|(name, ..)| *name == long).map(|(.., kind)| *kind)
}

/// Whether the option `--long` takes its secret from a file as well.
pub(super) fn takes_file(long: &str) -> bool {
    kind(long).is_some_and(|kind| !matches!(kind, Kind::ExpectedHeader | Kind::Cookies))
}

/// The argument with an attached value masked, or the kind of value that must follow it.
fn option(argument: &str, switches: &[char]) -> (String, Option<Kind>) {
    for (long, _, kind) in OPTIONS {
        match argument.strip_prefix("--").and_then(|typed| typed.strip_prefix(long)) {
            Some("") => return (argument.to_owned(), Some(kind)),
            Some(rest) if rest.starts_with('=') => return (format!("--{long}={}", secret(kind, &rest[1..])), None),
            _ => {}
        }
    }
    // Short options may stand together, where those in front take no value.
    let cluster = argument.strip_prefix('-').filter(|rest| !rest.starts_with('-')).unwrap_or_default();
    let flags = cluster.len() - cluster.trim_start_matches(switches).len();
    for (short, kind) in OPTIONS.iter().filter_map(|(_, short, kind)| short.map(|short| (short, *kind))) {
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

/// The short options of `bench` that take no value.
fn switches() -> Vec<char> {
    let command = plan_file::command::<Args>();
    let without_value = command.get_arguments().filter(|option| !option.get_action().takes_values());
    without_value.filter_map(Arg::get_short).collect()
}

/// The value of an option, by what may be secret in it.
pub(super) fn value(kind: Option<Kind>, text: &str) -> String {
    kind.map_or_else(|| mask_userinfo(text), |kind| secret(kind, text))
}

/// Whether `***` still stands where a secret belongs.
pub(super) fn is_placeholder(kind: Option<Kind>, text: &str) -> bool {
    match kind {
        Some(Kind::Body | Kind::Credentials | Kind::Cookies) => text == MASK,
        Some(Kind::Header | Kind::ExpectedHeader) => secret_header(text).is_some_and(|(_, value)| value == MASK),
        Some(Kind::ExpectedBody) => false,
        Some(Kind::Proxy) => text.rsplit("://").next().is_some_and(|rest| rest.starts_with(&format!("{MASK}@"))),
        None => text.split_once("://").is_some_and(|(_, rest)| rest.starts_with(&format!("{MASK}@"))),
    }
}

fn secret(kind: Kind, text: &str) -> String {
    match kind {
        // The name of a file is no secret.
        _ if text.starts_with('@') => text.to_owned(),
        Kind::Credentials if auth::is_reference(text) => text.to_owned(),
        Kind::Body | Kind::Credentials | Kind::Cookies => MASK.to_owned(),
        Kind::Proxy => proxy(text),
        Kind::ExpectedBody => text.to_owned(),
        Kind::Header | Kind::ExpectedHeader => match secret_header(text) {
            Some((name, _)) => format!("{name}: {MASK}"),
            None => text.to_owned(),
        },
    }
}

/// A proxy's URL without its credentials: all before the last @, which no host, port or scheme can hold.
fn proxy(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.to_owned() };
    let scheme = ["http://", "https://", "socks5://", "socks5h://"].into_iter().find(|scheme| text.starts_with(scheme));
    format!("{}{MASK}{}", scheme.unwrap_or_default(), &text[at..])
}

/// Name and value of a header whose value is a secret; one without a value has none.
fn secret_header(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once(':')?;
    let value = value.trim();
    (is_secret_header(name.trim()) && !value.is_empty()).then_some((name, value))
}

/// Checks what must hold for every command line that is accepted as a load run, `bytes` being its arguments with a NUL
/// between them: nothing is kept of a body, of a secret header's value and of credentials.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_argv(bytes: &[u8]) {
    const SECRET: &str = "hush-4711";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let typed: Vec<&str> = text.split('\0').collect();
    let masked = argv(typed.iter().map(|&argument| argument.to_owned()));
    assert_eq!(masked.len(), typed.len());
    if text.contains(SECRET) {
        return;
    }
    let mut bench = plan_file::command::<Args>();
    // A secret at the end of each argument in turn, where the program itself takes it for one.
    for at in 0..typed.len() {
        let mut arguments: Vec<String> = typed.iter().map(|&argument| argument.to_owned()).collect();
        arguments[at].push_str(SECRET);
        let line = std::iter::once("bench").chain(arguments.iter().map(String::as_str));
        let Ok(matches) = bench.try_get_matches_from_mut(line) else { continue };
        let args = Args::from_arg_matches(&matches).expect("what the declaration accepts");
        if args.secrets().any(|secret| secret.ends_with(SECRET)) {
            let kept = argv(arguments.iter().cloned());
            assert!(!kept.iter().any(|argument| argument.contains(SECRET)), "{kept:?} of {arguments:?}");
        }
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
        check(&["-k4qHCookie: x", "-6kb", "x"], &["-k4qHCookie: ***", "-6kb", "***"]);
        check(&["-kqH", "Cookie: x"], &["-kqH", "Cookie: ***"]);
        check(&["-H", "@secrets.txt", "-H", "Cookie:"], &["-H", "@secrets.txt", "-H", "Cookie:"]);
    }

    #[test]
    fn bodies_are_masked_and_file_names_are_not() {
        check(&["-b", "password=1", "--body=x", "-bx"], &["-b", "***", "--body=***", "-b***"]);
        check(&["-b", "@body.json"], &["-b", "@body.json"]);
        check(&["--cookie", "a=1", "--cookie=a=1"], &["--cookie", "***", "--cookie=***"]);
        assert!(takes_file("body") && !takes_file("cookie"));
    }

    #[test]
    fn credentials_are_masked_and_where_they_stand_is_not() {
        check(&["-u", "me:pw", "-ume:pw", "-u=me:pw", "-ku", "me:pw"], &["-u", "***", "-u***", "-u***", "-ku", "***"]);
        check(&["--user", "me:pw", "--user=me:pw"], &["--user", "***", "--user=***"]);
        check(&["--bearer", "token", "--bearer=token"], &["--bearer", "***", "--bearer=***"]);
        check(&["-u", "@login", "--bearer=env:TOKEN", "-uenv:ME"], &["-u", "@login", "--bearer=env:TOKEN", "-uenv:ME"]);
    }

    #[test]
    fn credentials_of_proxies_are_masked_with_and_without_a_scheme() {
        check(&["-x", "http://me:pw@host:1"], &["-x", "http://***@host:1"]);
        check(
            &["--proxy", "me:p/w@host", "--proxy=socks5h://me:p@w@host"],
            &["--proxy", "***@host", "--proxy=socks5h://***@host"],
        );
        check(&["-kqxme:x://w@host", "-x", "@me@file", "-xhost"], &["-kqx***@host", "-x", "@me@file", "-xhost"]);
        check(&["--proxy", "env:NAME", "--noproxy", "a@b"], &["--proxy", "env:NAME", "--noproxy", "a@b"]);
    }

    #[test]
    fn a_mask_is_known_where_a_secret_belongs_and_nowhere_else() {
        for (long, text) in [
            ("header", "Cookie: ***"),
            ("body", "***"),
            ("user", "***"),
            ("bearer", "***"),
            ("url", "http://***@host/"),
            ("proxy", "socks5://***@host"),
            ("proxy", "***@host"),
        ] {
            assert!(is_placeholder(kind(long), text), "{text}");
            assert_eq!(value(kind(long), text), text);
        }
        for (long, text) in [
            ("header", "X-Plain: ***"),
            ("header", "Cookie: a"),
            ("body", "a ***"),
            ("url", "http://host/?u=http://***@x"),
            ("proxy", "http://host"),
        ] {
            assert!(!is_placeholder(kind(long), text), "{text}");
        }
    }

    #[test]
    fn a_message_keeps_all_but_the_credentials_of_its_urls() {
        for (text, masked) in [
            ("-d: \"http://me:pw@host/\" is no duration", "-d: \"http://***@host/\" is no duration"),
            ("http://a:b@c, http://d/e@f and http://g@h", "http://***@c, http://d/e@f and http://***@h"),
            ("-o me@host: is a folder", "-o me@host: is a folder"),
        ] {
            assert_eq!(message(text), masked);
        }
    }

    #[test]
    fn credentials_in_urls_are_masked() {
        check(&["http://me:pw@host/a@b", "http://host/x@y"], &["http://***@host/a@b", "http://host/x@y"]);
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_command_lines() {
        let corpus: [&[u8]; 10] = [
            b"-H\0Authorization: Bearer x\0-H\0X-Plain: y\0http://a/",
            b"-Hcookie:a=b\0--header=X-Api-Key: k\0http://a/",
            b"-qH\0Proxy-Authorization: x",
            b"-b\0password=1\0--body=x",
            b"-qbx\0-c\x004\0http://me:pw@a/",
            b"-b=x\0-H=Cookie: x",
            b"-k4Hcookie:a=b\0http://a/",
            b"-u\0me:pw\0--bearer=x\0-ume:pw",
            b"-kqu\0me:pw\0--user\0@f\0--bearer\0env:X",
            b"--\0-b\0http://a/",
        ];
        let telling: [&[u8]; 20] = [
            b"\0",
            b"-",
            b"--",
            b"=",
            b"-q",
            b"-H",
            b"-b",
            b"\0-b\0",
            b"\0-H\0",
            b"--body",
            b"--header",
            b"Cookie:",
            b"@",
            b"-c4",
            b"-k",
            b"-u",
            b"\0-u\0",
            b"--user",
            b"--bearer",
            b"env:",
        ];
        crate::mutation::run("command_line", &corpus, &telling, 300, fuzz_argv);
    }
}
