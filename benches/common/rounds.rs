//! Rounds of a bench: how many, and what they came to.

/// Whether `cargo bench` asks; `cargo test` runs every bench small.
pub(crate) fn in_full() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Median, smallest and largest of `values`.
pub(crate) fn spread(values: &mut [f64], digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    format!("{median:.digits$} ({:.digits$} to {:.digits$})", values[0], values[values.len() - 1])
}
