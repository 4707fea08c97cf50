//! Samples of a case to its summary. Comes in: samples, and what the work and the box allow.
//! Goes out: intervals, or `None` where nothing supports one.

use super::document::Summary;
use crate::sample::Sample;
use crate::sample::case::Kind;
use crate::stats::estimate::Estimate;

/// What a request must do, and what the box was measured to be able to; for MBU and MFU.
pub struct Limits<'a> {
    /// Bytes that a decode step moves at any depth: weights read, state of constant size read and written.
    pub decode_constant_bytes: Option<u64>,
    /// Bytes of cache per token of depth.
    pub kv_bytes_per_token: u64,
    /// FLOPs of a prefill of so many tokens.
    pub prefill_flops: &'a dyn Fn(u64) -> f64,
    /// The shortest time that the box allows a prefill of so many tokens, in ms.
    pub prefill_limit_ms: &'a dyn Fn(u64) -> Option<f64>,
    /// Measured bandwidth, bytes/s.
    pub bandwidth: Option<f64>,
    /// Measured rate of products in the type of the weights, FLOP/s.
    pub matmul_rate: Option<f64>,
}

/// Summarises the complete samples.
pub fn summarise(kind: Kind, samples: &[Sample], limits: &Limits<'_>) -> Summary {
    let complete: Vec<&Sample> = samples.iter().filter(|s| s.is_complete()).collect();
    let of = |metric: &dyn Fn(&Sample) -> Option<f64>| {
        let values: Vec<f64> = complete.iter().filter_map(|s| metric(s)).collect();
        Estimate::of(&values)
    };
    let gaps: Vec<Vec<f64>> = complete.iter().map(|s| s.itl_ms()).filter(|g| !g.is_empty()).collect();
    // Where a cache or a first pass held part of the prompt, prefill is not of all its tokens.
    let whole = !matches!(kind, Kind::RagWarmPrefix | Kind::RagWarmDocument | Kind::Hybrid);
    Summary {
        tokenize_ms: of(&|s| s.tokenize_ms),
        prefill_ms: of(&|s| s.prefill_ms),
        ttft_ms: of(&|s| s.ttft_ms),
        ttft_ids_ms: of(&Sample::ttft_ids_ms),
        tpot_ms: of(&Sample::tpot_ms),
        itl_ms: Estimate::of_groups(&gaps),
        // Of decode at a depth, the last offset is not from a prompt in hand.
        e2e_ms: of(&|s| s.e2e_ms().filter(|_| kind != Kind::Decode)),
        rag_ttft_ms: of(&|s| s.rag_ttft_ms),
        decode_tokens_per_s: of(&Sample::decode_tokens_per_s),
        prefill_tokens_per_s: of(&|s| Sample::prefill_tokens_per_s(s).filter(|_| whole)),
        mbu: of(&|s| mbu(s, limits)),
        mfu: of(&|s| mfu(s, limits).filter(|_| whole)),
        prefill_of_limit: of(&|s| prefill_of_limit(s, limits).filter(|_| whole)),
    }
}

/// Tokens in the cache while the gaps of a sample were taken, on average.
pub fn mean_depth(sample: &Sample) -> f64 {
    f64::from(sample.prompt_tokens) + sample.token_ready_ms.len() as f64 / 2.0
}

fn mbu(sample: &Sample, limits: &Limits<'_>) -> Option<f64> {
    let bytes = limits.decode_constant_bytes? as f64 + limits.kv_bytes_per_token as f64 * mean_depth(sample);
    let seconds = sample.tpot_ms().filter(|ms| *ms > 0.0)? / 1000.0;
    Some(bytes / seconds / limits.bandwidth?)
}

fn mfu(sample: &Sample, limits: &Limits<'_>) -> Option<f64> {
    let seconds = sample.prefill_ms.filter(|ms| *ms > 0.0)? / 1000.0;
    Some((limits.prefill_flops)(u64::from(sample.prompt_tokens)) / seconds / limits.matmul_rate?)
}

fn prefill_of_limit(sample: &Sample, limits: &Limits<'_>) -> Option<f64> {
    let milliseconds = sample.prefill_ms.filter(|ms| *ms > 0.0)?;
    Some((limits.prefill_limit_ms)(u64::from(sample.prompt_tokens))? / milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(flops: &dyn Fn(u64) -> f64) -> Limits<'_> {
        Limits {
            decode_constant_bytes: Some(900),
            kv_bytes_per_token: 1,
            prefill_flops: flops,
            prefill_limit_ms: &|tokens| Some(tokens as f64 / 10.0),
            bandwidth: Some(100_000.0),
            matmul_rate: Some(1e6),
        }
    }

    fn sample() -> Sample {
        Sample {
            prompt_tokens: 98,
            tokenize_ms: Some(1.0),
            prefill_ms: Some(50.0),
            ttft_ms: Some(52.0),
            token_ready_ms: vec![52.0, 72.0, 92.0, 112.0],
            ..Sample::default()
        }
    }

    #[test]
    fn utilisation_is_necessary_work_over_measured_rates() {
        let samples = vec![sample(); 3];
        let summary = summarise(Kind::Rag, &samples, &limits(&|n| n as f64 * 100.0));
        // 900 + 100 bytes in 20 ms is 50 kB/s of 100 kB/s; 9,800 FLOP in 50 ms is 196 kFLOP/s of 1 M.
        assert_eq!(summary.mbu.unwrap().median, 0.5);
        assert!((summary.mfu.unwrap().median - 0.196).abs() < 1e-12);
        // 98 tokens in 9.8 ms at the least, and in 50 measured.
        assert!((summary.prefill_of_limit.unwrap().median - 0.196).abs() < 1e-12);
        assert_eq!(summary.ttft_ids_ms.unwrap().median, 51.0);
        assert_eq!(summary.itl_ms.unwrap().n, 9);
    }

    #[test]
    fn failed_samples_and_unmeasured_limits_leave_nothing_behind() {
        let failed = Sample { error: Some("no".into()), ..sample() };
        let unknown =
            Limits { bandwidth: None, matmul_rate: None, prefill_limit_ms: &|_| None, ..limits(&|_| 1.0) };
        assert_eq!(summarise(Kind::Rag, &[failed], &unknown), Summary::default());
        let summary = summarise(Kind::Rag, &[sample()], &unknown);
        assert_eq!((summary.mbu, summary.mfu, summary.prefill_of_limit), (None, None, None));
        assert!(summary.ttft_ms.is_some());
    }
}
