//! Every way of altering what is on the disk.

use super::*;

/// The file's frames behind each other in this order.
fn arranged(path: &Path, io: &Arc<SimIo>, order: impl Fn(&mut Vec<Vec<u8>>)) {
    io.tamper(path, |bytes| {
        let all = frames(bytes);
        let mut parts: Vec<Vec<u8>> = all.iter().map(|(at, n)| bytes[*at..at + n].to_vec()).collect();
        order(&mut parts);
        bytes.truncate(all[0].0);
        bytes.extend(parts.concat());
    });
}

#[test]
fn what_the_writer_wrote_is_clean() {
    let io = sessions(60);
    assert!(segments(&io).len() >= 3);
    let report = check(&io);
    assert_eq!(codes(&report), ["unsigned"], "{:#?}", report.findings());
    assert_eq!(report.verdict(Aspect::Integrity), Verdict::Findings);
    assert_eq!(report.worst(), Verdict::Findings);
    // All but what the log says of itself has a payload.
    assert!(report.disclosed.opened >= 122, "{:?}", report.disclosed);
    assert_eq!((report.disclosed.withheld, report.disclosed.wrong), (0, 0));
    let without = verified(&io, &Options { keys: None, ..options(&io) });
    assert_eq!(codes(&without), ["unsigned", "withheld"]);
    assert!(without.findings()[1].what.starts_with("nothing could be opened"));
    assert_eq!(without.disclosed.withheld, report.disclosed.opened);
    assert_eq!(without.epochs, report.epochs);
    // Its own header with the hash of all that is before it says the same root.
    let last = segments(&io).pop().unwrap();
    let header = Header::decode(&io.bytes(&last).unwrap()).unwrap();
    assert!(report.epochs[0].size > header.frontier.size());
}

#[test]
fn a_flip_of_any_bit_is_found() {
    let io = sessions(1);
    let path = segments(&io).pop().unwrap();
    assert_eq!(segments(&io).len(), 1);
    let bytes = io.bytes(&path).unwrap();
    let used = {
        let (at, n) = *frames(&bytes).last().unwrap();
        at + n
    };
    let last = frames(&bytes).last().unwrap().0;
    let clean = codes(&check(&io));
    let options = options(&io);
    let fixed = 4096 - 200;
    // The header's padding is all the same: every eighth bit of it is enough.
    let bits = (0..(used + 64) * 8).filter(|bit| !(1600..fixed * 8).contains(bit) || bit % 64 == 5);
    for bit in bits {
        let byte = bit / 8;
        io.tamper(&path, |b| b[byte] ^= 1 << (bit % 8));
        let report = verified(&io, &options);
        let new: Vec<&Finding> = report.findings().iter().filter(|f| !clean.contains(&f.code)).collect();
        let named = new.iter().any(|f| {
            f.spot.file == Some(Path::new("log").join(path.file_name().unwrap()))
                && f.spot.byte.is_some_and(|at| at <= byte as u64)
        });
        assert!(named, "bit {bit}: {new:#?}");
        // An unfinished write is what a crash leaves, and looks the same as the last entry cut short.
        let end = byte >= last && new.iter().any(|f| f.code == "unfinished");
        assert!(report.worst() == Verdict::Failed || end, "bit {bit}: {new:#?}");
        io.tamper(&path, |b| b[byte] ^= 1 << (bit % 8));
    }
    assert_eq!(codes(&check(&io)), clean);
}

#[test]
fn an_altered_entry_is_named_and_what_follows_is_read() {
    let io = sessions(60);
    let path = segments(&io)[1].clone();
    let all = frames(&io.bytes(&path).unwrap());
    let (at, size) = all[3];
    let first = name_of(&path).first;
    io.tamper(&path, |b| b[at + size - 3] ^= 1);
    let report = check(&io);
    let found = fails(&report, "entry-altered");
    assert_eq!(found.spot.byte, Some(at as u64));
    assert_eq!(found.spot.entry.unwrap().position, first + 3);
    assert_eq!(report.count(Aspect::Completeness)[1], 0);
    // The payload is not what it was.
    fails(&report, "payload");
}

