//! What state a function version is in, in the words of the API (API-081..084).

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// Reads what [`Self::as_str`] gave.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $(stringify!($variant) => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// Whether a version can be invoked. `Inactive` is missing: lambd takes nothing back from idle functions.
    State {
        /// It is being created.
        Pending,
        /// It can be invoked.
        Active,
        /// It could not be created.
        Failed,
    }
}

words! {
    /// What became of the last change.
    UpdateStatus {
        /// It is in force.
        Successful,
        /// Events still get what was there before.
        InProgress,
        /// What was there before stays.
        Failed,
    }
}

words! {
    /// Why a version is not active, or its update not successful.
    ReasonCode {
        /// Work is left to do.
        Creating,
        /// The package cannot be unpacked.
        InvalidZipFileException,
        /// A fault of the daemon or its machine.
        InternalError,
    }
}

/// A code, and the same for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// The sentence.
    pub text: String,
}

/// The state of a version and of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The state.
    pub state: State,
    /// Why it is not `Active`.
    pub state_reason: Option<Reason>,
    /// The last change; none as long as the version is being created.
    pub update: Option<UpdateStatus>,
    /// Why that is not `Successful`.
    pub update_reason: Option<Reason>,
}

impl Condition {
    /// In order, with nothing left to do.
    pub fn active() -> Self {
        Self {
            state: State::Active,
            state_reason: None,
            update: Some(UpdateStatus::Successful),
            update_reason: None,
        }
    }

    /// Whether work is left to do.
    pub fn is_unsettled(&self) -> bool {
        self.state == State::Pending || self.update == Some(UpdateStatus::InProgress)
    }
}
