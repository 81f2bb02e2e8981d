//! One line on its way: what it asks for now, and what has been tried for it.

use std::borrow::Cow;
use std::sync::Arc;

use super::continuation::Begun;
use super::host::Host;
use super::line::Kind;
use super::redirect::Chain;
use super::robots::ROBOTS_TARGET;
use crate::plan::Origin;
use crate::plan::origin::Site;
use crate::plan::request::HeaderEdit;
use crate::record::Failure;
use crate::units::Nanos;

/// A line that is to be fetched.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its number, which its record has.
    pub(crate) line: u64,
    /// Its place in the output, where that is ordered; without gaps.
    pub(crate) place: u64,
    /// As it stands in the input.
    pub(crate) url: Box<str>,
    pub(crate) tag: Option<Box<str>>,
    pub(crate) method: Arc<str>,
    /// What only this line has.
    pub(crate) own: Option<Box<Own>>,
    /// Where it is to be asked for now: the URL's own place, or where a redirect leads.
    pub(crate) host: Arc<Host>,
    pub(crate) site: Arc<Site>,
    /// What is asked for there; `None` where it is what the URL says from `target_at` on.
    pub(crate) other_target: Option<Box<str>>,
    pub(crate) target_at: u32,
    pub(crate) tried: Tried,
    /// Its redirects.
    pub(crate) chain: Chain,
    /// It has left its origin: credentials stayed behind.
    pub(crate) is_abroad: bool,
    /// A redirect has made it a GET.
    pub(crate) is_bodiless: bool,
    /// What has come of its body, where that broke off and the rest is to be asked for.
    pub(crate) begun: Option<Box<Begun>>,
    /// It is no line but asks for the robots.txt of this origin.
    pub(crate) robots_of: Option<Box<Origin>>,
}

/// Lines on their way to a core, which gives each a box of its own: memory is freed where it was taken.
pub(crate) type Jobs = Vec<Job>;

/// Headers and body of a line.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) headers: Vec<HeaderEdit>,
    pub(crate) body: Option<bytes::Bytes>,
}

/// What has been tried for a line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    /// Requests, without those that followed a redirect.
    pub(crate) attempts: u32,
    /// Requests since the last redirect.
    pub(crate) here: u32,
    /// The next request follows a redirect.
    pub(crate) follows: bool,
    /// When the last of them was let go; zero before.
    pub(crate) asked: Nanos,
    /// When the first of them was let go; zero before.
    pub(crate) admitted: Nanos,
    /// The same, since the Unix epoch.
    pub(crate) started_at: Nanos,
    /// How long the host last asked to be left alone.
    pub(crate) retry_after: Option<Nanos>,
    /// robots.txt lets it be asked for where it is now.
    pub(crate) is_allowed: bool,
}

/// Why a line has no answer of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
}

impl Error {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// A request's failure.
    pub(crate) fn of(failure: Failure, detail: Option<String>) -> Self {
        Self::new(Kind::Failure(failure), detail.unwrap_or_default())
    }
}

impl Job {
    /// The request for the robots.txt that decides on this line.
    pub(crate) fn of_robots(&self) -> Self {
        Self {
            line: 0,
            place: 0,
            url: ROBOTS_TARGET.into(),
            tag: None,
            method: "GET".into(),
            own: None,
            host: Arc::clone(&self.host),
            site: Arc::clone(&self.site),
            other_target: None,
            target_at: 0,
            tried: Tried { is_allowed: true, ..Tried::default() },
            chain: Chain::default(),
            is_abroad: self.is_abroad,
            is_bodiless: true,
            begun: None,
            robots_of: Some(Box::new(self.host.origin.clone())),
        }
    }

    /// It is a line, and something was asked for it.
    pub(crate) fn is_begun(&self) -> bool {
        self.robots_of.is_none() && self.tried.admitted > Nanos::ZERO
    }

    /// What it takes that may be long, as it came in; the same to its end.
    pub(crate) fn bytes(&self) -> usize {
        self.url.len() + self.own.as_ref().and_then(|own| own.body.as_ref()).map_or(0, bytes::Bytes::len)
    }

    /// What it asks for now, without credentials.
    pub(crate) fn final_url(&self) -> Cow<'_, str> {
        let base = &*self.host.url;
        // Nearly always as it was typed.
        let as_typed = self.other_target.is_none() && self.url[..self.target_at as usize] == *base;
        if as_typed { Cow::Borrowed(&*self.url) } else { Cow::Owned([base, self.target()].concat()) }
    }

    /// What it asks its host for now: path and query.
    pub(crate) fn target(&self) -> &str {
        self.other_target.as_deref().unwrap_or_else(|| &self.url[self.target_at as usize..])
    }
}
