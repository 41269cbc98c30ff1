//! Where the servers' programs are, and what to say when they are missing.

use std::cmp::Reverse;
use std::env;
use std::fs;
use std::path::PathBuf;

use super::Error;

/// Looks for `program` in `folders`, then in `PATH`, then where Debian keeps a server's programs.
pub(super) fn find(
    program: &'static str,
    package: &'static str,
    folders: &[PathBuf],
) -> Result<PathBuf, Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(env::split_paths(&path))
        // An ordinary user's PATH on Debian lacks it.
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(Error::Missing { program, package })
}

/// The folder that a variable names, so that the suites can run against another release of a server
/// (`scripts/test-more`).
pub(super) fn chosen(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

/// The folders of PostgreSQL's programs as Debian lays them out, the newest version first.
pub(super) fn postgres_folders() -> Vec<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by_key(|&version| Reverse(version));
    versions
        .into_iter()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_that_names_its_package() {
        let error = find("no-such-server", "no-such-package", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-server` is not installed; the tests need it: scripts/install-servers, \
             or apt-get install no-such-package"
        );
    }
}
