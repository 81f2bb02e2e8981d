//! Sockets, names, timers and the drivers under the engine and the embedded target; with them, the only modules that name
//! monoio. Nobody outside needs to know which driver it is.

pub mod account;
pub mod connect;
pub mod h2;
pub mod outbox;
pub mod precedence;
pub mod ready;
pub mod resolve;
pub mod running;
pub mod runtime;
pub mod stream;
pub mod timer;
pub mod tls;
pub mod tunnel;
pub mod turn;
