package drive

// workOn notes what the loop works on, so that it is answered if the drive fails meanwhile: a sync
// that hangs never returns.
func (a *Actor) workOn(msgs []message) {
	a.holding.Lock()
	a.held = msgs
	a.holding.Unlock()
	// Whoever answers for the loop may have looked before this was there, and looks only once.
	if a.down.Load() {
		a.refuseWaiting(a.usable())
	} else if a.pulse.silent() {
		a.refuseWaiting(a.unanswered())
	}
}

// worked says whether the loop may answer what it holds.
func (a *Actor) worked() bool {
	a.holding.Lock()
	defer a.holding.Unlock()
	mine := a.held != nil
	a.held = nil
	return mine
}

// refuseAll answers everything that the loop holds or will never take, when the actor has failed or
// ended. Whatever is put from then on is refused by its sender (put).
func (a *Actor) refuseAll() {
	a.down.Store(true)
	a.refuseWaiting(a.usable())
}

// refuseWaiting answers everything that the loop holds or has not taken yet. What it holds may still
// be applied.
func (a *Actor) refuseWaiting(err error) {
	a.holding.Lock()
	for _, m := range a.held {
		m.refuse(err)
	}
	a.held = nil
	a.holding.Unlock()
	a.refuseMail(err)
}

// refuseMail answers what is in the mailbox. Messages are received by one, so several may call it.
func (a *Actor) refuseMail(err error) {
	for _, m := range a.mail.Drain(nil, a.mail.Limit(), nil) {
		m.refuse(err)
	}
}
