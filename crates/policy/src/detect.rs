//! What a value is: validators, checksums, whole-cell anchoring, priors of column names.
