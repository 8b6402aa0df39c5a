//! Reads ONNX models that are a chain of dense layers and ReLUs into a [`Network`], as PyTorch and others export them.
//!
//! Read are `Gemm`, `MatMul` with a following `Add`, `Relu`, `Flatten` and `Identity` of rows, and a `Softmax` at the end, which is left out:
//! it changes no label, and the logits before it are what the network gives. Weights are stored 32-bit floats. Everything else is
//! refused by name.
//!
//! The messages below are the part of ONNX's `onnx.proto` (IR version 3 to 13) that such models use; other fields are skipped.

use std::collections::HashMap;
use std::path::Path;

use ndarray::{Array1, Array2};
use prost::Message;

use crate::network::{Layer, Network};
use crate::{Error, Result};

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;

/// The network in a file.
pub fn read(path: &Path) -> Result<Network> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let name = path.display().to_string();
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    if bytes > FILE_BYTES_MAX {
        let fix = format!("models of at most {FILE_BYTES_MAX} bytes are read");
        return Err(Error::format(&name, "size", bytes, &fix));
    }
    parse(&std::fs::read(path).map_err(io)?, &name)
}

/// The network in the bytes of a file that messages call `file`.
pub fn parse(bytes: &[u8], file: &str) -> Result<Network> {
    let model = ModelProto::decode(bytes)
        .map_err(|error| Error::format(file, "model", error, "give an ONNX model (a protobuf message)"))?;
    let graph = model.graph.ok_or_else(|| {
        Error::format(file, "graph", "absent", "give an ONNX model; this is none, or an empty one")
    })?;
    Chain::of(&graph, file)?.follow(&graph)
}

/// Where the reader is in the chain.
struct Chain<'a> {
    file: &'a str,
    constants: HashMap<&'a str, &'a TensorProto>,
    /// The value that the next node must read.
    at: &'a str,
    layers: Vec<Layer>,
    /// A product that an `Add` may follow.
    open_product: bool,
    softmax: bool,
}

impl<'a> Chain<'a> {
    fn of(graph: &'a GraphProto, file: &'a str) -> Result<Self> {
        let constants: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        // Old files list the weights among the inputs, too.
        let names = graph.input.iter().map(|input| input.name.as_str());
        let inputs: Vec<&str> = names.filter(|name| !constants.contains_key(name)).collect();
        let &[at] = inputs.as_slice() else {
            let fix = "export a model with one input: rows of values";
            return Err(Error::format(file, "inputs", format!("{inputs:?}"), fix));
        };
        Ok(Self { file, constants, at, layers: Vec::new(), open_product: false, softmax: false })
    }

    fn follow(mut self, graph: &'a GraphProto) -> Result<Network> {
        for node in &graph.node {
            self.step(node)?;
        }
        let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        if outputs != [self.at] {
            let fix = format!("the one output must be {:?}, that of the last node", self.at);
            return Err(Error::format(self.file, "outputs", format!("{outputs:?}"), &fix));
        }
        Network::new(self.layers)
    }

    fn step(&mut self, node: &'a NodeProto) -> Result<()> {
        if self.softmax {
            return Err(self.refuse(node, "after the softmax", "nothing may follow a Softmax; leave it out"));
        }
        let [output] = node.output.as_slice() else {
            return Err(self.refuse(node, node.output.len(), "nodes have one output"));
        };
        // Addition may name its constant first; nothing else may.
        let operands: Vec<&str> = node.input.iter().map(String::as_str).collect();
        let constants: Vec<&str> = match operands.as_slice() {
            [first, rest @ ..] if *first == self.at => rest.to_vec(),
            [first, second] if *second == self.at && node.op_type == "Add" => vec![first],
            _ => {
                let fix = format!(
                    "only chains are read: it must take {:?}, what the node before it gives",
                    self.at
                );
                return Err(self.refuse(node, format!("{operands:?}"), &fix));
            }
        };
        let open_product = std::mem::take(&mut self.open_product);
        match (node.op_type.as_str(), constants.as_slice()) {
            ("Gemm", [weights]) => self.gemm(node, weights, None)?,
            ("Gemm", [weights, bias]) => self.gemm(node, weights, Some(bias))?,
            ("MatMul", [weights]) => {
                self.attributes(node, &[])?;
                let weights = self.matrix(node, weights)?;
                let bias = Array1::zeros(weights.ncols());
                self.layers.push(Layer::Dense { weights, bias });
                self.open_product = true;
            }
            ("Add", [added]) if open_product => {
                self.attributes(node, &[])?;
                let added = self.vector(node, added)?;
                if let Some(Layer::Dense { bias, .. }) = self.layers.last_mut() {
                    *bias = added;
                }
            }
            ("Relu", []) => {
                self.attributes(node, &[])?;
                self.layers.push(Layer::Relu);
            }
            ("Identity", []) => self.attributes(node, &[])?,
            ("Flatten", []) => {
                self.attributes(node, &["axis"])?;
                if integer(node, "axis", 1) != 1 {
                    return Err(self.refuse(node, "an axis other than 1", "rows are flattened from axis 1"));
                }
            }
            ("Softmax", []) => {
                self.attributes(node, &["axis"])?;
                if !matches!(integer(node, "axis", 1), 1 | -1) {
                    return Err(self.refuse(
                        node,
                        "an axis other than the last",
                        "classes are the last axis",
                    ));
                }
                self.softmax = true;
            }
            _ => return Err(self.refuse(node, format!("{} operands", operands.len()), READ)),
        }
        self.at = output;
        Ok(())
    }

