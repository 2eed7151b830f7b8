//! Output of the sink, read back by the reader of the same library.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, MetricRecord, Record, RunRecord, SCHEMA_VERSION,
    StepRecord, Table, Timestamp,
};
use batchlab_core::registry::{self, Kind};
use batchlab_core::sink::{SinkContext, WrittenFile};
use batchlab_core::{RecordWriter, Sink, SinkError};
use batchlab_testkit::records;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::file::metadata::RowGroupMetaData;
use sink_parquet::Parquet;

fn context(dir: &Path, run_id: &str) -> SinkContext {
    let metadata = [("tool_version", "0.1.0"), ("config_hash", "4f5e")];
    SinkContext {
        dir: dir.to_owned(),
        run_id: run_id.to_owned(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

fn small_groups(row_group_rows: u32) -> Parquet {
    Parquet { row_group_rows: row_group_rows.try_into().unwrap(), ..Parquet::default() }
}

fn steps(run_id: &str, range: std::ops::Range<i64>) -> Vec<StepRecord> {
    let row = |step| StepRecord {
        run_id: run_id.to_owned(),
        step,
        n_edge: 1000 + step,
        is_new_shape: step == 1,
        plan_ns: (step % 3 == 0).then_some(step * 10),
        step_ns: step * 1000 + 7,
        loss: 1.0 / step as f64,
        ..records::step(1)
    };
    range.map(row).collect()
}

fn write<R: Record>(writer: &mut dyn RecordWriter, rows: &[R]) -> Result<(), SinkError> {
    writer.write(R::TABLE, &R::to_batch(rows).unwrap())
}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let n_row = builder.metadata().file_metadata().num_rows();
    let schema = builder.schema().clone();
    let mut reader = builder.with_batch_size(usize::try_from(n_row).unwrap()).build().unwrap();
    let rows = reader.next().map_or_else(|| RecordBatch::new_empty(schema), |rows| rows.unwrap());
    assert!(reader.next().is_none());
    // Compared by content: the metadata of the file became metadata of the schema.
    RecordBatch::try_new(
        Schema::new(rows.schema().fields().clone()).into(),
        rows.columns().to_vec(),
    )
    .unwrap()
}

fn footer(path: &Path, options: ArrowReaderOptions) -> ArrowReaderMetadata {
    ArrowReaderMetadata::load(&File::open(path).unwrap(), options).unwrap()
}

fn groups(path: &Path) -> Vec<RowGroupMetaData> {
    footer(path, ArrowReaderOptions::new()).metadata().row_groups().to_vec()
}

fn path_of(written: &[WrittenFile], table: Table) -> PathBuf {
    written.iter().find(|file| file.table == table).unwrap().path.clone()
}

#[test]
fn rows_of_all_tables_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunRecord {
        run_id: "a".into(),
        started_at: Some(Timestamp(1_790_000_000_123_456)),
        config: "{\"seed\": 1}".repeat(1000),
        target_mean: Some(f64::MIN_POSITIVE),
        git_dirty: Some(true),
        n_parameter: Some(i64::MAX),
        ..records::run("")
    };
    let eval = EvalRecord { run_id: "a".into(), loss: Some(f64::NAN), ..records::eval(0) };
    let events = [None, Some(i64::MIN)].map(|step| EventRecord {
        run_id: "a".into(),
        at: Some(Timestamp(-1)),
        step,
        kind: "note".into(),
        message: "ångström \"quoted\"\n".into(),
        payload: None,
    });
    let metric = MetricRecord { value: -0.0, ..records::metric() };
    let block = records::block(3);
    let steps = steps("a", 1..100);

    let mut writer = Parquet::default().open(&context(dir.path(), "a")).unwrap();
    write(writer.as_mut(), &steps).unwrap();
    write(writer.as_mut(), std::slice::from_ref(&run)).unwrap();
    write(writer.as_mut(), std::slice::from_ref(&metric)).unwrap();
    write(writer.as_mut(), &events).unwrap();
    write(writer.as_mut(), std::slice::from_ref(&block)).unwrap();
    write(writer.as_mut(), std::slice::from_ref(&eval)).unwrap();
    let written = writer.finish().unwrap();

    assert_eq!(written.iter().map(|f| f.table).collect::<Vec<_>>(), Table::ALL);
    assert_eq!(written.iter().map(|f| f.n_row).collect::<Vec<_>>(), [1, 99, 1, 2, 1, 1]);
    for file in &written {
        assert_eq!(file.path, dir.path().join(file.table.name()).join("a.parquet"));
    }
    let check = |table, rows: RecordBatch| {
        // NaN differs from itself, but not when printed.
        assert_eq!(format!("{:?}", read(&path_of(&written, table))), format!("{rows:?}"));
    };
    check(Table::Runs, RunRecord::to_batch(&[run]).unwrap());
    check(Table::Steps, StepRecord::to_batch(&steps).unwrap());
    check(Table::Evals, EvalRecord::to_batch(&[eval]).unwrap());
    check(Table::Events, EventRecord::to_batch(&events).unwrap());
    check(Table::Metrics, MetricRecord::to_batch(&[metric]).unwrap());
    check(Table::Blocks, BlockRecord::to_batch(&[block]).unwrap());
}

#[test]
fn many_writes_are_one_table_in_groups_of_the_asked_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = small_groups(100).open(&context(dir.path(), "a")).unwrap();
    write(writer.as_mut(), &steps("a", 1..8)).unwrap();
    write(writer.as_mut(), &steps("a", 8..8)).unwrap();
    write(writer.as_mut(), &steps("a", 8..251)).unwrap();
    let path = path_of(&writer.finish().unwrap(), Table::Steps);
    assert_eq!(read(&path), StepRecord::to_batch(&steps("a", 1..251)).unwrap());
    assert_eq!(
        groups(&path).iter().map(RowGroupMetaData::num_rows).collect::<Vec<_>>(),
        [100, 100, 50]
    );
}

