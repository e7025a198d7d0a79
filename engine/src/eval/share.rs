//! Items shared out among threads: one token of a small model keeps one core busy, not all.

use std::cell::RefCell;
use std::ops::ControlFlow;

use crate::error::Error;
use crate::model::ModelError;
use crate::training::TrainError;
use crate::training::workers::share_out;

/// Asked at every token whether to go on.
pub(super) type Flow<'a> = &'a dyn Fn() -> ControlFlow<()>;

/// What `work` makes of each item, in their order, a thread for each. A single item is worked on in this thread, and `flow` may
/// stop it at every token; several are stopped between chunks.
///
/// # Errors
/// The first that `work` reports, or a stop.
pub(super) fn shared<I: Sync, R: Send>(
    items: &[I],
    flow: &mut dyn FnMut() -> ControlFlow<()>,
    work: &(impl Fn(&I, Flow<'_>) -> Result<R, ModelError> + Sync),
) -> Result<Vec<R>, Error> {
    if let [item] = items {
        let flow = RefCell::new(flow);
        return Ok(vec![work(item, &|| (flow.borrow_mut())())?]);
    }
    let go_on = || ControlFlow::Continue(());
    let results = share_out(items.len(), items, &|| (), &|(), item| {
        Ok(work(item, &go_on)?)
    });
    results.map_err(|error| match error {
        TrainError::Model(error) => error.into(),
        other => other.into(),
    })
}