    /// α·x·B + β·C, with B as it is or transposed.
    fn gemm(&mut self, node: &NodeProto, weights: &str, bias: Option<&str>) -> Result<()> {
        self.attributes(node, &["alpha", "beta", "transA", "transB"])?;
        if integer(node, "transA", 0) != 0 {
            return Err(self.refuse(node, "transA", "rows are examples; export without transposing them"));
        }
        let weights = self.matrix(node, weights)?;
        let weights = if integer(node, "transB", 0) == 0 { weights } else { weights.reversed_axes() };
        let (alpha, beta) = (float(node, "alpha"), float(node, "beta"));
        let bias = match bias {
            Some(bias) => self.vector(node, bias)? * beta,
            None => Array1::zeros(weights.ncols()),
        };
        self.layers.push(Layer::Dense { weights: (weights * alpha).as_standard_layout().into_owned(), bias });
        Ok(())
    }

    /// Unknown attributes change what a node means.
    fn attributes(&self, node: &NodeProto, known: &[&str]) -> Result<()> {
        match node.attribute.iter().find(|attribute| !known.contains(&attribute.name.as_str())) {
            Some(odd) => Err(self.refuse(node, format!("attribute {:?}", odd.name), READ)),
            None => Ok(()),
        }
    }

    fn matrix(&self, node: &NodeProto, name: &str) -> Result<Array2<f32>> {
        let (shape, values) = self.constant(node, name)?;
        let &[rows, columns] = shape.as_slice() else {
            return Err(self.refuse(node, format!("weights of shape {shape:?}"), "weights have two axes"));
        };
        Ok(Array2::from_shape_vec((rows, columns), values).expect("counted by `constant`"))
    }

    /// One value for each unit: axes of size 1 before them say the same of every row.
    fn vector(&self, node: &NodeProto, name: &str) -> Result<Array1<f32>> {
        let (shape, values) = self.constant(node, name)?;
        if shape.iter().rev().skip(1).any(|&side| side != 1) || shape.is_empty() {
            return Err(self.refuse(
                node,
                format!("a bias of shape {shape:?}"),
                "give one value for each unit",
            ));
        }
        Ok(Array1::from(values))
    }

    fn constant(&self, node: &NodeProto, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let Some(tensor) = self.constants.get(name) else {
            let fix = "weights must be stored in the file, as initializers";
            return Err(self.refuse(node, format!("operand {name:?}"), fix));
        };
        if tensor.data_type != FLOAT || tensor.data_location != 0 {
            let fix = "store weights as 32-bit floats inside the file";
            return Err(self.refuse(node, format!("data type {} of {name:?}", tensor.data_type), fix));
        }
        let values: Vec<f32> = if tensor.raw_data.is_empty() {
            tensor.float_data.clone()
        } else {
            let (whole, rest) = tensor.raw_data.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(self.refuse(node, format!("{} odd bytes in {name:?}", rest.len()), DAMAGED));
            }
            whole.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&side| usize::try_from(side).ok()).collect();
        let size = |shape: &Vec<usize>| shape.iter().try_fold(1_usize, |size, &side| size.checked_mul(side));
        match shape {
            Some(shape) if size(&shape) == Some(values.len()) => Ok((shape, values)),
            _ => {
                let found = format!("{} values in {name:?} of shape {:?}", values.len(), tensor.dims);
                Err(self.refuse(node, found, DAMAGED))
            }
        }
    }

    fn refuse(&self, node: &NodeProto, value: impl std::fmt::Display, fix: &str) -> Error {
        Error::format(self.file, &format!("node {} {:?}", node.op_type, node.name), value, fix)
    }
}

const READ: &str = "read are chains of Gemm, MatMul with Add, Relu, Flatten, Identity and a last Softmax; export such a model";
const DAMAGED: &str = "the file is damaged; copy or export it again";

fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |attribute| attribute.i)
}

/// Both floats that are read are factors, 1 when absent.
fn float(node: &NodeProto, name: &str) -> f32 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(1.0, |attribute| attribute.f)
}

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    /// 0 inside the file, 1 beside it.
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
}

#[cfg(test)]
mod tests;
