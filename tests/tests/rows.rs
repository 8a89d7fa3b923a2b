//! Streams whose records are rows: several columns, each of a type, one record and one
//! proof a row.

use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::{PATIENCE, TestNode, USAGE};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

const WEATHER: &str = "temperature:number:°C,wind:integer:m/s,sky:text";

/// A CSV file with a column of each type, and what its rows are kept as.
const EVERY: &str = "a:number,n:integer,text:text,is:bool,at:time,what:json,data:bytes";
const FILE: &str = "date,data,what,at,is,text,n,a
2024-05-01T12:00:00Z,AP8=,\"{\"\"b\"\": [1.50]}\",2024-05-01,true,\"a, \"\"b\"\"
c\",9007199254740993,1.50
2024-05-01T13:00:00Z,,,,,,,
2024-05-01T16:00:00+02:00,,[],2024-05-01T14:00:00.5+02:00,FALSE, ü ,-7.0,.5
";
const ROWS: [&str; 3] = [
    r#"[1.50,9007199254740993,"a, \"b\"\nc",true,"2024-05-01T00:00:00.000000Z",{"b": [1.50]},"AP8="]"#,
    "[null,null,null,null,null,null,null]",
    r#"[0.5,-7," ü ",false,"2024-05-01T12:00:00.500000Z",[],null]"#,
];
const EXPORTED: &str = "index,time,a,n,text,is,at,what,data,token
0,2024-05-01T12:00:00.000000Z,1.5,9007199254740993,\"a, \"\"b\"\"
c\",true,2024-05-01T00:00:00.000000Z,\"{\"\"b\"\": [1.50]}\",AP8=,\"[1.50,9007199254740993,\"\"a, \\\"\"b\\\"\"\\nc\"\",true,\"\"2024-05-01T00:00:00.000000Z\"\",{\"\"b\"\": [1.50]},\"\"AP8=\"\"]\"
1,2024-05-01T13:00:00.000000Z,,,,,,,,
2,2024-05-01T14:00:00.000000Z,0.5,-7, ü ,false,2024-05-01T12:00:00.500000Z,[],,
";

fn create(node: &TestNode, name: &str, columns: &str) -> Result<String> {
    let created = node.json(&["stream", "create", name, "--columns", columns])?;
    Ok(created["id"].as_str().context("no id")?.to_owned())
}

fn file(node: &TestNode, name: &str, text: &str) -> Result<String> {
    let path = node.dir().join(name);
    fs::write(&path, text)?;
    Ok(path.to_str().context("the path is no text")?.to_owned())
}

/// The lines of an export as JSON.
fn ndjson(node: &TestNode, stream: &str) -> Result<Vec<Value>> {
    let text = node.run(&["export", stream, "--format", "ndjson"])?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<serde_json::Result<_>>()?)
}

