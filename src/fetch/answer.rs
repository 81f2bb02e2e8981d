//! What is kept of an answer while its line is under way, and what takes in its body.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::job::Error;
use super::save::{self, Part};
use crate::plan::fetch::{BodyText, Output};
use crate::units::Nanos;
use crate::wire::content::{ContentDecoder, ContentError};
use crate::wire::decode::Head;

/// So much of a header is kept.
const VALUE_BYTES_MAX: usize = 256;

/// What an answer has told so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<Box<str>>,
    /// How long the host asks to be left alone.
    pub(super) retry_after: Option<Nanos>,
    /// Bytes of its body, after decoding.
    pub(super) bytes: u64,
    /// Its body, where that is to be saved, until it has its name.
    pub(super) part: Option<Part>,
    /// Where its body is, relative to the folder that bodies are saved in.
    pub(super) file: Option<Box<str>>,
    pub(super) sha256: Option<Box<str>>,
    /// Its body, where that is to stand in the record.
    pub(super) body: Option<Box<str>>,
}

/// What takes in a body.
#[derive(Debug)]
pub(crate) struct Intake {
    decoder: ContentDecoder,
    keep: Keep,
    max_body: u64,
}

/// What is made of the bytes of a body.
#[derive(Debug, Default)]
struct Keep {
    part: Option<Part>,
    digest: Option<Sha256>,
    /// With how it is to be written.
    body: Option<(BodyText, Vec<u8>)>,
}

/// What went wrong with a body.
#[derive(Debug)]
pub(super) enum Spoilt {
    /// It is no good.
    Answer(Error),
    /// It cannot be saved.
    Disk(io::Error),
}

impl Answer {
    /// What its head tells.
    pub(super) fn of(head: &Head<'_>) -> Self {
        let text = |name: &str| head.header(name).map(|value| kept(value).into());
        Self { status: head.status, content_type: text("content-type"), ..Self::default() }
    }

    /// A body has come to its end.
    pub(super) fn take(&mut self, intake: Intake) {
        self.bytes = intake.decoder.decoded();
        self.part = intake.keep.part;
        self.sha256 = intake.keep.digest.map(|digest| save::hex(digest).into());
        self.body = intake.keep.body.map(|(text, bytes)| match text {
            BodyText::Text => String::from_utf8_lossy(&bytes).into(),
            BodyText::Base64 => BASE64_STANDARD.encode(&bytes).into(),
        });
    }

    /// Without a body, its digest is that of nothing.
    pub(super) fn take_nothing(&mut self, output: &Output) {
        self.sha256 = output.sha256.then(|| save::hex(Sha256::new()).into());
        self.body = output.body_in_json.map(|_| Box::from(""));
    }
}

impl Intake {
    /// Takes in what `decoder` makes of a body; a file is where it goes, if any.
    pub(super) fn new(decoder: ContentDecoder, output: &Output, part: Option<Part>) -> Self {
        let keep = Keep {
            part,
            digest: output.sha256.then(Sha256::new),
            body: output.body_in_json.map(|text| (text, Vec::new())),
        };
        Self { decoder, keep, max_body: output.max_body }
    }

    /// Takes in a piece.
    ///
    /// # Errors
    /// The body is no good, or cannot be saved.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), Spoilt> {
        let (keep, mut written) = (&mut self.keep, Ok(()));
        let fed = self.decoder.feed(piece, |bytes| {
            if written.is_ok() {
                written = keep.take(bytes);
            }
        });
        fed.map_err(|error| Spoilt::Answer(spoilt(error)))?;
        written.map_err(Spoilt::Disk)?;
        if self.decoder.decoded() > self.max_body {
            let detail = format!("the body is larger than {} bytes (--max-body)", self.max_body);
            return Err(Spoilt::Answer(Error::new("too_large", detail)));
        }
        Ok(())
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
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if let Some((_, body)) = &mut self.body {
            body.extend_from_slice(bytes);
        }
        self.part.as_mut().map_or(Ok(()), |part| part.write(bytes))
    }
}

/// What is wrong with a coded body.
pub(super) fn spoilt(error: ContentError) -> Error {
    let kind = match error {
        ContentError::TooDense | ContentError::TooLarge => "too_large",
        _ => "decode",
    };
    Error::new(kind, error.to_string())
}

/// A value of a header as text, what is no text replaced.
fn kept(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(VALUE_BYTES_MAX)]).into_owned()
}
