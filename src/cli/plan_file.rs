//! `--plan`: a TOML file whose keys are the long options of `bench` or of `fetch`, as declared there, turned into arguments.
//!
//! It knows no option by name but what is asked for: whatever can be typed can be a key. It never quotes a value.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::de::{DeTable, DeValue};

use super::mask;
use super::network::SocketArg;
use crate::plan::PlanError;

/// A plan names its URL list; one longer than this holds it.
const BYTES_MAX: u64 = 1024 * 1024;
/// The key of the positional arguments.
const URL: &str = "url";
/// What to ask for, who asks, what becomes of an earlier output: whoever types one of a kind takes the place of both.
const KINDS: [[&str; 2]; 3] = [[URL, "input"], ["user", "bearer"], ["resume", "overwrite"]];
/// Long options that are no keys.
const NO_KEYS: [&str; 3] = ["plan", "print-plan", "help"];
/// Names less alike than this are no slips of each other; the measure and the limit by which clap names options.
const ALIKE: f64 = 0.7;
/// So much of a key that does not exist is repeated.
const KEY_CHARS_SHOWN: usize = 40;

/// The options about plan files.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Plan files")]
pub(super) struct PlanArgs {
    /// Take from a TOML file what is not given here: its keys are the long options (connections = 64, header = [...])
    /// and url; options given here win, lists included, and a URL or -i here replaces url and input of the file. File
    /// names in it are relative to its folder
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Print the plan, defaults included, as a file for --plan and send nothing; secrets are left out as ***
    #[arg(long)]
    pub print_plan: bool,
    /// How all of it was said.
    #[arg(skip)]
    pub said: Said,
}

/// A subcommand whose options may stand in a plan file.
pub(super) trait Planned: clap::Args {
    /// As it is typed.
    const NAME: &'static str;

    /// Its options about plan files.
    fn plan(&mut self) -> &mut PlanArgs;

    /// Whether the plan is wanted as a file.
    fn wants_plan(&self) -> bool;
}

/// Where the options of a run come from.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The subcommand as it is declared; as the next ones, empty where nothing is asked for that is told by it.
    pub command: Command,
    /// The command line with what the plan file added.
    pub matches: ArgMatches,
    /// The plan file, as typed.
    file: String,
    /// The keys that counted, with their lines from 1.
    keys: Vec<(String, usize)>,
}

/// The options of a subcommand with those that its plan file adds to what was `typed` behind its name.
///
/// # Errors
/// A file that cannot be read or is no TOML; the first key in it that does not exist or whose value cannot be used.
pub(super) fn complete<A: Planned>(mut args: A, mut typed: Vec<OsString>) -> Result<A, PlanError> {
    if args.plan().plan.is_none() && !args.wants_plan() {
        return Ok(args);
    }
    let mut said = Said::of::<A>();
    if let Some(path) = &args.plan().plan {
        said.file = path.display().to_string();
        let text = read(path).map_err(|problem| PlanError::new(format!("--plan {}", said.file), problem))?;
        let matches = parse::<A>(&typed).map_err(|problem| PlanError::new(A::NAME, problem))?.1;
        let is_typed = |option: &&Arg| matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
        let typed_keys: Vec<&str> = said.command.get_arguments().filter(is_typed).filter_map(key).collect();
        let overruled = |entry: &Entry| {
            let alike = KINDS.iter().find(|kind| kind.contains(&entry.key.as_str()));
            alike.map_or(&[entry.key.as_str()][..], |kind| kind).iter().any(|key| typed_keys.contains(key))
        };
        let mut entries = entries(&said.command, &said.file, &text, path.parent().unwrap_or_else(|| Path::new("")))?;
        entries.retain(|entry| !overruled(entry));
        for entry in entries {
            entry.check::<A>().map_err(|problem| at(&said.file, entry.line, &entry.key, problem))?;
            said.keys.push((entry.key, entry.line));
            // In front: what was typed may end its options with `--`.
            typed.splice(0..0, entry.arguments);
        }
    }
    let (mut args, matches) = parse::<A>(&typed).map_err(|problem| PlanError::new(said.file.as_str(), problem))?;
    said.matches = matches;
    args.plan().said = said;
    Ok(args)
}

