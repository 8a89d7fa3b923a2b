//! What a stream has of a file already: nothing gets into it twice, and what was
//! changed is not taken for something new.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::TestNode;

use super::{ensure_says, path};

/// A node with a stream that has the rows of the file `days.csv`.
struct Published {
    node: TestNode,
    stream: String,
    file: String,
}

impl Published {
    async fn new(rows: &[&str]) -> Result<Self> {
        let node = TestNode::start(&[]).await?;
        let (stream, file) = (node.create("numbers")?, path(&node, "days.csv")?);
        let published = Self { node, stream, file };
        published.write(rows)?;
        published.node.run(&published.publish(&[]))?;
        Ok(published)
    }

    /// A row of three is its day of May 2024 and its value.
    fn write(&self, rows: &[&str]) -> Result<()> {
        let rows = rows.iter().map(|row| format!("2024-05-{row}\n"));
        fs::write(
            &self.file,
            format!("ts,value\n{}", rows.collect::<String>()),
        )?;
        Ok(())
    }

    fn publish<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let args = ["publish", &self.stream, "--file", &self.file];
        let columns = ["--time-column", "ts", "--value-column", "value"];
        [&args[..], &columns, more].concat()
    }

    fn size(&self) -> Result<u64> {
        super::number(&self.node.show(&self.stream)?, "size")
    }

    /// These rows cannot be gone on with; says why.
    fn refused(&self, rows: &[&str]) -> Result<String> {
        self.write(rows)?;
        let size = self.size()?;
        let errors = self.node.fails(&self.publish(&["--resume"]))?;
        ensure!(self.size()? == size, "{errors}");
        ensure_says(&errors, &["cannot resume"])?;
        Ok(errors)
    }

    /// So many of these rows are new.
    fn taken(&self, rows: &[&str], new: u64) -> Result<()> {
        self.write(rows)?;
        let size = self.size()?;
        self.node.run(&self.publish(&["--resume"]))?;
        let now = self.size()?;
        ensure!(
            now == size + new,
            "{rows:?}: {} instead of {new}",
            now - size
        );
        Ok(())
    }
}

#[tokio::test]
async fn a_row_that_was_changed_is_not_taken_for_a_new_one() -> Result<()> {
    let stream = Published::new(&["01,1", "02,2", "03,3"]).await?;
    let changed = ["line 4", "`3.5`", "record 2", "`3`", "was changed"];
    for rows in [
        &["01,1", "02,2", "03,3.5"][..],
        &["01,1", "02,2", "03,3.5", "04,4"],
    ] {
        ensure_says(&stream.refused(rows)?, &changed)?;
    }
    let errors = stream.refused(&["01,1", "02,2.5", "03,3", "04,4"])?;
    ensure_says(&errors, &["line 3", "`2.5`", "record 1", "`2`"])?;
    let errors = stream.refused(&["01,0", "02,2", "03,3", "04,4"])?;
    ensure_says(&errors, &["does not have the first row"])?;
    // A row was put between, or two change places.
    let errors = stream.refused(&["01,1", "02,2", "02T12:00,9", "03,3", "04,4"])?;
    ensure_says(&errors, &["line 5", "record 2", "but not line 4"])?;
    ensure_says(
        &stream.refused(&["01,1", "03,3", "02,2", "04,4"])?,
        &["record 1"],
    )?;
    ensure_says(&stream.refused(&["03,3", "01,1", "04,4"])?, &["record 0"])?;
    // Without a row that the stream has nothing is in it twice.
    stream.taken(&["01,1", "03,3", "04,4"], 1)?;
    stream.taken(&["01,1", "02,2", "03,3", "04,4", "05,5"], 1)?;
    stream.taken(&["01,1", "02,2", "03,3", "04,4", "05,5"], 0)
}

#[tokio::test]
async fn rows_of_one_time_are_told_apart_by_their_values_and_order() -> Result<()> {
    let stream = Published::new(&["01,1", "01,2", "01,3"]).await?;
    for rows in [
        ["01,2", "01,1", "01,3", "02,4"],
        ["01,1", "01,3", "01,2", "02,4"],
        ["01,3", "01,2", "01,1", "02,4"],
    ] {
        ensure_says(&stream.refused(&rows)?, &["record"])?;
    }
    stream.taken(&["01,1", "01,2", "01,3", "01,4", "02,1"], 2)
}

