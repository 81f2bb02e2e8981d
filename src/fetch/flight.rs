//! The requests that one core has in flight, each with its line and what its answer has told so far.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::answer::{Answer, Intake};
use super::job::{Error, Job};
use super::queues::Local;
use super::range::Representation;
use super::verdict::Verdict;
use crate::plan::Plan;
use crate::plan::request::{Common, HeaderEdit, Own, SMALL_BODY_BYTES, Template, is_secret_header};
use crate::units::Nanos;
use crate::wire::decode::Head;
use crate::wire::encode;

/// Templates that are kept of one host.
const TEMPLATES_MAX: usize = 8;
/// A ticket's number is that of the request, above so many bits of the place where it is kept.
const PLACE_BITS: u32 = 24;

/// A request in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) job: Box<Job>,
    pub(super) template: Rc<Template>,
    /// Sent with it.
    pub(super) cookies: Option<String>,
    /// Of the body that broke off before, only what follows so many bytes is asked for.
    pub(super) asks_from: Option<u64>,
    /// Once its head has come.
    pub(super) answer: Option<Answer>,
    /// What that means for the line.
    pub(super) verdict: Verdict,
    /// How long its host asks to be left alone.
    pub(super) asked_for_time: Option<Nanos>,
    /// Why the answer is of no use, where more is known than the kind of the failure.
    pub(super) error: Option<Error>,
    /// What has come of its body, where that broke off.
    pub(super) broken: Option<Box<Intake>>,
    /// Its body could not be saved: the line is not done.
    pub(super) is_lost: bool,
}

/// All of a core.
#[derive(Debug, Default)]
pub(super) struct Flights {
    places: Vec<Option<Flight>>,
    free: Vec<u32>,
    taken_off: u64,
}

impl Flights {
    /// Keeps a flight; its number is no other one's.
    pub(super) fn take_off(&mut self, flight: Flight) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = Some(flight);
        self.taken_off += 1;
        self.taken_off << PLACE_BITS | u64::from(place)
    }

    /// All that have not landed.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &Flight> {
        self.places.iter().flatten()
    }

    /// The flight of this number, which has not landed.
    pub(super) fn at(&mut self, number: u64) -> &mut Flight {
        self.places[place(number)].as_mut().expect("a ticket ends once")
    }

    /// Its end.
    pub(super) fn land(&mut self, number: u64) -> Flight {
        self.free.push(place(number) as u32);
        self.places[place(number)].take().expect("a ticket ends once")
    }
}

fn place(number: u64) -> usize {
    (number & ((1 << PLACE_BITS) - 1)) as usize
}

impl Flight {
    pub(super) fn new(job: Box<Job>, template: Rc<Template>) -> Self {
        Self {
            asks_from: job.begun.as_ref().map(|begun| begun.position()),
            job,
            template,
            cookies: None,
            answer: None,
            verdict: Verdict::Final,
            asked_for_time: None,
            error: None,
            broken: None,
            is_lost: false,
        }
    }

    /// What one can go on with, should the body of this answer break off: it is that of a GET for the whole.
    pub(super) fn representation(&self, head: &Head<'_>) -> Option<Representation> {
        let may = &*self.job.method == "GET" && self.job.robots_of.is_none();
        let representation = Some(head).filter(|_| may).and_then(Representation::of)?;
        let asks_for_part = |line: &str| {
            let name = line.split(':').next().unwrap_or_default();
            name.eq_ignore_ascii_case("range") || name.eq_ignore_ascii_case("if-range")
        };
        (!self.template.header_lines.lines().any(asks_for_part)).then_some(representation)
    }

    /// What goes out as its body.
    pub(super) fn body<'a>(&'a self, plan: &'a Plan) -> Option<&'a Bytes> {
        self.own_body().or(plan.body.as_ref()).filter(|_| !self.job.is_bodiless)
    }

    fn own_body(&self) -> Option<&Bytes> {
        self.job.own.as_ref().and_then(|own| own.body.as_ref()).filter(|_| !self.job.is_bodiless)
    }

    /// Its body, where that is too large to go out with the head.
    pub(super) fn large_body<'a>(&'a self, plan: &'a Plan) -> Option<&'a Bytes> {
        self.body(plan).filter(|body| body.len() > SMALL_BODY_BYTES)
    }

