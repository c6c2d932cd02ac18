//! The description of the API in `OpenAPI`'s format, made from the table of routes. `x-rule` names what a route asks of the
//! one who calls it: see [`super::access::Rule`].

use super::answer::{Answer, Reply};
use super::call::Call;
use super::table::{Route, table};
use crate::management::access::Rule;
use serde_json::{Map, Value, json};

/// `GET /api/openapi.json`
pub(super) async fn describe(_: Call) -> Answer {
    Ok(Reply::json(&description(&table())))
}

fn description(table: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in table {
        let operations = paths.entry(route.path).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(operations) = operations {
            operations.insert(route.method.as_str().to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "LedgerMQ management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Compatible with RabbitMQ's. Names in paths are one percent-encoded segment: the vhost / is %2F.",
        },
        "security": [{"basic": []}],
        "paths": paths,
        "components": {"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
    })
}

fn operation(route: &Route) -> Value {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    let mut operation = json!({
        "summary": route.about,
        "parameters": parameters,
        "responses": {"default": {"description": "JSON; errors have the fields error and reason"}},
        "x-rule": route.rule.name(),
    });
    if let Value::Object(fields) = &mut operation {
        if route.rule == Rule::Anyone {
            fields.insert("security".to_owned(), json!([]));
        }
        if route.body_bytes_max > 0 && route.method != "GET" {
            fields.insert("requestBody".to_owned(), json!({"content": {"application/json": {}}}));
            fields.insert("x-body-bytes-max".to_owned(), json!(route.body_bytes_max));
        }
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let table = table();
        let description = description(&table);
        for route in &table {
            let operation = &description["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
            assert_eq!(operation["x-rule"], route.rule.name(), "{}", route.path);
            assert!(route.about.len() > 5, "{} has a sentence", route.path);
        }
        let whoami = &description["paths"]["/api/whoami"]["get"];
        assert_eq!(whoami["parameters"], json!([]));
        assert_eq!(description["paths"]["/api/auth"]["get"]["security"], json!([]));
    }
}
