//! What the admin port tells.
