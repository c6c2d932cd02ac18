//! Exchanges: declared and deleted.

use super::{arguments, exchange, flag, holds, put, refused, visit};
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::protocol::client_method::ClientMethod;
use crate::vhost::Named;
use serde_json::Value;

/// `PUT /api/exchanges/{vhost}/{exchange}`: `type`, `durable`, `auto_delete`, `internal`, `arguments`.
pub(super) async fn declare(call: Call) -> Answer {
    let said = call.object()?;
    let exchange = exchange(&call, "exchange")?;
    let kind = match said.get("type") {
        None => "direct",
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(ApiError::bad("type is no text")),
    };
    let declare = ClientMethod::ExchangeDeclare {
        exchange,
        kind,
        passive: false,
        durable: flag(&said, "durable")?,
        auto_delete: flag(&said, "auto_delete")?,
        internal: flag(&said, "internal")?,
        nowait: false,
        arguments: arguments(&said)?,
    };
    let is_new = !holds(&call, Named::Exchange(exchange.into())).await?;
    visit(&call).await?.ask(declare).await.map_err(refused)?;
    put(is_new)
}

/// `DELETE /api/exchanges/{vhost}/{exchange}?if-unused=true`
pub(super) async fn delete(call: Call) -> Answer {
    let exchange = exchange(&call, "exchange")?;
    if !holds(&call, Named::Exchange(exchange.into())).await? {
        return Err(ApiError::NotFound);
    }
    let delete =
        ClientMethod::ExchangeDelete { exchange, if_unused: call.query.is_true("if-unused"), nowait: false };
    visit(&call).await?.ask(delete).await.map_err(refused)?;
    Ok(Reply::no_content())
}
