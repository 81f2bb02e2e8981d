//! Sockets, timers and the ring under the engine and the embedded target; with them, the only modules that name monoio.

pub mod runtime;
pub mod timer;
