//! The contracts: each method checks, calls and converts. Only here generated code is known.

mod convert;
mod inference;
mod kserve;
mod listing;
mod writing;

pub use inference::Inference;
pub use kserve::KServe;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use uait_kit::Call;

use crate::error::Error;
use crate::models::Hold;

fn current() -> Arc<Call> {
    Call::current().unwrap_or_default()
}

/// Runs work that computes on a thread for it. It is told when nobody waits for it any more.
async fn compute<T, W>(work: W) -> Result<T, Error>
where
    T: Send + 'static,
    W: FnOnce(&dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
{
    /// Says so when it is dropped, which a cancelled handler is.
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let gone = Gone(Arc::default());
    let asked = gone.0.clone();
    tokio::task::spawn_blocking(move || work(&|| asked.load(Relaxed)))
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
}

/// Runs work that computes with a held model; the hold lasts as long as the work, even where its call is over before.
async fn compute_with<T, W>(hold: Hold, work: W) -> Result<(Hold, T), Error>
where
    T: Send + 'static,
    W: FnOnce(&Hold, &dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
{
    compute(move |gone| {
        let done = work(&hold, gone)?;
        Ok((hold, done))
    })
    .await
}
