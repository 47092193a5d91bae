//! The content that is built into agent and controller: `shared/content/*.yaml`.
