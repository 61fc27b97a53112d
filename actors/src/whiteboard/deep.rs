//! Work on a document that may be nested deeply runs where the stack is deep: the document follows types
//! within types by calling itself, and a stack that ends takes the whole process with it. The memory is taken
//! only as far as it is touched.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// Room for as many types within types as a board may hold, with a margin; a test fills it.
const STACK: usize = 512 << 20;

/// Boards that are worked on at once, wherever that holds nobody up: each may take some hundred megabytes.
const AT_ONCE: usize = 2;
static ROOM: Semaphore = Semaphore::const_new(AT_ONCE);

/// The work panicked, or there was no thread for it. What it worked on is not to be trusted any more.
#[derive(Debug, thiserror::Error)]
#[error("work on a board broke off: {0}")]
pub struct Broken(pub String);

fn broken(panic: &Box<dyn Any + Send>) -> Broken {
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    Broken(said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned()))
}

fn thread() -> std::thread::Builder {
    std::thread::Builder::new().name("board".to_owned()).stack_size(STACK)
}

/// Where long work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On a thread of its own, which holds nobody up.
    #[default]
    Aside,
    /// At once: where time is simulated, nothing may depend on how long it takes.
    Here,
}

/// Does long work, and waits for it without holding this thread up.
pub async fn run<T: Send + 'static>(place: Place, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    if place == Place::Here {
        return here(true, work);
    }
    let room = ROOM.acquire().await.map_err(|error| Broken(error.to_string()))?;
    aside(move || {
        // Kept until the work is done, also if nobody waits for it any more.
        let _room = room;
        work()
    })
    .await
}

/// As [`run`], with no more at once than a room of its own has places for.
pub async fn run_in<T: Send + 'static>(
    room: Arc<Semaphore>,
    place: Place,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Broken> {
    let room = room.acquire_owned().await.map_err(|error| Broken(error.to_string()))?;
    let work = move || {
        let _room = room;
        work()
    };
    match place {
        Place::Here => here(true, work),
        Place::Aside => aside(work).await,
    }
}

/// Does long work on a thread of its own. Whoever asks sees to it that not too much is done at once.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    let (sender, receiver) = oneshot::channel();
    let begun = thread().spawn(move || {
        // Whoever waited may have gone.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    });
    begun.map_err(|error| Broken(error.to_string()))?;
    let done = receiver.await.map_err(|_| Broken("the thread ended".to_owned()))?;
    done.map_err(|panic| broken(&panic))
}

/// Does it here; on a deep stack of its own where that may be needed.
pub fn here<T: Send>(is_deep: bool, work: impl FnOnce() -> T + Send) -> Result<T, Broken> {
    if !is_deep {
        return catch_unwind(AssertUnwindSafe(work)).map_err(|panic| broken(&panic));
    }
    std::thread::scope(|scope| {
        let begun = thread().spawn_scoped(scope, work).map_err(|error| Broken(error.to_string()))?;
        begun.join().map_err(|panic| broken(&panic))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::time::Duration;

    /// The work waits for something that is done on this thread meanwhile.
    #[tokio::test]
    async fn what_is_done_aside_holds_nobody_up() {
        let room = Arc::new(Semaphore::new(1));
        let (sender, receiver) = std::sync::mpsc::channel();
        let work = run_in(Arc::clone(&room), Place::Aside, move || receiver.recv_timeout(Duration::from_secs(20)));
        let meanwhile = async {
            assert_eq!(room.available_permits(), 0, "it has its place until it is done");
            sender.send(7).unwrap();
        };
        let (done, ()) = tokio::join!(work, meanwhile);
        assert_eq!((done.unwrap(), room.available_permits()), (Ok(7), 1));
    }
}
