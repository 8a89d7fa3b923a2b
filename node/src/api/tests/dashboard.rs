//! A browser's way in: the link, the cookie, and what it may do.

use axum::http::HeaderMap;

use super::*;

/// The value of `Cookie` after a link was opened.
async fn enter(api: &Api) -> String {
    let (_, link) = api.call("POST", "/v1/links", Value::Null).await;
    let opened = api.bare("GET", link["path"].as_str().unwrap(), &[]).await;
    assert_eq!(opened.status(), StatusCode::SEE_OTHER);
    let cookie = opened.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

impl Api {
    /// A request without the token.
    async fn bare(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        bare(&self.router, method, path, headers).await
    }

    async fn page(&self, headers: &[(&str, &str)]) -> (HeaderMap, String) {
        let answer = self.bare("GET", "/", headers).await;
        assert_eq!(answer.status(), StatusCode::OK);
        (answer.headers().clone(), body_text(answer).await)
    }
}

async fn bare(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "localhost:8600");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = json!({"name": "x"}).to_string();
    let request = request.body(Body::from(body)).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_link_opens_the_dashboard_once_and_only_for_the_holder_of_the_token() {
    let api = Api::start().await;
    let refused = api.bare("POST", "/v1/links", &[]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let (status, link) = api.call("POST", "/v1/links", Value::Null).await;
    assert_eq!((status, &link["expires_in_s"]), (201, &json!(60)));
    let path = link["path"].as_str().unwrap();
    // Looking ahead does not use it up.
    for (method, header) in [("HEAD", "x-nothing"), ("GET", "sec-purpose")] {
        let ahead = api.bare(method, path, &[(header, "prefetch")]).await;
        assert_eq!(ahead.status(), StatusCode::FORBIDDEN);
    }
    let opened = api.bare("GET", path, &[]).await;
    assert_eq!(opened.status(), StatusCode::SEE_OTHER);
    assert_eq!(opened.headers()["location"], "/");
    assert_eq!(opened.headers()["cache-control"], "no-store");
    let cookie = opened.headers()["set-cookie"].to_str().unwrap();
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(path.rsplit('/').next().unwrap()));
    let again = api.bare("GET", path, &[]).await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(again.headers().get("set-cookie").is_none());
    assert!(body_text(again).await.contains("headwater dashboard"));
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_is_shown_with_the_cookie_alone() {
    let api = Api::start().await;
    let cookie = enter(&api).await;
    let (_, closed) = api.page(&[]).await;
    assert!(closed.contains("headwater dashboard") && !closed.contains("<script"));
    let (_, closed) = api.page(&[("cookie", &cookie[..cookie.len() - 1])]).await;
    assert!(!closed.contains("<script"));

    let (headers, page) = api.page(&[("cookie", &cookie)]).await;
    assert!(page.contains("EventSource") && page.contains("/docs"));
    for foreign in ["http:", "https:", "src=", "innerHTML", "eval(", "{S"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let policy = headers["content-security-policy"].to_str().unwrap();
    for (begin, end, name) in [
        ("<style>", "</style>", "style-src"),
        ("<script>", "</script>", "script-src"),
    ] {
        let inner = page.split(begin).nth(1).unwrap().split(end).next().unwrap();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(inner.as_bytes());
        let hash = data_encoding::BASE64.encode(&digest);
        let source = format!("{name} 'sha256-{hash}';");
        assert!(policy.contains(&source), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["cache-control"], "no-store");
}

#[tokio::test]
async fn the_cookie_counts_as_the_token_for_the_nodes_own_page_alone() {
    let api = Api::start().await;
    let cookie = enter(&api).await;
    let own = "http://localhost:8600";
    let create = async |headers: &[(&str, &str)]| {
        let all = [&[("cookie", cookie.as_str())][..], headers].concat();
        api.bare("POST", "/v1/streams?if_not_exists=true", &all)
            .await
            .status()
            .as_u16()
    };
    for own in [
        &[("origin", own)][..],
        &[("sec-fetch-site", "same-origin")],
        &[("origin", own), ("sec-fetch-site", "same-origin")],
    ] {
        let status = create(own).await;
        assert!(matches!(status, 200 | 201), "{own:?}: {status}");
    }
    // Another port of this machine is the same site, and gets the cookie sent.
    let cases: [(&[(&str, &str)], u16); 9] = [
        (&[], 401),
        (&[("sec-fetch-site", "same-site")], 401),
        (&[("sec-fetch-site", "cross-site")], 401),
        (&[("sec-fetch-site", "none")], 401),
        (&[("origin", own), ("sec-fetch-site", "same-site")], 401),
        (&[("origin", "http://localhost:3000")], 403),
        (
            &[
                ("origin", "http://localhost:3000"),
                ("sec-fetch-site", "same-origin"),
            ],
            403,
        ),
        (&[("origin", "null")], 403),
        // Who shows a token is judged by that.
        (&[("origin", own), ("authorization", "Bearer wrong")], 401),
    ];
    for (foreign, status) in cases {
        assert_eq!(create(foreign).await, status, "{foreign:?}");
    }
    // A session makes no other one.
    let headers = [("cookie", cookie.as_str()), ("origin", own)];
    let link = api.bare("POST", "/v1/links", &headers).await;
    assert_eq!(link.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_node_that_starts_again_knows_neither_link_nor_session() {
    let api = Api::start().await;
    let cookie = enter(&api).await;
    let (_, link) = api.call("POST", "/v1/links", Value::Null).await;
    let again = router(ApiState::new(api.state.node().clone(), "secret"));
    let opened = bare(&again, "GET", link["path"].as_str().unwrap(), &[]).await;
    assert_eq!(opened.status(), StatusCode::FORBIDDEN);
    let headers = [
        ("cookie", cookie.as_str()),
        ("origin", "http://localhost:8600"),
    ];
    let created = bare(&again, "POST", "/v1/streams", &headers).await;
    assert_eq!(created.status(), StatusCode::UNAUTHORIZED);
    let page = body_text(bare(&again, "GET", "/", &headers).await).await;
    assert!(!page.contains("<script"));
}

#[tokio::test]
async fn what_browsers_draw_by_themselves_is_dark_where_the_pages_are() {
    let api = Api::start().await;
    let (_, closed) = api.page(&[]).await;
    let (_, open) = api.page(&[("cookie", &enter(&api).await)]).await;
    for page in [closed, open, api.text("/docs").await] {
        assert!(page.contains("color-scheme:light dark"), "{page}");
        let dark = page.split("prefers-color-scheme:dark").nth(1).unwrap();
        assert!(dark.contains("a{color:"), "{dark}");
    }
}
