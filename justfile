# Shorthands; each line is the whole command, so nobody needs `just`.

# The main job on a laptop: teachers, votes, noise, budget, student, report.
simulate *arguments:
    cargo run --release -- simulate {{arguments}}

# What the README promises.
test:
    cargo test --workspace

# One crate, as often as you like.
check crate:
    cargo fmt -p {{crate}} && cargo clippy -p {{crate}} --all-targets -- -D warnings && cargo test -p {{crate}}

# The book of the crates, in a browser.
docs:
    cargo doc --workspace --no-deps --open

# Everything that must hold before a change is merged.
ci:
    .ci/run
