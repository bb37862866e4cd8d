package drive

import "fmt"

// Confirm ends the birth of a drive in service: its label is provisional no longer. The caller has
// made the store's first control state durable.
func (a *Actor) Confirm() error {
	if !a.label.Provisional {
		return nil
	}
	label := a.label
	label.Provisional = false
	if err := writeLabel(a.o.FS, a.path, label); err != nil {
		return fmt.Errorf("drive %s: confirm: %w", a.path, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.label = label
	return nil
}
