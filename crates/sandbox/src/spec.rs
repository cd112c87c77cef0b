//! What a sandbox is asked to be.

use std::path::{Path, PathBuf};

use lambd_jail::protocol;
use lambd_jail::snapshot::Snapshot;

use crate::ahead::Ahead;
use crate::error::SandboxError;

/// What a sandbox is asked to be.
///
/// At [`Isolation::Process`](crate::Isolation::Process) nothing is mounted: paths are those of the host, the
/// sources of binds may be read where they are, and their targets and the links are not made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxSpec {
    /// Name of the sandbox, for messages; letters, digits, `-`, `_` and `.` only, at most 128.
    pub id: String,
    /// Absolute path of the program inside the sandbox.
    pub command: PathBuf,
    /// Arguments after `argv[0]`, which is the command itself.
    pub args: Vec<String>,
    /// The whole environment, in this order; nothing of the daemon's is added.
    pub env: Vec<(String, String)>,
    /// Working directory inside the sandbox.
    pub cwd: PathBuf,
    /// A host directory that holds the root file system, shown read-only; without one, the host's own
    /// programs and libraries are. It needs no directories to mount on, and links in it are taken as
    /// links inside it.
    pub root: Option<PathBuf>,
    /// Read-only views of host directories or files, mounted in this order; a later one may lie
    /// inside an earlier one or cover it.
    pub binds: Vec<Bind>,
    /// Symbolic links as pairs of absolute link path and target.
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Memory limit in bytes for all processes together, including what is written to `/tmp` where that is
    /// memory (see [`LimitsInForce`](crate::LimitsInForce) for that, and for machines where the limit
    /// holds for each process only).
    pub memory_bytes: u64,
    /// Size limit of `/tmp` in bytes, rounded up to whole blocks of 4096; or of the directory in its place, see
    /// [`Prepared::tmp`](crate::Prepared::tmp). There it holds for each file at once, and a sandbox that is
    /// over it in total is killed within a second.
    pub tmp_bytes: u64,
    /// Which network it sees.
    pub network: Network,
    /// What runs beside the program.
    pub companions: Companions,
    /// The program is to be captured, see [`Sandbox::capture`](crate::Sandbox::capture): its standard input is a socket,
    /// of which it keeps a copy by this number. At [`Isolation::Namespaces`](crate::Isolation::Namespaces), without
    /// companions.
    pub door: Option<i32>,
}

/// Programs that run beside the sandbox's own. With any, that one starts only with
/// [`Sandbox::launch`](crate::Sandbox::launch), and its end does not end the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Companions {
    /// Absolute paths of the programs inside the sandbox. They start without arguments, at once and together.
    pub commands: Vec<PathBuf>,
    /// The whole environment of each, in this order.
    pub env: Vec<(String, String)>,
    /// Their working directory inside the sandbox; absolute where there are any.
    pub cwd: PathBuf,
}

/// Which network a sandbox sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// One of its own with a loopback interface and nothing else.
    #[default]
    None,
    /// One of its own from which connections can be opened to the outside, see [`NatOptions`](crate::NatOptions).
    Nat,
    /// The daemon's, with everything that it reaches.
    Host,
}

/// What about a sandbox is decided when it is prepared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Base {
    /// Which network it sees.
    pub network: Network,
    /// The kind of its root file system.
    pub root: BaseRoot,
}

/// The kind of a root file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BaseRoot {
    /// The host's own system; most of it is made ahead.
    #[default]
    Host,
    /// A directory, named when the sandbox is built.
    Directory,
}

/// A read-only view of a host directory or file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bind {
    /// Absolute path on the host; must exist.
    pub source: PathBuf,
    /// Absolute path in the sandbox; made if missing, where its parent is not read-only.
    pub target: PathBuf,
}

impl SandboxSpec {
    /// What it has to be prepared with.
    #[must_use]
    pub fn base(&self) -> Base {
        let root = if self.root.is_some() { BaseRoot::Directory } else { BaseRoot::Host };
        Base { network: self.network, root }
    }

    /// Refuses what the jail could only refuse later and less clearly.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.id.is_empty()
            || self.id.len() > 128
            || self.id.starts_with('.')
            || !self.id.chars().all(name_char)
        {
            return Err(invalid("id", format!("{:?} is not a name", self.id)));
        }
        absolute("command", &self.command)?;
        absolute("cwd", &self.cwd)?;
        if let Some(root) = &self.root {
            // The host's own root would show everything that its users may read.
            inside("root", root)?;
        }
        for bind in &self.binds {
            absolute("binds", &bind.source)?;
            inside("binds", &bind.target)?;
        }
        for (link, _) in &self.symlinks {
            inside("symlinks", link)?;
        }
        for command in &self.companions.commands {
            absolute("companions", command)?;
            absolute("companions", &self.companions.cwd)?;
        }
        if let Some((name, _)) = self
            .env
            .iter()
            .chain(&self.companions.env)
            .find(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
        {
            return Err(invalid("env", format!("{name:?} is not a variable")));
        }
        // tmpfs takes a size of zero as "no limit".
        for (field, bytes) in [("memory_bytes", self.memory_bytes), ("tmp_bytes", self.tmp_bytes)] {
            if bytes == 0 {
                return Err(invalid(field, "zero".into()));
            }
        }
        Ok(())
    }

