//! The `/etc` of a sandbox: a few generated files, and the parts of the host's that programs need to
//! start (the loader's cache, certificates, alternatives). Nothing else of the host's `/etc` is seen.

use crate::identity::{FUNCTION_GID, FUNCTION_UID, FUNCTION_USER};

/// Host name of every sandbox.
pub(crate) const HOST_NAME: &str = "lambd";

/// Files that are made: name below `/etc` and contents; `given` ones take the place of ours.
pub(crate) fn generated(given: &[(String, String)]) -> Vec<(String, String)> {
    let ours = ours().into_iter().map(|(name, contents)| (name.to_owned(), contents));
    let is_given = |name: &str| given.iter().any(|(given, _)| given == name);
    ours.filter(|(name, _)| !is_given(name)).chain(given.iter().cloned()).collect()
}

fn ours() -> [(&'static str, String); 6] {
    [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/sbin/nologin\n\
                 {FUNCTION_USER}:x:{FUNCTION_UID}:{FUNCTION_GID}::/home/{FUNCTION_USER}:/sbin/nologin\n\
                 nobody:x:65534:65534:nobody:/:/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\n{FUNCTION_USER}:x:{FUNCTION_GID}:\nnogroup:x:65534:\n")),
        ("hosts", format!("127.0.0.1 localhost {HOST_NAME}\n::1 localhost\n")),
        ("hostname", format!("{HOST_NAME}\n")),
        // Only files and DNS: other services would want sockets or plug-ins of the host.
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n".into(),
        ),
        // No name server: the sandbox has no route to one.
        ("resolv.conf", String::new()),
    ]
}

/// Files and directories of the host's `/etc` that are shown read-only if they exist.
pub(crate) const SHOWN: &[&str] = &[
    "alternatives",    // Debian, Fedora: /usr/bin/java and others are links through it
    "ca-certificates", // Debian: links of the certificate store
    "crypto-policies", // Fedora: included by openssl.cnf
    "ld.so.cache",     // the loader's index of libraries
    "ld.so.conf",      // the directories behind it
    "ld.so.conf.d",    //
    "localtime",       // time zone, usually a link into /usr
    "mime.types",      // read by language libraries
    "os-release",      // usually a link into /usr
    "pki/ca-trust",    // Fedora: certificates
    "pki/java",        // Fedora: certificates for Java
    "pki/tls",         // Fedora: certificates and openssl.cnf
    "protocols",       // getprotobyname(3)
    "services",        // getservbyname(3)
    "ssl/certs",       // certificates
    "ssl/openssl.cnf", //
];

/// Entries of the host's `/etc` whose names start so are shown as well: Debian keeps the
/// configuration of Java installations there, and `/usr/lib/jvm` links to it.
pub(crate) const SHOWN_PREFIXES: &[&str] = &["java-"];