#[tokio::test]
async fn a_file_that_has_its_rows_twice_is_refused() -> Result<()> {
    let stream = Published::new(&["01,1", "01,1", "01,2"]).await?;
    let twice = ["02,1", "03,2", "04,3", "02,1", "03,2", "04,3"];
    stream.write(&twice)?;
    let file = stream.file.clone();
    for args in [
        stream.publish(&[]),
        stream.publish(&["--resume"]),
        vec!["import", &file, "--check"],
        vec!["import", &file, "--create", "old"],
        vec!["import", &file, "--unsigned", "old"],
        vec!["import", &file, "--to", &stream.stream, "--resume"],
    ] {
        let errors = stream.node.fails(&args)?;
        ensure_says(
            &errors,
            &["rows twice", "3 rows", "line 5, as line 2", "--again"],
        )?;
    }
    ensure!(stream.size()? == 3);
    stream.node.run(&stream.publish(&["--again"]))?;
    ensure!(stream.size()? == 9);
    // Two copies with their headers, and one that has grown.
    let text = fs::read_to_string(&file)?.replace("2024-05", "2024-06");
    fs::write(&file, format!("{text}{text}2024-06-05,5\n"))?;
    ensure_says(
        &stream.node.fails(&stream.publish(&["--skip-bad"]))?,
        &["rows twice"],
    )?;
    // One row that is there again is said.
    stream.write(&["11,1", "12,2", "11,1", "13,3"])?;
    let output = stream.node.command(&stream.publish(&[]))?;
    ensure!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr)?;
    ensure_says(
        &said,
        &["1 row is there a second time", "line 4, as line 2"],
    )
}

#[tokio::test]
async fn one_record_far_ahead_is_no_end_of_a_stream() -> Result<()> {
    let stream = Published::new(&["01,1", "02,2"]).await?;
    let ahead = "2106-02-07T06:28:15Z";
    stream
        .node
        .run(&["publish", &stream.stream, "0", "--time", ahead])?;
    stream.write(&["03,3", "04,4"])?;
    stream.node.run(&stream.publish(&[]))?;
    ensure!(stream.size()? == 5);
    for rows in [&["03,3", "04,4"][..], &["04,4", "05,5"], &["02T12:00,9"]] {
        stream.write(rows)?;
        ensure_says(&stream.node.fails(&stream.publish(&[]))?, &["--again"])?;
    }
    // Many rows ahead are forecasts, which have an order like all others.
    let forecast = |value: u32| {
        let hours = (0..24).map(|hour| format!("2099-05-01T{hour:02}:00:00Z,{value}\n"));
        format!("ts,value\n{}", hours.collect::<String>())
    };
    let (plan, plan_file) = (stream.node.create("plan")?, path(&stream.node, "plan.csv")?);
    fs::write(&plan_file, forecast(1))?;
    stream.node.run(&["import", &plan_file, "--to", &plan])?;
    fs::write(&plan_file, forecast(2))?;
    let errors = stream.node.fails(&["import", &plan_file, "--to", &plan])?;
    ensure_says(&errors, &["2099-05-01T23:00:00", "--again"])?;
    // What lies ahead is not there twice either, in the stream or in files.
    let file = stream.file.clone();
    fs::write(&file, format!("ts,value\n2024-05-05,5\n{ahead},0\n"))?;
    ensure_says(
        &stream.node.fails(&stream.publish(&[]))?,
        &["line 3", "record 2", "--again"],
    )?;
    fs::write(&file, format!("ts,value\n2024-05-05,5\n{ahead},1\n"))?;
    stream.node.run(&stream.publish(&[]))?;
    let next = path(&stream.node, "next.csv")?;
    fs::write(&next, "ts,value\n2024-05-06,6\n2024-05-07,7\n")?;
    let import = ["import", &file, &next, "--create", "old"];
    ensure!(stream.node.json(&import)?["rows"] == 4);
    // It goes on behind what it has, too.
    let both = ["import", &file, &next, "--to", &stream.stream, "--resume"];
    let more = stream.node.json(&both)?;
    ensure!(more["from"] == 7 && more["to"] == 9, "{more}");
    Ok(())
}
