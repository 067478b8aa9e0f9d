//! The labels. Their names are in rules and in the record: they do not change.

/// E-mail address.
pub const EMAIL: &str = "email";
/// Telephone number.
pub const PHONE: &str = "phone";
/// Payment card number.
pub const CARD: &str = "card";
/// Card verification code.
pub const CARD_CODE: &str = "card_code";
/// International bank account number.
pub const IBAN: &str = "iban";
/// Business identifier code of a bank.
pub const BIC: &str = "bic";
/// Bank account number.
pub const ACCOUNT: &str = "bank_account";
/// A national number of which only the column's name is known.
pub const NATIONAL_ID: &str = "national_id";
/// A tax number of which only the column's name is known.
pub const TAX_ID: &str = "tax_id";
/// Passport number.
pub const PASSPORT: &str = "passport";
/// Driving licence.
pub const LICENCE: &str = "driving_licence";
/// Number of a patient or of an insured person.
pub const HEALTH: &str = "health_id";
/// Date of birth.
pub const BIRTH: &str = "birth_date";
/// Name of a person, or a part of it.
pub const PERSON: &str = "person";
/// Street address.
pub const ADDRESS: &str = "address";
/// Postcode.
pub const POSTCODE: &str = "postcode";
/// Latitude, longitude.
pub const GEO: &str = "geo";
/// IPv4 or IPv6 address.
pub const IP: &str = "ip";
/// MAC address.
pub const MAC: &str = "mac";
/// URL with a password or a key.
pub const URL_PASSWORD: &str = "url_password";
/// Connection string with a password.
pub const CONNECTION_STRING: &str = "connection_string";
/// Password, or its hash.
pub const PASSWORD: &str = "password";
/// Secret known by the column's name.
pub const SECRET: &str = "secret";
/// JSON web token.
pub const JWT: &str = "jwt";
/// Private key.
pub const PRIVATE_KEY: &str = "private_key";
/// Address in a crypto currency.
pub const WALLET: &str = "wallet";
/// IMEI of a device.
pub const IMEI: &str = "imei";
/// ICCID of a SIM card.
pub const ICCID: &str = "iccid";
/// Another number of a device.
pub const DEVICE: &str = "device_id";
/// Vehicle identification number.
pub const VIN: &str = "vin";
/// Licence plate.
pub const PLATE: &str = "plate";

/// Those that stand here; more come from the tables of states' numbers and of providers' tokens.
pub(super) const HERE: [&str; 31] = [
    EMAIL,
    PHONE,
    CARD,
    CARD_CODE,
    IBAN,
    BIC,
    ACCOUNT,
    NATIONAL_ID,
    TAX_ID,
    PASSPORT,
    LICENCE,
    HEALTH,
    BIRTH,
    PERSON,
    ADDRESS,
    POSTCODE,
    GEO,
    IP,
    MAC,
    URL_PASSWORD,
    CONNECTION_STRING,
    PASSWORD,
    SECRET,
    JWT,
    PRIVATE_KEY,
    WALLET,
    IMEI,
    ICCID,
    DEVICE,
    VIN,
    PLATE,
];
