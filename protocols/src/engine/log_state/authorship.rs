//! Who writes a log: nobody here, or this node, which is the only one that may.

use libp2p_identity::PeerId;

use super::followers::Followers;
use super::reopening::{Mark, Reopening};
use crate::engine::log_state::LogState;
use crate::log::Appender;
use crate::time::Timestamp;
use crate::wire::v1::stored_log::Reopening as Stored;

/// Who writes a log.
#[derive(Debug, Default)]
pub(in crate::engine) enum Authorship {
    /// Somebody else.
    #[default]
    Theirs,
    /// This node: it is written here and nowhere else.
    Ours(Box<Ours>),
}

/// What there is only of a log of ours.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ours {
    pen: Pen,
    /// What was signed of it, as was known outside of the store at the start.
    mark: Option<Mark>,
    /// Who has had all of it.
    followers: Followers,
}

/// Whether a log of ours is written to.
#[derive(Debug, Default)]
enum Pen {
    /// It is not, and nothing is done about that: it forked, or has ended, or could
    /// not be read.
    #[default]
    Down,
    /// Others may know more of it than is here.
    Waiting(Reopening),
    /// It is open for writing.
    Open {
        appender: Appender,
        /// When its head is signed again.
        renew_at: Option<Timestamp>,
    },
}

impl Authorship {
    fn ours(&self) -> Option<&Ours> {
        match self {
            Self::Theirs => None,
            Self::Ours(ours) => Some(ours),
        }
    }

    fn ours_mut(&mut self) -> Option<&mut Ours> {
        match self {
            Self::Theirs => None,
            Self::Ours(ours) => Some(ours),
        }
    }

    /// What was known beside what is stored, when a log is read anew. One that waits
    /// for another reason keeps the answers that it has had, and what a user has made
    /// ours is.
    pub(in crate::engine) fn take_over(&mut self, old: Self) {
        let Self::Ours(old) = old else {
            return;
        };
        if let Self::Theirs = self {
            *self = Self::Ours(Box::default());
        }
        if let Self::Ours(ours) = self {
            ours.mark = old.mark;
            ours.followers = old.followers;
            if let Pen::Waiting(_) = old.pen {
                ours.pen = old.pen;
            }
        }
    }
}

impl LogState {
    /// Whether it is ours: written here and nowhere else.
    pub(in crate::engine) fn is_ours(&self) -> bool {
        self.authorship.ours().is_some()
    }

    /// Makes it ours; whether it was before.
    pub(in crate::engine) fn own(&mut self) -> bool {
        let was_ours = self.is_ours();
        if !was_ours {
            self.authorship = Authorship::Ours(Box::default());
        }
        was_ours
    }

    /// What it is appended to with, while it is open for writing.
    pub(in crate::engine) fn appender(&self) -> Option<&Appender> {
        match &self.authorship.ours()?.pen {
            Pen::Open { appender, .. } => Some(appender),
            Pen::Down | Pen::Waiting(_) => None,
        }
    }

    pub(in crate::engine) fn appender_mut(&mut self) -> Option<&mut Appender> {
        match &mut self.authorship.ours_mut()?.pen {
            Pen::Open { appender, .. } => Some(appender),
            Pen::Down | Pen::Waiting(_) => None,
        }
    }

    /// Whether it is open for writing.
    pub(in crate::engine) fn is_open(&self) -> bool {
        self.appender().is_some()
    }

    /// Opens it for writing, if it is ours; what it has waited for until now.
    pub(in crate::engine) fn open(&mut self, appender: Appender) -> Option<Reopening> {
        let renew_at = self.renew_at();
        let ours = self.authorship.ours_mut()?;
        match std::mem::replace(&mut ours.pen, Pen::Open { appender, renew_at }) {
            Pen::Waiting(reopening) => Some(reopening),
            Pen::Down | Pen::Open { .. } => None,
        }
    }

    /// Nothing of it is written here any more, also when all is here that there is.
    pub(in crate::engine) fn write_no_more(&mut self) {
        if let Some(ours) = self.authorship.ours_mut() {
            ours.pen = Pen::Down;
        }
    }

    /// When its head is signed again.
    pub(in crate::engine) fn renew_at(&self) -> Option<Timestamp> {
        match self.authorship.ours()?.pen {
            Pen::Open { renew_at, .. } => renew_at,
            Pen::Down | Pen::Waiting(_) => None,
        }
    }

    /// Has its head signed again at this time.
    pub(in crate::engine) fn renew_head_at(&mut self, at: Timestamp) {
        if let Some(ours) = self.authorship.ours_mut()
            && let Pen::Open { renew_at, .. } = &mut ours.pen
        {
            *renew_at = Some(at);
        }
    }

    /// How it is found out whether others know more of it, while that is under way.
    pub(in crate::engine) fn reopening(&self) -> Option<&Reopening> {
        match &self.authorship.ours()?.pen {
            Pen::Waiting(reopening) => Some(reopening),
            Pen::Down | Pen::Open { .. } => None,
        }
    }

    pub(in crate::engine) fn reopening_mut(&mut self) -> Option<&mut Reopening> {
        match &mut self.authorship.ours_mut()?.pen {
            Pen::Waiting(reopening) => Some(reopening),
            Pen::Down | Pen::Open { .. } => None,
        }
    }

    /// It is not written to before others were asked.
    pub(in crate::engine) fn wait_for_others(&mut self, reopening: Reopening) {
        if let Some(ours) = self.authorship.ours_mut() {
            ours.pen = Pen::Waiting(reopening);
        }
    }

    /// What of this is stored.
    pub(in crate::engine) fn stored_reopening(&self) -> Stored {
        let reopening = self.reopening();
        reopening.map_or(Stored::No, |reopening| reopening.to_stored(self.mark()))
    }

    /// What was signed of it, as something outside of the store says.
    pub(in crate::engine) fn mark(&self) -> Option<Mark> {
        self.authorship.ours()?.mark
    }

    /// Takes a note of what was signed.
    pub(in crate::engine) fn set_mark(&mut self, mark: Option<Mark>) {
        if let Some(ours) = self.authorship.ours_mut() {
            ours.mark = mark;
        }
    }

    /// Who has had all of it, if it is ours.
    pub(in crate::engine) fn followers(&self) -> Option<&Followers> {
        Some(&self.authorship.ours()?.followers)
    }

    pub(in crate::engine) fn followers_mut(&mut self) -> Option<&mut Followers> {
        Some(&mut self.authorship.ours_mut()?.followers)
    }

    /// The peers that have had all of it, as far as is known.
    pub(in crate::engine) fn known_followers(&self) -> &[PeerId] {
        self.followers().map_or(&[], Followers::known)
    }

    /// Begins with those that were known when it was stored.
    pub(in crate::engine) fn set_followers(&mut self, followers: Followers) {
        if let Some(ours) = self.authorship.ours_mut() {
            ours.followers = followers;
        }
    }
}
