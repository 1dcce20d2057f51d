//! Forwarded, hop-by-hop and security headers.
