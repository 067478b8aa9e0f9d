//! Bytes to frames and back, one folder per protocol. Sans-IO; knows nothing of the rest of the workspace.
