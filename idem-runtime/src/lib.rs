//! Effectively-once message handlers on sqlx and tokio.
