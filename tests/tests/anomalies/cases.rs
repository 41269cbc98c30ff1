//! The table: which rows there are for a transaction that ends so, under the name of what must hold
//! then.
//!
//! *First* is the first delivery, or the transaction that is in the way of one.

/// The rows for the database of the module in which it stands.
macro_rules! suite {
    ($($also:ident),*) => {
        #[path = "suite/case_db.rs"]
        mod case_db;
        #[path = "suite/begins.rs"]
        mod begins;
        #[path = "suite/duplicates.rs"]
        mod duplicates;
        #[path = "suite/first.rs"]
        mod first;
        #[path = "suite/handlers.rs"]
        mod handlers;
        #[path = "suite/joined.rs"]
        mod joined;
        #[path = "suite/misdeeds.rs"]
        mod misdeeds;
        #[path = "suite/other.rs"]
        mod other;
        #[path = "suite/purges.rs"]
        mod purges;
        #[path = "suite/results.rs"]
        mod results;
        $(suite!(@ $also);)*
    };
    (@ processes) => {
        #[path = "suite/deaths.rs"]
        mod deaths;
    };
    (@ servers) => {
        #[path = "suite/acknowledgements.rs"]
        mod acknowledgements;
        #[path = "suite/conflicts.rs"]
        mod conflicts;
        #[path = "suite/side_by_side.rs"]
        mod side_by_side;
    };
    (@ deferred) => {
        #[path = "suite/deferred.rs"]
        mod deferred;
    };
}

/// A test for each row.
macro_rules! tests {
    ($axis:expr, $fate:ident; $($name:ident = $row:path;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::run($row($axis, $crate::fate::Fate::$fate));
            }
        )*
    };
    ($axis:expr; $($name:ident = $row:path;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::run($row($axis));
            }
        )*
    };
}

/// Faults in bulk.
macro_rules! soak {
    ($axis:expr; $($name:ident = $row:path;)*) => {
        mod soak {
            use super::*;

            $(
                #[test]
                fn $name() {
                    $crate::run_within($crate::SOAK_DEADLINE, $row($axis));
                }
            )*
        }
    };
}

/// What holds after a first one that has committed.
macro_rules! committed {
    (deliveries, $axis:expr) => {
        tests! { $axis, Commits;
            the_next_delivery_replays = duplicates::a_later_one;
            the_next_delivery_replays_what_a_connection_executed = duplicates::a_later_one_of_a_connection;
            a_duplicate_waits_then_replays = duplicates::elsewhere;
            a_duplicate_told_to_fail_fails_at_once = duplicates::told_to_fail;
            the_wait_of_a_duplicate_is_bounded = duplicates::that_waits_too_long;
            three_waiters_replay = duplicates::three_waiters;
            a_duplicate_with_another_fingerprint_is_refused = duplicates::with_another_fingerprint;
            a_keyless_effect_and_its_event_are_there_both = duplicates::of_a_keyless_handler;
            nested_handlers_are_there_both = duplicates::of_nested_handlers;
        }
    };
    (deeds, $axis:expr) => {
        tests! { $axis, Commits;
            an_unreadable_result_is_never_executed_again = results::unreadable;
            a_result_that_is_not_stored_is_skipped = results::not_stored;
            a_permanent_error_is_recorded_and_replayed = results::permanent_error;
            a_swallowed_error_surfaces_or_is_undone_alone = misdeeds::swallowed_error;
            a_swallowed_violation_surfaces_or_is_undone_alone = misdeeds::swallowed_violation;
            a_violation_in_a_nested_transaction_does_no_harm = misdeeds::violation_in_a_nested_transaction;
            a_smuggled_rollback_surfaces = misdeeds::smuggled_rollback;
            a_smuggled_rollback_and_begin_surfaces = misdeeds::smuggled_rollback_and_begin;
            a_smuggled_commit_surfaces_and_never_runs_again = misdeeds::smuggled_commit;
            a_smuggled_commit_and_begin_surfaces_and_never_runs_again = misdeeds::smuggled_commit_and_begin;
            a_leaked_nested_transaction_surfaces = misdeeds::leaked_nested_transaction;
            a_call_of_itself_does_not_run_twice = misdeeds::call_of_itself;
            ddl_is_committed_with_the_rest_or_surfaces = misdeeds::ddl;
        }
    };
    (process, $axis:expr) => {
        tests! { $axis, Commits;
            a_duplicate_in_the_process_waits_then_replays = duplicates::in_the_process;
        }
    };
    (transactions, $axis:expr) => {
        tests! { $axis, Commits;
            a_joined_call_is_committed_by_its_caller = joined::is_its_callers;
            a_joined_call_that_is_dropped_leaves_its_callers_rest = joined::dropped_in_its_body;
            a_joined_call_that_fails_leaves_its_callers_rest = joined::refused;
            a_duplicate_whose_row_is_purged_executes = purges::takes_the_row_of_a_duplicate;
        }
    };
    (servers, $axis:expr) => {
        tests! { $axis, Commits;
            a_joined_duplicate_waits_then_replays_or_conflicts = side_by_side::joined;
            a_joined_duplicate_leaves_the_first_when_its_caller_rolls_back = side_by_side::joined_and_undone;
            a_purge_beside_it_takes_what_is_expired_alone = side_by_side::a_purge;
            a_swallowed_deadlock_surfaces_and_commits_nothing = conflicts::swallowed_deadlock;
            a_deadlock_is_retried_until_it_passes = conflicts::retried_deadlock;
            a_deadlock_of_an_inner_handler_is_retried = conflicts::retried_deadlock_of_an_inner_handler;
            a_deadlock_in_a_leaked_transaction_is_retried = conflicts::retried_deadlock_in_a_leaked_transaction;
            a_write_conflict_is_retried_until_it_passes = conflicts::retried_write_conflict;
            two_keys_in_opposite_order_are_kept_for_the_winner = conflicts::two_keys_in_opposite_order;
        }
    };
    (deferred, $axis:expr) => {
        tests! { $axis, Commits;
            a_deferred_violation_is_no_success = deferred::violated;
            a_deferred_violation_put_right_does_no_harm = deferred::put_right;
        }
    };
}

