//! The record of a line, from what is known of it at its end.

use super::answer::Answer;
use super::job::{Error, Job};
use super::line::{Body, Fields, Line};
use crate::plan::fetch::BodyText;
use crate::units::Nanos;

/// The times of a line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// From its admission on.
    pub(super) response: Option<Nanos>,
    /// Of the last request.
    pub(super) service: Option<Nanos>,
    /// Of the last request.
    pub(super) first_byte: Option<Nanos>,
}

/// How records are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) fields: Fields,
    pub(super) body: Option<BodyText>,
}

/// Appends the record of a line that came to an answer, or to an error; with its line end.
pub(super) fn write(
    form: Form,
    job: &Job,
    answer: Option<&Answer>,
    error: Option<&Error>,
    ok: bool,
    times: Times,
    out: &mut Vec<u8>,
) {
    let final_url = (job.tried.attempts > 0).then(|| job.final_url());
    let body = answer.and_then(|answer| answer.body.as_deref()).zip(form.body);
    let line = Line {
        line: job.line,
        url: &job.url,
        final_url: final_url.as_deref(),
        status: answer.map(|answer| answer.status),
        ok,
        error: error.map(|error| (error.kind, error.detail.as_str())),
        attempts: job.tried.attempts,
        retry_after: job.tried.retry_after,
        started_unix: (job.tried.started_at > Nanos::ZERO).then_some(job.tried.started_at),
        response: times.response,
        service: times.service,
        first_byte: times.first_byte,
        bytes: answer.map(|answer| answer.bytes),
        content_type: answer.and_then(|answer| answer.content_type.as_deref()),
        file: answer.and_then(|answer| answer.file.as_deref()),
        tag: job.tag.as_deref(),
        sha256: answer.and_then(|answer| answer.sha256),
        extracted: answer.and_then(|answer| answer.extracted.as_deref()),
        body: body.map(|(bytes, text)| match text {
            BodyText::Text => Body::Text(bytes),
            BodyText::Base64 => Body::Base64(bytes),
        }),
    };
    line.write(form.fields, out);
}

/// Appends the record of a line that asks for nothing that can be had.
pub(super) fn write_refused(fields: Fields, line: u64, url: &str, error: &Error, out: &mut Vec<u8>) {
    let error = Some((error.kind, error.detail.as_str()));
    Line { line, url, error, ..Line::default() }.write(fields, out);
}
