//! Streams of which a later version says more than this one knows, and all that
//! this one can say of a new stream.

use anyhow::{Context, Result, ensure};
use headwater::runtime::{Running, RuntimeConfig, start};
use headwater_protocols::engine::Command;
use headwater_protocols::id::LogId;
use headwater_protocols::identity::{Domain, SigningKey};
use headwater_protocols::log::Appender;
use headwater_protocols::manifest::{SignedManifest, UnverifiedManifest};
use headwater_protocols::merkle::CompactRange;
use headwater_protocols::record::Record;
use headwater_protocols::store::{Admission, Durability, History, Store};
use headwater_protocols::time::Timestamp;
use headwater_tests::{PATIENCE, TestNode, USAGE, numbers_manifest};
use libp2p::identity::Keypair;
use serde_json::Value;
use tokio::time::timeout;

const RECORDS: u64 = 1_000;

/// A manifest of `key` with one field more.
fn with_field(key: &SigningKey, number: usize) -> Result<SignedManifest> {
    let plain = numbers_manifest(key.public(), "later").sign(key)?;
    let mut bytes = plain.bytes().to_vec();
    // Its key is a varint of two bytes, as of all fields from 16 to 2,047.
    let field = number << 3 | 2;
    bytes.extend([field as u8 | 0x80, (field >> 7) as u8]);
    bytes.extend_from_slice(b"\x05later");
    let signature = key.sign(Domain::Manifest, &bytes).into();
    let bytes = bytes.into();
    Ok(UnverifiedManifest { bytes, signature }.verify(None)?)
}

/// A node with a stream that a later version has written on its disk.
struct Later {
    running: Running,
    log: LogId,
    _folder: tempfile::TempDir,
}

impl Later {
    async fn start(field: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let keypair = Keypair::generate_ed25519();
        let key = SigningKey::new(keypair.clone().try_into_ed25519()?);
        let mut config = RuntimeConfig::new(folder.path().join("store"), keypair);
        config.options.listen = vec!["/ip4/127.0.0.1/tcp/0".parse()?];
        let running = start(config.clone()).await?;
        let create = Command::create_signed(with_field(&key, field)?);
        let log = running.node.ask(create).await?;
        let status = running.node.stream(log).context("it is known")?;
        let key = status.key.context("its manifest is known")?;
        let store = running.node.store();
        let records: Vec<_> = (0..RECORDS)
            .map(|index| Record::new(Timestamp(index as i64), index.to_string().as_bytes()))
            .collect();
        let leaves: Vec<_> = records.iter().map(Record::leaf).collect();
        let nodes = Appender::new(CompactRange::empty(0)).append(leaves.iter().copied());
        let mut held = History::new(&**store, key).held()?;
        let mut admission = Admission::new(&**store, key, &mut held);
        admission.put_records(0, &records, &leaves)?;
        admission.put_nodes(&nodes);
        let batch = admission.finish();
        store.commit(batch, Durability::Synced)?;
        running.stop().await?;
        // As after a crash, what is there is signed.
        let running = start(config).await?;
        let mut addresses = running.node.watch_addresses();
        timeout(PATIENCE, addresses.wait_for(|all| !all.is_empty())).await??;
        Ok(Self {
            running,
            log,
            _folder: folder,
        })
    }

    fn invite(&self) -> Result<String> {
        let addresses = self.running.node.addresses();
        let address = addresses.first().context("no address")?;
        Ok(format!("headwater:{}?peer={address}", self.log))
    }
}

/// A follower that has all of the stream, from where the invite leads alone.
async fn follower(invite: &str, stream: &str) -> Result<TestNode> {
    let node = TestNode::start(&[]).await?;
    node.run(&["follow", invite])?;
    node.until_synced(stream, RECORDS).await?;
    Ok(node)
}

