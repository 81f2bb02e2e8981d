//! The options about TLS, and the files they name.

use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{ArgAction, ValueEnum};

use crate::plan::PlanError;
use crate::plan::raw::{PemFile, RawTls};
use crate::plan::tls::TlsVersion;

/// How https origins are spoken to.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsArgs {
    /// Do not verify the server's certificate
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Trust the certificates in this PEM file instead of the system's roots; a server may also show one of them itself
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Our certificate for servers that ask for one, PEM, its chain behind it
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key, PEM [default: in the file of --cert]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The server name to ask for and to verify [default: the URL's host]
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Protocols to offer, with commas between [default: by --http]
    #[arg(long, value_name = "LIST")]
    alpn: Option<String>,
    /// The lowest version of TLS to accept [default: 1.2]
    #[arg(long, value_name = "VERSION")]
    tls_min: Option<TlsMinArg>,
    /// false makes a full handshake for each connection [default: true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    tls_session_reuse: Option<bool>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TlsMinArg {
    /// TLS 1.2 and 1.3
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3 alone
    #[value(name = "1.3")]
    V1_3,
}

impl TlsArgs {
    /// What was said, with every file read.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn gather(self) -> Result<RawTls, PlanError> {
        Ok(RawTls {
            insecure: self.insecure,
            cacert: self.cacert.as_deref().map(|path| read("--cacert", path)).transpose()?,
            cert: self.cert.as_deref().map(|path| read("--cert", path)).transpose()?,
            key: self.key.as_deref().map(|path| read("--key", path)).transpose()?,
            sni: self.sni,
            alpn: self.alpn,
            least_version: self.tls_min.map(|least| match least {
                TlsMinArg::V1_2 => TlsVersion::V1_2,
                TlsMinArg::V1_3 => TlsVersion::V1_3,
            }),
            session_reuse: self.tls_session_reuse,
        })
    }
}

fn read(option: &str, path: &Path) -> Result<PemFile, PlanError> {
    let name = path.display().to_string();
    let content = fs::read(path);
    let content =
        content.map_err(|error| PlanError::new(format!("{option} {name}"), format!("cannot read it: {error}")))?;
    Ok(PemFile { name, content })
}
