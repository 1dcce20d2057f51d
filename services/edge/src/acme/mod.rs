//! The ACME certificate manager. Its owner (`certs`) fills this module.
