/// What a write that is `Ok` has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The event is on the disk: it survives a power failure.
    #[default]
    Full,
    /// The event is with the operating system: it survives the end of the process, however sudden.
    /// A power failure may take the last events, never the order or soundness of those before.
    Normal,
}