#[tokio::test]
async fn a_stream_of_a_later_version_is_passed_on_and_shown_as_too_new() -> Result<()> {
    let later = Later::start(40).await?;
    let stream = later.log.to_string();
    let first = follower(&later.invite()?, &stream).await?;
    let invite = first.invite(&stream)?;
    // Its owner is gone.
    later.running.stop().await?;
    let second = follower(&invite, &stream).await?;
    for node in [&first, &second] {
        let shown = node.show(&stream)?;
        ensure!(shown["too_new"] == "field 40 of a manifest", "{shown}");
        ensure!(shown["value_type"].is_null(), "{shown}");
        let text = node.run(&["show", &stream])?;
        ensure!(
            text.contains("a newer version of headwater reads it"),
            "{text}"
        );
        for command in [&["list"][..], &["status"]] {
            let text = node.run(command)?;
            ensure!(text.contains("too new"), "{text}");
        }
        for command in [
            &["export", &stream][..],
            &["tail", &stream],
            &["prove", &stream, "5"],
            &["stream", "gaps", &stream],
        ] {
            let why = node.fails(command)?;
            let told = why.contains("field 40 of a manifest") && why.contains("a newer version");
            ensure!(told, "{command:?}: {why}");
        }
        node.run(&["prove", &stream, "--consistency", "1", "900"])?;
        let log = node.log();
        ensure!(
            !log.contains("misbehav") && !log.contains("dropped a peer"),
            "{log}"
        );
    }
    let peers = second.get("/v1/peers").await?;
    let is_there = peers.as_array().is_some_and(|peers| !peers.is_empty());
    ensure!(is_there, "the one that told it is gone: {peers}");
    let path = format!("/v1/streams/{stream}/observations?limit=1");
    let problem = second.get(&path).await;
    let problem = problem.map_or_else(|error| format!("{error:?}"), |answer| answer.to_string());
    let told = problem.contains("409") && problem.contains("urn:headwater:too_new");
    ensure!(told, "{problem}");
    Ok(())
}

#[tokio::test]
async fn a_field_that_a_later_version_leaves_to_be_ignored_is_ignored() -> Result<()> {
    let later = Later::start(70).await?;
    let stream = later.log.to_string();
    let node = follower(&later.invite()?, &stream).await?;
    let shown = node.show(&stream)?;
    ensure!(
        shown["too_new"].is_null() && shown["name"] == "later",
        "{shown}"
    );
    let csv = node.export(&stream)?;
    ensure!(csv.lines().count() as u64 == RECORDS + 1, "{csv}");
    later.running.stop().await
}

/// The key of a witness, as C2SP writes it.
const WITNESS: &str = "witness.example/w1+7b14655c+BAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ";

#[tokio::test]
async fn what_a_new_stream_says_for_good_is_shown_and_found() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let page = "bafkreif2pall7dybz7vecqka3zo24irdwabwdi4wc55jznaq75q7eaavvu";
    let hash = "ab".repeat(32);
    let created = publisher.json(&[
        "stream",
        "create",
        "pier",
        "--tag",
        "weather",
        "--tag",
        "geo=52.1,4.3",
        "--licence",
        "CC-BY-4.0",
        "--content-type",
        "text/plain; charset=utf-8",
        "--ordered",
        "--recovery",
        &hash,
        "--witness",
        WITNESS,
        "--about",
        page,
    ])?;
    let id = created["id"].as_str().context("id")?;
    let shown = publisher.show(id)?;
    ensure!(
        shown["tags"] == serde_json::json!(["geo=52.1,4.3", "weather"]),
        "{shown}"
    );
    for (field, value) in [
        ("licence", "CC-BY-4.0"),
        ("content_type", "text/plain; charset=utf-8"),
        ("recovery_key", &hash),
        ("about", page),
        ("kind", "observations"),
    ] {
        ensure!(shown[field] == value, "{field}: {shown}");
    }
    ensure!(shown["ordered"] == true, "{shown}");
    ensure!(shown["witnesses"]["keys"][0] == WITNESS, "{shown}");
    ensure!(shown["witnesses"]["needed"] == 1, "{shown}");
    let text = publisher.run(&["show", id])?;
    for line in [
        "geo=52.1,4.3 weather",
        "CC-BY-4.0",
        "1 of 1",
        "never go back",
    ] {
        ensure!(text.contains(line), "no {line} in {text}");
    }

    let other = TestNode::start(&["--bootstrap", &publisher.address()?]).await?;
    let has = |answer: &Value| {
        answer["streams"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    };
    let found = other.until_get("/v1/discover?q=WEATHER", has).await?;
    ensure!(found["streams"][0]["tags"][1] == "weather", "{found}");
    let table = other.run(&["discover", "52.1,4.3"])?;
    ensure!(table.contains("geo=52.1,4.3"), "{table}");
    Ok(())
}

