//! The `/etc` of a sandbox: a few generated files, and the parts of the host's that programs need to
//! start (the loader's cache, certificates, alternatives). Nothing else of the host's `/etc` is seen.

use std::path::{Path, PathBuf};

use crate::identity::{FUNCTION_GID, FUNCTION_UID, FUNCTION_USER};

/// Host name of every sandbox.
pub(crate) const HOST_NAME: &str = "lambd";

/// Names by which programs on AWS call the sandbox that they are in.
pub const OWN_NAMES: &str = "sandbox.localdomain sandbox.local sandbox";

/// Files that are made: name below `/etc` and contents, which may be given instead of ours.
pub(crate) fn generated(given: &[(String, String)]) -> [(&'static str, String); 6] {
    ours().map(|(name, contents)| {
        let instead = given.iter().find(|(given, _)| given == name);
        (name, instead.map_or(contents, |(_, contents)| contents.clone()))
    })
}

/// Names of the files that are made.
pub(crate) fn names() -> [&'static str; 6] {
    ours().map(|(name, _)| name)
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
        ("hosts", format!("127.0.0.1 localhost {HOST_NAME} {OWN_NAMES}\n::1 localhost\n")),
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
const SHOWN: &[&str] = &[
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

/// Files of the host's `/etc` in the place of the generated ones, where a function sees the host's.
const OF_THE_HOST: &[&str] =
    &["gai.conf", "group", "host.conf", "hostname", "hosts", "nsswitch.conf", "passwd", "resolv.conf"];

/// Entries of the host's `/etc` whose names start so are shown as well: Debian keeps the
/// configuration of Java installations there, and `/usr/lib/jvm` links to it.
const SHOWN_PREFIXES: &[&str] = &["java-"];

/// Paths of the host's `/etc` that are shown; not all need exist.
pub(crate) fn shown_paths() -> Vec<PathBuf> {
    let etc = Path::new("/etc");
    let with_prefix = std::fs::read_dir(etc).into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        SHOWN_PREFIXES.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    });
    let with_prefix = with_prefix.map(|entry| entry.path());
    SHOWN.iter().map(|name| etc.join(name)).chain(with_prefix).collect()
}

/// Paths of the host's `/etc` in the place of the generated files; not all need exist.
pub(crate) fn host_paths() -> impl Iterator<Item = PathBuf> {
    OF_THE_HOST.iter().map(|name| Path::new("/etc").join(name))
}
