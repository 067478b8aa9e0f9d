//! What providers' tokens begin with and how they go on: one line each.

use super::label;

/// The signs that a token may go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Letters and digits.
    Alnum,
    /// Lower-case hexadecimal (upper case passes).
    Hex,
    /// Upper-case letters and digits.
    Upper,
    /// Letters, digits, `-` and `_`.
    Url,
    /// Letters, digits and what base64, its URL form, and hashes hold.
    Wide,
    /// Letters, digits, and `-`, `_`, `.`, `~`.
    Tilde,
    /// Digits.
    Digit,
    /// All that can be seen, up to a quote.
    Visible,
}

impl Body {
    pub(crate) fn holds(self, b: u8) -> bool {
        match self {
            Self::Alnum => b.is_ascii_alphanumeric(),
            Self::Hex => b.is_ascii_hexdigit(),
            Self::Upper => b.is_ascii_uppercase() || b.is_ascii_digit(),
            Self::Url => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'),
            Self::Tilde => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'),
            Self::Digit => b.is_ascii_digit(),
            Self::Visible => b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`'),
            Self::Wide => {
                b.is_ascii_alphanumeric()
                    || matches!(b, b'-' | b'_' | b'.' | b'/' | b'+' | b'=' | b'$' | b':' | b',' | b'*')
            }
        }
    }
}

/// One kind of token.
#[derive(Debug)]
pub(crate) struct Prefix {
    pub(crate) label: &'static str,
    pub(crate) start: &'static str,
    pub(crate) body: Body,
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// Whether no letter or digit may stand before it.
    pub(crate) bound: bool,
    /// Whether there must be letters and digits both, because the prefix is a word.
    pub(crate) mixed: bool,
    /// Whether the prefix is a word before the token, and no part of it.
    pub(crate) hidden: bool,
}

const fn fixed(label: &'static str, start: &'static str, body: Body, len: usize) -> Prefix {
    Prefix { label, start, body, least: len, most: len, bound: true, mixed: false, hidden: false }
}

const fn open(label: &'static str, start: &'static str, body: Body, least: usize) -> Prefix {
    Prefix { label, start, body, least, most: usize::MAX, bound: true, mixed: true, hidden: false }
}

/// A token known by what stands in it: signs before the mark belong to it.
const fn within(label: &'static str, start: &'static str, body: Body, least: usize, most: usize) -> Prefix {
    Prefix { label, start, body, least, most, bound: false, mixed: false, hidden: false }
}

/// A token behind a word that names it.
const fn named(label: &'static str, start: &'static str, body: Body, least: usize) -> Prefix {
    Prefix { label, start, body, least, most: usize::MAX, bound: true, mixed: false, hidden: true }
}

const fn hash(start: &'static str, least: usize) -> Prefix {
    Prefix {
        label: label::PASSWORD,
        start,
        body: Wide,
        least,
        most: usize::MAX,
        bound: false,
        mixed: false,
        hidden: false,
    }
}

use Body::{Alnum, Hex, Upper, Url, Wide};

/// All of them. The longest that fits wins.
pub(crate) const PREFIXES: &[Prefix] = &[
    fixed("aws_key", "AKIA", Upper, 16),
    fixed("aws_key", "ASIA", Upper, 16),
    fixed("aws_key", "ABIA", Upper, 16),
    fixed("aws_key", "ACCA", Upper, 16),
    open("aws_key", "ABSK", Wide, 100),
    open("gcp_key", "AIza", Url, 35),
    open("gcp_key", "ya29.", Url, 20),
    open("gcp_key", "GOCSPX-", Url, 20),
    open("github_token", "ghp_", Alnum, 36),
    open("github_token", "gho_", Alnum, 36),
    open("github_token", "ghu_", Alnum, 36),
    open("github_token", "ghs_", Alnum, 36),
    open("github_token", "ghr_", Alnum, 36),
    open("github_token", "github_pat_", Url, 40),
    open("gitlab_token", "glpat-", Url, 20),
    open("gitlab_token", "gldt-", Url, 20),
    open("gitlab_token", "glrt-", Url, 20),
    open("gitlab_token", "glptt-", Url, 20),
    open("gitlab_token", "glcbt-", Url, 20),
    open("gitlab_token", "GR1348941", Url, 20),
    open("slack_token", "xoxb-", Url, 20),
    open("slack_token", "xoxp-", Url, 20),
    open("slack_token", "xoxa-", Url, 20),
    open("slack_token", "xoxr-", Url, 20),
    open("slack_token", "xoxs-", Url, 20),
    open("slack_token", "xoxe.", Wide, 20),
    open("slack_token", "xoxe-", Url, 20),
    open("slack_token", "xoxc-", Url, 20),
    open("slack_token", "xoxd-", Wide, 20),
    open("slack_token", "xapp-", Url, 20),
    Prefix {
        label: "slack_token",
        start: "https://hooks.slack.com/services/",
        body: Wide,
        least: 20,
        most: usize::MAX,
        bound: false,
        mixed: true,
        hidden: false,
    },
    Prefix {
        label: "discord_token",
        start: "https://discord.com/api/webhooks/",
        body: Wide,
        least: 40,
        most: usize::MAX,
        bound: false,
        mixed: true,
        hidden: false,
    },
    open("stripe_key", "sk_live_", Alnum, 16),
    open("stripe_key", "sk_test_", Alnum, 16),
    open("stripe_key", "rk_live_", Alnum, 16),
    open("stripe_key", "rk_test_", Alnum, 16),
    open("stripe_key", "pk_live_", Alnum, 16),
    open("stripe_key", "pk_test_", Alnum, 16),
    open("stripe_key", "whsec_", Wide, 24),
    fixed("twilio_key", "SK", Hex, 32),
    fixed("twilio_key", "AC", Hex, 32),
    open("sendgrid_key", "SG.", Wide, 40),
    open("mailgun_key", "key-", Hex, 32),
    open("mailchimp_key", "md-", Alnum, 22),
    open("openai_key", "sk-", Alnum, 20),
    open("openai_key", "sk-proj-", Url, 20),
    open("openai_key", "sk-svcacct-", Url, 20),
    open("openai_key", "sk-admin-", Url, 20),
    open("openai_key", "sk-or-v1-", Url, 20),
    open("anthropic_key", "sk-ant-", Url, 20),
    open("huggingface_token", "hf_", Alnum, 30),
    open("replicate_token", "r8_", Alnum, 30),
    open("groq_key", "gsk_", Alnum, 40),
    open("perplexity_key", "pplx-", Alnum, 40),
    open("xai_key", "xai-", Alnum, 40),
    open("npm_token", "npm_", Alnum, 36),
    open("pypi_token", "pypi-AgE", Url, 40),
    open("rubygems_key", "rubygems_", Hex, 40),
    open("cargo_token", "cio", Alnum, 32),
    open("docker_token", "dckr_pat_", Url, 20),
    open("digitalocean_token", "dop_v1_", Hex, 60),
    open("digitalocean_token", "doo_v1_", Hex, 60),
    open("digitalocean_token", "dor_v1_", Hex, 60),
    open("shopify_token", "shpat_", Hex, 32),
    open("shopify_token", "shpss_", Hex, 32),
    open("shopify_token", "shpca_", Hex, 32),
    open("shopify_token", "shppa_", Hex, 32),
    open("databricks_token", "dapi", Hex, 32),
    open("doppler_token", "dp.pt.", Alnum, 40),
    open("doppler_token", "dp.st.", Wide, 40),
    open("linear_key", "lin_api_", Alnum, 32),
    open("notion_token", "secret_", Alnum, 43),
    open("notion_token", "ntn_", Alnum, 40),
    open("atlassian_token", "ATATT3", Wide, 60),
    open("postman_key", "PMAK-", Wide, 40),
    open("newrelic_key", "NRAK-", Upper, 27),
    open("heroku_key", "HRKU-", Url, 36),
    open("vault_token", "hvs.", Url, 24),
    open("vault_token", "hvb.", Url, 24),
    within("terraform_token", ".atlasv1.", Url, 60, usize::MAX),
    within("firebase_key", ":APA91b", Url, 100, usize::MAX),
    within("mailchimp_key", "-us", Body::Digit, 1, 2),
    within("azure_key", "7Q~", Body::Tilde, 31, 34),
    within("azure_key", "8Q~", Body::Tilde, 31, 34),
    named(label::SECRET, "Basic ", Wide, 8),
    named(label::SECRET, "basic ", Wide, 8),
    named(label::SECRET, "Bearer ", Wide, 20),
    named(label::SECRET, "bearer ", Wide, 20),
    Prefix {
        label: label::URL_PASSWORD,
        start: "jdbc:oracle:",
        body: Body::Visible,
        least: 10,
        most: usize::MAX,
        bound: true,
        mixed: false,
        hidden: false,
    },
    open("planetscale_token", "pscale_tkn_", Wide, 32),
    open("planetscale_token", "pscale_pw_", Wide, 32),
    open("supabase_key", "sbp_", Hex, 40),
    open("supabase_key", "sb_secret_", Url, 20),
    open("grafana_token", "glsa_", Url, 32),
    open("grafana_token", "glc_", Wide, 32),
    open("sentry_token", "sntrys_", Wide, 40),
    open("sentry_token", "sntryu_", Hex, 60),
    open("dynatrace_token", "dt0c01.", Wide, 60),
    open("square_token", "sq0atp-", Url, 22),
    open("square_token", "sq0csp-", Url, 40),
    open("square_token", "EAAA", Url, 60),
    open("facebook_token", "EAACEdEose0cBA", Alnum, 20),
    open("fly_token", "fo1_", Url, 40),
    open("fly_token", "FlyV1 fm2_", Wide, 40),
    open("airtable_token", "pat", Wide, 78),
    open("gitlab_token", "glsoat-", Url, 20),
    open("gitlab_token", "glft-", Url, 20),
    open("gitlab_token", "gloas-", Url, 20),
    open("gitlab_token", "glimt-", Url, 20),
    open("gitlab_token", "glffct-", Url, 20),
    open("gitlab_token", "glagent-", Url, 20),
    open("stripe_key", "sk_org_", Wide, 20),
    open("atlassian_token", "ATCTT3", Wide, 60),
    open("atlassian_token", "ATBB", Alnum, 32),
    open("facebook_token", "EAA", Alnum, 90),
    open("gcp_key", "1//0", Url, 40),
    open("cloudflare_token", "v1.0-", Wide, 150),
    open("circleci_token", "CCIPAT_", Wide, 40),
    open("vault_token", "hvr.", Url, 24),
    open("nvidia_key", "nvapi-", Url, 40),
    open("tavily_key", "tvly-", Url, 24),
    open("pinecone_key", "pcsk_", Wide, 40),
    open("langsmith_key", "lsv2_pt_", Wide, 32),
    open("langsmith_key", "lsv2_sk_", Wide, 32),
    open("posthog_key", "phx_", Alnum, 32),
    open("sourcegraph_token", "sgp_", Wide, 40),
    open("netlify_token", "nfp_", Alnum, 36),
    open("render_key", "rnd_", Alnum, 28),
    open("shippo_key", "shippo_live_", Hex, 40),
    open("shippo_key", "shippo_test_", Hex, 40),
    open("duffel_token", "duffel_live_", Url, 40),
    open("easypost_key", "EZTK", Alnum, 54),
    open("dropbox_token", "sl.", Url, 120),
    open("artifactory_token", "AKCp", Alnum, 60),
    fixed("nuget_key", "oy2", Alnum, 43),
    open("contentful_token", "CFPAT-", Url, 40),
    open("linear_key", "lin_oauth_", Alnum, 32),
    open("hubspot_token", "pat-na1-", Url, 36),
    open("hubspot_token", "pat-eu1-", Url, 36),
    open("readme_key", "rdme_", Alnum, 60),
    open("prefect_key", "pnu_", Alnum, 36),
    open("prefect_key", "pnb_", Alnum, 36),
    open("figma_token", "figd_", Url, 38),
    open("age_key", "AGE-SECRET-KEY-1", Upper, 58),
    open("easypost_key", "EZAK", Alnum, 54),
    open("flutterwave_key", "FLWSECK-", Url, 20),
    open("firsthand_token", "fh_", Url, 40),
    open("tailscale_key", "tskey-", Url, 20),
    open("pulumi_token", "pul-", Hex, 40),
    open("buildkite_token", "bkua_", Hex, 40),
    open("typeform_token", "tfp_", Wide, 40),
    open("azure_key", "AccountKey=", Wide, 80),
    Prefix {
        label: "telegram_token",
        start: ":AA",
        body: Url,
        least: 32,
        most: usize::MAX,
        bound: false,
        mixed: true,
        hidden: false,
    },
    Prefix {
        label: label::JWT,
        start: "eyJ",
        body: Wide,
        least: 20,
        most: usize::MAX,
        bound: true,
        mixed: false,
        hidden: false,
    },
    Prefix {
        label: label::PRIVATE_KEY,
        start: "-----BEGIN ",
        body: Wide,
        least: 0,
        most: usize::MAX,
        bound: false,
        mixed: false,
        hidden: false,
    },
    Prefix {
        label: "putty_key",
        start: "PuTTY-User-Key-File-",
        body: Wide,
        least: 1,
        most: usize::MAX,
        bound: false,
        mixed: false,
        hidden: false,
    },
    hash("$2a$", 50),
    hash("$2b$", 50),
    hash("$2y$", 50),
    hash("$argon2id$", 30),
    hash("$argon2i$", 30),
    hash("$argon2d$", 30),
    hash("$scrypt$", 30),
    hash("$7$", 30),
    hash("$y$", 30),
    hash("$6$", 60),
    hash("$5$", 40),
    hash("$1$", 22),
    hash("$apr1$", 22),
    hash("$pbkdf2", 30),
    hash("pbkdf2_sha256$", 30),
    hash("pbkdf2_sha1$", 30),
    hash("bcrypt_sha256$", 30),
    hash("pbkdf2:sha256:", 30),
    hash("scrypt:32768:", 30),
    hash("SCRAM-SHA-256$", 60),
    hash("{SSHA}", 28),
    hash("{SSHA512}", 60),
    hash("{SHA}", 28),
    hash("sha1$", 40),
];