#[tokio::test]
async fn an_ordered_stream_takes_no_time_before_the_last_one_from_anywhere() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let created = node.json(&["stream", "create", "pier", "--ordered"])?;
    let id = created["id"].as_str().context("id")?.to_owned();
    let at = |second: u32| {
        format!("{{\"time\":\"2020-01-01T00:00:{second:02}Z\",\"value\":{second}}}\n")
    };
    node.append(&id, at(5)).await?;
    node.append(&id, at(5)).await?;
    node.kill()?;
    node.launch().await?;
    let file = node.dir().join("early.csv");
    std::fs::write(&file, "time,value\n2020-01-01T00:00:04Z,4\n")?;
    let file = file.to_str().context("path")?;
    let publish = [
        "publish",
        &id,
        "--file",
        file,
        "--time-column",
        "time",
        "--value-column",
        "value",
    ];
    let refusal = |args: &[&str]| -> Result<String> {
        let output = node.command(args)?;
        ensure!(!output.status.success(), "{args:?} succeeded");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for refused in [
        refusal(&["publish", &id, "--time", "2020-01-01T00:00:04Z", "4"])?,
        refusal(&[&publish[..], &["--again"]].concat())?,
        (node.append(&id, at(6) + &at(4)).await)
            .map_or_else(|error| format!("{error:?}"), |answer| answer.to_string()),
    ] {
        let times =
            refused.contains("2020-01-01T00:00:04") && refused.contains("2020-01-01T00:00:0");
        ensure!(times && refused.contains("never go back"), "{refused}");
    }
    ensure!(node.show(&id)?["size"] == 2);
    Ok(())
}

/// The records of a stream.
fn size(node: &TestNode, stream: &str) -> Result<u64> {
    node.show(stream)?["size"].as_u64().context("size")
}

#[tokio::test]
async fn what_an_ordered_stream_cannot_take_is_said_with_what_works_there() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    node.run(&["stream", "create", "pier", "--ordered"])?;
    let file = |name: &str, seconds: &[u32]| -> Result<String> {
        let rows = seconds
            .iter()
            .map(|second| format!("2020-01-01T00:00:{second:02}Z,{second}\n"));
        let path = node.dir().join(name);
        std::fs::write(&path, format!("time,value\n{}", rows.collect::<String>()))?;
        Ok(path.to_str().context("path")?.to_owned())
    };
    let publish = |file: &str, flags: &[&str]| {
        let args = ["publish", "pier", "--file", file];
        let columns = ["--time-column", "time", "--value-column", "value"];
        let args = [&args[..], &columns, flags].concat();
        let output = node.command(&args)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::Ok((output.status.success(), said))
    };
    let one = file("one.csv", &[5, 6, 7])?;
    ensure!(publish(&one, &[])?.0);
    // Its rows are there, and it may go on.
    let (done, said) = publish(&one, &[])?;
    ensure!(!done && said.contains("--resume"), "{said}");
    ensure!(!said.contains("--again"), "{said}");
    ensure!(publish(&one, &["--resume"])?.0);
    // Nothing appends what is before the end, and nothing is said to.
    let early = file("early.csv", &[4, 8])?;
    for flags in [&[][..], &["--resume"], &["--again"], &["--skip-bad"]] {
        let (done, said) = publish(&early, flags)?;
        ensure!(
            !done && said.contains("no option appends"),
            "{flags:?}: {said}"
        );
        ensure!(!said.contains("--"), "{flags:?}: {said}");
    }
    // Somebody else has published a later time: the rest of a file cannot follow.
    node.append("pier", "{\"time\":\"2020-01-01T00:00:20Z\",\"value\":20}\n")
        .await?;
    let grown = file("one.csv", &[5, 6, 7, 9])?;
    let (done, said) = publish(&grown, &["--resume"])?;
    ensure!(!done && said.contains("no option appends"), "{said}");
    // A row that goes back is found before anything is signed, and can be left out.
    let back = file("back.csv", &[21, 23, 22, 24])?;
    let (done, said) = publish(&back, &[])?;
    ensure!(
        !done && said.contains("line 4") && said.contains("--skip-bad"),
        "{said}"
    );
    ensure!(size(&node, "pier")? == 4);
    let (done, said) = publish(&back, &["--skip-bad"])?;
    ensure!(done, "{said}");
    ensure!(size(&node, "pier")? == 7);
    // The same for lines.
    let lines = |seconds: &[u32]| {
        let line =
            |second: &u32| format!("{{\"time\":\"2020-01-01T00:00:{second:02}Z\",\"value\":1}}\n");
        seconds.iter().map(line).collect::<String>()
    };
    let args = ["publish", "pier", "--ndjson", "--skip-bad"];
    let output = node
        .command_with_input(&args, &lines(&[30, 29, 31]))
        .await?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(size(&node, "pier")? == 9);
    Ok(())
}

