//! Sockets, names, timers and the ring under the engine and the embedded target; with them, the only modules that name
//! monoio.

pub mod resolve;
pub mod runtime;
pub mod stream;
pub mod timer;
