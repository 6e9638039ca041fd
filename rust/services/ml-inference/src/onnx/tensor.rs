//! Tensor models: named tensors to named tensors, whatever the graph computes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ort::session::SessionInputValue;
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use super::Graph;
use crate::error::{Error, Fault};
use crate::statistics::Statistics;

/// Element types that KServe v2 names and ONNX has, in our hands as bytes in little-endian order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// One byte each, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    Uint8,
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Signed, 16 bits.
    Int16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Signed, 32 bits.
    Int32,
    /// Unsigned, 64 bits.
    Uint64,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754 single.
    Fp32,
    /// IEEE 754 double.
    Fp64,
}

const ELEMENTS: [(Element, &str, TensorElementType, usize); 11] = [
    (Element::Bool, "BOOL", TensorElementType::Bool, 1),
    (Element::Uint8, "UINT8", TensorElementType::Uint8, 1),
    (Element::Int8, "INT8", TensorElementType::Int8, 1),
    (Element::Uint16, "UINT16", TensorElementType::Uint16, 2),
    (Element::Int16, "INT16", TensorElementType::Int16, 2),
    (Element::Uint32, "UINT32", TensorElementType::Uint32, 4),
    (Element::Int32, "INT32", TensorElementType::Int32, 4),
    (Element::Uint64, "UINT64", TensorElementType::Uint64, 8),
    (Element::Int64, "INT64", TensorElementType::Int64, 8),
    (Element::Fp32, "FP32", TensorElementType::Float32, 4),
    (Element::Fp64, "FP64", TensorElementType::Float64, 8),
];

impl Element {
    /// The type that KServe v2 gives this name.
    pub fn of_name(name: &str) -> Option<Self> {
        ELEMENTS.iter().find(|(_, own, _, _)| *own == name).map(|(element, ..)| *element)
    }

    fn of_type(ty: TensorElementType) -> Option<Self> {
        ELEMENTS.iter().find(|(_, _, own, _)| *own == ty).map(|(element, ..)| *element)
    }

    /// KServe v2's name.
    pub fn name(self) -> &'static str {
        ELEMENTS.iter().find(|(element, ..)| *element == self).map_or("", |(_, name, ..)| name)
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        ELEMENTS.iter().find(|(element, ..)| *element == self).map_or(1, |(_, _, _, size)| *size)
    }
}

/// What the graph says of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its type; `None` for one that has no name in KServe v2.
    pub element: Option<Element>,
    /// -1 for a size that may vary.
    pub shape: Vec<i64>,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its type.
    pub element: Element,
    /// Its sizes.
    pub shape: Vec<i64>,
    /// Elements in row-major, little-endian order.
    pub bytes: Vec<u8>,
}

/// A tensor model in memory.
pub struct TensorModel {
    graph: Mutex<Graph>,
    inputs: Vec<Described>,
    outputs: Vec<Described>,
    statistics: Arc<Statistics>,
}

impl TensorModel {
    /// Loads a model.
    ///
    /// # Errors
    /// The file is no model that ONNX Runtime knows.
    pub fn load(file: &Path, library: &Path, threads: usize, statistics: Arc<Statistics>) -> Result<Self, Fault> {
        let graph = Graph::read(library, file, threads)?;
        let inputs = graph.session.inputs().iter().map(describe).collect();
        let outputs = graph.session.outputs().iter().map(describe).collect();
        Ok(Self { graph: Mutex::new(graph), inputs, outputs, statistics })
    }

    /// What it takes.
    pub fn inputs(&self) -> &[Described] {
        &self.inputs
    }

    /// What it returns.
    pub fn outputs(&self) -> &[Described] {
        &self.outputs
    }

