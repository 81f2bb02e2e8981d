//! HTTP/1.1 bytes to events and back; no I/O, no clock.