#[test]
fn complete_groups_leave_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = small_groups(1000).open(&context(dir.path(), "a")).unwrap();
    let file = dir.path().join("steps/a.parquet");
    let mut last = 0;
    for first in (1..50_000).step_by(10_000) {
        write(writer.as_mut(), &steps("a", first..first + 10_000)).unwrap();
        let length = fs::metadata(&file).unwrap().len();
        assert!(length > last, "nothing was written after {first} steps");
        last = length;
    }
    assert_eq!(groups(&path_of(&writer.finish().unwrap(), Table::Steps)).len(), 50);
}

#[test]
fn every_group_has_statistics_and_is_compressed_with_zstd() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = small_groups(10).open(&context(dir.path(), "a")).unwrap();
    write(writer.as_mut(), &steps("a", 1..31)).unwrap();
    let groups = groups(&path_of(&writer.finish().unwrap(), Table::Steps));
    assert_eq!(groups.len(), 3);
    for group in &groups {
        for column in group.columns() {
            let name = column.column_path().string();
            assert!(matches!(column.compression(), Compression::ZSTD(_)), "{name}");
            let statistics = column.statistics().expect("statistics");
            let nulls = statistics.null_count_opt().expect("a number of nulls");
            let all_null = nulls == group.num_rows().unsigned_abs();
            assert_eq!(statistics.min_bytes_opt().is_some(), !all_null, "{name}");
            assert_eq!(statistics.max_bytes_opt().is_some(), !all_null, "{name}");
        }
        let step = group.columns().iter().find(|c| c.column_path().string() == "step").unwrap();
        let least = step.statistics().unwrap().min_bytes_opt().unwrap();
        assert_eq!(i64::from_le_bytes(least.try_into().unwrap()) % 10, 1);
    }
}

/// A reader of thousands of runs would spend half of its time setting up decompression.
#[test]
fn of_the_row_of_a_run_only_the_configuration_is_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Parquet::default().open(&context(dir.path(), "a")).unwrap();
    write(writer.as_mut(), &[records::run("a")]).unwrap();
    let groups = groups(&path_of(&writer.finish().unwrap(), Table::Runs));
    for column in groups[0].columns() {
        let name = column.column_path().string();
        let is_compressed = column.compression() != Compression::UNCOMPRESSED;
        assert_eq!(is_compressed, name == "config", "{name}");
    }
}

#[test]
fn a_table_without_rows_is_a_file_with_all_columns() {
    let dir = tempfile::tempdir().unwrap();
    let written = Parquet::default().open(&context(dir.path(), "a")).unwrap().finish().unwrap();
    assert_eq!(written.len(), Table::ALL.len());
    for file in written {
        assert_eq!(file.n_row, 0);
        assert_eq!(read(&file.path), RecordBatch::new_empty(file.table.schema()));
    }
}

#[test]
fn files_of_two_runs_have_one_schema_and_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let write_run = |sink: Parquet, run_id: &str, n_step: i64| {
        let mut writer = sink.open(&context(dir.path(), run_id)).unwrap();
        write(writer.as_mut(), &steps(run_id, 1..1 + n_step)).unwrap();
        writer.finish().unwrap()
    };
    // One without rows, one with other options.
    let (a, b) = (write_run(Parquet::default(), "a", 0), write_run(small_groups(3), "b", 20));
    for table in Table::ALL {
        let (a, b) = (path_of(&a, table), path_of(&b, table));
        for skip in [false, true] {
            // Without Arrow's own metadata, the schema is the one that all other readers see.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(skip);
            let (a, b) = (footer(&a, options.clone()), footer(&b, options));
            assert_eq!(a.schema().fields(), table.schema().fields());
            assert_eq!(b.schema().fields(), table.schema().fields());
            assert_eq!(a.parquet_schema().root_schema(), b.parquet_schema().root_schema());
        }
    }
    let mut files: Vec<_> =
        fs::read_dir(dir.path().join("steps")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.iter().map(|path| read(path).num_rows()).collect::<Vec<_>>(), [0, 20]);
}

