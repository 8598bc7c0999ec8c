//! Pages as a person sees them, driven in a real browser.
