//! Files that appear whole or not at all. A leaf; knows nothing of what is in them.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

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

    #[test]
    fn a_saved_file_replaces_the_old_one_whole_and_has_an_ordinary_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        // More than a buffer holds.
        let expected = vec![b'x'; 100_000];
        fs::write(&path, "old").expect("a file");
        let link = folder.path().join("latest.json");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        save(&link, |out| out.write_all(&expected)).expect("a file");
        assert!(fs::read(&path).expect("the file") == expected);
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
        save(&path, |out| out.write_all(b"ringload:")).expect("a pipe takes it");
        let mut start = [0; 9];
        pipe.read_exact(&mut start).expect("what was written");
        assert_eq!(&start, b"ringload:");
        assert!(!fs::metadata(&path).expect("the pipe").is_file());
    }

    #[test]
    fn a_file_that_cannot_be_saved_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let nothing = |_: &mut BufWriter<&File>| Ok(());
        let error = save(&folder.path().join("none/report.txt"), nothing).expect_err("no folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(save(folder.path(), nothing).is_err(), "a folder is no file");
    }
}
