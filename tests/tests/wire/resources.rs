//! Threads, sockets.
