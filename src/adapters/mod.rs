//! The adapters: what the actors' ports are made of in a real node.

pub mod budgets;
pub mod bus;
pub mod clock;
pub mod media;
pub mod store;
