//! Every limit of the table has a test that reaches it from both sides: at the limit it passes, one
//! more is refused. Whoever adds a limit adds its test here.
#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;

use switchboard::config::LIMITS;

/// A limit's field, and where it is reached: the file below `tests/` and the test in it.
const REACHED: &[(&str, &str, &str)] = &[
    (
        "connections_max",
        "limits_process.rs",
        "at_max_connections_newcomers_get_503_and_the_others_nothing",
    ),
    ("head_max_bytes", "limits_process.rs", "max_head_and_max_headers_end_in_431"),
    ("head_headers_max", "limits_process.rs", "max_head_and_max_headers_end_in_431"),
    (
        "http_body_max_bytes",
        "engine_http.rs",
        "a_body_of_all_that_is_allowed_arrives_and_one_more_byte_gets_413",
    ),
    (
        "accept_budget_max",
        "reactor.rs",
        "newcomers_are_let_in_up_to_the_budget_before_the_others_have_their_turn",
    ),
    ("auth_timeout_ms", "identity/strangers.rs", "a_stranger_has_its_time_and_not_more"),
    ("auth_message_max_bytes", "identity/strangers.rs", "of_a_stranger_four_kibibytes_are_read"),
    (
        "auth_endpoint_timeout_ms",
        "identity/lying.rs",
        "an_endpoint_that_hangs_or_drips_is_a_503_in_time",
    ),
    ("auth_endpoint_asks_max", "identity/lying.rs", "too_many_questions_are_refused_at_once"),
    ("auth_endpoint_queue_max", "identity/lying.rs", "too_many_questions_are_refused_at_once"),
    (
        "auth_cache_ttl_ms",
        "identity/endpoint.rs",
        "a_good_answer_is_kept_for_a_while_and_a_refusal_is_not",
    ),
    ("auth_cache_max", "identity/endpoint.rs", "no_more_answers_are_kept_than_allowed"),
    ("user_id_max_bytes", "limits_process.rs", "max_user_id_counts_bytes_in_urls_and_in_json"),
    ("groups_per_user_max", "limits_process.rs", "max_groups_per_user_counts_what_one_user_is_in"),
    ("members_shown_max", "policy/presence.rs", "max_members_shown_are_named_and_all_are_counted"),
    ("memberships_max", "policy/granted.rs", "max_memberships_are_granted_and_not_one_more"),
    (
        "presence_names_max",
        "policy/presence.rs",
        "max_presence_names_are_named_and_one_more_is_a_number",
    ),
    (
        "presence_interval_ms",
        "policy/presence.rs",
        "presence_interval_is_over_at_its_end_and_not_before",
    ),
    ("json_depth_max", "limits_process.rs", "max_json_depth_counts_the_outermost_too"),
    ("batch_max", "push/api.rs", "a_batch_is_sent_in_order_and_has_a_result_for_each"),
    (
        "idempotency_ttl_ms",
        "push/idempotency.rs",
        "a_key_is_known_again_for_its_time_and_no_longer",
    ),
    (
        "idempotency_table_bytes",
        "push/idempotency.rs",
        "a_full_table_refuses_new_keys_keeps_the_old_ones_and_lets_the_others_pass",
    ),
    ("log_messages_max", LIMITS_OF_SESSIONS, "log_messages_are_kept_and_not_one_more"),
    ("log_max_bytes", LIMITS_OF_SESSIONS, "log_bytes_are_kept_and_not_one_more"),
    (
        "log_total_bytes",
        LIMITS_OF_SESSIONS,
        "log_total_counts_all_logs_and_its_last_eighth_is_for_those_who_are_here",
    ),
    ("log_age_ms", LIMITS_OF_SESSIONS, "log_age_is_over_at_its_end_and_not_before"),
    ("log_users_max", LIMITS_OF_SESSIONS, "log_users_have_a_log_and_not_one_more"),
    ("log_clients_max", LIMITS_OF_SESSIONS, "log_clients_are_known_again_and_not_one_more"),
    ("session_ping_ms", LIMITS_OF_SESSIONS, "session_ping_is_due_at_its_end_and_not_before"),
    ("session_silence_ms", LIMITS_OF_SESSIONS, "session_silence_is_over_at_its_end_and_not_before"),
    ("session_retry_ms", LIMITS_OF_SESSIONS, "session_retry_is_what_a_client_is_told_to_wait"),
    ("session_ring_bytes", LIMITS_OF_SESSIONS, "session_ring_takes_as_many_bytes_and_not_one_more"),
    ("session_held_max", LIMITS_OF_SESSIONS, "session_held_wait_for_commits_and_not_one_more"),
    (
        "message_max_bytes",
        "limits_process.rs",
        "rfc6455_10_4_max_message_counts_all_fragments_together",
    ),
    (
        "message_frames_max",
        "limits_process.rs",
        "rfc6455_10_4_max_frames_counts_empty_fragments_too",
    ),
    ("deflate_mode", "deflate.rs", "what_is_agreed_is_what_the_configuration_says"),
    ("deflate_min_bytes", "deflate.rs", "messages_are_compressed_from_the_configured_length_on"),
    ("head_timeout_ms", "limits_engine.rs", "head_timeout_is_over_at_its_end_and_not_before"),
    (
        "http_idle_timeout_ms",
        "engine_http.rs",
        "http_idle_timeout_is_over_at_its_end_and_not_before",
    ),
    ("ping_interval_ms", "limits_engine.rs", "ping_interval_is_over_at_its_end_and_not_before"),
    ("ping_timeout_ms", "limits_engine.rs", "ping_timeout_is_over_at_its_end_and_not_before"),
    ("close_timeout_ms", "limits_engine.rs", "close_timeout_is_over_at_its_end_and_not_before"),
    ("write_timeout_ms", "limits_engine.rs", "write_timeout_is_over_at_its_end_and_not_before"),
    (
        "shutdown_timeout_ms",
        "limits_process.rs",
        "shutdown_timeout_waits_for_those_who_answer_in_time_and_for_nobody_else",
    ),
    (
        "outbox_high_bytes",
        "limits_engine.rs",
        "outbox_high_is_congested_at_the_mark_and_not_a_byte_below",
    ),
    (
        "outbox_low_bytes",
        "limits_engine.rs",
        "outbox_low_takes_more_at_the_mark_and_not_a_byte_above",
    ),
    (
        "outbox_total_bytes",
        "limits_engine.rs",
        "outbox_total_takes_a_message_of_all_of_it_and_not_a_byte_more",
    ),
    ("read_buffer_bytes", "reactor.rs", "one_read_takes_what_the_buffer_holds"),
    (
        "read_budget_bytes",
        "reactor.rs",
        "one_connection_is_read_up_to_its_budget_before_the_others_have_their_turn",
    ),
    ("send_budget_max", "engine_budget.rs", "a_flood_to_many_is_worked_off_in_turns_and_in_order"),
    (
        "deflate_takeover_max",
        "deflate.rs",
        "no_more_connections_than_allowed_keep_windows_and_the_others_do_without",
    ),
];

const LIMITS_OF_SESSIONS: &str = "sessions/limits.rs";

#[test]
fn every_limit_names_the_test_that_reaches_it() {
    let named: Vec<&str> = REACHED.iter().map(|(field, ..)| *field).collect();
    let limits: Vec<&str> = LIMITS.iter().map(|limit| limit.field).collect();
    assert_eq!(named, limits, "the limits with a test, and those of the table");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (field, file, test) in REACHED {
        let text = fs::read_to_string(tests.join(file)).expect("a file of tests");
        let declared = format!("#[test]\nfn {test}() {{");
        assert!(text.contains(&declared), "{field}: no test {test} in tests/{file}");
    }
}
