//! What bus and state promise, one function a promise. Each takes a backend, and every kind of backend is held to the
//! same suite: the one within the process, the same under a fault injector that lets everything pass, and NATS with Redis,
//! which each test starts for itself. What only those two can do, be away or refuse, is in `outage`, `refusals` and
//! `faults`. What an injector does is in `injection`.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "contract/bus.rs"]
mod bus;
#[path = "contract/certificates.rs"]
mod certificates;
#[path = "contract/discovery.rs"]
mod discovery;
#[path = "contract/faults.rs"]
mod faults;
#[path = "contract/injection.rs"]
mod injection;
#[path = "contract/kinds.rs"]
mod kinds;
#[path = "contract/outage.rs"]
mod outage;
#[path = "contract/processes.rs"]
mod processes;
#[path = "contract/refusals.rs"]
mod refusals;
#[path = "contract/replicas.rs"]
mod replicas;
#[path = "contract/servers.rs"]
mod servers;
#[path = "contract/state.rs"]
mod state;

use astral_backend::{Backend, FaultInjector};
use astral_env::Env;
use astral_runtime::TaskScope;

/// Runs each promise on a fresh backend of each kind: within the process, with and without an injector, on a clock that
/// moves only when nothing else can, and on NATS and Redis in real time.
macro_rules! promises {
    ($($suite:ident::$promise:ident,)*) => {
        mod local {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() {
                super::$suite::$promise(super::Backend::local()).await;
            })*
        }
        mod under_an_injector {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() {
                let injector = super::FaultInjector::new(1);
                super::$suite::$promise(super::Backend::with_faults(&injector, super::Env::seeded(1))).await;
            })*
        }
        mod nats_and_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (_servers, backend) = super::servers::start().await;
                super::$suite::$promise(backend).await;
            })*
        }
    };
}

promises! {
    bus::queue_group_gives_each_event_to_exactly_one_member,
    bus::every_member_of_a_group_gets_a_share,
    bus::groups_and_plain_subscribers_do_not_take_from_each_other,
    bus::plain_subscriber_gets_all_events_in_order,
    bus::wildcards_take_in_the_subjects_they_name,
    bus::dropped_subscription_gets_no_more,
    bus::malformed_event_is_skipped_and_counted,
    bus::full_subscriber_loses_its_own_events_and_blocks_nobody,
    bus::oversized_event_is_refused,
    bus::an_event_that_did_not_arrive_shows_in_the_next_one_of_its_publisher,
    bus::members_of_a_group_do_not_miss_what_others_get,
    bus::request_gets_the_reply_of_its_handler,
    bus::problem_of_a_handler_arrives_as_it_is,
    bus::request_that_no_one_serves_fails_at_once,
    bus::request_without_an_answer_times_out_at_its_deadline_and_not_before,
    bus::malformed_request_is_a_bad_request,
    bus::request_to_a_node_reaches_that_node_alone,
    bus::slow_request_does_not_hold_up_the_next,
    bus::requests_in_flight_are_limited,
    bus::stopped_server_finishes_what_it_has_and_takes_no_more,
    replicas::frozen_replica_costs_no_request_and_little_time,
    replicas::frozen_replicas_of_which_one_is_left_cost_no_request,
    replicas::request_in_the_hand_of_a_replica_that_freezes_is_repeated_at_another,
    replicas::request_that_takes_long_is_handled_once,
    replicas::request_that_waits_for_others_is_not_repeated_nor_handled_too_late,
    replicas::replica_that_has_gone_is_asked_no_more,
    state::entry_is_put_only_if_absent,
    state::put_entry_is_read_back_and_removed_once,
    state::fields_of_a_later_version_outlive_a_change_by_this_one,
    state::kept_entry_does_not_change,
    state::collections_do_not_share_entries,
    state::entry_on_a_lease_is_gone_after_it_and_not_before,
    state::entry_put_again_starts_a_new_lease,
    state::kept_entry_keeps_its_lease,
    state::entry_whose_lease_has_ended_is_absent_to_everything,
    state::list_pages_run_through_all_entries_in_order,
    state::long_list_is_complete_and_without_what_has_ended,
    state::list_over_the_limit_is_refused,
    state::entry_of_another_shape_is_an_error_not_a_guess,
    state::oversized_value_is_refused_and_changes_nothing,
    state::entry_is_put_over_the_version_that_was_seen_and_no_other,
    state::entry_is_put_whatever_was_there_and_starts_a_new_lease,
    state::many_entries_are_read_at_once_in_the_order_asked_for,
    state::many_entries_are_removed_at_once_those_that_there_are,
}

/// These race on real threads.
macro_rules! promises_under_races {
    ($($suite:ident::$promise:ident,)*) => {
        mod local_under_races {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                super::$suite::$promise(super::Backend::local()).await;
            })*
        }
        mod redis_under_races {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                let (_servers, backend) = super::servers::start().await;
                super::$suite::$promise(backend).await;
            })*
        }
    };
}

promises_under_races! {
    state::racing_updates_grant_exactly_what_there_is,
    state::update_decides_anew_when_another_writer_came_between,
}

fn serving() -> TaskScope {
    TaskScope::default()
}
