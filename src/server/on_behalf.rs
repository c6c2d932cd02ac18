//! For whom work is done that came by HTTP: whoever changes something on the way asks here, so that the audit log, the event
//! exchange and traces can say whose change it was and where it came from. What nobody is named for is the command line's.

use crate::vhost::input::Operator;
use std::future::Future;
use tokio::task_local;

task_local! {
    static OPERATOR: Operator;
}

/// Does work on behalf of an operator; what it leaves to other tasks is nobody's.
pub(super) async fn on_behalf_of<T>(operator: Operator, work: impl Future<Output = T>) -> T {
    OPERATOR.scope(operator, work).await
}

/// Whose work this is.
pub(super) fn operator() -> Operator {
    OPERATOR.try_with(Clone::clone).unwrap_or_default()
}
