//! The jars of the runtime interface client, as Maven repositories have them.

/// A file of a Maven repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Artefact {
    /// Its group.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Of the jar, in hexadecimal digits.
    pub sha256: &'static str,
    /// SPDX identifier of its licence.
    pub licence: &'static str,
}

/// The client, and after it what it depends on. All run on Java 8 and later.
pub const ARTEFACTS: &[Artefact] = &[
    Artefact {
        group: "com.amazonaws",
        name: "aws-lambda-java-runtime-interface-client",
        version: "2.9.0",
        sha256: "26568a5f63bf9e921567e77661be425650abc8972bae2aa0b7e99bab4e4239d9",
        licence: "Apache-2.0",
    },
    Artefact {
        group: "com.amazonaws",
        name: "aws-lambda-java-core",
        version: "1.4.0",
        sha256: "575c24393cc1ad645e83e618956eabd89ffe8cc09efae2cb62bc6589154d68ed",
        licence: "Apache-2.0",
    },
    Artefact {
        group: "com.amazonaws",
        name: "aws-lambda-java-serialization",
        version: "1.2.0",
        sha256: "1513c1f945a3213f916a4b2de1760c97b51d84d110f82bbbcf9cfac53d5651e7",
        licence: "Apache-2.0",
    },
    Artefact {
        group: "software.amazon.awssdk",
        name: "utils-lite",
        version: "2.34.0",
        sha256: "efaf784f07ae526f0b5c89d71ef21cf16636131c47d44616e3df9bedc3f4f89a",
        licence: "Apache-2.0",
    },
    Artefact {
        group: "software.amazon.awssdk",
        name: "annotations",
        version: "2.34.0",
        sha256: "fafdcb55f4e5af603f5219f4a2b080aa0decb562a7c0944f7a7eca82dd47e487",
        licence: "Apache-2.0",
    },
];
