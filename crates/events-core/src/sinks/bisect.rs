use std::{any::type_name, fmt, ops::Range};

use crate::{
    closing::Closing,
    error::{ErrorKind, SinkError},
    event::Event,
    sink::{AsyncSink, Close, Sink},
};

/// Writes a batch that was rejected again in halves, and those in halves, so that the events that
/// are at fault are rejected alone.
///
/// What it returns says which they are, [`SinkError::failures`]: a queue counts those as failed and
/// the others as delivered, and hands to its dead letter those alone. With one event at fault, a
/// batch of 1,000 takes 21 writes; with all at fault, 1,999.
///
/// Put it around a retry: one outside would write what has been delivered once more. After an error
/// that is not to be halved, and is no [`Rejected`](ErrorKind::Rejected), the rest of the batch is
/// not tried; it fails with the same error.
///
/// ```
/// use events_core::{Bisect, Sink, SinkError, sink_fn};
///
/// let picky = sink_fn(|batch: &[i32]| match batch.iter().all(|&event| event >= 0) {
///     true => Ok(()),
///     false => Err(SinkError::rejected("less than zero")),
/// });
/// let error = Bisect::new(picky).write(&[1, -2, 3, 4][..]).unwrap_err();
/// assert_eq!(error.failures().len(), 1);
/// assert_eq!(error.failures()[0].0, 1);
/// ```
pub struct Bisect<S, P = fn(&SinkError) -> bool> {
    inner: S,
    when: P,
}

impl<S> Bisect<S> {
    /// Halves what `inner` rejects.
    pub const fn new(inner: S) -> Self {
        Self { inner, when: is_rejected }
    }
}

impl<S, P> Bisect<S, P> {
    /// Halves what is refused with an error of which `halves` is true, and nothing else: a
    /// destination that rejects for reasons that have nothing to do with the event would be asked
    /// about each.
    pub fn when<Q: Fn(&SinkError) -> bool>(self, halves: Q) -> Bisect<S, Q> {
        Bisect { inner: self.inner, when: halves }
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

fn is_rejected(error: &SinkError) -> bool {
    error.kind() == ErrorKind::Rejected
}

/// What is left to write of a batch, and what has failed of it.
struct Search<'a, P> {
    when: &'a P,
    /// Parts yet to be written, the next one last.
    parts: Vec<Range<usize>>,
    failures: Vec<(usize, SinkError)>,
}

impl<'a, P: Fn(&SinkError) -> bool> Search<'a, P> {
    /// The search in a batch of this length that was answered so; the error if it is not halved.
    fn begin(when: &'a P, length: usize, answer: Result<(), SinkError>) -> Result<Self, SinkError> {
        let mut search = Self { when, parts: Vec::new(), failures: Vec::new() };
        match answer {
            Err(error) if search.halves(&(0..length), &error) => Ok(search),
            answer => answer.map(|()| search),
        }
    }

    /// Puts the halves of a part that was refused in its place, if it is to be halved.
    fn halves(&mut self, part: &Range<usize>, error: &SinkError) -> bool {
        let halves = part.len() > 1 && error.failures().is_empty() && (self.when)(error);
        if halves {
            let middle = part.start + part.len() / 2;
            self.parts.extend([middle..part.end, part.start..middle]);
        }
        halves
    }

    fn answer(&mut self, part: Range<usize>, answer: Result<(), SinkError>) {
        let Err(error) = answer else { return };
        if self.halves(&part, &error) {
            return;
        }
        let listed = error.failures();
        self.failures.extend(listed.iter().map(|(at, error)| (part.start + at, error.clone())));
        // A list says of each event why it failed, an error without one says it of all.
        let error = listed.last().map_or(&error, |(_, error)| error);
        let goes_on = error.kind() == ErrorKind::Rejected || (self.when)(error);
        let unlisted = listed.is_empty().then_some(part);
        let untried = if goes_on { Vec::new() } else { std::mem::take(&mut self.parts) };
        for part in unlisted.into_iter().chain(untried) {
            self.failures.extend(part.map(|at| (at, error.clone())));
        }
    }

    fn result(self) -> Result<(), SinkError> {
        SinkError::of_batch(self.failures).map_or(Ok(()), Err)
    }
}

impl<S: Close, P: Send + Sync> Close for Bisect<S, P> {
    fn close(&self) -> Closing<'_> {
        self.inner.close()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<E, S, P> Sink<[E]> for Bisect<S, P>
where
    E: Event,
    S: Sink<[E]>,
    P: Fn(&SinkError) -> bool + Send + Sync,
{
    fn write(&self, batch: &[E]) -> Result<(), SinkError> {
        let mut search = Search::begin(&self.when, batch.len(), self.inner.write(batch))?;
        while let Some(part) = search.parts.pop() {
            let answer = self.inner.write(&batch[part.clone()]);
            search.answer(part, answer);
        }
        search.result()
    }
}

impl<E, S, P> AsyncSink<[E]> for Bisect<S, P>
where
    E: Event,
    S: AsyncSink<[E]>,
    P: Fn(&SinkError) -> bool + Send + Sync,
{
    async fn write(&self, batch: &[E]) -> Result<(), SinkError> {
        let mut search = Search::begin(&self.when, batch.len(), self.inner.write(batch).await)?;
        while let Some(part) = search.parts.pop() {
            let answer = self.inner.write(&batch[part.clone()]).await;
            search.answer(part, answer);
        }
        search.result()
    }
}

impl<S: fmt::Debug, P> fmt::Debug for Bisect<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bisect")
            .field("inner", &self.inner)
            .field("when", &type_name::<P>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::park::block_on,
        sinks::sink_fn::sink_fn,
        testing::{Told, check_wrapper},
    };
    use std::{collections::BTreeSet, future::ready, sync::Mutex};

