//! The embedded target: a small server to measure against.
