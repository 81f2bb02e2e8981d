//! The thread that writes the records, in whole lines, and sees to it that they reach the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;

/// Power loss takes away what was written in so much time.
const FLUSH: Duration = Duration::from_millis(200);

/// Records go to the writer when there are so many, or so many bytes of them.
const RECORDS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 1 << 20;

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Lines that came to their end.
    Records(Records),
    /// No more come.
    End,
}

/// The records of some lines.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// One after the other, each with its line end.
    text: Vec<u8>,
    /// The place of each in an ordered output, and where its text ends.
    ends: Vec<(u64, usize)>,
}

impl Records {
    /// Room for as much as there was in `others`.
    pub(crate) fn like(others: &Self) -> Self {
        let room = others.text.len().min(BYTES_AT_ONCE);
        Self { text: Vec::with_capacity(room), ends: Vec::with_capacity(others.ends.len()) }
    }

    /// Adds the record of the line at `place`, as `write` appends it.
    pub(crate) fn add(&mut self, place: u64, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.ends.push((place, self.text.len()));
    }

    /// How long all of them are.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// There is no use in waiting for more.
    pub(crate) fn are_enough(&self) -> bool {
        self.ends.len() >= RECORDS_AT_ONCE || self.text.len() >= BYTES_AT_ONCE
    }
}

/// Writes records to a file, or standard output where there is none.
pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Option<File>,
    /// The folder of bodies, which is this run's as long as it is open; they reach the disk before their records do.
    bodies: Option<File>,
    /// Records go to a file and bodies to others.
    syncs_bodies: bool,
    /// Records that wait for those before them; `None` where they are written as they come.
    waiting: Option<BTreeMap<u64, Vec<u8>>>,
    /// The place of the next one in order.
    next: u64,
    buffer: Vec<u8>,
    flushed: Instant,
    /// Written and not yet known to be on the disk.
    dirty: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.abandon();
        }
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, file: Option<File>, bodies: Option<File>, ordered: bool) -> Self {
        let waiting = ordered.then(BTreeMap::new);
        // What is no file cannot be synced, and need not be.
        let syncs_bodies = shared.is_journal && bodies.is_some();
        let (buffer, flushed) = (Vec::new(), Instant::now());
        Self { shared, file, bodies, syncs_bodies, waiting, next: 0, buffer, flushed, dirty: false }
    }

    /// Writes what comes, to the end.
    ///
    /// # Errors
    /// The system's; a reader that went away is none, and ends the run.
    pub(super) fn run(mut self, messages: &mpsc::Receiver<Message>) -> io::Result<()> {
        let result = self.write_all(messages);
        if result.is_err() {
            self.shared.abandon();
        }
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    fn write_all(&mut self, messages: &mpsc::Receiver<Message>) -> io::Result<()> {
        loop {
            match messages.recv_timeout(FLUSH) {
                Ok(Message::Records(records)) => self.take(records),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(Message::End) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return self.end();
                }
            }
            while let Ok(message) = messages.try_recv() {
                match message {
                    Message::Records(records) => self.take(records),
                    Message::End => return self.end(),
                }
            }
            if !self.syncs_bodies {
                self.write()?;
            }
            if self.flushed.elapsed() >= FLUSH {
                self.flush()?;
            }
        }
    }

    fn take(&mut self, records: Records) {
        let Some(waiting) = &mut self.waiting else {
            self.buffer.extend_from_slice(&records.text);
            return self.shared.written(records.ends.len() as u64);
        };
        let mut start = 0;
        for (place, end) in records.ends {
            waiting.insert(place, records.text[start..end].to_vec());
            start = end;
        }
        while let Some(first) = waiting.first_entry().filter(|first| *first.key() == self.next) {
            self.buffer.extend_from_slice(&first.remove());
            self.next += 1;
            self.shared.written(1);
        }
    }

    fn end(&mut self) -> io::Result<()> {
        // A run that was interrupted leaves gaps.
        for text in self.waiting.take().into_iter().flat_map(BTreeMap::into_values) {
            self.buffer.extend_from_slice(&text);
        }
        self.flush()
    }

    fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match &mut self.file {
            Some(file) => file.write_all(&self.buffer)?,
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&self.buffer)?;
                stdout.flush()?;
            }
        }
        self.shared.release(self.buffer.len());
        self.buffer.clear();
        self.dirty = true;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        if let Some(bodies) = self.bodies.as_ref().filter(|_| self.syncs_bodies && !self.buffer.is_empty()) {
            rustix::fs::syncfs(bodies)?;
        }
        self.write()?;
        match &self.file {
            Some(file) if std::mem::take(&mut self.dirty) && self.shared.is_journal => file.sync_data(),
            _ => Ok(()),
        }
    }
}