#[tokio::test]
async fn a_file_of_several_typed_columns_is_read_equal_through_a_second_node() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = create(&publisher, "every", EVERY)?;
    let shown = publisher.show(&stream)?;
    ensure!(
        shown["columns"][1]
            == json!({"name": "n", "unit": "", "type": "integer", "description": ""})
    );
    ensure!(
        publisher
            .run(&["show", &stream])?
            .contains("rows of 7 columns")
    );
    let path = file(&publisher, "every.csv", FILE)?;
    publisher.run(&["publish", &stream, "--file", &path, "--time-column", "date"])?;

    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, 3).await?;
    for node in [&publisher, &follower] {
        ensure!(
            node.export(&stream)? == EXPORTED,
            "{}",
            node.export(&stream)?
        );
        let lines = ndjson(node, &stream)?;
        ensure!(lines[0]["n"] == 9_007_199_254_740_993_u64, "{}", lines[0]);
        ensure!(lines[0]["what"] == json!({"b": [1.5]}) && lines[0]["is"] == true);
        ensure!(lines[0].get("token").is_none() && lines[0].get("value").is_none());
        ensure!(lines[1]["a"].is_null() && lines[1]["text"].is_null());
        ensure!(lines[2]["text"] == " ü ", "{}", lines[2]);
    }
    let path = format!("/v1/streams/{stream}/observations?format=json&columns=n,a&limit=1");
    let two = follower.get(&path).await?;
    let time = "2024-05-01T12:00:00.000000Z";
    let wanted = json!([{"index": 0, "time": time, "n": 9_007_199_254_740_993_u64, "a": 1.5}]);
    ensure!(two == wanted, "{two}");
    let one = follower.run(&["export", &stream, "--columns", "is"])?;
    ensure!(
        one.lines().map(|line| line.split(',').nth(2)).eq([
            Some("is"),
            Some("true"),
            Some(""),
            Some("false")
        ]),
        "{one}"
    );
    let wet = follower.command(&["export", &stream, "--columns", "wet"])?;
    ensure!(String::from_utf8(wet.stderr)?.contains("no column `wet`"));
    ensure!(!wet.status.success());
    // One proof a row, of just these bytes.
    for (index, row) in ROWS.iter().enumerate() {
        let proof = follower.run(&["prove", &stream, &index.to_string()])?;
        let proof = file(&follower, "proof.json", &proof)?;
        let verified = follower.json(&["verify", &proof, "--stream", &stream])?;
        let value: Value = serde_json::from_str(row)?;
        ensure!(verified["value"] == value, "{verified}");
    }
    let csv = follower.dir().join("proved.csv");
    let csv = csv.to_str().context("the path is no text")?;
    follower.run(&[
        "export",
        &stream,
        "--format",
        "csv",
        "--with-proof",
        "-o",
        csv,
    ])?;
    follower.run(&["verify", csv, "--stream", &stream])?;
    let changed = fs::read_to_string(csv)?.replacen("1,2024", "1,2023", 1);
    fs::write(csv, changed)?;
    follower.fails(&["verify", csv, "--stream", &stream])?;
    Ok(())
}

#[tokio::test]
async fn hourly_weather_with_three_columns_is_one_stream_and_goes_on_where_it_ended() -> Result<()>
{
    const HOURS: usize = 2_000;
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/seattle-weather-hourly-normals.csv"
    );
    let data = fs::read_to_string(data)?;
    let lines: Vec<_> = data.lines().take(HOURS + 1).collect();
    let node = TestNode::new()?;
    let columns = "temperature:number:°C,wind:number:m/s,pressure:number:hPa";
    let stream = create(&node, "weather", columns)?;
    let publish = |hours: usize| -> Result<String> {
        let path = file(&node, "weather.csv", &lines[..=hours].join("\n"))?;
        let publish = [
            "publish",
            "weather",
            "--file",
            &path,
            "--time-column",
            "date",
        ];
        node.run(&[&publish[..], &["--resume"]].concat())
    };
    publish(HOURS / 2)?;
    publish(HOURS)?;
    let mut wanted = String::from("index,time,temperature,wind,pressure,token\n");
    for (index, line) in lines[1..].iter().enumerate() {
        let [date, pressure, temperature, wind] = line.split(',').collect::<Vec<_>>()[..] else {
            anyhow::bail!("{line} has other columns");
        };
        let cells = [temperature, wind, pressure];
        let plain = cells.map(|cell| cell.strip_suffix(".0").unwrap_or(cell));
        let token = match plain == cells {
            true => String::new(),
            false => format!("\"[{}]\"", cells.join(",")),
        };
        wanted.push_str(&format!(
            "{index},{date}.000000Z,{},{token}\n",
            plain.join(",")
        ));
    }
    ensure!(node.export(&stream)? == wanted);
    ensure!(publish(HOURS)?.contains("nothing"));
    Ok(())
}

