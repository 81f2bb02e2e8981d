//! `ringload fetch`: the options, and what is around one retrieval.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::auth::AuthArgs;
use super::driver::DriverArg;
use super::expect::ExpectArgs;
use super::http::HttpArgs;
use super::network::NetworkArgs;
use super::observation::ObservationArgs;
use super::plan_file::{PlanArgs, Planned};
use super::proxy::ProxyArgs;
use super::tls::TlsArgs;
use super::{bench, driver, exit, mask, outputs, plan_print};
use crate::engine::{self, Control};
use crate::fetch::snapshot::Snapshot;
use crate::fetch::{self, Lines, Observers, Policies};
use crate::files;
use crate::plan::fetch::{BodyText, RawFetch, RawOutput, RawPace, RawRetry, Said, validate};
use crate::plan::raw::{Input, RawHeader};
use crate::plan::shard::Machine;
use crate::plan::{PlanError, RawPlan};
use crate::report::Summary;

mod reports;

use self::reports::{OutputArgs, Reports};

/// Everything that can be typed after `fetch`, as typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to fetch, one or more; the lines of -i follow
    #[arg(value_name = "URL")]
    urls: Vec<String>,

    #[command(flatten)]
    lines: LineArgs,
    #[command(flatten)]
    cores: CoreArgs,
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
    limits: LimitArgs,
    #[command(flatten)]
    retries: RetryArgs,
    #[command(flatten)]
    expect: ExpectArgs,
    #[command(flatten)]
    bodies: BodyArgs,
    #[command(flatten)]
    observation: ObservationArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

impl Planned for Args {
    const NAME: &'static str = "fetch";

    fn plan(&mut self) -> &mut PlanArgs {
        &mut self.plan
    }