#[test]
fn the_footer_says_what_the_run_said_and_how_to_read_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut ctx = context(dir.path(), "a");
    ctx.metadata.push(("table".to_owned(), "not this".to_owned()));
    let written = Parquet::default().open(&ctx).unwrap().finish().unwrap();
    let footer = footer(&path_of(&written, Table::Evals), ArrowReaderOptions::new());
    let pairs = footer.metadata().file_metadata().key_value_metadata().unwrap();
    let values = |key: &str| -> Vec<&str> {
        let with_key = pairs.iter().filter(|pair| pair.key == key);
        with_key.filter_map(|pair| pair.value.as_deref()).collect()
    };
    assert_eq!(values("tool_version"), ["0.1.0"]);
    assert_eq!(values("config_hash"), ["4f5e"]);
    assert_eq!(values("table"), ["evals"]);
    assert_eq!(values("schema_version"), [SCHEMA_VERSION.to_string()]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("evals"), "a file where a folder should be").unwrap();
    let error = Parquet::default().open(&context(dir.path(), "a")).err().unwrap().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("evals"), "{error}");

    let locked = tempfile::tempdir().unwrap();
    let mut permissions = fs::metadata(locked.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(locked.path(), permissions).unwrap();
    if fs::write(locked.path().join("probe"), "").is_ok() {
        return; // The superuser may write anywhere.
    }
    let error = Parquet::default().open(&context(locked.path(), "a")).err().unwrap().to_string();
    assert!(error.contains("runs") && error.to_lowercase().contains("denied"), "{error}");
}

#[test]
fn a_file_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = context(dir.path(), "a");
    let first = Parquet::default().open(&ctx).unwrap();
    let error = Parquet::default().open(&ctx).err().unwrap();
    assert!(error.to_string().contains("a.parquet"), "{error}");
    first.finish().unwrap();
}

#[test]
fn a_run_identifier_stays_inside_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let error = Parquet::default().open(&context(dir.path(), "../a")).err().unwrap().to_string();
    assert!(error.contains("\"../a\" cannot be the stem of a file name"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn rows_of_another_table_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Parquet::default().open(&context(dir.path(), "a")).unwrap();
    let rows = MetricRecord::to_batch(&[records::metric()]).unwrap();
    let error = writer.write(Table::Steps, &rows).unwrap_err().to_string();
    assert!(error.contains("\"steps\"") && error.contains("a.parquet"), "{error}");
    assert!(error.contains("name: Utf8, value: Float64"), "{error}");
}

fn mistake(lines: &str) -> (String, String) {
    let source = format!("name = \"parquet\"\n{lines}\n");
    let table = toml::de::DeTable::parse(&source).unwrap();
    let registration = registry::find(Kind::Sink, "parquet").expect("registered");
    let error = registration.read_table(&table).unwrap_err();
    let place = error.span().map(|span| source[span].to_owned()).unwrap_or_default();
    (error.message().to_owned(), place)
}

#[test]
fn options_out_of_range_are_shown_at_their_place() {
    for level in ["0", "23", "-5"] {
        let (message, place) = mistake(&format!("compression_level = {level}"));
        assert!(message.contains("is out of range: give 1 (fast) to 22 (small)"), "{message}");
        assert_eq!(place, level);
    }
    let (message, place) = mistake("row_group_rows = 0");
    assert!(message.contains("nonzero"), "{message}");
    assert_eq!(place, "0");
    let (message, place) = mistake("compression = 3");
    assert!(message.contains("compression_level"), "{message}");
    assert_eq!(place, "compression");
}

#[test]
fn the_registered_example_is_the_default_and_shows_its_ranges() {
    let registration = registry::find(Kind::Sink, "parquet").expect("registered");
    let example = (registration.example)();
    assert_eq!(example["compression_level"], 3);
    assert_eq!(example["row_group_rows"], 65_536);
    assert!(serde_json::from_value::<Box<dyn Sink>>(example).is_ok());
    let bare = serde_json::json!({"name": "parquet"});
    assert!(serde_json::from_value::<Box<dyn Sink>>(bare).is_ok());
    let schema = (registration.schema)();
    let level = &schema["properties"]["compression_level"];
    assert_eq!((&level["minimum"], &level["maximum"]), (&1.into(), &22.into()), "{schema}");
    assert_eq!(registration.summary(), "Parquet files for any tool, one per table and run");
}
