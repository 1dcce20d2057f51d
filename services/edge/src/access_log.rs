//! One JSON line a request, written in per-thread batches.
