//! The rules of a meeting, and nothing else: no clock, no randomness, no I/O, no hash maps.
//!
//! A meeting is one aggregate with one log. [`turn::execute`] takes the state, an input and the
//! present moment, and answers with what happened, in order; [`apply`] folds one event into the
//! state and cannot fail. Replaying the log through `apply` gives the same state again, on any
//! node, under any later version of this code. `SPEC.md` lists the rules by id; tests cite them.

pub mod apply;
pub mod breakout;
pub mod caption;
pub mod command;
pub mod deadlines;
pub mod decide;
pub mod effect;
pub mod event;
pub mod ids;
pub mod limits;
pub mod poll;
pub mod question;
pub mod recording;
pub mod redact;
pub mod rejection;
pub mod rights;
pub mod shapes;
pub mod state;
pub mod turn;
pub mod veil;
pub mod whiteboard;

pub use command::{By, Command, Input};
pub use effect::{CloseCode, Effect, Output};
pub use event::{Audience, Cause, Event, Recorded};
pub use ids::*;
pub use limits::Limits;
pub use rejection::{Code, Rejection};
pub use state::Meeting;
pub use turn::{Now, execute};
