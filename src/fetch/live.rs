//! Where a retrieval stands while it lasts: each core says so a few times a second, and whoever watches adds it up.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::line::Kind;
use super::snapshot::{SlowHost, Snapshot};
use crate::units::Nanos;

/// How often a core says where it stands.
pub(super) const EVERY: Nanos = Nanos::from_millis(200);
/// Hosts that are named.
const SLOWEST: usize = 3;

/// What the cores said last.
#[derive(Debug)]
pub(super) struct Live {
    cores: Vec<Mutex<Snapshot>>,
    /// Lines of input so far.
    read: AtomicU64,
}

impl Live {
    pub(super) fn new(cores: usize) -> Self {
        Self { cores: (0..cores).map(|_| Mutex::default()).collect(), read: AtomicU64::new(0) }
    }

    /// One more line of input asks for something.
    pub(super) fn read_one(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// Where the core of this place stands.
    pub(super) fn say(&self, place: usize, snapshot: Snapshot) {
        *self.cores[place].lock().expect("storing does not panic") = snapshot;
    }

    /// All cores together; what is not theirs to know is left to the caller.
    pub(super) fn sum(&self) -> Snapshot {
        let mut sum = Snapshot { read: self.read.load(Ordering::Relaxed), ..Snapshot::default() };
        for core in &self.cores {
            add(&mut sum, &core.lock().expect("storing does not panic"));
        }
        sum.statuses.sort_unstable();
        sum.slowest.sort_by_key(|host| std::cmp::Reverse(host.oldest));
        sum.slowest.truncate(SLOWEST);
        sum
    }
}

fn add(sum: &mut Snapshot, core: &Snapshot) {
    sum.ended += core.ended;
    sum.ok += core.ok;
    sum.http_errors += core.http_errors;
    sum.requests += core.requests;
    sum.retries += core.retries;
    sum.rate_limited += core.rate_limited;
    sum.in_flight += core.in_flight;
    sum.waiting += core.waiting;
    sum.bytes += core.bytes;
    sum.latencies.add(&core.latencies);
    core.errors.iter().for_each(|&(kind, n)| count(&mut sum.errors, kind, n));
    core.statuses.iter().for_each(|&(status, n)| count(&mut sum.statuses, status, n));
    sum.slowest.extend(core.slowest.iter().cloned());
}

fn count<T: PartialEq>(counts: &mut Vec<(T, u64)>, of: T, n: u64) {
    match counts.iter_mut().find(|(known, _)| *known == of) {
        Some((_, count)) => *count += n,
        None => counts.push((of, n)),
    }
}

/// Counts a line that has come to its end.
pub(super) fn count_line(core: &mut Snapshot, ok: bool, error: Option<Kind>, bytes: u64, response: Option<Nanos>) {
    core.ended += 1;
    core.ok += u64::from(ok);
    core.bytes += bytes;
    match error {
        Some(kind) => count(&mut core.errors, kind, 1),
        None => core.http_errors += u64::from(!ok),
    }
    if let Some(response) = response {
        core.latencies.record(response);
    }
}

/// Counts an answer.
pub(super) fn count_answer(core: &mut Snapshot, status: u16, asks_for_time: bool) {
    count(&mut core.statuses, status, 1);
    core.rate_limited += u64::from(asks_for_time);
}

/// The hosts whose oldest requests, as named with their ages, are the oldest.
pub(super) fn slowest(requests: impl Iterator<Item = (String, Nanos)>) -> Vec<SlowHost> {
    let mut by_host: HashMap<String, SlowHost> = HashMap::new();
    for (host, age) in requests {
        let known = by_host.entry(host.clone()).or_insert_with(|| SlowHost { host, ..SlowHost::default() });
        known.lines += 1;
        known.oldest = known.oldest.max(age);
    }
    let mut all: Vec<_> = by_host.into_values().collect();
    all.sort_by_key(|host| std::cmp::Reverse(host.oldest));
    all.truncate(SLOWEST);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cores_say_is_added_up() {
        let live = Live::new(2);
        (0..5).for_each(|_| live.read_one());
        for place in 0..2 {
            let mut core = Snapshot::default();
            count_line(&mut core, true, None, 7, Some(Nanos::from_millis(3)));
            count_line(&mut core, false, Some(Kind::Robots), 0, None);
            count_line(&mut core, false, None, 1, Some(Nanos::from_millis(30)));
            count_answer(&mut core, 200, false);
            count_answer(&mut core, 429, true);
            core.slowest = slowest([("a".to_owned(), Nanos(place as u64)), ("b".to_owned(), Nanos(9))].into_iter());
            live.say(place, core);
        }
        let sum = live.sum();
        assert_eq!((sum.read, sum.ended, sum.ok, sum.http_errors, sum.bytes), (5, 6, 2, 2, 16));
        assert_eq!((sum.errors.as_slice(), sum.rate_limited), (&[(Kind::Robots, 2)][..], 2));
        assert_eq!((sum.statuses.as_slice(), sum.latencies.count()), (&[(200, 2), (429, 2)][..], 4));
        assert_eq!(sum.slowest.iter().map(|host| host.oldest.0).collect::<Vec<_>>(), [9, 9, 1]);
    }
}
