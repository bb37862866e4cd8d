//go:build !invariants

package state

// invariants switches the dear checks on; build with -tags invariants.
const invariants = false
