//! Tests of the whole program over real sockets on loopback: one binary, a file a topic.
//!
//! Every report that a test reads is first held against the schema and the accounting rules of the contract, see
//! [`support::report`].

mod accuracy;
mod artefacts;
mod bad_input;
mod checks;
mod connections;
mod content;
mod driver;
mod failures;
mod fetch;
mod h2;
mod h2_servers;
mod hostile;
mod http;
mod lifecycle;
mod load;
mod many;
mod network;
mod nginx;
mod people;
mod pipeline;
mod plan_file;
mod preflight;
mod proxies;
mod proxy;
mod report;
mod scenarios;
mod secrets;
mod shapes;
mod support;
mod tags;
mod target;
mod terminal;
mod tidy;
mod tls;
mod urlset;
mod verdict;
