//! What a real browser makes of the node: its EventSource, and the dashboard.

mod chromium;
mod fixed_address;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;

use self::chromium::Chromium;
use self::fixed_address::FixedAddress;

/// Follows a stream on the page, and keeps what it gets.
fn follow(stream: &str) -> String {
    format!(
        "globalThis.got = []; globalThis.opened = 0; globalThis.wake = () => {{}};
        globalThis.source = new EventSource('/v1/streams/{stream}/live?from=0');
        source.onopen = () => opened++;
        source.onmessage = event => {{ got.push([event.lastEventId, event.data]); wake(); }};
        true"
    )
}

/// Waits on the page until it has got so many events; all of them.
async fn events(browser: &mut Chromium, count: usize) -> Result<Vec<Value>> {
    let wait = format!(
        "new Promise(done => {{
            wake = () => {{ if (got.length >= {count}) done(got); }};
            wake();
        }})"
    );
    let got = browser.evaluate(&wait).await?;
    Ok(got.as_array().context("no list")?.clone())
}

/// Checks that these are the records from 0 on: none missing, none twice.
fn check(events: &[Value], count: usize) -> Result<()> {
    ensure!(events.len() == count, "{} of {count} events", events.len());
    for (index, event) in events.iter().enumerate() {
        let id = index.to_string();
        ensure!(event[0] == id.as_str(), "{event} instead of {index}");
        let record: Value = serde_json::from_str(event[1].as_str().unwrap_or_default())?;
        ensure!(record["index"] == index && record["value"].is_number());
    }
    Ok(())
}

#[tokio::test]
async fn an_event_source_gets_history_then_live_and_survives_a_restart_without_gap_or_double()
-> Result<()> {
    let Some(mut browser) = Chromium::start().await? else {
        return Ok(());
    };
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 3_000)?;
    let address = FixedAddress::of(&node).await?;
    // A page of the node itself, whose policy lets it ask the node and nobody
    // else.
    browser.open(&address.url("/")).await?;
    browser.evaluate(&follow(&stream)).await?;
    check(&events(&mut browser, 3_000).await?, 3_000)?;
    for i in 0..20 {
        node.append(&stream, format!("{{\"value\":{i}}}\n")).await?;
    }
    check(&events(&mut browser, 3_020).await?, 3_020)?;

    // The browser comes back by itself, and says what it has.
    node.stop().await?;
    node.run(&["publish", &stream, "1.5"])?;
    node.launch().await?;
    address.leads_to(&node)?;
    check(&events(&mut browser, 3_021).await?, 3_021)?;
    node.append(&stream, "{\"value\":2}\n").await?;
    check(&events(&mut browser, 3_022).await?, 3_022)?;
    let opened = browser.evaluate("opened").await?;
    ensure!(opened.as_u64() >= Some(2), "opened {opened} times");
    Ok(())
}

#[tokio::test]
async fn the_dashboard_opens_through_its_link_and_draws_a_stream_as_it_grows() -> Result<()> {
    let Some(mut browser) = Chromium::start().await? else {
        return Ok(());
    };
    let node = TestNode::start(&[]).await?;
    let stream = node.create("wind at the pier")?;
    node.publish_numbers(&stream, 0, 12)?;
    let link = node.json(&["dashboard", "--no-open"])?;
    let link = link["url"].as_str().context("no link")?;
    browser.open(link).await?;
    let place = browser.evaluate("location.pathname").await?;
    ensure!(place == "/", "the link leads to {place}");
    let drawn = async |browser: &mut Chromium, count: usize| -> Result<Value> {
        // Looked at with each frame that the page draws.
        let wait = format!(
            "new Promise(done => {{
                const look = () => {{
                    const line = document.querySelector('#streams polyline');
                    const points = (line?.getAttribute('points') || '').split(' ').filter(Boolean);
                    points.length === {count} ? done(document.querySelector('#streams').innerText)
                        : requestAnimationFrame(look);
                }};
                look();
            }})"
        );
        browser.evaluate(&wait).await
    };
    let text = drawn(&mut browser, 12).await?;
    let text = text.as_str().context("no text")?;
    ensure!(text.contains("wind at the pier"), "{text}");
    ensure!(text.contains("11.5"), "{text}");
    ensure!(!text.contains("null") && !text.contains("NaN"), "{text}");
    node.append(&stream, "{\"value\":77.25}\n").await?;
    let text = drawn(&mut browser, 13).await?;
    ensure!(text.as_str().is_some_and(|text| text.contains("77.25")));
    let cookie = browser.evaluate("document.cookie").await?;
    ensure!(cookie == "", "a script can read {cookie}");

    // It is good once.
    browser.open(link).await?;
    let text = browser.evaluate("document.body.innerText").await?;
    let text = text.as_str().context("no text")?;
    ensure!(text.contains("headwater dashboard"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_card_of_the_dashboard_has_the_columns_of_rows() -> Result<()> {
    let Some(mut browser) = Chromium::start().await? else {
        return Ok(());
    };
    let node = TestNode::start(&[]).await?;
    let columns = "temperature:number:°C,sky:text,n:integer";
    node.run(&["stream", "create", "weather", "--columns", columns])?;
    node.run(&["publish", "weather", "[1.50,null,7]"])?;
    node.run(&["publish", "weather", r#"[2.5,"clear",9007199254740993]"#])?;
    let link = node.json(&["dashboard", "--no-open"])?;
    browser
        .open(link["url"].as_str().context("no link")?)
        .await?;
    let wait = "new Promise(done => {
        const look = () => {
            const line = document.querySelector('#streams polyline');
            const points = (line?.getAttribute('points') || '').split(' ').filter(Boolean);
            points.length === 2 ? done(document.querySelector('#streams').innerText)
                : requestAnimationFrame(look);
        };
        look();
    })";
    let text = browser.evaluate(wait).await?;
    let text = text.as_str().context("no text")?;
    ensure!(
        text.contains("temperature 2.5 °C · sky clear · n 900719925474099"),
        "{text}"
    );
    Ok(())
}
