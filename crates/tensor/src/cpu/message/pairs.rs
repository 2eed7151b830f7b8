//! Edges that lead back, with the same length.

use dfdx::tensor::Cpu;

use crate::Segments;

/// For each edge the one between the same two nodes in the opposite direction and of exactly the
/// same length, if there is one that is not taken. An edge from a node to itself has none.
pub(in crate::cpu) fn opposite(
    sender: &Segments<Cpu>,
    receiver: &Segments<Cpu>,
    distance: &[f32],
) -> Vec<Option<u32>> {
    let mut opposite = vec![None; distance.len()];
    let (mut arriving, mut leaving) = (Vec::new(), Vec::new());
    for node in 0..receiver.n_segment {
        // Pairs are found at their smaller node.
        let larger = |ends: &[u32], edges: &mut dyn Iterator<Item = u32>, out: &mut Vec<_>| {
            out.clear();
            out.extend(edges.filter_map(|edge| {
                let other = ends[edge as usize];
                let length = distance[edge as usize].to_bits();
                (other as usize > node).then_some((other, length, edge))
            }));
            if !out.is_sorted() {
                out.sort_unstable();
            }
        };
        let range = |offset: &[u32]| offset[node]..offset[node + 1];
        larger(&sender.of, &mut range(&receiver.offset), &mut arriving);
        let places = range(&sender.offset);
        match &sender.order {
            Some(order) => {
                let edges = &order[places.start as usize..places.end as usize];
                larger(&receiver.of, &mut edges.iter().copied(), &mut leaving);
            }
            None => larger(&receiver.of, &mut places.clone(), &mut leaving),
        }
        let mut rest = leaving.iter().peekable();
        for &(other, length, edge) in &arriving {
            while rest.next_if(|&&(o, l, _)| (o, l) < (other, length)).is_some() {}
            if let Some(&(.., back)) = rest.next_if(|&&(o, l, _)| (o, l) == (other, length)) {
                opposite[edge as usize] = Some(back);
                opposite[back as usize] = Some(edge);
            }
        }
    }
    opposite
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::tasks::EdgePlan;
    use super::*;
    use crate::segments::sorted;

    /// Edges given as sender, receiver and length, in the order of their receivers.
    fn ends(edges: &[(u32, u32, f32)], n_node: usize) -> [Rc<Segments<Cpu>>; 2] {
        let device = Cpu::default();
        let upload = |of: &[u32], order: Option<&[u32]>, offset: &[u32]| {
            Segments::upload(&device, of, offset, order).unwrap()
        };
        let sender: Vec<u32> = edges.iter().map(|edge| edge.0).collect();
        let receiver: Vec<u32> = edges.iter().map(|edge| edge.1).collect();
        let (order, offset) = sorted(&sender, n_node);
        [
            upload(&sender, Some(&order), &offset),
            upload(&receiver, None, &sorted(&receiver, n_node).1),
        ]
    }

    fn check(edges: &[(u32, u32, f32)], n_node: usize, expected: &[(u32, u32)]) {
        let [sender, receiver] = ends(edges, n_node);
        let distance: Vec<f32> = edges.iter().map(|edge| edge.2).collect();
        let opposite = opposite(&sender, &receiver, &distance);
        let mut pairs = Vec::new();
        for (edge, back) in (0..).zip(&opposite) {
            if let Some(back) = back {
                assert_eq!(opposite[*back as usize], Some(edge), "of edge {edge}");
                pairs.extend((edge < *back).then_some((edge, *back)));
            }
        }
        pairs.sort_unstable();
        assert_eq!(pairs, expected);
        let n_real = edges.len();
        let plan = EdgePlan::of_pairs(&sender.of, &receiver.of, &opposite, n_real).unwrap();
        assert_eq!(plan.from.len(), edges.len() - pairs.len(), "a place for each pair");
    }

    #[test]
    fn edges_that_lead_back_with_the_same_length() {
        check(&[(1, 0, 1.5), (2, 0, 2.0), (0, 1, 1.5), (0, 2, 2.0)], 3, &[(0, 2), (1, 3)]);
    }

    #[test]
    fn another_length_no_way_back_and_edges_to_itself() {
        check(&[(0, 0, 1.0), (1, 0, 1.5), (2, 0, 2.0), (0, 1, 1.25), (2, 2, 0.0)], 3, &[]);
    }

    #[test]
    fn two_images_of_the_same_neighbour() {
        let edges = [(1, 0, 2.0), (1, 0, 1.0), (1, 0, 2.0), (0, 1, 1.0), (0, 1, 2.0)];
        check(&edges, 2, &[(0, 4), (1, 3)]);
    }
}
