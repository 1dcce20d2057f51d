//! From http to https.