impl Said {
    /// Of this subcommand nothing is said yet.
    pub(super) fn of<A: Planned>() -> Self {
        Self { command: command::<A>(), ..Self::default() }
    }

    /// The error with the plan file's line and key in place of the option, where the option was said there.
    pub(super) fn blame(&self, error: PlanError) -> PlanError {
        let (option, rest) = error.subject.split_at(error.subject.find(' ').unwrap_or(error.subject.len()));
        let Some(key) = self.command.get_arguments().filter(|arg| is_typed_as(arg, option)).find_map(key) else {
            return error;
        };
        match self.keys.iter().find(|(known, _)| known == key) {
            Some((_, line)) => at(&self.file, *line, &format!("{key}{rest}"), error.problem),
            None => error,
        }
    }
}

/// A subcommand as it is declared.
pub(super) fn command<A: Planned>() -> Command {
    A::augment_args(Command::new(A::NAME))
}

/// The key of an option, where it can be one.
pub(super) fn key(option: &Arg) -> Option<&str> {
    let key = if option.is_positional() { URL } else { option.get_long()? };
    (!NO_KEYS.contains(&key)).then_some(key)
}

/// What kind of value an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// None: it is there or not.
    Switch,
    Truth,
    Path,
    /// The path of a unix socket, or `@` and an abstract name.
    Socket,
    /// A word of a list.
    Word,
    /// A number, or text.
    Scalar,
}

impl Takes {
    pub(super) fn of(option: &Arg) -> Self {
        let parsed = option.get_value_parser().type_id();
        match option.get_action() {
            ArgAction::SetTrue => Self::Switch,
            _ if parsed == TypeId::of::<bool>() => Self::Truth,
            _ if parsed == TypeId::of::<PathBuf>() => Self::Path,
            _ if parsed == TypeId::of::<SocketArg>() => Self::Socket,
            _ if !option.get_possible_values().is_empty() => Self::Word,
            _ => Self::Scalar,
        }
    }

    /// How a value is to be written.
    fn remedy(self) -> &'static str {
        match self {
            Self::Switch | Self::Truth => "write true or false, without quotes",
            Self::Path | Self::Socket => "write the name of a file, in quotes",
            Self::Word => "write a word, in quotes",
            Self::Scalar => "write a number, or text in quotes",
        }
    }
}

/// Whether an option may be given again.
pub(super) fn is_list(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Append)
}

/// A key with its value, as arguments.
struct Entry {
    key: String,
    line: usize,
    arguments: Vec<OsString>,
    /// A secret that was never filled in.
    placeholder: bool,
}

impl Entry {
    /// What is wrong with its value, as far as the command line's declaration tells.
    fn check<A: Planned>(&self) -> Result<(), String> {
        if self.placeholder {
            let file = if mask::takes_file(&self.key) { ", or @FILE with it" } else { "" };
            return Err(format!("still has the placeholder ***; write the secret in its place{file}"));
        }
        parse::<A>(&self.arguments).map(|_| ())
    }
}

fn parse<A: Planned>(arguments: &[OsString]) -> Result<(A, ArgMatches), String> {
    let said = |error: clap::Error| {
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let words: Vec<&str> = first.split_whitespace().collect();
        words.join(" ").replace(char::is_control, "")
    };
    let name = OsStr::new(A::NAME).to_owned();
    let matches = command::<A>().try_get_matches_from(std::iter::once(&name).chain(arguments)).map_err(said)?;
    let args = A::from_arg_matches(&matches).map_err(said)?;
    Ok((args, matches))
}

fn at(file: &str, line: usize, subject: &str, problem: String) -> PlanError {
    PlanError::new(format!("{file} line {line}: {subject}"), problem)
}

fn is_typed_as(option: &Arg, typed: &str) -> bool {
    let short = option.get_short().is_some_and(|short| typed.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])));
    let long = option.get_long().is_some_and(|long| typed.strip_prefix("--") == Some(long));
    short || long || option.is_positional() && typed == "URL"
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("cannot read it: {error}");
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut content)).map_err(unreadable)?;
    if content.len() as u64 > BYTES_MAX {
        return Err("is over 1 MiB; put a long list of URLs into a file of its own, and name that by input".into());
    }
    String::from_utf8(content).map_err(|_| "is not text (UTF-8); give a file in TOML".into())
}

