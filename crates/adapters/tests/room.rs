//! Who waits for the log to keep up stands on its list once, however often it looks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use firsthand_adapters::recorder::LogRecorder;
use firsthand_auditlog::entry::codec::{EventCodec, LogEntry};
use firsthand_auditlog::io::Io;
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::queue::{Class, Durability, INTENT_QUEUE_BYTES, Item};
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::sim::SimIo;
use firsthand_auditlog::writer::{Log, Options};
use firsthand_model::id::SessionId;
use firsthand_model::time::{MonoMicros, UnixMicros};
use firsthand_session::port::{Clock, Recorder as _, Waiting};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> UnixMicros {
        UnixMicros(0)
    }

    fn mono(&self) -> MonoMicros {
        MonoMicros(0)
    }
}

#[test]
fn who_waits_for_room_is_woken_once_however_often_it_looks() {
    let (io, data) = (SimIo::new(1), Path::new("/data"));
    let keys = Arc::new(KeyStore::open(data, Arc::clone(&io) as Arc<dyn Io>).unwrap());
    let store = Arc::clone(&keys);
    let codec = move |found: &Recovered| Ok(EventCodec::new(store, found.log_id, 0)?);
    let io = io as Arc<dyn Io>;
    let (log, mut stepper, _) = Log::open_stepped(data, codec, Options::default(), io).unwrap();
    let log = Arc::new(log);
    let recorder = LogRecorder::new(Arc::clone(&log), keys, Box::new(Still));

    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut waiting = Waiting::default();
    assert_eq!(recorder.poll_room(1, &mut waiting, &mut cx), Poll::Ready(()));
    for round in 1..=3 {
        let entry = LogEntry::ClosedByCrash(SessionId(1));
        let (class, durability, size) = (Class::Outcome, Durability::Strict, INTENT_QUEUE_BYTES);
        log.append(Item { entry, class, durability, opens: false, size }).unwrap();
        for _ in 0..1000 {
            // Both directions of a session wait, for much and for little.
            assert!(recorder.poll_room(1, &mut waiting, &mut cx).is_pending());
            assert!(recorder.poll_room(1 << 20, &mut waiting, &mut cx).is_pending());
        }
        stepper.settle();
        assert_eq!(count.0.load(Ordering::SeqCst), round);
        assert_eq!(recorder.poll_room(1, &mut waiting, &mut cx), Poll::Ready(()));
    }
}
