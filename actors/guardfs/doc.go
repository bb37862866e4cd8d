// Package guardfs keeps one bad drive from taking the process with it. Pebble answers an I/O error
// on its write path with os.Exit, with a panic that cannot be recovered, or, if its Fatalf returns,
// with an acknowledgement that is not true. The cure is that Pebble never sees such an error: the
// call that met it marks the drive failed and stops for good, and every later call that would
// change the drive stops as well.
//
//	pebble --> Parking(inner, health)   an error: health.Fail, and the goroutine parks for ever
//	segment -> Checked(inner, health)   an error: health.Fail, and the caller gets the error
//	drive actor <- health.Failed()      answers everybody with "the drive has failed"
//
// A failed drive costs the goroutines that were inside Pebble, its memtables and the open files of its
// index until the process ends; its DB is never closed. A new DB on the same directory may be opened in
// the same process, with a new Health: the fence holds all goroutines of the old one.
//
// Reads pass: Pebble hands their errors to whoever asked. They are counted in Health.
//
// The package knows nothing of drives' contents, starts no goroutines, and owns no memory of its
// callers. All of it is safe for concurrent use, as far as the file system below is.
package guardfs
