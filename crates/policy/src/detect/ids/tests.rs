//! The checks of national numbers, by examples that their authors or python-stdnum's documentation publish.

use super::super::columns::{Kinds, Topic};
use super::super::shape::Shape;
use super::{Ids, looks_like_time};

/// Label, number.
const PUBLISHED: &[(&str, &str)] = &[
    ("ar_cuit", "20-05536168-2"),
    ("at_svnr", "1237 010180"),
    ("au_abn", "83 914 571 673"),
    ("be_national_number", "98 47 28 997 65"),
    ("be_national_number", "01 49 07 001 85"),
    ("be_national_number", "85 07 30 033 28"),
    ("be_national_number", "17 07 30 033 84"),
    ("bg_egn", "8032056031"),
    ("br_cnpj", "16.727.230/0001-97"),
    ("br_cpf", "390.533.447-05"),
    ("ca_sin", "123-456-782"),
    ("ch_ahv", "7569217076985"),
    ("ch_ahv", "756.9217.0769.85"),
    ("cl_rut", "76086428-5"),
    ("cn_resident_id", "360426199101010071"),
    ("co_nit", "213.123.432-1"),
    ("cz_rodne_cislo", "710319/2745"),
    ("cz_rodne_cislo", "991231123"),
    ("de_tax_id", "36 574 261 809"),
    ("dk_cpr", "211062-5629"),
    ("ec_cedula", "171430710-3"),
    ("baltic_personal_code", "36805280109"),
    ("es_dni", "54362315-K"),
    ("fi_hetu", "131052-308T"),
    ("fr_tax_number", "3023217600053"),
    ("fr_nir", "2 95 10 99 126 111 93"),
    ("fr_nir", "253072B07300470"),
    ("fr_nir", "253072A07300443"),
    ("hr_oib", "23334175221"),
    ("uk_nhs", "943-476-5870"),
    ("uk_utr", "1955839661"),
    ("gr_amka", "01013099997"),
    ("id_nik", "3171011708450001"),
    ("in_aadhaar", "234123412346"),
    ("in_voter_id", "WKH1186253"),
    ("in_gstin", "27AAPFU0939F1ZV"),
    ("in_pan", "ACUPA7085R"),
    ("ke_pin", "P051365947M"),
    ("ke_pin", "A004416331M"),
    ("baltic_personal_code", "33309240064"),
    ("mx_curp", "BOXW310820HNERXN09"),
    ("mx_rfc", "VACE-460910-SX6"),
    ("my_nric", "770305-02-1234"),
    ("no_fnr", "151086 95088"),
    ("pk_cnic", "34201-0891231-8"),
    ("pk_cnic", "42201-0397640-8"),
    ("pl_pesel", "44051401359"),
    ("pl_regon", "192598184"),
    ("pl_regon", "123456785"),
    ("pt_citizen_card", "00000000 0 ZZ4"),
    ("ro_cnp", "1630615123457"),
    ("ru_inn", "123456789047"),
    ("ru_inn", "1234567894"),
    ("se_personnummer", "880320-0016"),
    ("jmbg", "0101006500006"),
    ("th_citizen_id", "3100600445635"),
    ("th_citizen_id", "1-2345-45678-78-1"),
    ("tr_kimlik", "17291716060"),
    ("us_itin", "912-90-3456"),
    ("us_ssn", "536-90-4399"),
    ("za_id", "7503305044089"),
    ("it_codice_fiscale", "RSSMRA85T10A562S"),
    ("es_nie", "X-2482300W"),
    ("sg_nric", "S1234567D"),
    ("hk_id", "A123456(3)"),
    ("tw_id", "A123456789"),
    ("uk_nino", "AB123456C"),
    ("jp_my_number", "6214 9832 0257"),
    ("ie_pps", "1234567T"),
    ("us_mbi", "1EG4-TE5-MK73"),
    ("uk_driving_licence", "MORGA657054SM9IJ"),
    ("kr_rrn", "900101-1234568"),
    ("nl_bsn", "1112.22.333"),
];

#[test]
fn published_examples_are_known() {
    let ids = Ids::new();
    let unlike = PUBLISHED.iter().filter_map(|(label, number)| {
        let found = Shape::of(number.as_bytes())
            .and_then(|s| ids.find(&s, Topic::NationalId(Kinds(&[]))))
            .map(|(l, _)| l);
        (found != Some(*label)).then_some((label, number, found))
    });
    assert_eq!(unlike.collect::<Vec<_>>(), []);
}

#[test]
fn one_changed_digit_is_noticed_where_the_check_is_strong() {
    let ids = Ids::new();
    for number in [
        "390.533.447-06",
        "17291716061",
        "110101199003070012",
        "29510991261119 4",
        "54362315-L",
        "36574261808",
    ] {
        let found = Shape::of(number.as_bytes()).and_then(|s| ids.find(&s, Topic::Unknown));
        assert_eq!(found, None, "{number}");
    }
}

#[test]
fn what_clocks_write_is_no_number_of_a_person() {
    for time in ["1700000000", "1700000000000000", "20240501123321", "202405011233"] {
        assert!(looks_like_time(time.as_bytes()), "{time}");
    }
}