    const DOWN: i32 = i32::MAX;

    /// Rejects batches with negative numbers, is down for those with `DOWN`; remembers the others.
    #[derive(Default)]
    struct Picky {
        taken: Mutex<Vec<i32>>,
        writes: Mutex<usize>,
    }

    impl Picky {
        fn take(&self, batch: &[i32]) -> Result<(), SinkError> {
            *self.writes.lock().unwrap() += 1;
            if batch.iter().any(|&event| event < 0) {
                return Err(SinkError::rejected("less than zero"));
            }
            if batch.contains(&DOWN) {
                return Err(SinkError::unavailable("down"));
            }
            self.taken.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    /// What is left of `batch` in either world, and the errors.
    fn written(batch: &[i32]) -> (Vec<i32>, Result<(), SinkError>, usize) {
        let (threads, tasks) = (Picky::default(), Picky::default());
        let sink = Bisect::new(sink_fn(|batch: &[i32]| threads.take(batch)));
        let result = Sink::write(&sink, batch);
        let sink = Bisect::new(sink_fn(|batch: &[i32]| ready(tasks.take(batch))));
        let other = block_on(AsyncSink::write(&sink, batch));
        assert_eq!(format!("{result:?}"), format!("{other:?}"));
        let taken = threads.taken.into_inner().unwrap();
        assert_eq!(taken, tasks.taken.into_inner().unwrap());
        (taken, result, threads.writes.into_inner().unwrap())
    }

    fn failed(error: &SinkError) -> Vec<(usize, ErrorKind)> {
        error.failures().iter().map(|(at, error)| (*at, error.kind())).collect()
    }

    #[test]
    fn the_events_at_fault_are_rejected_alone_and_the_others_taken_in_order() {
        for length in 2..20 {
            for bad in [vec![0], vec![length - 1], vec![0, length / 2, length - 1]] {
                let bad: BTreeSet<_> = bad.into_iter().collect();
                let (mut batch, mut good) = (vec![-1; length], Vec::new());
                let numbers = (0..).zip(0..length);
                for (number, at) in numbers.filter(|(_, at)| !bad.contains(at)) {
                    batch[at] = number;
                    good.push(number);
                }
                let (taken, result, writes) = written(&batch);
                let error = result.unwrap_err();
                assert_eq!(taken, good);
                assert_eq!(error.kind(), ErrorKind::Rejected);
                let rejected = bad.into_iter().map(|at| (at, ErrorKind::Rejected));
                assert!(failed(&error).into_iter().eq(rejected));
                assert!(writes < 2 * length);
            }
        }
        let thousand: Vec<_> = (0..1_000).map(|at| if at == 700 { -1 } else { 1 }).collect();
        assert_eq!(written(&thousand).2, 21);
        let (taken, result, writes) = written(&[-1; 1_000]);
        assert_eq!((taken.len(), failed(&result.unwrap_err()).len(), writes), (0, 1_000, 1_999));
    }

    #[test]
    fn what_is_not_halved_is_passed_on_as_it_is() {
        let (taken, result, writes) = written(&[1, 2]);
        assert_eq!((taken, result.is_ok(), writes), (vec![1, 2], true, 1));
        for batch in [&[-1][..], &[DOWN, 1]] {
            let (taken, result, writes) = written(batch);
            let error = result.unwrap_err();
            assert_eq!((taken.len(), failed(&error).len(), writes), (0, 0, 1));
        }
        let none = Bisect::new(sink_fn(|_: &[i32]| Err(SinkError::rejected("empty"))));
        assert_eq!(none.write(&[][..]).unwrap_err().kind(), ErrorKind::Rejected);
    }

    #[test]
    fn after_another_error_the_rest_is_not_tried() {
        let (taken, result, writes) = written(&[1, -1, DOWN, 2, 3, 4, 5, 6]);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let mut expected = vec![(1, ErrorKind::Rejected)];
        expected.extend((2..8).map(|at| (at, ErrorKind::Unavailable)));
        assert_eq!(failed(&error), expected);
        assert_eq!((taken, writes), (vec![1], 6));
    }

    #[test]
    fn only_what_is_said_is_halved() {
        let writes = Mutex::new(0);
        let sink = Bisect::new(sink_fn(|_: &[i32]| {
            *writes.lock().unwrap() += 1;
            Err(SinkError::rejected("not found"))
        }))
        .when(|_: &SinkError| false);
        sink.write(&[1, 2, 3][..]).unwrap_err();
        assert_eq!(*writes.lock().unwrap(), 1);
    }

    #[test]
    fn a_list_inside_a_part_is_kept() {
        let inner = sink_fn(|batch: &[i32]| match batch {
            [_, _, ..] if batch.len() > 2 => Err(SinkError::rejected("too long")),
            _ => Err(SinkError::of_batch(vec![(1, SinkError::rejected("second"))]).unwrap()),
        });
        let error = Bisect::new(inner).write(&[1, 2, 3, 4][..]).unwrap_err();
        assert_eq!(failed(&error), [(1, ErrorKind::Rejected), (3, ErrorKind::Rejected)]);
    }

    #[test]
    fn closes_and_aborts_inwards() {
        let sink = Bisect::new(Told::default());
        check_wrapper(&sink, &[0][..], &[sink.get_ref()]);
    }
}
