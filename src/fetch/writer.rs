//! The thread that writes the records, in whole lines, and sees to it that they reach the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::Shared;

/// Power loss takes away what was written in so much time.
const FLUSH: Duration = Duration::from_millis(200);

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Lines that came to their end.
    Records(Vec<Record>),
    /// No more come.
    End,
}

/// A line's record.
#[derive(Debug)]
pub(crate) struct Record {
    /// Its place in an ordered output.
    pub(crate) place: u64,
    /// With its line end.
    pub(crate) text: Vec<u8>,
}

/// Writes records to a file, or standard output where there is none.
pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Option<File>,
    /// The folder of bodies: they reach the disk before their records do.
    bodies: Option<File>,
    /// Records that wait for those before them; `None` where they are written as they come.
    waiting: Option<BTreeMap<u64, Vec<u8>>>,
    /// The place of the next one in order.
    next: u64,
    buffer: Vec<u8>,
    flushed: Instant,
    /// Written and not yet known to be on the disk.
    dirty: bool,
    /// The records go to an ordinary file.
    is_file: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, file: Option<File>, bodies: Option<File>, ordered: bool) -> Self {
        let waiting = ordered.then(BTreeMap::new);
        // What is no file cannot be synced, and need not be.
        let is_file = file.as_ref().and_then(|file| file.metadata().ok()).is_some_and(|metadata| metadata.is_file());
        let bodies = bodies.filter(|_| is_file);
        Self {
            shared,
            file,
            bodies,
            is_file,
            waiting,
            next: 0,
            buffer: Vec::new(),
            flushed: Instant::now(),
            dirty: false,
        }
    }

    /// Writes what comes, to the end.
    ///
    /// # Errors
    /// The system's; a reader that went away is none, and ends the run.
    pub(super) fn run(mut self, messages: &mpsc::Receiver<Message>) -> io::Result<()> {
        let result = self.write_all(messages);
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.shared.control.stop();
                Ok(())
            }
            Err(error) => {
                self.shared.control.stop();
                Err(error)
            }
            Ok(()) => Ok(()),
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
            if self.bodies.is_none() {
                self.write()?;
            }
            if self.flushed.elapsed() >= FLUSH {
                self.flush()?;
            }
        }
    }

    fn take(&mut self, records: Vec<Record>) {
        let count = records.len() as u64;
        for record in records {
            match &mut self.waiting {
                None => self.buffer.extend_from_slice(&record.text),
                Some(waiting) => {
                    waiting.insert(record.place, record.text);
                }
            }
        }
        let Some(waiting) = &mut self.waiting else { return self.shared.written(count) };
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
        self.buffer.clear();
        self.dirty = true;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        if let Some(bodies) = self.bodies.as_ref().filter(|_| !self.buffer.is_empty()) {
            rustix::fs::syncfs(bodies)?;
        }
        self.write()?;
        match &self.file {
            Some(file) if std::mem::take(&mut self.dirty) && self.is_file => file.sync_data(),
            _ => Ok(()),
        }
    }
}
