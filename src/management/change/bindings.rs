//! Bindings: made, and removed by the key that tells those between the same ends apart.

use super::{arguments, ask, exchange, name, no_vhost, refused, visit};
use crate::channel::short_string;
use crate::definitions::DestinationKind;
use crate::management::answer::{Answer, ApiError, Reply};
use crate::management::call::Call;
use crate::management::properties_key::{form_encoded, is_key_of, properties_key};
use crate::protocol::client_method::ClientMethod;
use crate::protocol::table::Table;
use crate::vhost::input::{AdminCommand, AdminReply};
use serde_json::Value;

/// `POST /api/bindings/{vhost}/e/{source}/q/{destination}`: `routing_key`, `arguments`.
pub(super) async fn bind_queue(call: Call) -> Answer {
    bind(&call, DestinationKind::Queue).await
}

/// `POST /api/bindings/{vhost}/e/{source}/e/{destination}`
pub(super) async fn bind_exchange(call: Call) -> Answer {
    bind(&call, DestinationKind::Exchange).await
}

/// `DELETE /api/bindings/{vhost}/e/{source}/q/{destination}/{props}`
pub(super) async fn unbind_queue(call: Call) -> Answer {
    unbind(&call, DestinationKind::Queue).await
}

/// `DELETE /api/bindings/{vhost}/e/{source}/e/{destination}/{props}`
pub(super) async fn unbind_exchange(call: Call) -> Answer {
    unbind(&call, DestinationKind::Exchange).await
}

/// Answers where the binding is: its properties key, quoted once more because it is a segment of a path.
async fn bind(call: &Call, kind: DestinationKind) -> Answer {
    let said = call.object()?;
    let key = match said.get("routing_key") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(key)) => key.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(ApiError::bad("routing_key is no text")),
    };
    let arguments = arguments(&said)?;
    let location = {
        // A tilde means itself in a path.
        let segment = |text: &str| form_encoded(text).replace("%7E", "~");
        format!("{}/{}", segment(call.name("destination")), segment(&properties_key(&key, &arguments)))
    };
    let (source, destination) = (exchange(call, "source")?, name(call, "destination")?);
    let routing_key = short_string(&key).map_err(refused)?;
    let method = match kind {
        DestinationKind::Queue => ClientMethod::QueueBind {
            queue: destination,
            exchange: source,
            routing_key,
            nowait: false,
            arguments,
        },
        DestinationKind::Exchange => {
            ClientMethod::ExchangeBind { destination, source, routing_key, nowait: false, arguments }
        }
    };
    visit(call).await?.ask(method).await.map_err(refused)?;
    Ok(Reply::created_at(location))
}

async fn unbind(call: &Call, kind: DestinationKind) -> Answer {
    let (source, destination) = (exchange(call, "source")?, name(call, "destination")?);
    let wanted = call.name("props");
    let question =
        AdminCommand::BindingsBetween { source: source.into(), kind, destination: destination.into() };
    let AdminReply::Bindings(known) = ask(call, question).await? else { return Err(no_vhost(call.vhost())) };
    let found = known.into_iter().find(|known| is_key_of(wanted, &known.binding_key, &known.arguments));
    let found = found.ok_or(ApiError::NotFound)?;
    let (routing_key, arguments): (&str, Table) = (&found.binding_key, found.arguments.clone());
    let method = match kind {
        DestinationKind::Queue => {
            ClientMethod::QueueUnbind { queue: destination, exchange: source, routing_key, arguments }
        }
        DestinationKind::Exchange => {
            ClientMethod::ExchangeUnbind { destination, source, routing_key, nowait: false, arguments }
        }
    };
    visit(call).await?.ask(method).await.map_err(refused)?;
    Ok(Reply::no_content())
}
