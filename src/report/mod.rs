//! What is said of a run: every number derived once, and one file for each format that says it. Text from data; only
//! [`save`] touches files.

mod checks;
pub mod csv;
mod diagnosis;
mod echo;
mod environment;
pub mod escape;
mod fetched;
#[cfg(test)]
mod fixture;
mod heading;
pub mod health;
pub mod hgrm;
pub mod hlog;
pub mod inference;
mod intervals;
pub mod json;
mod network;
pub mod progress;
pub mod rerun;
mod shape;
pub mod summary;
pub mod terminal;
pub mod warning;

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub use escape::escape;
pub use json::SCHEMA;
pub use summary::Summary;
pub use warning::Warning;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs; `schema_version` 1.
    Json,
    /// Percentiles of the response time, as HdrHistogram prints them.
    Hgrm,
    /// The seconds, for spreadsheets.
    Csv,
    /// Where and by what it was measured: a part of the JSON report.
    Environment,
}

impl Format {
    /// The format that a file's name asks for: `.json`, `.txt`, any case.
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        match extension.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Writes a report in one format, in many small pieces: `out` had better be buffered.
///
/// # Errors
/// Those of `out`.
pub fn write(format: Format, summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Text => terminal::write(summary, out),
        Format::Json => json::write(summary, out),
        Format::Hgrm => hgrm::write(summary, out),
        Format::Csv => csv::write(summary, out),
        Format::Environment => environment::write(summary, out),
    }
}

/// Writes a file by `write`, so that it has the old content or the whole new one at every instant. A symbolic link keeps
/// pointing where it points; a device or a pipe is written to as it is.
///
/// # Errors
/// Those of `write`, and what the file system says: no such folder, no permission, no space. The old file is then as it was.
pub fn save(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
        return fill(&fs::OpenOptions::new().write(true).open(&target)?, write);
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // The file mode of any new file: the umask takes its bits from it.
    let mode = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().prefix(".ringload-").permissions(mode).tempfile_in(folder)?;
    fill(file.as_file(), write)?;
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

fn fill(file: &File, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let mut buffered = BufWriter::new(file);
    write(&mut buffered)?;
    buffered.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save_as(path: &Path, format: Format, summary: &Summary<'_>) -> io::Result<()> {
        save(path, |out| write(format, summary, out))
    }

    #[test]
    fn a_name_chooses_its_format() {
        for (name, format) in [
            ("out/report.json", Some(Format::Json)),
            ("R.TXT", Some(Format::Text)),
            ("report", None),
            (".json", None),
            ("report.html", None),
        ] {
            assert_eq!(Format::of_path(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn a_saved_report_replaces_the_old_one_whole_and_has_an_ordinary_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let (plan, record) = fixture::closed();
        let summary = Summary::new(&plan, &record);
        let path = folder.path().join("report.json");
        fs::write(&path, "old").expect("a file");
        let link = folder.path().join("latest.json");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        save_as(&link, Format::Json, &summary).expect("a report");
        let mut expected = Vec::new();
        write(Format::Json, &summary, &mut expected).expect("a report");
        assert!(fs::read(&path).expect("the report") == expected);
        assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
        let ordinary = folder.path().join("ordinary");
        fs::write(&ordinary, "").expect("a file");
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode();
        assert_eq!(mode(&path), mode(&ordinary));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 3, "no temporary file is left");
    }

    #[test]
    fn a_pipe_is_written_to_and_not_replaced() {
        use std::io::Read as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe.txt");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        // Both ends, so that opening it waits for nobody.
        let mut pipe = fs::OpenOptions::new().read(true).write(true).open(&path).expect("the pipe");
        let (plan, record) = fixture::closed();
        save_as(&path, Format::Text, &Summary::new(&plan, &record)).expect("a report");
        let mut start = [0; 9];
        pipe.read_exact(&mut start).expect("the report");
        assert_eq!(&start, b"ringload:");
        assert!(!fs::metadata(&path).expect("the pipe").is_file());
    }

    #[test]
    fn a_report_that_cannot_be_saved_is_an_error() {
        let (plan, record) = fixture::empty();
        let summary = Summary::new(&plan, &record);
        let folder = tempfile::tempdir().expect("a folder");
        let error = save_as(&folder.path().join("none/report.txt"), Format::Text, &summary).expect_err("no folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(save_as(folder.path(), Format::Text, &summary).is_err(), "a folder is no file");
    }
}
