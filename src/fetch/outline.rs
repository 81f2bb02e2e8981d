//! The line of output of a line of input.

use serde::Serialize;

use super::answer::Answer;
use super::job::{Error, Job};
use crate::units::{NANOS_PER_S, Nanos};

/// One record, as it is written.
#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    url: &'a str,
    final_url: Option<String>,
    status: Option<u16>,
    ok: bool,
    error: Option<ErrorLine<'a>>,
    attempts: u32,
    retry_after_s: Option<u64>,
    started_at: Option<String>,
    response_ms: Option<f64>,
    service_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    bytes: Option<u64>,
    content_type: Option<&'a str>,
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    tag: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    kind: &'a str,
    detail: &'a str,
}

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

/// The record of a line that came to an answer, or to an error; with its line end.
pub(super) fn record(job: &Job, answer: Option<&Answer>, error: Option<&Error>, ok: bool, times: Times) -> Vec<u8> {
    let ms = |time: Option<Nanos>| time.map(|time| (time.0 / 1_000) as f64 / 1e3);
    let started = (job.tried.started_at > Nanos::ZERO).then(|| rfc3339(job.tried.started_at));
    let line = Line {
        line: job.line,
        url: &job.url,
        final_url: (job.tried.attempts > 0).then(|| job.final_url()),
        status: answer.map(|answer| answer.status),
        ok,
        error: error.map(|error| ErrorLine { kind: error.kind, detail: &error.detail }),
        attempts: job.tried.attempts,
        retry_after_s: answer.and_then(|answer| answer.retry_after).map(|wait| wait.0 / NANOS_PER_S),
        started_at: started,
        response_ms: ms(times.response),
        service_ms: ms(times.service),
        first_byte_ms: ms(times.first_byte),
        bytes: answer.map(|answer| answer.bytes),
        content_type: answer.and_then(|answer| answer.content_type.as_deref()),
        file: answer.and_then(|answer| answer.file.as_deref()),
        sha256: answer.and_then(|answer| answer.sha256.as_deref()),
        body: answer.and_then(|answer| answer.body.as_deref()),
        tag: job.tag.as_deref(),
    };
    written(&line)
}

/// The record of a line that asks for nothing that can be had.
pub(super) fn refused(number: u64, url: &str, error: &Error) -> Vec<u8> {
    let line = Line {
        line: number,
        url,
        final_url: None,
        status: None,
        ok: false,
        error: Some(ErrorLine { kind: error.kind, detail: &error.detail }),
        attempts: 0,
        retry_after_s: None,
        started_at: None,
        response_ms: None,
        service_ms: None,
        first_byte_ms: None,
        bytes: None,
        content_type: None,
        file: None,
        sha256: None,
        body: None,
        tag: None,
    };
    written(&line)
}

fn written(line: &Line<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    serde_json::to_writer(&mut text, line).expect("strings and numbers always serialize");
    text.push(b'\n');
    text
}

fn rfc3339(unix: Nanos) -> String {
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + unix.to_std()).to_string()
}
