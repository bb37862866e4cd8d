// Package actors is the runtime that every actor of the house shares: a typed bounded mailbox, an
// owner for an actor's goroutines, and the measure of how busy a loop is. It knows nothing of
// drives, objects or the network.
//
// An actor is one goroutine that alone owns some state. Callers see plain methods; a method builds
// a message with a reply channel of capacity 1, puts it into the mailbox and waits for the reply,
// its own deadline, or the end of the actor. The mailbox never blocks a sender: when it is full the
// message is refused, and the refusal is counted.
//
// Messages belong to the mailbox from a successful Put until the loop takes them.
package actors
