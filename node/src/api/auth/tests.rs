//! Who is let in.

use super::*;

fn trust() -> LocalTrust {
    LocalTrust::new(
        "secret".to_owned(),
        vec!["Node.lan".to_owned(), "fd00::1".to_owned()],
    )
}

fn status(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    match trust().check(&method, &uri.parse().unwrap(), &map) {
        Ok(()) => 200,
        Err(error) => error.problem().status,
    }
}

fn get(headers: &[(&'static str, &str)]) -> u16 {
    status(Method::GET, "/v1/node", headers)
}

#[test]
fn loopback_names_with_any_port_and_configured_names_are_let_in() {
    for host in [
        "localhost",
        "LocalHost:1",
        "127.0.0.1:8600",
        "127.9.9.9",
        "[::1]",
        "[::1]:65535",
        "node.lan",
        "NODE.LAN:80",
        "[fd00::1]:8600",
    ] {
        assert_eq!(get(&[("host", host)]), 200, "{host}");
    }
}

#[test]
fn foreign_and_odd_hosts_are_refused() {
    for host in [
        "example.org",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "localhost.",
        "0.0.0.0",
        "[::]",
        "[::2]",
        "[::ffff:127.0.0.1]",
        "127.1",
        "0x7f.0.0.1",
        "192.168.1.5:8600",
        "user@localhost",
        "localhost@example.org",
        "localhost/x",
        "",
        "[::1",
        "::1",
        "node.lan.org",
    ] {
        assert_eq!(get(&[("host", host)]), 403, "{host}");
    }
    assert_eq!(get(&[]), 400);
    assert_eq!(get(&[("host", "localhost"), ("host", "localhost")]), 400);
}

#[test]
fn an_absolute_target_is_held_to_the_same() {
    let get = |uri, headers: &[_]| status(Method::GET, uri, headers);
    assert_eq!(get("http://localhost/v1/node", &[]), 200);
    assert_eq!(get("http://example.org/v1/node", &[]), 403);
    assert_eq!(
        get("http://example.org/v1/node", &[("host", "localhost")]),
        403
    );
    assert_eq!(
        get("http://localhost/v1/node", &[("host", "example.org")]),
        403
    );
}

#[test]
fn only_the_nodes_own_origin_is_taken() {
    let from = |host, origin| get(&[("host", host), ("origin", origin)]);
    assert_eq!(from("localhost:8600", "http://localhost:8600"), 200);
    assert_eq!(from("[::1]:8600", "http://[::1]:8600"), 200);
    assert_eq!(from("node.lan", "https://NODE.lan"), 200);
    for origin in [
        "http://example.org",
        "null",
        "",
        "http://localhost:3000",
        "http://127.0.0.1:8600",
        "file://",
        "http://localhost:8600.example.org",
        "chrome-extension://localhost:8600",
    ] {
        assert_eq!(from("localhost:8600", origin), 403, "{origin}");
    }
    let two = [
        ("host", "localhost"),
        ("origin", "http://localhost"),
        ("origin", "http://x"),
    ];
    assert_eq!(get(&two), 403);
}

#[test]
fn whatever_changes_something_needs_the_token() {
    let with = |method: Method, token: &str| {
        status(
            method,
            "http://localhost/v1/streams",
            &[("authorization", token)],
        )
    };
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(
            status(method.clone(), "http://localhost/v1/streams", &[]),
            401
        );
        assert_eq!(with(method.clone(), "Bearer secret"), 200);
        assert_eq!(with(method.clone(), "bearer  secret"), 200);
        for wrong in [
            "Bearer secre",
            "Bearer secret2",
            "Bearer",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert_eq!(with(method.clone(), wrong), 401, "{wrong}");
        }
    }
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(with(method, "Bearer wrong"), 200);
    }
}

#[test]
fn a_guarded_node_lets_nobody_read_without_a_token() {
    let guarded = trust().guarding_reading();
    let status = |path: &str, token: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        if let Some(token) = token {
            headers.insert("authorization", token.parse().unwrap());
        }
        let checked = guarded.check(&Method::GET, &path.parse().unwrap(), &headers);
        checked.map_or_else(|error| error.problem().status, |()| 200)
    };
    for open in ["/health", "/ready", "/", "/open/abc"] {
        assert_eq!(status(open, None), 200, "{open}");
    }
    for path in [
        "/v1/node",
        "/v1/streams",
        "/openapi.json",
        "/docs",
        "/healthy",
        "/open",
        "//health",
        "/nothing",
    ] {
        assert_eq!(status(path, None), 401, "{path}");
        assert_eq!(status(path, Some("Bearer wrong")), 401, "{path}");
        assert_eq!(status(path, Some("Bearer secret")), 200, "{path}");
    }
}

