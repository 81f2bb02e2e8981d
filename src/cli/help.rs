//! `ringload help`: the topics, as plain text that is compiled in, and the help of subcommands.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::{Cli, stdout};
use crate::plan::PlanError;

/// What can be typed after `help`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A topic or a subcommand; without one, the overview
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,
}

/// A text of its own, under the name by which it is asked for.
struct Topic {
    name: &'static str,
    /// What it is about, in a line.
    about: &'static str,
    text: &'static str,
}

const TOPICS: [Topic; 15] = [
    Topic {
        name: "measuring",
        about: "how to get numbers that mean something",
        text: include_str!("topics/measuring.txt"),
    },
    Topic { name: "health", about: "whether the figures may be believed", text: include_str!("topics/health.txt") },
    Topic {
        name: "statistics",
        about: "how sure a figure is, and whether the run was steady",
        text: include_str!("topics/statistics.txt"),
    },
    Topic {
        name: "shapes",
        about: "ramps, stages, traces: an open load over time",
        text: include_str!("topics/shapes.txt"),
    },
    Topic { name: "urlset", about: "many URLs: -i and its lines", text: include_str!("topics/urlset.txt") },
    Topic { name: "fetch", about: "a list of URLs, each once: fetch", text: include_str!("topics/fetch.txt") },
    Topic { name: "checks", about: "what answers must be", text: include_str!("topics/checks.txt") },
    Topic { name: "http", about: "HTTP/2, streams, pipelines", text: include_str!("topics/http.txt") },
    Topic {
        name: "containers",
        about: "io_uring, cores and files in containers",
        text: include_str!("topics/containers.txt"),
    },
    Topic {
        name: "network",
        about: "sources, unix sockets and names: where connections go",
        text: include_str!("topics/network.txt"),
    },
    Topic { name: "proxies", about: "through a proxy: HTTP, CONNECT, SOCKS", text: include_str!("topics/proxies.txt") },
    Topic {
        name: "artefacts",
        about: "files for other programs, and a bundle of everything",
        text: include_str!("topics/artefacts.txt"),
    },
    Topic { name: "from-wrk", about: "for users of wrk and wrk2", text: include_str!("topics/from-wrk.txt") },
    Topic { name: "from-k6", about: "for users of k6", text: include_str!("topics/from-k6.txt") },
    Topic {
        name: "warnings",
        about: "what each warning means and what to do",
        text: include_str!("topics/warnings.txt"),
    },
];

/// Prints what was asked for.
///
/// # Errors
/// A name that is neither a topic nor a subcommand; a standard output that takes nothing.
pub fn run(args: &Args) -> Result<u8, Box<dyn std::error::Error>> {
    let text = match args.topic.as_deref() {
        None => long_help(&[]),
        Some(name) => match TOPICS.iter().find(|topic| topic.name == name) {
            Some(topic) => topic.text.to_owned(),
            None => of_subcommand(name).ok_or_else(|| unknown(name))?,
        },
    };
    stdout(text.as_bytes())?;
    Ok(0)
}

/// The list of topics, behind the options in the overview.
pub(super) fn list() -> String {
    let mut text = "Topics (ringload help TOPIC):\n".to_owned();
    for topic in &TOPICS {
        let _ = writeln!(text, "  {:<11}  {}", topic.name, topic.about);
    }
    text
}

fn of_subcommand(name: &str) -> Option<String> {
    Cli::command().find_subcommand(name).map(|_| long_help(&[name]))
}

/// What `--help` behind these arguments says.
fn long_help(of: &[&str]) -> String {
    let typed = ["ringload"].iter().chain(of).chain(&["--help"]);
    Cli::command().try_get_matches_from(typed).err().map(|help| help.render().to_string()).unwrap_or_default()
}

fn unknown(name: &str) -> PlanError {
    let topics: Vec<_> = TOPICS.iter().map(|topic| topic.name).collect();
    let problem = format!("is neither a topic nor a subcommand; the topics are {}", topics.join(", "));
    PlanError::new(format!("help {}", name.escape_debug()), problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::warning::Code;

    fn text(name: &str) -> &'static str {
        TOPICS.iter().find(|topic| topic.name == name).expect(name).text
    }

    #[test]
    fn each_warning_has_its_entry_in_order() {
        let entries = text("warnings").lines().filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let is_code = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && rest.starts_with(' ');
            (is_code && !name.is_empty()).then_some(name)
        });
        assert_eq!(entries.collect::<Vec<_>>(), Code::ALL.map(Code::name));
    }

    #[test]
    fn topics_fit_a_terminal() {
        for Topic { name, text, .. } in &TOPICS {
            let lines = text.lines().count();
            assert!((20..=60).contains(&lines) && text.ends_with('\n'), "{name} has {lines} lines");
            for line in text.lines() {
                assert!(line.len() <= 80 && line.trim_end() == line && line.is_ascii(), "{name}: {line}");
            }
        }
    }

    #[test]
    fn topics_name_only_options_that_exist() {
        let mut command = Cli::command();
        command.build();
        let arguments = || command.get_subcommands().flat_map(clap::Command::get_arguments);
        let longs: Vec<_> = arguments().filter_map(clap::Arg::get_long_and_visible_aliases).flatten().collect();
        let foreign = [
            "--latency",
            "--timeout",
            "--rps",
            "--vus",
            "--duration",
            "--out",
            "--summary-export",
            "--security-opt",
            "--cpuset-cpus",
            "--ulimit",
            "--sysctl",
        ];
        for Topic { name, text, .. } in &TOPICS {
            for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
                let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) else { continue };
                let known = longs.contains(&long) || foreign.contains(&word);
                assert!(known, "{name}: there is no {word}");
            }
        }
    }
}
