//! The suites: they pass what keeps the law, and find each way to break it.

mod json_lines;
mod memory;
#[cfg(feature = "sqlite")]
mod queues;
#[cfg(feature = "sqlite")]
mod sources;

use idem_testing::conformance;

use crate::json_lines::Lines;
use crate::memory::{Flaw, Memory};

#[tokio::test]
async fn json_lines_keeps_what_a_publisher_must() {
    let folder = tempfile::tempdir().unwrap();
    let target = Lines::in_folder(folder.path());
    let report = conformance::publisher(&target).await;
    report.assert_holds();
    let left_out: Vec<_> = report.left_out().collect();
    assert_eq!(
        left_out,
        [
            (
                "hanging: one message delays no other key",
                "a file answers all or nothing"
            ),
            (
                "refused: one message stops no other key",
                "a file answers all or nothing"
            ),
        ]
    );
}

/// Guards: the suite asks for no more than the law.
#[tokio::test]
async fn a_publisher_without_a_flaw_holds_in_every_case() {
    let report = conformance::publisher(&Memory::new(Flaw::None)).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 0);
    assert_eq!(report.to_string().matches("\nholds: ").count(), 20);
}

/// Guards: each check of the suite.
#[tokio::test]
async fn each_flaw_is_found_by_the_case_that_looks_for_it() {
    for (flaw, case, what) in [
        (
            Flaw::DropsHeaders,
            "fields: with an ordering key",
            "the headers is {",
        ),
        (
            Flaw::CutsPayloads,
            "fields: a payload of 1 MiB",
            "the payload is [",
        ),
        (
            Flaw::ForgetsAVerdict,
            "verdicts: each message",
            "got no verdict",
        ),
        (
            Flaw::PanicsOnNothing,
            "verdicts: an empty batch ends",
            "a panic: ",
        ),
        (Flaw::RefusesDuplicates, "again: ", "failed: known already"),
        (
            Flaw::IgnoresKeys,
            "order: ",
            "which has the same key and comes first",
        ),
        (Flaw::OneCallAtATime, "calls at once: ", "failed: busy"),
        (Flaw::ConfirmsFirst, "confirmed: ", "have not arrived"),
        (Flaw::BreaksWhenDropped, "cancelled: ", "failed: busy"),
        (
            Flaw::ConfirmsWhenDown,
            "down: ",
            "is confirmed by a broker that is down",
        ),
        (
            Flaw::GivesUp,
            "down: ",
            "is given up since the broker is down: no connection",
        ),
        (
            Flaw::NeverReconnects,
            "down: ",
            "after the broker works again",
        ),
        (Flaw::ShowsPayloads, "down: ", "shows the payload"),
        (
            Flaw::WaitsForAll,
            "hanging: ",
            "since a message of another key hangs",
        ),
        (
            Flaw::ConfirmsSilence,
            "hanging: ",
            "a message that got no answer is confirmed",
        ),
        (
            Flaw::GoesOn,
            "refused: ",
            "although one of its key before it comes again",
        ),
        (
            Flaw::StopsAll,
            "refused: ",
            "since a message of another key was refused",
        ),
        (Flaw::SmallBatches, "load: ", "failed: too many"),
    ] {
        let report = conformance::publisher(&Memory::new(flaw)).await;
        let found = report
            .violations()
            .any(|(name, text)| name.starts_with(case) && text.contains(what));
        assert!(found, "{flaw:?} is not found:\n{report}");
    }
}

/// Guards: what a target can't play is said, and does not fail.
#[tokio::test]
async fn what_a_target_cannot_play_is_left_out_with_the_reason() {
    let report = conformance::publisher(&memory::Plain::default()).await;
    report.assert_holds();
    let text = report.to_string();
    for line in [
        "left out: fields: a topic beyond ASCII: names are ASCII\n",
        "left out: down: nothing is confirmed or given up, and all arrive later: the target injects no faults\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

/// Guards: a case has an end.
#[tokio::test]
async fn a_call_that_never_ends_is_a_violation() {
    let report = conformance::publisher(&memory::Stuck).await;
    let no_end = |(_, what): &(&str, &str)| what.contains("does not end within");
    assert_eq!(report.violations().filter(no_end).count(), 18, "{report}");
    assert_eq!(report.left_out().count(), 2, "{report}");
}
