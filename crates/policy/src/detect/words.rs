//! The words by which columns are named, in the languages that schemas are written in. Accents are folded
//! (`ä` to `ae`, `é` to `e`).

use super::columns::Topic;

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
    importe cantidad montant prix datum hex";

/// Words that make a `name` that of a thing.
pub(crate) const QUALIFIERS: &str = "\
    company firm firma business organization organisation org bank team project event table column \
    schema db database app application service server role group city department dept school \
    university hotel restaurant store shop device plan campaign channel repo repository package module \
    class function field param parameter attribute variable job task queue topic bucket cluster node \
    zone metric rule display course game song album movie book ship vendor supplier manufacturer \
    process image warehouse location place street road county province station airport code short long \
    common generic system environment env feature setting key dataset report dns bot plant species \
    drug medication disease tenant workspace asset stage step workflow site";

/// What is said of a topic, between commas. Longer phrases win over shorter ones that end at the same place.
pub(crate) const PHRASES: &[(Topic, &str)] = &[
    (
        Topic::Email,
        "\
         email, e mail, mail, emails, email address, e mail address, mail address, email addr, eml, \
         correo, correo electronico, courriel, posta elettronica, epost, adres email, email id, \
         emailid, emailaddress, useremail, emailaddr, email adresse, mailadresse, email addresses",
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
         home phone, work phone, telno, mobileno, tlf, cellulare, telefoonnummer, msisdn number",
    ),
    (
        Topic::Card,
        "\
         card number, cardnumber, card num, card no, cardno, credit card, creditcard, \
         credit card number, debit card, debit card number, ccnum, cc num, cc number, ccn, cc no, cc, \
         pan, payment card, kreditkarte, kreditkartennummer, tarjeta, numero tarjeta, carte bancaire, \
         carte credit, carta di credito, credit card no, card, numero carte, cartao, \
         payment method number, creditcardnumber, primary account number, kartennummer",
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
         account number, account no, account num, acct, acct no, acct num, acct number, bank account, \
         bank acct, bank account number, kontonummer, kontonr, konto, numero cuenta, cuenta, \
         routing number, sort code, aba, accountnumber, bban, beneficiary account, aba number, \
         aba routing, blz, bankleitzahl, clabe, bsb, ifsc, numero de cuenta, numero compte, rib, \
         bankaccount, bank account no",
    ),
    (
        Topic::NationalId,
        "\
         ssn, social security, social security number, social security no, soc sec, social, \
         social insurance number, sin, nino, national insurance, national insurance number, \
         ni number, nhs, nhs number, national id, nationalid, national id number, national identity, \
         national identity number, national identification number, id number, identity number, \
         identity no, identification number, personal id, personal number, personal code, \
         personal identity code, person number, personnummer, personnr, fodselsnummer, fnr, cpr, \
         cpr number, hetu, henkilotunnus, bsn, burgerservicenummer, rijksregisternummer, \
         national number, niss, nir, insee, numero secu, securite sociale, numero securite sociale, \
         dni, nie, nif, codice fiscale, cf, pesel, rodne cislo, cnp, egn, amka, tc kimlik, tckn, \
         tc kimlik no, kimlik no, tc no, cpf, curp, cuil, rut, run, cedula, aadhaar, aadhar, \
         aadhaar number, aadhaar no, uid number, resident id, resident registration number, rrn, \
         my number, mynumber, nric, fin number, hkid, nik, ktp, teudat zehut, tz number, sv nummer, \
         svnr, sozialversicherungsnummer, ahv, ahv nummer, avs, oib, emso, jmbg, isikukood, \
         asmens kodas, personas kods, id card, id card number, identity card, idcard, \
         personalausweis, personalausweisnummer, ausweisnummer, perso, carte identite, documento, \
         numero documento, doc number, document number, ssn number, ssnumber, itin, sa id, \
         sa id number, said number, govt id, government id, gov id, citizen id, citizenid, \
         national no, cnic, snils, kennitala, ppsn, pps number, pps, mykad, ic number, id no, \
         national code, iin, person id number, sozialversicherung, rvnr, tc kimlik numarasi, dowod, \
         dowod osobisty, bi number, taj, taj szam, cedula identidad, cedula ciudadania, ine, rg, \
         socialsecuritynumber, socialsecurity, nationality id, sin number, natl id, nat id, \
         ssn last 4, ssn last4, codicefiscale, personalnumber, identitynumber",
    ),
    (
        Topic::TaxId,
        "\
         tax id, taxid, tax number, tax no, tax identification number, tin, ein, employer id, \
         employer identification number, steuer id, steuerid, steuer idnr, idnr, steuernummer, \
         steuer nr, steueridentifikationsnummer, tfn, tax file number, abn, vat, vat id, vat number, \
         vat no, ust id, ustid, umsatzsteuer id, numero fiscal, nip, regon, partita iva, piva, p iva, \
         cnpj, cuit, rfc, inn, gst, gstin, ird, ird number, pan number, pan card, pan no, afm, vkn, \
         utr, cif, fiscal code, fiscal id, siret, siren, kvk, medicare, medicare number, medicare no, \
         nit, ruc, spi, numero fiscale, tax ref, dic, btw nummer, btw, edrpou, adoazonosito, adoszam, \
         taxnumber, nipc, contribuinte, fiscal number",
    ),
    (
        Topic::Passport,
        "\
         passport, passport number, passport no, passport num, passportnumber, reisepass, \
         reisepassnummer, pasaporte, passeport, passaporto, passnummer, passport id, paspoort, \
         paszport, mrz, travel document, pass nr, numero passeport, visa number, numero pasaporte",
    ),
    (
        Topic::Licence,
        "\
         driver license, drivers license, driver s license, driving license, driving licence, \
         driver licence, drivers licence, license number, licence number, license no, dl number, \
         dl no, dl, fuehrerschein, fuehrerscheinnummer, permis conduire, driver license number, \
         patente, rijbewijs, drivers license number, driver lic, drv lic, cnh, licencia conducir, \
         driverslicense, driverlicense, driving licence number, dea number, npi, dvla",
    ),
    (
        Topic::Birth,
        "\
         dob, birth, birthday, birthdate, birth date, date of birth, dateofbirth, born, born on, \
         birth dt, bday, geburtsdatum, geburtstag, fecha nacimiento, fecha de nacimiento, \
         date naissance, date de naissance, nacimiento, data di nascita, data nascita, \
         data nascimento, data de nascimento, geboortedatum, fodselsdato, fodelsedatum, syntymaaika, \
         data urodzenia, dogum tarihi, d o b, birth year, year of birth, yob, foedselsdato, \
         datum narozeni, d naiss",
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
         reporter name, father s name, mother s name",
    ),
    (
        Topic::Name,
        "\
         name, names, user name full, who, person, display name, displayname",
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
         mail addr, cust addr, current address, permanent address",
    ),
    (
        Topic::Postcode,
        "\
         zip, zip code, zipcode, postcode, post code, postal code, postalcode, postal, plz, \
         postleitzahl, code postal, codigo postal, cp, cap, cep, pincode, pin code, postnummer, \
         postnr, kod pocztowy, postinumero, zip 4, zip plus 4, psc, billing zip, shipping zip, \
         iranyitoszam, posta kodu",
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
         db password, dbpassword, userpassword",
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
         authorization, otp, otp secret, totp secret, mfa secret, two factor secret, recovery code, \
         recovery codes, csrf token, reset token, password reset token, invite token, \
         verification token, id token, idtoken, oauth token, auth key, shared secret, master key, \
         key secret, cookie, session cookie, connection string, connstr, dsn, database url, db url, \
         device token, push token, confirmation token, remember token, auth code, jwt, jwt token, \
         app secret, verification code",
    ),
    (
        Topic::Ip,
        "\
         ip, ip address, ipaddress, ip addr, ipaddr, client ip, remote ip, remote addr, \
         remote address, source ip, src ip, dst ip, dest ip, destination ip, server ip, host ip, \
         ipv4, ipv6, ipv 4, ipv 6, last ip, login ip, last login ip, user ip, clientip, \
         x forwarded for, peer ip, signup ip, ip v4, ip v6, adresse ip, direccion ip, remoteaddr, \
         sourceip, inet, peer addr, client addr",
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
         licenseplate, reg plate, vrn, car plate, plate no, nummernschild, vehicle plate, vehicle reg",
    ),
    (
        Topic::Wallet,
        "\
         wallet, wallet address, btc address, bitcoin address, eth address, ethereum address, \
         crypto address, crypto wallet, btc wallet, eth wallet, walletaddress, deposit address, btc, \
         eth, blockchain address",
    ),
    (
        Topic::Health,
        "\
         mrn, medical record number, medical record, health insurance number, insurance number, \
         member number, patient number, krankenversichertennummer, kvnr, kvnr nummer, mbi, hicn, \
         health card, health card number, health plan number, medical record no, versichertennummer, \
         ehic, policy holder number",
    ),
];
