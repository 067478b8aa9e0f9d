//! The words by which columns are named, in the languages that schemas are written in. Accents are folded
//! (`ä` to `ae`, `é` to `e`).

use super::columns::{Kinds, Topic};

/// Words behind a topic that make it ordinary, and words that are ordinary by themselves.
pub(crate) const STOPS: &str = "\
    verified verification count counts id ids uuid guid type types kind status state flag enabled \
    disabled active valid is has at on ts time timestamp datetime date created updated modified \
    deleted expires expiry expiration hash sha sha1 sha256 md5 checksum digest etag version ver build \
    release revision rev commit branch epoch ms seq sequence index idx rank position order orders \
    invoice sku ean upc isbn gtin barcode asin product item qty quantity amount price cost total \
    subtotal balance currency discount rate ratio percent score weight height width length size len \
    age bytes tracking shipment batch lot template provider domain format country locale lang language \
    timezone tz color colour url uri link path file filename mime title subject label category tag \
    tags brand reference ref hostname host port retries attempts limit max min avg sum num usage used \
    ttl expired required optional opt consent preference preferences source method mode level last4 \
    bin network issuer scope scopes ticket policy prefix suffix region serial quote cents votes views \
    clicks duration latency uptime model isbn13 isbn10 ean13 po artikel bestellung menge preis fecha \
    importe cantidad montant prix datum hex \
    err error errors confirmed sent opened bounced subscribed changed missing known length exists available \
    producto produit produkt prodotto produto articulo article articolo artigo empresa societe azienda \
    entreprise unternehmen ciudad ville stadt citta cidade archivo fichier datei projet proyecto projekt \
    progetto statut estatus commande pedido ordine factura facture rechnung fattura bestellnummer auftrag \
    salary wage wages income revenue fee fees budget sum gehalt umsatz betrag \
    sueldo salaire importo valor montante kwota saldo auftragsnummer sendungsnummer artikelnummer kundennummer \
    algo algorithm strength scheme encoding surface side orientation rounds iterations complexity \
    artnr artikelnr lieferschein lieferscheinnummer charge chargennummer losnummer hospital award \
    company firm business organization organisation employer merchant vendor supplier manufacturer school university hotel \
    restaurant city town album song movie book game medication team department shop store";

/// Words that are ordinary where none of a name's words says what its values are: `part_no`, but `postal_code`.
pub(crate) const LONE_STOPS: &str = "\
    part parts partno partnumber code codes range article articles artnum matnr material teilenummer teilenr component \
    pieza piece pezzo peca onderdeel dimensions dimension spec specs";

/// Stops that say of values what kind of word they are: no name is looked for there, but a number that stands there proves
/// itself as it does under a name that says nothing.
pub(crate) const WORDED: &str = "\
    status state flag type types kind source method label subject title category tag tags brand reason level \
    preference preferences mode provider format domain country locale lang language color colour \
    company firm business organization organisation employer merchant vendor supplier manufacturer school university hotel \
    restaurant city town album song movie book game medication team department shop store";

/// Stops under which four numbers with dots are a version.
pub(crate) const VERSIONED: &str = "version ver build release revision rev";

/// Last words of names whose values are texts or anything at all, whatever the words before (`ticket body`).
pub(crate) const PROSE: &str = "\
    body text content note notes comment comments message msg description desc details detail remarks \
    remark payload data json feedback memo info answer response request review summary bemerkung \
    kommentar commentaire observaciones value val values";

/// Words before a topic in names written without a border (`customeremail`).
pub(crate) const OWNERS: [&str; 20] = [
    "customer",
    "user",
    "client",
    "contact",
    "billing",
    "shipping",
    "home",
    "work",
    "mobile",
    "primary",
    "employee",
    "patient",
    "member",
    "my",
    "cust",
    "usr",
    "emp",
    "kunden",
    "sender",
    "recipient",
];

