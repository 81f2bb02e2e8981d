//! Where the report and the artefacts go: checked before the run, written after it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::artefacts::ArtefactArgs;
use super::spool::Spool;
use crate::files;
use crate::plan::PlanError;
use crate::report::{self, Format, Summary, hlog};

/// What a bundle holds beside the plan and the command that runs it.
const BUNDLE: [(&str, Content); 6] = [
    ("report.json", Content::Report(Format::Json)),
    ("report.txt", Content::Report(Format::Text)),
    ("environment.json", Content::Report(Format::Environment)),
    ("intervals.csv", Content::Report(Format::Csv)),
    ("run.hgrm", Content::Report(Format::Hgrm)),
    ("run.hlog", Content::Log),
];
/// The plan in a bundle, and the command that runs it.
const PLAN: &str = "plan.toml";
const RERUN: &str = "rerun.txt";

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// The report on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: FormatArg,
    /// Also write the report to FILE (.json, .txt choose the format, else --format); may be given again
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// No progress line
    #[arg(long)]
    no_progress: bool,
    /// No progress line and no notes: only errors, and the report
    #[arg(short = 'q', long)]
    pub(super) quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FormatArg {
    /// For people
    #[default]
    Text,
    /// For programs, with all histograms
    Json,
}

/// Where everything goes.
#[derive(Debug)]
pub(super) struct Outputs {
    stdout: Format,
    files: Vec<Output>,
    bundle: Option<PathBuf>,
    /// A progress line may be shown.
    pub(super) progress: bool,
    /// Notes may be written to standard error.
    pub(super) notes: bool,
}

/// A file that is written after the run.
#[derive(Debug)]
struct Output {
    /// By which errors call it.
    option: &'static str,
    path: PathBuf,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Report(Format),
    /// The histogram log.
    Log,
    /// Known before the run.
    Text(String),
}

impl From<FormatArg> for Format {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Text => Self::Text,
            FormatArg::Json => Self::Json,
        }
    }
}

impl OutputArgs {
    /// Finds out before the run whether everything could be written after it; makes nothing.
    ///
    /// # Errors
    /// The first place that cannot be written to, or is named twice.
    pub(super) fn check(self, artefacts: &ArtefactArgs) -> Result<Outputs, PlanError> {
        let format = Format::from(self.format);
        let files = files(self.output, artefacts, format);
        for (index, file) in files.iter().enumerate() {
            let refused = |problem| PlanError::new(format!("{} {}", file.option, file.path.display()), problem);
            check_file(&file.path).and_then(|()| check_ending(file)).map_err(refused)?;
            if let Some(other) = files[..index].iter().find(|other| other.path == file.path) {
                return Err(refused(format!("is written by {} already; name another file", other.option)));
            }
        }
        if let Some(folder) = &artefacts.bundle {
            check_bundle(folder)
                .map_err(|problem| PlanError::new(format!("--bundle {}", folder.display()), problem))?;
        }
        Ok(Outputs {
            // What has a file of its own leaves standard output to people.
            stdout: if files.iter().any(|file| file.option == "-o") { Format::Text } else { format },
            files,
            bundle: artefacts.bundle.clone(),
            progress: !self.no_progress && !self.quiet,
            notes: !self.quiet,
        })
    }
}

/// All that is to be written but a bundle.
fn files(reports: Vec<PathBuf>, artefacts: &ArtefactArgs, format: Format) -> Vec<Output> {
    let reports = reports.into_iter().map(|path| {
        let content = Content::Report(Format::of_path(&path).unwrap_or(format));
        Output { option: "-o", path, content }
    });
    let artefacts = [
        ("--hgrm", &artefacts.hgrm, Content::Report(Format::Hgrm)),
        ("--hlog", &artefacts.hlog, Content::Log),
        ("--csv", &artefacts.csv, Content::Report(Format::Csv)),
    ];
    let artefacts = artefacts.into_iter().filter_map(|(option, path, content)| {
        let path = path.clone()?;
        Some(Output { option, path, content })
    });
    reports.chain(artefacts).collect()
}

/// Whether the file that an `option` names could be written.
///
/// # Errors
/// Why not, and the remedy.
pub(super) fn writable(option: &str, path: &Path) -> Result<(), PlanError> {
    check_file(path).map_err(|problem| PlanError::new(format!("{option} {}", path.display()), problem))
}

/// Whether all files, by the option that names each, are files of their own: what is written to one must neither destroy
/// nor get into another. A name that is no file, such as a terminal, may have several uses.
///
/// # Errors
/// The second of two that are one.
pub(super) fn apart(files: &[(&str, &Path)]) -> Result<(), PlanError> {
    for (index, (option, path)) in files.iter().enumerate() {
        let same = |(_, other): &&(&str, &Path)| place(path).is_some_and(|at| place(other) == Some(at));
        if let Some((other, _)) = files[..index].iter().find(same) {
            let problem = format!("is the file of {other} too; give it a file of its own");
            return Err(PlanError::new(format!("{option} {}", path.display()), problem));
        }
    }
    Ok(())
}

