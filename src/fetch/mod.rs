//! Retrieval: a list of URLs, each line once, politely, and nothing lost.
//!
//! The policies below are pure: time and bytes are arguments, and what they keep is bounded. Each core has its own; what a
//! core and its hosts share with the others is said where it is.

pub mod bucket;
pub mod cookies;
pub mod exporter;
pub mod extract;
pub mod line;
pub mod log;
pub mod metrics;
pub mod progress;
pub mod redirect;
pub mod rest;
pub mod retry;
pub mod retry_after;
pub mod robots;
pub mod save_name;
pub mod site;
pub mod snapshot;
pub mod unique;
