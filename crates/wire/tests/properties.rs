//! What holds for any bytes, tried with generated ones; `fuzz/` tries the same functions for longer.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod walk;

use bytes::BytesMut;
use firsthand_wire::postgres::frontend::{self, Bind, Object};
use firsthand_wire::postgres::reply::Notice;
use firsthand_wire::postgres::{Format, Frames, Rules, backend, encode};
use proptest::collection::vec;
use proptest::prelude::*;

/// A stream of messages, most of them whole and of known tags, with garbage now and then.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 0..1200)];
    let tag = prop_oneof![8 => proptest::sample::select(b"QPBDECSHFdcfpXTZKRvtnsI123ENAGHWV".to_vec()), 1 => any::<u8>()];
    let message = (tag, body).prop_map(|(tag, body)| {
        let mut out = BytesMut::new();
        encode::message(&mut out, tag, |out| out.extend_from_slice(&body));
        out.to_vec()
    });
    let part = prop_oneof![9 => message, 1 => vec(any::<u8>(), 0..12)];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// The body of a message of fields: counts, strings and lengths more often than noise.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        vec(1..=255_u8, 0..8).prop_map(|mut text| {
            text.push(0);
            text
        }),
        (0..6_u16).prop_map(|n| n.to_be_bytes().to_vec()),
        (0..12_u32).prop_map(|n| n.to_be_bytes().to_vec()),
        vec(any::<u8>(), 0..12)
            .prop_map(|v| [&i32::try_from(v.len()).unwrap().to_be_bytes()[..], &v].concat()),
        Just(vec![0xff; 4]),
        vec(any::<u8>(), 0..6),
    ];
    (any::<u8>(), vec(field, 0..8)).prop_map(|(tag, fields)| [&[tag][..], &fields.concat()].concat())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255_u8, 0..30)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(data in stream()) {
        walk::frames(&data);
    }

    #[test]
    fn any_bytes_are_walked(data in vec(any::<u8>(), 0..200)) {
        walk::frames(&data);
        walk::startup(&data);
        walk::frontend(&data);
        walk::backend(&data);
        walk::value(&data);
        walk::scram(&data);
    }

    #[test]
    fn likely_bodies_are_walked(data in body(), tag in proptest::sample::select(b"QPBDECSHFTDRKtENAGV".to_vec())) {
        let with_tag = [&[tag], &data[1..]].concat();
        walk::frontend(&with_tag);
        walk::backend(&with_tag);
    }

    #[test]
    fn likely_first_packets_are_walked(minor in 0..4_u16, fields in vec(text(), 0..8), end in 0..3_usize) {
        let mut rest: Vec<u8> = fields.iter().flat_map(|f| [f.as_slice(), &[0]].concat()).collect();
        rest.extend(vec![0; end]);
        let body = [&[0, 3][..], &minor.to_be_bytes(), b"user\0me\0", &rest].concat();
        walk::startup(&[&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat());
    }

    #[test]
    fn values_of_built_in_types_are_shown(oid in 0..6200_u16, data in vec(any::<u8>(), 0..80)) {
        walk::value(&[&oid.to_be_bytes()[..], &data].concat());
    }

    #[test]
    fn bind_reads_what_was_written(
        portal in text(), statement in text(), values in vec(proptest::option::of(vec(any::<u8>(), 0..20)), 0..20), binary: bool,
    ) {
        let format = if binary { Format::Binary } else { Format::Text };
        let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        let mut out = BytesMut::new();
        frontend::encode_bind(&mut out, (&portal, &statement), (format, &values), Format::Binary).unwrap();
        let bind = Bind::read(&out[5..]).unwrap();
        prop_assert_eq!((bind.portal, bind.statement), (portal.as_slice(), statement.as_slice()));
        prop_assert!(bind.parameters().eq(values.iter().map(|v| (format, *v))));
    }

    #[test]
    fn our_own_messages_never_break_the_stream(words in any::<[String; 4]>(), name in text()) {
        let [sqlstate, message, detail, hint] = &words;
        let mut out = BytesMut::new();
        Notice::error(sqlstate, message).detail(detail).hint(hint).encode(&mut out);
        frontend::encode_describe(&mut out, Object::Portal(&name)).unwrap();
        let rules = Rules::backend(u32::MAX, u32::MAX);
        let mut frames = Frames::new(&out, &rules);
        let first = frames.next().unwrap().unwrap();
        let report = backend::Report::read(first.body, "ErrorResponse").unwrap();
        prop_assert_eq!(report.message().to_vec(), message.replace('\0', "?").into_bytes());
        prop_assert_eq!(frames.next().unwrap().unwrap().tag, b'D');
        prop_assert_eq!(frames.consumed(), out.len());
    }
}
