//! The names of saved bodies below `--save`: told from the URL, its digest or the line's number; never outside the folder,
//! never the same for two lines, never longer than a file system takes.
//!
//! Owns names alone. What a URL holds is foreign: no part of a name is `.`, `..`, empty, hidden or an option.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use crate::units::hex;
use sha2::{Digest as _, Sha256};

/// No part of a name is longer, in bytes; file systems take 255.
const PART_BYTES_MAX: usize = 200;
/// What is left of a longer part, before its digest.
const PART_BYTES_KEPT: usize = 160;
/// No whole name is longer, in bytes, nor deeper, in folders; else the target is told by its digest alone.
const NAME_BYTES_MAX: usize = 1_000;
const FOLDERS_MAX: usize = 32;
/// So many names are remembered; whoever comes later has the number of the line in the name.
const NAMES_MAX: usize = 1 << 22;

/// How bodies are named (`--save-as`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveAs {
    /// By host and path: `example.com/images/a.png`.
    #[default]
    HostPath,
    /// By the SHA-256 of the URL: `3f/3f9a…`.
    Hash,
    /// By the number of the line: `000012/000012345`.
    Line,
}

impl SaveAs {
    /// `host-path`, `hash` or `line`, as options and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostPath => "host-path",
            Self::Hash => "hash",
            Self::Line => "line",
        }
    }

    /// What [`SaveAs::name`] says, read.
    ///
    /// # Errors
    /// The values that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let all = [Self::HostPath, Self::Hash, Self::Line];
        all.into_iter().find(|way| way.name() == text).ok_or_else(|| "write host-path, hash or line".to_owned())
    }
}

/// All names of a run, so that no two lines have the same.
#[derive(Debug)]
pub struct Names {
    way: SaveAs,
    /// Fingerprints of the names given, at most [`NAMES_MAX`]; two names of one fingerprint only cost one its plain form.
    given: HashSet<u64, RandomState>,
}

impl Names {
    /// Of a run that has given none.
    pub fn new(way: SaveAs) -> Self {
        Self { way, given: HashSet::default() }
    }

    /// A name that an earlier part of the run gave: it is in the output that is resumed.
    pub fn note(&mut self, name: &str) {
        if self.given.len() < NAMES_MAX {
            let print = self.given.hasher().hash_one(name);
            self.given.insert(print);
        }
    }

    /// The name for line `line` of this authority (`host` or `host:port`) and target, below the folder of `--save` and with
    /// `/` between its parts. Where another line has it, the number of the line is behind it.
    pub fn give(&mut self, line: u64, authority: &str, target: &str) -> String {
        let name = match self.way {
            SaveAs::HostPath => host_path(authority, target),
            SaveAs::Hash => hash(authority, target),
            SaveAs::Line => return format!("{:06}/{line:09}", line / 1_000),
        };
        let print = self.given.hasher().hash_one(&name);
        let full = self.given.len() >= NAMES_MAX;
        if full || !self.given.insert(print) { format!("{name}~{line}") } else { name }
    }
}

fn hash(authority: &str, target: &str) -> String {
    let digest = digest(&[authority, target], 32);
    format!("{}/{digest}", &digest[..2])
}

/// Host, folders and file. The names of folders hold no `.` and no `@`, those of files at least one: so `/a` and `/a/b` can
/// both be saved. What is not plain is percent-encoded; `%` itself goes through, a URL's own escapes with it.
fn host_path(authority: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = path.strip_prefix('/').unwrap_or(path);
    let (folders, file) = path.rsplit_once('/').map_or((None, path), |(folders, file)| (Some(folders), file));
    let host = part(authority, b".");
    let mut parts = vec![host.clone()];
    parts.extend(folders.into_iter().flat_map(|folders| folders.split('/')).map(|folder| part(folder, b"")));
    let mut last = harmless(escape(file, b"."));
    if !last.contains('.') {
        last.push('@');
    }
    if let Some(query) = query {
        last.push(',');
        last += &escape(query, b"=+");
    }
    parts.push(shorten(last));
    let name = parts.join("/");
    if name.len() > NAME_BYTES_MAX || parts.len() > FOLDERS_MAX {
        return format!("{host}/~{}", digest(&[target], 32));
    }
    name
}

/// One folder of a name; an empty one is `,`, which nothing else is.
fn part(text: &str, also: &[u8]) -> String {
    if text.is_empty() {
        return ",".to_owned();
    }
    shorten(harmless(escape(text, also)))
}

/// `text` with everything percent-encoded but letters, digits, `_`, `-`, `%` and what is in `also`.
fn escape(text: &str, also: &[u8]) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"_-%".contains(&byte) || also.contains(&byte) {
            out.push(byte.into());
        } else {
            out += &format!("%{byte:02X}");
        }
        out
    })
}

