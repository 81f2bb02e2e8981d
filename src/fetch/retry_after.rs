//! `Retry-After`: how long a host asks to be left alone (RFC 9110 section 10.2.3).
//!
//! Owns its two forms and its cap. Whom it holds is [`super::rest`]'s.

use std::time::{Duration, SystemTime};

use crate::units::Nanos;

/// How long the host asks for with an answer of `status` at `unix_now` (wall clock, since the epoch): never more than `max`,
/// nothing where the date has passed. None where the answer does not ask: another status, no such header, or no sense in it.
pub fn hold(status: u16, value: Option<&[u8]>, unix_now: Nanos, max: Nanos) -> Option<Nanos> {
    if !is_limit(status) {
        return None;
    }
    parse(value?, unix_now).map(|time| time.min(max))
}

/// Whether a status says that the host has had enough: 429 (RFC 6585) and 503.
pub fn is_limit(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// Seconds, or a date in any of the three forms of HTTP.
fn parse(value: &[u8], unix_now: Nanos) -> Option<Nanos> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // So many digits that they are no number are still a long time.
        let secs = text.parse().unwrap_or(u64::MAX);
        return Some(Nanos(secs.saturating_mul(Nanos::from_secs(1).0)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_now.0);
    let time = date.duration_since(now).unwrap_or_default();
    Some(Nanos(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
}

/// Checks what must hold for every value: a hold is never longer than its cap, and a number of seconds is read as one.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_retry_after(bytes: &[u8]) {
    let max = Nanos::from_secs(300);
    let now = Nanos::from_secs(1_794_000_000);
    for status in [429, 503] {
        if let Some(time) = hold(status, Some(bytes), now, max) {
            assert!(time <= max);
        }
    }
    assert_eq!(hold(200, Some(bytes), now, max), None);
    let seconds = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u32>().ok());
    if let Some(secs) = seconds.filter(|_| !bytes.starts_with(b"+")) {
        assert_eq!(parse(bytes, now), Some(Nanos::from_secs(secs.into())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 section 5.6.7.
    const EXAMPLE: Nanos = Nanos::from_secs(784_111_777);

    fn held(value: &str, unix_now: Nanos) -> Option<Nanos> {
        hold(503, Some(value.as_bytes()), unix_now, Nanos::from_secs(300))
    }

    #[test]
    fn seconds_are_read_and_capped() {
        for (value, secs) in [("0", 0), ("120", 120), (" 7\t", 7), ("301", 300), ("99999999999999999999999", 300)] {
            assert_eq!(held(value, EXAMPLE), Some(Nanos::from_secs(secs)), "{value}");
        }
        for value in ["", " ", "-1", "+1", "1.5", "1s", "soon", "0x10", "١"] {
            assert_eq!(held(value, EXAMPLE), None, "{value}");
        }
    }

    #[test]
    fn dates_of_all_three_forms_are_a_time_from_now() {
        let before = Nanos(EXAMPLE.0 - 1_500_000_000);
        for value in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(held(value, before), Some(Nanos(1_500_000_000)), "{value}");
            assert_eq!(held(value, EXAMPLE), Some(Nanos::ZERO), "{value}");
            assert_eq!(held(value, Nanos(2 * EXAMPLE.0)), Some(Nanos::ZERO), "a date that has passed");
        }
        assert_eq!(held("Fri, 31 Dec 9999 23:59:59 GMT", EXAMPLE), Some(Nanos::from_secs(300)));
        assert_eq!(held("Sun, 06 Nov 1994 08:49:37 PST", EXAMPLE), None);
    }

    #[test]
    fn only_429_and_503_hold() {
        let holding: Vec<_> =
            (100..600).filter(|&status| hold(status, Some(b"5"), EXAMPLE, EXAMPLE).is_some()).collect();
        assert_eq!(holding, [429, 503]);
        assert_eq!(hold(429, None, EXAMPLE, EXAMPLE), None);
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_values() {
        let corpus: [&[u8]; 5] = [
            b"120",
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
            b"18446744073709551616",
        ];
        let telling: [&[u8]; 8] = [b"9", b"0", b"-", b",", b" GMT", b":", b"Nov", b"\xff"];
        crate::mutation::run("retry_after", &corpus, &telling, 20_000, fuzz_retry_after);
    }
}
