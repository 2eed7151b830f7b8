use std::fs;

use batchlab_core::View;
use batchlab_core::graphs::TargetKind;
use batchlab_core::registry::{Kind, find};
use batchlab_testkit::damage::{damaged, damages, loads_or_refuses};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const CUBE: &str = "Lattice=\"3 0 0 0 3 0 0 0 3\" Properties=species:S:1:pos:R:3";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn load(config: &Structures) -> Result<Graphs, String> {
    config.load(&LoadContext::new()).map_err(|error| error.to_string())
}

fn values(graphs: &Graphs) -> &[f64] {
    &graphs.target.as_ref().expect("a target").value
}

#[test]
fn any_property_of_extended_xyz_is_a_target() {
    let text = format!(
        "1\n{CUBE} energy=-1.5 phase=cubic\nFe 0 0 0\n1\n{CUBE} energy=2 phase=bcc\nNi 0 0 0\n2\nphase=none\nH 0 0 0\nH 9 9 9\n"
    );
    let folder = folder(&[("a.xyz", &text)]);
    let path = folder.path().join("a.xyz");
    let config = Structures {
        unit: Some("eV".into()),
        missing: Missing::Skip,
        ..Structures::new(path.clone(), "energy")
    };
    let graphs = load(&config).expect("two crystals");
    assert_eq!(values(&graphs), [-1.5, 2.0]);
    assert_eq!(graphs.name, ["a.xyz@0", "a.xyz@1"]);
    assert_eq!(
        graphs.target.as_ref().expect("a target").kind,
        TargetKind::Regression { unit: Some("eV".into()) }
    );
    assert_eq!(
        graphs.notes[..2],
        [("structures read".into(), 3), ("structures left out without target".into(), 1)]
    );
    let View::ManyGraphs(sizes) = graphs.view(&[0, 1]) else { panic!("many graphs") };
    // Within 5 angstrom in a simple cubic lattice of 3: 6, 12 at 4.24, and none at 5.2.
    assert_eq!(sizes.iter().map(|size| size.n_edge).collect::<Vec<_>>(), [18, 18]);
    assert_eq!(graphs.fields(), config.provides().fields);

    let refused = load(&Structures::new(path.clone(), "energy")).expect_err("one without");
    assert!(refused.contains("a.xyz:7: the structure has no `energy`; it has: phase"), "{refused}");
    let typo = load(&Structures::new(path.clone(), "enrgy")).expect_err("a typo");
    assert!(typo.contains("a.xyz:1: ") && typo.contains("did you mean \"energy\""), "{typo}");
    let nothing = Structures { missing: Missing::Skip, ..Structures::new(path.clone(), "gap") };
    assert!(
        load(&nothing)
            .expect_err("nothing")
            .contains("3 structures, and none has the target `gap`")
    );

    let classes = ["bcc", "cubic", "none"].map(str::to_owned).to_vec();
    let config = Structures { classes: classes.clone(), ..Structures::new(path.clone(), "phase") };
    let graphs = load(&config).expect("three structures");
    assert_eq!(values(&graphs), [1.0, 0.0, 2.0]);
    assert_eq!(graphs.target.expect("a target").kind, TargetKind::Classes { name: classes });
    let few = Structures { classes: vec!["cubic".into()], ..Structures::new(path, "phase") };
    assert!(
        load(&few).expect_err("a class").contains("a.xyz:4: `bcc` is none of the classes cubic")
    );
}

