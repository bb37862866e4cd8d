// Package erasureset coordinates objects over the drives of their erasure sets: it hashes and
// erasure codes a body, stages the shards, and drives the state machines of actors/quorum until
// enough drives have accepted or answered. It holds no object state of its own.
package erasureset
