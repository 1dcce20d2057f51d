//! The internal CA: certificates for `localhost`, for names of a private network, and for domains whose public
//! certificate is not there yet. Its root is made once and kept, so that a developer trusts it once.

use super::bundle::Bundle;
use super::store;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use std::path::Path;
use time::{Duration, OffsetDateTime};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// As long as a developer's machine may live; the leaves are what is short.
const ROOT_LIFE: u64 = 3650 * DAY;
/// Browsers take no more than 398 days, and in some years 47; nothing is lost with less, since renewal costs nothing.
const LEAF_LIFE: u64 = 90 * DAY;
/// Clocks differ, and a certificate is asked for in the second in which it is made.
const BACKDATE: u64 = HOUR;

/// The names every certificate of the internal CA is for.
const ALWAYS: [&str; 4] = ["localhost", "*.localhost", "127.0.0.1", "::1"];

/// The root.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    not_after: u64,
}

impl Authority {
    /// The stored one, or a new one that is stored. When neither can be done the site goes on with one that lasts until
    /// the process ends; the second value says why.
    pub fn open(state: Option<&Path>, now: u64) -> Result<(Self, Option<String>), String> {
        let Some(state) = state else {
            return Ok((Self::in_memory(now)?, None));
        };
        let folder = state.join("internal-ca");
        match Self::kept(&folder, now) {
            Ok(authority) => {
                // The part that people trust, without the key, for whoever copies it out of the volume.
                let _ = store::write(&folder.join("ca.pem"), authority.pem.as_bytes());
                Ok((authority, None))
            }
            Err(reason) => Ok((Self::in_memory(now)?, Some(format!("{reason}; a temporary internal CA is used")))),
        }
    }

    /// A root that nobody keeps.
    pub fn in_memory(now: u64) -> Result<Self, String> {
        Self::from_pem(&make_root(now)?)
    }

    fn kept(folder: &Path, now: u64) -> Result<Self, String> {
        let path = folder.join("root.pem");
        let say = |what: &str, error: std::io::Error| format!("{} cannot be {what}: {error}", path.display());
        store::sweep(folder, store::LEFTOVER_AGE);
        if let Some(bytes) = store::read(&path).map_err(|error| say("read", error))? {
            let text = String::from_utf8_lossy(&bytes);
            let authority = Self::from_pem(&text).map_err(|reason| format!("{}: {reason}", path.display()))?;
            if authority.not_after > now + 2 * LEAF_LIFE {
                return Ok(authority);
            }
            let text = make_root(now)?;
            store::write(&path, text.as_bytes()).map_err(|error| say("written", error))?;
            return Self::from_pem(&text);
        }
        let text = make_root(now)?;
        store::folder(folder).map_err(|error| say("made", error))?;
        if store::create(&path, text.as_bytes()).map_err(|error| say("written", error))? {
            return Self::from_pem(&text);
        }
        // Another process on the same volume was first.
        let bytes = store::read(&path).map_err(|error| say("read", error))?.unwrap_or_default();
        Self::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|reason| format!("{}: {reason}", path.display()))
    }

    fn from_pem(text: &str) -> Result<Self, String> {
        let bundle = Bundle::from_pem(text.as_bytes())?;
        let leaf = bundle.key.cert.first().ok_or("no certificate in it")?;
        let key =
            PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| format!("no private key in it: {error}"))?;
        let key = KeyPair::try_from(&key).map_err(|error| format!("not a key that we make: {error}"))?;
        let issuer = Issuer::from_ca_cert_der(leaf, key).map_err(|error| format!("not a CA: {error}"))?;
        Ok(Self { pem: certificate_part(text), issuer, not_after: bundle.not_after })
    }

    /// The root's certificate, to be trusted; without its key.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for the names that every one has and for `names`.
    pub fn issue(&self, names: &[String], now: u64) -> Result<Bundle, String> {
        let (certificate, key) = self.signed(names, now)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Bundle::new(vec![certificate.der().clone()], key)
    }

    /// The same as two PEM texts, certificate and key.
    #[cfg(test)]
    pub fn issue_pem(&self, names: &[String], now: u64) -> Result<(String, String), String> {
        let (certificate, key) = self.signed(names, now)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn signed(&self, names: &[String], now: u64) -> Result<(Certificate, KeyPair), String> {
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let mut params = CertificateParams::default();
        let mut known = Vec::new();
        for name in ALWAYS.into_iter().chain(names.iter().map(String::as_str)) {
            if !known.contains(&name) {
                known.push(name);
                params.subject_alt_names.push(san(name)?);
            }
        }
        (params.not_before, params.not_after) =
            (at(now.saturating_sub(BACKDATE)), at((now.saturating_sub(BACKDATE) + LEAF_LIFE).min(self.not_after)));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.serial_number = Some(serial());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| error.to_string())?;
        Ok((certificate, key))
    }
}

/// Certificate and key in one text, so that one rename brings both.
fn make_root(now: u64) -> Result<String, String> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) =
        (at(now.saturating_sub(BACKDATE)), at(now.saturating_sub(BACKDATE) + ROOT_LIFE));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Monodon");
    params.distinguished_name.push(DnType::CommonName, root_name(now));
    params.serial_number = Some(serial());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

/// Where and when it was made: a trust store may hold several, and somebody must tell which may go.
fn root_name(now: u64) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String =
        host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(30).collect();
    // The upper bound of a common name is 64 characters (RFC 5280, appendix A.1).
    format!("Monodon internal CA {host} {}", at(now).date())
}

fn san(name: &str) -> Result<SanType, String> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    Ok(SanType::DnsName(name.try_into().map_err(|error| format!("{name}: {error}"))?))
}

/// Positive and 127 bits long; two of a CA must differ (RFC 5280, section 4.1.2.2).
fn serial() -> SerialNumber {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn at(unix: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(i64::try_from(unix).unwrap_or(0))
}

fn certificate_part(text: &str) -> String {
    let end = "-----END CERTIFICATE-----\n";
    let plain = text.replace("\r\n", "\n");
    match (plain.find("-----BEGIN CERTIFICATE-----"), plain.find(end)) {
        (Some(from), Some(to)) if from < to => plain.get(from..to + end.len()).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "internal_tests.rs"]
mod tests;
