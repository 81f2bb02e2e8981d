//! The thread that reads the lines, one after the other, and deals them to the cores: a host's lines to one core, but for
//! a host with more than its share of them, which all cores fetch from.
//!
//! It stops reading while too many lines are under way, so that memory is bounded however long the input is.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::Shared;
use super::host::Host;
use super::job::{Error, Job, Jobs, Own, Tried};
use super::journal::Done;
use super::line::Kind;
use super::record;
use super::redirect::Chain;
use super::unique::{Seen, Sighting};
use super::writer::{Message, Records};
use crate::clock;
use crate::plan::Plan;
use crate::plan::fetch::{Asked, BYTES_MAX, parse_line};
use crate::plan::origin::{Site, parse_site, push_target, split};
use crate::plan::raw::Input;
use crate::units::Nanos;

/// Lines of one core that go out together.
const LINES_AT_ONCE: usize = 128;
/// The input is read in pieces of this size.
const BLOCK_BYTES: usize = 256 * 1024;
/// No line is read while lines on their way and records that wait take so many bytes: a few long ones are many.
const HELD_BYTES: u64 = 64 << 20;
/// How often a full window is looked at again.
const LOOK: Duration = Duration::from_millis(2);
/// How long a full window is left to drain by an eighth before less is taken for enough.
const PATIENCE: Nanos = Nanos::from_millis(20);
/// Sites that are kept in mind.
const SITES_MAX: usize = 65_536;
/// A host has no more than its share with fewer lines than this.
const FEW_LINES: u64 = 64;
/// After so many lines each counts half: what was long ago says little about what is to come.
const HALVED_AFTER: u64 = 65_536;

/// Reads and deals.
pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    inboxes: Vec<mpsc::Sender<Jobs>>,
    records: mpsc::Sender<Message>,
    /// Lines that an earlier run has fetched.
    done: Done,
    batches: Vec<Jobs>,
    sites: HashMap<Box<str>, KnownSite>,
    hasher: RandomState,
    method: Arc<str>,
    /// Room for what a line asks for.
    target: String,
    /// Lines that were read, and those of them that ask for something.
    lines: u64,
    places: u64,
    /// Where lines that ask for the same again are left out.
    seen: Option<Seen>,
    /// Of all hosts together, halved as those of each.
    recent: u64,
}

/// What lines of one site have in common.
struct KnownSite {
    site: Arc<Site>,
    host: Arc<Host>,
    recent: u64,
    /// Whose lines are its, as long as they are not too many.
    owner: usize,
}

/// Says that no more lines come, however that came about.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        if thread::panicking() {
            // Lines that were dealt and not sent on are nobody's: the run would wait for them.
            self.0.give_up("the thread that reads the lines died".to_owned());
        }
        self.0.close();
    }
}

