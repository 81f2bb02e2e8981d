//! The house rules that a compiler does not hold: import arrows, heads of files, sizes, and the map that is promised.

use std::fs;
use std::path::{Path, PathBuf};

/// Imports point left only.
const ORDER: [&str; 9] = ["units", "plan", "record", "wire", "net", "engine", "fetch", "report", "cli"];
const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

struct Source {
    /// Relative to the package.
    path: PathBuf,
    text: String,
}

impl Source {
    /// `engine` of `src/engine/slot.rs`, `units` of `src/units.rs`.
    fn module(&self) -> String {
        let name = self.path.components().nth(1).expect("a file in src").as_os_str().to_string_lossy();
        name.trim_end_matches(".rs").to_owned()
    }

    fn is_test(&self) -> bool {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        name == "tests" || name.ends_with("_tests") || name == "fixture"
    }

    /// What is compiled into the program: everything before the tests at the file's end.
    fn program(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    /// The top-level modules of the crate that its program names.
    fn imports(&self) -> Vec<String> {
        let code: String = self.program().lines().map(code_of).collect::<Vec<_>>().join("\n");
        let mut modules = Vec::new();
        for prefix in ["crate::", "ringload::"] {
            for (at, _) in code.match_indices(prefix) {
                let rest = &code[at + prefix.len()..];
                let list = match rest.strip_prefix('{') {
                    Some(group) => top_level_names(group),
                    None => vec![rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()],
                };
                modules.extend(list);
            }
        }
        modules
    }
}

/// The line without its comment.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The first segments of a `{a, b::c, d::{e, f}}` whose opening brace is gone.
fn top_level_names(group: &str) -> Vec<String> {
    let (mut names, mut name, mut depth, mut first) = (Vec::new(), String::new(), 0, true);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(std::mem::take(&mut name));
                first = true;
            }
            ':' => first = false,
            c if first && depth == 0 && !c.is_whitespace() => name.push(c),
            _ => {}
        }
    }
    names.push(name);
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is text");
                found.push(Source { path: path.strip_prefix(root()).expect("under the root").to_owned(), text });
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Fails with all of `complaints` at once.
#[track_caller]
fn none(complaints: impl IntoIterator<Item = String>) {
    let all: Vec<String> = complaints.into_iter().collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

fn may_import(from: &str, to: &str) -> bool {
    let rank = |name: &str| ORDER.iter().position(|other| *other == name);
    match (from, to) {
        _ if from == to => true,
        ("main" | "lib", _) => true,
        ("clock", to) => to == "units",
        ("files", _) => false,
        (from, "files") => ["fetch", "cli"].contains(&from),
        (from, "clock") => ["net", "engine", "fetch", "cli", "target"].contains(&from),
        ("target", to) => ["units", "net"].contains(&to),
        (from, "target") => from == "cli",
        _ => rank(from).zip(rank(to)).is_some_and(|(from, to)| to < from),
    }
}

#[test]
fn imports_point_left_only() {
    let sources = sources("src");
    let wrong = sources.iter().filter(|source| !source.is_test()).flat_map(|source| {
        let from = source.module();
        let imports = source.imports().into_iter().filter(move |to| !may_import(&from, to));
        imports.map(|to| format!("{} must not know {to}", source.path.display()))
    });
    none(wrong);
}

#[test]
fn the_rule_of_imports_is_the_design_s() {
    assert!(may_import("engine", "plan") && may_import("cli", "target") && may_import("report", "record"));
    assert!(!may_import("plan", "engine") && !may_import("report", "target") && !may_import("record", "clock"));
    let source = Source {
        path: "src/wire/x.rs".into(),
        text: "use crate::{plan::{Plan, raw}, engine};\nuse crate::net::stream; // crate::cli\n".to_owned(),
    };
    assert_eq!(source.imports(), ["plan", "engine", "net"]);
    assert_eq!(source.module(), "wire");
}

#[test]
fn every_file_says_first_what_it_owns() {
    for folder in ["src", "tests"] {
        let silent = |source: &&Source| !source.text.starts_with("//! ");
        none(sources(folder).iter().filter(silent).map(|source| format!("{} has no head", source.path.display())));
    }
}

#[test]
fn no_file_is_longer_than_two() {
    for folder in ["src", "tests"] {
        none(sources(folder).iter().filter_map(|source| {
            let lines = source.text.lines().count();
            (lines >= LINES_MAX).then(|| format!("{} has {lines} lines", source.path.display()))
        }));
    }
}

#[test]
fn no_function_is_longer_than_a_screen() {
    for folder in ["src", "tests"] {
        none(sources(folder).iter().flat_map(long_functions));
    }
}

/// Relies on rustfmt: a function ends at the first line that is a brace at its own indentation.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "]
            .into_iter()
            .chain(["pub(crate) async fn ", "pub const fn ", "const fn "])
            .any(|start| code.starts_with(start));
        if !is_function || line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[start..].iter().position(|line| *line == end).map_or(0, |length| length + 1);
        if length > FUNCTION_LINES_MAX {
            long.push(format!("{}:{} has {length} lines", source.path.display(), start + 1));
        }
    }
    long
}

