//! The management page: the files of the folder `page`, as they were when the binary was built. They hold no data and no
//! secrets; all they show they ask of the API, as whoever logged in. Nothing is loaded from elsewhere.

use super::answer::respond;
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::routing::get;

/// Path, media type, bytes.
type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($media:expr, $path:literal) => {
        (concat!("/", $path), $media, include_str!(concat!("page/", $path)))
    };
}

const FILES: &[File] = &[
    ("/", HTML, include_str!("page/index.html")),
    file!(CSS, "style.css"),
    file!(SVG, "icon.svg"),
    file!(SCRIPT, "api.js"),
    file!(SCRIPT, "dom.js"),
    file!(SCRIPT, "format.js"),
    file!(SCRIPT, "forms.js"),
    file!(SCRIPT, "list.js"),
    file!(SCRIPT, "main.js"),
    file!(SCRIPT, "plot.js"),
    file!(SCRIPT, "table.js"),
    file!(SCRIPT, "views/channels.js"),
    file!(SCRIPT, "views/connections.js"),
    file!(SCRIPT, "views/exchanges.js"),
    file!(SCRIPT, "views/log.js"),
    file!(SCRIPT, "views/messages.js"),
    file!(SCRIPT, "views/overview.js"),
    file!(SCRIPT, "views/policies.js"),
    file!(SCRIPT, "views/queue.js"),
    file!(SCRIPT, "views/queues.js"),
    file!(SCRIPT, "views/routing.js"),
    file!(SCRIPT, "views/shared.js"),
    file!(SCRIPT, "views/users.js"),
    file!(SCRIPT, "views/vhosts.js"),
];

/// Scripts, styles, pictures and requests of this origin only; no frame around the page, no form that goes anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of the page's files.
pub(super) fn routes() -> Router {
    let route = |router: Router, file: &File| {
        let (path, media, text) = *file;
        router.route(path, get(move || async move { page(media, text) }))
    };
    FILES.iter().fold(Router::new(), route)
}

fn page(media: &'static str, text: &'static str) -> Response<Body> {
    let mut response = respond(StatusCode::OK, Some(media), Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // The next version of the broker brings another page.
    headers.insert(HeaderName::from_static("cache-control"), HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that one file gives another: `from "./dom.js"`, `src="main.js"`.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        text.split('"').skip(1).step_by(2).filter(|name| {
            [".js", ".css", ".svg"].iter().any(|end| name.ends_with(end)) && !name.contains(' ')
        })
    }

    #[test]
    fn every_file_that_is_asked_for_is_there() {
        for (path, _, text) in FILES {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for name in named(text) {
                let whole = match name.strip_prefix("../") {
                    Some(above) => format!("/{above}"),
                    None => format!("{folder}/{}", name.strip_prefix("./").unwrap_or(name)),
                };
                assert!(FILES.iter().any(|(known, ..)| *known == whole), "{path} asks for {whole}");
            }
        }
    }

    #[test]
    fn nothing_is_parsed_as_html_or_run_from_texts_or_loaded_from_elsewhere() {
        for (path, _, text) in FILES {
            for never in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "eval(",
                "Function(",
                "document.write",
                "https://",
            ] {
                assert!(!text.contains(never), "{path} has {never}");
            }
            let hosts = text.matches("http://").count() - text.matches("http://www.w3.org/").count();
            assert_eq!(hosts, 0, "{path} names a host");
        }
    }
}
