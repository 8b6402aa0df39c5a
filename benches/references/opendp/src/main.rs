//! Prints how many vectors of ten counts OpenDP releases a second with discrete Gaussian noise of σ = 40, one thread.

use opendp::domains::{AtomDomain, VectorDomain};
use opendp::error::Fallible;
use opendp::measurements::make_gaussian;
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::L2Distance;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() -> Fallible<()> {
    let noisy = make_gaussian::<_, _, ZeroConcentratedDivergence>(
        VectorDomain::new(AtomDomain::<i32>::default()),
        L2Distance::<f64>::default(),
        40.0,
        None,
    )?;
    let counts = vec![180, 40, 20, 10, 0, 0, 0, 0, 0, 0];
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let (started, mut released) = (Instant::now(), 0_u32);
        while started.elapsed() < Duration::from_secs(1) {
            for _ in 0..100 {
                black_box(noisy.invoke(&counts)?);
            }
            released += 100;
        }
        best = best.max(f64::from(released) / started.elapsed().as_secs_f64());
    }
    println!("{best}");
    Ok(())
}
