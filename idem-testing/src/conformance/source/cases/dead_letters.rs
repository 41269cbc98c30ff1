//! What can't be handled becomes a dead letter, and everything else goes on.

use crate::conformance::failure::{Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::instance::Settings;
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

pub(super) async fn panic<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    dies_while_others_go_on(bed, Act::Panic, 4).await
}

pub(super) async fn poison<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    dies_while_others_go_on(bed, Act::Fail, 4).await
}

/// Among its neighbours, some of them with its key.
async fn dies_while_others_go_on<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
    act: Act,
    attempts: usize,
) -> Result {
    let keys = ["a", "bad", "b"];
    let others = || keys.map(|key| Sent::new(Some(key), Act::Succeed));
    let [before, after] = [others(), others()];
    let bad = Sent::new(Some("bad"), act);
    bed.send(before.iter().chain([&bad]).chain(&after)).await;
    let instance = bed.start(Settings::default())?;
    let good: Vec<Sent> = before.into_iter().chain(after).collect();
    bed.succeed("its neighbours are handled", &good).await?;
    let letters = bed.letters_come(1).await?;
    bed.drained().await?;
    bed.stop(instance).await?;
    let begun = bed.script.attempts(bad.n);
    let numbers: Vec<u32> = (1..).take(attempts).collect();
    if begun != numbers {
        return violated(format!("its attempts were {begun:?}, and not {numbers:?}"));
    }
    let [letter] = &letters[..] else {
        return violated(format!("{} dead letters and not one", letters.len()));
    };
    if letter.incoming.id != bad.id || letter.incoming.body != bad.wire.body {
        return violated("the dead letter is another message");
    }
    if usize::try_from(letter.attempts) != Ok(attempts) {
        return violated(format!(
            "the dead letter says {} attempts and not {attempts}",
            letter.attempts
        ));
    }
    bed.each_effect_is_single(&good).await
}

pub(super) async fn unreadable<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let changed = |change: &dyn Fn(Sent) -> Sent| change(Sent::new(Some("k"), Act::Succeed));
    let without = |attribute: &str, value| {
        changed(&|mut sent| {
            sent.wire = sent.wire.set(attribute, value);
            sent
        })
    };
    let bad = [
        (
            "a body that can't be decoded",
            changed(&|mut sent| {
                sent.wire.body = b"{\"n\": 1, \xff".to_vec();
                sent
            }),
        ),
        (
            "a body of another shape",
            changed(&|mut sent| {
                sent.wire.body = b"{}".to_vec();
                sent
            }),
        ),
        ("an unknown type", without("type", Some("NobodyKnowsIt"))),
        ("no type", without("type", None)),
        ("no ID", without("id", None)),
        ("an empty ID", without("id", Some(""))),
        (
            "no attribute at all",
            changed(&|mut sent| {
                sent.wire.attributes.clear();
                sent.wire.body = b"raw".to_vec();
                sent
            }),
        ),
    ];
    let good = [Sent::new(Some("k"), Act::Succeed)];
    bed.send(bad.iter().map(|(_, sent)| sent).chain(&good))
        .await;
    let instance = bed.start(Settings::default())?;
    bed.succeed("what comes after them is handled", &good)
        .await?;
    let letters = bed.letters_come(bad.len()).await?;
    bed.drained().await?;
    bed.stop(instance).await?;
    for (what, sent) in &bad {
        let mut of = letters
            .iter()
            .filter(|letter| letter.incoming.body == sent.wire.body);
        let (Some(letter), None) = (of.next(), of.next()) else {
            return violated(format!(
                "a message with {what} is not one dead letter with its bytes"
            ));
        };
        if letter.reason.is_empty() {
            return violated(format!(
                "the dead letter of a message with {what} gives no reason"
            ));
        }
    }
    if letters.len() != bad.len() {
        return violated(format!(
            "{} dead letters and not {}",
            letters.len(),
            bad.len()
        ));
    }
    bed.each_effect_is_single(&good).await
}