#[test]
fn entries_taken_out_put_in_again_or_moved_are_named() {
    let io = sessions(60);
    let path = segments(&io)[1].clone();
    let whole = io.bytes(&path).unwrap();
    let all = frames(&whole);
    let first = name_of(&path).first;
    type Order = fn(&mut Vec<Vec<u8>>);
    let cases: [(Order, &str, u64); 5] = [
        (|p| drop(p.remove(4)), "entry-missing", 4),
        (|p| drop(p.drain(4..7)), "entry-missing", 4),
        (|p| p.insert(5, p[4].clone()), "entry-misplaced", 5),
        (|p| p.insert(9, p[2].clone()), "entry-misplaced", 9),
        (|p| p.swap(4, 5), "entry-misplaced", 6),
    ];
    for (order, code, n) in cases {
        arranged(&path, &io, order);
        let report = check(&io);
        let found = fails(&report, code);
        assert_eq!(found.spot.entry.unwrap().position, first + n, "{code}: {found:?}");
        assert!(found.spot.byte.is_some_and(|b| b >= all[4].0 as u64 - 4096), "{found:?}");
        io.tamper(&path, |b| b.clone_from(&whole));
    }
}

#[test]
fn zeroed_sectors_are_named() {
    let io = sessions(60);
    let path = segments(&io)[1].clone();
    let whole = io.bytes(&path).unwrap();
    let end = {
        let (at, n) = *frames(&whole).last().unwrap();
        at + n
    };
    for sector in 4096 / 512..end.div_ceil(512) {
        io.tamper(&path, |b| {
            let to = b.len().min(sector * 512 + 512);
            b[sector * 512..to].fill(0);
        });
        let report = check(&io);
        let found = failed(&report).into_iter().find(|f| f.spot.file.is_some()).unwrap();
        assert!(found.spot.file.as_ref().unwrap().ends_with(path.file_name().unwrap()), "{found:?}");
        assert!(found.spot.byte.unwrap() < sector as u64 * 512 + 512, "{sector}: {found:?}");
        io.tamper(&path, |b| b.clone_from(&whole));
    }
}

#[test]
fn segments_dropped_swapped_cut_or_replayed_are_named() {
    let build = || sessions(60);
    let io = build();
    io.lose(&segments(&io)[1]);
    fails(&check(&io), "segment-missing");

    let io = build();
    io.lose(&segments(&io)[0]);
    fails(&check(&io), "segment-missing");

    let io = build();
    let (a, b) = (segments(&io)[1].clone(), segments(&io)[2].clone());
    let (of_a, of_b) = (io.bytes(&a).unwrap(), io.bytes(&b).unwrap());
    io.tamper(&a, |bytes| *bytes = of_b.clone());
    io.tamper(&b, |bytes| *bytes = of_a.clone());
    fails(&check(&io), "header-name");

    let io = build();
    io.tamper(&a, |bytes| *bytes = of_b.clone());
    fails(&check(&io), "header-name");

    let io = build();
    io.tamper(&a, |bytes| bytes.truncate(bytes.len() - 900));
    let report = check(&io);
    assert!(failed(&report).iter().any(|f| f.spot.file.is_some()), "{:#?}", report.findings());

    let io = build();
    io.tamper(&a, |bytes| bytes.clear());
    fails(&check(&io), "header");

    // A segment of an earlier position once more, under a name that would come next.
    let io = build();
    let again = SegmentName { epoch: 1, first: 400 }.path(&data().join("log"));
    let file = io.create(&again).unwrap();
    file.write_at(0, &of_a).unwrap();
    fails(&check(&io), "header-name");
}

