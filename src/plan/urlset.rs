//! The URL set: lines of text turned into compact entries, and the order in which a shard walks them.
//!
//! An entry is 16 bytes beside the text of its target; what lines of one site and method share is one [`Template`].

use std::collections::HashMap;

use super::error::PlanError;
use super::origin::{Origin, Site, parse_site, push_target, split};
use super::request::{Common, Template, is_token};

/// The longest input line that is read; a longer one is no URL that a server would take.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// All requests that a run can send, by line number from 0.
#[derive(Debug, Default)]
pub struct UrlSet {
    /// Targets, back to back.
    text: String,
    entries: Vec<Entry>,
    templates: Vec<Template>,
    origins: Vec<Origin>,
}

/// One line; `start + len <= text.len()`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    len: u32,
    template: u32,
}

impl UrlSet {
    /// How many lines there are; at least 1 in a validated plan.
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The request target of `line`, in origin form.
    pub fn target(&self, line: u64) -> &str {
        let entry = self.entries[line as usize];
        &self.text[entry.start as usize..][..entry.len as usize]
    }

    /// Everything else of the request of `line`.
    pub fn template(&self, line: u64) -> &Template {
        &self.templates[self.entries[line as usize].template as usize]
    }

    /// All templates, in the order in which they first appear.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// All origins, in the order in which they first appear.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The URL of `line` as it is requested, without credentials.
    pub fn url(&self, line: u64) -> String {
        let origin = &self.origins[self.template(line).origin as usize];
        format!("{origin}{}", self.target(line))
    }
}

/// Builds a [`UrlSet`] line by line.
pub struct Builder<'a> {
    set: UrlSet,
    common: &'a Common,
    method: &'a str,
    /// By the text before the path, then by method; both as typed.
    sites: HashMap<String, Vec<(String, u32)>>,
    origins: HashMap<Origin, u32>,
}

impl<'a> Builder<'a> {
    /// A builder whose lines use `method` where they name none.
    pub fn new(common: &'a Common, method: &'a str) -> Self {
        Self { set: UrlSet::default(), common, method, sites: HashMap::new(), origins: HashMap::new() }
    }

    /// Adds one URL.
    ///
    /// # Errors
    /// What is wrong with it and the remedy.
    pub fn push(&mut self, method: Option<&str>, url: &str) -> Result<(), String> {
        let (site, rest) = split(url)?;
        let template = self.template(site, method.unwrap_or(self.method))?;
        let start = self.set.text.len();
        push_target(&mut self.set.text, rest);
        let len = (self.set.text.len() - start) as u32;
        self.set.entries.push(Entry { start: start as u64, len, template });
        Ok(())
    }

    /// Adds the lines of an input file: a URL each, with an optional METHOD before it; blank lines and `#` comments are
    /// skipped, CRLF and a byte order mark accepted.
    ///
    /// # Errors
    /// The first line that is no URL, by number from 1; a file without a URL; a binary one.
    pub fn push_file(&mut self, name: &str, content: &[u8]) -> Result<(), PlanError> {
        let before = self.set.entries.len();
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let mut rest = content;
        let mut number = 0u64;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            number += 1;
            self.push_line(line).map_err(|problem| PlanError::new(format!("{name} line {number}"), problem))?;
        }
        if self.set.entries.len() == before {
            return Err(PlanError::new(name, "holds no URL; write one a line, e.g. http://127.0.0.1:8080/"));
        }
        Ok(())
    }

    /// The finished set.
    pub fn finish(self) -> UrlSet {
        self.set
    }

    fn push_line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() > LINE_BYTES_MAX {
            return Err(format!("{} bytes is too long for a URL; the limit is {LINE_BYTES_MAX}", line.len()));
        }
        let line = std::str::from_utf8(line).map_err(|_| "is not text (UTF-8); give a file with a URL a line")?;
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        match line.split_once([' ', '\t']) {
            Some((method, url)) if !method.contains("://") => {
                if !is_token(method) {
                    return Err(format!("{method:?} is no method; write METHOD URL or a URL alone"));
                }
                if method == "CONNECT" {
                    return Err("CONNECT asks for a tunnel, which a load cannot use; choose another method".into());
                }
                self.push(Some(method), url.trim_start_matches([' ', '\t']))
            }
            _ => self.push(None, line),
        }
    }

    fn template(&mut self, site_text: &str, method: &str) -> Result<u32, String> {
        let known = self.sites.get(site_text).and_then(|by_method| by_method.iter().find(|(m, _)| m == method));
        if let Some(&(_, index)) = known {
            return Ok(index);
        }
        let site: Site = parse_site(site_text)?;
        let origin_count = self.origins.len() as u32;
        let origin = *self.origins.entry(site.origin.clone()).or_insert(origin_count);
        if origin == origin_count {
            self.set.origins.push(site.origin.clone());
        }
        let index = self.set.templates.len() as u32;
        self.set.templates.push(Template::new(self.common, origin, &site, method));
        self.sites.entry(site_text.to_owned()).or_default().push((method.to_owned(), index));
        Ok(index)
    }
}

