//! `ringload bench`: the options, and the files and streams they read.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{ArgAction, ValueEnum};

use super::artefacts::ArtefactArgs;
use super::auth::AuthArgs;
use super::driver::DriverArg;
use super::expect::CheckArgs;
use super::http::HttpArgs;
use super::mask;
use super::network::NetworkArgs;
use super::outputs::{OutputArgs, Outputs};
use super::plan_file::{PlanArgs, Planned};
use super::proxy::ProxyArgs;
use super::shape::ShapeArgs;
use super::tls::TlsArgs;
use crate::plan::raw::{Input, RawHeader};
use crate::plan::request::is_secret_header;
use crate::plan::{Order, PlanError, RawPlan};
use crate::units::Rate;

/// Everything that can be typed after `bench`, as typed.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// What to ask for, one or more, in turn; without one the embedded target is measured
    #[arg(value_name = "URL")]
    urls: Vec<String>,

    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    proxies: ProxyArgs,
    #[command(flatten)]
    expect: CheckArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    artefacts: ArtefactArgs,
    #[command(flatten)]
    pub(super) plan: PlanArgs,
}

impl Planned for Args {
    const NAME: &'static str = "bench";

    fn plan(&mut self) -> &mut PlanArgs {
        &mut self.plan
    }

    fn wants_plan(&self) -> bool {
        self.plan.print_plan || self.artefacts.bundle.is_some()
    }
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Load")]
struct LoadArgs {
    /// Connections open at the same time, in total [default: 64]
    #[arg(short = 'c', long, value_name = "N", allow_hyphen_values = true)]
    connections: Option<String>,
    /// How long to send [default: 10s, without -n and --once]
    #[arg(short = 'd', long, value_name = "TIME", short_alias = 'z', allow_hyphen_values = true)]
    duration: Option<String>,
    /// How many requests to send (10k, 2M); the last are awaited
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true)]
    requests: Option<String>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Worker threads, each pinned to a core of its own [default: the allowed cores, at most the connections]
    #[arg(short = 't', long, value_name = "N", allow_hyphen_values = true)]
    threads: Option<String>,
    /// The cores to use, such as 0,2-3 [default: the allowed ones]
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Make part k of a load that N processes make together: 1/2 and 2/2. All else must be the same for each, -t too;
    /// -c, -n and -R are of all together, and this process takes its part [default: 1/1]
    #[arg(long, value_name = "k/N", allow_hyphen_values = true)]
    shard: Option<String>,
    /// Load before the measured window, counted nowhere [default: 0s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    warmup: Option<String>,
    /// Seed of every random choice [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<u64>,
    /// What carries the bytes [default: auto]
    #[arg(long, value_name = "DRIVER")]
    driver: Option<DriverArg>,
    /// Start even when no connection can be opened
    #[arg(long)]
    start_anyway: bool,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Requests")]
struct RequestArgs {
    /// A file with a URL a line, each with an optional METHOD before it, and before that the time of a trace; # starts a
    /// comment; - is standard input. A file that starts with { is JSON Lines:
    /// {"method","url","header":{"K":["v"]},"body":base64,"weight":N,"tag","time"}; a line's headers and body replace
    /// those of -H and -b; the report has figures by tag
    #[arg(short = 'i', long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// In which order lines are asked for [default: seq; random where lines have weights]
    #[arg(long, value_name = "HOW")]
    order: Option<OrderArg>,
    /// Send each line once, then stop
    #[arg(long)]
    once: bool,
    /// The method of lines that name none [default: GET; POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD", visible_short_alias = 'm')]
    method: Option<String>,
    /// 'Name: value' adds or replaces a header, 'Name:' leaves a default out, 'Name;' sends it empty; @FILE reads lines
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// The body of every request: TEXT, @FILE, or @- for standard input
    #[arg(short = 'b', long, value_name = "BODY", allow_hyphen_values = true)]
    body: Option<String>,
    /// Ask for compressed answers (Accept-Encoding: gzip, br, zstd), which are counted as received
    #[arg(long)]
    compressed: bool,
    /// Also decode what is compressed, at the client's cost, and count the bytes that come of it; a body that cannot be
    /// decoded, or expands beyond 1 GiB or 1,000 times, fails its request
    #[arg(long)]
    decode: bool,
    /// false closes every connection after its answer, and says so in each request [default: true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    keep_alive: Option<bool>,
    /// Close each connection after so many requests, without a word in the last of them [default: none]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    requests_per_connection: Option<String>,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// From sending a request to the last byte of its answer [default: 10s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// For one connection to open [default: 5s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    connect_timeout: Option<String>,
    /// Silence between bytes of an answer [default: none]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    read_timeout: Option<String>,
    /// From when a request was due to the last byte of its answer, queued or in flight [default: none]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    deadline: Option<String>,
    /// How long answers are awaited after time or a signal ended the sending [default: 2s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain: Option<String>,
    /// Exit with 1 where more than this share of the intended requests failed or was answered with 400 or above, e.g. 1%
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    max_error_rate: Option<String>,
    /// Exit with 3 where the client itself made a quantile of the report invalid
    #[arg(long)]
    strict: bool,
    /// End the run, with exit 1, once a limit was exceeded for whole seconds on end: 'errors>50% for 5s', 'p99>1s' (p50,
    /// p99, max; 1s without "for"); may be given again
    #[arg(long, value_name = "RULE", allow_hyphen_values = true)]
    abort_on: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OrderArg {
    /// As they stand, over and over
    Seq,
    /// In one random order, over and over
    Shuffle,
    /// Each request draws a line, by weight where lines have weights
    Random,
}

impl Args {
    /// Whether the user named anything to ask for.
    pub fn names_a_target(&self) -> bool {
        !self.urls.is_empty() || self.request.input.is_some()
    }

