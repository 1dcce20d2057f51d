//! Data threads, the control thread, signals.