#[test]
fn a_table_names_structures_by_property_file_or_folder() {
    let poscar = "x\n1\n3 0 0\n0 3 0\n0 0 3\nNa\n1\nDirect\n0 0 0\n";
    let xyz = format!("1\n{CUBE} name=third\nFe 0 0 0\n");
    let files = folder(&[
        ("in/one/POSCAR", poscar),
        ("in/two.vasp", poscar),
        ("in/z.xyz", &xyz),
        ("targets.csv", "name,gap\ntwo,2.5\none, 1.5\nthird,3.5\n"),
        ("twice.csv", "name,gap\none,1\none,2\n"),
        ("less.csv", "name,gap\none,1\ntwo,x\n"),
        ("windows.csv", "name,gap\r\none,1\r\ntwo,x\r\n"),
        ("absent.csv", "name,gap\none,1\ntwo,nan\n"),
        ("mark.csv", "\u{feff}name,gap\ntwo,2.5\none,1.5\nthird,3.5\n"),
    ]);
    let with = |table: &str, id: &str| {
        let table = Some(Table { path: files.path().join(table), id: id.into() });
        Structures { table, ..Structures::new(files.path().join("in"), "gap") }
    };
    for table in ["targets.csv", "mark.csv"] {
        assert_eq!(values(&load(&with(table, "name")).expect("three")), [1.5, 2.5, 3.5]);
    }
    let graphs = load(&with("targets.csv", "name")).expect("three");
    assert_eq!(graphs.name, ["one", "two", "third"]);
    // For predictions, structures without a target are kept.
    let ctx = LoadContext { needs_target: false, ..LoadContext::new() };
    let graphs = with("absent.csv", "name").load(&ctx).expect("three");
    assert_eq!(graphs.name, ["one", "two", "in/z.xyz"].map(|name| name.trim_start_matches("in/")));
    let target = graphs.target.expect("a target");
    assert_eq!([0, 1, 2].map(|graph| target.known(graph)), [Some(1.0), None, None]);
    let fault = |config: &Structures| load(config).expect_err("a fault");
    let twice = fault(&with("twice.csv", "name"));
    assert!(twice.contains("twice.csv:3: `one` has the value `1` already"), "{twice}");
    let column = fault(&with("targets.csv", "nam"));
    assert!(column.contains("no column `nam`") && column.contains("name, gap"), "{column}");
    let value = fault(&with("less.csv", "name"));
    assert!(value.contains("less.csv:3: `gap` is `x`, which is not a finite number"), "{value}");
    let windows = fault(&with("windows.csv", "name"));
    assert!(windows.contains("windows.csv:3: `gap` is `x`"), "{windows}");
    let skip = |table| Structures { missing: Missing::Skip, ..with(table, "name") };
    assert_eq!(fault(&skip("less.csv")), value, "wrong values are not left out");
    let absent = fault(&with("absent.csv", "name"));
    assert!(absent.contains("absent.csv:3: `gap` has no value here, found `nan`"), "{absent}");
    assert_eq!(values(&load(&skip("absent.csv")).expect("one")), [1.0]);
}

#[test]
fn names_and_classes_are_compared_as_they_are_written() {
    let names = ["7", "007", "12e4", "\"1.0\"", "'1'"];
    let xyz = names.map(|n| format!("1\n{CUBE} name={n} kind=01\nFe 0 0 0\n")).concat();
    let table = "name,e\n120000,-1\n7,1\n12e4,3\n007,2\n1,5\n1.0,4\n";
    let folder = folder(&[("a.xyz", &xyz), ("t.csv", table), ("less.csv", "name,e\n7,1\n")]);
    let [path, table, less] = ["a.xyz", "t.csv", "less.csv"].map(|name| folder.path().join(name));
    let table = Some(Table { path: table, id: "name".into() });
    let config = Structures { table, ..Structures::new(path.clone(), "e") };
    assert_eq!(values(&load(&config).expect("five")), [1.0, 2.0, 3.0, 4.0, 5.0]);
    let less = Some(Table { path: less, id: "name".into() });
    let fault = load(&Structures { table: less, ..config }).expect_err("no row");
    assert!(fault.contains("a.xyz:4: the table of targets has no row") && fault.contains("as 007"));

    let kind = |class: &str| Structures {
        classes: vec!["02".into(), class.into()],
        ..Structures::new(path.clone(), "kind")
    };
    assert_eq!(values(&load(&kind("01")).expect("classes")), [1.0; 5]);
    assert!(load(&kind("1")).expect_err("another").contains("`01` is none of the classes 02, 1"));
}

