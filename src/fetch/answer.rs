//! What is kept of an answer while its line is under way, and what takes in its body.

use std::io;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::extract::Problem;
use super::job::Error;
use super::line::Kind;
use super::policies::Policies;
use super::range::{self, Representation};
use super::robots::ROBOTS_BYTES_MAX;
use super::save::{Folder, Part};
use crate::plan::Expect;
use crate::plan::fetch::Output;
use crate::record::Failure;
use crate::wire::content::{ContentDecoder, ContentError};
use crate::wire::decode::{BodyLength, Head};
use crate::wire::expect::Judge;

/// So much of a header is kept.
const VALUE_BYTES_MAX: usize = 256;

/// A body that nobody waits for: it is there as soon as its head.
const SMALL_BYTES: u64 = 64 * 1024;

/// What an answer has told so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<Box<[u8]>>,
    /// Bytes of its body, after decoding.
    pub(super) bytes: u64,
    /// Its body, where that is to be saved, until it has its name.
    pub(super) part: Option<Part>,
    /// Where its body is, relative to the folder that bodies are saved in.
    pub(super) file: Option<Box<str>>,
    pub(super) sha256: Option<[u8; 32]>,
    /// Its body, where that is looked into, or is to stand in the record.
    pub(super) body: Option<Vec<u8>>,
    /// What was looked for in it.
    pub(super) extracted: Option<Box<RawValue>>,
}

/// What takes in a body.
#[derive(Debug)]
pub(crate) struct Intake {
    decoder: ContentDecoder,
    /// Where something is expected of it.
    pub(super) judge: Option<Box<Judge>>,
    keep: Keep,
    most: Most,
    /// With which one can go on, should the body break off.
    representation: Option<Representation>,
    /// Where the body broke off before, what the server has begun to send of it.
    rest: Option<range::Part>,
}

/// What is made of the bytes of a body.
#[derive(Debug, Default)]
struct Keep {
    part: Option<Part>,
    digest: Option<Sha256>,
    body: Option<Vec<u8>>,
}

/// How large a body may be.
#[derive(Clone, Copy, Debug)]
enum Most {
    /// A larger one is no good.
    Bytes(u64),
    /// What comes after so much is of no interest: it is not waited for.
    Cut(usize),
}

/// What went wrong with a body.
#[derive(Debug)]
pub(super) enum Spoilt {
    /// It is no good.
    Answer(Error),
    /// This beginning of it is all that is wanted, and it goes on.
    Enough(Vec<u8>),
    /// It cannot be saved.
    Disk(io::Error),
}

impl Answer {
    /// What its head tells.
    pub(super) fn of(head: &Head<'_>) -> Self {
        let kept = |value: &[u8]| value[..value.len().min(VALUE_BYTES_MAX)].into();
        Self { status: head.status, content_type: head.header("content-type").map(kept), ..Self::default() }
    }

    /// Takes a body of so many bytes as read, where nothing but their number is asked for; says whether it is so.
    pub(super) fn counts_alone(&mut self, length: BodyLength, output: &Output, policies: &Policies) -> bool {
        let BodyLength::Known(bytes) = length else { return false };
        let asked_for = output.save.is_some() || output.sha256 || keeps_body(output, policies);
        let counts = !asked_for && bytes <= SMALL_BYTES.min(output.max_body);
        if counts {
            self.bytes = bytes;
        }
        counts
    }

    /// A body has come to its end.
    pub(super) fn take(&mut self, intake: Intake) {
        self.bytes = intake.decoder.decoded();
        self.part = intake.keep.part;
        self.sha256 = intake.keep.digest.map(|digest| digest.finalize().into());
        self.body = intake.keep.body;
    }

    /// Gives its body the name that `name` finds, where there is a folder for it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn keep(&mut self, folder: Option<&Folder>, name: impl FnOnce() -> String) -> io::Result<()> {
        let Some((part, folder)) = self.part.take().zip(folder) else { return Ok(()) };
        let name = name();
        folder.keep(part, &name)?;
        self.file = Some(name.into());
        Ok(())
    }

    /// There is no body: its digest is that of nothing.
    pub(super) fn take_nothing(&mut self, output: &Output, policies: &Policies) {
        self.sha256 = output.sha256.then(|| Sha256::new().finalize().into());
        self.body = keeps_body(output, policies).then(Vec::new);
    }

    /// Looks into the body.
    ///
    /// # Errors
    /// It does not say what it should.
    pub(super) fn look(&mut self, policies: &Policies) -> Result<(), Error> {
        let Some(body) = self.body.as_deref().filter(|_| policies.reads_bodies()) else { return Ok(()) };
        let wrong = |problem: Problem| {
            let kind = if problem == Problem::NotJson { Kind::Json } else { Kind::TooLarge };
            Error::new(kind, problem.to_string())
        };
        for check in &policies.checks {
            if !check.passes(body).map_err(wrong)? {
                return Err(Error::new(
                    Kind::Failure(Failure::Check),
                    "the body does not say what --json-check asks for",
                ));
            }
        }
        if let Some(extract) = &policies.extract {
            self.extracted = extract.run(body).map_err(wrong)?;
        }
        Ok(())
    }
}

