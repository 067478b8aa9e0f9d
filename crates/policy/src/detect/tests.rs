//! Single values: what is found in them, and where.

use std::sync::LazyLock;

use super::{Detector, TypeHint};

/// What is found in a value: text and label of each.
fn found(value: &str, column: &str, hint: TypeHint) -> Vec<(String, &'static str)> {
    static DETECTOR: LazyLock<Detector> = LazyLock::new(Detector::new);
    let mut hits = Vec::new();
    DETECTOR.scan(value, column, hint, &mut hits);
    hits.iter().map(|h| (value[h.range.clone()].to_owned(), h.label)).collect()
}

/// Value, column, what is found.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const FOUND: &[Row] = &[
    ("write to <anna@example.com>, please", "", &[("anna@example.com", "email")]),
    ("mailto:joe@example.org?subject=hi", "", &[("joe@example.org", "email")]),
    ("jo\u{200b}e@exam\u{200b}ple.org", "", &[("jo\u{200b}e@exam\u{200b}ple.org", "email")]),
    ("４１１１　１１１１　１１１１　１１１１", "", &[("４１１１　１１１１　１１１１　１１１１", "card")]),
    ("+٩٦٦ ٥٠ ١٢٣ ٤٥٦٧", "", &[("+٩٦٦ ٥٠ ١٢٣ ٤٥٦٧", "phone")]),
    (
        "DE89\u{a0}3704\u{a0}0044\u{a0}0532\u{a0}0130\u{a0}00",
        "",
        &[("DE89\u{a0}3704\u{a0}0044\u{a0}0532\u{a0}0130\u{a0}00", "iban")],
    ),
    ("219–09–9999", "", &[("219–09–9999", "us_ssn")]),
    ("his SSN is 219099999 and dob 1980-04-12", "", &[("219099999", "us_ssn"), ("1980-04-12", "birth_date")]),
    ("passport no. C01X00T47 is valid", "", &[("C01X00T47", "passport")]),
    (
        "call (212) 555-0123 x45 or 020 7946 0958.",
        "",
        &[("(212) 555-0123 x45", "phone"), ("020 7946 0958", "phone")],
    ),
    ("5551234567", "mobile", &[("5551234567", "phone")]),
    ("192.168.1.10:8080", "", &[("192.168.1.10", "ip")]),
    ("2001:db8::8a2e:370:7334", "", &[("2001:db8::8a2e:370:7334", "ip")]),
    ("00-1B-44-11-3A-B7", "", &[("00-1B-44-11-3A-B7", "mac")]),
    (
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "",
        &[("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "wallet")],
    ),
    ("1HGBH41JXMN109186", "", &[("1HGBH41JXMN109186", "vin")]),
    ("52.5200, 13.4050", "gps_position", &[("52.5200, 13.4050", "geo")]),
    ("JOHN SMITH", "", &[("JOHN SMITH", "person")]),
    ("Smith, John", "", &[("Smith, John", "person")]),
    ("Musterstraße 12, 10115 Berlin", "", &[("Musterstraße 12, 10115 Berlin", "address")]),
    ("password: hunter2! please reset", "", &[("hunter2!", "password")]),
    (
        "{anna@example.org,bob@example.org}",
        "",
        &[("anna@example.org", "email"), ("bob@example.org", "email")],
    ),
    (r#"{"phone": 5551234567, "n": [1, 2]}"#, "", &[("5551234567", "phone")]),
    (r#"{"note": "call \u002b49 30 901820, \"ok\""}"#, "", &[(r"\u002b49 30 901820", "phone")]),
    // Keys of a document; what is quoted, or alone in a row or a list; bytes within a text; what a server's message cites.
    (r#"{"ann@example.org": 1, "b": 2}"#, "", &[("ann@example.org", "email")]),
    ("'4012888888881881'", "", &[("4012888888881881", "card")]),
    ("'536-90-4399'", "", &[("536-90-4399", "us_ssn")]),
    ("(4012888888881881,7)", "", &[("4012888888881881", "card")]),
    (
        "[4012888888881881,4012888888881899)",
        "",
        &[("4012888888881881", "card"), ("4012888888881899", "card")],
    ),
    ("{203.0.113.7,10.1.2.3}", "", &[("203.0.113.7", "ip"), ("10.1.2.3", "ip")]),
    (r"a \x616e6e406578616d706c652e6f7267 b", "", &[(r"\x616e6e406578616d706c652e6f7267", "email")]),
    (r#"{"\\x616e6e406578616d706c652e6f7267"}"#, "", &[(r"\x616e6e406578616d706c652e6f7267", "email")]),
    ("date out of range: \"4012888888881881\"", "", &[("4012888888881881", "card")]),
    ("Key (order_id)=(4012888888881881) is not present", "", &[("4012888888881881", "card")]),
    ("4012888888881881", "jsonb_path_query", &[("4012888888881881", "card")]),
    ("4012888888881881", "max", &[("4012888888881881", "card")]),
    ("\"two words\"@example.org", "", &[("\"two words\"@example.org", "email")]),
    ("Dra. Jade Machado", "", &[("Dra. Jade Machado", "person")]),
    // Fields of a table between commas, an address with its net, bytes that are a text, examples' numbers.
    ("7,Ann,4111111111111111,+4930901820,ok", "", &[("4111111111111111", "card"), ("+4930901820", "phone")]),
    ("192.168.0.1-192.168.0.20", "", &[("192.168.0.1", "ip"), ("192.168.0.20", "ip")]),
    ("10.0.0.0/8", "", &[("10.0.0.0/8", "ip")]),
    ("Changed from old value to 10.110.233.243", "", &[("10.110.233.243", "ip")]),
    ("192.0.2.44/28", "host", &[("192.0.2.44/28", "ip")]),
    ("2001:db8:47dd::/32", "", &[("2001:db8:47dd::/32", "ip")]),
    ("please update 192.0.2.98 in the record", "", &[("192.0.2.98", "ip")]),
    (r"\x616e6e61406578616d706c652e6f7267", "", &[(r"\x616e6e61406578616d706c652e6f7267", "email")]),
    ("ZZ 59 42 10 T", "", &[("ZZ 59 42 10 T", "uk_nino")]),
    ("KW71-MCNE-GZ6R-ZAYD-MPOB-MLTW-HBFG-WE", "", &[("KW71-MCNE-GZ6R-ZAYD-MPOB-MLTW-HBFG-WE", "iban")]),
    ("4480798900871732", "source", &[("4480798900871732", "card")]),
    ("24 August 1989", "data_nascimento", &[("24 August 1989", "birth_date")]),
    ("512 345 904 ext 9597", "", &[("512 345 904 ext 9597", "phone")]),
    ("6258 4514 6711 5179 7", "", &[("6258 4514 6711 5179 7", "card")]),
    ("from mc25 5561 3903 606x ismx 6acm h80 to you", "", &[("mc25 5561 3903 606x ismx 6acm h80", "iban")]),
    ("(53) 187-552", "", &[("(53) 187-552", "phone")]),
    ("347 1590466", "", &[("347 1590466", "phone")]),
    ("(02755) 81537 323", "", &[("(02755) 81537 323", "phone")]),
    ("tél. 212 344 073", "", &[("212 344 073", "phone")]),
    ("13800138000", "手机号", &[("13800138000", "phone")]),
    ("Maria Keskitalo", "display_name", &[("Maria Keskitalo", "person")]),
    ("Darda Bolla", "author", &[("Darda Bolla", "person")]),
    ("Xenophon Maslov", "", &[("Xenophon Maslov", "person")]),
    ("Flat 23\nCooke Square", "", &[("Flat 23\nCooke Square", "address")]),
    ("Unit 1512 Box 1040\nDPO AE 10806", "", &[("Unit 1512 Box 1040\nDPO AE 10806", "address")]),
    ("anna@163.com", "", &[("anna@163.com", "email")]),
    // Other countries' names and addresses, and passwords on command lines.
    ("ภูวฤณ แน่นดุจป้อม", "full_name", &[("ภูวฤณ แน่นดุจป้อม", "person")]),
    ("தங்கேஷ்வரன் உமை", "customer_name", &[("தங்கேஷ்வரன் உமை", "person")]),
    ("जयन्त शर्मा", "name", &[("जयन्त शर्मा", "person")]),
    ("Vytautas Kazlauskas", "", &[("Vytautas Kazlauskas", "person")]),
    ("Lwandile Magutshwa", "referee", &[("Lwandile Magutshwa", "person")]),
    ("user Ignat Konovalov left", "", &[("Ignat Konovalov", "person")]),
    ("Mošovského 1, 038 68 Beluša", "", &[("Mošovského 1, 038 68 Beluša", "address")]),
    ("Cl. 169 # 3-67, 941381 San Cayetano", "", &[("Cl. 169 # 3-67, 941381 San Cayetano", "address")]),
    ("PGPASSWORD=Summer7138! psql -h db -U app", "", &[("Summer7138!", "password")]),
    ("mysql -u root -pl3q5SnlozE7D -e 'show tables'", "", &[("l3q5SnlozE7D", "password")]),
    ("curl -u ada:s3cretpw https://example.com/", "", &[("s3cretpw", "password")]),
    ("sshpass -p 'tr0ub4dor' ssh host", "", &[("tr0ub4dor", "password")]),
    ("188108054233932", "npwp_no", &[("188108054233932", "tax_id")]),
    ("CNP: 1630615123457 ok", "", &[("1630615123457", "ro_cnp")]),
    // An address of a network behind a slash; numbers of which the name, or the word before, says what they are.
    ("GET /hosts/10.7.22.9 200", "", &[("10.7.22.9", "ip")]),
    ("via proxy/203.0.113.40", "", &[("203.0.113.40", "ip")]),
    ("127306738", "emp_ssn", &[("127306738", "us_ssn")]),
    ("030177-8279", "HETU", &[("030177-8279", "fi_hetu")]),
    ("260545-8689", "kennitala_nr", &[("260545-8689", "is_kennitala")]),
    ("74512663604", "oib_kupca", &[("74512663604", "hr_oib")]),
    ("446777439", "tax_file_number", &[("446777439", "au_tfn")]),
    ("74-3203570", "employer_id_number", &[("74-3203570", "us_ein")]),
    ("1019845294", "cedula", &[("1019845294", "ec_cedula")]),
    ("20875653386", "RUC", &[("20875653386", "pe_ruc")]),
    ("1550273179", "iqama_no", &[("1550273179", "sa_national_id")]),
    ("8407044334", "EGN", &[("8407044334", "bg_egn")]),
    ("2683913883", "medicareNumber", &[("2683913883", "au_medicare")]),
    ("449599176", "regon", &[("449599176", "pl_regon")]),
    ("J937419494", "kv_nummer", &[("J937419494", "de_health")]),
    ("123456780", "ssn", &[("123456780", "us_ssn")]),
    ("000-12-34567", "ssn", &[("000-12-34567", "national_id")]),
    ("my REGON is 245556970", "", &[("245556970", "pl_regon")]),
    ("CIF H62186259 verified", "", &[("H62186259", "es_cif")]),
    ("(Tax file number 201 665 338)", "", &[("201 665 338", "au_tfn")]),
    ("41659350", "davcna_stevilka", &[("41659350", "si_tax_number")]),
    ("2175097480", "ІПН", &[("2175097480", "ua_rntrc")]),
    ("1206316411", "code_melli", &[("1206316411", "ir_national_code")]),
    ("4241772617", "کد_ملی", &[("4241772617", "ir_national_code")]),
    ("377995394", "תעודת_זהות", &[("377995394", "il_teudat_zehut")]),
    ("593429807V", "nic_no", &[("593429807V", "lk_nic")]),
    ("my r.č. is 8605165701", "", &[("8605165701", "cz_rodne_cislo")]),
    ("0018-00-1234567", "nz_bank_account", &[("0018-00-1234567", "bank_account")]),
    ("123 456 789", "driving_license_no", &[("123 456 789", "driving_licence")]),
    ("CF: RSSMRA85T10A562S", "", &[("RSSMRA85T10A562S", "it_codice_fiscale")]),
    ("call 020 7946 0958 or 030 901 8201 now", "", &[("020 7946 0958", "phone"), ("030 901 8201", "phone")]),
    ("+376 312 345", "", &[("+376 312 345", "phone")]),
    // Names of one word and of roles, elements of arrays, dates of birth with a month's name, numbers with a full stop behind,
    // passwords in sentences and statements, keys joined to their numbers, and where an address begins.
    ("Schmidt", "name", &[("Schmidt", "person")]),
    ("ANNA", "name", &[("ANNA", "person")]),
    ("Иванов", "customer", &[("Иванов", "person")]),
    ("Wang", "user_name", &[("Wang", "person")]),
    ("O'Connor", "name", &[("O'Connor", "person")]),
    ("Anna Nowhere", "created_by", &[("Anna Nowhere", "person")]),
    ("Zorvan Ultick", "opened_by", &[("Zorvan Ultick", "person")]),
    ("Kenji Tanaka", "attn", &[("Kenji Tanaka", "person")]),
    ("王", "姓", &[("王", "person")]),
    ("伟", "名", &[("伟", "person")]),
    ("{Anna,Zorvan}", "first_names", &[("Anna", "person"), ("Zorvan", "person")]),
    ("geb. am 12.04.1985 in Köln", "", &[("12.04.1985", "birth_date")]),
    ("ur. 12.05.1980", "", &[("12.05.1980", "birth_date")]),
    ("née le 3 mars 1979", "", &[("3 mars 1979", "birth_date")]),
    ("date de naissance : 12 mai 1980", "", &[("12 mai 1980", "birth_date")]),
    ("nacido el 12 de mayo de 1980", "", &[("12 de mayo de 1980", "birth_date")]),
    ("nata il 12 maggio 1980", "", &[("12 maggio 1980", "birth_date")]),
    ("nascido em 12/05/1980", "", &[("12/05/1980", "birth_date")]),
    ("Date of birth: March 3, 1979", "", &[("March 3, 1979", "birth_date")]),
    ("dob: 12-May-1980", "", &[("12-May-1980", "birth_date")]),
    ("born 12 May 1980", "", &[("12 May 1980", "birth_date")]),
    ("born on 3rd March 1979", "", &[("3rd March 1979", "birth_date")]),
    ("geboren am 12. Mai 1980", "", &[("12. Mai 1980", "birth_date")]),
    ("birthday on May 12, 1980", "", &[("May 12, 1980", "birth_date")]),
    ("4111 1111 1111 1111.", "", &[("4111 1111 1111 1111", "card")]),
    ("DE89370400440532013000.", "", &[("DE89370400440532013000", "iban")]),
    ("536-22-1987.", "", &[("536-22-1987", "us_ssn")]),
    ("+4915112345678.", "", &[("+4915112345678", "phone")]),
    ("4111 1111 1111 1111 12/27", "", &[("4111 1111 1111 1111", "card")]),
    (
        "%B4111111111111111^DOE/JOHN^27121010000000000?",
        "",
        &[("4111111111111111", "card"), ("DOE/JOHN", "person")],
    ),
    ("email=anna%40web.de", "", &[("anna%40web.de", "email")]),
    ("anna%40web.de", "", &[("anna%40web.de", "email")]),
    ("GET /x?email=anna%40web.de&y=1 HTTP/1.1", "", &[("anna%40web.de", "email")]),
    ("redirect=%2Flogin%3Femail%3Danna%40web.de", "", &[("anna%40web.de", "email")]),
    ("Passwort lautet: kX9$mmp2", "", &[("kX9$mmp2", "password")]),
    ("Ihr neues Passwort lautet kX9$mmp2", "", &[("kX9$mmp2", "password")]),
    ("password is hunter22", "", &[("hunter22", "password")]),
    ("pw: hunter22", "", &[("hunter22", "password")]),
    ("contraseña: hunter22", "", &[("hunter22", "password")]),
    ("mot de passe : hunter22", "", &[("hunter22", "password")]),
    ("ALTER USER app WITH PASSWORD 'n3wP4ss'", "", &[("n3wP4ss", "password")]),
    ("CREATE USER x IDENTIFIED BY 'Tiger#42'", "", &[("Tiger#42", "password")]),
    ("<password>abc12345</password>", "", &[("abc12345", "password")]),
    ("machine api.example.com login anna password s3cretpw", "", &[("s3cretpw", "password")]),
    ("localhost:5432:mydb:anna:pa55w0rd", "", &[("pa55w0rd", "password")]),
    (
        "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}}}",
        "",
        &[("dXNlcjpwYXNzd29yZA==", "secret")],
    ),
    ("Your OTP is 482190", "", &[("482190", "secret")]),
    ("Reisepass-Nr.: C4J8K2L1P", "", &[("C4J8K2L1P", "passport")]),
    ("Passnummer: C4J8K2L1P", "", &[("C4J8K2L1P", "passport")]),
    ("r.č. 8605165701", "", &[("8605165701", "cz_rodne_cislo")]),
    ("SSN536-22-1987", "", &[("536-22-1987", "us_ssn")]),
    ("tel +49-171-1234567/+49 30 901820", "", &[("+49-171-1234567", "phone"), ("+49 30 901820", "phone")]),
    ("my number: 07700 900123", "", &[("07700 900123", "phone")]),
    (
        "withdrawal LSkaHkzANtegcJoAZqpkfLsYkhUiXKhYTX pending",
        "",
        &[("LSkaHkzANtegcJoAZqpkfLsYkhUiXKhYTX", "wallet")],
    ),
    ("Flat 3, 12 High Street", "", &[("Flat 3, 12 High Street", "address")]),
    ("Lieferung an Hauptstraße 12", "", &[("Hauptstraße 12", "address")]),
    ("Envío a Calle de Alcalá 42, 28014 Madrid", "", &[("Calle de Alcalá 42, 28014 Madrid", "address")]),
    (
        "Lieferung an Hauptstraße 12, 10827 Berlin fehlgeschlagen",
        "",
        &[("Hauptstraße 12, 10827 Berlin", "address")],
    ),
    ("Zum Alten Markt 3", "", &[("Zum Alten Markt 3", "address")]),
    ("A123456789", "nif_cliente", &[("A123456789", "tw_id")]),
    ("01752198000203", "cnpj_empresa", &[("01752198000203", "br_cnpj")]),
    (r#"{"p": "{\"email\": \"a@example.org\"}"}"#, "", &[("a@example.org", "email")]),
];

const CLEAN: &[(&str, &str)] = &[
    ("4111111111111112", ""),
    ("order no 9781234567897 shipped", ""),
    ("1700000000", ""),
    ("1700000000000", ""),
    ("10.4.2.1", "version"),
    ("Build 10.4.2.1 finished in 12:33:21", ""),
    ("3f0c2a8e-8f7b-4a6d-9d2b-0a5e6c1f7b21", "id"),
    ("9fceb02d0ae598e95dc970b74767f19372d61af8", "commit"),
    ("true", "email_verified"),
    ("48213", "phone_id"),
    ("978-3-16-148410-0", "isbn"),
    ("$1,234.56", "amount"),
    ("1Z999AA10123456784", "tracking"),
    ("git@github.com:owner/repo.git", ""),
    ("logo@2x.png", ""),
    ("npm install lodash@4.17.21", ""),
    ("std::vector<int> v; if (a::b) { return c; }", ""),
    ("2024-05-01 12:33:21.123+00", "created_at"),
    ("Ben Sherman Shirt", "product_name"),
    ("127.0.0.1", ""),
    ("INV-2024-123-45-6789", ""),
    ("n/a", "first_name"),
    ("package@1.2.3.tgz", ""),
    ("ssh://git@github.com/owner/repo.git", "origin"),
    ("org-123@github.com:owner/repo.git", ""),
    ("getty@tty1.service", ""),
    ("2024-01-02", "phone_confirmed"),
    ("55.62603965", "lat_error"),
    ("261 854 291", "price"),
    ("5755-3670-7673", "num_commande"),
    ("INV240512001", ""),
    ("verified", "has_address"),
    ("10.2.3.40", "app_version"),
    ("upgrade to 2.4.1.200 done", ""),
    ("1.2.3.40-rc1", ""),
    ("kernel 5.15.0.91", ""),
    ("Ernst Young", "company"),
    ("Platform Team", "author"),
    ("Lockheed Martin Corporation", "name"),
    ("Zapatos Azules", "nombre_producto"),
    ("Authorization: Bearer <token>", ""),
    ("path/to/some/very/long/directory/with/many/parts/and/a/file/name/0123456789/archive", ""),
    (r"\xdeadbeef00112233445566778899aabbccddeeff", ""),
    ("null", "ssn"),
    ("0.8.6.65", ""),
    ("Ryan Air flight 36902 delayed", ""),
    ("Section 12, 10115 Items", ""),
    ("Chapter 3, 1945 Paris", ""),
    ("Volume 7, 2020 Berlin", ""),
    ("mysql -u root -p -e 'show tables'", ""),
    ("mysql -h db -p3306", ""),
    ("curl -u $USER:$PASS https://example.com/", ""),
    ("Rufe - an", ""),
    // Places without a word for them, versions of programs, letters and digits of codes, attributes of secrets and streets.
    ("52.5200, 13.4050", ""),
    ("-78.01841,162.50681", "center"),
    ("Mozilla/5.0 (X11; Linux x86_64) Chrome/122.0.0.0 Safari/537.36", "client"),
    ("Edg/122.0.2365.92", ""),
    ("10.0.0.0", ""),
    ("GET /v1/items?cursor=caef476ab95cf01b 200 637ms", ""),
    ("span 41d287cf54e566ff parent 72f556361af794ca dur=593376us", ""),
    ("part 12cf34 no 7654321", ""),
    ("CF 12345678", ""),
    ("member number 987654321", ""),
    ("run 12345678 finished", ""),
    ("5103", "max_tokens"),
    ("bcrypt", "password_algo"),
    ("strong", "password_strength"),
    (r#"{"pw_hash_algo":"bcrypt"}"#, ""),
    ("north", "street_side"),
    ("asphalt", "street_surface"),
    // Numbers of articles, and rows of numbers; calling codes that nobody has.
    ("086-3851-98", "artnr"),
    ("056-060-140", "part_no"),
    ("088-133-546", "range"),
    ("sizes 36 38 40 42 44", ""),
    ("scores 10 20 30 40 50 today", ""),
    ("Lotto: 12 34 45 67 89", ""),
    ("+37 624 527", ""),
    ("+23 456 789", ""),
    ("Lieferschein 62267602, Charge 4002301243", ""),
    // What stands for a value.
    ("XXX-XX-XXXX", "street"),
    ("XXX-XX-1234", "ssn"),
    ("ssn: XXX-XX-1234", ""),
    ("(hidden)", "first_name"),
    ("0", "address"),
    ("missing", "address"),
    ("GitHub Actions", "created_by"),
    ("Batch Job", "modified_by"),
    ("Not Assigned", "assigned_to"),
    ("Paris", "name"),
    ("http://localhost:8080/a:b:c", ""),
    ("a.rs:1200:5:warning:unused variable x", ""),
    ("order placed on 12 May 1980", ""),
    ("Password must be at least 8 characters", ""),
    // A given name and a word for a thing; what begins as a date, a password or a line of a file of them does.
    ("Basil Pesto", ""),
    ("Hudson River", ""),
    ("Puerto Rico", ""),
    ("Parkinson Disease", ""),
    ("Teddy Bear", ""),
    ("Lazy Susan", "name_en"),
    ("St. Mary Hospital", "hospital_name"),
    ("Oscar", "award_name"),
    ("Basil Pesto", "name_de"),
    ("Rose Garden", "title"),
    ("Grace Period", "description"),
    ("admin", "created_by"),
    ("system", "created_by"),
    ("System", "created_by"),
    ("Migration", "updated_by"),
    ("released on May 12, 1980", ""),
    ("founded 12 May 1980", ""),
    ("the password is required here", ""),
    ("ALTER USER app WITH PASSWORD '$1'", ""),
    ("password 'must not be empty'", ""),
    ("12:30:45:77:99", ""),
    ("An der Kirche 5", ""),
    ("Green", "name"),
    ("Default", "name"),
    ("Stone", "name"),
    ("Main", "name"),
    ("Berlin", "name"),
    ("London", "customer"),
    ("UPDATE u SET password = crypt($1, gen_salt('bf'))", ""),
];

#[test]
fn what_has_to_be_found_is() {
    for (value, column, want) in FOUND {
        let have = found(value, column, TypeHint::Text);
        let have: Vec<(&str, &str)> = have.iter().map(|(v, l)| (v.as_str(), *l)).collect();
        assert_eq!(have, *want, "{value} under {column:?}");
    }
}

#[test]
fn what_is_clean_stays() {
    for (value, column) in CLEAN {
        assert_eq!(found(value, column, TypeHint::Text), [], "{value} under {column:?}");
    }
}

#[test]
fn the_type_is_heard() {
    let uuid = "3f0c2a8e-8f7b-4a6d-9d2b-0a5e6c1f7b21";
    assert_eq!(found(uuid, "session_token", TypeHint::Uuid).len(), 1);
    assert_eq!(found(uuid, "id", TypeHint::Uuid), []);
    assert_eq!(found("1980-04-12", "dob", TypeHint::Date).len(), 1);
    assert_eq!(found("1980-04-12", "created", TypeHint::Date), []);
    assert_eq!(found("52.52", "lat", TypeHint::Decimal).len(), 1);
    assert_eq!(found("52.52", "score", TypeHint::Decimal), []);
    assert_eq!(found("39053344705", "c", TypeHint::Text).len(), 1);
    assert_eq!(found("39053344705", "c", TypeHint::Integer), []);
    assert_eq!(found("1.2.3.4", "c", TypeHint::of_type("inet")).len(), 1);
    // A card's number among numbers: of a network that is common everywhere, or by the column.
    for (number, column, cards) in [
        ("4111111111111111", "c", 1),
        ("378282246310005", "c", 1),
        ("8244289761720588", "c", 0),
        ("6759649826438453", "c", 0),
        ("4000000000000000006", "c", 0),
        ("6759649826438453", "card_number", 1),
        ("4111111111111111", "order_id", 0),
    ] {
        assert_eq!(found(number, column, TypeHint::of_type("bigint")).len(), cards, "{number} {column}");
    }
    assert_eq!(TypeHint::of_type("numeric(10,2)"), TypeHint::Decimal);
    assert_eq!(TypeHint::of_type("timestamp without time zone"), TypeHint::Date);
}

/// Tokens are put together here, so that no scanner of repositories takes this file for a leak.
#[test]
fn tokens_of_providers_are_found() {
    let letters = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2Yz3Ab4Cd5Ef6Gh7Ij8Kl9Mn0Op1Qr2St3Uv4Wx5Yz6";
    let upper = "ABCDEFGH23456723";
    let table = [
        ("aws_key", format!("{}{upper}", "AKIA")),
        ("github_token", format!("{}{}", "ghp_", &letters[..36])),
        ("gitlab_token", format!("{}{}", "glpat-", &letters[..20])),
        ("stripe_key", format!("{}{}", "sk_live_", &letters[..24])),
        ("gcp_key", format!("{}{}", "AIza", &letters[..35])),
        ("slack_token", format!("{}{}", "xoxb-", &letters[..40])),
        ("openai_key", format!("{}{}", "sk-proj-", &letters[..48])),
        ("anthropic_key", format!("{}{}", "sk-ant-api03-", &letters[..60])),
        ("npm_token", format!("{}{}", "npm_", &letters[..36])),
        ("sendgrid_key", format!("{}{}.{}", "SG.", &letters[..22], &letters[..43])),
        (
            "jwt",
            format!("{}.{}.{}", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJzdWIiOiIxIn0", &letters[..43]),
        ),
        ("password", format!("{}{}", "$2b$12$", &letters[..53])),
        (
            "private_key",
            format!("-----BEGIN {} KEY-----\n{letters}\n-----END {} KEY-----", "PRIVATE", "PRIVATE"),
        ),
        ("url_password", format!("postgres://app:{}@db.internal:5432/prod", &letters[..12])),
        ("connection_string", format!("Server=db;Database=x;User Id=sa;Password={};", &letters[..10])),
    ];
    for (label, token) in table {
        let whole = found(&token, "", TypeHint::Text);
        assert!(matches!(whole.as_slice(), [(_, l)] if *l == label), "{label}: {whole:?}");
        let inside = found(&format!("it was {token} before"), "", TypeHint::Text);
        assert!(
            inside.iter().any(|(t, l)| *l == label && (t.contains(&letters[..8]) || t.contains(upper))),
            "{label}: {inside:?}"
        );
    }
}

#[test]
fn each_label_is_documented() {
    let page = include_str!("../../../../docs/labels.md");
    let missing: Vec<&str> =
        super::labels().into_iter().filter(|l| !page.contains(&format!("`{l}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A text of nothing but names is gone through once, not once for each of them: in the square of its length this would take an
/// hour.
#[test]
fn a_text_of_many_names_takes_no_longer_than_its_length() {
    let detector = Detector::new();
    for word in [
        "password ",
        "password 'a ",
        "password is ",
        "%B4111^",
        "born 12 May 12. ",
        "a%40",
        "Zacharias ",
        "Anna ",
        "Anna-",
        "Mr. ",
        "name is Anna, ",
        "Von ",
        "A. ",
    ] {
        let mut hits = Vec::new();
        detector.scan(&word.repeat(100_000), "first_name", TypeHint::Text, &mut hits);
        detector.scan(&word.repeat(100_000), "", TypeHint::Text, &mut hits);
    }
}
