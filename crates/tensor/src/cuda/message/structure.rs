//! From a message to its program.

use super::program::{Linear, Operation, Program, Step};
use crate::message::{EdgeOperation, Message};
use crate::{Backend, Matrix, MessageResult};

impl Program {
    /// The structure of a message, without its matrices.
    pub(super) fn of<D: Backend>(message: &Message<D>, result: MessageResult) -> Self {
        let steps = message.steps.iter().map(|step| Step {
            operation: operation(&step.operation),
            width: step.width,
            tracked: step.tracked,
        });
        Self {
            steps: steps.collect(),
            message: result.message,
            edge: result.edge,
            aggregate: result.aggregate,
        }
    }
}

fn operation<D: Backend>(operation: &EdgeOperation<D>) -> Operation {
    match operation {
        EdgeOperation::Gaussians { .. } => Operation::Gaussians,
        EdgeOperation::From(_) => Operation::From,
        EdgeOperation::To(_) => Operation::To,
        EdgeOperation::Stored(_) => Operation::Stored,
        EdgeOperation::Linear { input, weight, bias, activation } => Operation::Linear(Linear {
            input: *input,
            n_in: weight.n_row(),
            bias: bias.is_some(),
            activation: *activation,
            of_weight: weight.is_tracked(),
            of_bias: bias.as_ref().is_some_and(Matrix::is_tracked),
        }),
        EdgeOperation::Sum { terms, activation } => {
            Operation::Sum { terms: terms.clone(), activation: *activation }
        }
        EdgeOperation::Product(factors) => Operation::Product(*factors),
        EdgeOperation::Scale { input, .. } => Operation::Scale { input: *input },
        EdgeOperation::Equivariant { input, vector, .. } => {
            Operation::Equivariant { input: *input, vector: *vector }
        }
    }
}
