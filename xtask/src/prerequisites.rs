//! The programs that must be on the machine before any test can run.
//!
//! What is missing is installed when that is possible without asking (root on a system with
//! apt-get); otherwise the task ends with the command that does it. Nothing is skipped silently.

use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::process;

/// One thing that the tests need.
struct Need {
    /// What to call it in a message.
    what: &'static str,
    /// Whether it is there.
    there: fn() -> bool,
    /// The Debian package that brings it.
    package: &'static str,
}

const PYTHON_CHECK: &str = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler (cc)",
        there: || process::on_path("cc").is_some(),
        package: "build-essential",
    },
    Need { what: "a C++ compiler (g++)", there: || process::on_path("g++").is_some(), package: "g++" },
    Need {
        what: "Python 3.10 or newer with the venv module (the pinned boto3 needs it)",
        there: || process::quietly(Command::new("python3").args(["-c", PYTHON_CHECK])),
        package: "python3-venv",
    },
    Need {
        what: "Node.js (node)",
        there: || process::quietly(Command::new("node").arg("--version")),
        package: "nodejs",
    },
    Need { what: "npm", there: || process::on_path("npm").is_some(), package: "npm" },
    Need { what: "cmake", there: || process::on_path("cmake").is_some(), package: "cmake" },
    Need { what: "curl", there: || process::on_path("curl").is_some(), package: "curl" },
    Need {
        what: "QEMU (qemu-system-x86_64)",
        there: || process::on_path("qemu-system-x86_64").is_some(),
        package: "qemu-system-x86",
    },
    Need {
        what: "the system's own Python (/usr/bin/python3)",
        there: || Path::new("/usr/bin/python3").exists(),
        package: "python3",
    },
    Need { what: "Ruby (ruby)", there: || process::on_path("ruby").is_some(), package: "ruby" },
    Need { what: "Go (go)", there: || process::on_path("go").is_some(), package: "golang-go" },
    Need { what: "a C# compiler (mcs)", there: || process::on_path("mcs").is_some(), package: "mono-mcs" },
    Need {
        what: "a Java compiler (javac)",
        there: || process::on_path("javac").is_some(),
        package: "default-jdk-headless",
    },
    Need { what: "Maven (mvn)", there: || process::on_path("mvn").is_some(), package: "maven" },
    Need { what: "strace", there: || process::on_path("strace").is_some(), package: "strace" },
    Need { what: "pasta", there: || process::on_path("pasta").is_some(), package: "passt" },
    Need { what: "ip", there: || process::on_path("ip").is_some(), package: "iproute2" },
    Need { what: "setpriv", there: || process::on_path("setpriv").is_some(), package: "util-linux" },
    Need { what: "crun", there: || process::on_path("crun").is_some(), package: "crun" },
];

/// Makes sure that everything is there.
pub(crate) fn ensure() -> Result<(), Error> {
    let missing = look();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if process::on_path("apt-get").is_some() && is_root() {
        println!("installing {}", packages.join(" "));
        process::must(apt().arg("update"))?;
        process::must(apt().args(["install", "--yes", "--no-install-recommends"]).args(&packages))?;
    }
    let missing = look();
    if missing.is_empty() {
        return Ok(());
    }
    let mut message = String::from("the tests need programs that are not on this machine:");
    for need in &missing {
        message.push_str("\n  - ");
        message.push_str(need.what);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    message.push_str("\ninstall them with (Debian, Ubuntu): sudo apt-get install ");
    message.push_str(&packages.join(" "));
    Err(Error::Missing(message))
}

fn look() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !(need.there)()).collect()
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    process::text(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}
