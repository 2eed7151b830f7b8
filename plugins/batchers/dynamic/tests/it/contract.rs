//! The batcher contract for every padding.

use batcher_dynamic::Dynamic;
use batchlab_core::{
    BatchBuffer, BatchContext, BatchEvent, BatchFields, BatchPlan, Batcher, Level, Purpose,
};
use batchlab_testkit::batcher;
use proptest::prelude::*;

fn open(options: &str) -> Box<dyn Batcher> {
    Box::new(toml::from_str::<Dynamic>(options).expect("a valid configuration"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        sizes in batcher::sizes(),
        batch_size in 2_u32..12,
        // With estimates from few graphs, later ones may be oversize.
        n_estimate in 1_u32..60,
        rule in prop::sample::select(vec![
            "\"mean\"", "\"maximum\"", "{ quantile = 0.9 }", "{ by_edges = 0.5 }",
        ]),
        reserve in prop::sample::select(vec!["within", "apart"]),
        oversize in prop::sample::select(vec!["single", "grow"]),
        shared in batcher::group_options(),
    ) {
        let options = format!(
            "batch_size = {batch_size}\n{shared}oversize = \"{oversize}\"\n\
             estimate = {{ rule = {rule}, from = {{ first = {n_estimate} }}, reserve = \"{reserve}\" }}"
        );
        batcher::check(&*open(&options), &sizes);
    }

    #[test]
    fn no_batch_exceeds_the_budget(sizes in batcher::sizes(), n_node in 31_u32..90, n_edge in 60_u32..90) {
        let options = format!("batch_size = 9\nbudget = {{ n_node = {n_node}, n_edge = {n_edge} }}");
        for plan in batcher::evaluate(&*open(&options), &batcher::view(&sizes)) {
            prop_assert_eq!((plan.shape.n_node, plan.shape.n_edge), (n_node, n_edge));
            prop_assert!(plan.real.n_node < n_node && plan.real.n_edge <= n_edge);
        }
    }
}

#[test]
fn an_oversize_graph_is_alone_or_an_error() {
    let view = batcher::view(&[[4, 12], [100, 9900], [4, 12]]);
    let budget = "batch_size = 9\nbudget = { n_node = 32, n_edge = 64 }";
    let plans = batcher::evaluate(&*open(budget), &view);
    let members: Vec<usize> = plans.iter().map(|plan| plan.members.len()).collect();
    assert_eq!(members, [1, 1, 1]);
    assert_eq!((plans[1].shape.n_node, plans[1].shape.n_edge), (128, 9920));

    let strict = open(&format!("{budget}\noversize = \"error\""));
    let error = strict.open(view, BatchContext::new(Purpose::Training, 1)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "graph 1003 has 100 nodes and 9900 edges, more than a batch may hold (31 nodes, 64 edges): \
         give a larger budget or batch_size, or oversize = \"single\""
    );
}

#[test]
fn labels_say_grouping_and_padding() {
    let label = |options: &str| open(&format!("batch_size = 8\n{options}")).label();
    assert_eq!(label(""), "dynamic");
    assert_eq!(label("padding = \"none\""), "dynamic-exact");
    assert_eq!(label("padding = { multiple = 64 }\ncomposition = \"fixed\""), "dynamic-64-fixed");
    assert_eq!(
        label("budget = { n_node = 99 }\nestimate = { rule = { quantile = 0.9 } }"),
        "dynamic-budget.n_node=99-estimate.rule.quantile=0.9"
    );
    // Without a limit on graphs, results have no batch size.
    assert_eq!(
        label("padding = \"none\"\nresources = [\"nodes\", \"edges\"]"),
        "dynamic-exact-batch_size=8-resources=[nodes,edges]"
    );
    assert_eq!(label("epoch_boundary = \"emit-partial\""), "dynamic-emit-partial");
}

fn limited() -> impl Strategy<Value = String> {
    let resources = prop::sample::subsequence(vec!["graphs", "nodes", "edges", "bytes"], 1..=4);
    let padding = prop::sample::select(vec!["\"none\"", "{ multiple = 64 }", "{ power = 2 }"]);
    (resources, padding)
        .prop_map(|(resources, padding)| format!("resources = {resources:?}\npadding = {padding}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract_under_any_limits(
        sizes in batcher::sizes(), batch_size in 2_u32..12, limited in limited(),
    ) {
        batcher::check(&*open(&format!("batch_size = {batch_size}\n{limited}")), &sizes);
    }

    #[test]
    fn bytes_are_limited_after_padding(
        sizes in batcher::sizes(),
        n_byte in 4000_u64..40_000,
        padding in prop::sample::select(vec!["\"none\"", "{ multiple = 64 }", "{ power = 2 }"]),
    ) {
        let options = format!("batch_size = 50\nresources = [\"bytes\"]\npadding = {padding}\nbudget = {{ n_byte = {n_byte} }}");
        for plan in batcher::evaluate(&*open(&options), &batcher::view(&sizes)) {
            let taken = BatchBuffer::n_byte(Level::Graphs, plan.shape, &BatchFields::default(), 0) as u64;
            prop_assert!(taken <= n_byte || plan.members.len() == 1, "{taken} bytes");
        }
    }
}

#[test]
fn nodes_alone_are_limited_as_in_pyg() {
    let sizes = [[10, 5]; 20];
    let nodes = open(
        "batch_size = 4\nresources = [\"nodes\"]\npadding = \"none\"\nbudget = { n_node = 81 }",
    );
    assert_eq!(nodes.batch_size(), None);
    let plans = batcher::evaluate(&*nodes, &batcher::view(&sizes));
    assert_eq!(plans.iter().map(|p| p.members.len()).collect::<Vec<_>>(), [8, 8, 4]);
}

const LARGE: [[u32; 2]; 4] = [[4, 12], [100, 9900], [4, 12], [70, 20]];
const BUDGET: &str = "batch_size = 9\nbudget = { n_node = 32, n_edge = 64 }";

fn events(policy: &str, composition: &str) -> Vec<BatchEvent> {
    let options = format!("{BUDGET}\noversize = \"{policy}\"\ncomposition = \"{composition}\"");
    let ctx = BatchContext::new(Purpose::Training, 1);
    let mut stream = open(&options).open(batcher::view(&LARGE), ctx).unwrap();
    let mut events = Vec::new();
    let mut plan = BatchPlan::default();
    for _ in 0..9 {
        stream.next(&mut plan).unwrap();
        events.extend(stream.take_events());
    }
    assert!(plan.cursor.epoch > 1);
    events
}

#[test]
fn every_oversize_graph_is_reported_once() {
    for policy in ["single", "grow", "skip"] {
        for composition in ["every-epoch", "fixed"] {
            let graphs: Vec<_> =
                events(policy, composition).into_iter().map(|event| event.graph).collect();
            assert_eq!(graphs, [Some(1003), Some(1009)], "{policy}, {composition}");
        }
    }
    let message = &events("grow", "fixed")[0].message;
    assert_eq!(
        message,
        "graph 1003 has 100 nodes and 9900 edges, more than a batch may hold (31 nodes, 64 edges): \
         the limits of all batches are raised to (127 nodes, 9920 edges)"
    );
}

#[test]
fn a_resumed_stream_reports_nothing_again() {
    let ctx = BatchContext::new(Purpose::Training, 1);
    let mut stream = open(BUDGET).open(batcher::view(&LARGE), ctx).unwrap();
    let mut plan = BatchPlan::default();
    stream.next(&mut plan).unwrap();
    stream.seek(&plan.cursor).unwrap();
    assert_eq!(stream.take_events(), []);
}

#[test]
fn grow_gives_all_batches_one_larger_shape() {
    let grow = open(&format!("{BUDGET}\noversize = \"grow\""));
    for plan in batcher::evaluate(&*grow, &batcher::view(&LARGE)) {
        assert_eq!((plan.shape.n_node, plan.shape.n_edge), (128, 9920));
    }
}

#[test]
fn skip_leaves_large_graphs_out_of_training_only() {
    let skip = open(&format!("{BUDGET}\noversize = \"skip\""));
    let view = batcher::view(&LARGE);
    for plan in batcher::train(&*skip, &view, 3, 9) {
        assert!(!plan.members.contains(&1003) && !plan.members.contains(&1009));
    }
    let error = skip.open(view, BatchContext::new(Purpose::Evaluation, 1)).err().unwrap();
    assert!(error.to_string().contains("an evaluation must cover every graph"), "{error}");
}

#[test]
fn contradictions_are_refused_before_anything_starts() {
    let message = |options: &str| {
        let ctx = BatchContext::new(Purpose::Training, 1);
        let opened = open(&format!("batch_size = 9\n{options}")).open(batcher::view(&LARGE), ctx);
        opened.err().unwrap_or_else(|| panic!("{options} is refused")).to_string()
    };
    for (options, expected) in [
        (
            "resources = [\"nodes\"]",
            "padding = \"constant\" needs a limit of graphs, nodes and edges",
        ),
        ("resources = [\"nodes\"]\npadding = { shapes = 3 }", "needs a limit of graphs"),
        ("budget = { n_byte = 100000 }\npadding = { shapes = 3 }", "choose another padding"),
        (
            "resources = [\"graphs\", \"nodes\"]\npadding = \"none\"\nbudget = { n_edge = 99 }",
            "do not name \"edges\"",
        ),
        ("budget = { n_node = 1 }", "one node is reserved for padding"),
        ("resources = [\"nodes\"]\nestimate.rule = { by_edges = 0.9 }", "needs a limit of edges"),
        ("estimate.rule = \"median\"", "graph 1009 has 70 nodes and 20 edges"),
        ("budget = { n_node = 4000000000 }", "more than a batch can index"),
        ("budget = { n_byte = 1000 }", "more than n_byte = 1000"),
        ("oversize = \"skip\"\nbudget = { n_node = 3, n_edge = 1 }", "every graph is larger"),
    ] {
        let message = message(options);
        assert!(message.contains(expected), "{options}: {message}");
    }
    for wrong in ["resources = []", "resources = [\"nodes\", \"nodes\"]", "budget = { n_node = 0 }"]
    {
        assert!(toml::from_str::<Dynamic>(&format!("batch_size = 9\n{wrong}")).is_err(), "{wrong}");
    }
}