/// Which line the `k`-th request of shard `index` of `count` asks for, among `lines` lines (contract section 2).
///
/// With at least as many lines as shards, shard i walks lines i, i+n, …; with fewer, every shard walks all lines,
/// starting at i.
pub fn walk(lines: u64, index: u64, count: u64, k: u64) -> u64 {
    if lines >= count {
        let own = (lines - index).div_ceil(count);
        index + count * (k % own)
    } else {
        (index % lines + k % lines) % lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<UrlSet, PlanError> {
        let common = Common { keep_alive: true, ..Common::default() };
        let mut builder = Builder::new(&common, "GET");
        builder.push_file("urls.txt", content)?;
        Ok(builder.finish())
    }

    #[test]
    fn a_file_gives_one_entry_a_line() {
        let set =
            read(b"\xef\xbb\xbfhttp://a/1\r\n# comment\n\nPOST http://a/2\n\tDELETE\thttp://b:81/3?x \nhttp://a/4")
                .expect("lines");
        let lines: Vec<_> =
            (0..set.len()).map(|line| format!("{} {}", set.template(line).method, set.url(line))).collect();
        assert_eq!(lines, ["GET http://a/1", "POST http://a/2", "DELETE http://b:81/3?x", "GET http://a/4"]);
        assert_eq!(set.origins().len(), 2);
        assert_eq!(set.templates.len(), 3, "lines of one site and method share a template");
    }

    #[test]
    fn a_line_that_is_no_url_is_named_by_number() {
        for (content, line, part) in [
            (&b"http://a/\n\nnonsense\n"[..], "line 3", "without a scheme"),
            (b"http://a/x y", "line 1", "percent-encode"),
            (b"G@T http://a/", "line 1", "no method"),
            (b"http://a/\n\xff\xfe\x00", "line 2", "not text"),
            (b"http://a/\0", "line 1", "percent-encode"),
        ] {
            let error = read(content).expect_err(part);
            assert!(error.subject.ends_with(line) && error.problem.contains(part), "{error}");
        }
    }

    #[test]
    fn an_empty_file_is_refused() {
        for content in [&b""[..], b"\n\n", b"# only a comment\n", b"\xef\xbb\xbf"] {
            assert!(read(content).expect_err("no URL").problem.contains("holds no URL"));
        }
    }

    #[test]
    fn shards_walk_all_lines_once_a_round_and_no_line_twice() {
        for lines in 1..40u64 {
            for count in [1, 2, 3, 7] {
                let mut seen = vec![0u64; lines as usize];
                for index in 0..count {
                    let own = if lines >= count { (lines - index).div_ceil(count) } else { lines };
                    let walked: Vec<_> = (0..own).map(|k| walk(lines, index, count, k)).collect();
                    assert_eq!(walk(lines, index, count, own), walked[0], "a round ends where it began");
                    walked.iter().for_each(|&line| seen[line as usize] += 1);
                }
                let rounds = if lines >= count { 1 } else { count };
                assert!(seen.iter().all(|&times| times == rounds), "{lines} lines, {count} shards: {seen:?}");
            }
        }
        assert_eq!((0..3).map(|index| walk(2, index, 3, 0)).collect::<Vec<_>>(), [0, 1, 0]);
    }
}
