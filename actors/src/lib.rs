//! The supervised actors of a node. They know the rules (`convoke-domain`) and the ports, never an
//! adapter; the server wires the two together.

pub mod frame;
pub mod hub;
pub mod journal;
pub mod meeting;
pub mod node;
pub mod outlet;
pub mod parse;
pub mod ports;
pub mod release;
pub mod restart;
pub mod room;
pub mod routing;
pub mod session;
pub mod steady;
pub mod supervisor;
pub mod whiteboard;
