package drive

import "time"

// alarm is a timer of the writer loop that is either set or not. Setting it again keeps the
// earlier time: it is the longest wait of the oldest that waits.
type alarm struct {
	t  *time.Timer
	on bool
}

func newAlarm() *alarm {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &alarm{t: t}
}

func (a *alarm) set(d time.Duration) {
	if !a.on {
		a.on = true
		a.t.Reset(d)
	}
}

// stop unsets the alarm. Since Go 1.23 nothing stale can be left in the channel.
func (a *alarm) stop() {
	a.on = false
	a.t.Stop()
}

func (a *alarm) c() <-chan time.Time { return a.t.C }

// fired is called after receiving from c.
func (a *alarm) fired() { a.on = false }
