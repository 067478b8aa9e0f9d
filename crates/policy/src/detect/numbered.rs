//! Names by which numbers of states are known: which kinds each speaks of, those that it means first. Written as in
//! [`words`](super::words), and looked up before what stands there.

use super::columns::{Kinds, Topic};

const fn national(kinds: &'static [&'static str]) -> Topic {
    Topic::NationalId(Kinds(kinds))
}

const fn tax(kinds: &'static [&'static str]) -> Topic {
    Topic::TaxId(Kinds(kinds))
}

const fn health(kinds: &'static [&'static str]) -> Topic {
    Topic::Health(Kinds(kinds))
}

pub(crate) const NUMBERED: &[(Topic, &str)] = &[
    (
        national(&["us_ssn", "us_itin"]),
        "ssn, social security, social security number, social security no, social security num, soc sec, soc sec no, soc sec number, \
         soc sec num, socsec, socialsecuritynumber, socialsecurity, ssn number, ssn no, ssnumber, ssn last 4",
    ),
    (national(&["us_itin", "us_ssn"]), "itin, itin number"),
    (
        national(&["ca_sin"]),
        "social insurance number, social insurance, social insurance no, sin, sin number, sin no",
    ),
    (
        national(&["uk_nino"]),
        "nino, national insurance, national insurance number, national insurance no, ni number, ni no",
    ),
    (national(&["uk_nhs"]), "nhs, nhs number, nhs no"),
    (
        national(&["de_id_card"]),
        "personalausweis, personalausweisnummer, ausweisnummer, ausweis nummer, ausweisnr, ausweis nr, perso",
    ),
    (
        national(&["de_insurance", "at_svnr"]),
        "sozialversicherungsnummer, sozialversicherung, sozialversicherungsnr, rentenversicherungsnummer, rvnr, sv nummer, sv nr, svnr",
    ),
    (
        national(&["fr_nir"]),
        "nir, insee, numero secu, num secu, no secu, securite sociale, numero securite sociale, numero de securite sociale, numero ss",
    ),
    (national(&["es_dni", "es_nie"]), "dni, nro dni, numero dni, dni nie, nif nie"),
    (national(&["es_nie", "es_dni"]), "nie"),
    (national(&["es_dni", "es_nie", "es_cif", "pt_nif"]), "nif, dni nif"),
    (tax(&["es_cif"]), "cif"),
    (tax(&["pt_nif"]), "nipc, contribuinte, numero contribuinte, num contribuinte, numero de contribuinte"),
    (national(&["pt_citizen_card"]), "cartao cidadao, cartao de cidadao, cartao do cidadao"),
    (national(&["it_codice_fiscale"]), "codice fiscale, codicefiscale, cf"),
    (tax(&["it_partita_iva"]), "partita iva, piva, p iva"),
    (national(&["nl_bsn"]), "bsn, burgerservicenummer, sofinummer, sofi nummer, sofi"),
    (
        national(&["be_national_number"]),
        "rijksregisternummer, rijksregister, registre national, numero registre national, numero national, niss, nrn, insz",
    ),
    (national(&["ie_pps"]), "ppsn, pps number, pps"),
    (national(&["ch_ahv"]), "ahv, ahv nummer, ahv nr, avs, avs nr, no avs, numero avs"),
    (national(&["gr_amka"]), "amka"),
    (tax(&["gr_afm"]), "afm"),
    (national(&["se_personnummer", "no_fnr", "dk_cpr"]), "personnummer, personnr, pnr"),
    (national(&["no_fnr"]), "fodselsnummer, foedselsnummer, fodselsnr, foedselsnr, fnr"),
    (national(&["dk_cpr"]), "cpr, cpr number, cpr nr, cprnr, cpr no"),
    (national(&["fi_hetu"]), "hetu, henkilotunnus, henkiloetunnus, henkilo tunnus, sotu"),
    (national(&["is_kennitala"]), "kennitala, kennitolu, kennitala nr"),
    (national(&["pl_pesel"]), "pesel, numer pesel, nr pesel"),
    (tax(&["pl_nip"]), "nip, numer nip, nr nip"),
    (tax(&["pl_regon"]), "regon, numer regon, nr regon"),
    (national(&["pl_id_card"]), "dowod, dowod osobisty, nr dowodu, numer dowodu"),
    (national(&["cz_rodne_cislo"]), "rodne cislo, rodnecislo, birth number, r c"),
    (national(&["ro_cnp"]), "cnp, cod numeric personal, numar cnp"),
    (national(&["bg_egn"]), "egn, egn number"),
    (national(&["baltic_personal_code"]), "isikukood, asmens kodas"),
    (national(&["lv_personal_code", "baltic_personal_code"]), "personas kods"),
    (national(&["hr_oib"]), "oib"),
    (national(&["jmbg"]), "jmbg, emso, maticni broj"),
    (national(&["hu_taj"]), "taj, taj szam, tajszam"),
    (tax(&["hu_tax_id"]), "adoazonosito, adoazonosito jel, adoszam"),
    (tax(&["si_tax_number"]), "davcna stevilka, davcna st, davcna"),
    (national(&["ru_snils"]), "snils"),
    (tax(&["ru_inn"]), "inn"),
    (tax(&["ua_rntrc"]), "rnokpp, ipn"),
    (
        national(&["tr_kimlik"]),
        "tc kimlik, tckn, tc kimlik no, tc kimlik numarasi, kimlik no, kimlik, kimlik numarasi, tc no",
    ),
    (tax(&["tr_vkn", "tr_kimlik"]), "vkn, vergi no, vergi numarasi, vergi kimlik no"),
    (national(&["il_teudat_zehut"]), "teudat zehut, tz number, israeli id, israel id"),
    (national(&["za_id"]), "sa id, sa id number, said number, rsa id number, rsa id, south african id"),
    (national(&["ae_emirates_id"]), "emirates id, emirates id number, emirates id no"),
    (national(&["kz_iin"]), "iin"),
    (national(&["sa_national_id"]), "iqama, iqama number, iqama no"),
    (national(&["ir_national_code"]), "national code, code melli, codemelli, kode melli, kod melli"),
    (national(&["kw_civil_id"]), "civil id"),
    (tax(&["ke_pin"]), "kra pin"),
    (
        national(&["in_aadhaar"]),
        "aadhaar, aadhar, adhaar, adhar, aadhaar number, aadhaar no, aadhaar num, aadhar number, aadhar no, aadhar num, adhaar number, \
         adhaar no, adhaar num, uidai",
    ),
    (tax(&["in_pan"]), "pan number, pan card, pan no"),
    (tax(&["in_gstin"]), "gst, gstin, gst number, gst no"),
    (national(&["in_voter_id"]), "voter id, voter card, epic no, epic number, epic num"),
    (national(&["cn_resident_id"]), "shenfenzheng, sfz"),
    (national(&["kr_rrn"]), "rrn, resident registration number"),
    (national(&["jp_my_number"]), "my number, mynumber, kojin bango"),
    (national(&["sg_nric", "my_nric"]), "nric, nric no, nric number, fin number, fin no"),
    (national(&["my_nric"]), "mykad, ic number, nric my"),
    (national(&["hk_id"]), "hkid"),
    (national(&["id_nik"]), "nik, ktp, nomor ktp, no ktp"),
    (national(&["pk_cnic"]), "cnic"),
    (national(&["lk_nic"]), "nic, nic no, nic number, lk nic"),
    (tax(&["au_tfn"]), "tfn, tax file number, tfn no, tfn number"),
    (tax(&["au_abn"]), "abn"),
    (tax(&["nz_ird"]), "ird, ird number, ird no"),
    (
        health(&["au_medicare", "us_mbi"]),
        "medicare, medicare number, medicare no, medicare id, medicare card",
    ),
    (health(&["us_mbi"]), "mbi, hicn, medicare beneficiary id, medicare beneficiary identifier"),
    (
        health(&["de_health", "de_insurance"]),
        "krankenversichertennummer, kvnr, kvnr nummer, kv nummer, kv nr, versichertennummer, versichertennr, krankenversicherungsnummer, \
         krankenversicherungsnr, versicherungsnummer",
    ),
    (national(&["br_cpf"]), "cpf"),
    (tax(&["br_cnpj"]), "cnpj"),
    (tax(&["ar_cuit"]), "cuit"),
    (national(&["ar_cuit"]), "cuil"),
    (national(&["cl_rut"]), "rut, run"),
    (national(&["mx_curp"]), "curp"),
    (tax(&["mx_rfc"]), "rfc"),
    (
        national(&["ec_cedula", "uy_cedula", "do_cedula"]),
        "cedula, numero cedula, nro cedula, cedula identidad, cedula de identidad, cedula ciudadania",
    ),
    (tax(&["co_nit"]), "nit"),
    (tax(&["pe_ruc"]), "ruc"),
    (tax(&["us_ein"]), "ein, fein, employer id, employer id number, employer identification number, tax ein"),
    (tax(&["uk_utr"]), "utr, utr number, utr no, unique taxpayer reference"),
    (
        tax(&["de_tax_id"]),
        "steuer id, steuerid, steuer idnr, idnr, steueridentifikationsnummer, steueridentifikationsnr, steuer identifikationsnummer",
    ),
    (
        tax(&["fr_tax_number", "pt_nif"]),
        "numero fiscal, num fiscal, no fiscal, reference fiscale, identifiant fiscal, numero fiscal de reference, spi",
    ),
];
