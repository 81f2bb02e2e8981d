//! The options about HTTP itself: which version, and how requests share a connection.

use clap::ValueEnum;

use crate::plan::http::HttpVersion;
use crate::plan::raw::RawHttp;

/// Which HTTP is spoken.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub(super) struct HttpArgs {
    /// Which HTTP to speak [default: auto]
    #[arg(long, value_name = "VERSION")]
    http: Option<HttpArg>,
    /// Requests in flight on each connection of HTTP/2, as far as the server allows [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    streams: Option<String>,
    /// Requests in flight on each connection of HTTP/1.1, whose answers come in their order; no HTTP/2 then [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pipeline: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HttpArg {
    /// HTTP/2 where a TLS server agrees to it, else HTTP/1.1
    Auto,
    /// HTTP/1.1 alone
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2 alone; to http:// URLs without asking first (prior knowledge)
    #[value(name = "2")]
    Http2,
}

impl HttpArgs {
    /// What was said.
    pub(super) fn gather(self) -> RawHttp {
        RawHttp {
            version: self.http.map(|version| match version {
                HttpArg::Auto => HttpVersion::Auto,
                HttpArg::Http1 => HttpVersion::Http1,
                HttpArg::Http2 => HttpVersion::Http2,
            }),
            streams: self.streams,
            pipeline: self.pipeline,
        }
    }
}
