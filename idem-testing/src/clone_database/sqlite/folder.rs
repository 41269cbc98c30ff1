//! A folder for copies, which is removed when its process is gone, however that ended.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::setup_error::SetupError;

const PREFIX: &str = "idem-copy-";

/// Holds a lock on a file in it. The operating system releases the lock when this process is gone,
/// and then other explorations may remove the folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn new() -> Result<Self, SetupError> {
        let parent = std::env::temp_dir();
        if parent.to_str().is_none() {
            return Err(SetupError::new(format!(
                "the temporary folder `{}` has a name that is not UTF-8: set TMPDIR to another",
                parent.display()
            )));
        }
        remove_stale(&parent);
        let name = format!("{:016x}", rand::random::<u64>());
        // It gets the name that others look for only when it is locked.
        let unlocked = parent.join(format!("idem-new-{name}"));
        create(&unlocked).map_err(failed(&unlocked))?;
        let lock = File::create(unlocked.join("lock"))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(failed(&unlocked))?;
        let path = parent.join(format!("{PREFIX}{name}"));
        fs::rename(&unlocked, &path).map_err(failed(&unlocked))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.db"))
    }
}

/// Removes a database and the files that SQLite keeps next to it.
pub(super) fn remove(file: &str) -> Result<(), SetupError> {
    for suffix in ["-journal", "-wal", "-shm", ""] {
        let file = PathBuf::from(format!("{file}{suffix}"));
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed now, the next exploration removes.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The copies are as secret as what they are copies of.
fn create(path: &Path) -> io::Result<()> {
    #[allow(unused_mut)]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let path = entry.path();
        if is_ours && File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    move |error| SetupError::new(format!("`{}`: {error}", path.display()))
}
