// Command holdfast pools many drives on many machines into one S3 object store.
package main

func main() {}
