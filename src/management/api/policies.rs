//! Policies of users and of operators, and the parameters there are: limits of vhosts, and the cluster's name.

use super::accounts::limits_value;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::listing::{Row, bare_rows, one, row};
use crate::server::CLUSTER_NAME;
use crate::vhost::PolicyLayer;
use crate::vhost::report::PolicyReport;
use crate::vhost::views::{Look, Seen};
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /api/policies`
pub(in crate::management) async fn policies(call: Call) -> Answer {
    list(&call, &call.visible_vhosts(), PolicyLayer::User).await
}

/// `GET /api/policies/{vhost}`
pub(in crate::management) async fn policies_in(call: Call) -> Answer {
    list(&call, &[call.vhost().into()], PolicyLayer::User).await
}

/// `GET /api/policies/{vhost}/{policy}`
pub(in crate::management) async fn policy(call: Call) -> Answer {
    find(&call, PolicyLayer::User).await
}

/// `GET /api/operator-policies`
pub(in crate::management) async fn operator_policies(call: Call) -> Answer {
    list(&call, &call.visible_vhosts(), PolicyLayer::Operator).await
}

/// `GET /api/operator-policies/{vhost}`
pub(in crate::management) async fn operator_policies_in(call: Call) -> Answer {
    list(&call, &[call.vhost().into()], PolicyLayer::Operator).await
}

/// `GET /api/operator-policies/{vhost}/{policy}`
pub(in crate::management) async fn operator_policy(call: Call) -> Answer {
    find(&call, PolicyLayer::Operator).await
}

async fn list(call: &Call, vhosts: &[Arc<str>], layer: PolicyLayer) -> Answer {
    let mut rows = Vec::new();
    for vhost in vhosts {
        rows.extend(of(call, vhost, layer).await.iter().map(|policy| policy_row(vhost, policy)));
    }
    bare_rows(&call.query, rows).await
}

async fn find(call: &Call, layer: PolicyLayer) -> Answer {
    let all = of(call, call.vhost(), layer).await;
    let found = all.iter().find(|policy| policy.name == call.name("policy")).ok_or(ApiError::NotFound)?;
    Ok(one(&call.query, policy_row(call.vhost(), found)))
}

async fn of(call: &Call, vhost: &str, layer: PolicyLayer) -> Vec<PolicyReport> {
    match call.management.broker.look(vhost, Look::Policies(layer)).await {
        Some(Seen::Policies(policies)) => policies,
        _ => Vec::new(),
    }
}

fn policy_row(vhost: &str, policy: &PolicyReport) -> Row {
    let definition: Value = serde_json::from_str(&policy.definition).unwrap_or_else(|_| json!({}));
    row([
        ("vhost", json!(vhost)),
        ("name", json!(policy.name)),
        ("pattern", json!(policy.pattern)),
        ("apply-to", json!(policy.apply_to)),
        ("definition", definition),
        ("priority", json!(policy.priority)),
    ])
}

/// The one component there is, and the one name it has.
const VHOST_LIMITS: (&str, &str) = ("vhost-limits", "limits");

/// `GET /api/parameters`
pub(in crate::management) async fn parameters(call: Call) -> Answer {
    bare_rows(&call.query, parameter_rows(&call)).await
}

/// `GET /api/parameters/{component}`
pub(in crate::management) async fn parameters_of(call: Call) -> Answer {
    let is_known = call.name("component") == VHOST_LIMITS.0;
    bare_rows(&call.query, if is_known { parameter_rows(&call) } else { Vec::new() }).await
}

/// `GET /api/parameters/{component}/{vhost}`
pub(in crate::management) async fn parameters_of_in(call: Call) -> Answer {
    let is_known = call.name("component") == VHOST_LIMITS.0;
    let mut rows = if is_known { parameter_rows(&call) } else { Vec::new() };
    rows.retain(|row| row.get("vhost") == Some(&json!(call.vhost())));
    bare_rows(&call.query, rows).await
}

/// `GET /api/parameters/{component}/{vhost}/{parameter}`
pub(in crate::management) async fn parameter(call: Call) -> Answer {
    let is_known = (call.name("component"), call.name("parameter")) == VHOST_LIMITS;
    let rows = if is_known { parameter_rows(&call) } else { Vec::new() };
    let found = rows.into_iter().find(|row| row.get("vhost") == Some(&json!(call.vhost())));
    Ok(one(&call.query, found.ok_or(ApiError::NotFound)?))
}

fn parameter_rows(call: &Call) -> Vec<Row> {
    let all = call.management.broker.about_vhosts();
    let limited = all.iter().filter(|(name, about)| call.caller.sees(name) && !about.limits.is_empty());
    let rows = limited.map(|(name, about)| {
        row([
            ("vhost", json!(&**name)),
            ("component", json!(VHOST_LIMITS.0)),
            ("name", json!(VHOST_LIMITS.1)),
            ("value", limits_value(&about.limits)),
        ])
    });
    rows.collect()
}

/// `GET /api/global-parameters`
pub(in crate::management) async fn global_parameters(call: Call) -> Answer {
    bare_rows(&call.query, global_rows(&call)).await
}

/// `GET /api/global-parameters/{parameter}`
pub(in crate::management) async fn global_parameter(call: Call) -> Answer {
    let name = json!(call.name("parameter"));
    let found = global_rows(&call).into_iter().find(|row| row.get("name") == Some(&name));
    Ok(one(&call.query, found.ok_or(ApiError::NotFound)?))
}

/// What operators set; the name of the cluster is there though nobody set it.
fn global_rows(call: &Call) -> Vec<Row> {
    let broker = &call.management.broker;
    let mut all = broker.global_parameters();
    if !all.iter().any(|(name, _)| name == CLUSTER_NAME) {
        all.push((CLUSTER_NAME.to_owned(), json!(broker.cluster_name())));
    }
    all.into_iter().map(|(name, value)| row([("name", json!(name)), ("value", value)])).collect()
}
