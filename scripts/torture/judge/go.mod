module holdfast/scripts/torture/judge

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	holdfast v0.0.0
)

// Of the product it uses the format of the history, and the simulator in second: packages without dependencies.
replace holdfast => ../../..
