//! What a run must keep to: the share of errors it may end with, and the rules that end it early.

use std::fmt;

use super::error::PlanError;
use crate::units::{NANOS_PER_S, Nanos, Share};

/// What is said behind an `--abort-on` that cannot be read.
const EXAMPLES: &str = "write e.g. 'errors>50% for 5s' or 'p99>1s'";
/// How long a rule without `for TIME` must be broken.
const SECONDS: u64 = 1;

/// What a rule looks at in each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Answers of 400 and above and failures, of all requests that ended; the share must not be above this.
    Errors(Share),
    /// The median response time.
    P50(Nanos),
    /// The 99th percentile of the response time.
    P99(Nanos),
    /// The longest response time.
    Max(Nanos),
}

/// Ends the run once it was broken in so many seconds on end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What must not be exceeded.
    pub measure: Measure,
    /// For how many whole seconds, 1 or more.
    pub seconds: u64,
}

impl Rule {
    /// Reads `errors>50% for 5s`, `p99>1s`; spaces around `>` are allowed.
    ///
    /// # Errors
    /// What is wrong with it; the subject is the option as typed.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let refused = |problem: String| PlanError::new(format!("--abort-on '{}'", text.escape_debug()), problem);
        let (subject, rest) = text.split_once('>').ok_or_else(|| refused(format!("is no rule; {EXAMPLES}")))?;
        let mut words = rest.split_whitespace();
        let limit = words.next().ok_or_else(|| refused(format!("has no limit; {EXAMPLES}")))?;
        let time = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("for"), Some(time), None) => Some(time),
            _ => return Err(refused(format!("may only go on with 'for TIME'; {EXAMPLES}"))),
        };
        let seconds = time.map(seconds).transpose().map_err(refused)?.unwrap_or(SECONDS);
        let measure = measure(subject.trim(), limit).map_err(refused)?;
        Ok(Self { measure, seconds })
    }
}

impl fmt::Display for Rule {
    /// As it is written in full: what [`Rule::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.measure {
            Measure::Errors(share) => write!(f, "errors>{share}"),
            Measure::P50(limit) => write!(f, "p50>{limit}"),
            Measure::P99(limit) => write!(f, "p99>{limit}"),
            Measure::Max(limit) => write!(f, "max>{limit}"),
        }?;
        write!(f, " for {}s", self.seconds)
    }
}

fn measure(subject: &str, limit: &str) -> Result<Measure, String> {
    match subject {
        "errors" => match Share::parse(limit)? {
            share if share == Share::ALL => Err("no share is above 100%; lower the limit".to_owned()),
            share => Ok(Measure::Errors(share)),
        },
        "p50" => Nanos::parse(limit).map(Measure::P50),
        "p99" => Nanos::parse(limit).map(Measure::P99),
        "max" => Nanos::parse(limit).map(Measure::Max),
        other => Err(format!("\"{}\" is not looked at; use errors, p50, p99 or max", other.escape_debug())),
    }
}

/// Rules are looked at once a second.
fn seconds(text: &str) -> Result<u64, String> {
    match Nanos::parse(text)?.0 {
        0 => Err("a time of 0 would end every run; write e.g. for 5s".to_owned()),
        time if time % NANOS_PER_S != 0 => {
            Err(format!("\"{}\" is not in whole seconds; write e.g. for 5s", text.escape_debug()))
        }
        time => Ok(time / NANOS_PER_S),
    }
}

/// Checks what must hold for every text as a rule: an accepted one asks for whole seconds and reads back as it is written;
/// a refusal steers no terminal.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_rule(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Rule::parse(text) {
        Ok(rule) => {
            assert!(rule.seconds > 0, "{text:?}");
            assert_eq!(Rule::parse(&rule.to_string()), Ok(rule), "{text:?}");
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_and_written_in_full() {
        for (text, full) in [
            ("errors>50% for 5s", "errors>50% for 5s"),
            ("errors > 0.5%", "errors>0.5% for 1s"),
            ("errors>0%", "errors>0% for 1s"),
            ("p99>1s", "p99>1s for 1s"),
            (" p50 >1500us  for 1m ", "p50>1.5ms for 60s"),
            ("max>2s for 2s", "max>2s for 2s"),
        ] {
            let rule = Rule::parse(text).expect(text);
            assert_eq!(rule.to_string(), full);
            assert_eq!(Rule::parse(full), Ok(rule));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_remedy() {
        for (text, part) in [
            ("", "is no rule"),
            ("errors", "is no rule"),
            ("errors>", "has no limit"),
            ("errors>50", "write 50%"),
            ("errors>101%", "100%"),
            ("errors>100%", "no share is above"),
            ("errors>-1%", "no share"),
            ("p99>1", "no unit"),
            ("p98>1s", "use errors, p50, p99 or max"),
            ("\u{1b}[31m>1s", "\\u{1b}"),
            ("p99>1s for", "for TIME"),
            ("p99>1s for 5s 6s", "for TIME"),
            ("p99>1s during 5s", "for TIME"),
            ("p99>1s for 0s", "would end every run"),
            ("p99>1s for 1500ms", "whole seconds"),
            ("p99>1s for ever", "no duration"),
        ] {
            let error = Rule::parse(text).expect_err(text);
            assert!(error.subject.starts_with("--abort-on '"), "{error}");
            assert!(error.problem.contains(part), "{part}: {error}");
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_rules() {
        let corpus: [&[u8]; 5] =
            [b"errors>50% for 5s", b"p99>1s", b"p50 > 1500us for 1m", b"max>2.5s for 2s", b"errors>0.0001%"];
        let telling: [&[u8]; 8] = [b">", b" for ", b"errors", b"p99", b"%", b".", b"9", b"\x1b["];
        crate::mutation::run("rules_and_units", &corpus, &telling, 20_000, fuzz_rule);
    }
}