/// Without what some system takes for more than a name: hidden files and `..`, options, a dot that is dropped at the end,
/// and the devices of Windows.
fn harmless(mut name: String) -> String {
    if name.ends_with('.') {
        name.truncate(name.len() - 1);
        name += "%2E";
    }
    let first = name.bytes().next().unwrap_or(b'_');
    if b".-".contains(&first) || is_device(&name) {
        name.replace_range(..1, &format!("%{first:02X}"));
    }
    name
}

/// `CON`, `lpt1.txt` and their like.
fn is_device(name: &str) -> bool {
    let stem = name.split(['.', '@', ',']).next().unwrap_or_default().to_ascii_lowercase();
    let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    ["con", "prn", "aux", "nul"].contains(&stem.as_str())
        || numbered.is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
}

/// A part that is too long, told by its beginning and its digest; `~` comes from nothing else.
fn shorten(name: String) -> String {
    if name.len() <= PART_BYTES_MAX {
        return name;
    }
    format!("{}~{}", &name[..PART_BYTES_KEPT], digest(&[&name], 8))
}

/// The first `bytes` bytes of the SHA-256 of all `pieces`, in hexadecimal.
fn digest(pieces: &[&str], bytes: usize) -> String {
    let digest = pieces.iter().fold(Sha256::new(), |hasher, piece| hasher.chain_update(piece)).finalize();
    hex(&digest[..bytes])
}