    /// The bytes of its request in this form, its body included where it is small.
    pub(super) fn render(&self, plan: &Plan, form: u32, out: &mut Vec<u8>) {
        let own_body = self.own_body().map(Bytes::len);
        encode::render_as(plan.proxies.form(form), out, &self.template, self.job.target(), own_body);
        if let Some(cookies) = &self.cookies {
            add_cookies(out, cookies);
        }
        if let Some(begun) = &self.job.begun {
            let end = out.len() - b"\r\n".len();
            out.splice(end..end, begun.lines());
        }
        if let Some(body) = self.body(plan).filter(|body| body.len() <= SMALL_BODY_BYTES) {
            out.extend_from_slice(body);
        }
    }
}

impl Local {
    /// The template of a line's request.
    pub(super) fn template(&mut self, job: &Job, common: &Common, origin: u32) -> Rc<Template> {
        if job.own.is_some() || job.is_abroad || job.is_bodiless {
            return Rc::new(alone(job, common, origin));
        }
        let meant = |(method, userinfo, _): &&(Arc<str>, Option<String>, Rc<Template>)| {
            **method == *job.method && *userinfo == job.site.userinfo
        };
        if let Some((.., template)) = self.templates.iter().find(meant) {
            return Rc::clone(template);
        }
        let template = Rc::new(Template::new(common, origin, &job.site, &job.method, Own::default()));
        if self.templates.len() == TEMPLATES_MAX {
            self.templates.remove(0);
        }
        self.templates.push((Arc::clone(&job.method), job.site.userinfo.clone(), Rc::clone(&template)));
        template
    }
}

/// The template of a line that shares it with no other.
fn alone(job: &Job, common: &Common, origin: u32) -> Template {
    let is_secret = |edit: &HeaderEdit| match edit {
        HeaderEdit::Set(header) => header.secret || is_secret_header(&header.name),
        HeaderEdit::Remove(_) => false,
    };
    let mut common = common.clone();
    let mut edits = job.own.as_ref().map(|own| own.headers.clone()).unwrap_or_default();
    if job.is_abroad {
        common.authorization = None;
        common.edits.retain(|edit| !is_secret(edit));
        edits.retain(|edit| !is_secret(edit));
        // It names the host that the line has left.
        common.edits.retain(|edit| !edit.name().eq_ignore_ascii_case("host"));
        edits.retain(|edit| !edit.name().eq_ignore_ascii_case("host"));
    }
    if job.is_bodiless {
        let describes_body = |name: &str| name.to_ascii_lowercase().starts_with("content-");
        common.body_bytes = None;
        common.edits.retain(|edit| !describes_body(edit.name()));
        edits.retain(|edit| !describes_body(edit.name()));
    }
    let body = !job.is_bodiless && job.own.as_ref().is_some_and(|own| own.body.is_some());
    Template::new(&common, origin, &job.site, &job.method, Own { edits: &edits, body })
}

/// Adds cookies to a head, to those that it has (RFC 6265 section 5.4: there is one `Cookie`).
fn add_cookies(head: &mut Vec<u8>, cookies: &str) {
    let is_cookie = |line: &[u8]| line.len() >= 7 && line[..7].eq_ignore_ascii_case(b"cookie:");
    let mut at = 0;
    let own = head.split_inclusive(|&byte| byte == b'\n').find_map(|line| {
        at += line.len();
        is_cookie(line).then_some(at - b"\r\n".len())
    });
    let (end, text) = match own {
        Some(end) => (end, format!("; {cookies}")),
        None => (head.len() - b"\r\n".len(), format!("Cookie: {cookies}\r\n")),
    };
    head.splice(end..end, text.into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_stand_in_one_line() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\n\r\n"),
            ("GET / HTTP/1.1\r\ncookie: x=y\r\nA: b\r\n\r\n", "GET / HTTP/1.1\r\ncookie: x=y; b=c\r\nA: b\r\n\r\n"),
        ] {
            let mut bytes = head.as_bytes().to_vec();
            add_cookies(&mut bytes, "b=c");
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
        }
    }
}
