package drive

// Abandon takes the drive out of service for good, for a reason that its own I/O did not show: its
// directory was removed or replaced. Callers get ErrFailed; nothing more is written.
func (a *Actor) Abandon(why error) { a.health.Fail(why) }
