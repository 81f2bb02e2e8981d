//! Options of other tools that are typed by habit: what to write here instead.
//!
//! Knows usage errors of clap alone; no option is accepted here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::plan::PlanError;

const SCRIPTS: &str = "there are no scripts; -X, -H and -b make a request, -i FILE many (ringload help urlset)";
const REDIRECTS: &str = "redirects are not followed: give the URL that they lead to";
const FOLLOWED: &str = "redirects are followed; leave it out, or bound them by --max-redirects";
const BODY: &str = "write -b TEXT or -b @FILE";
const ENDLESS: &str = "a list ends with its last line; leave it out";

/// Of `bench`: as wrk, hey, ab, oha, k6 and curl have them.
const BENCH: [(&str, &str); 23] = [
    ("--latency", "all percentiles are always printed; leave it out"),
    ("-s", SCRIPTS),
    ("--script", SCRIPTS),
    ("-D", "a body from a file is -b @FILE"),
    ("-T", "write -H 'Content-Type: TYPE'"),
    ("-a", "credentials are -u USER:PASSWORD"),
    ("-p", "requests at a time on a connection are --streams N (HTTP/2) or --pipeline N"),
    ("--http2", "write --http 2"),
    ("--h2", "write --http 2"),
    ("--disable-keepalive", "write --keep-alive false"),
    ("--no-connection-reuse", "write --keep-alive false"),
    ("--urls-from-file", "write -i FILE"),
    ("--output-format", "write --format json, or -o FILE.json"),
    ("--no-tui", "write --no-progress"),
    ("--vus", "users at the same time are connections: -c N"),
    ("--iterations", "a number of requests is -n N"),
    ("--out", "write -o FILE.json, or --csv FILE"),
    ("--summary-export", "write -o FILE.json"),
    ("--insecure-skip-tls-verify", "write -k"),
    ("-L", REDIRECTS),
    ("--location", REDIRECTS),
    ("--data", BODY),
    ("--data-binary", BODY),
];

/// Of `fetch`: as `bench`, curl and wget have them.
const FETCH: [(&str, &str); 15] = [
    ("-d", "a body is -b TEXT; the time is not limited but for each request (--timeout)"),
    ("--duration", ENDLESS),
    ("-n", ENDLESS),
    ("--requests", ENDLESS),
    ("--once", "each line is fetched once; leave it out"),
    ("-L", FOLLOWED),
    ("--location", FOLLOWED),
    ("-O", "bodies become files by --save DIR"),
    ("-P", "bodies become files by --save DIR"),
    ("--parallel", "-c N connections in all, --connections-per-host N to one host"),
    ("--parallel-max", "-c N connections in all, --connections-per-host N to one host"),
    ("--wait", "requests a second to one host are --rate-per-host RATE, such as 30/m"),
    ("--tries", "tries after the first are --retries N"),
    ("--data", BODY),
    ("--data-binary", BODY),
];

/// The option of another tool that is behind a usage error, and what to write instead. `of` is the subcommand.
pub(super) fn hint(error: &clap::Error, of: &str) -> Option<PlanError> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let options: &[(&str, &str)] = match of {
        "bench" => &BENCH,
        "fetch" => &FETCH,
        _ => return None,
    };
    let (option, instead) = options.iter().find(|(option, _)| option == typed)?;
    Some(PlanError::new(*option, *instead))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;
    use super::*;

    fn typed(arguments: &[&str]) -> Option<String> {
        let error = Cli::try_parse_from([&["ringload"], arguments].concat()).expect_err("it is no option");
        hint(&error, arguments[0]).map(|hint| hint.to_string())
    }

    #[test]
    fn each_option_is_none_of_ours() {
        for (of, options) in [("bench", &BENCH[..]), ("fetch", &FETCH[..])] {
            for (option, instead) in options {
                assert_eq!(typed(&[of, option]), Some(format!("{option}: {instead}")), "{of} {option}");
            }
        }
    }

    #[test]
    fn with_a_value_it_is_told_too() {
        let out = typed(&["bench", "--out=json=r.json", "http://h/"]);
        assert_eq!(out.as_deref(), Some("--out: write -o FILE.json, or --csv FILE"));
        assert!(
            typed(&["bench", "-sscript.lua", "http://h/"]).is_some_and(|text| text.starts_with("-s: there are no"))
        );
        assert_eq!(typed(&["bench", "--nonsense"]), None);
        assert_eq!(typed(&["bench", "--http", "3"]), None);
    }
}
