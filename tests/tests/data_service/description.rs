//! The API as `/openapi.json` describes it, tried by schemathesis.

use std::path::Path;

use anyhow::{Result, ensure};
use headwater_tests::{TestNode, python};
use tokio::process::Command;

#[tokio::test]
async fn no_request_that_the_description_allows_ends_in_a_server_error() -> Result<()> {
    let Some(schemathesis) = python::program("schemathesis")? else {
        return Ok(());
    };
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 1_000)?;
    let folder = node.dir().join("schemathesis");
    std::fs::create_dir(&folder)?;
    // Made-up identifiers would only be refused.
    let config = folder.join("schemathesis.toml");
    std::fs::write(
        &config,
        format!("[parameters]\n\"path.id\" = \"{stream}\"\n"),
    )?;
    // What deletes the stream comes last.
    run(&node, &schemathesis, &["--exclude-method", "DELETE"]).await?;
    // Nothing that was tried hurt the node or the stream.
    let page = reqwest::get(node.url("/docs")?).await?.text().await?;
    ensure!(page.contains("/v1/streams/{id}/observations"), "{page}");
    node.run(&["export", &stream])?;
    run(&node, &schemathesis, &["--include-method", "DELETE"]).await
}

/// Tries the operations that are chosen.
async fn run(node: &TestNode, schemathesis: &Path, chosen: &[&str]) -> Result<()> {
    let folder = node.dir().join("schemathesis");
    let config = folder.join("schemathesis.toml");
    let mut command = Command::new(schemathesis);
    command
        .current_dir(&folder)
        .arg("--config-file")
        .arg(&config)
        .args(["run", &node.url("/openapi.json")?])
        .args(["--checks", "not_a_server_error"])
        .args([
            "--max-examples",
            "10",
            "--phases",
            "examples,coverage,fuzzing",
        ])
        // Live events have no end.
        .args(["--exclude-path", "/v1/streams/{id}/live"])
        .args(chosen)
        .args(["--seed", "1", "--no-color", "--request-timeout", "20"])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", node.token()?),
        ]);
    let output = python::output(command).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