/// The file's keys, options of `command`, in the order of its lines.
fn entries(command: &Command, file: &str, text: &str, folder: &Path) -> Result<Vec<Entry>, PlanError> {
    let table = DeTable::parse(text).map_err(|error| {
        // Not by its Display, which repeats the line and the secret on it.
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        PlanError::new(format!("{file} line {line}, column {column}"), format!("is no TOML: {}", error.message()))
    })?;
    let mut keys: Vec<_> = table.get_ref().iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
        let line = position(text, key.span().start).0;
        let key: &str = AsRef::<str>::as_ref(key.get_ref());
        let refused = |problem| at(file, line, &shown(key), problem);
        let option = find(command, key).map_err(refused)?;
        let values = values(option, value.get_ref()).map_err(refused)?;
        let kind = mask::kind(key);
        Ok(Entry {
            key: key.to_owned(),
            line,
            placeholder: values.iter().any(|value| mask::is_placeholder(kind, value)),
            arguments: values.iter().filter_map(|value| argument(option, key, value, folder)).collect(),
        })
    };
    keys.into_iter().map(entry).collect()
}

/// Line and column of a byte, from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (before.iter().filter(|&&byte| byte == b'\n').count() + 1, column)
}

fn shown(key: &str) -> String {
    key.chars().take(KEY_CHARS_SHOWN).flat_map(char::escape_debug).collect()
}

/// The option whose key this is.
fn find<'a>(command: &'a Command, name: &str) -> Result<&'a Arg, String> {
    let options = || command.get_arguments();
    if let Some(option) = options().find(|option| key(option) == Some(name)) {
        return Ok(option);
    }
    if NO_KEYS.contains(&name) {
        return Err("is no key; it belongs on the command line".to_owned());
    }
    let goes_by = |option: &&Arg| {
        let mut shorts = option.get_short().into_iter().chain(option.get_all_short_aliases().unwrap_or_default());
        let longs = option.get_all_aliases().unwrap_or_default();
        shorts.any(|short| short.to_string() == name) || longs.contains(&name)
    };
    if let Some(key) = options().find(goes_by).and_then(key) {
        return Err(format!("is no key; write {key}"));
    }
    let name = shown(name);
    let likeness = |key: &str| strsim::jaro(key, &name);
    let nearest = options().filter_map(key).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    Err(match nearest.filter(|key| likeness(key) > ALIKE) {
        Some(key) => format!("is no key; did you mean {key}?"),
        None => {
            let name = command.get_name();
            format!("is no key; keys are url and the long options of {name}, see ringload help {name}")
        }
    })
}

/// The values of a key as text.
fn values(option: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let takes = Takes::of(option);
    let values = match value {
        DeValue::Array(_) if !is_list(option) => Err(format!("is a list, but can be given once; {}", takes.remedy())),
        DeValue::Array(values) if values.is_empty() => Err("is an empty list; leave the key out".to_owned()),
        DeValue::Array(values) => values.iter().map(|value| scalar(takes, value.get_ref())).collect::<Result<_, _>>(),
        value => Ok(vec![scalar(takes, value)?]),
    }?;
    if option.is_positional() && values.iter().any(|value| value.starts_with('-')) {
        // It would pass for an option.
        return Err("is no URL; write http://host/path".to_owned());
    }
    Ok(values)
}

fn scalar(takes: Takes, value: &DeValue<'_>) -> Result<String, String> {
    match (takes, value) {
        (Takes::Switch | Takes::Truth, DeValue::Boolean(truth)) => Ok(truth.to_string()),
        (Takes::Path | Takes::Socket | Takes::Word | Takes::Scalar, DeValue::String(text)) => Ok(text.to_string()),
        (Takes::Scalar, DeValue::Integer(number)) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        // As written: a decimal must not pass through a float.
        (Takes::Scalar, DeValue::Float(number)) => Ok(number.as_str().to_owned()),
        _ => Err(format!("{}; {}", what(value), takes.remedy())),
    }
}

