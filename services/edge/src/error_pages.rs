//! One plain page for every error, naming the request id.
