package quorum

import (
	"slices"

	"holdfast/actors/object"
)

// KeyQueue puts the mutations of each key in one order, first come first served: put, delete,
// conditional writes, complete, abort and resolution alike (I12, I13, I27). It stands in for the
// promises of reliability 4.3 while one coordinator serves a store. T names who waits.
type KeyQueue[T comparable] struct {
	lines map[object.Key][]T // first = the holder
}

// NewKeyQueue returns an empty queue.
func NewKeyQueue[T comparable]() KeyQueue[T] {
	return KeyQueue[T]{lines: map[object.Key][]T{}}
}

// Enter puts who at the end of the key's line and reports whether its turn is now.
func (q *KeyQueue[T]) Enter(key object.Key, who T) bool {
	line := append(q.lines[key], who)
	q.lines[key] = line
	return len(line) == 1
}

// Leave takes who out of the line, whether it waits or had its turn. If that makes it another's
// turn, next is that one.
func (q *KeyQueue[T]) Leave(key object.Key, who T) (next T, ok bool) {
	line := q.lines[key]
	i := slices.Index(line, who)
	if i < 0 {
		return next, false
	}
	if len(line) == 1 {
		delete(q.lines, key)
		return next, false
	}
	line = slices.Delete(line, i, i+1)
	q.lines[key] = line
	if i == 0 {
		return line[0], true
	}
	return next, false
}

// Len is the number of keys with a line.
func (q *KeyQueue[T]) Len() int { return len(q.lines) }