impl Intake {
    /// Takes in what `decoder` makes of a body; a file is where it goes, if any, and a representation what one can go on
    /// with.
    pub(super) fn new(
        decoder: ContentDecoder,
        output: &Output,
        policies: &Policies,
        part: Option<Part>,
        representation: Option<Representation>,
    ) -> Self {
        let digest = output.sha256.then(Sha256::new);
        let keep = Keep { part, digest, body: keeps_body(output, policies).then(Vec::new) };
        Self { representation, ..Self::keeping(decoder, keep, Most::Bytes(output.max_body)) }
    }

    fn keeping(decoder: ContentDecoder, keep: Keep, most: Most) -> Self {
        Self { decoder, judge: None, keep, most, representation: None, rest: None }
    }

    /// Its body is held against what is expected, too.
    pub(super) fn judged_by(self, judge: Option<Box<Judge>>) -> Self {
        Self { judge, ..self }
    }

    /// Takes in a body that nobody wants, and whose end may never come.
    pub(super) fn of_nothing(output: &Output) -> Self {
        Self::keeping(ContentDecoder::default(), Keep::default(), Most::Bytes(output.max_body))
    }

    /// Takes in a robots.txt.
    pub(super) fn of_robots(decoder: ContentDecoder) -> Self {
        let keep = Keep { body: Some(Vec::new()), ..Keep::default() };
        Self::keeping(decoder, keep, Most::Cut(ROBOTS_BYTES_MAX))
    }

    /// Takes in a piece, of which this is expected.
    ///
    /// # Errors
    /// The body is no good, or cannot be saved.
    pub(super) fn feed(&mut self, expect: &Expect, piece: &[u8]) -> Result<(), Spoilt> {
        if self.rest.is_some_and(|rest| piece.len() as u64 > rest.end - self.received()) {
            let detail = "asked for the rest of a body, the server sent more than it said";
            return Err(Spoilt::Answer(Error::new(Kind::Failure(Failure::Protocol), detail)));
        }
        let (keep, judge, most, mut written) = (&mut self.keep, &mut self.judge, self.most, Ok(()));
        let fed = self.decoder.feed(piece, |bytes| {
            if let Some(judge) = judge {
                judge.feed(expect, bytes);
            }
            if written.is_ok() {
                written = keep.take(bytes, most);
            }
        });
        fed.map_err(|error| Spoilt::Answer(spoilt(error)))?;
        written.map_err(Spoilt::Disk)?;
        match most {
            Most::Bytes(most) if self.decoder.decoded() > most => {
                let detail = format!("the body is larger than {most} bytes (--max-body)");
                Err(Spoilt::Answer(Error::new(Kind::TooLarge, detail)))
            }
            Most::Cut(most) if self.decoder.decoded() > most as u64 => {
                Err(Spoilt::Enough(self.keep.body.take().unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }

    /// So many bytes of the body have come, as they are sent.
    pub(super) fn received(&self) -> u64 {
        self.decoder.received()
    }

    /// What it holds in memory, in bytes.
    pub(super) fn memory(&self) -> u64 {
        let body = self.keep.body.as_ref().map_or(0, Vec::capacity);
        let judged = self.judge.as_ref().map_or(0, |judge| judge.memory());
        self.decoder.memory() + (body + judged) as u64
    }

    /// The body broke off: what one can go on with, if anything.
    pub(super) fn break_off(&mut self) -> Option<Representation> {
        self.representation.take()
    }

    /// Another answer brings this part of the rest.
    pub(super) fn go_on(&mut self, representation: Representation, rest: range::Part) {
        (self.representation, self.rest) = (Some(representation), Some(rest));
    }

    /// The answer that went on with the body has ended before the body has.
    pub(super) fn is_short(&self) -> bool {
        self.rest.is_some_and(|rest| self.received() < rest.complete)
    }

    /// The body has ended.
    ///
    /// # Errors
    /// It is cut short.
    pub(super) fn finish(&mut self) -> Result<(), Spoilt> {
        self.decoder.finish().map_err(|error| Spoilt::Answer(spoilt(error)))
    }
}

impl Keep {
    fn take(&mut self, bytes: &[u8], most: Most) -> io::Result<()> {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if let Some(body) = &mut self.body {
            let room = match most {
                Most::Bytes(_) => bytes.len(),
                Most::Cut(most) => bytes.len().min(most - body.len()),
            };
            body.extend_from_slice(&bytes[..room]);
        }
        self.part.as_mut().map_or(Ok(()), |part| part.write(bytes))
    }
}

fn keeps_body(output: &Output, policies: &Policies) -> bool {
    output.body_in_json.is_some() || policies.reads_bodies()
}

/// What is wrong with a coded body.
pub(super) fn spoilt(error: ContentError) -> Error {
    let kind = match error {
        ContentError::TooDense | ContentError::TooLarge => Kind::TooLarge,
        _ => Kind::Decode,
    };
    Error::new(kind, error.to_string())
}
