//! Where a server keeps its data.

use super::Error;
use super::account::Account;

/// A temporary folder for a server's data, which only `account` may enter.
pub(super) fn folder(account: &Account) -> Result<tempfile::TempDir, Error> {
    let folder = tempfile::Builder::new()
        .prefix("idem-server-")
        .tempdir()
        .map_err(|e| Error::io(std::env::temp_dir(), e))?;
    account.own(folder.path())?;
    Ok(folder)
}
