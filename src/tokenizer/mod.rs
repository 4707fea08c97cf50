//! Text to ids, and chat templates.
