//! Bytes from client and target in any interleaving, against the state machine between them.

#![no_main]
#![expect(clippy::expect_used, clippy::panic, reason = "how a fuzz target says that something broke")]

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

#[path = "../../crates/protocols/tests/hostile/mod.rs"]
mod script;

type Line = (SyncSender<Vec<u8>>, std::sync::Mutex<Receiver<()>>);

/// Statements are parsed, which needs a deep stack: one thread has it, and plays what it is handed. A panic there ends the
/// process as anywhere else (the fuzzing runtime sees to that).
fn player() -> &'static Line {
    static PLAYER: OnceLock<Line> = OnceLock::new();
    PLAYER.get_or_init(|| {
        let (give, take) = sync_channel::<Vec<u8>>(0);
        let (done, wait) = sync_channel(0);
        let play = move || {
            for data in take {
                script::interleave(&data);
                let _ = done.send(());
            }
        };
        let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES).spawn(play);
        thread.expect("a thread");
        (give, std::sync::Mutex::new(wait))
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (give, wait) = player();
    give.send(data.to_vec()).expect("the player lives");
    wait.lock().expect("nobody panicked").recv().expect("the player lives");
});
