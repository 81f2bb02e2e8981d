//! The URL set: lines of text turned into compact entries.
//!
//! An entry is 12 bytes beside the text of its target; what lines of one site, method and headers share is one
//! [`Template`], and equal bodies are one. Where lines have bodies of their own, each line costs 4 bytes more and each
//! different body 8; weights cost 8 a line, tags 1.

mod bodies;
mod fuzz;

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read};
use std::ops::Range;

use bytes::Bytes;
use hashbrown::DefaultHashBuilder;

pub use fuzz::fuzz_url_lines;

use self::bodies::{Bodies, Gathered};
use super::alias::AliasTable;
use super::error::PlanError;
use super::jsonlines::{Line, decode_body};
use super::origin::{Origin, Site, parse_site, push_target, split};
use super::request::{Common, HeaderEdit, Own, Template, check_method};
use super::tags::Tags;
use crate::units::Nanos;

/// The longest input line that is read; a longer one is no URL that a server would take.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;
/// The longest line of JSON, which may hold a body.
pub(super) const JSON_LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// An input is read in pieces of this size, which fit into a core's cache.
const BLOCK_BYTES: usize = 256 * 1024;
/// Indexes of lines are 32 bits wide.
const LINES_MAX: usize = u32::MAX as usize - 1;
/// Where a target starts in the text is 40 bits wide, and its length 24: a terabyte, and far more than a line may have.
const START_BITS: u32 = 40;
const LEN_BITS: u32 = 24;
/// In [`UrlSet::body_of`]: the line has no body of its own.
const NO_BODY: u32 = u32::MAX;

/// All requests that a run can send, by line number from 0.
#[derive(Debug, Default)]
pub struct UrlSet {
    /// Targets, back to back.
    text: String,
    entries: Vec<Entry>,
    templates: Vec<Template>,
    origins: Vec<Origin>,
    bodies: Bodies,
    /// Which body each line has; empty where no line has one of its own.
    body_of: Vec<u32>,
    weights: Option<AliasTable>,
    tags: Tags,
}

/// One line: its template, and where its target stands in the text.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The lower 32 bits of the start.
    start_low: u32,
    /// The upper 8 bits of the start, above the length.
    start_high_and_len: u32,
    template: u32,
}

impl Entry {
    /// None where the target is longer, or stands further on, than an entry can say.
    fn new(target: Range<usize>, template: u32) -> Option<Self> {
        let (start, len) = (target.start as u64, target.len() as u64);
        (start >> START_BITS == 0 && len >> LEN_BITS == 0).then_some(Self {
            start_low: start as u32,
            start_high_and_len: ((start >> 32) as u32) << LEN_BITS | len as u32,
            template,
        })
    }

    fn target(self) -> Range<usize> {
        let high = u64::from(self.start_high_and_len >> LEN_BITS);
        let start = (high << 32 | u64::from(self.start_low)) as usize;
        start..start + (self.start_high_and_len & ((1 << LEN_BITS) - 1)) as usize
    }
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
        &self.text[self.entries[line as usize].target()]
    }

    /// Everything else of the request of `line`, but its body.
    pub fn template(&self, line: u64) -> &Template {
        &self.templates[self.entries[line as usize].template as usize]
    }

    /// The body that `line` has for itself.
    pub fn body(&self, line: u64) -> Option<&[u8]> {
        self.body_index(line).map(|index| self.bodies.get(index))
    }

    /// The same, sharing its bytes instead of borrowing them; allocates nothing.
    pub fn shared_body(&self, line: u64) -> Option<Bytes> {
        self.body_index(line).map(|index| self.bodies.shared(index))
    }

    /// Which of [`UrlSet::bodies`] the line has for itself.
    pub fn body_index(&self, line: u64) -> Option<usize> {
        let index = *self.body_of.get(line as usize)?;
        (index != NO_BODY).then_some(index as usize)
    }

    /// All bodies that lines have for themselves, each once.
    pub fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.bodies.len()).map(|index| self.bodies.get(index))
    }

    /// How often each line is to be drawn, where lines say so.
    pub fn weights(&self) -> Option<&AliasTable> {
        self.weights.as_ref()
    }

    /// The groups of lines that figures are wanted of.
    pub fn tags(&self) -> &Tags {
        &self.tags
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

    /// Bytes of memory that the set takes, text and bodies included.
    pub fn memory(&self) -> usize {
        self.text.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.bodies.memory()
            + self.body_of.capacity() * size_of::<u32>()
            + self.tags.memory()
            + self.weights.as_ref().map_or(0, |table| table.bytes().len() * 8)
    }
}

