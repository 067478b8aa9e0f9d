//! Scripts of bytes from both sides, at random: what `fuzz/targets/dialect.rs` looks for with more patience.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test")]

#[path = "hostile/mod.rs"]
mod script;

/// Tags that mean something, so that random scripts come far.
const TAGS: &[u8] = b"QPBEDCSHXFdcfp12n3TtDZEAINSGWVRK";

/// On a thread with the stack that the parser needs.
fn on_large_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES);
    if let Err(panic) = thread.spawn(run).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_keep_the_rules() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/dialect");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(seeds.len() >= 6, "{seeds:?}");
    on_large_stack(move || {
        for seed in seeds {
            let data = std::fs::read(seed).unwrap();
            (0..=data.len()).for_each(|end| script::interleave(&data[..end]));
        }
    });
}

#[test]
fn random_scripts_from_both_sides_keep_the_rules() {
    on_large_stack(|| {
        let mut at = 0x2545_f491_4f6c_dd1du64;
        let mut roll = |sides: usize| {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (at >> 33) as usize % sides
        };
        const TEXTS: [&[u8]; 7] = [
            b"select 1; select 'HOLD'\0",
            b"select 1\0",
            b"insert into t values (1)\0",
            b"delete from owners\0",
            b"begin; selec\0",
            b"copy t from stdin\0",
            b"\0\0\0\0\0\0\0",
        ];
        for _ in 0..3_000 {
            let mut data = Vec::new();
            for _ in 0..roll(40) {
                let side = (roll(2) * 8) as u8;
                match roll(6) {
                    0..=2 => {
                        let text = TEXTS[roll(TEXTS.len())];
                        data.extend([2 | side, TAGS[roll(TAGS.len())], text.len() as u8]);
                        data.extend(text);
                    }
                    3 => data.push(5),
                    // What is read elsewhere: how long it takes, and a text for it.
                    4 => data.extend([(roll(2) as u8 + 2) << 3 | 7, (roll(14) as u8 + 2) << 4 | 6]),
                    _ => data.push(roll(256) as u8),
                }
            }
            script::interleave(&data);
        }
    });
}