/// What is said in scripts other than Latin, wherever it stands in the name. Longer ones go before those that they hold.
pub(crate) const FOREIGN: &[(&str, Topic)] = &[
    ("電話", Topic::Phone),
    ("电话", Topic::Phone),
    ("手机", Topic::Phone),
    ("手機", Topic::Phone),
    ("携帯", Topic::Phone),
    ("телефон", Topic::Phone),
    ("мобильн", Topic::Phone),
    ("전화", Topic::Phone),
    ("휴대폰", Topic::Phone),
    ("τηλέφωνο", Topic::Phone),
    ("τηλεφωνο", Topic::Phone),
    ("κινητό", Topic::Phone),
    ("هاتف", Topic::Phone),
    ("جوال", Topic::Phone),
    ("טלפון", Topic::Phone),
    ("โทรศัพท์", Topic::Phone),
    ("फ़ोन", Topic::Phone),
    ("邮箱", Topic::Email),
    ("郵箱", Topic::Email),
    ("メール", Topic::Email),
    ("почта", Topic::Email),
    ("이메일", Topic::Email),
    ("身份证", Topic::NationalId(Kinds(&["cn_resident_id"]))),
    ("身分證", Topic::NationalId(Kinds(&["tw_id"]))),
    ("マイナンバー", Topic::NationalId(Kinds(&["jp_my_number"]))),
    ("주민등록번호", Topic::NationalId(Kinds(&["kr_rrn"]))),
    ("주민번호", Topic::NationalId(Kinds(&["kr_rrn"]))),
    ("снилс", Topic::NationalId(Kinds(&["ru_snils"]))),
    ("αμκα", Topic::NationalId(Kinds(&["gr_amka"]))),
    ("الهوية", Topic::NationalId(Kinds(&[]))),
    ("תעודת זהות", Topic::NationalId(Kinds(&["il_teudat_zehut"]))),
    ("егн", Topic::NationalId(Kinds(&["bg_egn"]))),
    ("јмбг", Topic::NationalId(Kinds(&["jmbg"]))),
    ("инн", Topic::TaxId(Kinds(&["ru_inn"]))),
    ("афм", Topic::TaxId(Kinds(&["gr_afm"]))),
    ("αφμ", Topic::TaxId(Kinds(&["gr_afm"]))),
    ("рнокпп", Topic::TaxId(Kinds(&["ua_rntrc"]))),
    ("іпн", Topic::TaxId(Kinds(&["ua_rntrc"]))),
    ("иин", Topic::NationalId(Kinds(&["kz_iin"]))),
    ("کد ملی", Topic::NationalId(Kinds(&["ir_national_code"]))),
    ("ת.ז", Topic::NationalId(Kinds(&["il_teudat_zehut"]))),
    ("护照", Topic::Passport),
    ("護照", Topic::Passport),
    ("パスポート", Topic::Passport),
    ("여권", Topic::Passport),
    ("паспорт", Topic::Passport),
    ("διαβατήριο", Topic::Passport),
    ("דרכון", Topic::Passport),
    ("銀行卡", Topic::Card),
    ("银行卡", Topic::Card),
    ("カード番号", Topic::Card),
    ("카드번호", Topic::Card),
    ("номер карты", Topic::Card),
    ("номер_карты", Topic::Card),
    ("生年月日", Topic::Birth),
    ("出生日期", Topic::Birth),
    ("出生", Topic::Birth),
    ("생년월일", Topic::Birth),
    ("рождения", Topic::Birth),
    ("народження", Topic::Birth),
    ("γέννησης", Topic::Birth),
    ("الميلاد", Topic::Birth),
    ("תאריך לידה", Topic::Birth),
    ("会社名", Topic::Ordinary),
    ("公司", Topic::Ordinary),
    ("商品", Topic::Ordinary),
    ("产品", Topic::Ordinary),
    ("品名", Topic::Ordinary),
    ("товар", Topic::Ordinary),
    ("компани", Topic::Ordinary),
    ("회사", Topic::Ordinary),
    ("상품", Topic::Ordinary),
    ("姓名", Topic::Person),
    ("氏名", Topic::Person),
    ("名前", Topic::Person),
    ("お名前", Topic::Person),
    ("이름", Topic::Person),
    ("성명", Topic::Person),
    ("фамилия", Topic::Person),
    ("имя", Topic::Person),
    ("отчество", Topic::Person),
    ("фио", Topic::Person),
    ("прізвище", Topic::Person),
    ("ім'я", Topic::Person),
    ("όνομα", Topic::Person),
    ("επώνυμο", Topic::Person),
    ("الاسم", Topic::Person),
    ("שם", Topic::Person),
    ("地址", Topic::Address),
    ("住所", Topic::Address),
    ("주소", Topic::Address),
    ("адрес", Topic::Address),
    ("διεύθυνση", Topic::Address),
    ("العنوان", Topic::Address),
    ("כתובת", Topic::Address),
    ("密码", Topic::Password),
    ("密碼", Topic::Password),
    ("パスワード", Topic::Password),
    ("пароль", Topic::Password),
    ("비밀번호", Topic::Password),
    ("κωδικός", Topic::Password),
    ("邮编", Topic::Postcode),
    ("郵便番号", Topic::Postcode),
    ("우편번호", Topic::Postcode),
    ("индекс", Topic::Postcode),
];

