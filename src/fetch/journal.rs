//! The file of records, which is also the memory of what has been fetched: it is appended to in whole lines, and a run
//! that was killed goes on from what stands there.
//!
//! Beside `OUT` stands `OUT.run` with digests of what was asked for, so that no run is continued by another one.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::FetchError;
use super::line;
use super::save_name::Names;
use crate::files;
use crate::plan::raw::Input;
use crate::plan::{Fetch, Plan};
use crate::units::hex;

/// Additive, as that of the report.
const SCHEMA_VERSION: u32 = 1;
/// Line numbers of one page of [`Done`].
const PAGE_LINES: u64 = 4_096;
/// The longest record that is read; one with a body in it may be long.
const RECORD_BYTES_MAX: u64 = 4 << 30;

/// Lines that have their records, by number.
#[derive(Debug, Default)]
pub(super) struct Done {
    pages: HashMap<u64, Box<[u64; (PAGE_LINES / 64) as usize]>>,
    /// Those of them that were ok.
    pub(super) ok: u64,
}

impl Done {
    pub(super) fn has(&self, line: u64) -> bool {
        let (page, word, bit) = place(line);
        self.pages.get(&page).is_some_and(|words| words[word] & bit != 0)
    }

    fn add(&mut self, line: u64) {
        let (page, word, bit) = place(line);
        self.pages.entry(page).or_insert_with(|| Box::new([0; (PAGE_LINES / 64) as usize]))[word] |= bit;
    }
}

fn place(line: u64) -> (u64, usize, u64) {
    let at = line % PAGE_LINES;
    (line / PAGE_LINES, (at / 64) as usize, 1 << (at % 64))
}

/// What a journal belongs to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    schema_version: u32,
    /// SHA-256 of what is asked for of each line.
    plan_digest: String,
    /// SHA-256 of the input; null where it cannot be read twice.
    input_digest: Option<String>,
}

/// Opens the file of records of `plan`, `None` for standard output, with what stands in it already; `names` gets to know
/// those of its bodies.
///
/// # Errors
/// What is there must neither be added to nor replaced, or belongs to another run; the system's.
pub(super) fn open(
    plan: &Plan,
    urls: &[String],
    input: Option<&Input>,
    names: &mut Names,
) -> Result<(Option<File>, Done), FetchError> {
    let fetch = plan.fetch.as_deref().expect("only what is fetched comes here");
    let Some(path) = &fetch.output.records else { return Ok((None, Done::default())) };
    let refused = |problem: String| FetchError::Output { path: path.display().to_string(), problem };
    let system = |error: io::Error| refused(error.to_string());
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        if fetch.output.resume {
            return Err(refused("is no file, so that there is nothing to resume; leave --resume out".into()));
        }
        return Ok((Some(OpenOptions::new().write(true).open(path).map_err(system)?), Done::default()));
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(system)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(refused("another run writes to it; wait for its end, or name another file".into()));
    }
    let run = Run {
        schema_version: SCHEMA_VERSION,
        plan_digest: plan_digest(plan),
        input_digest: input_digest(urls, input).map_err(system)?,
    };
    let is_empty = file.metadata().map_err(system)?.len() == 0;
    let mut done = Done::default();
    if !is_empty {
        decide(fetch, path, &run).map_err(refused)?;
        if fetch.output.overwrite {
            file.set_len(0).map_err(system)?;
        } else {
            done = read(&mut file, |name| names.note(&name)).map_err(refused)?;
        }
    }
    write_run(path, &run).map_err(|error| refused(format!("cannot write {}: {error}", beside(path).display())))?;
    Ok((Some(file), done))
}

/// Whether records in this file can be gone on with: it is an ordinary one.
pub(super) fn is_one(file: Option<&File>) -> bool {
    file.and_then(|file| file.metadata().ok()).is_some_and(|metadata| metadata.is_file())
}

