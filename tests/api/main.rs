//! Endpoints over HTTP: what they answer, and what they refuse.