    /// Computes, on the calling thread.
    ///
    /// # Errors
    /// An input is missing, unknown, or of another type or size than the graph takes.
    pub fn infer(&self, inputs: Vec<Named>) -> Result<Vec<Named>, Error> {
        for wanted in &self.inputs {
            let found = inputs.iter().find(|input| input.name == wanted.name);
            let refuse = |text: &str| Error::Tensor { field: format!("inputs.{}", wanted.name), text: text.to_owned() };
            let found = found.ok_or_else(|| refuse("it is missing"))?;
            if Some(found.element) != wanted.element {
                return Err(refuse(&format!(
                    "the model takes {}",
                    wanted.element.map_or("another type", Element::name)
                )));
            }
            let fits = |(found, wanted): (&i64, &i64)| *wanted < 0 || found == wanted;
            if found.shape.len() != wanted.shape.len() || !found.shape.iter().zip(&wanted.shape).all(fits) {
                return Err(refuse(&format!("its shape is {:?}, the model takes {:?}", found.shape, wanted.shape)));
            }
        }
        if let Some(unknown) = inputs.iter().find(|input| self.inputs.iter().all(|known| known.name != input.name)) {
            return Err(Error::Tensor {
                field: format!("inputs.{}", unknown.name),
                text: "the model has no such input".to_owned(),
            });
        }
        let internal = |error: ort::Error| Error::Internal(format!("ONNX Runtime fails: {error}"));
        let mut values: Vec<(String, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for input in inputs {
            values.push((input.name.clone(), to_value(input)?));
        }
        let began = Instant::now();
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = graph.run(values).map_err(internal)?;
        let now = Instant::now();
        self.statistics.step(now, now.saturating_duration_since(began), 0, 0);
        outputs.iter().map(|(name, value)| from_value(name, &value.view().into_dyn())).collect()
    }
}

fn describe(outlet: &Outlet) -> Described {
    let (element, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => (Element::of_type(*ty), shape.to_vec()),
        _ => (None, Vec::new()),
    };
    Described { name: outlet.name().to_owned(), element, shape }
}

/// Runs the arm's body with the element's Rust type; `bool` has its own way through bytes.
macro_rules! by_number {
    ($element:expr, $number:ident => $body:expr, $boolean:expr) => {
        match $element {
            Element::Bool => $boolean,
            Element::Uint8 => by_number!(@ $number, u8, $body),
            Element::Int8 => by_number!(@ $number, i8, $body),
            Element::Uint16 => by_number!(@ $number, u16, $body),
            Element::Int16 => by_number!(@ $number, i16, $body),
            Element::Uint32 => by_number!(@ $number, u32, $body),
            Element::Int32 => by_number!(@ $number, i32, $body),
            Element::Uint64 => by_number!(@ $number, u64, $body),
            Element::Int64 => by_number!(@ $number, i64, $body),
            Element::Fp32 => by_number!(@ $number, f32, $body),
            Element::Fp64 => by_number!(@ $number, f64, $body),
        }
    };
    (@ $number:ident, $type:ty, $body:expr) => {{
        type $number = $type;
        $body
    }};
}

fn to_value(input: Named) -> Result<SessionInputValue<'static>, Error> {
    let Named { name, element, shape, bytes } = input;
    let refuse = |text: String| Error::Tensor { field: format!("inputs.{name}"), text };
    let count = shape
        .iter()
        .try_fold(1_usize, |count, size| usize::try_from(*size).ok().and_then(|size| count.checked_mul(size)))
        .and_then(|count| count.checked_mul(element.size()));
    if count != Some(bytes.len()) {
        return Err(refuse(format!("{} bytes are no {shape:?} of {}", bytes.len(), element.name())));
    }
    let refused = |error: ort::Error| refuse(error.to_string());
    by_number!(
        element,
        Number => {
            let read = |chunk: &[u8]| chunk.try_into().map(Number::from_le_bytes).unwrap_or_default();
            let values: Vec<Number> = bytes.chunks_exact(size_of::<Number>()).map(read).collect();
            Tensor::from_array((shape, values)).map(Into::into).map_err(refused)
        },
        {
            let values: Vec<bool> = bytes.iter().map(|byte| *byte != 0).collect();
            Tensor::from_array((shape, values)).map(Into::into).map_err(refused)
        }
    )
}

fn from_value(name: &str, value: &DynValue) -> Result<Named, Error> {
    let internal = |error: ort::Error| Error::Internal(format!("output {name}: {error}"));
    let element = match value.dtype() {
        ValueType::Tensor { ty, .. } => Element::of_type(*ty),
        _ => None,
    };
    let Some(element) = element else {
        return Err(Error::NotImplemented {
            what: format!("output {name}"),
            why: "its type has no name in KServe v2 that is carried here",
        });
    };
    let (shape, bytes) = by_number!(
        element,
        Number => {
            let (shape, values) = value.try_extract_tensor::<Number>().map_err(internal)?;
            (shape.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        },
        {
            let (shape, values) = value.try_extract_tensor::<bool>().map_err(internal)?;
            (shape.to_vec(), values.iter().map(|value| u8::from(*value)).collect())
        }
    );
    Ok(Named { name: name.to_owned(), element, shape, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_has_one_name_each() {
        for (element, name, ty, _) in ELEMENTS {
            assert_eq!((Element::of_name(name), Element::of_type(ty)), (Some(element), Some(element)));
            assert_eq!(element.name(), name);
        }
        assert_eq!(Element::of_name("BYTES"), None);
    }

    #[test]
    fn tensor_of_other_bytes_than_its_shape_is_refused() {
        let named = |shape: Vec<i64>, bytes| Named { name: "x".to_owned(), element: Element::Fp32, shape, bytes };
        for (shape, bytes) in [(vec![2], vec![0; 4]), (vec![-1], vec![0; 4]), (vec![i64::MAX, 8], vec![0; 4])] {
            assert!(matches!(to_value(named(shape, bytes)), Err(Error::Tensor { .. })));
        }
    }
}
