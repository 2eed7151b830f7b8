//! In the steady state, planning and collating a batch allocates no memory.

use batcher_dynamic::Dynamic;
use batchlab_core::graphs::{Edges, Graphs, ManyGraphs, Topology};
use batchlab_core::{BatchBuffer, BatchContext, BatchFields, BatchPlan, Batcher, Purpose, collate};

#[test]
fn nothing_is_allocated_within_an_epoch() {
    let n_node: Vec<u32> = (0..2000).map(|i| 3 + i * 7 % 27).collect();
    let many = ManyGraphs::new(&n_node, Edges::FullyConnected).unwrap();
    let mut graphs = Graphs::new("cliques", Topology::Many(many)).unwrap();
    graphs.position = Some(vec![[0.5; 3]; graphs.n_node()]);
    let members: Vec<u32> = (0..2000).collect();

    let dynamic: Dynamic = toml::from_str("batch_size = 32").unwrap();
    let ctx = BatchContext::new(Purpose::Training, 1);
    let mut stream = dynamic.open(graphs.view(&members), ctx).unwrap();
    let (mut plan, mut buffer) = (BatchPlan::default(), BatchBuffer::new());
    let needs = BatchFields { distance: true, sender_order: true, ..BatchFields::default() };
    let mut batch = || {
        assert!(stream.next(&mut plan).unwrap());
        collate(&graphs, &plan, &needs, &mut buffer).unwrap();
        plan.cursor.epoch
    };
    for _ in 0..10 {
        batch();
    }
    let mut last_epoch = 0;
    let measured = allocation_counter::measure(|| (0..40).for_each(|_| last_epoch = batch()));
    assert_eq!(last_epoch, 0, "the measurement stays within the epoch");
    assert_eq!(measured.count_total, 0, "{measured:?}");
}
