//! Data folders prepared once for a target directory and copied for each server: a copy takes a
//! tenth of the time that a database takes to set itself up.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;
use super::account::Account;

/// Puts a data folder at `into`, which must not exist. `prepare` makes one at the path that it is
/// given, the first time; `name` must tell apart whatever makes two data folders differ.
pub(super) fn copy(
    name: &str,
    account: &Account,
    into: &Path,
    prepare: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(store) = store() else {
        return prepare(into);
    };
    let template = store.join(format!("{name}-{}", account.uid()));
    let lock_path = store.join("lock");
    let lock = fs::create_dir_all(&store)
        .and_then(|()| File::create(&lock_path))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|e| Error::io(&lock_path, e))?;
    if !template.exists() {
        // Prepared in the server's own folder, as its account may not be allowed into the target
        // directory; renamed at the end, so that a template is whole or absent.
        prepare(into)?;
        let unfinished = template.with_extension("unfinished");
        run(Command::new("rm").arg("-rf").arg(&unfinished))?;
        copy_tree(into, &unfinished)?;
        fs::rename(&unfinished, &template).map_err(|e| Error::io(&template, e))?;
        return Ok(());
    }
    drop(lock);
    copy_tree(&template, into)
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Error> {
    run(Command::new("cp")
        .args(["-a", "--reflink=auto", "--"])
        .args([from, to]))
}

/// Runs a command to its end; what it printed becomes part of the error.
pub(super) fn run(command: &mut Command) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| Error::io(&program, e))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// A folder inside the target directory that this program was built in, if it still lies there.
fn store() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let target = program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())?;
    // Not writable when the tests were built by another user than the one who runs them.
    let store = target.join("idem-servers");
    fs::create_dir_all(&store).ok()?;
    tempfile::tempfile_in(&store).ok()?;
    Some(store)
}

/// A name for the data folders of one build of a server: an upgrade gives another.
pub(super) fn name(program: &Path) -> Result<String, Error> {
    let metadata = fs::metadata(program).map_err(|e| Error::io(program, e))?;
    let stem = program.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{stem}-{}-{}", metadata.size(), metadata.mtime()))
}
