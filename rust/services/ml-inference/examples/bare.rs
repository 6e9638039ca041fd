//! llama.cpp's own speed, by the calls that its llama-bench makes, in the build that the service has: what the bench measures the
//! service against. For each line of stdin, `<prompt tokens> <output tokens>`, it prints a line of JSON.
//!
//! Usage: bare MODEL.gguf THREADS

use std::error::Error;
use std::io::BufRead as _;
use std::num::NonZeroU32;
use std::time::Instant;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(threads)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bare MODEL.gguf THREADS".into());
    };
    let threads: i32 = threads.parse()?;
    let mut backend = LlamaBackend::init()?;
    backend.void_logs();
    let model = LlamaModel::load_from_file(&backend, file, &LlamaModelParams::default())?;
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(4096))
        .with_n_batch(512)
        .with_n_ubatch(512)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_no_perf(true);
    let mut context = model.new_context(&backend, params)?;
    let mut batch = LlamaBatch::new(512, 1);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (input, output) = line.split_once(' ').ok_or("two numbers a line")?;
        let (input, output): (i32, i32) = (input.parse()?, output.parse()?);
        context.clear_kv_cache();
        batch.clear();
        for position in 0..input {
            // Which tokens they are makes no difference to the time.
            batch.add(LlamaToken(100 + position % 1000), position, &[0], position + 1 == input)?;
        }
        let began = Instant::now();
        context.decode(&mut batch)?;
        let mut token = likeliest(context.get_logits_ith(batch.n_tokens() - 1));
        let read = began.elapsed();
        let began = Instant::now();
        for position in input..input + output - 1 {
            batch.clear();
            batch.add(token, position, &[0], true)?;
            context.decode(&mut batch)?;
            token = likeliest(context.get_logits_ith(0));
        }
        let wrote = began.elapsed();
        println!(
            "{{\"input_per_second\":{},\"output_per_second\":{}}}",
            f64::from(input) / read.as_secs_f64(),
            f64::from(output - 1) / wrote.as_secs_f64()
        );
    }
    Ok(())
}

fn likeliest(logits: &[f32]) -> LlamaToken {
    let best = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b));
    LlamaToken(best.map_or(0, |(id, _)| id))
}