#[test]
fn only_what_is_absent_may_be_missing() {
    for (value, is_absent) in [
        ("2.0eV", false),
        ("1,5", false),
        ("oops", false),
        ("1e400", false),
        ("-inf", false),
        ("nan", true),
        ("None", true),
        ("\"\"", true),
    ] {
        let text = format!("1\n{CUBE} e=1\nFe 0 0 0\n1\n{CUBE} e={value}\nFe 0 0 0\n");
        let folder = folder(&[("a.xyz", &text)]);
        let config = Structures::new(folder.path().join("a.xyz"), "e");
        let refused = load(&config).expect_err(value);
        assert!(
            refused.contains("a.xyz:4: `e` ") && refused.contains(value.trim_matches('"')),
            "{refused}"
        );
        let skip = load(&Structures { missing: Missing::Skip, ..config });
        match skip {
            Ok(graphs) => {
                assert!(is_absent, "{value} was left out");
                assert_eq!((values(&graphs), graphs.notes[1].1), (&[1.0][..], 1));
            }
            Err(fault) => assert!(!is_absent && fault == refused, "{value}: {fault}"),
        }
    }
}

#[test]
fn structures_that_share_a_row_are_counted() {
    let one = format!("1\n{CUBE}\nFe 0 0 0\n");
    let folder = folder(&[
        ("in/a.xyz", &one.repeat(2)),
        ("in/x/a.xyz", &one),
        ("in/b.xyz", &one),
        ("t.csv", "name,e\na,1\nb,2\n"),
    ]);
    let table = Some(Table { path: folder.path().join("t.csv"), id: "name".into() });
    let config = Structures { table, ..Structures::new(folder.path().join("in"), "e") };
    let graphs = load(&config).expect("four");
    assert!(graphs.notes.contains(&("structures that share a row of the table".into(), 3)));
}

#[test]
fn slabs_and_wires_have_neighbours_along_their_directions_or_are_left_out() {
    let frame = |pbc: &str| format!("1\n{CUBE} e=1 pbc=\"{pbc}\"\nFe 0 0 0\n");
    let text = ["T T T", "T T F", "F\tF\tT", "F F F"].map(frame).concat();
    let folder = folder(&[("a.xyz", &text)]);
    let kept = Structures {
        edges: EdgeRule::Radius(3.5.try_into().expect("a radius")),
        ..Structures::new(folder.path().join("a.xyz"), "e")
    };
    let n_edge = |graphs: &Graphs| {
        let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
        let View::ManyGraphs(sizes) = graphs.view(&members) else { panic!("many graphs") };
        sizes.iter().map(|size| size.n_edge).collect::<Vec<_>>()
    };
    assert_eq!(n_edge(&load(&kept).expect("four")), [6, 4, 2, 0]);
    let some = Structures { partly_periodic: PartlyPeriodic::Skip, ..kept };
    let graphs = load(&some).expect("two");
    assert_eq!(n_edge(&graphs), [6, 0]);
    assert_eq!(graphs.name, ["a.xyz@0", "a.xyz@3"]);
    assert!(graphs.notes.contains(&("structures left out as partly periodic".into(), 2)));
    fs::write(&some.path, frame("T F F")).expect("a file");
    let nothing = load(&some).expect_err("nothing left");
    assert!(
        nothing.contains("1 structures, and none that repeats along all directions"),
        "{nothing}"
    );
}

#[test]
fn molecules_may_be_fully_connected_and_crystals_not() {
    let text = format!("2\ne=1\nH 0 0 0\nH 9 0 0\n1\n{CUBE} e=1\nFe 0 0 0\n");
    let folder = folder(&[("a.xyz", &text)]);
    let path = folder.path().join("a.xyz");
    let all = Structures { edges: EdgeRule::FullyConnected, ..Structures::new(path, "e") };
    let fault = load(&all).expect_err("a crystal");
    assert!(fault.contains("a.xyz:5: a periodic structure cannot be fully connected"), "{fault}");
    let first = Structures { limit: NonZeroUsize::new(1), ..all };
    let View::ManyGraphs(sizes) = load(&first).expect("a molecule").view(&[0]) else {
        panic!("many graphs")
    };
    assert_eq!(sizes[0].n_edge, 2);
}

