//! A real client of Convoke, and the tools to check what it was given: used by the load tester's
//! scenarios, by the terminal client, and by the black-box tests.

pub mod board;
pub mod client;
pub mod rest;
pub mod server;
pub mod verify;
pub mod webhook;
