//! How to use this crate, and what it does when things go wrong: one page for each question.
//!
//! | page | the question |
//! |---|---|
//! | [`choosing_a_key`] | What says that two deliveries are the same? |
//! | [`replay_and_errors`] | What does a duplicate get, and what do I do with an error? |
//! | [`joining_a_transaction`] | How does a handler take part in a transaction that I opened? |
//! | [`the_outbox`] | How do I publish an event if and only if the effect is there? |
//! | [`publishing`] | How do events reach a broker, and what if it is down? |
//! | [`consuming`] | How does a message reach its handler, and what if that fails? |
//! | [`batches`] | How are many messages handled in one transaction? |
//! | [`retries_and_dead_letters`] | How often is a message tried, and where does it go then? |
//! | [`ordering`] | What stays in order, and what breaks it? |
//! | [`choosing_a_broker`] | What does each broker guarantee, and what is done about the rest? |
//! | [`from_a_hand_written_loop`] | I have a loop that consumes. What changes, and in which steps? |
//! | [`retention`] | How long must a key be remembered? |
//! | [`migrations_and_deploys`] | How do the tables, the code and old messages change together? |
//! | [`operating`] | What do I watch, schedule and configure? |
//! | [`crash_points`] | What is in the database after a crash at this line? |
//! | [`key_encoding`] | Which bytes are a key, and where does an event's ID come from? |
//! | [`why_not`] | Why not locks, Redis, or two-phase commit? |

macro_rules! pages {
    ($($name:ident)*) => {$(
        #[doc = include_str!(concat!("../docs/", stringify!($name), ".md"))]
        pub mod $name {}
    )*};
}

pages! {
    choosing_a_key
    replay_and_errors
    joining_a_transaction
    the_outbox
    publishing
    consuming
    batches
    retries_and_dead_letters
    ordering
    choosing_a_broker
    from_a_hand_written_loop
    retention
    migrations_and_deploys
    operating
    crash_points
    key_encoding
    why_not
}