/// Words that make a `name` that of a thing.
pub(crate) const QUALIFIERS: &str = "\
    company firm firma business organization organisation org bank team project event table column \
    schema db database app application service server role group city department dept school \
    university hotel restaurant store shop device plan campaign channel repo repository package module \
    class function field param parameter attribute variable job task queue topic bucket cluster node \
    zone metric rule course game song album movie book ship vendor supplier manufacturer \
    process image warehouse location place street road county province station airport code short long \
    common generic system environment env feature setting key dataset report dns bot plant species \
    drug medication disease tenant workspace asset stage step workflow site";

/// What is said of a topic, between commas. Longer phrases win over shorter ones that end at the same place.
pub(crate) const PHRASES: &[(Topic, &str)] = &[
    (
        Topic::Ordinary,
        "\
         max tokens, min tokens, num tokens, total tokens, prompt tokens, completion tokens, input tokens, \
         output tokens, used tokens, cached tokens, reasoning tokens, maxtokens, n tokens",
    ),
    (
        Topic::Email,
        "\
         email, e mail, mail, emails, email address, e mail address, mail address, email addr, eml, \
         correo, correo electronico, courriel, posta elettronica, epost, adres email, email id, \
         emailid, emailaddress, useremail, emailaddr, email adresse, mailadresse, email addresses, \
         sahkoposti, epostadresse, e postadress, emailadres, eposta, e posta, emailcim, adres e mail, \
         indirizzo email, adresse email, adresse electronique, endereco email, endereco de email, \
         direccion de correo, mail id",
    ),
    (
        Topic::Phone,
        "\
         phone, phones, call, dial, callback, telephone, tel, telefon, telefone, telefono, mobile, mobil, mobile no, cell, \
         cellphone, cell phone, cellular, handy, fax, phone number, phone num, phone no, phonenumber, \
         phonenumbers, telefonnummer, mobilnummer, handynummer, rufnummer, celular, movil, portable, \
         gsm, msisdn, whatsapp, ph, ph no, contact number, contact no, contact num, mob, mob no, phn, \
         tel no, tel nr, phone 1, phone 2, sms number, numero telefono, numero de telephone, \
         cep telefonu, telefonszam, puhelin, numer telefonu, caller, callee, caller id, sms to, \
         home phone, work phone, telno, mobileno, tlf, cellulare, telefoonnummer, msisdn number, \
         telefoon, telefoonnr, puhelinnumero, puh, matkapuhelin, telefonnr, telefonnumer, telefonu, \
         komorka, mobiltelefon, numero de telefono, numero telefonico, num tel, no tel, telephone no, \
         telephone number, tel num, tel number, phone nr, mobile phone, cell no, cell number, \
         numero celular, fone, cel, whatsapp number, fax number, fax no, fax nr, faxnummer, gsm no, \
         gsm nr, telefon no, telepon, nomor telepon, no hp, dien thoai, so dien thoai, tfno, telf, \
         tlf nr, numero cellulare, numero tel, telefonkontakt, mobilnr, mobiltel, matkapuhelinnumero",
    ),
    (
        Topic::Card,
        "\
         card number, cardnumber, card num, card no, cardno, credit card, creditcard, \
         credit card number, debit card, debit card number, ccnum, cc num, cc number, ccn, cc no, cc, \
         pan, payment card, kreditkarte, kreditkartennummer, tarjeta, numero tarjeta, carte bancaire, \
         carte credit, carta di credito, credit card no, card, numero carte, cartao, \
         payment method number, creditcardnumber, primary account number, kartennummer, \
         card nbr, cardnbr, credit card num, creditcard number, debitcard, kort nummer, kortnummer, \
         numero de tarjeta, numero de carte, numero carta, numero cartao, numero do cartao, kart no, \
         kart numarasi, nr karty, numer karty, cislo karty, creditcardnr, kreditkartennr, korttinumero, \
         tarjeta credito, tarjeta de credito, cartao credito, cartao de credito",
    ),
    (
        Topic::CardCode,
        "\
         cvv, cvc, cvv2, cvc2, cvv 2, cvc 2, card code, security code, pin code card, card pin, cvn",
    ),
    (
        Topic::Iban,
        "\
         iban, iban number, iban no, ibannumber",
    ),
    (
        Topic::Bic,
        "\
         bic, swift, bic code, swift code, swift bic, bic swift, swiftcode",
    ),
    (
        Topic::Account,
        "\
         kto nr, ktonr, kto, account number, account no, account num, acct, acct no, acct num, acct number, bank account, \
         bank acct, bank account number, kontonummer, kontonr, konto, numero cuenta, cuenta, \
         routing number, sort code, aba, accountnumber, bban, beneficiary account, aba number, \
         aba routing, blz, bankleitzahl, clabe, bsb, ifsc, numero de cuenta, numero compte, rib, \
         bankaccount, bank account no, \
         account nbr, bankkonto, bankverbindung, bank details, nr rachunku, numer rachunku, numer konta, \
         rekeningnummer, bankrekening, bankgiro, plusgiro, numero conto, conto corrente, conta bancaria, \
         numero conta, compte bancaire, cuenta bancaria, hesap no, szamlaszam, bankszamlaszam, \
         cislo uctu, tilinumero, account iban",
    ),
    (
        Topic::NationalId(Kinds(&[])),
        "\
         social, national id, nationalid, national id number, national identity, \
         national identity number, national identification number, id number, identity number, \
         identity no, identification number, personal id, personal number, personal code, \
         personal identity code, person number, national number, uid number, resident id, \
         id card, id card number, identity card, idcard, carte identite, documento, \
         numero documento, doc number, document number, govt id, government id, gov id, \
         citizen id, citizenid, national no, id no, person id number, bi number, ine, rg, \
         nationality id, natl id, nat id, ssn last4, personalnumber, identitynumber, nuip, \
         numero identificacion, numero de identificacion, numero de identidad, \
         numero identidad, identificacion, documento identidad, documento de identidad, nss, \
         person nr, persnr, person no, personalnummer, identity document, identification no, \
         identification num, id document, id document number, identifier number, \
         citizen number, citizen no, residence permit, residence permit number, nro documento, \
         num documento, id card no, idcard no, idno, nid, nid no, nid number, \
         personal identification number, personal identification code, szemelyi szam, \
         szemelyi igazolvany, numero identite, numero carte identite, piece identite, id kort",
    ),
    (
        Topic::TaxId(Kinds(&[])),
        "\
         tax id, taxid, tax number, tax no, tax identification number, tin, steuernummer, \
         steuer nr, vat, vat id, vat number, vat no, ust id, ustid, umsatzsteuer id, \
         fiscal code, fiscal id, siret, siren, kvk, numero fiscale, tax ref, dic, btw nummer, \
         btw, edrpou, taxnumber, fiscal number, tax reference, tax reference number, \
         taxpayer id, taxpayer number, identificacion fiscal, numero identificacion fiscal, \
         steuernr, ust idnr, ustidnr, ust nr, vat reg no, vat registration number, numero iva, \
         tva, numero tva, num tva, tva intracom, momsnr, codigo fiscal, cod fiscal, \
         steuer nummer, npwp, npwp no, nomor npwp, tin no, tin number",
    ),
    (
        Topic::Passport,
        "\
         passport, passaporte, passport number, passport no, passport num, passportnumber, reisepass, \
         reisepassnummer, pasaporte, passeport, passaporto, passnummer, passport id, paspoort, \
         paszport, mrz, travel document, pass nr, numero passeport, visa number, numero pasaporte, \
         passport nr, pass no, passnr, pass nummer, numero de passeport, no passeport, \
         numero passaporto, nr paszportu, utlevel, utlevelszam, pasaport, pasaport no, paspor, \
         no paspor, passinumero, paspoortnummer",
    ),
    (
        Topic::Licence,
        "\
         driver license, drivers license, driver s license, driving license, driving licence, \
         driver licence, drivers licence, license number, licence number, license no, dl number, \
         dl no, dl, fuehrerschein, fuehrerscheinnummer, permis conduire, driver license number, \
         patente, rijbewijs, drivers license number, driver lic, drv lic, cnh, licencia conducir, \
         driverslicense, driverlicense, driving licence number, dea number, npi, dvla, \
         driver s license number, permis de conduire, numero permis, carnet conducir, permiso conducir, \
         permiso de conducir, patente di guida, patente guida, carta de conducao, rijbewijsnummer, \
         prawa jazdy, nr prawa jazdy, korkort, koerkort, forerkort, foererkort, prawo jazdy, ridicsky prukaz, ajokortti, ehliyet, \
         driving license number, driving licence no, driving license no, fuehrerschein nr",
    ),
    (
        Topic::Birth,
        "\
         dob, birth, birthday, birthdate, birth date, date of birth, dateofbirth, born, born on, \
         birth dt, brth dt, brthdt, bday, geburtsdatum, geburtstag, fecha nacimiento, fecha de nacimiento, \
         date naissance, date de naissance, nacimiento, data di nascita, data nascita, \
         data nascimento, data de nascimento, geboortedatum, fodselsdato, fodelsedatum, syntymaaika, \
         data urodzenia, dogum tarihi, d o b, birth year, year of birth, yob, foedselsdato, \
         datum narozeni, d naiss, \
         geb datum, gebdat, gebdatum, dat nasc, dt nasc, data nasc, dt nascimento, fec nac, fecha nac, \
         fecha de nac, date naiss, datenaissance, ne le, nato il, szuletesi datum, szuletesi ido, \
         datum rodenia, datum rojstva, datum rodjenja, data nasterii, birth day, birthdt, syntymapaiva, \
         fodselsdag, foedselsdag, ngay sinh, tanggal lahir, tgl lahir, dogum, geboren, geboren am, \
         geboortedag, fodt, foedt, foedd, fodd, f nac, naissance, birth date dob, fechanacimiento, datanascimento, datanascita",
    ),
    (
        Topic::Person,
        "\
         first name, firstname, fname, f name, first nm, fst nm, given name, givenname, given names, \
         last name, lastname, lname, l name, last nm, lst nm, surname, family name, familyname, \
         middle name, middlename, mname, maiden name, full name, fullname, full nm, legal name, \
         customer name, customername, client name, clientname, patient name, patientname, \
         employee name, employeename, emp name, cust name, cust nm, contact name, contactname, \
         contact person, person name, personname, owner name, holder name, cardholder, card holder, \
         cardholder name, card holder name, account holder, account holder name, recipient name, \
         recipient, sender name, beneficiary, beneficiary name, driver name, guest name, member name, \
         student name, teacher name, doctor name, physician, physician name, spouse, spouse name, \
         mother name, mothers maiden name, mother maiden name, father name, author name, \
         manager name, billing name, shipping name, ship name, bill to name, ship to name, \
         name on card, passenger name, passenger, tenant name person, emergency contact, \
         emergency contact name, next of kin, insured name, subscriber name, buyer name, seller name, \
         applicant name, applicant, candidate name, real name, realname, nick name, nickname, \
         vorname, nachname, familienname, zuname, prenom, nom, nom de famille, nom famille, \
         nom complet, nombre, nombres, apellido, apellidos, primer apellido, segundo apellido, \
         nombre completo, cognome, nome cognome, nome, nome completo, sobrenome, apelido, voornaam, \
         achternaam, imie, nazwisko, fornavn, etternavn, efternavn, fornamn, efternamn, etunimi, \
         sukunimi, jmeno, prijmeni, ad soyad, soyad, soyadi, keresztnev, vezeteknev, user full name, \
         assignee name, signatory, signed by, attendee name, participant name, payee, payee name, \
         payer name, lead name, rep name, agent name person, nurse name, child name, kunde name, \
         kundenname, ansprechpartner, nm, emergency contact person, primary contact, requester name, \
         reporter name, father s name, mother s name, \
         name surname, surname name, name first, name last, nom prenom, prenom nom, nome cliente, \
         nombre cliente, nombre del cliente, nombre y apellidos, apellido paterno, apellido materno, \
         primer nombre, segundo nombre, nom client, nom usage, nom naissance, nom de jeune fille, \
         geburtsname, rufname, mitarbeitername, patientenname, kontoinhaber, karteninhaber, titulaire, \
         titular, intestatario, titolare, rekeninghouder, imie nazwisko, imie i nazwisko, \
         nazwisko rodowe, familienaam, tussenvoegsel, mellannamn, mellomnavn, mellemnavn, tilltalsnamn, \
         fulde navn, fullt navn, koko nimi, etunimet, teljes nev, csaladnev, utonev, prenume, \
         nume complet, isim, prezime, priimek, ime priimek, ime i prezime, priezvisko, pavarde, vardas, \
         uzvards, perekonnanimi, eesnimi, ho ten, ho va ten, nama lengkap, nama depan, nama belakang, \
         fio, familiya, otchestvo, xingming, first names, last names, forename, forenames, second name, \
         users name, persons name, preferred name, birth name, contact full name, person full name, \
         sobrenom, second surname, volledige naam, voor en achternaam, tenant name, debtor name, player name, celebrant",
    ),
    (
        Topic::Name,
        "\
         name, names, who, person, customer, client, cliente, kunde, klient, klant, navn, namn, nimi, \
         nama, nume, ime, full",
    ),
    (
        Topic::Party,
        "\
         employee, empleado, mitarbeiter, employe, dipendente, author, autor, auteur, autore, patient, \
         paciente, paziente, doctor, student, teacher, guest, attendee, participant, display name, \
         displayname, user name full, manager, assignee, reporter, requester, approver, supervisor, \
         signer, landlord, referee, reviewer, approver name, reviewer name, referee name, landlord name, \
         witness, witness name, approved by, approved by name, reviewed by, signatory name, holder, contact, \
         kontakt, contacto, contatto, owner, member, sender, buyer, seller, \
         created by, updated by, modified by, opened by, closed by, changed by, edited by, added by, deleted by, sold by, requested by, \
         reported by, submitted by, assigned to, assigned by, prepared by, verified by, checked by, handled by, issued by, entered by, \
         registered by, completed by, received by, delivered by, driven by, treated by, signed off by, last modified by, \
         created by name, updated by name, modified by name, assigned to name, \
         insured, claimant, defendant, plaintiff, surgeon, nurse, traveler, traveller, player, coach, lecturer, director, \
         candidate, payer, debtor, creditor, lessee, lessor, donor, borrower, lender, heir, trainer, tutor, pilot, sales rep, legal rep, \
         account rep, attn, username display, key contact, \
         inhaber, geschaeftsfuehrer, fahrer, arzt, aerztin, lehrer, kontaktperson, vertreter, bearbeiter, sachbearbeiter, absender, \
         empfaenger, mieter, vermieter, auftraggeber, versicherter, antragsteller, betreuer, teilnehmer, \
         vendeur, acheteur, medecin, salarie, locataire, conducteur, expediteur, destinataire, proprietaire, gerant, \
         vendedor, comprador, medico, conductor, remitente, destinatario, propietario, inquilino, trabajador, asegurado, \
         venditore, acquirente, mittente, funcionario, motorista, proprietario, \
         werknemer, medewerker, huurder, afzender, ontvanger, pracownik, pacjent, lekarz, kierowca, nadawca, odbiorca, \
         zamestnanec, ridic, lekar, anstaelld, medarbejder, ansatt, asiakas, tyontekija",
    ),
    (
        Topic::Address,
        "\
         address, addr, addresses, street, street address, streetaddress, street addr, street name, \
         street 1, street 2, street line, address line, address line 1, address line 2, address 1, \
         address 2, addr 1, addr 2, addr line 1, addr line, addressline, address 3, home address, \
         home addr, billing address, shipping address, mailing address, postal address, residence, \
         residential address, delivery address, ship to, bill to, ship address, ship addr, bill addr, \
         full address, work address, strasse, anschrift, adresse, direccion, domicilio, calle, rue, \
         indirizzo, via, endereco, logradouro, morada, straat, adres, ulica, gateadresse, gatuadress, \
         adress, katuosoite, osoite, lakcim, house number, hausnummer, street number, apartment, \
         strasse hausnummer, address full, ulice, billing street, shipping street, home street, \
         mail addr, cust addr, current address, permanent address, \
         cim, adresa, domicile, lieferadresse, rechnungsadresse, wohnadresse, hausanschrift, straatnaam, \
         huisnummer, utca, utca hazszam, sokak, adresi, ev adresi, alamat, dia chi, adres zamieszkania, \
         bostadsadress, hjemmeadresse, kotiosoite, katu, voie, complement adresse, bairro, \
         indirizzo residenza, residenza, direccion de envio, direccion envio, direccion facturacion, \
         street no, street nr, strassenname, location address, mailing addr, shipping addr, \
         billing addr, postal addr, domicilio fiscal, adresse livraison, adresse facturation, \
         adresse postale, utcanev, hausnr, \
         created by, updated by, modified by, opened by, closed by, changed by, edited by, added by, deleted by, sold by, requested by, \
         reported by, submitted by, assigned to, assigned by, prepared by, verified by, checked by, handled by, issued by, entered by, \
         registered by, completed by, received by, delivered by, driven by, treated by, signed off by, last modified by, \
         created by name, updated by name, modified by name, assigned to name, \
         insured, claimant, defendant, plaintiff, surgeon, nurse, traveler, traveller, passenger, player, coach, lecturer, director, \
         candidate, payer, debtor, creditor, lessee, lessor, donor, borrower, lender, heir, trainer, tutor, pilot, sales rep, legal rep, \
         account rep, attn, attention, username display, key contact, \
         inhaber, geschaeftsfuehrer, fahrer, arzt, aerztin, lehrer, kontaktperson, vertreter, bearbeiter, sachbearbeiter, absender, \
         empfaenger, mieter, vermieter, auftraggeber, versicherter, antragsteller, betreuer, kassierer, teilnehmer, \
         vendeur, acheteur, medecin, salarie, locataire, conducteur, expediteur, destinataire, proprietaire, gerant, \
         vendedor, comprador, medico, conductor, remitente, destinatario, propietario, inquilino, responsable, trabajador, asegurado, \
         titolare conto, venditore, acquirente, mittente, responsabile, funcionario, motorista, proprietario, responsavel, \
         werknemer, medewerker, huurder, afzender, ontvanger, chauffeur, pracownik, pacjent, lekarz, kierowca, nadawca, odbiorca, \
         zamestnanec, ridic, lekar, anstaelld, anstalld, foerare, kontaktperson namn, medarbejder, ansatt, asiakas, tyontekija",
    ),
    (
        Topic::Postcode,
        "\
         zip, zip code, zipcode, postcode, post code, postal code, postalcode, postal, plz, \
         postleitzahl, code postal, codigo postal, cp, cap, cep, pincode, pin code, postnummer, \
         postnr, kod pocztowy, postinumero, zip 4, zip plus 4, psc, billing zip, shipping zip, \
         iranyitoszam, posta kodu, \
         pcode, kode pos, codice postale, cod postal, cod postale, irsz, codpostal, codigopostal, \
         codepostal, post nr, zip codes, postal cd, postnumber, postno",
    ),
    (
        Topic::Geo,
        "\
         lat, lon, lng, latitude, longitude, coordinates, coords, coord, gps, geo, lat lng, lat lon, \
         latlng, latlon, geolocation, geo location, location lat, location lng, gps coordinates, \
         gps location, gps position, home location, last location, position gps",
    ),
    (
        Topic::Password,
        "\
         password, passwd, pwd, pass, passphrase, passcode, user password, password hash, \
         passwordhash, hashed password, pw, passwort, contrasena, mot de passe, senha, pin, \
         pin code secret, pw hash, pwd hash, passwd hash, pass hash, encrypted password, \
         password digest, kennwort, wachtwoord, haslo, losenord, security answer, secret answer, \
         db password, dbpassword, userpassword, pgpassword, mysql pwd, \
         clave, mdp, motdepasse, lozinka, salasana, adgangskode, kodeord, passord, jelszo, parola, \
         sifre, heslo, geslo, kata sandi, mat khau, pword, psw, seed phrase, mnemonic, recovery phrase, \
         clave acceso, secret phrase, loesenord",
    ),
    (
        Topic::Secret,
        "\
         secret, secrets, token, tokens, api key, apikey, api keys, access key, accesskey, \
         secret key, secretkey, private key, privatekey, access token, accesstoken, refresh token, \
         refreshtoken, auth token, authtoken, bearer, bearer token, client secret, clientsecret, \
         session token, session key, session secret, signing key, signing secret, encryption key, \
         webhook secret, api secret, apisecret, api token, apitoken, credentials, credential, \
         access key id, aws access key id, aws secret access key, secret access key, license key, \
         authorization, auth, otp, otp secret, totp secret, mfa secret, two factor secret, recovery code, \
         recovery codes, csrf token, reset token, password reset token, invite token, \
         verification token, id token, idtoken, oauth token, auth key, shared secret, master key, \
         key secret, cookie, session cookie, connection string, connstr, dsn, database url, db url, \
         device token, push token, confirmation token, remember token, auth code, jwt, jwt token, \
         app secret, verification code, \
         sas token, storage key, account key, openai key, stripe key, github token, \
         personal access token, deploy key, ssh key, ssh private key, service account key, hmac secret, \
         jwt secret, passkey, app key, app password, consumer secret, consumer key, hook secret, \
         sign key, sentry dsn, conn str, database uri, db uri, mongo uri, mongodb uri, redis url, \
         clave api, clave privada, cle api, cle privee, schluessel, geheimnis, chave api, chave privada, \
         api schluessel, bot token, personal token, deploy token, sas url, admin key, admin token, service key, \
         service token, private token, access secret, security token, write key",
    ),
    (
        Topic::Ip,
        "\
         ip, ip address, ipaddress, ip addr, ipaddr, client ip, remote ip, remote addr, \
         remote address, source ip, src ip, dst ip, dest ip, destination ip, server ip, host ip, \
         ipv4, ipv6, ipv 4, ipv 6, last ip, login ip, last login ip, user ip, clientip, \
         x forwarded for, peer ip, signup ip, ip v4, ip v6, adresse ip, direccion ip, remoteaddr, \
         sourceip, inet, peer addr, client addr, \
         addresse ip, ipadresse, ip adresse, ip adres, ip address v 4, originating ip, local ip, \
         public ip, private ip, gateway ip, external ip, internal ip, ip source, ip dest, ip cliente, \
         endereco ip, indirizzo ip, ip adresi, xff, real ip, visitor ip, remoteip, srcip, dstip, hostip",
    ),
    (
        Topic::Mac,
        "\
         mac, mac address, mac addr, macaddress, hardware address, hw addr, hwaddr, ethernet address, \
         bssid, wifi mac",
    ),
    (
        Topic::Device,
        "\
         imei, imei number, imei no, iccid, imsi, meid, sim number, sim no, sim card, esn, sim iccid, \
         idfa, gaid, device imei, advertising id, imei 1, imei 2, imeisv, udid",
    ),
    (
        Topic::Vin,
        "\
         vin, vin number, vin no, vehicle identification number, chassis, chassis number, \
         fahrgestellnummer, fin, vehicle vin, chassis no",
    ),
    (
        Topic::Plate,
        "\
         plate, license plate, licence plate, number plate, plate number, registration plate, \
         vehicle registration, kennzeichen, kfz kennzeichen, matricula, immatriculation, targa, \
         licenseplate, reg plate, vrn, car plate, plate no, nummernschild, vehicle plate, vehicle reg, \
         targa veicolo, placa, placa vehiculo, numero matricula, tablica rejestracyjna, \
         nr rejestracyjny, rendszam, plaka, plaka no, rekisterinumero, regnr, reg nr, \
         registreringsnummer, spz, license plate number, licence plate number",
    ),
    (
        Topic::Wallet,
        "\
         wallet, wallet address, btc address, bitcoin address, eth address, ethereum address, \
         crypto address, crypto wallet, btc wallet, eth wallet, walletaddress, deposit address, btc, \
         eth, blockchain address",
    ),
    (
        Topic::Health(Kinds(&[])),
        "\
         mrn, medical record number, medical record, health insurance number, insurance number, \
         member number, patient number, health card, health card number, health plan number, \
         medical record no, ehic, policy holder number, health id, health no, \
         krankenkassennummer, tarjeta sanitaria, tessera sanitaria, cartao saude, \
         medicaid number, medicaid no, insurance member number, insurance no",
    ),
];