/// Builds a [`UrlSet`] line by line.
pub struct Builder<'a> {
    set: UrlSet,
    common: &'a Common,
    method: &'a str,
    /// By the text before the path, method and own headers, as typed: see [`Builder::template`].
    templates: HashMap<String, u32, DefaultHashBuilder>,
    key: String,
    origins: HashMap<Origin, u32>,
    /// Of the last line of JSON, as typed and as read: the next one's are mostly the same.
    header_text: String,
    headers: Vec<HeaderEdit>,
    bodies: Gathered,
    /// Of all lines, once one has a weight.
    weights: Vec<u32>,
    /// Of all lines, where they are wanted.
    times: Option<Vec<Nanos>>,
}

impl<'a> Builder<'a> {
    /// A builder whose lines use `method` where they name none.
    pub fn new(common: &'a Common, method: &'a str) -> Self {
        Self {
            set: UrlSet::default(),
            common,
            method,
            templates: HashMap::default(),
            key: String::new(),
            origins: HashMap::new(),
            header_text: String::new(),
            headers: Vec::new(),
            bodies: Gathered::default(),
            weights: Vec::new(),
            times: None,
        }
    }

    /// From now on each line must begin with a time, none earlier than the one before.
    pub fn keep_times(&mut self) {
        self.times = Some(Vec::new());
    }

    /// The times of all lines, in order, where they were to be kept.
    pub fn take_times(&mut self) -> Vec<Nanos> {
        self.times.take().unwrap_or_default()
    }

    /// Adds one URL.
    ///
    /// # Errors
    /// What is wrong with it and the remedy.
    pub fn push(&mut self, method: Option<&str>, url: &str) -> Result<(), String> {
        self.push_own(method, url, Own::default())
    }

    fn push_own(&mut self, method: Option<&str>, url: &str, own: Own<'_>) -> Result<(), String> {
        if self.set.entries.len() >= LINES_MAX {
            return Err(format!("one URL too many; the limit is {LINES_MAX}"));
        }
        let (site, rest) = split(url)?;
        let template = self.template(site, method.unwrap_or(self.method), own)?;
        let start = self.set.text.len();
        push_target(&mut self.set.text, rest);
        let entry = Entry::new(start..self.set.text.len(), template);
        self.set.entries.push(entry.ok_or("one URL too many; the limit of all their text is a terabyte")?);
        Ok(())
    }

