//! Certificates for tests, made by the `openssl` program: authorities, and who they vouch for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::BrokerError;
use crate::setup::{find_on_path, run};

/// It takes milliseconds.
const OPENSSL_LIMIT: Duration = Duration::from_secs(30);

/// Longer than any test and short enough that nobody takes them for real ones.
const DAYS_VALID: &str = "2";

/// Who a certificate is for: brokers on this machine, and clients.
const EXTENSIONS: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n";

/// A certificate authority with its files in a directory of the caller's.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    name: String,
}

/// A key and the certificate for it, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The file with the certificate.
    pub certificate: PathBuf,
    /// The file with the key, PKCS#8 and not encrypted.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority called `name`, whose files are in `directory`.
    ///
    /// # Errors
    /// [`BrokerError::ToolMissing`] without `openssl`, [`BrokerError::Setup`] with what it said.
    pub fn new(directory: &Path, name: &str) -> Result<Self, BrokerError> {
        let authority = Self { directory: directory.to_owned(), name: name.to_owned() };
        let (key, certificate) = (authority.path("key"), authority.path("pem"));
        let subject = format!("/CN={name}");
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            DAYS_VALID,
            "-subj",
            &subject,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout",
            text(&key),
            "-out",
            text(&certificate),
        ])?;
        Ok(authority)
    }

    /// The file with its own certificate, which those who trust it have.
    pub fn certificate(&self) -> PathBuf {
        self.path("pem")
    }

    /// Makes a certificate for `name` on this machine.
    ///
    /// # Errors
    /// As for [`Authority::new`].
    pub fn issue(&self, name: &str) -> Result<Identity, BrokerError> {
        let of_name = |ending: &str| self.path(&format!("{name}.{ending}"));
        let identity = Identity { certificate: of_name("pem"), key: of_name("key") };
        let (request, extensions) = (of_name("csr"), of_name("ext"));
        fs::write(&extensions, EXTENSIONS).map_err(BrokerError::io("write", &extensions))?;
        let subject = format!("/CN={name}");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            text(&identity.key),
            "-out",
            text(&request),
        ])?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            text(&request),
            "-days",
            DAYS_VALID,
            "-CA",
            text(&self.path("pem")),
            "-CAkey",
            text(&self.path("key")),
            "-CAcreateserial",
            "-extfile",
            text(&extensions),
            "-out",
            text(&identity.certificate),
        ])?;
        Ok(identity)
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.name))
    }

    fn openssl(&self, arguments: &[&str]) -> Result<(), BrokerError> {
        let program = find_on_path("openssl")?;
        run("making a certificate", Command::new(program).args(arguments), OPENSSL_LIMIT).map(drop)
    }
}

/// Paths of temporary directories are text.
fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
