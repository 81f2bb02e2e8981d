//! The options about proxies, and the file or variable that a proxy's URL is kept in.

use std::env;

use super::auth;
use crate::plan::PlanError;
use crate::plan::raw::{RawEnvironment, RawProxies, RawProxy};

/// What connections go through.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Proxies")]
pub(super) struct ProxyArgs {
    /// Go through this proxy: http://, https:// (TLS to the proxy), socks5:// (told addresses) or socks5h:// (told
    /// names), then user:password@host:port; the port is 1080 by default, 443 for https. @FILE or env:NAME keeps the URL
    /// from the command line. May be given again: connections take them in turn
    #[arg(short = 'x', long, value_name = "URL")]
    proxy: Vec<String>,
    /// Hosts to reach without a proxy: names (and with them all below), addresses, networks such as 10.0.0.0/8, or *
    #[arg(long, value_name = "LIST")]
    noproxy: Option<String>,
    /// Take proxies from http_proxy, https_proxy, all_proxy and no_proxy as curl does; without this the environment does
    /// not count
    #[arg(long)]
    proxy_from_env: bool,
}

impl ProxyArgs {
    /// What was said, with every file and variable read.
    ///
    /// # Errors
    /// A file or variable that cannot be read.
    pub(super) fn gather(self) -> Result<RawProxies, PlanError> {
        Ok(RawProxies {
            list: self.proxy.into_iter().map(typed).collect::<Result<_, _>>()?,
            no_proxy: self.noproxy,
            from_environment: self.proxy_from_env.then(|| environment(variable)),
        })
    }
}

fn typed(argument: String) -> Result<RawProxy, PlanError> {
    let subject = if auth::is_reference(&argument) { format!("--proxy {argument}") } else { "--proxy".to_owned() };
    Ok(RawProxy { subject, url: auth::read("--proxy", argument)?.trim().to_owned() })
}

/// The variable's value; an empty one is none.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The environment's proxies: lower case before upper case, and HTTP_PROXY not at all, as a client of a CGI server can set
/// that one.
fn environment(variable: impl Fn(&str) -> Option<String>) -> RawEnvironment {
    let first = |names: &[&str]| {
        let found = |name: &&str| variable(name).map(|url| RawProxy { subject: (*name).to_owned(), url });
        names.iter().find_map(found)
    };
    RawEnvironment {
        http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        no_proxy: variable("no_proxy").or_else(|| variable("NO_PROXY")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_count_as_curl_counts_them() {
        let of = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let RawEnvironment { http, https, no_proxy } = environment(value);
            [http.map(|proxy| proxy.url), https.map(|proxy| proxy.url), no_proxy].map(Option::unwrap_or_default)
        };
        assert_eq!(of(&[("http_proxy", "a"), ("HTTPS_PROXY", "b"), ("NO_PROXY", "c")]), ["a", "b", "c"]);
        assert_eq!(
            of(&[("https_proxy", "a"), ("HTTPS_PROXY", "b"), ("no_proxy", "c"), ("NO_PROXY", "d")]),
            ["", "a", "c"]
        );
        assert_eq!(of(&[("HTTP_PROXY", "a"), ("ALL_PROXY", "b")]), ["b", "b", ""]);
        assert_eq!(of(&[("all_proxy", "a"), ("ALL_PROXY", "b"), ("https_proxy", "c")]), ["a", "c", ""]);
        assert_eq!(of(&[("HTTP_PROXY", "a")]), ["", "", ""]);
    }
}