    /// Adds the lines of an input file: a URL each, with an optional METHOD before it and a time before that; blank lines
    /// and `#` comments are skipped, CRLF and a byte order mark accepted. A file whose first character is `{` is JSON Lines.
    ///
    /// # Errors
    /// The first line that is no URL, by number from 1; a file without a URL; a binary one; one that cannot be read.
    pub fn push_file(&mut self, name: &str, content: impl Read) -> Result<(), PlanError> {
        let before = self.set.entries.len();
        let mut content = BufReader::with_capacity(BLOCK_BYTES, content);
        let (mut json, mut number, mut buffer) = (None, 0u64, Vec::new());
        loop {
            buffer.clear();
            // A byte more than is accepted, so that a line without end is refused and not held.
            let mut bounded = content.by_ref().take(JSON_LINE_BYTES_MAX as u64 + 2);
            if bounded.read_until(b'\n', &mut buffer).map_err(|error| unreadable(name, &error))? == 0 {
                break;
            }
            number += 1;
            let mut line = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
            line = line.strip_suffix(b"\r").unwrap_or(line);
            if number == 1 {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            json = json.or_else(|| line.trim_ascii_start().first().map(|&byte| byte == b'{'));
            let pushed = if json == Some(true) { self.push_json(line) } else { self.push_line(line) };
            pushed.map_err(|problem| PlanError::new(format!("{name} line {number}"), problem))?;
        }
        if self.set.entries.len() == before {
            return Err(PlanError::new(name, "holds no URL; write one a line, e.g. http://127.0.0.1:8080/"));
        }
        Ok(())
    }

    /// The finished set.
    pub fn finish(mut self) -> UrlSet {
        let lines = self.set.entries.len();
        if !self.weights.is_empty() {
            self.weights.resize(lines, 1);
            self.set.weights = Some(AliasTable::new(std::mem::take(&mut self.weights)));
        }
        if !self.set.body_of.is_empty() {
            self.set.body_of.resize(lines, NO_BODY);
        }
        self.set.tags.finish(lines);
        self.set.bodies = self.bodies.finish();
        self.set.text.shrink_to_fit();
        self.set.entries.shrink_to_fit();
        self.set.body_of.shrink_to_fit();
        self.set
    }

    fn push_line(&mut self, line: &[u8]) -> Result<(), String> {
        let line = text(line, LINE_BYTES_MAX)?;
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        // No method begins with a digit.
        let (time, line) = match first_column(line) {
            Some((time, rest)) if time.starts_with(|first: char| first.is_ascii_digit()) => {
                let no_time = "its first column is neither METHOD nor a time; write seconds (0.25) or e.g. 250ms";
                (Some(Nanos::parse_instant(time).ok_or(no_time)?), rest)
            }
            _ => (None, line),
        };
        self.keep_time(time)?;
        match first_column(line) {
            Some((method, url)) => {
                check_method(method)?;
                self.push(Some(method), url)
            }
            None => self.push(None, line),
        }
    }

    /// Takes down when the next line starts, where that is wanted.
    fn keep_time(&mut self, time: Option<Nanos>) -> Result<(), String> {
        let Some(times) = &mut self.times else { return Ok(()) };
        let time = time.ok_or("has no time, as --arrivals trace asks for; write e.g. 0.25 GET http://127.0.0.1/")?;
        if times.last().is_some_and(|last| time < *last) {
            return Err("is earlier than the line before it; sort the file by time".into());
        }
        times.push(time);
        Ok(())
    }

    fn push_json(&mut self, line: &[u8]) -> Result<(), String> {
        let line = text(line, JSON_LINE_BYTES_MAX)?;
        if line.is_empty() {
            return Ok(());
        }
        let typed = Line::read(line)?;
        typed.method().map_or(Ok(()), check_method)?;
        if typed.url.len() > LINE_BYTES_MAX {
            return Err(format!("{} bytes is too long for a URL; the limit is {LINE_BYTES_MAX}", typed.url.len()));
        }
        self.keep_time(typed.time()?)?;
        if typed.header_text() != self.header_text {
            self.headers = typed.headers(line)?;
            typed.header_text().clone_into(&mut self.header_text);
        }
        let headers = std::mem::take(&mut self.headers);
        let own = Own { edits: &headers, body: typed.body().is_some() };
        let pushed = self.push_own(typed.method(), &typed.url, own);
        self.headers = headers;
        pushed?;
        let lines = self.set.entries.len();
        if let Some(body) = typed.body() {
            let index = self.bodies.push(|bytes| decode_body(body, bytes))?;
            self.set.body_of.resize(lines - 1, NO_BODY);
            self.set.body_of.push(index);
        }
        if let Some(weight) = typed.weight {
            self.weights.resize(lines - 1, 1);
            self.weights.push(weight);
        }
        typed.tag().map_or(Ok(()), |tag| self.set.tags.push(lines - 1, tag))
    }

    fn template(&mut self, site_text: &str, method: &str, own: Own<'_>) -> Result<u32, String> {
        self.key.clear();
        // No part can hold a line end, so that different parts make different keys.
        for part in [site_text, "\n", method, if own.body { "\nbody" } else { "" }] {
            self.key.push_str(part);
        }
        for edit in own.edits {
            let (name, colon, value) = match edit {
                HeaderEdit::Set(header) => (&header.name, ":", header.value.as_str()),
                HeaderEdit::Remove(name) => (name, "", ""),
            };
            ["\n ", name, colon, value].into_iter().for_each(|part| self.key.push_str(part));
        }
        if let Some(&index) = self.templates.get(&self.key) {
            return Ok(index);
        }
        let site: Site = parse_site(site_text)?;
        let origin_count = self.origins.len() as u32;
        let origin = *self.origins.entry(site.origin.clone()).or_insert(origin_count);
        if origin == origin_count {
            self.set.origins.push(site.origin.clone());
        }
        let index = self.set.templates.len() as u32;
        self.set.templates.push(Template::new(self.common, origin, &site, method, own));
        self.templates.insert(self.key.clone(), index);
        Ok(index)
    }
}

/// What stands before the first blank and what after it, unless the former is the URL already.
pub(super) fn first_column(line: &str) -> Option<(&str, &str)> {
    let blank = memchr::memchr2(b' ', b'\t', line.as_bytes())?;
    let (first, rest) = line.split_at(blank);
    (!first.contains("://")).then(|| (first, rest.trim_start_matches([' ', '\t'])))
}

/// The refusal of an input that cannot be read.
pub(super) fn unreadable(name: &str, error: &io::Error) -> PlanError {
    PlanError::new(format!("-i {name}"), format!("cannot read it: {error}"))
}

/// A line without its blanks, where it is text and no longer than `most` bytes.
pub(super) fn text(line: &[u8], most: usize) -> Result<&str, String> {
    if line.len() > most {
        return Err(format!("is too long; the limit of a line is {most} bytes"));
    }
    let line = std::str::from_utf8(line).map_err(|_| "is not text (UTF-8); give a file with a URL a line")?;
    Ok(line.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests;
