use std::task::Waker;

/// What each deliverer does.
///
/// Of the idle ones one **leads**: it is the one that new events wake. One that gets work wakes another
/// only while there is more work, one after the other, so that few events wake few.
///
/// | state | meaning | left by |
/// |---|---|---|
/// | active | looks for work, or is inside its sink | [`rest`](Crew::rest), [`wait`](Crew::wait) |
/// | waiting | its sink has to wait | [`arrive`](Crew::arrive) |
/// | idle | there was nothing to do | `arrive`, perhaps after [`wake_one`](Crew::wake_one) |
#[derive(Debug)]
pub(crate) struct Crew {
    states: Vec<State>,
    active: usize,
    /// The idle ones, the last of whom is woken first.
    idle: Vec<(usize, Waker)>,
    /// Who is woken by new events.
    leader: Option<usize>,
    /// Who has been woken and has yet to come.
    woken: Option<usize>,
    /// How many have not left.
    size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    Waiting,
    Idle,
    /// It was idle, and is no longer among those who may be woken.
    Woken,
}

impl Crew {
    pub(crate) fn new(size: usize) -> Self {
        let states = vec![State::Active; size];
        Self { states, active: size, idle: Vec::new(), leader: None, woken: None, size }
    }

    /// Deliverer `id` looks for work. Its waker, if it is not needed any more.
    pub(crate) fn arrive(&mut self, id: usize) -> Option<Waker> {
        let before = std::mem::replace(&mut self.states[id], State::Active);
        if before == State::Active {
            return None;
        }
        self.active += 1;
        if self.woken == Some(id) {
            self.woken = None;
        }
        if self.leader == Some(id) {
            self.leader = None;
        }
        if before != State::Idle {
            return None;
        }
        let at = self.idle.iter().rposition(|(idle, _)| *idle == id)?;
        Some(self.idle.swap_remove(at).1)
    }

    /// Deliverer `id` has found no work. If it `leads`, new events wake it from now on.
    pub(crate) fn rest(&mut self, id: usize, waker: Waker, leads: bool) {
        if leads {
            self.leader = Some(id);
        }
        self.states[id] = State::Idle;
        self.active -= 1;
        self.idle.push((id, waker));
    }

    /// The sink of deliverer `id` has to wait.
    pub(crate) fn wait(&mut self, id: usize) {
        if std::mem::replace(&mut self.states[id], State::Waiting) == State::Active {
            self.active -= 1;
        }
    }

    /// Whether more than one look for work, or are inside sinks that do not wait.
    pub(crate) const fn are_several_active(&self) -> bool {
        self.active > 1
    }

    pub(crate) const fn has_leader(&self) -> bool {
        self.leader.is_some()
    }

    /// One of the idle, to be woken outside the lock, unless one has been and has yet to come.
    pub(crate) fn wake_one(&mut self) -> Option<Waker> {
        if self.woken.is_some() {
            return None;
        }
        let (id, waker) = self.idle.pop()?;
        self.states[id] = State::Woken;
        self.woken = Some(id);
        if self.leader == Some(id) {
            self.leader = None;
        }
        Some(waker)
    }

    /// All of the idle, to be woken outside the lock.
    pub(crate) fn wake_all(&mut self) -> Vec<(usize, Waker)> {
        self.leader = None;
        self.idle.iter().for_each(|(id, _)| self.states[*id] = State::Woken);
        std::mem::take(&mut self.idle)
    }

    /// A deliverer has ended. True if it was the last.
    pub(crate) const fn leave(&mut self) -> bool {
        self.size -= 1;
        self.size == 0
    }
}