    /// Whether the plan is to be printed and nothing sent.
    pub fn prints_plan(&self) -> bool {
        self.plan.print_plan
    }

    /// Values that must never be shown: bodies, secret headers and credentials that were typed.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let is_secret = |line: &&str| line.split_once(':').is_some_and(|(name, _)| is_secret_header(name));
        let headers = self.request.header.iter().map(String::as_str).filter(is_secret);
        let body = self.request.body.as_deref().filter(|body| !body.starts_with('@'));
        headers.chain(body).chain(self.auth.secrets())
    }

    /// What was said, with every file read.
    ///
    /// # Errors
    /// A file that cannot be read, standard input asked for twice.
    pub(super) fn gather(self) -> Result<(RawPlan, Outputs), PlanError> {
        let Self { urls, load, request, http, auth, tls, network, proxies, expect, limits, output, artefacts, plan: _ } =
            self;
        not_a_rate(&urls, output.quiet)?;
        let outputs = output.check(&artefacts)?;
        one_reads_stdin(request.input.as_deref(), request.body.as_deref())?;
        let raw = RawPlan {
            urls,
            input: request.input.map(input),
            order: request.order.map(Order::from),
            shard: load.shard,
            once: request.once,
            connections: load.connections,
            threads: load.threads,
            cores: load.cores,
            duration: load.duration,
            requests: load.requests,
            shape: load.shape.gather(),
            method: request.method,
            headers: headers(&request.header)?,
            body: request.body.as_deref().map(body).transpose()?,
            seed: load.seed,
            warmup: load.warmup,
            drain: limits.drain,
            timeout: limits.timeout,
            connect_timeout: limits.connect_timeout,
            read_timeout: limits.read_timeout,
            deadline: limits.deadline,
            max_error_rate: limits.max_error_rate,
            strict: limits.strict,
            abort_on: limits.abort_on,
            http: http.gather(),
            tls: tls.gather()?,
            network: network.gather(),
            proxies: proxies.gather()?,
            auth: auth.gather()?,
            expect: expect.gather()?,
            compressed: request.compressed,
            decode: request.decode,
            keep_alive: request.keep_alive,
            requests_per_connection: request.requests_per_connection,
            start_anyway: load.start_anyway,
            driver: load.driver.unwrap_or_default().into(),
            argv: mask::argv(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned())),
            described: artefacts.description()?,
            by_class: artefacts.want_classes(),
            embedded_target: false,
        };
        Ok((raw, outputs))
    }
}

impl From<OrderArg> for Order {
    fn from(arg: OrderArg) -> Self {
        match arg {
            OrderArg::Seq => Self::Seq,
            OrderArg::Shuffle => Self::Shuffle,
            OrderArg::Random => Self::Random,
        }
    }
}

/// hey and oha take a rate behind `-q`.
fn not_a_rate(urls: &[String], quiet: bool) -> Result<(), PlanError> {
    match urls.iter().find(|url| quiet && Rate::parse(url).is_ok()) {
        Some(rate) => Err(PlanError::new(format!("-q {rate}"), format!("-q takes no value; a rate is -R {rate}"))),
        None => Ok(()),
    }
}

/// Standard input has one reader.
pub(super) fn one_reads_stdin(input: Option<&Path>, body: Option<&str>) -> Result<(), PlanError> {
    if input == Some(Path::new("-")) && body == Some("@-") {
        return Err(PlanError::new("-b @-", "standard input is read by -i - already; give one of them a file"));
    }
    Ok(())
}

pub(super) fn input(path: PathBuf) -> Input {
    if path == Path::new("-") {
        return Input::standard();
    }
    let is_pipe = fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file());
    let input = Input::new(path.display().to_string(), move || Ok(Box::new(fs::File::open(&path)?)));
    if is_pipe { input.read_once() } else { input }
}

pub(super) fn headers(arguments: &[String]) -> Result<Vec<RawHeader>, PlanError> {
    let mut headers = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Some(path) = argument.strip_prefix('@') else {
            headers.push(RawHeader { text: argument.clone(), secret: false });
            continue;
        };
        let refused =
            |error: &dyn std::fmt::Display| PlanError::new(format!("-H @{path}"), format!("cannot read it: {error}"));
        let text = fs::read_to_string(path).map_err(|error| refused(&error))?;
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
        headers.extend(lines.map(|line| RawHeader { text: line.to_owned(), secret: true }));
    }
    Ok(headers)
}

pub(super) fn body(argument: &str) -> Result<Vec<u8>, PlanError> {
    match argument.strip_prefix('@') {
        None => Ok(argument.as_bytes().to_vec()),
        Some(path) => {
            let content = if path == "-" { read_stdin() } else { fs::read(path) };
            content.map_err(|error| PlanError::new(format!("-b @{path}"), format!("cannot read it: {error}")))
        }
    }
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    io::stdin().lock().read_to_end(&mut content)?;
    Ok(content)
}