#[tokio::test]
async fn rows_come_as_objects_or_arrays_by_every_door_and_leave_typed() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "weather", WEATHER)?;
    let mut tail = node.spawn(&["tail", &stream, "--follow", "--json", "--from", "0"])?;
    let output = tail.stdout.take().context("no output")?;
    let mut live = BufReader::new(output).lines();

    let time = ["--time", "2024-05-01T12:00:00Z"];
    let object = r#"{"sky":"clear","temperature":1.50}"#;
    node.run(&[&["publish", "weather", object][..], &time].concat())?;
    node.run(&[&["publish", "weather", "[-3,7,null]"][..], &time].concat())?;
    let lines = "{\"time\":\"2024-05-01T12:00:00Z\",\"wind\":\"8\"}\n\
                 {\"index\":9,\"time\":1714564800,\"time_unit\":\"s\",\"value\":[2,9,\"a\"]}\n";
    let args = ["publish", "weather", "--ndjson"];
    let output = node.command_with_input(&args, lines).await?;
    ensure!(output.status.success(), "{output:?}");
    node.append(
        &stream,
        "{\"time\":\"2024-05-01T12:00:00Z\",\"value\":{\"wind\":10}}\n[0,11,\"now\"]\n",
    )
    .await?;

    let wanted = [
        json!([1.5, null, "clear"]),
        json!([-3, 7, null]),
        json!([null, 8, null]),
        json!([2, 9, "a"]),
        json!([null, 10, null]),
        json!([0, 11, "now"]),
    ];
    let path = format!("/v1/streams/{stream}/observations?format=json");
    let all = node.get(&path).await?;
    for (index, row) in wanted.iter().enumerate() {
        let line = timeout(PATIENCE, live.next_line()).await??;
        let event: Value = serde_json::from_str(&line.context("the tail has ended")?)?;
        for observation in [&event, &all[index]] {
            let cells = ["temperature", "wind", "sky"].map(|name| &observation[name]);
            ensure!(json!(cells) == *row, "{observation} instead of {row}");
            ensure!(observation["index"] == index && observation.get("value").is_none());
        }
        ensure!(event["time"] == all[index]["time"]);
        ensure!(
            index == 5 || event["time"] == "2024-05-01T12:00:00.000000Z",
            "{event}"
        );
    }
    // The token of a number stays as it was given.
    let text = node.run(&["export", &stream, "--format", "ndjson", "--to", "1"])?;
    ensure!(
        text.contains(r#""temperature":1.50,"wind":null,"sky":"clear""#),
        "{text}"
    );
    let text = node.run(&["tail", &stream, "-n", "6"])?;
    ensure!(
        text.contains(r#"{"temperature":1.50,"wind":null,"sky":"clear"}"#),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_refused_with_its_column_before_anything_is_signed() -> Result<()>
{
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "weather", WEATHER)?;
    for (value, why) in [
        (
            r#"{"temperature":"warm"}"#,
            "column `temperature`: `warm` is not a number",
        ),
        (
            r#"{"rain":1}"#,
            "there is no column `rain`; there are: temperature, wind, sky",
        ),
        ("[1,2]", "it has 2 values for 3 columns"),
        ("[1,2,null,4]", "it has 4 values for 3 columns"),
        ("[1,2.5,null]", "column `wind`: `2.5` is not an integer"),
        (
            "[1e400,2,null]",
            "column `temperature`: `1e400` is beyond any double",
        ),
        ("{}", "it has no value for any column"),
        ("7", "it is no row"),
        ("calm", "in JSON"),
    ] {
        let errors = node.fails_with(USAGE, &["publish", "weather", value])?;
        ensure!(errors.contains(why), "{value}: {errors}");
        if value != "calm" {
            let body = format!("{{\"value\":{value}}}\n");
            let refused = node.append(&stream, body).await;
            let refused = refused.err().context("it was taken")?;
            ensure!(refused.to_string().contains(why), "{value}: {refused}");
        }
    }
    let head = "date,temperature,wind,sky\n2024-05-01,1,2,a\n";
    for (text, why) in [
        (
            format!("{head}2024-05-02,1,2.5,a\n"),
            "line 3: column `wind`: `2.5` is not an integer",
        ),
        (
            format!("{head}2024-05-02,n/a,2,a\n"),
            "line 3: column `temperature`: `n/a` is not a number; where there",
        ),
        (
            format!("{head}2024-05-02,1,2\n"),
            "line 3: it has 3 fields instead of 4",
        ),
        (
            "date,temperature,wind\n2024-05-01,1,2\n".to_owned(),
            "there is no column `sky`",
        ),
        (
            format!("{head}2024-05-02,1e400,2,a\n"),
            "line 3: column `temperature`: `1e400` is beyond any double",
        ),
        (head.replace("date", "day"), "there is no column `date`"),
    ] {
        let path = file(&node, "weather.csv", &text)?;
        let publish = [
            "publish",
            "weather",
            "--file",
            &path,
            "--time-column",
            "date",
        ];
        let output = node.command(&publish)?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(
            !output.status.success() && errors.contains(why),
            "{text}: {errors}"
        );
    }
    let path = file(&node, "weather.csv", head)?;
    let one = [
        "publish",
        "weather",
        "--file",
        &path,
        "--time-column",
        "date",
        "--value-column",
        "wind",
    ];
    ensure!(
        node.fails_with(USAGE, &one)?
            .contains("leave off --value-column")
    );
    let numbers = node.create("numbers")?;
    let table = [
        "publish",
        &numbers,
        "--file",
        &path,
        "--time-column",
        "date",
    ];
    ensure!(node.fails_with(USAGE, &table)?.contains("--value-column V"));
    ensure!(node.show(&stream)?["size"] == 0);
    Ok(())
}

#[tokio::test]
async fn a_file_tells_the_columns_of_the_stream_that_it_is_published_to() -> Result<()> {
    let node = TestNode::new()?;
    let path = file(&node, "every.csv", FILE)?;
    let create = ["stream", "create", "every", "--columns-from", &path];
    let output = node.command(&create)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("the times are in column date"), "{said}");
    ensure!(
        said.contains("column n: number (2 values, the first `9007199254740993`)"),
        "{said}"
    );
    let columns = node.show("every")?["columns"].clone();
    let types: Vec<_> = columns.as_array().context("no columns")?.iter().collect();
    let types: Vec<_> = types
        .iter()
        .map(|c| format!("{}:{}", c["name"], c["type"]))
        .collect();
    ensure!(
        types.join(" ").replace('"', "")
            == "data:text what:text at:time is:bool text:text n:number a:number",
        "{types:?}"
    );
    node.run(&["publish", "every", "--file", &path, "--time-column", "date"])?;
    ensure!(node.show("every")?["size"] == 3);

    let list = r#"[{"name":"n","type":"integer","description":"how many"}]"#;
    let list = file(&node, "columns.json", list)?;
    node.run(&["stream", "create", "counts", "--columns-from", &list])?;
    ensure!(node.show("counts")?["columns"][0]["description"] == "how many");
    node.run(&["publish", "counts", "[7]"])?;
    let none = file(&node, "none.csv", "a,b\n1,2\n")?;
    let output = node.command(&["stream", "create", "none", "--columns-from", &none])?;
    ensure!(String::from_utf8(output.stderr)?.contains("--time-column T"));
    Ok(())
}

#[tokio::test]
async fn of_a_file_with_more_columns_those_of_the_stream_are_read_and_the_others_said() -> Result<()>
{
    let node = TestNode::start(&[]).await?;
    create(&node, "weather", WEATHER)?;
    let text = "rain,day,SKY,wind,temperature\n5,2024-05-01,a,-0,9007199254740993\n";
    let path = file(&node, "weather.csv", text)?;
    let publish = |more: &[&str]| {
        let args = [
            "publish",
            "weather",
            "--file",
            &path,
            "--time-column",
            "day",
        ];
        node.command(&[&args[..], more].concat())
    };
    let missing = publish(&[])?;
    let errors = String::from_utf8(missing.stderr)?;
    ensure!(!missing.status.success(), "{errors}");
    for part in ["there is no column `sky`", "--column sky=HEADER"] {
        ensure!(errors.contains(part), "{errors}");
    }
    for (said, why) in [
        (
            &["--column", "sky=SKY", "--column", "sky=rain"][..],
            "column `sky` is said twice",
        ),
        (
            &["--column", "clouds=SKY"],
            "the stream has no column `clouds`",
        ),
        (&["--column", "sky=clouds"], "there is no column `clouds`"),
        (&["--column", "sky"], "`sky` is not NAME=HEADER"),
    ] {
        let refused = publish(said)?;
        let errors = String::from_utf8(refused.stderr)?;
        ensure!(
            !refused.status.success() && errors.contains(why),
            "{errors}"
        );
    }
    let published = publish(&["--column", "sky=SKY"])?;
    let said = String::from_utf8(published.stderr)?;
    ensure!(published.status.success(), "{said}");
    let left_out = "left out, because the stream has no such columns: `rain`\n";
    ensure!(said.matches(left_out).count() == 1, "{said}");
    let row = node.run(&["export", "weather", "--format", "csv"])?;
    let row = row.lines().nth(1).context("no row")?;
    ensure!(
        row == "0,2024-05-01T00:00:00.000000Z,9007199254740992,0,a,\"[9007199254740993,0,\"\"a\"\"]\"",
        "{row}"
    );
    Ok(())
}

#[tokio::test]
async fn a_zone_is_of_all_times_of_a_file_and_decimal_commas_make_columns_of_numbers() -> Result<()>
{
    let node = TestNode::new()?;
    let text = "seen;air;at\n2024-05-01 12:00;1,5;2024-05-01 11:30\n2024-05-02 12:00;2;2024-05-02T11:30Z\n";
    let path = file(&node, "local.csv", text)?;
    let create = ["stream", "create", "local", "--columns-from", &path];
    let output = node.command(&create)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.contains("numbers have a decimal comma"), "{said}");
    ensure!(said.contains("column air: number"), "{said}");
    let publish = ["publish", "local", "--file", &path, "--time-column", "seen"];
    let berlin = ["--time-zone", "Europe/Berlin"];
    node.run(&[&publish[..], &berlin].concat())?;
    let wanted = "index,time,air,at,token\n\
                  0,2024-05-01T10:00:00.000000Z,1.5,2024-05-01T09:30:00.000000Z,\n\
                  1,2024-05-02T10:00:00.000000Z,2,2024-05-02T11:30:00.000000Z,\n";
    ensure!(node.export("local")? == wanted, "{}", node.export("local")?);
    let twice = text.replace("2024-05-01 11:30", "2024-10-27 02:30");
    let path = file(&node, "twice.csv", &twice)?;
    let publish = ["publish", "local", "--file", &path, "--time-column", "seen"];
    let output = node.command(&[&publish[..], &berlin, &["--again"]].concat())?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        said.contains("line 2: column `at`: time `2024-10-27 02:30` is of an hour"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn rows_that_may_have_more_go_on_from_a_file_and_are_taken_back_as_they_were_written()
-> Result<()> {
    let node = TestNode::new()?;
    let about = node.create("page")?;
    let create = |name| {
        let columns = "a:number,b:text";
        node.json(&[
            "stream",
            "create",
            name,
            "--columns",
            columns,
            "--about",
            &about,
        ])
    };
    create("more")?;
    let text = "t,a,b\n2024-05-01,1,x\n2024-05-02,,\n";
    let publish = |text: &str| {
        let path = file(&node, "more.csv", text)?;
        let publish = ["publish", "more", "--file", &path, "--time-column", "t"];
        node.run(&[&publish[..], &["--resume"]].concat())
    };
    publish(text)?;
    node.run(&["publish", "more", "[2,null,3]", "--time", "2024-05-03"])?;
    publish(&format!("{text}2024-05-04,4,y\n"))?;
    let lines = node.run(&["export", "more", "--format", "ndjson"])?;
    ensure!(lines.lines().count() == 4, "{lines}");
    create("back")?;
    let back = ["publish", "back", "--ndjson"];
    let output = node.command_with_input(&back, &lines).await?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(node.run(&["export", "back", "--format", "ndjson"])? == lines);
    Ok(())
}

#[tokio::test]
async fn columns_that_a_stream_cannot_have_are_refused_when_it_is_created() -> Result<()> {
    let node = TestNode::new()?;
    let create =
        |columns: &str| node.command(&["stream", "create", "weather", "--columns", columns]);
    let many = |count: usize| {
        let columns: Vec<_> = (0..count).map(|place| format!("c{place}:number")).collect();
        columns.join(",")
    };
    for (columns, why) in [
        ("air", "column `air` has no type"),
        ("air:float", "`float` is not a type of columns"),
        ("air:number,AIR:text", "two of them have the name `AIR`"),
        ("time:time", "a column `time` already"),
        ("Token:text", "a column `Token` already"),
        ("value:number", "one column called `value`"),
        (&many(65), "65 are more than the 64"),
    ] {
        let output = create(columns)?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(
            !output.status.success() && errors.contains(why),
            "{columns}: {errors}"
        );
    }
    ensure!(create(&many(64))?.status.success());
    let both = [
        "stream",
        "create",
        "x",
        "--columns",
        WEATHER,
        "--value-type",
        "number",
    ];
    node.fails_with(USAGE, &both)?;
    // The same once more is the one that is there.
    let again = [
        "stream",
        "create",
        "weather",
        "--if-not-exists",
        "--columns",
    ];
    node.run(&[&again[..], &[&many(64)]].concat())?;
    let output = node.command(&[&again[..], &[WEATHER]].concat())?;
    let errors = String::from_utf8(output.stderr)?;
    ensure!(
        !output.status.success() && errors.contains("columns of it differ"),
        "{errors}"
    );
    Ok(())
}
