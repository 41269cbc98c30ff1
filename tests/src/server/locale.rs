//! Another language for PostgreSQL's messages, on a machine that has no other locale.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Account;
use super::{Error, program, template};

/// Compiles a locale into a folder and gives that folder, for the environment variable `LOCPATH`.
///
/// PostgreSQL accepts `lc_messages` only for a locale that the C library knows, and Debian has
/// none but C until one is generated, which only root may do for the whole machine.
pub(super) fn compile(name: &str, account: &Account, folder: &Path) -> Result<PathBuf, Error> {
    let localedef = program::find("localedef", "locales", &[])?;
    if !Path::new("/usr/share/i18n/locales").join(name).is_file() {
        return Err(Error::Missing {
            program: "a locale's source",
            package: "locales",
        });
    }
    let locales = folder.join("locale");
    std::fs::create_dir(&locales).map_err(|e| Error::io(&locales, e))?;
    account.own(&locales)?;
    template::run(
        Command::new(localedef)
            .args(["--no-archive", "-i", name, "-f", "UTF-8"])
            .arg(locales.join(format!("{name}.UTF-8"))),
    )?;
    Ok(locales)
}

/// Fails unless the server's message for a division by zero, or for an unknown table, is
/// translated.
pub(super) fn must_be_translated(message: &str, english: &str) -> Result<(), Error> {
    if message.contains(english) {
        return Err(Error::Failed(format!(
            "the server's messages stay English ({message:?}): its translations are not \
             installed. A slim Debian image leaves /usr/share/locale out: see \
             /etc/dpkg/dpkg.cfg.d, then reinstall the server's package"
        )));
    }
    Ok(())
}