#[test]
fn crystals_in_a_table_of_cif() {
    let config = Structures {
        edges: EdgeRule::Nearest(12.try_into().expect("not 0")),
        unit: Some("eV/atom".into()),
        ..Structures::new(batchlab_testkit::fixture("perov_5_100.csv.xz"), "heat_ref")
    };
    let graphs = load(&config).expect("perovskites");
    assert_eq!((graphs.n_member(), graphs.n_node()), (100, 500));
}

#[test]
fn the_configuration_is_read_strictly_and_described() {
    let parse = |text: &str| toml::from_str::<Structures>(text);
    assert_eq!(
        parse("path = \"x\"\ntarget = \"e\"").expect("defaults"),
        Structures::new("x".into(), "e")
    );
    let table = parse(
        "path = \"x\"\ntarget = \"e\"\ntable = { path = \"t.csv\", id = \"name\" }\nmissing = \"skip\"",
    );
    assert_eq!(table.expect("options").missing, Missing::Skip);
    for wrong in [
        "path = \"x\"",
        "path = \"x\"\ntarget = \"e\"\nmissing = \"drop\"",
        "path = \"x\"\ntarget = \"e\"\ntable = {}",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let nowhere = Structures::new("".into(), "e");
    for fault in [nowhere.check().map(drop), nowhere.load(&LoadContext::new()).map(drop)] {
        let fault = fault.expect_err("no path").to_string();
        assert_eq!(fault, "`path` is empty; set it to a file or a folder");
    }
    let table = Some(Table { path: "".into(), id: "name".into() });
    let fault = Structures { table, ..Structures::new("x".into(), "e") }.check();
    assert!(fault.expect_err("no table").to_string().starts_with("`table.path` is empty"));
    let registration = find(Kind::Dataset, "structures").expect("registered");
    let example: Box<dyn Dataset> =
        serde_json::from_value((registration.example)()).expect("an example");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let ctx = LoadContext { search: vec![root], ..LoadContext::new() };
    assert_eq!(example.load(&ctx).expect("the example").n_member(), 2000);
    let schema = (registration.schema)();
    for (field, schema) in schema["properties"].as_object().expect("fields") {
        assert!(schema["description"].is_string(), "{field}");
    }
}

proptest! {
    #[test]
    fn damaged_structures_and_tables_are_read_or_refused(in_table in any::<bool>(), damages in damages()) {
        let xyz = format!("1\n{CUBE} tag=a\nFe 0 0 0\n1\n{CUBE} tag=b\nNi 0 0 0\n");
        let folder = folder(&[("in.xyz", &xyz), ("table.csv", "tag,gap,phase\na,1.5,x\nb,-2e-3,y\n")]);
        let [xyz, table] = ["in.xyz", "table.csv"].map(|name| folder.path().join(name));
        let path = if in_table { &table } else { &xyz };
        let bytes = damaged(&fs::read(path).expect("a file"), &damages);
        let table = Some(Table { path: table.clone(), id: "tag".into() });
        let edges = EdgeRule::Nearest(2.try_into().expect("not 0"));
        let dataset = Structures { table, edges, ..Structures::new(xyz.clone(), "gap") };
        loads_or_refuses(&dataset, path, &bytes).map_err(TestCaseError::fail)?;
    }
}

const FRAMES: &str = "2
energy=-1.5 dipole=\"0 0 1.5\" Properties=species:S:1:pos:R:3:forces:R:3:tag:I:1:fixed:L:1:note:S:1
H 0 0 0 0.5 0 -1 7 T a
H 0 0 0.8 -0.5 0 1 8 F b
1
energy=2 Properties=species:S:1:pos:R:3:forces:R:3:tag:I:1:fixed:L:1 dipole=\"1 2 3\"
O 0 0 0 0 0 0.25 -9 T
";

fn with_fields(path: PathBuf, fields: &[&str]) -> Structures {
    let fields = fields.iter().map(|&field| field.to_owned()).collect();
    Structures { fields, ..Structures::new(path, "energy") }
}

#[test]
fn columns_and_keys_of_extended_xyz_are_own_fields() {
    let folder = folder(&[("a.xyz", FRAMES)]);
    let path = folder.path().join("a.xyz");
    let config = with_fields(path.clone(), &["forces", "tag", "fixed", "dipole"]);
    let graphs = load(&config).expect("two structures");
    let [forces, tag, fixed, dipole] = &graphs.own[..] else { panic!("four fields") };
    let expected = [0.5, 0.0, -1.0, -0.5, 0.0, 1.0, 0.0, 0.0, 0.25];
    assert_eq!(forces.values::<f32>().expect("floats"), expected);
    assert_eq!(tag.values::<i32>().expect("integers"), [7, 8, -9]);
    assert_eq!(fixed.values::<u8>().expect("flags"), [1, 0, 1]);
    assert_eq!(dipole.values::<f32>().expect("floats"), [0.0, 0.0, 1.5, 1.0, 2.0, 3.0]);
    assert_eq!(graphs.fields(), config.provides().fields);

    // A field costs nothing unless it is requested.
    assert!(load(&with_fields(path, &[])).expect("two structures").own.is_empty());
}

#[test]
fn fields_that_structures_lack_or_that_do_not_fit_are_refused() {
    let refused = |text: &str, fields: &[&str]| {
        let folder = folder(&[("a.xyz", text)]);
        load(&with_fields(folder.path().join("a.xyz"), fields)).expect_err("refused")
    };
    let typo = refused(FRAMES, &["force"]);
    assert!(
        typo.contains("a.xyz:1: the structure has no field `force`, did you mean \"forces\"?; it has: forces, tag, fixed,"),
        "{typo}"
    );
    assert!(typo.contains("missing = \"skip\""), "{typo}");
    let text = refused(FRAMES, &["note"]);
    assert!(text.contains("the structure has no field `note`"), "{text}");
    let word = refused(&FRAMES.replace("0.25", "x"), &["forces"]);
    assert!(
        word.contains("a.xyz:7: the column `forces` should hold a finite number, found `x`"),
        "{word}"
    );
    let number = refused(&FRAMES.replace("-9", "0.5"), &["tag"]);
    assert!(number.contains("a.xyz:7: the column `tag` should hold a whole number"), "{number}");
    let other = refused(&FRAMES.replace("1 2 3", "1 2"), &["dipole"]);
    assert!(
        other.contains(
            "a.xyz:5: the field `dipole` has 2 numbers of type f32 per structure here, but 3 numbers of type f32 per \
             structure before"
        ),
        "{other}"
    );
    let list = refused(&FRAMES.replace("1 2 3", "x"), &["dipole"]);
    assert!(list.contains("a.xyz:5: the field `dipole` is `x`, which is not"), "{list}");
}

/// Structures that have not been computed yet have no forces.
#[test]
fn for_predictions_absent_fields_are_nan() {
    let text = format!("1\nProperties=species:S:1:pos:R:3\nO 0 0 0\n{FRAMES}");
    let folder = folder(&[("a.xyz", &text)]);
    let config = with_fields(folder.path().join("a.xyz"), &["forces"]);
    let ctx = LoadContext { needs_target: false, ..LoadContext::new() };
    let forces = |graphs: &Graphs| graphs.own[0].values::<f32>().expect("floats");
    let graphs = config.load(&ctx).expect("three structures");
    assert!(forces(&graphs)[..3].iter().all(|force| force.is_nan()));
    assert_eq!(forces(&graphs)[3..6], [0.5, 0.0, -1.0]);
    assert!(
        load(&config).expect_err("for training").contains("a.xyz:1: the structure has no field")
    );
    let skip = Structures { missing: Missing::Skip, ..config };
    let graphs = load(&skip).expect("two structures");
    assert_eq!((graphs.n_member(), forces(&graphs).len()), (2, 9));
    assert!(graphs.notes.contains(&("structures left out without a field".to_owned(), 1)));
}
