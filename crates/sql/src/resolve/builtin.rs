//! What PostgreSQL's own functions do beyond computing, worked out one by one from `pg_proc` of PostgreSQL 12 to 18: every
//! volatile one, and every one that takes SQL text, the name of a relation, or a file.
//!
//! Immutable and stable functions not named here only compute, or read what the catalogs hold. A volatile one that is not
//! named here is not known, and opaque: so a later version's new function is not taken for harmless.

/// What running a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Computes, or reads the server's own state.
    Safe,
    /// Reads large objects.
    LargeObject,
    /// Writes.
    Write,
    /// Changes definitions.
    Define,
    /// Changes the session.
    Session,
    /// Takes or gives back a lock that others wait for.
    Lock,
    /// Files, signals, replication, statistics of all sessions.
    System,
    /// `set_config`.
    SetConfig,
    /// `nextval`, `setval`: writes the sequence that it names.
    Sequence,
    /// Runs SQL from a text, or reads a relation named in one.
    Dynamic,
    /// Reads the partition keys above a relation: their constant parts are worked out for it, and bounds are compared with the
    /// functions of their operator classes.
    PartitionKeys,
    /// Nobody has looked at it.
    Unknown,
}

/// Volatile and harmless.
const SAFE: &[&str] = &[
    "amvalidate",
    "bernoulli",
    "system",
    "brinhandler",
    "bthandler",
    "ginhandler",
    "gisthandler",
    "hashhandler",
    "spghandler",
    "heap_tableam_handler",
    "clock_timestamp",
    "timeofday",
    "current_query",
    "currtid2",
    "currval",
    "lastval",
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "dsnowball_init",
    "dsnowball_lexize",
    "pg_blocking_pids",
    "pg_safe_snapshot_blocking_pids",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_control_checkpoint",
    "pg_control_init",
    "pg_control_recovery",
    "pg_control_system",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_size",
    "pg_get_backend_memory_contexts",
    "pg_get_multixact_members",
    "pg_get_multixact_stats",
    "pg_get_shmem_allocations",
    "pg_get_shmem_allocations_numa",
    "pg_get_wal_replay_pause_state",
    "pg_get_wal_resource_managers",
    "pg_get_wal_summarizer_state",
    "pg_get_loaded_modules",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_in_backup",
    "pg_backup_start_time",
    "pg_is_wal_replay_paused",
    "pg_isolation_test_session_is_blocked",
    "pg_jit_available",
    "pg_numa_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_partition_root",
    "pg_prepared_xact",
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_tablespace_size",
    "pg_replication_origin_progress",
    "pg_replication_origin_session_is_setup",
    "pg_replication_origin_session_progress",
    "pg_sequence_last_value",
    "pg_show_replication_origin_status",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_stat_clear_snapshot",
    "pg_stat_have_stats",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "txid_status",
    "plpgsql_call_handler",
    "plpgsql_inline_handler",
    "xmlvalidate",
    "pg_get_aios",
    "txid_current",
    "pg_current_xact_id",
    "pg_get_replication_slots",
    "pg_show_all_settings",
    "pg_filenode_relation",
    "icu_unicode_version",
    "unicode_version",
    "pg_column_toast_chunk_id",
    "pg_stat_get_snapshot_timestamp",
];

const WRITE: &[&str] = &[
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "pg_notify",
    "pg_logical_emit_message",
    "brin_desummarize_range",
    "brin_summarize_new_values",
    "brin_summarize_range",
    "gin_clean_pending_list",
    "pg_nextoid",
    "pg_restore_relation_stats",
    "pg_clear_relation_stats",
    "pg_restore_attribute_stats",
    "pg_clear_attribute_stats",
];

const DEFINE: &[&str] =
    &["pg_import_system_collations", "pg_extension_config_dump", "pg_stop_making_pinned_objects"];

const SESSION: &[&str] = &[
    "setseed",
    "pg_export_snapshot",
    "lo_close",
    "pg_stat_force_next_flush",
    "pg_replication_origin_xact_reset",
];