    pub(crate) fn to_jail(&self, tmp: protocol::Tmp, data_limit_bytes: Option<u64>) -> protocol::JailSpec {
        protocol::JailSpec {
            command: self.command.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            root: match &self.root {
                None => protocol::Root::Host,
                Some(path) => protocol::Root::Directory { path: path.clone() },
            },
            binds: self.binds.iter().map(bind).collect(),
            symlinks: self.symlinks.iter().map(link).collect(),
            directories: Vec::new(),
            tmp,
            data_limit_bytes,
            runtime: None,
            snapshot: None,
            door: self.door,
            companions: protocol::Companions {
                commands: self.companions.commands.clone(),
                env: self.companions.env.clone(),
                cwd: self.companions.cwd.clone(),
            },
        }
    }
}

/// What the jail is told of a program that is started ahead of demand.
pub(crate) fn ahead(ahead: &Ahead, tmp: protocol::Tmp, snapshot: Option<Snapshot>) -> protocol::JailSpec {
    protocol::JailSpec {
        command: ahead.command.clone(),
        args: ahead.args.clone(),
        env: ahead.env.clone(),
        cwd: "/".into(),
        binds: ahead.binds.iter().map(bind).collect(),
        symlinks: ahead.symlinks.iter().map(link).collect(),
        directories: ahead.directories.clone(),
        tmp,
        snapshot,
        ..protocol::JailSpec::default()
    }
}

/// Takes out what a program that was started ahead has already.
pub(crate) fn without(
    jail: &mut protocol::JailSpec,
    tmp_bytes: u64,
    ahead: &Ahead,
) -> Result<(), SandboxError> {
    let (binds, links) = (jail.binds.len(), jail.symlinks.len());
    jail.binds.retain(|shown| !ahead.binds.iter().any(|has| bind(has) == *shown));
    jail.symlinks.retain(|made| !ahead.symlinks.iter().any(|has| link(has) == *made));
    let has_all =
        jail.binds.len() + ahead.binds.len() == binds && jail.symlinks.len() + ahead.symlinks.len() == links;
    jail.tmp = protocol::Tmp::default();
    let is_same = (&jail.command, &jail.args) == (&ahead.command, &ahead.args);
    if !is_same || !has_all || tmp_bytes != ahead.tmp_bytes {
        let reason = format!("{} was started for another", ahead.command.display());
        return Err(invalid("command", reason));
    }
    Ok(())
}

fn bind(bind: &Bind) -> protocol::Bind {
    protocol::Bind { source: bind.source.clone(), target: bind.target.clone() }
}

fn link((link, target): &(PathBuf, PathBuf)) -> protocol::Symlink {
    protocol::Symlink { link: link.clone(), target: target.clone() }
}

fn absolute(field: &'static str, path: &Path) -> Result<(), SandboxError> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(invalid(field, format!("{} is not absolute", path.display())))
    }
}

fn inside(field: &'static str, path: &Path) -> Result<(), SandboxError> {
    absolute(field, path)?;
    if path.parent().is_none() { Err(invalid(field, "the root cannot be replaced".into())) } else { Ok(()) }
}

fn invalid(field: &'static str, reason: String) -> SandboxError {
    SandboxError::InvalidSpec { field, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> SandboxSpec {
        SandboxSpec {
            id: "a-1".into(),
            command: "/bin/true".into(),
            cwd: "/".into(),
            memory_bytes: 1,
            tmp_bytes: 1,
            ..SandboxSpec::default()
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        good().check().expect("a good spec passes");
        type Change = fn(&mut SandboxSpec);
        let cases: &[(&str, Change)] = &[
            ("id", |s| s.id = "a/b".into()),
            ("id", |s| s.id = "..".into()),
            ("id", |s| s.id = String::new()),
            ("command", |s| s.command = "true".into()),
            ("cwd", |s| s.cwd = "tmp".into()),
            ("root", |s| s.root = Some("image".into())),
            ("root", |s| s.root = Some("/".into())),
            ("binds", |s| s.binds.push(Bind { source: "x".into(), target: "/x".into() })),
            ("binds", |s| s.binds.push(Bind { source: "/x".into(), target: "/".into() })),
            ("symlinks", |s| s.symlinks.push(("x".into(), "/x".into()))),
            ("env", |s| s.env.push(("A=B".into(), String::new()))),
            ("env", |s| s.env.push(("A".into(), "\0".into()))),
            ("memory_bytes", |s| s.memory_bytes = 0),
            ("tmp_bytes", |s| s.tmp_bytes = 0),
            ("companions", |s| s.companions.commands.push("agent".into())),
            ("companions", |s| s.companions.commands.push("/agent".into())),
        ];
        for (expected, change) in cases {
            let mut spec = good();
            change(&mut spec);
            match spec.check() {
                Err(SandboxError::InvalidSpec { field, .. }) => assert_eq!(field, *expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
