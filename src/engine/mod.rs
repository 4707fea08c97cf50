//! A loaded model that can be asked for tokens.
//!
//! Comes in: ids. Goes out: greedy ids, on the host. Not here: text, clocks, statistics.

pub mod build;
pub mod candle;
pub mod device_step;
pub mod load;
pub mod out_of_memory;
pub mod reference;
pub mod verification;

/// How the decode steps of an engine run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Piece by piece, each started by the host.
    Launched,
    /// As one graph, which was captured in the second step since the engine was made.
    Graph,
}

/// What the runner needs of a model. Every call returns only when the device is idle again.
pub trait Engine {
    /// Forgets everything; the cache keeps its memory.
    fn reset(&mut self) -> anyhow::Result<()>;

    /// Runs `ids` after what the cache already holds, up to the last position's logits.
    ///
    /// Errors if the cache has no room for them.
    fn prefill(&mut self, ids: &[u32]) -> anyhow::Result<()>;

    /// The greedy id of the last logits, copied to the host.
    fn sample(&mut self) -> anyhow::Result<u32>;

    /// One decode step: runs `id`, samples the next one and brings it to the host.
    fn decode(&mut self, id: u32) -> anyhow::Result<u32>;

    /// Tokens in the cache.
    fn depth(&self) -> usize;

    /// Remembers this point, in place of an earlier one, so that decode at a depth can be repeated
    /// after one prefill. Copies what cannot be cut: the states of gated delta nets.
    fn mark(&mut self) -> anyhow::Result<()>;

    /// Goes back to the mark, exactly. Logits are not restored: the next call is `decode` or `prefill`.
    ///
    /// Errors if there is no mark, or if the cache was shorter since.
    fn rewind(&mut self) -> anyhow::Result<()>;

    /// Room of the cache in tokens.
    fn capacity(&self) -> usize;

    /// The attention path that runs, part of the result: e.g. `blocked-matmul`.
    fn attention_path(&self) -> &'static str;

    /// How its decode steps run by now.
    fn steps(&self) -> Steps {
        Steps::Launched
    }

    /// Whether the last logits are all finite. Not called between clock reads.
    fn output_is_finite(&self) -> anyhow::Result<bool>;
}
