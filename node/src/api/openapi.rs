//! The description of the API, made from its handlers and types, as
//! `/openapi.json` and as a page that needs no other host.

use std::fmt::{self, Write};
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::described;
use super::state::ApiState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headwater",
        description = "Signed data streams over HTTP. Writing needs `Authorization: Bearer <token>`, with the token of the data folder or one that `headwater token new` made (the dashboard shows a cookie instead). Reading needs one only where the node is told so, or can be reached from other machines; a read-only token does. Requests must be addressed to a loopback name or to one that is configured, and pages of other origins are refused.",
        license(name = "MIT OR Apache-2.0"),
    ),
    modifiers(&Tokens),
    tags(
        (name = "observations", description = "What is in a stream: read, followed, published."),
        (name = "streams", description = "Which streams there are, and who has them."),
        (name = "proofs", description = "What shows to others that it is so."),
        (name = "unsigned", description = "Histories that nobody signed: nothing proves them, and they are kept apart from streams."),
        (name = "node", description = "The node itself."),
    ),
)]
struct Description;

/// How a request shows what it may do.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = |about: &str| {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
            SecurityScheme::Http(bearer.description(Some(about)).build())
        };
        let components = document.components.get_or_insert_default();
        let writes = "The token of the data folder, or of `headwater token new NAME`";
        components.add_security_scheme("token", scheme(writes));
        let reads = "A token of `headwater token new NAME --read-only`";
        components.add_security_scheme("readOnlyToken", scheme(reads));
    }
}

/// The description: what holds for all routes, and what each says of itself.
fn whole() -> utoipa::openapi::OpenApi {
    let mut document = Description::openapi();
    document.merge(described());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
        ] {
            if let Some(operation) = operation {
                operation.operation_id = Some(operation_id(method, path));
            }
        }
    }
    document
}

/// What programs that are made from the description call a request: names of handlers
/// are so only within their file.
fn operation_id(method: &str, path: &str) -> String {
    let is_word = |part: &&str| !part.is_empty();
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(is_word).filter(|word| *word != "v1");
    let parts: Vec<_> = std::iter::once(method).chain(words).collect();
    parts.join("_")
}

/// The description, with what this node asks of those who read.
fn description(guards_reading: bool) -> utoipa::openapi::OpenApi {
    let mut document = whole();
    let named = ["token", "readOnlyToken"].map(|name| SecurityRequirement::new(name, [""; 0]));
    let anybody = (!guards_reading).then(SecurityRequirement::default);
    document.security = Some(anybody.into_iter().chain(named).collect());
    for open in ["/health", "/ready"] {
        if let Some(open) = document.paths.paths.get_mut(open)
            && let Some(get) = &mut open.get
        {
            get.security = Some(vec![SecurityRequirement::default()]);
        }
    }
    document
}

/// `GET /openapi.json`.
pub(super) async fn document(State(state): State<ApiState>) -> Response {
    // It is the same for as long as the program runs, and long.
    static WRITTEN: [OnceLock<Bytes>; 2] = [OnceLock::new(), OnceLock::new()];
    let guards_reading = state.trust().guards_reading();
    let written = WRITTEN[usize::from(guards_reading)].get_or_init(|| {
        let written = serde_json::to_vec(&description(guards_reading));
        written.unwrap_or_default().into()
    });
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], written.clone()).into_response()
}