impl Dispatcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        plan: Arc<Plan>,
        inboxes: Vec<mpsc::Sender<Jobs>>,
        records: mpsc::Sender<Message>,
        done: Done,
    ) -> Self {
        let method = plan.fetch.as_ref().expect("only what is fetched comes here").method.as_str().into();
        let batches = inboxes.iter().map(|_| Vec::new()).collect();
        let seen = plan.fetch.as_ref().is_some_and(|fetch| fetch.said.unique).then(Seen::default);
        let (sites, hasher) = (HashMap::new(), RandomState::new());
        Self {
            shared,
            plan,
            inboxes,
            records,
            done,
            batches,
            sites,
            hasher,
            method,
            target: String::new(),
            lines: 0,
            places: 0,
            seen,
            recent: 0,
        }
    }

    /// Deals `urls`, then the lines of `input`.
    pub(super) fn run(mut self, urls: &[String], input: Option<&Input>) {
        let closing = Closing(Arc::clone(&self.shared));
        let _log = closing.0.live.enter();
        for url in urls {
            self.lines += 1;
            self.line(url.as_bytes(), false);
        }
        self.flush();
        if let Some(input) = input {
            let read = input.open().and_then(|content| self.read(content));
            if let Err(error) = read {
                self.shared.fail(format!("-i {}: cannot read it: {error}", input.name));
            }
        }
        self.flush();
        drop(closing);
    }

    fn read(&mut self, content: impl Read) -> io::Result<()> {
        let mut content = BufReader::with_capacity(BLOCK_BYTES, content);
        let (mut json, mut buffer, mut first) = (None, Vec::new(), true);
        loop {
            if content.buffer().is_empty() {
                // Whoever feeds us may take its time.
                self.flush();
            }
            buffer.clear();
            let mut bounded = content.by_ref().take(BYTES_MAX as u64 + 2);
            if bounded.read_until(b'\n', &mut buffer)? == 0 {
                return Ok(());
            }
            let is_whole = buffer.ends_with(b"\n") || buffer.len() < BYTES_MAX + 2;
            let mut line = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
            line = line.strip_suffix(b"\r").unwrap_or(line);
            if std::mem::take(&mut first) {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            json = json.or_else(|| line.trim_ascii_start().first().map(|&byte| byte == b'{'));
            self.lines += 1;
            self.line(line, json == Some(true));
            if !is_whole {
                content.skip_until(b'\n')?;
            }
            if clock::now() >= self.shared.control.end() {
                return Ok(());
            }
        }
    }

    /// Deals one line, once there is room for it.
    fn line(&mut self, line: &[u8], json: bool) {
        let asked = match parse_line(line, json) {
            Ok(None) => return,
            Ok(Some(asked)) => Ok(asked),
            Err(problem) => Err(problem),
        };
        if asked.as_ref().is_ok_and(|asked| self.is_repeated(asked)) {
            self.shared.repeat();
            return;
        }
        if self.done.has(self.lines) {
            self.shared.skip();
            return;
        }
        self.await_room();
        let place = self.places;
        self.places += 1;
        let dealt = asked.and_then(|asked| self.deal(place, &asked));
        if let Err(problem) = dealt {
            let url = if json { String::new() } else { String::from_utf8_lossy(line).into_owned() };
            let error = Error::new(Kind::Input, problem);
            let mut records = Records::default();
            let fields = self.shared.policies.fields;
            records.add(place, |out| record::write_refused(fields, self.lines, &url, &error, out));
            self.shared.refuse(self.lines, &error);
            self.shared.hold(records.bytes());
            let _ = self.records.send(Message::Records(records));
        }
    }

    /// A line before it asked for the same.
    fn is_repeated(&mut self, asked: &Asked<'_>) -> bool {
        let (Some(seen), Ok((site, rest))) = (&mut self.seen, split(&asked.url)) else { return false };
        let method = asked.method.as_deref().unwrap_or(&self.method);
        let rest = rest.split_once('#').map_or(rest, |(target, _)| target);
        seen.see(method, site, rest, asked.body.as_deref().unwrap_or_default()) == Sighting::Repeated
    }

    fn deal(&mut self, place: u64, asked: &Asked<'_>) -> Result<(), String> {
        let (site_text, rest) = split(&asked.url)?;
        let (site, host, core) = self.site(site_text)?;
        self.target.clear();
        push_target(&mut self.target, rest);
        let other_target = (self.target != rest).then(|| self.target.as_str().into());
        let method = match asked.method.as_deref() {
            Some(method) if method != &*self.method => method.into(),
            _ => Arc::clone(&self.method),
        };
        let own = (!asked.headers.is_empty() || asked.body.is_some()).then(|| {
            let body = asked.body.as_ref().map(|body| bytes::Bytes::copy_from_slice(body));
            Box::new(Own { headers: asked.headers.clone(), body })
        });
        let job = Job {
            line: self.lines,
            place,
            url: asked.url.as_ref().into(),
            tag: asked.tag.as_deref().map(Box::from),
            method,
            own,
            host,
            site,
            other_target,
            target_at: site_text.len() as u32,
            tried: Tried::default(),
            chain: Chain::default(),
            is_abroad: false,
            is_bodiless: false,
            begun: None,
            robots_of: None,
        };
        self.shared.one_dealt(&job);
        self.batches[core].push(job);
        if self.batches[core].len() >= LINES_AT_ONCE {
            self.send(core);
        }
        Ok(())
    }

    /// The site before a URL's path, its host, and the core that is to fetch this line.
    fn site(&mut self, text: &str) -> Result<(Arc<Site>, Arc<Host>, usize), String> {
        if !self.sites.contains_key(text) {
            if self.sites.len() >= SITES_MAX {
                self.sites.clear();
            }
            let site = parse_site(text)?;
            let host = self.shared.hosts.of(&site.origin, clock::now());
            let owner = (self.hasher.hash_one(&site.origin.host) % self.inboxes.len() as u64) as usize;
            self.sites.insert(text.into(), KnownSite { site: Arc::new(site), host, recent: 0, owner });
        }
        self.recent += 1;
        if self.recent >= HALVED_AFTER {
            self.recent /= 2;
            self.sites.values_mut().for_each(|site| site.recent /= 2);
        }
        let known = self.sites.get_mut(text).expect("it is known by now");
        known.recent += 1;
        let cores = self.inboxes.len() as u64;
        let too_many = known.recent > FEW_LINES && known.recent * cores > self.recent;
        let core = if too_many { (self.places % cores) as usize } else { known.owner };
        Ok((Arc::clone(&known.site), Arc::clone(&known.host), core))
    }

    fn await_room(&mut self) {
        let window = self.plan.fetch.as_ref().map_or(0, |fetch| fetch.window);
        if self.shared.under_way(self.places) < window && self.shared.held() < HELD_BYTES {
            return;
        }
        self.flush();
        // Lines in bulk are cheaper than one by one; but those that only wait must not keep the others out.
        let (resume, patience) = (window - window / 8, clock::now().0 + PATIENCE.0);
        while clock::now() < self.shared.control.end() {
            let (under_way, held) = (self.shared.under_way(self.places), self.shared.held());
            let is_drained = under_way <= resume && held <= HELD_BYTES - HELD_BYTES / 8;
            if is_drained || (under_way < window && held < HELD_BYTES && clock::now().0 >= patience) {
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn flush(&mut self) {
        (0..self.batches.len()).for_each(|core| self.send(core));
    }

    fn send(&mut self, core: usize) {
        if !self.batches[core].is_empty() {
            // A core that is gone has ended, and so has the run.
            let _ = self.inboxes[core].send(std::mem::take(&mut self.batches[core]));
        }
    }
}
