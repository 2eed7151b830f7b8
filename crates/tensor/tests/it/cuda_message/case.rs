//! Messages to try: their steps, at random or as in the models.

use batchlab_core::random::{self, below};
use batchlab_tensor::{Activation, Aggregate, Direction};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Gaussians(usize),
    From(usize),
    To(usize),
    Stored(usize),
    Linear { input: usize, width: usize, bias: bool, activation: Activation },
    Sum(Vec<usize>, Activation),
    Product(usize, usize),
    Scale(usize),
    Equivariant(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) steps: Vec<Step>,
    pub(super) message: usize,
    pub(super) edge: Option<usize>,
    pub(super) aggregate: Aggregate,
    pub(super) direction: Direction,
}

impl Case {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        let message = steps.len() - 1;
        let (aggregate, direction) = (Aggregate::Mean, Direction::ToReceiver);
        Self { steps, message, edge: None, aggregate, direction }
    }

    pub(super) fn width(&self, v: usize) -> usize {
        match &self.steps[v] {
            Step::Gaussians(width)
            | Step::From(width)
            | Step::To(width)
            | Step::Stored(width)
            | Step::Linear { width, .. } => *width,
            Step::Sum(terms, _) => self.width(terms[0]),
            Step::Product(input, _) | Step::Scale(input) => self.width(*input),
            Step::Equivariant(input) => self.width(*input) / 3 * 4,
        }
    }

    pub(super) fn tracked(&self, v: usize) -> bool {
        match &self.steps[v] {
            Step::Gaussians(_) => false,
            Step::Scale(input) => self.tracked(*input),
            Step::Sum(terms, _) => terms.iter().any(|&term| self.tracked(term)),
            Step::Product(a, b) => self.tracked(*a) || self.tracked(*b),
            _ => true,
        }
    }

    /// A random message of up to a dozen steps.
    pub(super) fn random(seed: u64) -> Self {
        const WIDTHS: [usize; 6] = [1, 3, 6, 7, 20, 33];
        const ACTIVATIONS: [Activation; 4] =
            [Activation::Identity, Activation::ShiftedSoftplus, Activation::Silu, Activation::Relu];
        let mut rng = random::stream(seed, "program", 0);
        let mut draw = |n: usize| below(&mut rng, n as u64) as usize;
        let mut case = Self::new(vec![Step::Gaussians(WIDTHS[draw(6)])]);
        while case.steps.len() < 12 && (case.steps.len() < 4 || draw(9) > 0) {
            let n = case.steps.len();
            let alike: Vec<usize> = {
                let width = case.width(draw(n));
                (0..n).filter(|&v| case.width(v) == width).collect()
            };
            let one = alike[draw(alike.len())];
            let step = match draw(12) {
                0 => Step::Gaussians(WIDTHS[draw(6)]),
                1 => Step::From(case.width(one)),
                2 => Step::To(case.width(one)),
                3 => Step::Stored(case.width(one)),
                4..=6 => Step::Linear {
                    input: draw(n),
                    width: WIDTHS[draw(6)],
                    bias: draw(2) == 0,
                    activation: ACTIVATIONS[draw(4)],
                },
                7 | 8 => {
                    let terms = (0..=draw(3)).map(|_| alike[draw(alike.len())]).collect();
                    Step::Sum(terms, ACTIVATIONS[draw(4)])
                }
                9 => Step::Product(one, alike[draw(alike.len())]),
                10 if case.width(one).is_multiple_of(3) => Step::Equivariant(one),
                _ => Step::Scale(one),
            };
            case.steps.push(step);
        }
        let tracked: Vec<usize> = (0..case.steps.len()).filter(|&v| case.tracked(v)).collect();
        if let Some(&last) = tracked.last() {
            // Mostly the last step, so that all others may contribute to it.
            case.message = if draw(4) > 0 { last } else { tracked[draw(tracked.len())] };
        } else {
            case.steps.push(Step::From(6));
            case.message = case.steps.len() - 1;
        }
        case.edge = (draw(2) == 0).then(|| draw(case.steps.len()));
        case.aggregate = if draw(2) == 0 { Aggregate::Mean } else { Aggregate::Sum };
        case.direction = if draw(2) == 0 { Direction::ToReceiver } else { Direction::ToSender };
        case
    }
}

pub(super) fn linear(input: usize, width: usize, activation: Activation) -> Step {
    Step::Linear { input, width, bias: true, activation }
}

pub(super) fn schnet(n_gaussian: usize, width: usize) -> Case {
    Case::new(vec![
        Step::Gaussians(n_gaussian),
        linear(0, width, Activation::ShiftedSoftplus),
        linear(1, width, Activation::ShiftedSoftplus),
        Step::Scale(2),
        Step::From(width),
        Step::Product(3, 4),
    ])
}

/// A step of a message-passing network with edge updates: the first, on distances.
pub(super) fn edge_updates(n_gaussian: usize, width: usize) -> Case {
    edge_updates_of(Step::Gaussians(n_gaussian), width)
}

pub(super) fn edge_updates_of(edge: Step, width: usize) -> Case {
    let steps = vec![
        edge,
        linear(0, 2 * width, Activation::Identity),
        Step::From(2 * width),
        Step::To(2 * width),
        Step::Sum(vec![1, 2, 3], Activation::ShiftedSoftplus),
        linear(4, width, Activation::Identity),
        linear(5, width, Activation::ShiftedSoftplus),
        linear(6, width, Activation::ShiftedSoftplus),
        Step::From(width),
        Step::Product(7, 8),
    ];
    Case { edge: Some(5), ..Case::new(steps) }
}

pub(super) fn painn(n_gaussian: usize, width: usize, activation: Activation) -> Case {
    let steps = vec![
        Step::Gaussians(n_gaussian),
        linear(0, 3 * width, activation),
        Step::Scale(1),
        Step::From(3 * width),
        Step::Product(2, 3),
        Step::Equivariant(4),
    ];
    let (aggregate, direction) = (Aggregate::Sum, Direction::ToSender);
    Case { aggregate, direction, ..Case::new(steps) }
}