/// `GET /docs`: the same for people.
pub(super) async fn page() -> Response {
    static WRITTEN: OnceLock<String> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| {
        let document = serde_json::to_value(whole()).unwrap_or_default();
        html(&document).unwrap_or_default()
    });
    // Nothing of it may load or run anything.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    (policy, Html(written.as_str())).into_response()
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;\
color:#222;background:#fff}h2{margin-top:2.5rem}code{font-family:ui-monospace,monospace}\
details{border:1px solid #ccc;border-radius:4px;margin:.5rem 0;padding:.4rem .8rem}\
summary{cursor:pointer}summary b{display:inline-block;min-width:4.5rem}\
table{border-collapse:collapse;width:100%}td{border-top:1px solid #ddd;padding:.2rem .5rem;vertical-align:top}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#7ab7ff}\
details{border-color:#444}td{border-color:#333}}";

/// The page of a description.
fn html(document: &Value) -> Result<String, fmt::Error> {
    let mut page = String::new();
    let info = &document["info"];
    let title = Text(&info["title"]);
    write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title} API</title><style>{STYLE}</style><h1>{title} API {}</h1><p>{}</p>\
         <p>The same for programs: <a href=\"openapi.json\">openapi.json</a></p>",
        Text(&info["version"]),
        Text(&info["description"]),
    )?;
    for tag in list(&document["tags"]) {
        let (name, about) = (Text(&tag["name"]), Text(&tag["description"]));
        write!(page, "<h2>{name}</h2><p>{about}</p>")?;
        for (path, methods) in entries(&document["paths"]) {
            for (method, operation) in entries(methods) {
                if list(&operation["tags"]).contains(&tag["name"]) {
                    put_operation(&mut page, path, method, operation)?;
                }
            }
        }
    }
    write!(page, "<h2>objects</h2>")?;
    for (name, schema) in entries(&document["components"]["schemas"]) {
        write!(
            page,
            "<details id=\"{name}\"><summary><code>{name}</code></summary>"
        )?;
        write!(page, "<p>{}</p><table>", Text(&schema["description"]))?;
        for (field, schema) in entries(&schema["properties"]) {
            let about = Text(&schema["description"]);
            let kind = kind(schema);
            write!(page, "<tr><td><code>{field}</code><td>{kind}<td>{about}")?;
        }
        for word in list(&schema["enum"]) {
            write!(page, "<tr><td><code>{}</code>", Text(word))?;
        }
        write!(page, "</table></details>")?;
    }
    Ok(page)
}

fn put_operation(page: &mut String, path: &str, method: &str, operation: &Value) -> fmt::Result {
    let method = method.to_uppercase();
    let summary = Text(&operation["summary"]);
    write!(
        page,
        "<details><summary><b>{method}</b> <code>{path}</code> {summary}</summary><table>"
    )?;
    for parameter in list(&operation["parameters"]) {
        write!(
            page,
            "<tr><td><code>{}</code><td>{}<td>{}",
            Text(&parameter["name"]),
            Text(&parameter["in"]),
            Text(&parameter["description"]),
        )?;
    }
    for (media_type, content) in entries(&operation["requestBody"]["content"]) {
        let kind = kind(&content["schema"]);
        write!(page, "<tr><td>body<td>{kind}<td><code>{media_type}</code>")?;
    }
    for (status, response) in entries(&operation["responses"]) {
        let about = Text(&response["description"]);
        write!(page, "<tr><td>{status}<td>")?;
        let mut kinds: Vec<_> = entries(&response["content"])
            .map(|(_, content)| kind(&content["schema"]))
            .collect();
        kinds.dedup();
        write!(page, "{}<td>{about} ", kinds.join(" or "))?;
        for (media_type, _) in entries(&response["content"]) {
            write!(page, "<code>{media_type}</code> ")?;
        }
    }
    write!(page, "</table></details>")
}

/// The type of a schema, with links to objects.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"]));
    }
    for several in ["oneOf", "anyOf"] {
        let kinds: Vec<_> = list(&schema[several]).iter().map(kind).collect();
        if !kinds.is_empty() {
            return kinds.join(" or ");
        }
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let kinds: Vec<_> = kinds.iter().map(|kind| Text(kind).to_string()).collect();
            kinds.join(" or ")
        }
        Value::Null => "any".to_owned(),
        kind => Text(kind).to_string(),
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn list(array: &Value) -> &[Value] {
    array.as_array().map_or(&[], Vec::as_slice)
}

/// A text of the description, as HTML.
struct Text<'a>(&'a Value);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.as_str().unwrap_or_default().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn description() -> Value {
        serde_json::to_value(whole()).unwrap()
    }

    /// A handler that no route leads to is unused code, which the compiler says.
    #[test]
    fn the_methods_of_one_path_stand_together() {
        let description = description();
        let observations = &description["paths"]["/v1/streams/{id}/observations"];
        let methods: Vec<_> = entries(observations).map(|(method, _)| method).collect();
        assert_eq!(methods, ["get", "post"]);
    }

    #[test]
    fn every_request_has_a_name_of_its_own() {
        let description = description();
        let mut names = BTreeSet::new();
        for (path, methods) in entries(&description["paths"]) {
            for (method, operation) in entries(methods) {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(name.starts_with(method.as_str()), "{name}");
                assert!(names.insert(name), "{method} {path}");
            }
        }
        assert!(names.contains("get_streams_id_observations"), "{names:?}");
    }

    #[test]
    fn every_reference_leads_somewhere_and_writing_needs_the_token() {
        let description = description();
        let text = description.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(
                description["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
        for (path, methods) in entries(&description["paths"]) {
            for (method, operation) in entries(methods) {
                let needs_token = !list(&operation["security"]).is_empty();
                assert_eq!(needs_token, method != "get", "{method} {path}");
                assert!(operation["responses"]["default"].is_object());
            }
        }
    }

    #[test]
    fn a_node_that_guards_reading_says_so() {
        let security = |guards| serde_json::to_value(super::description(guards)).unwrap();
        let (open, guarded) = (security(false), security(true));
        let token = serde_json::json!({"token": []});
        assert!(list(&open["security"]).contains(&serde_json::json!({})));
        assert!(!list(&guarded["security"]).contains(&serde_json::json!({})));
        for document in [&open, &guarded] {
            assert!(list(&document["security"]).contains(&token));
            for requirement in list(&document["security"]) {
                for (name, _) in entries(requirement) {
                    let scheme = &document["components"]["securitySchemes"][name];
                    assert_eq!(scheme["scheme"], "bearer", "{name}");
                }
            }
            for open in ["/health", "/ready"] {
                let security = &document["paths"][open]["get"]["security"];
                assert_eq!(*security, serde_json::json!([{}]));
            }
        }
    }

    #[test]
    fn the_page_names_every_route_and_loads_nothing() {
        let page = html(&description()).unwrap();
        for (path, _) in entries(&description()["paths"]) {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        for foreign in ["http://", "https://", "<script", "src="] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        let text = serde_json::json!("<b> & \"c\"");
        assert_eq!(Text(&text).to_string(), "&lt;b&gt; &amp; &quot;c&quot;");
    }
}
