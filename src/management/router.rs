//! From the table to a router: finds the route, lets the rules decide, reads the body within its bounds, and runs it.
//! In this order: 404 and 405, 403 for what pages of other sites send, 401, then 413, 415 and 408.

use super::Management;
use super::access::{Caller, Rule};
use super::answer::{ApiError, respond};
use super::api::session;
use super::call::{Call, Query};
use super::sessions::is_session_token;
use super::table::{Route, table};
use crate::limits::{HTTP_BODY_MS, HTTP_PARAMETERS_MAX};
use crate::server::{HttpClient, HttpSpan};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query as AxumQuery, RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The router of everything in the table.
pub(super) fn router(management: &Arc<Management>) -> Router {
    let mut by_path: BTreeMap<&'static str, Vec<Route>> = BTreeMap::new();
    for route in table() {
        by_path.entry(route.path).or_default().push(route);
    }
    let mut router = Router::new();
    for (path, routes) in by_path {
        let (here, management) = (Arc::new(routes), Arc::clone(management));
        let answer = any(move |names: Result<RawPathParams, _>, request: Request| {
            let (here, management) = (Arc::clone(&here), Arc::clone(&management));
            async move {
                // A name that is no text is no name of anything.
                let Ok(names) = names else { return ApiError::NotFound.into_response() };
                let names = names.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                answer(management, &here, names, request).await
            }
        });
        router = router.route(path, answer.clone()).route(&format!("{path}/"), answer);
    }
    router.fallback(|| async { ApiError::NotFound.into_response() })
}

async fn answer(
    management: Arc<Management>,
    routes: &[Route],
    names: Vec<(String, String)>,
    request: Request,
) -> Response<Body> {
    let method = if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
    if *method == Method::OPTIONS {
        let mut response = respond(StatusCode::OK, None, Body::empty());
        if let Ok(allowed) = HeaderValue::try_from(allowed(routes)) {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        return response;
    }
    let Some(route) = routes.iter().find(|route| route.method == *method) else {
        return ApiError::MethodNotAllowed(allowed(routes)).into_response();
    };
    let mut span = trace(&management, route, &request);
    let response = match run(management, route, names, request, span.as_mut()).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    if let Some(span) = span {
        span.ends(response.status().as_u16());
    }
    response
}

/// The span of a request, if requests are traced.
fn trace(management: &Management, route: &Route, request: &Request) -> Option<HttpSpan> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let client = request.extensions().get::<HttpClient>();
    management.broker.trace_request(request.method().as_str(), route.path, client, header)
}

fn allowed(routes: &[Route]) -> String {
    let mut methods = vec!["OPTIONS"];
    for route in routes {
        if route.method == Method::GET {
            methods.push("HEAD");
        }
        methods.push(route.method.as_str());
    }
    methods.join(", ")
}

async fn run(
    management: Arc<Management>,
    route: &Route,
    names: Vec<(String, String)>,
    request: Request,
    span: Option<&mut HttpSpan>,
) -> Result<Response<Body>, ApiError> {
    let (parts, body) = request.into_parts();
    if route.method != Method::GET && is_cross_site(&parts.headers) {
        return Err(ApiError::CrossSite);
    }
    let caller = match route.rule {
        Rule::Anyone => Caller::new("".into(), management.broker.accounts()),
        _ => log_in(&management, &parts.headers, parts.extensions.get::<HttpClient>()).await?,
    };
    if let Some(span) = span {
        span.user(&caller.user);
    }
    let query = query(&parts.uri)?;
    let peer = parts.extensions.get::<HttpClient>().copied();
    let mut call = Call { management, caller, peer, names, query, headers: parts.headers, body: Vec::new() };
    // Nobody without a tag shall learn which vhosts there are.
    if route.rule != Rule::Anyone {
        Rule::Management.check(&call.caller, "")?;
    }
    if route.rule.wants_vhost() && !call.management.broker.has_vhost(call.vhost()) {
        return Err(ApiError::NotFound);
    }
    route.rule.check(&call.caller, call.vhost())?;
    if route.method != Method::GET {
        call.body = read_body(&call.headers, body, route.body_bytes_max).await?;
    }
    let (management, user) = (Arc::clone(&call.management), Arc::clone(&call.caller.user));
    let (peer, work) = (call.peer, (route.run)(call));
    let answer = management.broker.on_behalf_of(&user, peer.as_ref(), work).await;
    answer.map(super::answer::Reply::into_response)
}

/// Whether a page of another site made a browser send this. Programs send neither header; a browser sends what no page can
/// change or leave out: `Sec-Fetch-Site`, or, if it is old, `Origin` alone. A proxy in between may have changed `Host`.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some("same-origin" | "none") => return false,
        Some(_) => return true,
        None => {}
    }
    let Some(origin) = text("origin") else { return false };
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    text("host").is_none_or(|ours| !ours.eq_ignore_ascii_case(host))
}

