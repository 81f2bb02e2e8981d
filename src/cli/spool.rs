//! The seconds of a run on their way into histogram logs: encoded as they end, by the thread that no core waits for, and
//! kept in a file without a name, so that a long run takes no more memory than a short one.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::record::classes::Second;
use crate::report::hlog;

/// One run's.
#[derive(Debug)]
pub(super) struct Spool {
    file: BufWriter<File>,
    /// What kept a second from being written; then no log can be made.
    error: Option<io::Error>,
}

impl Spool {
    /// An empty one on the file system of `folder`; it goes with the process.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile_in(folder)?), error: None })
    }

    /// Takes in what has ended; the first error is kept for [`Spool::read`].
    pub(super) fn add(&mut self, seconds: &[Second]) {
        for second in seconds {
            if self.error.is_none() {
                self.error = hlog::spool(second.id, &second.by_class, &mut self.file).err();
            }
        }
    }

    /// All that was taken in, from its beginning.
    ///
    /// # Errors
    /// What kept any of it from being written, or keeps it from being read.
    pub(super) fn read(&mut self) -> io::Result<BufReader<&File>> {
        if let Some(error) = &self.error {
            return Err(io::Error::new(error.kind(), format!("a second of the run could not be kept: {error}")));
        }
        self.file.flush()?;
        let mut file = self.file.get_ref();
        file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::new(file))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::record::ByClass;
    use crate::record::timeline::IntervalId;
    use crate::units::Nanos;

    fn second() -> Second {
        let mut by_class = ByClass::default();
        by_class.record_unsent(Nanos::from_millis(7), 3);
        Second { id: IntervalId::default(), by_class }
    }

    #[test]
    fn what_was_taken_in_can_be_read_more_than_once() {
        let mut spool = Spool::new(&std::env::temp_dir()).expect("a file");
        spool.add(&[second(), second()]);
        for _ in 0..2 {
            let mut text = String::new();
            spool.read().and_then(|mut all| all.read_to_string(&mut text)).expect("it is there");
            assert_eq!(text.matches("window 0 response.unsent 7.").count(), 2, "{text}");
        }
    }

    #[test]
    fn a_second_that_could_not_be_kept_is_told_at_the_end() {
        let full = File::options().write(true).open("/dev/full").expect("a device");
        let mut spool = Spool { file: BufWriter::with_capacity(16, full), error: None };
        spool.add(&[second(), second()]);
        let error = spool.read().expect_err("nothing was kept").to_string();
        assert!(error.starts_with("a second of the run could not be kept: "), "{error}");
    }
}