/// Checks what must hold for every URL: its name stays in the folder, is within the bounds of file systems, is made of
/// harmless characters, and no two lines have the same.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_save_name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (authority, rest) = text.split_once('/').unwrap_or((&text, ""));
    let target = format!("/{rest}");
    for way in [SaveAs::HostPath, SaveAs::Hash, SaveAs::Line] {
        let mut names = Names::new(way);
        let name = names.give(1, authority, &target);
        let again = names.give(2, authority, &target);
        let below = names.give(3, authority, &format!("{target}/x"));
        assert!(name != again && name != below && again != below, "{name:?} {again:?} {below:?}");
        for name in [&name, &again, &below] {
            assert!(name.len() <= NAME_BYTES_MAX + 4, "{name:?}");
            for part in name.split('/') {
                assert!(!part.is_empty() && part.len() <= PART_BYTES_MAX + 4, "{name:?}");
                assert!(!part.starts_with(['.', '-']) && !part.ends_with('.') && !is_device(part), "{name:?}");
                assert!(
                    part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-%.@,=+~".contains(&byte)),
                    "{name:?}"
                );
            }
        }
        for folder in [&name, &again].into_iter().filter(|_| way == SaveAs::HostPath) {
            assert!(!below.starts_with(&format!("{folder}/")), "{folder:?} cannot be a file and a folder");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(authority: &str, target: &str) -> String {
        Names::new(SaveAs::HostPath).give(1, authority, target)
    }

    #[test]
    fn host_and_path_are_the_name() {
        for (authority, target, name) in [
            ("h.example", "/", "h.example/@"),
            ("h.example", "/a.png", "h.example/a.png"),
            ("h.example", "/images/a.png", "h.example/images/a.png"),
            ("h.example", "/a", "h.example/a@"),
            ("h.example", "/a/", "h.example/a/@"),
            ("h.example:8080", "/v1.2/a.tar.gz", "h.example%3A8080/v1%2E2/a.tar.gz"),
            ("h.example", "/a.php?x=1&y=a/b", "h.example/a.php,x=1%26y=a%2Fb"),
            ("h.example", "/?q", "h.example/@,q"),
            ("h.example", "/a%20b/%C3%BC.txt", "h.example/a%20b/%C3%BC.txt"),
            ("[::1]:80", "/x", "%5B%3A%3A1%5D%3A80/x@"),
        ] {
            assert_eq!(plain(authority, target), name, "{authority}{target}");
        }
    }

    #[test]
    fn no_name_leaves_its_folder() {
        for (target, name) in [
            ("/../../etc/passwd", "h/%2E%2E/%2E%2E/etc/passwd@"),
            ("/..", "h/%2E%2E@"),
            ("/.", "h/%2E@"),
            ("//etc/passwd", "h/,/etc/passwd@"),
            ("/%2e%2e/%2e%2e%2fx", "h/%2e%2e/%2e%2e%2fx@"),
            ("/a\\..\\b", "h/a%5C..%5Cb"),
            ("/a/.htaccess", "h/a/%2Ehtaccess@"),
            ("/-rf", "h/%2Drf@"),
            ("/a\0b", "h/a%00b@"),
            ("/trailing.", "h/trailing%2E@"),
        ] {
            assert_eq!(plain("h", target), name, "{target}");
        }
        assert_eq!(plain("..", "/x"), "%2E%2E/x@");
    }

    #[test]
    fn names_of_devices_are_escaped() {
        for (target, name) in [
            ("/con", "h/%63on@"),
            ("/NUL.txt", "h/%4EUL.txt"),
            ("/lpt1?x", "h/%6Cpt1@,x"),
            ("/aux/x.y", "h/%61ux/x.y"),
            ("/console", "h/console@"),
            ("/com10", "h/com10@"),
        ] {
            assert_eq!(plain("h", target), name, "{target}");
        }
    }

    #[test]
    fn long_parts_and_deep_paths_are_told_by_their_digest() {
        let long = |last: char| format!("/{}{last}.html", "x".repeat(300));
        let (one, other) = (plain("h", &long('1')), plain("h", &long('2')));
        assert!(one != other && one.len() == 2 + PART_BYTES_KEPT + 1 + 16, "{one}");
        let deep = |last: char| format!("/{}{last}", "a/".repeat(40));
        let (one, other) = (plain("h", &deep('1')), plain("h", &deep('2')));
        assert!(one != other && one.len() == 3 + 64 && one.starts_with("h/~"), "{one}");
        let wide = plain("h", &format!("/{}", format!("{}/", "w".repeat(190)).repeat(6)));
        assert_eq!(wide.len(), 3 + 64);
    }

    #[test]
    fn lines_with_one_url_have_names_of_their_own_also_after_a_resume() {
        let mut names = Names::new(SaveAs::HostPath);
        assert_eq!(names.give(1, "h", "/a.x"), "h/a.x");
        assert_eq!(names.give(2, "h", "/a.x"), "h/a.x~2");
        let mut resumed = Names::new(SaveAs::HostPath);
        resumed.note("h/a.x");
        assert_eq!(resumed.give(2, "h", "/a.x"), "h/a.x~2");
        assert_eq!(resumed.give(3, "h", "/b.x"), "h/b.x");
    }

    #[test]
    fn other_ways_of_naming() {
        let mut names = Names::new(SaveAs::Hash);
        let name = names.give(1, "h", "/a");
        // printf h/a | sha256sum
        assert_eq!(name, "05/05c89c9523e35d6eba2399700fa7e6217b7f05a5b6f568ca9f16323ca8ce49c5");
        assert_eq!(names.give(7, "h", "/a"), format!("{name}~7"));
        let mut names = Names::new(SaveAs::Line);
        assert_eq!(names.give(12_345, "h", "/a"), "000012/000012345");
        assert_eq!(names.give(u64::MAX, "h", "/a"), "18446744073709551/18446744073709551615");
    }

    #[test]
    fn the_ways_are_read_as_they_are_written() {
        for way in [SaveAs::HostPath, SaveAs::Hash, SaveAs::Line] {
            assert_eq!(SaveAs::parse(way.name()), Ok(way));
        }
        assert!(SaveAs::parse("path").expect_err("no way").contains("host-path"));
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_urls() {
        let corpus: [&[u8]; 7] = [
            b"h.example/images/a.png",
            b"h.example:8080/a?x=1&y=2",
            b"h/../../etc/passwd",
            b"[::1]/con/nul.txt",
            b"h/a%2fb/%2e%2e/",
            b"h//./.hidden/-x",
            b"h/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        let telling: [&[u8]; 14] =
            [b"/", b"..", b".", b"?", b"%", b"~", b"@", b",", b"-", b"\\", b"\0", b"con", b"\xff", b"//"];
        crate::mutation::run("save_names", &corpus, &telling, 5_000, fuzz_save_name);
    }

    #[test]
    fn different_urls_have_different_names() {
        let pieces = ["a", "b", ".", "/", "?", "%2E", "@", ",", "=", "_", "%40", "%2C", "//"];
        let mut seen = std::collections::HashMap::new();
        let mut seed = 0x5eed_u64;
        for _ in 0..20_000 {
            let mut target = "/".to_owned();
            for _ in 0..6 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                target += pieces[(seed >> 33) as usize % pieces.len()];
            }
            let same = seen.insert(host_path("h", &target), target.clone()).filter(|other| *other != target);
            // The only ones: what stands for itself and escaped.
            let decoded = |url: &str| {
                crate::plan::origin::split(&format!("http://h{url}"))
                    .map(|_| url.replace("%2E", ".").replace("%40", "@").replace("%2C", ","))
            };
            assert!(same.as_deref().is_none_or(|other| decoded(other) == decoded(&target)), "{same:?} and {target:?}");
        }
    }
}