/// What holds after a first one that has not.
macro_rules! undone {
    (deliveries, $axis:expr, $fate:ident) => {
        tests! { $axis, $fate;
            the_next_delivery_executes = duplicates::a_later_one;
            the_next_delivery_executes_what_a_connection_lost = duplicates::a_later_one_of_a_connection;
            a_duplicate_waits_then_executes = duplicates::elsewhere;
            a_duplicate_told_to_fail_fails_at_once = duplicates::told_to_fail;
            the_wait_of_a_duplicate_is_bounded = duplicates::that_waits_too_long;
            one_of_three_waiters_executes = duplicates::three_waiters;
            a_duplicate_with_another_fingerprint_executes = duplicates::with_another_fingerprint;
            a_keyless_effect_and_its_event_are_gone_both = duplicates::of_a_keyless_handler;
            nested_handlers_are_gone_both = duplicates::of_nested_handlers;
        }
    };
    (deeds, $axis:expr, $fate:ident) => {
        tests! { $axis, $fate;
            a_result_of_another_type_is_in_nobodys_way = results::unreadable;
            a_result_that_would_not_be_stored_is_made_again = results::not_stored;
            an_error_is_not_recorded = results::permanent_error;
            a_swallowed_error_leaves_nothing = misdeeds::swallowed_error;
            a_swallowed_violation_leaves_nothing = misdeeds::swallowed_violation;
            a_violation_in_a_nested_transaction_leaves_nothing = misdeeds::violation_in_a_nested_transaction;
            a_smuggled_rollback_leaves_nothing = misdeeds::smuggled_rollback;
            a_smuggled_rollback_and_begin_leaves_nothing = misdeeds::smuggled_rollback_and_begin;
            a_smuggled_commit_never_runs_again = misdeeds::smuggled_commit;
            a_smuggled_commit_and_begin_never_runs_again = misdeeds::smuggled_commit_and_begin;
            a_leaked_nested_transaction_leaves_nothing = misdeeds::leaked_nested_transaction;
            a_call_of_itself_leaves_nothing = misdeeds::call_of_itself;
            ddl_is_undone_with_the_rest_or_never_runs_again = misdeeds::ddl;
        }
    };
    (process, $axis:expr, $fate:ident) => {
        tests! { $axis, $fate;
            a_duplicate_in_the_process_waits_then_executes = duplicates::in_the_process;
        }
    };
    (transactions, $axis:expr, $fate:ident) => {
        tests! { $axis, $fate;
            a_joined_call_goes_with_its_caller = joined::is_its_callers;
            a_joined_call_that_is_dropped_goes_with_its_caller = joined::dropped_in_its_body;
            a_joined_call_that_fails_goes_with_its_caller = joined::refused;
            a_duplicate_whose_row_is_not_purged_replays = purges::takes_the_row_of_a_duplicate;
        }
    };
    (servers, $axis:expr, $fate:ident) => {
        tests! { $axis, $fate;
            a_joined_duplicate_waits_then_executes = side_by_side::joined;
            a_joined_duplicate_goes_with_its_caller = side_by_side::joined_and_undone;
            a_purge_beside_it_takes_what_is_expired_alone = side_by_side::a_purge;
            a_swallowed_deadlock_leaves_nothing = conflicts::swallowed_deadlock;
            a_deadlock_is_retried_until_it_passes = conflicts::retried_deadlock;
            a_deadlock_of_an_inner_handler_is_retried = conflicts::retried_deadlock_of_an_inner_handler;
            a_deadlock_in_a_leaked_transaction_is_retried = conflicts::retried_deadlock_in_a_leaked_transaction;
            a_row_that_another_one_held_is_changed_without_a_conflict = conflicts::retried_write_conflict;
            two_keys_in_opposite_order_are_free_again = conflicts::two_keys_in_opposite_order;
        }
    };
    (deferred, $axis:expr, $fate:ident) => {
        tests! { $axis, $fate;
            a_deferred_violation_leaves_nothing = deferred::violated;
            a_deferred_violation_put_right_leaves_nothing = deferred::put_right;
        }
    };
}

