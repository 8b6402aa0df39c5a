//! Chains in the ways that exporters write them; everything else is refused by name.

use ndarray::array;
use proptest::prelude::*;

use super::*;

fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: FLOAT,
        float_data: values.to_vec(),
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64, f32)]) -> NodeProto {
    let attribute = |&(name, i, f): &(&str, i64, f32)| AttributeProto { name: name.to_owned(), f, i };
    NodeProto {
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: format!("to {output}"),
        op_type: op.to_owned(),
        attribute: attributes.iter().map(attribute).collect(),
    }
}

/// A model from "x" to the output of the last node, with W = [[1, 2], [3, 4]] and b = [10, 20].
fn model(node: Vec<NodeProto>) -> Vec<u8> {
    let value = |name: &str| ValueInfoProto { name: name.to_owned() };
    let output = node.last().map_or("x", |node| node.output[0].as_str());
    let graph = GraphProto {
        input: vec![value("x"), value("W")],
        output: vec![value(output)],
        initializer: vec![tensor("W", &[2, 2], &[1.0, 2.0, 3.0, 4.0]), tensor("b", &[1, 2], &[10.0, 20.0])],
        node,
    };
    ModelProto { graph: Some(graph) }.encode_to_vec()
}

#[test]
fn every_way_to_write_a_dense_layer_gives_its_logits() {
    for (nodes, expected) in [
        (vec![node("Gemm", &["x", "W", "b"], "y", &[])], array![[11.0, 22.0]]),
        (vec![node("Gemm", &["x", "W", "b"], "y", &[("transB", 1, 0.0)])], array![[11.0, 23.0]]),
        (
            vec![node("Gemm", &["x", "W", "b"], "y", &[("alpha", 0, 2.0), ("beta", 0, 0.5)])],
            array![[7.0, 14.0]],
        ),
        (vec![node("Gemm", &["x", "W"], "y", &[])], array![[1.0, 2.0]]),
        (
            vec![node("MatMul", &["x", "W"], "p", &[]), node("Add", &["b", "p"], "y", &[])],
            array![[11.0, 22.0]],
        ),
        (
            vec![
                node("Flatten", &["x"], "f", &[("axis", 1, 0.0)]),
                node("Relu", &["f"], "r", &[]),
                node("Gemm", &["r", "W", "b"], "l", &[]),
                node("Softmax", &["l"], "y", &[("axis", -1, 0.0)]),
            ],
            array![[11.0, 22.0]],
        ),
    ] {
        let network = parse(&model(nodes), "m").unwrap();
        assert_eq!(network.logits(&array![[1.0, 0.0]]).unwrap(), expected);
    }
}

#[test]
fn weights_may_be_raw_bytes() {
    let mut model = ModelProto::decode(&*model(vec![node("Gemm", &["x", "W"], "y", &[])])).unwrap();
    let weights = &mut model.graph.as_mut().unwrap().initializer[0];
    weights.raw_data = weights.float_data.drain(..).flat_map(f32::to_le_bytes).collect();
    let network = parse(&model.encode_to_vec(), "m").unwrap();
    assert_eq!(network.logits(&array![[1.0, 1.0]]).unwrap(), array![[4.0, 6.0]]);
    model.graph.as_mut().unwrap().initializer[0].raw_data.pop();
    let found = parse(&model.encode_to_vec(), "m").unwrap_err().to_string();
    assert!(found.contains("3 odd bytes in \"W\""), "{found}");
}

#[test]
fn what_is_not_such_a_chain_is_refused_by_name() {
    let dense = || node("Gemm", &["x", "W"], "l", &[]);
    for (nodes, expected) in [
        (
            vec![node("Conv", &["x", "W"], "y", &[])],
            "node Conv \"to y\" is 2 operands; read are chains of Gemm",
        ),
        (
            vec![dense(), node("Relu", &["x"], "y", &[])],
            "is [\"x\"]; only chains are read: it must take \"l\"",
        ),
        (vec![dense(), node("Add", &["l", "b"], "y", &[])], "node Add \"to y\" is 2 operands"),
        (vec![node("Gemm", &["x", "V"], "y", &[])], "operand \"V\"; weights must be stored in the file"),
        (vec![node("Gemm", &["x", "W"], "y", &[("transA", 1, 0.0)])], "is transA"),
        (vec![node("Relu", &["x"], "y", &[("leak", 0, 0.1)])], "attribute \"leak\""),
        (vec![dense(), node("Softmax", &["l"], "y", &[("axis", 0, 0.0)])], "an axis other than the last"),
        (
            vec![dense(), node("Softmax", &["l"], "s", &[]), node("Relu", &["s"], "y", &[])],
            "after the softmax",
        ),
        (vec![], "layers is 0"),
    ] {
        let found = parse(&model(nodes), "m").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
    for (bytes, expected) in [(b"\x93NUMPY".to_vec(), "m: model is"), (Vec::new(), "m: graph is absent")] {
        let found = parse(&bytes, "m").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_tensor_of_another_size_or_type_is_refused() {
    type Spoil = fn(&mut TensorProto);
    let cases: [(Spoil, &str); 4] = [
        (|weights| weights.dims = vec![2, 3], "4 values in \"W\" of shape [2, 3]"),
        (|weights| weights.dims = vec![-2, -2], "of shape [-2, -2]"),
        (|weights| weights.data_type = 11, "data type 11"),
        (|weights| weights.dims = vec![4], "weights of shape [4]"),
    ];
    for (spoil, expected) in cases {
        let mut model = ModelProto::decode(&*model(vec![node("Gemm", &["x", "W"], "y", &[])])).unwrap();
        spoil(&mut model.graph.as_mut().unwrap().initializer[0]);
        let found = parse(&model.encode_to_vec(), "m").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_reader_panic(at in 0_usize..200, bytes in proptest::collection::vec(any::<u8>(), 1..9)) {
        let mut model = model(vec![node("MatMul", &["x", "W"], "p", &[]), node("Add", &["b", "p"], "y", &[])]);
        let at = at % model.len();
        model.splice(at..(at + bytes.len()).min(model.len()), bytes);
        let _ = parse(&model, "m");
    }
}