#[test]
fn the_log_cut_behind_its_last_close_is_short() {
    let io = sessions(3);
    let path = segments(&io).pop().unwrap();
    let before = check(&io).epochs[0].clone();
    let anchor = Anchor {
        epoch: 1,
        size: before.size,
        root: before.root,
        source: "tlog/1/checkpoint".into(),
        signed: true,
    };
    let with = |io: &Arc<SimIo>| verified(io, &Options { anchors: vec![anchor.clone()], ..options(io) });
    assert_eq!(codes(&with(&io)), Vec::<&str>::new(), "signed, and as it was");
    let (at, n) = *frames(&io.bytes(&path).unwrap()).last().unwrap();
    io.tamper(&path, |b| b[at..at + n].fill(0));
    assert!(
        !check(&io).findings().iter().any(|f| f.failed),
        "nothing but a checkpoint tells of what is cut away"
    );
    fails(&with(&io), "log-short");
}

#[test]
fn what_is_written_anew_with_checksums_and_headers_that_fit_is_caught_by_a_checkpoint_alone() {
    let io = sessions(60);
    let before = check(&io).epochs[0].clone();
    let anchor =
        Anchor { epoch: 1, size: before.size, root: before.root, source: "checkpoint".into(), signed: true };
    forge(&io, |_, _| {});
    assert_eq!(codes(&check(&io)), ["unsigned"], "the forger writes what the writer wrote");
    forge(&io, |n, leaf| {
        if n == 4 {
            let text = String::from_utf8(leaf.clone()).unwrap().replace("payments", "pastries");
            *leaf = text.into_bytes();
        }
    });
    let report = verified(&io, &Options { anchors: vec![anchor], ..options(&io) });
    fails(&report, "checkpoint");
    // The log's own words of its segments are still those of before.
    fails(&report, "sealed-root");
}

#[test]
fn bytes_behind_the_last_entry_are_named() {
    let io = sessions(3);
    let path = segments(&io).pop().unwrap();
    let (at, n) = *frames(&io.bytes(&path).unwrap()).last().unwrap();
    let end = (at + n) as u64;
    let whole = io.bytes(&path).unwrap();
    io.tamper(&path, |b| b[at + n + 700] = 1);
    let found = fails(&check(&io), "unreadable").clone();
    assert_eq!(found.spot.byte, Some(end + 700));
    io.tamper(&path, |b| b.clone_from(&whole));
    // The beginning of a write, as a crash leaves it.
    io.tamper(&path, |b| b.copy_within(at..at + n - 40, at + n));
    let report = check(&io);
    let found = report.findings().iter().find(|f| f.code == "unfinished").unwrap();
    assert_eq!((found.spot.byte, found.failed), (Some(end), false));
}

#[test]
fn any_bytes_at_all_are_judged_and_nothing_panics() {
    let io = sessions(20);
    let clean: Vec<(PathBuf, Vec<u8>)> =
        segments(&io).into_iter().map(|p| (p.clone(), io.bytes(&p).unwrap())).collect();
    let options = options(&io);
    let mut random = crate::sim::Random::new(11);
    for _ in 0..400 {
        let (path, bytes) = &clean[random.below(clean.len() as u64) as usize];
        io.tamper(path, |b| {
            for _ in 0..=random.below(3) {
                let at = random.below(b.len() as u64) as usize;
                let n = (random.below(600) as usize).min(b.len().saturating_sub(at));
                match random.below(4) {
                    0 => b[at..at + n].fill(random.any() as u8),
                    1 => b.truncate(at),
                    2 => drop(b.drain(at..at + n)),
                    _ => {
                        let piece = b[at..at + n].to_vec();
                        let to = random.below(b.len() as u64 + 1) as usize;
                        b.splice(to..to, piece);
                    }
                }
                if b.is_empty() {
                    break;
                }
            }
        });
        let changed = io.bytes(path).unwrap() != *bytes;
        let report = verified(&io, &options);
        let zeros = report.worst() == Verdict::Failed || codes(&report).iter().any(|c| *c != "unsigned");
        let harmless = io.bytes(path).unwrap().starts_with(trimmed(bytes))
            && trimmed(&io.bytes(path).unwrap()) == trimmed(bytes);
        assert!(!changed || zeros || harmless, "{}", path.display());
        io.tamper(path, |b| b.clone_from(bytes));
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    &bytes[..end]
}