    fn wants_plan(&self) -> bool {
        self.plan.print_plan
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Lines")]
struct LineArgs {
    /// A file with a URL a line, each with an optional METHOD before it; # starts a comment; - is standard input. An
    /// input that starts with { is JSON Lines: {"method","url","header":{"K":["v"]},"body":base64,"tag"}. It is read as
    /// the run goes on and may be endless
    #[arg(short = 'i', long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where the records go, a line of JSON for each line of input [default: standard output]
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the records in the order of the input
    #[arg(long)]
    ordered: bool,
    /// Go on with the -o FILE of a run that was ended early: lines that stand there are not fetched again
    #[arg(long)]
    resume: bool,
    /// Throw away what stands in -o FILE
    #[arg(long)]
    overwrite: bool,
    /// Leave out lines that ask for the same as one before them (method, URL and body); four million are remembered
    #[arg(long)]
    unique: bool,
    /// What a record has, such as url,status,file; line is always there [default: all but what was not asked for]
    #[arg(long, value_name = "LIST")]
    fields: Option<String>,
    /// Exit with 1 where any line is not ok, that is, answered below 400 and as expected; without it, where none is
    #[arg(long)]
    fail_on_error: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Load")]
struct CoreArgs {
    /// Connections open at the same time, in total [default: 1024]
    #[arg(short = 'c', long, value_name = "N", allow_hyphen_values = true)]
    connections: Option<String>,
    /// Connections to one host at the same time; one until it has answered for the first time [default: 6]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    connections_per_host: Option<String>,
    /// Requests a second in total (10k, 0.5, 600/m) [default: as fast as answers come]
    #[arg(short = 'R', long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Requests a second to one host [default: as fast as answers come]
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    rate_per_host: Option<String>,
    /// Worker threads, each pinned to a core of its own [default: the allowed cores, at most the connections]
    #[arg(short = 't', long, value_name = "N", allow_hyphen_values = true)]
    threads: Option<String>,
    /// The cores to use, such as 0,2-3 [default: the allowed ones]
    #[arg(long = "cores", value_name = "LIST")]
    list: Option<String>,
    /// What carries the bytes [default: auto]
    #[arg(long, value_name = "DRIVER")]
    driver: Option<DriverArg>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Requests")]
struct RequestArgs {
    /// The method of lines that name none [default: GET; POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD", visible_short_alias = 'm')]
    method: Option<String>,
    /// 'Name: value' adds or replaces a header, 'Name:' leaves a default out, 'Name;' sends it empty; @FILE reads lines
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// The body of every request: TEXT, @FILE, or @- for standard input
    #[arg(short = 'b', long, value_name = "BODY", allow_hyphen_values = true)]
    body: Option<String>,
    /// What to call ourselves, to servers and to robots.txt [default: ringload/VERSION]
    #[arg(long, value_name = "NAME")]
    user_agent: Option<String>,
    /// Send these cookies with every request (NAME=VALUE; NAME=VALUE), and keep those that servers set
    #[arg(long, value_name = "COOKIES")]
    cookie: Option<String>,
    /// Take cookies from FILE (Netscape's format, as curl has it), keep those that servers set, and write all back
    #[arg(long, value_name = "FILE")]
    cookie_jar: Option<PathBuf>,
    /// Do not ask for robots.txt, and do not obey it
    #[arg(long)]
    no_robots: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Retries and redirects")]
struct RetryArgs {
    /// Try a line so many times more after a failure that may pass, a name or a certificate that is wrong not included
    /// [default: 3]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    retries: Option<String>,
    /// Bound of the wait before the first retry; it doubles with each, and the wait is anything below it [default: 500ms]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    backoff: Option<String>,
    /// Bound of every wait before a retry [default: 1m]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    backoff_max: Option<String>,
    /// Answers with one of these statuses are tried again [default: 408,425,429,500,502,503,504]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    retry_on: Option<String>,
    /// Also try POST and other methods again that are not idempotent
    #[arg(long)]
    retry_all_methods: bool,
    /// A host that asks to be left alone (Retry-After) is so for no longer [default: 5m]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    retry_after_max: Option<String>,
    /// Follow so many redirects of a line; with 0 a redirect is its answer [default: 10]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_redirects: Option<String>,
    /// Follow redirects from https to http too
    #[arg(long)]
    allow_downgrade: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Bodies")]
struct BodyArgs {
    /// Save the body of each line that is ok as a file in DIR, whose name is in the record, with its SHA-256
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// How saved bodies are named: host-path, hash (of the URL) or line [default: host-path]
    #[arg(long, value_name = "HOW")]
    save_as: Option<String>,
    /// Put a value of the body into the record: a JSON pointer (/data/0/id), or a regular expression, whose first group
    /// it is
    #[arg(long, value_name = "POINTER|REGEX", allow_hyphen_values = true)]
    extract: Option<String>,
    /// A body that does not say this is an error of its line: /status=ok; may be given again
    #[arg(long, value_name = "POINTER=VALUE", allow_hyphen_values = true)]
    json_check: Vec<String>,
    /// Put the body into the record, as text or in base64
    #[arg(long, value_name = "HOW")]
    body_in_json: Option<BodyArg>,
    /// Put the SHA-256 of the body into the record
    #[arg(long)]
    sha256: bool,
    /// A larger body, decoded, is an error of its line [default: 1 GiB; where bodies are held whole, as for
    /// --body-in-json and a REGEX of --expect-body, 16 MiB]
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    max_body: Option<String>,
    /// Ask for compressed answers (Accept-Encoding: gzip, br, zstd)
    #[arg(long)]
    compressed: bool,
    /// Decode bodies that are compressed
    #[arg(long)]
    decode: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BodyArg {
    /// As UTF-8; what is none is replaced
    Text,
    /// As it is
    Base64,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// From sending a request to the last byte of its answer [default: 5m]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// For one connection to open [default: 5s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    connect_timeout: Option<String>,
    /// Silence between bytes of an answer [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    read_timeout: Option<String>,
    /// How long answers are awaited after a signal ended the run [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain: Option<String>,
}

/// Fetches what is asked for, or prints the plan of that; returns the exit code.
///
/// # Errors
/// What keeps it from beginning, and an input or an output that broke off.
pub fn run(mut args: Args, machine: &Machine) -> Result<u8, Box<dyn Error>> {
    let (said, prints_plan) = (std::mem::take(&mut args.plan.said), args.plan.print_plan);
    let (raw, reports, jar) = args.gather().map_err(|error| said.blame(error))?;
    let plan = Arc::new(validate(&raw, machine).map_err(|error| said.blame(error))?);
    let cookies = jar.as_deref().map(cookies).transpose().map_err(|error| said.blame(error))?.flatten();
    let policies = Policies::new(&plan, cookies.as_deref()).map_err(|error| said.blame(error))?;
    if prints_plan {
        return plan_print::print(&said, &plan);
    }
    let decision = driver::decide(raw.base.driver)?;
    if let Some(refused) = &decision.refused {
        reports.note(&driver::fallback(refused));
    }
    let control = Arc::<Control>::default();
    let line = reports.watch(&plan, &control)?;
    let mut show = |now: &Snapshot| line.show(fetch::progress::line(now));
    let observation = plan.fetch.as_deref().map(|fetch| fetch.observation.clone()).unwrap_or_default();
    let observers = Observers::new(&observation, &mut show)?;
    if let Some(address) = observers.metrics_address() {
        reports.note(&format!("metrics are at http://{address}/metrics"));
    }
    let cleared = engine::preflight::check(&plan, machine, &decision)?;
    cleared.findings.iter().for_each(|finding| reports.note(&finding.text));
    let lines = Lines { urls: raw.base.urls, input: raw.base.input };
    let (record, kept) = fetch::run(&plan, lines, policies, machine, cleared, &control, observers)?;
    drop(line);
    if let Some((path, text)) = jar.zip(kept) {
        let saved = files::save(&path, |out| out.write_all(text.as_bytes()));
        saved.map_err(|error| format!("--cookie-jar {}: {error}", path.display()))?;
    }
    reports.write(&Summary::new(&plan, &record))?;
    let lines = record.fetched.clone().unwrap_or_default();
    if lines.lines + lines.skipped + lines.unfinished == 0 && !record.interrupted {
        return Err(PlanError::new("-i", "holds no URL; write one a line, e.g. http://127.0.0.1:8080/").into());
    }
    let strict = plan.fetch.as_ref().is_some_and(|fetch| fetch.output.fail_on_error);
    Ok(exit::of_fetch(&record, strict))
}

/// What stands in a jar of cookies; `None` where there is none yet.
fn cookies(path: &Path) -> Result<Option<String>, PlanError> {
    outputs::writable("--cookie-jar", path)?;
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(PlanError::new(format!("--cookie-jar {}", path.display()), format!("cannot read it: {error}")))
        }
    }
}

impl Args {
    /// What was said, with every file read but the lines.
    fn gather(self) -> Result<(RawFetch, Reports, Option<PathBuf>), PlanError> {
        let Self {
            urls,
            lines,
            cores,
            request,
            auth,
            http,
            tls,
            network,
            proxies,
            limits,
            retries,
            expect,
            bodies,
            observation,
            output,
            plan: _,
        } = self;
        if let Some(path) = &lines.output {
            outputs::writable("-o", path)?;
        }
        bench::one_reads_stdin(lines.input.as_deref(), request.body.as_deref())?;
        let reports = output.report.iter().map(|path| ("--report", path.as_path()));
        let files = [("-i", &lines.input), ("-o", &lines.output), ("--cookie-jar", &request.cookie_jar)];
        let files = files.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
        let log = observation.log().map(|path| ("--log", path));
        outputs::apart(&files.chain(log).chain(reports).collect::<Vec<_>>())?;
        let base = RawPlan {
            urls,
            input: lines.input.clone().map(input).transpose()?,
            connections: cores.connections,
            threads: cores.threads,
            cores: cores.list,
            driver: cores.driver.unwrap_or_default().into(),
            headers: request.headers()?,
            body: request.body.as_deref().map(bench::body).transpose()?,
            timeout: limits.timeout,
            connect_timeout: limits.connect_timeout,
            read_timeout: limits.read_timeout,
            drain: limits.drain,
            http: http.gather(),
            tls: tls.gather()?,
            network: network.gather(),
            proxies: proxies.gather()?,
            auth: auth.gather()?,
            expect: expect.gather()?,
            compressed: bodies.compressed,
            decode: bodies.decode,
            argv: mask::argv(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned())),
            method: request.method.clone(),
            ..RawPlan::default()
        };
        let pace = RawPace {
            connections_per_host: cores.connections_per_host,
            rate: cores.rate,
            rate_per_host: cores.rate_per_host,
        };
        let (max_redirects, allow_downgrade) = (retries.max_redirects.clone(), retries.allow_downgrade);
        let said = said(&lines, &request, &bodies);
        let observation = observation.gather()?;
        let (jar, reports) = (request.cookie_jar, output.check(lines.output.is_some())?);
        let (output, retry) = (records(lines, bodies), retries.gather());
        Ok((RawFetch { base, output, retry, pace, max_redirects, allow_downgrade, said, observation }, reports, jar))
    }
}

/// The lines to come; a file that cannot be read is found out now. A pipe is not touched before it is read: whoever
/// writes to it would be gone.
fn input(path: PathBuf) -> Result<Input, PlanError> {
    let is_folder = path.is_dir();
    let input = bench::input(path);
    let opened = match input.once {
        _ if is_folder => Err(io::ErrorKind::IsADirectory.into()),
        true => Ok(()),
        false => input.open().map(drop),
    };
    opened.map_err(|error| PlanError::new(format!("-i {}", input.name), format!("cannot read it: {error}")))?;
    Ok(input)
}

fn records(lines: LineArgs, bodies: BodyArgs) -> RawOutput {
    RawOutput {
        records: lines.output,
        ordered: lines.ordered,
        resume: lines.resume,
        overwrite: lines.overwrite,
        fail_on_error: lines.fail_on_error,
        save: bodies.save,
        max_body: bodies.max_body,
        body_in_json: bodies.body_in_json.map(BodyText::from),
        sha256: bodies.sha256,
    }
}

fn said(lines: &LineArgs, request: &RequestArgs, bodies: &BodyArgs) -> Said {
    Said {
        fields: lines.fields.clone(),
        save_as: bodies.save_as.clone(),
        extract: bodies.extract.clone(),
        json_checks: bodies.json_check.clone(),
        no_robots: request.no_robots,
        unique: lines.unique,
        keeps_cookies: request.cookie.is_some() || request.cookie_jar.is_some(),
    }
}

impl RequestArgs {
    /// Those of -H, and what has an option of its own.
    fn headers(&self) -> Result<Vec<RawHeader>, PlanError> {
        let mut headers = bench::headers(&self.header)?;
        let header = |name: &str, value: &str, secret| RawHeader { text: format!("{name}: {value}"), secret };
        headers.extend(self.user_agent.as_deref().map(|name| header("User-Agent", name, false)));
        headers.extend(self.cookie.as_deref().map(|cookies| header("Cookie", cookies, true)));
        Ok(headers)
    }
}

impl RetryArgs {
    fn gather(self) -> RawRetry {
        RawRetry {
            retries: self.retries,
            backoff: self.backoff,
            backoff_max: self.backoff_max,
            on: self.retry_on,
            all_methods: self.retry_all_methods,
            after_max: self.retry_after_max,
        }
    }
}

impl From<BodyArg> for BodyText {
    fn from(arg: BodyArg) -> Self {
        match arg {
            BodyArg::Text => Self::Text,
            BodyArg::Base64 => Self::Base64,
        }
    }
}
