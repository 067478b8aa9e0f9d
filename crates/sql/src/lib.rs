//! What an SQL statement does: its pieces, tag, effects, tables named, secrets in it.
