//! Static and media files.