#[test]
fn a_read_only_token_reads_and_is_told_that_it_may_not_write() {
    use crate::keys::NamedTokens;
    use headwater_protocols::time::Timestamp;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let make = |name: &str, rights| {
        let add = |tokens: &mut NamedTokens| tokens.add(name, rights, Timestamp(0));
        let token = NamedTokens::change(&file, add).unwrap();
        format!("Bearer {}", token.secret())
    };
    let trust = trust().guarding_reading().with_named_tokens(&file);
    let check = |method: Method, token: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        headers.insert("authorization", token.parse().unwrap());
        let checked = trust.check(&method, &Uri::from_static("/v1/streams"), &headers);
        checked.map_err(|error| error.problem().clone())
    };
    let (reads, writes) = (
        make("grafana", Rights::ReadOnly),
        make("engine", Rights::ReadWrite),
    );
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(check(method.clone(), &reads), Ok(()));
        assert_eq!(check(method, &writes), Ok(()));
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(check(method.clone(), &writes), Ok(()));
        let refused = check(method, &reads).unwrap_err();
        assert_eq!(refused.status, 403);
        assert!(refused.detail.contains("`grafana` is read-only"));
    }
    NamedTokens::change(&file, |tokens| tokens.revoke("grafana")).unwrap();
    assert_eq!(check(Method::GET, &reads).unwrap_err().status, 401);
    // Only the node's own token opens the dashboard.
    let mut headers = HeaderMap::new();
    headers.insert("authorization", writes.parse().unwrap());
    assert!(trust.check_token(&headers).is_err());
}

fn basic(user: &str, password: &str) -> String {
    let given = BASE64.encode(format!("{user}:{password}").as_bytes());
    format!("Basic {given}")
}

#[test]
fn a_token_is_the_password_of_http_basic_for_reading_alone() {
    let guarded = trust().guarding_reading();
    let check = |method: Method, given: &str, other: Option<(&'static str, &str)>| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        headers.insert("authorization", given.parse().unwrap());
        if let Some((name, value)) = other {
            headers.insert(name, value.parse().unwrap());
        }
        let checked = guarded.check(&method, &Uri::from_static("/v1/streams"), &headers);
        checked.map_or_else(|error| error.problem().status, |()| 200)
    };
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(
            check(method.clone(), &basic("anybody", "secret"), None),
            200
        );
        assert_eq!(check(method.clone(), &basic("", "secret"), None), 200);
        for wrong in [
            basic("secret", ""),
            basic("a", "secret2"),
            "Basic".to_owned(),
            "Basic ".to_owned(),
            "Basic secret".to_owned(),
            format!("Basic {}", BASE64.encode(b"secret")),
        ] {
            assert_eq!(check(method.clone(), &wrong, None), 401, "{wrong}");
        }
        let foreign = Some(("sec-fetch-site", "cross-site"));
        assert_eq!(check(method, &basic("a", "secret"), foreign), 403);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(check(method, &basic("a", "secret"), None), 401);
    }
    let open = LocalTrust::new(String::new(), Vec::new()).guarding_reading();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", basic("a", "").parse().unwrap());
    let uri = Uri::from_static("http://localhost/v1/streams");
    assert!(open.check(&Method::GET, &uri, &headers).is_err());
}

#[test]
fn browsers_are_not_asked_for_a_password() {
    let asked = |method: &Method, headers: &[(&'static str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        may_be_asked_for_basic(method, &map)
    };
    assert!(asked(&Method::GET, &[]));
    assert!(asked(&Method::HEAD, &[("accept", "*/*")]));
    assert!(!asked(&Method::POST, &[("accept", "*/*")]));
    for reader in [
        "Wget/1.21.3",
        "curl/7.88.1",
        "Python-urllib/3.11",
        "polars",
        "R (4.3.1 x86_64-pc-linux-gnu)",
    ] {
        let headers = [
            ("user-agent", reader),
            ("accept", "*/*"),
            ("accept-encoding", "identity"),
        ];
        assert!(asked(&Method::GET, &headers), "{reader}");
    }
    for browser in [
        ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("accept", "Text/HTML"),
        // Firefox, of an image; of a style sheet; of a video.
        (
            "accept",
            "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        ),
        ("accept", "text/css,*/*;q=0.1"),
        (
            "accept",
            "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
        ),
        // Of a script, without TLS.
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        (
            "user-agent",
            "Opera/9.80 (X11; Linux x86_64) Presto/2.12.388 Version/12.16",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("upgrade-insecure-requests", "1"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-websocket-version", "13"),
        ("dnt", "1"),
        ("origin", "http://localhost"),
        ("referer", "http://localhost/"),
        ("cookie", "a=b"),
    ] {
        assert!(!asked(&Method::GET, &[browser]), "{browser:?}");
    }
}

#[test]
fn an_empty_token_lets_nobody_write_and_no_token_is_ever_shown() {
    let open = LocalTrust::new(String::new(), Vec::new());
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer "));
    let uri = Uri::from_static("http://localhost/");
    assert!(open.check(&Method::POST, &uri, &headers).is_err());
    assert!(!format!("{:?}", trust()).contains("secret"));
}
