//! Bodies as files under one folder: written to a file of another name, and given their own once they are whole.
//!
//! Nothing leads out of the folder: each part of a name is opened by itself and no symbolic link is followed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// What files are called that are not whole yet.
const PART_PREFIX: &str = ".ringload-";
const PART_SUFFIX: &str = ".part";

/// The folder of `--save`, as one core has it.
#[derive(Debug)]
pub(super) struct Folder {
    root: Arc<OwnedFd>,
    /// Names of parts are no other core's.
    core: u64,
    begun: u64,
}

/// A body that is not whole yet. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    name: String,
    root: Arc<OwnedFd>,
    /// It has been given its own name.
    kept: bool,
}

/// Makes the folder where there is none, takes it for this run alone as long as what this gives lives, and clears it of
/// parts that an earlier run left behind.
///
/// # Errors
/// Another run saves there; the system's.
pub(super) fn prepare(path: &Path) -> io::Result<File> {
    fs::create_dir_all(path)?;
    let folder = File::open(path)?;
    // Where there are no locks, nobody can be told from nobody.
    if flock(&folder, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Err(io::Error::other("another run saves there; wait for its end, or name another folder"));
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX));
        if is_part {
            fs::remove_file(path.join(name))?;
        }
    }
    Ok(folder)
}

impl Folder {
    /// The folder at `path`, for the core of this number.
    pub(super) fn open(path: &Path, core: u64) -> io::Result<Self> {
        let root = openat(CWD, path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root: Arc::new(root), core, begun: 0 })
    }

    /// Begins a file.
    pub(super) fn begin(&mut self) -> io::Result<Part> {
        self.begun += 1;
        let name = format!("{PART_PREFIX}{}-{}{PART_SUFFIX}", self.core, self.begun);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.root, &name, flags, Mode::from_raw_mode(0o666))?;
        Ok(Part { file: file.into(), name, root: Arc::clone(&self.root), kept: false })
    }

    /// Gives a whole body its name, whose parts are separated by slashes; folders are made on the way.
    pub(super) fn keep(&self, mut part: Part, name: &str) -> io::Result<()> {
        let (folders, file) = name.rsplit_once('/').map_or(("", name), |(folders, file)| (folders, file));
        let mut at = self.root.try_clone()?;
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            match mkdirat(&at, folder, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            at = openat(&at, folder, flags, Mode::empty())?;
        }
        renameat(&self.root, &part.name, at.as_fd(), file)?;
        part.kept = true;
        Ok(())
    }
}

impl Part {
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is cleared away by the next run.
            let _ = unlinkat(&self.root, &self.name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().expect("a folder");
        prepare(place.path()).expect("it is there");
        let folder = Folder::open(place.path(), 0).expect("it is there");
        (place, folder)
    }

    #[test]
    fn a_body_has_its_name_once_it_is_whole_and_is_gone_where_it_never_is() {
        let (place, mut folder) = folder();
        let mut part = folder.begin().expect("a file");
        part.write(b"hi").expect("room");
        drop(folder.begin().expect("another"));
        folder.keep(part, "a/b/c").expect("a name");
        assert_eq!(fs::read(place.path().join("a/b/c")).expect("the file"), b"hi");
        assert_eq!(fs::read_dir(place.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let (outside, (place, mut folder)) = (tempfile::tempdir().expect("a folder"), folder());
        std::os::unix::fs::symlink(outside.path(), place.path().join("host")).expect("a link");
        let part = folder.begin().expect("a file");
        assert!(folder.keep(part, "host/x").is_err());
        std::os::unix::fs::symlink(outside.path().join("y"), place.path().join("y")).expect("a link");
        let part = folder.begin().expect("a file");
        folder.keep(part, "y").expect("the link itself is replaced");
        assert_eq!(fs::read_dir(outside.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn what_an_earlier_run_left_behind_is_cleared_away_and_what_another_one_writes_is_not() {
        let place = tempfile::tempdir().expect("a folder");
        for name in [".ringload-0-7.part", "kept.part"] {
            fs::write(place.path().join(name), "x").expect("a file");
        }
        let ours = prepare(place.path()).expect("it is ours");
        assert!(prepare(place.path()).expect_err("it is taken").to_string().contains("another run saves there"));
        drop(ours);
        prepare(place.path()).expect("it is free again");
        let left: Vec<_> =
            fs::read_dir(place.path()).expect("it").map(|entry| entry.expect("one").file_name()).collect();
        assert_eq!(left, ["kept.part"]);
    }
}