#[test]
fn unsafe_code_is_in_net_alone() {
    none(sources("src").iter().filter_map(|source| {
        let has = source.text.lines().map(code_of).any(|line| line.split_whitespace().any(|word| word == "unsafe"));
        (has && source.module() != "net").then(|| format!("{} has unsafe code", source.path.display()))
    }));
}

#[test]
fn only_net_engine_and_target_name_the_runtime() {
    none(sources("src").iter().filter_map(|source| {
        let names = source.text.lines().map(code_of).any(|line| line.contains("monoio"));
        let may = ["net", "engine", "target"].contains(&source.module().as_str());
        (names && !may).then(|| format!("{} names monoio", source.path.display()))
    }));
}

#[test]
fn nothing_is_left_to_be_done() {
    // Put together here, so that this file does not find itself.
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["dbg", "!("], ["todo", "!("], ["#[ig", "nore"]].map(|mark| mark.concat());
    for folder in ["src", "tests"] {
        none(sources(folder).iter().flat_map(|source| {
            let found = marks.iter().filter(|mark| source.text.contains(mark.as_str()));
            found.map(|mark| format!("{} has a {mark}", source.path.display())).collect::<Vec<_>>()
        }));
    }
}

#[test]
fn what_the_architecture_names_exists() {
    let Ok(text) = fs::read_to_string(root().join("ARCHITECTURE.md")) else { return };
    let named = text.split('`').skip(1).step_by(2).filter(|name| {
        let is_path = name.contains('/') || name.ends_with(".rs") || name.ends_with(".md") || name.ends_with(".toml");
        is_path && name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) && !name.starts_with('/')
    });
    let missing = named.filter(|name| !["", "src"].iter().any(|base| root().join(base).join(name).exists()));
    none(missing.map(|name| format!("ARCHITECTURE.md names {name}, which does not exist")));
    assert!(text.lines().count() <= 200, "at most 200 lines");
}

#[test]
fn what_the_readmes_link_to_exists() {
    let missing = ["README.md", "results/README.md", "scripts/README.md"].iter().flat_map(|name| {
        let text = fs::read_to_string(root().join(name)).expect("a text");
        let folder = root().join(name).parent().expect("a folder").to_owned();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
        let is_missing = |target: &&str| match target.strip_prefix('#') {
            Some(heading) => !headings.iter().any(|anchor| anchor == heading),
            None => !target.contains("://") && !folder.join(target).exists(),
        };
        let missing =
            targets.filter(is_missing).map(|target| format!("{name} links to {target}, which does not exist"));
        missing.collect::<Vec<_>>()
    });
    none(missing);
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}
