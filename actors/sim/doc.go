// Package sim is a simulated cluster that runs the machines of actors/quorum, the very code of the
// daemon, and attacks them. It is test code: nothing of the product imports it.
//
// A seed draws a Plan: how many drives, nodes, sets and clients, which operations, which faults and
// how bad the network, the disks and the clocks are. A World plays it, in one goroutine and from one
// queue of events, and is used again for the next seed; several worlds run beside each other. What
// clients saw must be linearizable per key, the invariants I1..I32 that can be told from above hold at
// every step, and when the faults end the cluster repairs itself and every key is read.
//
// The checker is the package's own; scripts/torture/judge/second takes the histories (World.Histories) and
// asks porcupine as well.
//
// A failing seed is cut down to what it takes and printed as one line (Cut); Mutate
// switches single rules off and must see something break; Explore tries all orders of a small world.
package sim