const LARGE_OBJECT: &[&str] =
    &["lo_get", "loread", "lo_open", "lo_lseek", "lo_lseek64", "lo_tell", "lo_tell64"];

const SYSTEM: &[&str] = &[
    "lo_export",
    "lo_import",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_rotate_logfile_old",
    "pg_log_backend_memory_contexts",
    "pg_get_process_memory_contexts",
    "pg_switch_wal",
    "pg_create_restore_point",
    "pg_promote",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "pg_stat_file",
    "pg_current_logfile",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_show_all_file_settings",
    "pg_sync_replication_slots",
    "pg_replication_slot_advance",
    "pg_drop_replication_slot",
    "pg_stat_get_recovery_prefetch",
    "pg_available_wal_summaries",
    "pg_wal_summary_contents",
    "pg_log_standby_snapshot",
];

const DYNAMIC: &[&str] = &[
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "ts_stat",
    "pg_input_is_valid",
    "pg_input_error_info",
    // They read the body of a function that they are told by its oid: a constant in it is made by the checks of its type.
    "fmgr_c_validator",
    "fmgr_internal_validator",
    "fmgr_sql_validator",
    "plpgsql_validator",
    // It runs the hash functions of a table that it is told by its oid.
    "satisfies_hash_partition",
    // They read a value of a type that they are told by its oid: a domain's checks run, a range's functions.
    "array_in",
    "domain_in",
    "multirange_in",
    "range_in",
    "record_in",
];

/// Functions whose volatility does not tell what they do, and all volatile ones.
pub(super) fn class(name: &str, volatility: u8, arguments: usize) -> Class {
    match name {
        "set_config" => return Class::SetConfig,
        "nextval" | "setval" => return Class::Sequence,
        "pg_get_partition_constraintdef" => return Class::PartitionKeys,
        // With two arguments the second is a query's text.
        "ts_rewrite" => return if arguments == 2 { Class::Dynamic } else { Class::Safe },
        _ => {}
    }
    let starts = |prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
    if volatility != b'v' {
        return if DYNAMIC.contains(&name) { Class::Dynamic } else { Class::Safe };
    }
    let lists: [(&[&str], Class); 7] = [
        (SAFE, Class::Safe),
        (WRITE, Class::Write),
        (DEFINE, Class::Define),
        (SESSION, Class::Session),
        (LARGE_OBJECT, Class::LargeObject),
        (SYSTEM, Class::System),
        (DYNAMIC, Class::Dynamic),
    ];
    if let Some((_, class)) = lists.iter().find(|(list, _)| list.contains(&name)) {
        return *class;
    }
    if name.starts_with("pg_advisory_unlock") {
        return Class::Session;
    }
    if starts(&["pg_advisory_", "pg_try_advisory_"]) {
        return Class::Lock;
    }
    if starts(&[
        "pg_ls_",
        "pg_read_",
        "pg_stat_reset",
        "pg_replication_origin_",
        "pg_create_",
        "pg_copy_",
        "pg_logical_slot_",
        "binary_upgrade_",
    ]) {
        return Class::System;
    }
    if starts(&["pg_stat_get_"]) { Class::Safe } else { Class::Unknown }
}

/// Extensions whose functions in C only compute.
const COMPUTING: &[&str] = &[
    "citext",
    "hstore",
    "pg_trgm",
    "ltree",
    "uuid-ossp",
    "pgcrypto",
    "intarray",
    "fuzzystrmatch",
    "unaccent",
    "cube",
    "earthdistance",
    "btree_gin",
    "btree_gist",
    "seg",
    "isn",
    "vector",
    "tsm_system_rows",
    "tsm_system_time",
    "dict_int",
    "dict_xsyn",
    "intagg",
    "sslinfo",
    "bloom",
    "moddatetime",
    "insert_username",
    "tablefunc",
    "xml2",
    "rum",
    "pg_bigm",
    "hstore_plperl",
    "ip4r",
    "semver",
    "prefix",
    "roaringbitmap",
    "hll",
    "postgis",
    "pg_stat_statements",
];

