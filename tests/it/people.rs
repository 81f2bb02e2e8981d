//! What the program says of itself: help topics, completions, the manual page.

use crate::support::ringload;

#[track_caller]
fn said(args: &[&str]) -> String {
    let finished = ringload(args);
    finished.assert_code(0);
    assert_eq!(finished.stderr, "");
    finished.stdout
}

#[test]
fn help_alone_is_the_overview_and_lists_the_topics() {
    let overview = said(&["help"]);
    assert_eq!(overview, said(&["--help"]));
    for part in [
        "bench",
        "target",
        "measuring",
        "statistics",
        "urlset",
        "http",
        "containers",
        "network",
        "from-wrk",
        "from-k6",
        "warnings",
    ] {
        assert!(overview.contains(part), "{part}: {overview}");
    }
}

#[test]
fn each_topic_is_printed_as_plain_text() {
    for topic in [
        "measuring",
        "health",
        "statistics",
        "shapes",
        "urlset",
        "checks",
        "http",
        "containers",
        "network",
        "artefacts",
        "warnings",
    ] {
        let text = said(&["help", topic]);
        assert!(text.lines().count() >= 20 && !text.contains('\u{1b}'), "{topic}");
    }
    assert!(said(&["help", "warnings"]).contains("connection_limited  "));
}

#[test]
fn help_of_a_subcommand_is_its_own_help() {
    for name in ["bench", "target", "completions"] {
        assert_eq!(said(&["help", name]), said(&[name, "--help"]));
    }
    assert!(said(&["help", "bench"]).contains("ringload bench [OPTIONS]"));
}

#[test]
fn an_unknown_topic_is_refused_by_naming_the_topics() {
    let finished = ringload(&["help", "\u{1b}nonsense"]);
    finished.assert_code(2);
    assert_eq!(finished.stdout, "");
    for part in [
        "help ",
        "nonsense",
        "measuring, health, statistics, shapes, urlset, fetch, checks, http, containers, network, proxies, artefacts, from-wrk, from-k6, warnings",
    ] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains('\u{1b}'));
}

#[test]
fn completions_know_the_options_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&["completions", shell]);
        assert!(script.contains("ringload") && script.contains("max-error-rate"), "{shell}: {script}");
    }
    let finished = ringload(&["completions", "dos"]);
    finished.assert_code(2);
    assert!(finished.stdout.is_empty() && finished.stderr.contains("powershell"), "{}", finished.stderr);
}

#[test]
fn bash_takes_its_completions() {
    let script = said(&["completions", "bash"]);
    let (_folder, path) = crate::support::file(script);
    match std::process::Command::new("bash").args(["-n", &path]).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => crate::support::note(&format!("SKIPPED: no bash: {error}")),
    }
}

#[test]
fn the_manual_page_has_every_subcommand_with_its_options() {
    let page = said(&["man"]);
    assert_eq!(page.matches("\n.TH ringload 1").count() + usize::from(page.starts_with(".TH")), 1, "one page");
    for part in [
        ".SH NAME",
        ".SH SYNOPSIS",
        ".SH \"RINGLOAD BENCH\"",
        ".SH \"RINGLOAD TARGET\"",
        ".SH \"RINGLOAD HELP\"",
        "\\-\\-abort\\-on",
        "\\-\\-listen",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