/// The user of the request. The one place of the HTTP side that checks passwords.
async fn log_in(
    management: &Management,
    headers: &HeaderMap,
    peer: Option<&HttpClient>,
) -> Result<Caller, ApiError> {
    let given = headers.get(header::AUTHORIZATION).ok_or(ApiError::Unauthenticated(None))?;
    let refused = || ApiError::Unauthenticated(Some("Login failed"));
    if let Some(token) = session_token(headers) {
        let user = session::user(management, token).ok_or_else(refused)?;
        return Ok(Caller::new(user, management.broker.accounts()));
    }
    let peer = peer.ok_or_else(refused)?;
    let bearer = given.to_str().ok().and_then(|given| given.strip_prefix("Bearer "));
    if let Some(token) = bearer {
        let logged_in = management.broker.log_in(String::new(), token.to_owned(), *peer).await;
        let logged_in = logged_in.ok_or_else(refused)?;
        return Ok(Caller::new(Arc::clone(&logged_in.user), management.broker.accounts_of(&logged_in)));
    }
    let (user, password) = given.to_str().ok().and_then(basic).ok_or_else(refused)?;
    let logged_in = management.broker.log_in(user, password, *peer).await.ok_or_else(refused)?;
    Ok(Caller::new(Arc::clone(&logged_in.user), management.broker.accounts_of(&logged_in)))
}

/// The token of a session of the page: `Bearer ledgermq_…`.
pub(super) fn session_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && is_session_token(token)).then_some(token)
}

/// User and password of `Basic …`.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn query(uri: &Uri) -> Result<Query, ApiError> {
    let AxumQuery(pairs) = AxumQuery::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| ApiError::bad("the query is malformed"))?;
    if pairs.len() > HTTP_PARAMETERS_MAX {
        return Err(ApiError::bad(format!("a query has at most {HTTP_PARAMETERS_MAX} parameters")));
    }
    Ok(Query::new(pairs))
}

/// The whole body: counted as it comes, whatever is announced.
async fn read_body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Err(ApiError::Unsupported("compressed bodies are not accepted"));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > bytes_max as u64) {
        return Err(ApiError::TooLarge(bytes_max));
    }
    match timeout(Duration::from_millis(HTTP_BODY_MS), axum::body::to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        // The bound, or a client that is gone and hears nothing.
        Ok(Err(_)) => Err(ApiError::TooLarge(bytes_max)),
        Err(_) => Err(ApiError::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_basic() {
        let encoded = |text: &str| format!("basic {}", STANDARD.encode(text));
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(basic(&encoded("guest:a:b")), pair("guest", "a:b"), "passwords may hold colons");
        assert_eq!(basic(&encoded("guest:")), pair("guest", ""));
        for wrong in ["Bearer x", "Basic", "Basic !!", &*encoded("guest"), ""] {
            assert_eq!(basic(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_pages_of_other_sites_send_is_told_by_its_headers() {
        let check = |pairs: &[(&'static str, &'static str)], expected| {
            let pairs = pairs.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let headers: HeaderMap = pairs.collect();
            assert_eq!(is_cross_site(&headers), expected, "{headers:?}");
        };
        check(&[("host", "broker:15672")], false);
        check(&[("host", "broker:15672"), ("origin", "http://broker:15672")], false);
        check(&[("host", "broker:15672"), ("origin", "http://evil")], true);
        check(&[("host", "broker:15672"), ("origin", "null")], true);
        check(&[("host", "broker:15672"), ("sec-fetch-site", "same-origin")], false);
        // Behind a proxy that names the broker by another name.
        check(
            &[("host", "upstream"), ("origin", "https://broker"), ("sec-fetch-site", "same-origin")],
            false,
        );
        check(&[("host", "broker:15672"), ("sec-fetch-site", "cross-site")], true);
        check(&[("host", "broker:15672"), ("sec-fetch-site", "same-site")], true);
    }

    #[test]
    fn no_two_routes_are_the_same_and_names_are_where_rules_need_them() {
        let table = table();
        for (at, route) in table.iter().enumerate() {
            let twin = table
                .iter()
                .skip(at + 1)
                .find(|other| other.path == route.path && other.method == route.method);
            assert!(twin.is_none(), "{} {} is there twice", route.method, route.path);
            assert_eq!(
                route.rule.wants_vhost(),
                route.rule.wants_vhost() && route.path.contains("{vhost}"),
                "{} has no vhost for its rule",
                route.path
            );
        }
    }
}