/// What a function in C of this extension does.
pub(super) fn of_extension(extension: &str, name: &str, volatility: u8) -> Class {
    match (extension, name) {
        (
            "dblink",
            "dblink_connect" | "dblink_disconnect" | "dblink_get_connections" | "dblink_cancel_query",
        ) => Class::System,
        ("dblink", _) => Class::Dynamic,
        ("tablefunc", "normal_rand") => Class::Safe,
        ("tablefunc", _) | ("xml2", "xpath_table") => Class::Dynamic,
        ("pg_trgm", "set_limit") | ("isn", "isn_weak") => Class::Session,
        ("pg_stat_statements", "pg_stat_statements_reset") => Class::System,
        ("pgcrypto" | "uuid-ossp" | "tsm_system_rows" | "tsm_system_time", _) => Class::Safe,
        ("moddatetime" | "insert_username", _) => Class::Safe,
        ("postgis", _) if volatility == b'v' => Class::Unknown,
        ("autoinc", _) => Class::Write,
        (
            "adminpack" | "pageinspect" | "pg_prewarm" | "pg_surgery" | "pg_walinspect" | "pgstattuple"
            | "pg_buffercache" | "pg_freespacemap" | "pg_visibility" | "amcheck" | "old_snapshot"
            | "pgrowlocks" | "postgres_fdw" | "file_fdw",
            _,
        ) => Class::System,
        _ if COMPUTING.contains(&extension) => Class::Safe,
        _ => Class::Unknown,
    }
}

/// Functions whose result tells nothing of their arguments' values.
pub(super) fn tells_nothing(name: &str) -> bool {
    matches!(name, "count" | "regr_count" | "row_number" | "pg_typeof" | "pg_collation_for")
}

/// Functions that count their arguments: their result tells nothing, unless the arguments come in an array (VARIADIC), whose
/// length may be a value.
pub(super) fn counts_arguments(name: &str) -> bool {
    matches!(name, "num_nulls" | "num_nonnulls")
}

/// Functions of an array's shape. It tells nothing of what a column holds, but one that an expression has made may have a
/// value for a bound (`array_fill`).
pub(super) fn tells_shape(name: &str) -> bool {
    matches!(
        name,
        "array_ndims"
            | "array_length"
            | "cardinality"
            | "array_lower"
            | "array_upper"
            | "generate_subscripts"
    )
}

/// Functions whose result is a value that they are given, a part of it, several in one, or the same written another way.
#[rustfmt::skip]
const HANDING_ON: &[&str] = &[
    "any_value", "array_agg", "array_append", "array_cat", "array_fill", "array_prepend", "array_remove",
    "array_replace", "array_reverse", "array_sample", "array_shuffle", "array_sort", "array_to_json",
    "array_to_string", "bpchar", "btrim", "concat", "concat_ws", "convert_from", "convert_to", "date",
    "date_trunc", "decode", "encode", "first_value", "format", "host", "initcap", "int4", "int8",
    "json_object", "json_strip_nulls", "jsonb_insert", "jsonb_object", "jsonb_pretty", "jsonb_set",
    "jsonb_strip_nulls", "lag", "last_value", "lead", "left", "lower", "lpad", "ltrim", "max", "min",
    "mode", "normalize", "nth_value", "numeric", "overlay", "percentile_disc", "quote_ident",
    "quote_literal", "quote_nullable", "regexp_match", "regexp_matches", "regexp_replace",
    "regexp_split_to_array", "regexp_split_to_table", "regexp_substr", "repeat", "replace", "reverse",
    "right", "rpad", "rtrim", "split_part", "string_agg", "string_to_array", "string_to_table", "substr",
    "substring", "text", "textcat", "timestamp", "timestamptz", "timezone", "to_char", "to_date",
    "to_number", "to_timestamp", "translate", "trim_array", "unaccent", "unnest", "upper", "varchar",
];

/// Whether it is one of them.
pub(super) fn hands_on(name: &str) -> bool {
    HANDING_ON.binary_search(&name).is_ok()
}