#[tokio::test]
async fn one_time_far_ahead_ends_no_ordered_stream_unless_it_is_said_twice() -> Result<()> {
    const FAR: &str = "2099-01-01T00:00:00Z";
    let node = TestNode::start(&[]).await?;
    node.run(&["stream", "create", "pier", "--ordered"])?;
    node.create("free")?;
    let line = format!("{{\"time\":\"{FAR}\",\"value\":1}}\n");
    let file = node.dir().join("far.csv");
    std::fs::write(
        &file,
        format!("time,value\n2020-01-01T00:00:00Z,1\n{FAR},2\n"),
    )?;
    let file = file.to_str().context("path")?.to_owned();
    let columns = ["--time-column", "time", "--value-column", "value"];
    let publish_file = [&["publish", "pier", "--file", &file][..], &columns].concat();

    let said = node.fails_with(USAGE, &["publish", "pier", "--time", FAR, "1"])?;
    ensure!(
        said.contains("more than a day ahead") && said.contains("--far-ahead"),
        "{said}"
    );
    let said = node.fails(&publish_file)?;
    ensure!(
        said.contains("line 3") && said.contains("--far-ahead"),
        "{said}"
    );
    let output = node
        .command_with_input(&["publish", "pier", "--ndjson"], &line)
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("--far-ahead"),
        "{said}"
    );
    let refused = node.append("pier", line.clone()).await;
    let said = format!("{:#}", refused.err().context("it was signed")?);
    ensure!(
        said.contains("400") && said.contains("far_ahead=true"),
        "{said}"
    );
    let old = node.dir().join("old.csv");
    std::fs::write(&old, format!("ts,value\n2020-01-01T00:00:00Z,1\n{FAR},2\n"))?;
    let import = [
        "import",
        old.to_str().context("path")?,
        "--create",
        "jetty",
        "--ordered",
    ];
    let said = node.fails(&import)?;
    ensure!(
        said.contains("line 3") && said.contains("--far-ahead"),
        "{said}"
    );
    ensure!(size(&node, "pier")? == 0);
    // One where times may go back takes it, and says so.
    node.append("free", line.clone()).await?;

    // Who leaves bad rows out leaves these out, too; who means them gets them.
    node.run(&[&publish_file[..], &["--skip-bad"]].concat())?;
    ensure!(size(&node, "pier")? == 1);
    node.run(&["publish", "pier", "--far-ahead", "--time", FAR, "1"])?;
    let said = node.fails_with(USAGE, &["publish", "pier", "2"])?;
    ensure!(said.contains("never go back"), "{said}");
    Ok(())
}

#[test]
fn what_no_manifest_may_say_is_refused_with_its_reason() -> Result<()> {
    let node = TestNode::new()?;
    let many: Vec<_> = (0..17).map(|n| format!("t{n}")).collect();
    let many: Vec<&str> = many.iter().flat_map(|tag| ["--tag", tag]).collect();
    for (args, why) in [
        (&["--licence", "MITT"][..], "no SPDX expression"),
        (&["--content-type", "csv"], "no media type"),
        (&["--tag", "a b"], "has a blank"),
        (&["--tag", "a,b"], "a tag is a word"),
        (&many, "more than the 16"),
        (&["--about", "x"], "no id of a page"),
        (&["--witness", "w+00000000+AAAA"], "no key of a witness"),
        (&["--witness", WITNESS, "--witnesses-needed", "2"], "2 of 1"),
        (&["--recovery", "abcd"], "neither a file nor the hash"),
    ] {
        let output = node.command(&[&["stream", "create", "pier"], args].concat())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains(why),
            "{args:?}: {said}"
        );
    }
    ensure!(node.run(&["list"])?.is_empty());
    let said = node.fails_with(USAGE, &["import", "x.csv", "--to", "pier", "--tag", "t"])?;
    ensure!(said.contains("--create"), "{said}");
    Ok(())
}
