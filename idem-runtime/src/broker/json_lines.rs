//! Events as JSON lines, on standard output or in a file.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::cloud_events::to_json;
use crate::publisher::{PublishBatch, PublishError, Publisher};

/// Writes each event as one line: an object in the JSON event format of CloudEvents (`JSON lines`).
///
/// A batch is written as a whole, and confirmed when all of it is safe. If that fails, the receiver
/// is [unavailable](PublishError::unavailable), and all of the batch is written again later: a full
/// disk or a missing folder concerns every event alike. No event becomes a dead letter of that.
#[derive(Clone, Debug)]
pub struct JsonLines {
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    Stdout,
    File(PathBuf),
}

impl JsonLines {
    /// To standard output. An event is confirmed once it is flushed: what reads the pipe may still
    /// lose it.
    pub const fn stdout() -> Self {
        Self {
            target: Target::Stdout,
        }
    }

    /// To the end of a file, which is created if it does not exist; its folder must exist. An event
    /// is confirmed once it is on disk (`fdatasync`).
    ///
    /// The file is opened for each batch, and can be moved away at any time (log rotation). While
    /// it is written it is locked against other writers of this type. A line that a crash or a full
    /// disk cut short is removed before the next one is written: its event was not confirmed, and
    /// is written again.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            target: Target::File(path.into()),
        }
    }
}

impl Publisher for JsonLines {
    async fn publish(&self, batch: PublishBatch) {
        let mut lines = Vec::new();
        for message in batch.messages() {
            lines.extend(to_json(message));
            lines.push(b'\n');
        }
        let target = self.target.clone();
        let written = tokio::task::spawn_blocking(move || target.write(&lines)).await;
        let verdict = match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(PublishError::unavailable(format!(
                "can't write to {}: {error}",
                self.target
            ))),
            Err(error) => Err(PublishError::retryable(format!(
                "the task that writes to {} did not end: {error}",
                self.target
            ))),
        };
        for index in 0..batch.messages().len() {
            batch.verdict(index, verdict.clone());
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

impl Target {
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(path) => append(path, lines),
        }
    }
}

/// Opened each time, so that a file which was rotated away is begun anew.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    file.lock()?;
    let end = whole_lines(&mut file)?;
    file.set_len(end)?;
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // Best effort: the next writer removes what is left of a line, and whole lines are events
        // that come twice.
        let _ = file.set_len(end);
    } else if is_new {
        sync_folder(path);
    }
    written
}

/// Where the last whole line ends.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        let part = &mut chunk[..usize::try_from(end - start).expect("at most a chunk")];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(last) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Makes the name of a new file as durable as its content, where the system can.
fn sync_folder(path: &Path) {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
}
