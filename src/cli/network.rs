//! The options about where connections go and from where.

use std::convert::Infallible;
use std::str::FromStr;

use clap::{ValueEnum, ValueHint};

use crate::plan::network::Dns;
use crate::plan::raw::RawNetwork;

/// Sockets, addresses and names.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkArgs {
    /// Connect to this unix socket, whatever the URL's host, which stays in Host and TLS; @NAME is an abstract one
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    unix_socket: Option<SocketArg>,
    /// Connect from this address of ours: IP, a block (10.0.0.0/24) or a range (10.0.0.2-10.0.0.9); may be given again;
    /// all are used in turn, each with all local ports
    #[arg(long, value_name = "IP|CIDR|RANGE")]
    source: Vec<String>,
    /// Send and receive through this network interface alone
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Connect to IPv4 addresses alone
    #[arg(short = '4', long)]
    ipv4: bool,
    /// Connect to IPv6 addresses alone
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Take these addresses, in turn, for a name's, which is not looked up; * is any host; may be given again
    #[arg(long, value_name = "HOST:PORT:ADDR[,ADDR]...")]
    resolve: Vec<String>,
    /// For URLs of HOST1:PORT1 connect to HOST2:PORT2; empty is any, or the URL's own; may be given again
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2")]
    connect_to: Vec<String>,
    /// When to look names up [default: once]
    #[arg(long, value_name = "WHEN")]
    dns: Option<DnsArg>,
}

/// The path of a unix socket, or `@` and an abstract name.
#[derive(Clone, Debug)]
pub(super) struct SocketArg(String);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DnsArg {
    /// Before the run
    Once,
    /// Also for each connection anew
    PerConnection,
}

impl NetworkArgs {
    /// What was said.
    pub(super) fn gather(self) -> RawNetwork {
        RawNetwork {
            unix_socket: self.unix_socket.map(|SocketArg(text)| text),
            source: self.source,
            interface: self.interface,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            resolve: self.resolve,
            connect_to: self.connect_to,
            dns: self.dns.map(|when| match when {
                DnsArg::Once => Dns::Once,
                DnsArg::PerConnection => Dns::PerConnection,
            }),
        }
    }
}

impl FromStr for SocketArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}
