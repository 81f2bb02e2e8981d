//! What is said of a run: every number derived once, and one file for each format that says it. Pure text from data.

pub mod escape;
#[cfg(test)]
mod fixture;
pub mod summary;
pub mod terminal;
pub mod warning;

pub use escape::escape;
pub use summary::Summary;
pub use warning::Warning;