/// Functions that take a document apart: what they give of one that the statement has made is what it has put in.
pub(super) fn takes_apart(name: &str) -> bool {
    matches!(
        name,
        "json_array_elements"
            | "json_array_elements_text"
            | "jsonb_array_elements"
            | "jsonb_array_elements_text"
            | "json_each"
            | "json_each_text"
            | "jsonb_each"
            | "jsonb_each_text"
            | "json_extract_path"
            | "json_extract_path_text"
            | "jsonb_extract_path"
            | "jsonb_extract_path_text"
            | "jsonb_path_query"
            | "jsonb_path_query_array"
            | "jsonb_path_query_first"
            | "avals"
            | "each"
            | "svals"
    )
}

/// Functions that give each part of a list or document a row, and nothing else.
pub(super) fn enumerates(name: &str) -> bool {
    let takes_a_path = name.contains("_path");
    matches!(name, "unnest" | "generate_subscripts" | "json_object_keys" | "jsonb_object_keys" | "skeys")
        || (takes_apart(name) && !takes_a_path)
}

/// Types of days: `date`, `timestamp`, `timestamptz`.
pub(super) fn is_day(type_oid: u32) -> bool {
    matches!(type_oid, 1082 | 1114 | 1184)
}

/// Functions of PostgreSQL's own whose bodies are SQL and cast what they are given to a text.
pub(super) fn casts_to_text(name: &str) -> bool {
    matches!(name, "textanycat" | "anytextcat" | "quote_literal" | "quote_nullable")
}

/// Functions that cast what they are given to json, where there is such a cast: those that aggregates are made of, too.
pub(super) fn casts_to_json(name: &str) -> bool {
    let aggregate = || name.contains("_agg_") && name.ends_with("transfn");
    makes_document(name) || (name.starts_with("json") && aggregate())
}

/// Functions that put several values, or a row, into one document or array.
pub(super) fn makes_document(name: &str) -> bool {
    matches!(
        name,
        "to_json"
            | "to_jsonb"
            | "row_to_json"
            | "array_to_json"
            | "json_build_object"
            | "jsonb_build_object"
            | "json_build_array"
            | "jsonb_build_array"
            | "json_agg"
            | "jsonb_agg"
            | "json_object_agg"
            | "jsonb_object_agg"
            | "json_agg_strict"
            | "jsonb_agg_strict"
            | "json_object_agg_strict"
            | "jsonb_object_agg_strict"
            | "json_object_agg_unique"
            | "jsonb_object_agg_unique"
            | "json_object_agg_unique_strict"
            | "jsonb_object_agg_unique_strict"
            | "hstore"
            | "to_tsvector"
    )
}

/// Columns of the system catalogs that hold values of other tables' rows.
pub(super) fn holds_values(relation: &str, column: &str) -> bool {
    match relation {
        "pg_stats" => matches!(
            column,
            "most_common_vals"
                | "histogram_bounds"
                | "most_common_elems"
                | "range_bounds_histogram"
                | "range_length_histogram"
        ),
        "pg_stats_ext" | "pg_stats_ext_exprs" => {
            matches!(column, "most_common_vals" | "histogram_bounds" | "most_common_elems")
        }
        "pg_statistic" => column.starts_with("stavalues"),
        "pg_statistic_ext_data" => matches!(column, "stxdmcv" | "stxdexpr"),
        "pg_largeobject" => column == "data",
        "pg_attribute" => column == "attmissingval",
        _ => false,
    }
}

/// Catalogs that a system view reads values from.
pub(super) fn behind(view: &str) -> &'static [&'static str] {
    match view {
        "pg_stats" => &["pg_statistic"],
        "pg_stats_ext" | "pg_stats_ext_exprs" => &["pg_statistic_ext_data"],
        "pg_shadow" => &["pg_authid"],
        "pg_user_mappings" => &["pg_user_mapping"],
        _ => &[],
    }
}

/// System views that read files of the server.
pub(super) fn reads_files(view: &str) -> bool {
    matches!(view, "pg_hba_file_rules" | "pg_ident_file_mappings" | "pg_file_settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hands_on_is_in_order() {
        assert!(HANDING_ON.is_sorted());
        assert!(hands_on("array_agg") && hands_on("upper") && !hands_on("length"));
    }
}
