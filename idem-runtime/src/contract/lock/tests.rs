use std::path::PathBuf;

use super::*;

const APPLY: &str = "payments.apply key=event.id:Uuid fingerprint=- duplicate=replay:Receipt@1 error=rollback retention=90d isolation=- emits=ledger.posted type=Posted ordering_key=account";
const REFUND: &str = "payments.refund key=event.id:Uuid fingerprint=- duplicate=skip error=rollback retention=forever isolation=- emits=-";

/// A lock file in a folder of its own.
struct Lock {
    folder: tempfile::TempDir,
}

impl Lock {
    fn missing() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn with(lines: &str) -> Self {
        let lock = Self::missing();
        std::fs::write(lock.file(), lines).unwrap();
        lock
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("idem.lock")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// Compares with handlers of these lines. The message speaks of `idem.lock` wherever it is.
    fn check(&self, lines: &[&str], mode: Mode) -> Result<(), String> {
        let handlers = lines.iter().zip(1..).map(|(line, at)| Handler {
            line: Line::parse(line).unwrap(),
            place: format!("src/lib.rs:{at}"),
        });
        let folder = format!("{}/", self.folder.path().display());
        check("payments", &self.file(), handlers.collect(), mode)
            .map_err(|message| message.replace(&folder, ""))
    }
}

#[test]
fn a_missing_file_is_written_sorted() {
    let lock = Lock::missing();
    assert_eq!(lock.check(&[REFUND, APPLY], Mode::Check), Ok(()));
    assert_eq!(lock.text(), format!("{APPLY}\n{REFUND}\n"));
    assert_eq!(lock.check(&[APPLY, REFUND], Mode::CheckOnly), Ok(()));
}

#[test]
fn a_missing_file_fails_under_ci_and_is_not_written() {
    let lock = Lock::missing();
    assert_eq!(
        lock.check(&[APPLY], Mode::CheckOnly).unwrap_err(),
        "idem.lock is missing. Run `cargo test` where `CI` is not set, which writes it, and commit it."
    );
    assert!(!lock.file().exists());
}

#[test]
fn a_difference_fails_with_its_meaning_and_leaves_the_file() {
    let lock = Lock::with(&format!("{APPLY}\n{REFUND}\n"));
    let changed = APPLY.replace("90d", "30d");
    let message = lock.check(&[&changed, REFUND], Mode::Check).unwrap_err();
    assert_eq!(
        message,
        "The handlers of `payments` are not what idem.lock says. In production this means:

payments.apply (src/lib.rs:1)
  retention: was 90d, is 30d
    Shortened: a message that is delivered again more than 30d after it was handled would run again. It must outlast the longest \
redelivery: the broker's retention, a replay of dead letters, a restored backup.

Change the code back, or accept all of it: `IDEM_LOCK=accept cargo test`, and commit idem.lock."
    );
    assert_eq!(lock.text(), format!("{APPLY}\n{REFUND}\n"));
}

#[test]
fn accepting_rewrites_whatever_the_file_holds() {
    for before in [APPLY, "<<<<<<< ours", "nonsense"] {
        let lock = Lock::with(before);
        assert_eq!(lock.check(&[REFUND], Mode::Accept), Ok(()));
        assert_eq!(lock.text(), format!("{REFUND}\n"));
    }
}

#[test]
fn no_handler_at_all_is_a_test_in_the_wrong_place() {
    for mode in [Mode::Check, Mode::CheckOnly, Mode::Accept] {
        let lock = Lock::with(APPLY);
        let message = lock.check(&[], mode).unwrap_err();
        assert!(message.contains("`use payments as _;`"), "{message}");
        assert_eq!(lock.text(), APPLY);
    }
}

/// The heads of a comparison: scope and what changed.
fn heads(locked: &[&str], now: &[&str]) -> Vec<String> {
    let handlers = now.iter().map(|line| Handler {
        line: Line::parse(line).unwrap(),
        place: "src/lib.rs:1".into(),
    });
    let locked = locked.iter().map(|line| Line::parse(line).unwrap());
    compare(locked.collect(), handlers.collect())
        .into_iter()
        .flat_map(|difference| {
            let scope = difference.scope;
            difference
                .changes
                .into_iter()
                .map(move |change| format!("{scope}: {}", change.what))
        })
        .collect()
}

#[test]
fn a_scope_that_went_and_one_that_came_with_the_same_contract_is_a_rename() {
    assert_eq!(
        heads(
            &[APPLY],
            &[&APPLY.replace("payments.apply", "payments.credit")]
        ),
        ["payments.credit: scope renamed: was `payments.apply`"]
    );
}

#[test]
fn a_moved_module_pairs_its_handlers_by_name() {
    let old = [
        &*APPLY.replace("payments.apply", "a::one"),
        &APPLY.replace("payments.apply", "a::two"),
    ];
    let new = [
        &*APPLY.replace("payments.apply", "b::two"),
        &APPLY.replace("payments.apply", "b::one"),
    ];
    assert_eq!(
        heads(&old, &new),
        [
            "b::one: scope renamed: was `a::one`",
            "b::two: scope renamed: was `a::two`"
        ]
    );
}

#[test]
fn a_handler_that_moved_and_changed_at_once_is_still_a_rename() {
    let moved = APPLY
        .replace("payments.apply", "billing.apply")
        .replace("90d", "30d");
    assert_eq!(
        heads(&[APPLY], &[&moved]),
        [
            "billing.apply: scope renamed: was `payments.apply`",
            "billing.apply: retention: was 90d, is 30d"
        ]
    );
}

#[test]
fn unlike_handlers_are_one_removed_and_one_added() {
    assert_eq!(
        heads(&[APPLY], &[REFUND]),
        [
            "payments.apply: no handler has this scope any more",
            "payments.refund: a new handler"
        ]
    );
}

#[test]
fn merge_conflicts_are_called_by_name() {
    let lock = Lock::with(&format!("{APPLY}\n<<<<<<< HEAD\n{REFUND}\n=======\n"));
    let message = lock.check(&[APPLY], Mode::Check).unwrap_err();
    assert_eq!(
        message,
        "idem.lock, line 2: a merge left its conflict markers. Take both sides' handlers into the code, then accept.\n\
         Restore the file from version control, or write it anew and review its diff: `IDEM_LOCK=accept cargo test`."
    );
}

/// Guards: a line is asked whether it is a contract before it is taken for a marker. Found by the
/// fuzz target `contracts`.
#[test]
fn a_scope_that_looks_like_a_conflict_marker_is_a_scope() {
    let line = APPLY.replace("payments.apply", "=======");
    assert_eq!(Lock::with(&line).check(&[&line], Mode::Check), Ok(()));
}

#[test]
fn a_file_that_is_there_and_unreadable_is_not_called_missing() {
    let lock = Lock::missing();
    std::fs::create_dir(lock.file()).unwrap();
    for mode in [Mode::Check, Mode::CheckOnly] {
        let message = lock.check(&[APPLY], mode).unwrap_err();
        assert!(
            message.starts_with("idem.lock can't be read: "),
            "{message}"
        );
    }
}

#[test]
fn a_malformed_line_is_named_with_what_is_wrong() {
    for (line, wrong) in [
        ("payments.apply", "`key=` is missing at its end"),
        (
            &*APPLY.replace("fingerprint=-", ""),
            "`fingerprint=` should stand where `duplicate=replay:Receipt@1` stands",
        ),
        (
            &APPLY.replace("key=", "kez="),
            "`key=` should stand where `kez=event.id:Uuid` stands",
        ),
        (
            &APPLY.replace("key=event.id:Uuid", "kez="),
            "`key=` should stand where `kez=` stands",
        ),
        (
            &APPLY.replace("retention=90d", "retention="),
            "`retention=` has no value",
        ),
        (
            &format!("{APPLY} more"),
            "`emits=` should stand where `more` stands",
        ),
        (
            &APPLY.replace(" type=Posted", ""),
            "`type=` should stand where `ordering_key=account` stands",
        ),
        (
            &APPLY.replace(" ordering_key=account", ""),
            "`ordering_key=` is missing at its end",
        ),
    ] {
        let lock = Lock::with(&format!("{REFUND}\n{line}\n"));
        let message = lock.check(&[REFUND], Mode::Check).unwrap_err();
        let head = format!("idem.lock, line 2 is not a contract: {wrong}\n  {line}\n");
        assert!(message.starts_with(&head), "{message}");
        assert!(message.contains("IDEM_LOCK=accept"), "{message}");
    }
}

#[test]
fn a_scope_that_stands_twice_names_both_lines() {
    let lock = Lock::with(&format!("{APPLY}\n{REFUND}\n{APPLY}\n"));
    let message = lock.check(&[APPLY, REFUND], Mode::Check).unwrap_err();
    assert!(
        message.starts_with("idem.lock, lines 1 and 3 are both of the scope `payments.apply`."),
        "{message}"
    );
}

#[test]
fn line_ends_and_empty_lines_are_no_difference() {
    let lock = Lock::with(&format!("{APPLY}\r\n\r\n{REFUND}"));
    assert_eq!(lock.check(&[APPLY, REFUND], Mode::CheckOnly), Ok(()));
}

#[test]
fn the_environment_says_what_to_do() {
    let mode =
        |ci: Option<&str>, lock: Option<&str>| Mode::of(ci.map(OsStr::new), lock.map(OsStr::new));
    assert_eq!(mode(None, None), Ok(Mode::Check));
    assert_eq!(mode(Some(""), Some("")), Ok(Mode::Check));
    assert_eq!(mode(Some("false"), None), Ok(Mode::Check));
    assert_eq!(mode(Some("true"), None), Ok(Mode::CheckOnly));
    assert_eq!(mode(Some("true"), Some("accept")), Ok(Mode::Accept));
    let message = mode(None, Some("yes")).unwrap_err();
    assert!(
        message.starts_with("`IDEM_LOCK=yes` means nothing; `IDEM_LOCK=accept cargo test`"),
        "{message}"
    );
}
