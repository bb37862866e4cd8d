package erasureset

import "sync"

// inbox takes the answers of calls. Its owner is woken for enough of them, or one that is not plain.
type inbox struct {
	mu   sync.Mutex
	list []*call // guarded by mu
	need int     // guarded by mu: so many wake the owner
	wake chan struct{}
}

func (in *inbox) push(c *call, plain bool) {
	in.mu.Lock()
	in.list = append(in.list, c)
	in.need--
	wake := !plain || in.need <= 0
	in.mu.Unlock()
	if wake {
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
}

// await says how many answers the owner wants to be woken for.
func (in *inbox) await(n int) {
	in.mu.Lock()
	in.need = n
	in.mu.Unlock()
}

func (in *inbox) take(into []*call) []*call {
	in.mu.Lock()
	into = append(into, in.list...)
	clear(in.list)
	in.list = in.list[:0]
	in.mu.Unlock()
	return into
}