fn what(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "is text",
        DeValue::Integer(number) if number.radix() != 10 => "is no decimal number",
        DeValue::Integer(_) | DeValue::Float(_) => "is a number",
        DeValue::Boolean(_) => "is true or false",
        DeValue::Datetime(_) => "is a date or a time of day",
        DeValue::Array(_) => "is a list in a list",
        DeValue::Table(_) => "is a table",
    }
}

/// The value as it would be typed; a switch that is false is not typed at all.
fn argument(option: &Arg, key: &str, value: &str, folder: &Path) -> Option<OsString> {
    let takes = Takes::of(option);
    if takes == Takes::Switch {
        return (value == "true").then(|| format!("--{key}").into());
    }
    let mut argument = OsString::new();
    if !option.is_positional() {
        argument.push(format!("--{key}="));
    }
    let file = match takes {
        Takes::Path => Some(value),
        Takes::Socket => Some(value).filter(|name| !name.starts_with('@')),
        _ => mask::kind(key).and_then(|_| value.strip_prefix('@')),
    };
    match file.filter(|file| !file.is_empty() && *file != "-") {
        Some(file) => {
            argument.push(&value[..value.len() - file.len()]);
            argument.push(folder.join(file));
        }
        None => argument.push(value),
    }
    Some(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::{bench, fetch};

    fn assert_every_option_is_a_key<A: Planned>() {
        let mut command = command::<A>();
        command.build();
        for option in command.get_arguments() {
            let name = option.get_long().unwrap_or(URL);
            if NO_KEYS.contains(&name) {
                assert!(find(&command, name).is_err_and(|problem| problem.contains("command line")), "{name}");
                continue;
            }
            let value = match Takes::of(option) {
                Takes::Switch | Takes::Truth => "true".to_owned(),
                Takes::Path | Takes::Socket => "\"file\"".to_owned(),
                Takes::Word => format!("{:?}", option.get_possible_values()[0].get_name()),
                Takes::Scalar => "1".to_owned(),
            };
            let values = if is_list(option) { format!("[{value}, {value}]") } else { value };
            let text = format!("{name} = {values}");
            let read = entries(&command, "plan.toml", &text, Path::new("")).expect(name);
            assert_eq!((read[0].key.as_str(), read[0].arguments.len()), (name, if is_list(option) { 2 } else { 1 }));
            read[0].check::<A>().expect(name);
        }
    }

    #[test]
    fn every_long_option_is_a_key_or_refused_by_name() {
        assert_every_option_is_a_key::<bench::Args>();
        assert_every_option_is_a_key::<fetch::Args>();
    }

    #[test]
    fn values_become_the_arguments_that_would_be_typed() {
        let text = "url = \"http://h/\"\nconnections = 1_000\nrate = 0.10\nonce = false\nquiet = true\n\
                    keep-alive = false\nheader = [\"A: @b\", \"@h.txt\", \"@/h.txt\"]\nbody = \"@-\"\n\
                    input = \"-\"\noutput = [\"a.json\"]\nunix-socket = \"s.sock\"\n";
        let command = command::<bench::Args>();
        let read = entries(&command, "plan.toml", text, Path::new("folder")).expect("entries");
        let arguments: Vec<_> = read.iter().flat_map(|entry| &entry.arguments).collect();
        assert_eq!(
            arguments,
            [
                "http://h/",
                "--connections=1000",
                "--rate=0.10",
                "--quiet",
                "--keep-alive=false",
                "--header=A: @b",
                "--header=@folder/h.txt",
                "--header=@/h.txt",
                "--body=@-",
                "--input=-",
                "--output=folder/a.json",
                "--unix-socket=folder/s.sock",
            ]
        );
        assert_eq!(read.iter().map(|entry| entry.line).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
        let abstract_name =
            entries(&command, "plan.toml", "unix-socket = \"@name\"", Path::new("folder")).expect("an entry");
        assert_eq!(abstract_name[0].arguments, ["--unix-socket=@name"]);
    }

    #[test]
    fn a_byte_is_found_by_line_and_column() {
        for (offset, found) in [(0, (1, 1)), (1, (1, 2)), (3, (1, 3)), (4, (2, 1)), (5, (2, 2)), (99, (2, 2))] {
            assert_eq!(position("a\u{b5}\nb", offset), found, "{offset}");
        }
    }
}
