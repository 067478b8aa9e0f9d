//! What the end-to-end tests share: a scratch PostgreSQL, the real binary, and readers of its record.
