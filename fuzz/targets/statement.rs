//! Any text, read as statements: parsed, walked, classified. What is told of each is of a place in the text.

#![no_main]
#![expect(clippy::expect_used, reason = "how a fuzz target says that something broke")]

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use firsthand_sql::{Settings, analyze, parse_cost};

type Line = (SyncSender<Vec<u8>>, std::sync::Mutex<Receiver<()>>);

/// The parser needs a deep stack: one thread has it.
fn reader() -> &'static Line {
    static READER: OnceLock<Line> = OnceLock::new();
    READER.get_or_init(|| {
        let (give, take) = sync_channel::<Vec<u8>>(0);
        let (done, wait) = sync_channel(0);
        let read = move || {
            for text in take {
                look(&text);
                let _ = done.send(());
            }
        };
        let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES).spawn(read);
        thread.expect("a thread");
        (give, std::sync::Mutex::new(wait))
    })
}

fn look(text: &[u8]) {
    let _ = parse_cost(text);
    for standard_conforming_strings in [true, false] {
        let settings = Settings { standard_conforming_strings, ..Settings::default() };
        let analysis = analyze(text, settings);
        for statement in analysis.statements() {
            let range = statement.range(text);
            text.get(range).expect("a place in the text");
        }
        assert!(analysis.unparsed().is_none() || !analysis.plain_read(), "unread, and called a read");
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (give, wait) = reader();
    give.send(data.to_vec()).expect("the reader lives");
    wait.lock().expect("nobody panicked").recv().expect("the reader lives");
});
