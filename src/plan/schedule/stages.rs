//! A rate that changes over the run: stages one after the other, each holding a rate or ramping from one to another. A
//! ramp alone is one stage.

use std::sync::Arc;

use super::ramp::Ramp;
use crate::units::{COUNT_MAX, NANOS_PER_S, Nanos, Rate, gcd};

/// More stages than anybody writes; what a generated list may have.
const STAGES_MAX: usize = 1_000;
/// The common denominator of all rates, so that their numbers of requests stay exact in 128 bits.
const DENOMINATOR_MAX: u128 = 1 << 40;

/// All stages, and how many requests fall due in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    list: Vec<Stage>,
    /// So many parts are one request: 2 · 10⁹ · the common denominator of the rates.
    parts: u128,
    /// Requests that fall due before the end; 1 to 2^53.
    requests: u64,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// At its beginning; `None` sends nothing.
    pub from: Option<Rate>,
    /// At its end; in between the rate changes linearly.
    pub to: Option<Rate>,
    /// Above 0.
    pub duration: Nanos,
    /// When it begins.
    start: u64,
    /// Parts of all stages before it.
    before: u128,
    ramp: Ramp,
}

impl Stages {
    /// Reads `100@10s,100:1k@1m,0@5s`: each stage a rate, or two for a ramp, and how long it lasts.
    ///
    /// # Errors
    /// A sentence fragment for the caller to put behind the option's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut list = Vec::new();
        for stage in text.split(',') {
            if list.len() == STAGES_MAX {
                return Err(format!("has too many stages; the limit is {STAGES_MAX}"));
            }
            let Some((rates, duration)) = stage.split_once('@') else {
                let problem = "is no stage; write RATE@TIME or FROM:TO@TIME, e.g. 100@10s,100:1000@1m";
                return Err(format!("\"{}\" {problem}", stage.escape_debug()));
            };
            let (from, to) = rates.split_once(':').unwrap_or((rates, rates));
            list.push((Rate::parse_or_none(from)?, Rate::parse_or_none(to)?, Nanos::parse(duration)?));
        }
        Self::new(&list)
    }

    /// Stages of these rates (from, to) and lengths.
    ///
    /// # Errors
    /// As of [`Stages::parse`]: a stage without length, nothing to send, more than can be counted exactly.
    pub fn new(list: &[(Option<Rate>, Option<Rate>, Nanos)]) -> Result<Self, String> {
        let precise = || "has rates with too many digits to be counted exactly; round them".to_owned();
        let mut denominator = 1u128;
        for rate in list.iter().flat_map(|(from, to, _)| [from, to]).flatten() {
            let den = u128::from(rate.den);
            denominator = denominator / gcd(denominator, den) * den;
            if denominator > DENOMINATOR_MAX {
                return Err(precise());
            }
        }
        let numerator =
            |rate: Option<Rate>| rate.map_or(0, |rate| u128::from(rate.num) * (denominator / u128::from(rate.den)));
        let parts = 2 * u128::from(NANOS_PER_S) * denominator;
        let (mut start, mut before) = (0u64, 0u128);
        let mut stages = Vec::with_capacity(list.len());
        for &(from, to, duration) in list {
            if duration == Nanos::ZERO {
                return Err("has a stage that lasts no time; leave it out".into());
            }
            let ramp = Ramp { from: numerator(from), to: numerator(to), duration: duration.0 };
            stages.push(Stage { from, to, duration, start, before, ramp });
            start = start.checked_add(duration.0).filter(|&end| end <= i64::MAX as u64).ok_or("is too long")?;
            let all = ramp.total().and_then(|total| before.checked_add(total));
            let most = u128::from(COUNT_MAX) * parts;
            before = all.filter(|&all| all <= most).ok_or("makes more than 2^53 requests; shorten it")?;
        }
        if before == 0 {
            return Err("sends nothing; some rate must be above 0".into());
        }
        Ok(Self { list: stages, parts, requests: before.div_ceil(parts) as u64 })
    }

    /// The stages, in order; at least one.
    pub fn list(&self) -> &[Stage] {
        &self.list
    }

    /// From the beginning of the first to the end of the last.
    pub fn duration(&self) -> Nanos {
        self.list.last().map_or(Nanos::ZERO, |last| Nanos(last.start + last.duration.0))
    }

    /// How many requests fall due in them.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The rate at the very beginning.
    pub fn first(&self) -> Option<Rate> {
        self.list[0].from
    }

    /// The highest rate, requests a second.
    pub fn peak(&self) -> Option<Rate> {
        let rates = self.list.iter().flat_map(|stage| [stage.from, stage.to]).flatten();
        rates.reduce(|most, rate| {
            let more = u128::from(rate.num) * u128::from(most.den) > u128::from(most.num) * u128::from(rate.den);
            if more { rate } else { most }
        })
    }

    /// When request `number` falls due; never, past the last one.
    pub(super) fn start_of(&self, number: u128) -> Nanos {
        if number >= u128::from(self.requests) { Nanos(u64::MAX) } else { self.reach(number * self.parts) }
    }

    /// When the cumulative number of requests is `whole` and `fraction`, the inverse of which [`Stages::due_before`] is
    /// the floor: what falls due evenly at rate 1 is moved there to fall due at the rate of the stages.
    pub(super) fn instant_of(&self, whole: u64, fraction: f64) -> Nanos {
        if whole >= self.requests {
            return Nanos(u64::MAX);
        }
        self.reach(u128::from(whole) * self.parts + (fraction * self.parts as f64) as u128)
    }

    /// How many requests fall due before `elapsed`.
    pub(super) fn due_before(&self, elapsed: Nanos) -> u64 {
        if elapsed >= self.duration() {
            return self.requests;
        }
        let stage = &self.list[self.list.partition_point(|stage| stage.start <= elapsed.0) - 1];
        // Request j is due when its exact instant is below, that is when j requests are less than what is reached.
        (stage.before + stage.ramp.before(elapsed.0 - stage.start)).div_ceil(self.parts) as u64
    }

    /// When so many parts are reached. A stage takes what begins in it: between stages that send nothing falls nothing.
    fn reach(&self, parts: u128) -> Nanos {
        let next = self.list.partition_point(|stage| stage.before <= parts);
        let stage = &self.list[next - 1];
        let own = parts - stage.before;
        if stage.ramp.total().is_none_or(|total| own >= total) {
            return Nanos(u64::MAX);
        }
        Nanos(stage.start + stage.ramp.reach(own))
    }
}