/// Where a file is or will be, whatever it is called; none where it is no file.
fn place(path: &Path) -> Option<PathBuf> {
    let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    match fs::canonicalize(path) {
        Ok(path) => path.is_file().then_some(path),
        Err(_) => Some(fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?)),
    }
}

/// What is wrong with a place for a file.
fn check_file(path: &Path) -> Result<(), String> {
    if path == Path::new("-") {
        return Err("standard output has the report; choose its form with --format, and name a file here".into());
    }
    if path.is_dir() {
        return Err("is a folder; name a file in it".into());
    }
    takes_files(folder_of(path))
}

/// What is wrong with a report whose name asks for something else.
fn check_ending(file: &Output) -> Result<(), String> {
    let ending = file.path.extension().and_then(|ending| ending.to_str()).filter(|_| file.option == "-o");
    match ending {
        Some("csv" | "hgrm" | "hlog") => {
            let ending = ending.unwrap_or_default();
            Err(format!("is a report, text or JSON; that one is written by --{ending} {}", file.path.display()))
        }
        _ => Ok(()),
    }
}

/// What is wrong with a place for a bundle.
fn check_bundle(folder: &Path) -> Result<(), String> {
    if !folder.exists() {
        return takes_files(folder_of(folder));
    }
    let mut entries = fs::read_dir(folder).map_err(|error| format!("is no folder that can be read: {error}"))?;
    if entries.next().is_some() {
        return Err("is not empty; name a new folder, so that no two runs are mixed".into());
    }
    takes_files(folder)
}

/// What keeps a folder from taking files.
fn takes_files(folder: &Path) -> Result<(), String> {
    if !folder.is_dir() {
        return Err(format!("the folder {0} does not exist; make it with: mkdir -p {0}", folder.display()));
    }
    tempfile::tempfile_in(folder).map_err(|error| format!("cannot write to {}: {error}", folder.display())).map(drop)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

impl Outputs {
    /// Whether a bundle is to be made, and so the plan's text is needed.
    pub(super) fn want_plan(&self) -> bool {
        self.bundle.is_some()
    }

    /// Makes the bundle's folder, for the run of the plan whose file would be `plan`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn open_bundle(&mut self, plan: String) -> Result<(), String> {
        let Some(folder) = &self.bundle else { return Ok(()) };
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("--bundle {}: {error}", folder.display()));
            }
            _ => {}
        }
        let rerun = format!(
            "# In this folder; first put back the secrets that are *** in {PLAN}.\nringload bench --plan {PLAN}\n"
        );
        let texts = [(PLAN, Content::Text(plan)), (RERUN, Content::Text(rerun))];
        let files = BUNDLE.into_iter().chain(texts);
        let files = files.map(|(name, content)| Output { option: "--bundle", path: folder.join(name), content });
        self.files.extend(files);
        Ok(())
    }

    /// The spool of the histogram logs, where any is wanted; after the bundle's folder was made.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn spool(&self) -> Result<Option<Spool>, String> {
        let Some(log) = self.files.iter().find(|file| file.content == Content::Log) else { return Ok(None) };
        let spool = Spool::new(folder_of(&log.path));
        spool.map(Some).map_err(|error| format!("{} {}: {error}", log.option, log.path.display()))
    }

    /// Writes everything everywhere it is wanted; a reader that went away is no error.
    ///
    /// # Errors
    /// The first that kept it from a file or from standard output; the other places have theirs all the same.
    pub(super) fn write(&self, summary: &Summary<'_>, mut spool: Option<&mut Spool>) -> Result<(), String> {
        let mut first_error = None;
        for Output { option, path, content } in &self.files {
            if let Err(error) = files::save(path, |out| content.write(summary, spool.as_deref_mut(), out)) {
                first_error.get_or_insert_with(|| format!("{option} {}: {error}", path.display()));
            }
        }
        let mut text = Vec::new();
        let written = report::write(self.stdout, summary, &mut text).and_then(|()| super::stdout(&text));
        if let Err(error) = written {
            first_error.get_or_insert_with(|| format!("standard output: {error}"));
        }
        first_error.map_or(Ok(()), Err)
    }
}

impl Content {
    fn write(&self, summary: &Summary<'_>, spool: Option<&mut Spool>, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Report(format) => report::write(*format, summary, out),
            Self::Log => hlog::write(summary, spool.expect("a log has a spool").read()?, out),
            Self::Text(text) => out.write_all(text.as_bytes()),
        }
    }
}