/// The rows of one fate.
macro_rules! fate {
    ($module:ident = Commits, $axis:expr, [$($rows:ident)*]) => {
        mod $module {
            use super::*;
            $(committed!($rows, $axis);)*
        }
    };
    ($module:ident = $fate:ident, $axis:expr, [$($rows:ident)*]) => {
        mod $module {
            use super::*;
            $(undone!($rows, $axis, $fate);)*
        }
    };
}

/// The whole table of a database with a server.
macro_rules! levels {
    ($rows:tt; $($name:ident = $axis:expr),* $(,)?) => {
        $(
            mod $name {
                use super::*;

                fate!(first_commits = Commits, $axis, $rows);
                fate!(first_rolls_back = RollsBack, $axis, $rows);
                // To what is left of it, all three are one: see `killed`.
                fate!(first_is_killed = IsKilled, $axis, [deliveries process transactions]);
                fate!(first_is_dropped = IsDropped, $axis, [deliveries process transactions]);
                fate!(first_is_cut = IsCut, $axis, [deliveries process transactions]);

                tests! { $axis;
                    nested_handlers_in_opposite_order_run_again = conflicts::nested_handlers_in_opposite_order;
                    a_write_skew_is_retried_where_it_is_a_conflict = conflicts::write_skew;
                    a_joined_call_dropped_anywhere_never_falsifies_its_callers_commit = joined::dropped_at_any_pending_point;
                    a_thousand_duplicates_on_a_pool_of_four_make_one_effect = duplicates::a_thousand;
                }
            }
        )*
    };
}

/// What a handler does before its session is killed. The server rolls back in the same way at every
/// level, so one of them shows it.
macro_rules! killed {
    ($rows:tt) => {
        mod killed {
            use super::*;

            fate!(read_committed = IsKilled, Level::ReadCommitted, $rows);
        }
    };
}

/// The whole table of a database without one.
macro_rules! journals {
    ($($name:ident = $axis:expr),* $(,)?) => {
        $(
            mod $name {
                use super::*;

                fate!(first_commits = Commits, $axis, [deliveries deeds process transactions deferred]);
                fate!(first_rolls_back = RollsBack, $axis, [deliveries deeds process transactions deferred]);
                // A process takes all of its transactions along: those of the test's own can't be
                // killed.
                fate!(first_is_killed = IsKilled, $axis, [deliveries deeds deferred]);
                fate!(first_is_dropped = IsDropped, $axis, [deliveries process transactions]);

                tests! { $axis;
                    a_joined_call_dropped_anywhere_never_falsifies_its_callers_commit = joined::dropped_at_any_pending_point;
                    a_thousand_duplicates_on_a_pool_of_four_make_one_effect = duplicates::a_thousand;
                }
            }
        )*
    };
}