/// The stripe of one shard: request number → intended start by the exact cumulative rate of the stages.
#[derive(Clone, Debug)]
pub struct Staged {
    stages: Arc<Stages>,
    index: u64,
    count: u64,
    pub(super) taken: u64,
}

impl Staged {
    /// The stripe of shard `index` of `count`.
    pub(super) fn new(stages: Arc<Stages>, index: u64, count: u64) -> Self {
        Self { stages, index, count, taken: 0 }
    }

    /// Intended start of the stripe's `k`-th ticket.
    pub(super) fn intended(&self, k: u64) -> Nanos {
        self.stages.start_of(u128::from(self.index) + u128::from(k) * u128::from(self.count))
    }

    pub(super) fn due_before(&self, elapsed: Nanos) -> u64 {
        self.stages.due_before(elapsed).saturating_sub(self.index).div_ceil(self.count)
    }
}

/// Checks what must hold for every text as a list of stages: an accepted one sends something, its starts are in order and
/// agree with what is due, whoever shares it; a refusal steers no terminal.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_stages(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let stages = match Stages::parse(text) {
        Ok(stages) => Arc::new(stages),
        Err(problem) => return assert!(!problem.contains(char::is_control), "{problem:?} about {text:?}"),
    };
    let (requests, duration) = (stages.requests(), stages.duration());
    assert!((1..=COUNT_MAX).contains(&requests) && stages.list().len() <= STAGES_MAX, "{text:?}");
    assert_eq!(stages.list().iter().map(|stage| stage.duration.0).sum::<u64>(), duration.0);
    assert!(stages.peak().is_some(), "something is sent");
    let mut last = Nanos::ZERO;
    for number in [0, 1, 2, requests / 3, requests / 2, requests - 1].into_iter().filter(|&number| number < requests) {
        let at = stages.start_of(number.into());
        assert!(at < duration, "{text:?}: {number} starts at {at} of {duration}");
        let due = [at.0, at.0 + 1].map(|elapsed| stages.due_before(Nanos(elapsed)));
        assert!(due[0] <= number && number < due[1], "{text:?}: {number} starts at {at}, of {due:?} that are due");
        last = last.max(at);
        let stripe = Staged::new(Arc::clone(&stages), number % 7, 7);
        assert_eq!(stripe.intended(number / 7), at, "{text:?}: {number} of 7 stripes");
        assert_eq!(stripe.due_before(Nanos(at.0 + 1)) > number / 7, due[1] > number);
    }
    assert_eq!(stages.start_of(requests.into()), Nanos(u64::MAX));
    assert_eq!(stages.due_before(Nanos(u64::MAX)), requests);
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;

    use super::*;

    fn stages(text: &str) -> Arc<Stages> {
        Arc::new(Stages::parse(text).expect(text))
    }

    /// Whether request `number` is due before `at`, by exact arithmetic: the sum over stages of
    /// from·t + (to − from)·t² / 2D against number, all of it times the product of what is divided by.
    fn reached(stages: &Stages, at: u64, number: u64) -> bool {
        let fraction = |rate: Option<Rate>| rate.map_or((0, 1), |rate| (rate.num, rate.den));
        let (mut sum, mut over) = (BigInt::from(0), BigInt::from(1));
        let mut start = 0;
        for stage in stages.list() {
            let ((a, ad), (b, bd)) = (fraction(stage.from), fraction(stage.to));
            let (a, b) = (BigInt::from(a) * bd, BigInt::from(b) * ad);
            let (t, d) = (BigInt::from(at.saturating_sub(start).min(stage.duration.0)), stage.duration.0);
            let part = 2 * &a * &t * d + (b - a) * &t * &t;
            let per = BigInt::from(ad) * bd * 2 * d * NANOS_PER_S;
            sum = sum * &per + part * &over;
            over *= per;
            start += stage.duration.0;
        }
        sum > BigInt::from(number) * over
    }

    const SHAPES: [&str; 10] = [
        "7/m@1h",
        "100:1000@10s",
        "1000:100@10s",
        "0:5M@1h",
        "3M:0@24h",
        "10@1s,0@1s,10@1s",
        "0@1500ms,0:99.9@333ms,1/h@1h,7M@3s",
        "0.7:1/h@90m",
        "1/h:2/h@1h,3/h@1h",
        "1.5M@1h,1.5M:7M@1h,7M:700k@1h,0.001@1ns,333333@1h",
    ];

    #[test]
    fn starts_are_exact_to_the_nanosecond_whatever_the_stages() {
        for text in SHAPES {
            let stages = stages(text);
            let n = stages.requests();
            for number in [0, 1, 2, 3, n / 7, n / 3, n / 2, n - n / 5, n - 1].into_iter().filter(|&number| number < n) {
                let at = stages.start_of(number.into()).0;
                assert!(!reached(&stages, at, number), "{text}: {number} starts before {at}");
                assert!(reached(&stages, at + 1, number), "{text}: {number} starts after {at}");
            }
        }
    }

    #[test]
    fn what_is_due_is_what_the_starts_say() {
        for text in SHAPES {
            let stages = stages(text);
            for count in [1u64, 2, 3, 7] {
                for index in 0..count {
                    let stripe = Staged::new(Arc::clone(&stages), index, count);
                    let own = (stages.requests().saturating_sub(index)).div_ceil(count);
                    for k in [0, 1, 2, own / 3, own.saturating_sub(1)].into_iter().filter(|&k| k < own) {
                        let at = stripe.intended(k).0;
                        assert!(stripe.due_before(Nanos(at)) <= k, "{text} {index}/{count}: {k} before its start");
                        assert!(stripe.due_before(Nanos(at + 1)) > k, "{text} {index}/{count}: {k} just after");
                    }
                    assert_eq!((stripe.due_before(stages.duration()), stripe.intended(own)), (own, Nanos(u64::MAX)));
                }
            }
        }
    }

    #[test]
    fn stripes_together_are_the_one_schedule() {
        let stages = stages("100:1000@1s,0@1s,7@3s");
        let whole = Staged::new(Arc::clone(&stages), 0, 1);
        let starts: Vec<_> = (0..stages.requests()).map(|number| whole.intended(number)).collect();
        assert!(starts.is_sorted() && starts.len() == 571);
        for count in [2u64, 3, 7] {
            let stripe = |index| Staged::new(Arc::clone(&stages), index, count);
            let mut union: Vec<_> = (0..count)
                .flat_map(|index| (0..).map(move |k| stripe(index).intended(k)).take_while(|at| at.0 < u64::MAX))
                .collect();
            union.sort();
            assert_eq!(union, starts);
        }
    }

    #[test]
    fn a_held_stage_is_the_uniform_schedule() {
        for rate in ["1", "3", "140/m", "700k", "1.5M", "7M"] {
            let uniform = super::super::uniform::Uniform::new(Rate::parse(rate).expect(rate), 0, 1);
            let stages = stages(&format!("{rate}@2h"));
            for j in (0..stages.requests()).step_by(stages.requests().div_ceil(97) as usize) {
                assert_eq!(stages.start_of(j.into()), uniform.intended(j), "{rate} {j}");
            }
        }
    }

    #[test]
    fn nothing_falls_due_in_a_pause() {
        let stages = stages("10@1s,0@1s,10@1s");
        let at = |number: u128| stages.start_of(number).0 / 1_000_000;
        assert_eq!([9, 10, 19].map(at), [900, 2_000, 2_900]);
        assert_eq!([1, 2, 3].map(|s| stages.due_before(Nanos::from_secs(s))), [10, 10, 20]);
    }

    #[test]
    fn a_list_without_sense_is_refused_with_a_remedy() {
        let many = vec!["1@1s"; STAGES_MAX + 1].join(",");
        for (text, part) in [
            ("", "no stage"),
            ("100", "no stage"),
            ("100@", "no duration"),
            ("100@5", "write 5s"),
            ("@5s", "no rate"),
            ("1:2:3@5s", "no rate"),
            ("100@5s,", "no stage"),
            ("100@0s", "no time"),
            ("-5@1s", "negative"),
            ("0@10s", "sends nothing"),
            ("0:0@10s,0@1s", "sends nothing"),
            ("1@292y", "no unit"),
            ("1@2000000h,1@2000000h", "too long"),
            ("9007199254740992@2s", "2^53"),
            ("0.000000000001@1h,1/h@1h", "round them"),
            (&many, "the limit is 1000"),
        ] {
            let problem = Stages::parse(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn the_peak_is_the_highest_rate_anywhere() {
        let peak = |text: &str| stages(text).peak();
        assert_eq!(peak("0:5@1s,1/m@1s"), Some(Rate { num: 5, den: 1 }));
        assert_eq!(peak("1/m@1s,2/m:0@1s"), Some(Rate { num: 1, den: 30 }));
        assert_eq!((stages("0:5@1s").first(), stages("7:5@1s").first()), (None, Some(Rate { num: 7, den: 1 })));
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_stages() {
        let corpus: Vec<&[u8]> = SHAPES.iter().map(|text| text.as_bytes()).collect();
        let telling: [&[u8]; 10] = [b"@", b",", b":", b"0", b"9", b"/h", b"k", b"ns", b"h", b"\x1b"];
        crate::mutation::run("rules_and_units", &corpus, &telling, 20_000, fuzz_stages);
    }
}