/// Whether what stands there may be gone on with.
fn decide(fetch: &Fetch, path: &Path, run: &Run) -> Result<(), String> {
    if fetch.output.overwrite {
        return Ok(());
    }
    if !fetch.output.resume {
        return Err("exists; go on with it by --resume, or replace it by --overwrite".into());
    }
    let sidecar = beside(path);
    let text = fs::read(&sidecar).map_err(|error| {
        format!("cannot be resumed without {}, which says what it belongs to: {error}", sidecar.display())
    })?;
    let earlier: Run = serde_json::from_slice(&text)
        .map_err(|error| format!("cannot be resumed, as {} is not one of ours: {error}", sidecar.display()))?;
    if earlier.input_digest != run.input_digest {
        return Err("was begun with another input; give the same one, or replace it by --overwrite".into());
    }
    if earlier.plan_digest != run.plan_digest {
        return Err("was begun with other options (headers, method, body, or what is expected or kept of answers); \
                    give the same ones, or replace it by --overwrite"
            .into());
    }
    Ok(())
}

/// The lines that have records, the names of whose bodies are noted; a torn record at the end is cut off.
fn read(file: &mut File, mut note: impl FnMut(String)) -> Result<Done, String> {
    let mut done = Done::default();
    let (mut whole, mut number, mut record) = (0u64, 0u64, Vec::new());
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let mut content = BufReader::with_capacity(256 * 1024, &*file);
    loop {
        record.clear();
        let mut bounded = content.by_ref().take(RECORD_BYTES_MAX);
        let count = bounded.read_until(b'\n', &mut record).map_err(|error| error.to_string())?;
        if !record.ends_with(b"\n") {
            break;
        }
        number += 1;
        let known = line::read(record.trim_ascii_end())
            .ok_or_else(|| format!("line {number} of it is no record; is it the right file?"))?;
        done.add(known.line);
        // Where records do not say so, nothing says that it was not.
        done.ok += u64::from(known.ok != Some(false));
        known.file.into_iter().for_each(&mut note);
        whole += count as u64;
    }
    file.set_len(whole).map_err(|error| error.to_string())?;
    Ok(done)
}

/// `OUT.run`.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".run");
    name.into()
}

fn write_run(path: &Path, run: &Run) -> io::Result<()> {
    files::save(&beside(path), |out| {
        serde_json::to_writer_pretty(&mut *out, run).map_err(io::Error::from)?;
        out.write_all(b"\n")
    })
}

/// SHA-256 in hex of what is asked for of each line, without secrets.
fn plan_digest(plan: &Plan) -> String {
    let fetch = plan.fetch.as_deref().expect("only what is fetched comes here");
    let mut digest = Sha256::new();
    digest.update(fetch.question(&plan.common, &plan.expect).as_bytes());
    digest.update(Sha256::digest(plan.body.as_deref().unwrap_or_default()));
    hex(&digest.finalize())
}

/// SHA-256 in hex of all lines; `None` where the input can be read once only.
fn input_digest(urls: &[String], input: Option<&Input>) -> io::Result<Option<String>> {
    let mut digest = Sha256::new();
    for url in urls {
        digest.update(url.as_bytes());
        digest.update(b"\n");
    }
    let Some(input) = input else { return Ok(Some(hex(&digest.finalize()))) };
    if input.once {
        return Ok(None);
    }
    let (mut content, mut block) = (input.open()?, vec![0; 256 * 1024]);
    loop {
        match content.read(&mut block)? {
            0 => return Ok(Some(hex(&digest.finalize()))),
            count => digest.update(&block[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known_by_number_however_far_apart() {
        let mut done = Done::default();
        let lines = [1, 63, 64, 4_095, 4_096, u64::MAX];
        lines.iter().for_each(|&line| done.add(line));
        assert!(lines.iter().all(|&line| done.has(line)) && ![0, 2, 65, 4_097].iter().any(|&line| done.has(line)));
        assert_eq!(done.pages.len(), 3);
    }

    #[test]
    fn a_torn_record_is_cut_off_and_a_strange_one_refused() {
        let journal = |content: &str| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(content.as_bytes()).expect("our own file");
            file
        };
        for tail in ["", "{", "{\"line\":3,\"ok\":true}"] {
            let mut file = journal(&format!("{{\"line\":1,\"ok\":true}}\n{{\"line\":2,\"ok\":false}}\n{tail}"));
            let done = read(&mut file, drop).expect("records");
            assert!(done.has(1) && done.has(2) && !done.has(3) && done.ok == 1, "{tail}");
            assert_eq!(file.metadata().expect("its size").len(), 43);
        }
        assert!(read(&mut journal("{\"line\":1}\nhttp://a/\n"), drop).expect_err("no record").contains("line 2 of it"));
    }
}
