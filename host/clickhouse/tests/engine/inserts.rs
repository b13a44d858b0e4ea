//! What an insert leaves behind, and what it does not.
