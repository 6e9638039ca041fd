//! Language, embedding and tensor models on this machine: GGUF by llama.cpp, ONNX by ONNX Runtime.
//!
//! `repository` knows which models there are, `models` takes each through its life, for as long as `keep_alive` says, `generation` and `onnx` compute, `handler`
//! answers the two contracts, `uait.ml_inference.v1` and KServe v2.

pub mod config;
pub mod digest;
pub mod error;
pub mod generation;
pub mod handler;
pub mod keep_alive;
pub mod models;
pub mod onnx;
pub mod repeat;
pub mod repository;
pub mod statistics;
